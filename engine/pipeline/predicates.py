"""`on_predicate: deny`: a masked column may not stand in a predicate; the answer is an error, not an empty result."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from engine.pipeline.names import hides_names, names_behind
from engine.pipeline.prover import columns_of
from engine.pipeline.relation import SecuredTable
from engine.pipeline.survey import Node, Survey, may_be_one_of
from governance.errors import MaskedPredicate
from governance.tables import fold


def _columns(nodes: Sequence[Node]) -> Iterator[Node]:
    stack: list[Any] = list(nodes)
    while stack:
        item = stack.pop()
        if isinstance(item, Mapping):
            if item.get("class") == "COLUMN_REF":
                yield item
            stack.extend(item.values())
        elif isinstance(item, list):
            stack.extend(item)


Names = frozenset[str] | None
"""Folded names of columns; None is any."""


def check_predicates(survey: Survey, secured: Sequence[SecuredTable | None], viewed: Mapping[int, Names]) -> Names:
    """Refuse predicates over columns whose mask says `on_predicate: deny`.

    `secured` are the statement's tables in order; `viewed` says of those that are views which of their columns may
    not stand in a predicate. Answers the same of the statement itself.

    Raises:
        MaskedPredicate: such a column, or an alias of it, stands in WHERE, ON, USING, HAVING, QUALIFY or FILTER; or
            what stands there may be one.
    """
    denied: dict[str, set[str]] = {}
    for i, (ref, table) in enumerate(zip(survey.tables, secured, strict=True)):
        masks = table.masks.items() if table is not None else ()
        for name in viewed.get(i) or [name for name, mask in masks if mask.deny_predicate]:
            denied.setdefault(name, set()).add(ref.shown_as)
    unknown = None in viewed.values()
    if not denied and not unknown:
        return frozenset()
    columns: dict[str, Sequence[str]] = {}
    if viewed:  # a name that stands nowhere else is a view's column
        columns |= {fold(n): () for node in survey.columns for n in node["column_names"]}
    columns |= columns_of(t.shown for t in secured if t is not None)
    keys: list[Node] = [{"class": "COLUMN_REF", "column_names": [name]} for name in survey.key_names]
    if survey.natural:
        joined = {**denied, **survey.definitions}
        keys += [{"class": "COLUMN_REF", "column_names": [name]} for name in joined]
    predicates = [*survey.conditions, *keys]
    if predicates and (unknown or names_behind(predicates, survey, columns) is None):
        raise MaskedPredicate(
            "A predicate here may read a masked column that may not be used in one.",
            advice="Name the columns that it reads, without COLUMNS, whole rows or renamed stars.",
        )
    others = {ref.shown_as for ref in survey.tables} - survey.derived
    pending = list(_columns(predicates))
    seen: set[str] = set()
    for node in pending:
        names = [fold(n) for n in node["column_names"]]
        name = names[-1]
        qualifier = names[-2] if len(names) > 1 else ""
        plainly_other = qualifier in others and qualifier not in denied.get(name, ())
        if (name in denied and not plainly_other) or (viewed and may_be_one_of(name, denied)):
            at = node.get("query_location")
            raise MaskedPredicate(
                f"The masked column {name} may not be used in a predicate.",
                advice="Select it, or filter by another column.",
                position=at + 1 if isinstance(at, int) else None,
            )
        if name not in seen:
            seen.add(name)
            pending += _columns([d for d in survey.definitions.get(name, ()) if d is not None])
    return _reached(survey, columns, frozenset(denied)) if not unknown else None


def _reached(survey: Survey, columns: Mapping[str, Sequence[str]], denied: frozenset[str]) -> Names:
    """What a statement's columns that are made of denied ones may be called."""
    if hides_names(survey, columns):
        return None
    names = denied | survey.relation_names
    while True:
        more = {
            alias
            for alias, made in survey.definitions.items()
            if alias not in names and any(d is None or _touches(d, names) for d in made)
        }
        if not more:
            return names
        names |= more


def _touches(node: Node, names: frozenset[str]) -> bool:
    return any(not names.isdisjoint(map(fold, read["column_names"])) for read in _columns([node]))
