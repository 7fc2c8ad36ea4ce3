"""`on_predicate: deny`: a masked column may not stand in a predicate; the answer is an error, not an empty result."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from engine.pipeline.names import names_behind
from engine.pipeline.prover import columns_of
from engine.pipeline.relation import SecuredTable
from engine.pipeline.survey import Node, Survey
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


def check_predicates(survey: Survey, secured: Sequence[SecuredTable | None], *, views: bool) -> None:
    """Refuse predicates over columns whose mask says `on_predicate: deny`.

    Raises:
        MaskedPredicate: such a column, or an alias of it, stands in WHERE, ON, USING, HAVING, QUALIFY or FILTER; or
            what stands there may be one.
    """
    denied: dict[str, set[str]] = {}
    for ref, table in zip(survey.tables, secured, strict=True):
        for name, mask in table.masks.items() if table is not None else ():
            if mask.deny_predicate:
                denied.setdefault(name, set()).add(ref.shown_as)
    if not denied:
        return
    keys: list[Node] = [{"class": "COLUMN_REF", "column_names": [name]} for name in survey.key_names]
    if survey.natural:
        joined = {**denied, **survey.definitions}
        keys += [{"class": "COLUMN_REF", "column_names": [name]} for name in joined]
    predicates = [*survey.conditions, *keys]
    if names_behind(predicates, survey, columns_of(t.shown for t in secured if t is not None)) is None:
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
        plainly_other = qualifier in others and qualifier not in denied.get(name, ()) and not views
        if name in denied and not plainly_other:
            at = node.get("query_location")
            raise MaskedPredicate(
                f"The masked column {name} may not be used in a predicate.",
                advice="Select it, or filter by another column.",
                position=at + 1 if isinstance(at, int) else None,
            )
        if name not in seen:
            seen.add(name)
            pending += _columns([d for d in survey.definitions.get(name, ()) if d is not None])
