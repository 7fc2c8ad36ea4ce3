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

from engine.pipeline.names import hides_names, names_behind
from engine.pipeline.prover import Prover, columns_of
from engine.pipeline.seals import risky_calls
from engine.pipeline.survey import Node, Survey
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
    sealed = names_behind(risky_calls(survey, columns), survey, columns)
    if sealed is None or guarded.everything:
        return replace(guarded, all_sealed=sealed is None, sealed=sealed or frozenset())
    return replace(guarded, sealed=sealed)


def _guarded(survey: Survey, columns: Mapping[str, Sequence[str]]) -> Guards:
    if survey.conditions and hides_names(survey, columns):
        return EVERYTHING
    prover = Prover(survey, columns)
    unproven = [
        leaf for condition in survey.conditions for leaf in _conjuncts(condition) if prover.condition(leaf) is None
    ]
    keys: list[Node] = []
    for name in {**columns, **survey.definitions} if survey.natural else survey.key_names:
        types = columns.get(name, ())
        defined = [d for d in survey.definitions.get(name, ()) if d is None or not prover.repeats(d, name)]
        agreed = len({normal(t) for t in types}) == 1 and not defined
        if not agreed and (len(types) > 1 or not survey.natural or defined):
            keys.append({"class": "COLUMN_REF", "column_names": [name]})
    if not unproven and not keys:
        return Guards()
    names = names_behind([*unproven, *keys], survey, columns)
    return EVERYTHING if names is None else Guards(names=names, barrier=True)


def _conjuncts(node: Node) -> Iterable[Node]:
    if node["class"] == "CONJUNCTION":
        for child in node["children"]:
            yield from _conjuncts(child)
    else:
        yield node
