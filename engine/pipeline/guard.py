"""Which statements need a barrier, and which columns the CASE row guard.

A filter of the client is pushed towards the table by DuckDB's optimiser and may then run on hidden rows. An
expression that cannot fail tells nothing; one that can (a cast, arithmetic, a regular expression, ...) tells of hidden
rows by its error. So where one condition of a statement is not proven, no condition may sink into the secured
relations (a barrier: `OFFSET 0`, which filters are not pushed through), and what it reads is guarded besides: the
guard hides values should a filter sink after all, the barrier also hides that rows are there (an expression may fail
on the NULLs of guarded rows, or on its constants). The proof itself is `engine.pipeline.prover`'s.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from engine.pipeline.prover import Prover, columns_of
from engine.pipeline.survey import Node, Survey
from engine.pipeline.totals import DICTIONARY_SAFE
from governance.sql_types import normal
from governance.tables import Table, fold


@dataclass(frozen=True, slots=True)
class Guards:
    """The verdict: guard every column, or those of these folded names."""

    everything: bool = False
    names: frozenset[str] = frozenset()
    barrier: bool = False
    """Whether conditions must stay outside the secured relations."""
    sealed: frozenset[str] = frozenset()
    """Folded names of columns whose values must be copied out of the storage's dictionaries."""
    all_sealed: bool = False

    def covers(self, column: str) -> bool:
        """Whether a column of this name is to be guarded."""
        return self.everything or fold(column) in self.names

    def touches(self, column: str) -> bool:
        """Whether a column of this name is to be guarded or sealed."""
        return self.covers(column) or self.seals(column)

    def seals(self, column: str) -> bool:
        """Whether a column of this name is to be sealed."""
        return self.all_sealed or fold(column) in self.sealed


EVERYTHING = Guards(everything=True, barrier=True, all_sealed=True)


def guards_of(survey: Survey, tables: Iterable[Table]) -> Guards:
    """What to guard and seal in every filtered table of the statement. `tables` carry the types that are shown."""
    columns = columns_of(tables)
    guarded = _guarded(survey, columns)
    risky = [c.node for c in survey.calls if not c.table and fold(c.name) not in DICTIONARY_SAFE]
    sealed = _names_behind(risky, survey, columns)
    if sealed is None or guarded.everything:
        return replace(guarded, all_sealed=sealed is None, sealed=sealed or frozenset())
    return replace(guarded, sealed=sealed)


def _guarded(survey: Survey, columns: Mapping[str, Sequence[str]]) -> Guards:
    if survey.conditions and _hides_names(survey, columns):
        return EVERYTHING
    prover = Prover(survey, columns)
    unproven = [
        leaf for condition in survey.conditions for leaf in _conjuncts(condition) if prover.condition(leaf) is None
    ]
    keys: list[Node] = []
    for name in columns if survey.natural else survey.key_names:
        types = columns.get(name, ())
        agreed = len({normal(t) for t in types}) == 1 and not survey.definitions.get(name)
        if not agreed and (len(types) > 1 or not survey.natural or survey.definitions.get(name)):
            keys.append({"class": "COLUMN_REF", "column_names": [name]})
    if not unproven and not keys:
        return Guards()
    names = _names_behind([*unproven, *keys], survey, columns)
    return EVERYTHING if names is None else Guards(names=names, barrier=True)


def _hides_names(survey: Survey, columns: Mapping[str, Sequence[str]]) -> bool:
    """Whether some expression makes columns whose names say nothing of what they hold."""
    if survey.opaque or any(star.get("columns") or star.get("expr") or star.get("unpacked") for star in survey.stars):
        return True
    prover = Prover(survey, columns)
    return any(s.get("relation_name") and not prover.is_relation(fold(s["relation_name"])) for s in survey.stars)


def _names_behind(nodes: Iterable[Node], survey: Survey, columns: Mapping[str, Sequence[str]]) -> frozenset[str] | None:
    """Folded names of everything the expressions read, through every alias; None when that may be any column."""
    pending: list[Node] = list(nodes)
    if pending and _hides_names(survey, columns):
        return None
    tainted: set[str] = set()
    while pending:
        for read in _reads(pending.pop()):
            if read["class"] != "COLUMN_REF" or _is_row(read, survey, columns):
                return None
            for name in map(fold, read["column_names"]):
                if name in tainted:
                    continue
                tainted.add(name)
                definitions = survey.definitions.get(name, ())
                if name not in columns and not definitions and name not in survey.relation_names:
                    return None
                if any(definition is None for definition in definitions):
                    return None
                pending += [definition for definition in definitions if definition is not None]
    return frozenset(tainted)


def _is_row(read: Node, survey: Survey, columns: Mapping[str, Sequence[str]]) -> bool:
    name = fold(read["column_names"][-1])
    return len(read["column_names"]) == 1 and name in survey.relation_names and name not in columns


def _conjuncts(node: Node) -> Iterable[Node]:
    if node["class"] == "CONJUNCTION":
        for child in node["children"]:
            yield from _conjuncts(child)
    else:
        yield node


def _reads(node: Node) -> Iterable[Node]:
    """Every column, star or positional reference below an expression, sub-queries included."""
    stack: list[object] = [node]
    while stack:
        item = stack.pop()
        if isinstance(item, Mapping):
            if item.get("class") in ("COLUMN_REF", "STAR", "POSITIONAL_REFERENCE"):
                yield item
            if item.get("class") == "FUNCTION" and item.get("schema", "") not in ("", "main", "system", "pg_catalog"):
                yield {"class": "COLUMN_REF", "column_names": [item["schema"]]}  # column.function()
            stack.extend(item.values())
        elif isinstance(item, list):
            stack.extend(item)
