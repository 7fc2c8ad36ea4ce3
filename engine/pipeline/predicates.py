"""`on_predicate: deny`: a masked column may not stand in a predicate; the answer is an error, not an empty result."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

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
        MaskedPredicate: such a column, or an alias of it, stands in WHERE, ON, USING, HAVING, QUALIFY or FILTER.
    """
    denied: dict[str, set[str]] = {}
    for ref, table in zip(survey.tables, secured, strict=True):
        for name, mask in table.masks.items() if table is not None else ():
            if mask.deny_predicate:
                denied.setdefault(name, set()).add(ref.shown_as)
    if not denied:
        return
    others = {ref.shown_as for ref in survey.tables}
    pending = [(c, False) for c in _columns(survey.conditions)]
    pending += [({"column_names": [name]}, False) for name in survey.key_names]
    if survey.natural:
        pending += [({"column_names": [name]}, False) for name in denied]
    seen: set[str] = set()
    for node, _ in pending:
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
            definitions = [d for d in survey.definitions.get(name, ()) if d is not None]
            pending += [(c, True) for c in _columns(definitions)]
