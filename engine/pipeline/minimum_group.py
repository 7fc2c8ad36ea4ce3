"""Minimum group size: over such a table only aggregates are shown, and only groups of enough rows.

A HAVING on `count(*)` is put into the client's text; forms in which it would not count the table's own rows (joins,
sub-queries over it, FILTER, samples) are refused. DuckDB pushes conditions on a group's columns below the aggregate
and that HAVING, so what stands around such a SELECT may not fail on a group that is not shown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from engine.pipeline import functions
from engine.pipeline.guard import guards_of
from engine.pipeline.prover import cannot_fail
from engine.pipeline.relation import SecuredTable
from engine.pipeline.splice import Source
from engine.pipeline.survey import Node, Survey, children
from governance.errors import PermissionRefused
from governance.masks import binds
from governance.policies import MinimumGroup, Policy
from governance.principals import Principal
from governance.sql_types import FLOATS, INTEGER_RANGES, decimal_shape, is_integer, normal
from governance.tables import Table, fold

FIGURES = frozenset(
    {
        "count",
        "count_star",
        "sum",
        "avg",
        "mean",
        "stddev",
        "stddev_pop",
        "stddev_samp",
        "variance",
        "var_pop",
        "var_samp",
    }
    | {"approx_count_distinct"}
)
"""Aggregates that show a figure of the group rather than the value of one of its rows."""
_COUNTS = frozenset({"count", "count_star", "approx_count_distinct"})
_SUMS = frozenset({"sum", "avg", "mean"})
_PLAIN = frozenset({"COLUMN_REF", "CONSTANT"})
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
    sizes: dict[int, tuple[str, int, Table]] = {}
    for i, table in enumerate(secured):
        if table is None:
            continue
        rules = [
            p.size
            for p in policies
            if isinstance(p, MinimumGroup) and p.table.key == table.table.name.key and binds(p, principal)
        ]
        if rules:
            sizes[i] = (str(table.table.name), max(rules), table.shown)
    inserts: dict[int, str] = {}
    for i, (name, size, shown) in sizes.items():
        ref = survey.tables[i]
        select = next((s for s in survey.selects if _reads(s, ref.at)), None)
        if select is None:
            raise _refuse(name, size, "it stands in a join, PIVOT, SUMMARIZE or another form")
        _check_select(select, name, size, survey, shown)
        around = [c for c in survey.conditions if c is not select.get("having")]
        if guards_of(replace(survey, conditions=around), [t.shown for t in secured if t is not None]).barrier:
            raise _refuse(name, size, "a condition outside its groups may fail on one that is not shown")
        inserts |= _having(source, ref.at, size)
    return inserts


def _reads(select: Node, at: int) -> bool:
    table = select.get("from_table", {})
    return table.get("type") == "BASE_TABLE" and table.get("query_location") == at and not table.get("sample")


def _check_select(select: Node, name: str, size: int, survey: Survey, shown: Table) -> None:
    """Only figures over groups leave: no aggregate that shows a row's value, nothing that can fail on a single row."""
    if select.get("sample") or select.get("aggregate_handling") != "STANDARD_HANDLING" or select.get("qualify"):
        raise _refuse(name, size, "SAMPLE, QUALIFY and GROUP BY ALL are not accepted")
    grouped = select.get("group_expressions", ())
    calls = _calls([select.get(part) for part in ("select_list", "having", "modifiers")])
    if any(c.get("filter") or c["class"] == "WINDOW" for c in calls):
        raise _refuse(name, size, "FILTER and window functions are not accepted")
    aggregates = [c for c in calls if fold(c["function_name"]) in functions.AGGREGATES]
    if not grouped and not aggregates:
        raise _refuse(name, size, "rows of their own are not shown")
    if any(fold(c["function_name"]) not in FIGURES for c in aggregates):
        raise _refuse(name, size, "only " + ", ".join(sorted(FIGURES - {"count_star"})) + " are accepted")
    if any(argument["class"] not in _PLAIN for c in aggregates for argument in c.get("children", ())):
        raise _refuse(name, size, "aggregates take plain columns")
    if not all(_never_fails(c, size, shown) for c in aggregates):
        what = "sums are taken of numbers that they cannot overflow, deviations of whole numbers and decimals"
        raise _refuse(name, size, what)
    if any(c.get("order_bys", {}).get("orders") for c in aggregates):
        raise _refuse(name, size, "aggregates take no ORDER BY")
    if any(key["class"] not in _PLAIN for key in grouped):
        raise _refuse(name, size, "groups are made by plain columns")
    for item in select.get("select_list", ()):
        if item["class"] not in _PLAIN and not _over_groups(item):
            raise _refuse(name, size, "what is shown is a column of the group or a figure over it")
    where = select.get("where_clause")
    if _holds_query(where) or _holds_query(select.get("having")):  # what stands in it is asked of every row or group
        raise _refuse(name, size, "WHERE and HAVING take no sub-queries")
    if where and not cannot_fail(where, survey, [shown]):
        raise _refuse(name, size, "WHERE holds something that may fail on a row")


