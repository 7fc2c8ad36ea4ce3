"""Minimum group size: over such a table only aggregates are shown, and only groups of enough rows.

A HAVING on `count(*)` is put into the client's text; forms in which it would not count the table's own rows (joins,
sub-queries over it, FILTER, samples) are refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from engine.pipeline import functions
from engine.pipeline.relation import SecuredTable
from engine.pipeline.splice import Source
from engine.pipeline.survey import Node, Survey
from governance.errors import PermissionRefused
from governance.masks import binds
from governance.policies import MinimumGroup, Policy
from governance.principals import Principal
from governance.tables import fold

_AFTER_GROUP = frozenset(
    {"having", "window", "qualify", "order", "limit", "offset", "union", "except", "intersect", "using", "fetch"}
)


def _refuse(name: str, size: int, what: str) -> PermissionRefused:
    return PermissionRefused(
        f"The table {name} may only be read in groups of at least {size} rows: {what}.",
        advice="Write SELECT ..., aggregates FROM the table GROUP BY ... without joins.",
        reason="minimum group size",
    )


def group_inserts(
    source: Source,
    survey: Survey,
    secured: Sequence[SecuredTable | None],
    policies: Sequence[Policy],
    principal: Principal,
) -> dict[int, str]:
    """Texts to insert, by character offset; empty when no table of the statement has a minimum group size.

    Raises:
        PermissionRefused: the statement is not a plain aggregate over such a table.
    """
    sizes: dict[int, tuple[str, int]] = {}
    for i, table in enumerate(secured):
        if table is None:
            continue
        rules = [
            p.size
            for p in policies
            if isinstance(p, MinimumGroup) and p.table.key == table.table.name.key and binds(p, principal)
        ]
        if rules:
            sizes[i] = (str(table.table.name), max(rules))
    inserts: dict[int, str] = {}
    for i, (name, size) in sizes.items():
        ref = survey.tables[i]
        select = next((s for s in survey.selects if _reads(s, ref.at)), None)
        if select is None:
            raise _refuse(name, size, "it stands in a join, PIVOT, SUMMARIZE or another form")
        _check_select(select, name, size)
        inserts |= _having(source, ref.at, size)
    return inserts


def _reads(select: Node, at: int) -> bool:
    table = select.get("from_table", {})
    return table.get("type") == "BASE_TABLE" and table.get("query_location") == at and not table.get("sample")


def _check_select(select: Node, name: str, size: int) -> None:
    if select.get("sample") or select.get("aggregate_handling") != "STANDARD_HANDLING":
        raise _refuse(name, size, "SAMPLE and GROUP BY ALL are not accepted")
    grouped = bool(select.get("group_expressions"))
    found = [c for item in select.get("select_list", ()) for c in _calls(item)]
    if any(c.get("filter") or c["class"] == "WINDOW" for c in found):
        raise _refuse(name, size, "FILTER and window functions are not accepted")
    aggregate = any(fold(c["function_name"]) in functions.AGGREGATES for c in found)
    if not grouped and not aggregate:
        raise _refuse(name, size, "rows of their own are not shown")


def _calls(node: Any) -> list[Mapping[str, Any]]:
    found, stack = [], [node]
    while stack:
        item = stack.pop()
        if isinstance(item, Mapping):
            if item.get("class") in ("FUNCTION", "WINDOW"):
                found.append(item)
            stack.extend(item.values())
        elif isinstance(item, list):
            stack.extend(item)
    return found


def _having(source: Source, at: int, size: int) -> dict[int, str]:
    """Where `count(*) >= size` goes: around an existing HAVING, or before what follows GROUP BY."""
    index = source.token_at(source.character(at)) or 0
    depth, end, start = 0, len(source.text), None
    test = f"count(*) >= {size}"
    for token in source.tokens[index:]:
        if token.kind == "bracket":
            depth += 1 if token.text in "([{" else -1
            if depth < 0:
                end = token.start
                break
        elif depth == 0 and token.kind == "word" and token.text.lower() in _AFTER_GROUP:
            if token.text.lower() == "having":
                start = token.end
                continue
            end = token.start
            break
    if start is None:
        return {end: f" HAVING {test} "}
    return {start: f" {test} AND (", end: ") "}