def _never_fails(call: Node, size: int, shown: Table) -> bool:
    """Whether a figure has a value for any group of fewer than `size` rows: its overflow would tell of them."""
    name = fold(call["function_name"])
    if name in _COUNTS:
        return True
    types = [_type_of(argument, shown) for argument in call.get("children", ())]
    if name in _SUMS:
        return all(_is_summed(type_, size) for type_ in types)
    return all(is_integer(type_) or decimal_shape(type_) for type_ in types)


def _is_summed(type_: str, size: int) -> bool:
    shape = decimal_shape(type_)
    if shape is not None:  # summed in a HUGEINT
        return bool(size * 10 ** shape[0] <= INTEGER_RANGES["HUGEINT"][1])
    return type_ in FLOATS or (is_integer(type_) and "HUGE" not in type_)


def _type_of(argument: Node, shown: Table) -> str:
    if argument["class"] == "CONSTANT":
        type_ = argument["value"]["type"]
        info = type_.get("type_info") or {}
        return f"DECIMAL({info.get('width')},{info.get('scale')})" if type_["id"] == "DECIMAL" else str(type_["id"])
    names = argument["column_names"]
    column = shown.column(names[-1]) if len(names) < 3 else None  # `a.b` may be a field, of another type
    return normal(column.type) if column is not None and (len(names) == 1 or not shown.column(names[0])) else ""


def _over_groups(node: Node) -> bool:
    """Whether an expression reads columns only through aggregates."""
    if node["class"] == "FUNCTION" and fold(node["function_name"]) in FIGURES:
        return True
    if node["class"] in ("COLUMN_REF", "STAR", "SUBQUERY", "LAMBDA", "POSITIONAL_REFERENCE"):
        return False
    return all(_over_groups(child) for child in children(node))


def _holds_query(node: Any) -> bool:
    if isinstance(node, Mapping):
        return node.get("class") == "SUBQUERY" or any(map(_holds_query, node.values()))
    return isinstance(node, list) and any(map(_holds_query, node))


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


def _is_name(source: Source, index: int) -> bool:
    """Whether a key word at a token names a column, after a dot or AS."""
    before = source.tokens[index - 1]
    return before.kind == "dot" or before.text.lower() == "as"


def _having(source: Source, at: int, size: int) -> dict[int, str]:
    """Where `count(*) >= size` goes: around an existing HAVING, or before what follows GROUP BY."""
    index = source.token_at(source.character(at)) or 0
    depth, end, start = 0, len(source.text), None
    test = f"count(*) >= {size}"
    for place, token in enumerate(source.tokens[index:], index):
        if token.kind == "bracket":
            depth += 1 if token.text in "([{" else -1
            if depth < 0:
                end = token.start
                break
        elif depth == 0 and token.kind == "word" and token.text.lower() in _AFTER_GROUP and not _is_name(source, place):
            if token.text.lower() == "having":
                start = token.end
                continue
            end = token.start
            break
    if start is None:
        return {end: f" HAVING {test} "}
    # CASE, so that the client's condition is not evaluated on groups that are too small.
    return {start: f" CASE WHEN {test} THEN (", end: ") END "}
