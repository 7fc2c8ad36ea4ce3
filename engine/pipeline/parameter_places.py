"""Where a parameter may stand in a statement, and what type each place wants: PostgreSQL's rules, DuckDB's types.

Clients that send values in binary (asyncpg, pgx, JDBC) encode them by the types that are announced, so a place that is
not known costs them a cast. Nothing here decides what a statement may do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from engine.pipeline.survey import Node
from governance.sql_types import decimal_shape, is_integer, normal
from governance.tables import fold

Group = tuple[Sequence[Any], str]
"""Expressions that share a type, and that type when the place itself says it."""

_INTERVAL, _TEXT, _DAY = "INTERVAL", "VARCHAR", "DATE"
_INSTANT = "TIMESTAMP WITH TIME ZONE"
_MOMENTS = frozenset({"TIMESTAMP", _INSTANT})
_TEXT_CALLS = frozenset(
    {"~~", "!~~", "~~*", "!~~*", "~~~", "lower", "upper", "trim", "ltrim", "rtrim", "concat", "||", "contains"}
    | {"starts_with", "prefix", "suffix", "ends_with", "regexp_matches", "regexp_full_match", "length", "strpos"}
    | {"replace", "string_split", "instr", "like_escape", "ilike_escape", "regexp_replace", "regexp_extract"}
    | {"->", "->>", "concat_ws", "strptime", "reverse", "position", "json_extract", "json_extract_string"}
)
_SAME_TYPE_CALLS = frozenset(
    {"+", "-", "*", "/", "%", "//", "mod", "greatest", "least", "nullif", "list_value", "&&", "@>", "<@"}
    | {"list_has_any", "list_has_all", "array_has_any", "array_has_all"}
)
_SAME_TYPE_OPERATORS = frozenset({"COMPARE_IN", "COMPARE_NOT_IN", "OPERATOR_COALESCE"})
_ARGUMENTS: dict[str, tuple[str, ...]] = {
    "substring": (_TEXT, "BIGINT", "BIGINT"), "substr": (_TEXT, "BIGINT", "BIGINT"), "left": (_TEXT, "BIGINT"),
    "right": (_TEXT, "BIGINT"), "lpad": (_TEXT, "INTEGER", _TEXT), "rpad": (_TEXT, "INTEGER", _TEXT),
    "repeat": (_TEXT, "BIGINT"), "split_part": (_TEXT, _TEXT, "BIGINT"), "round": ("", "INTEGER"),
    "chr": ("INTEGER",), "date_trunc": (_TEXT, ""), "datetrunc": (_TEXT, ""), "date_part": (_TEXT, ""),
    "datepart": (_TEXT, ""), "strftime": ("", _TEXT), "to_timestamp": ("DOUBLE",), "make_date": ("BIGINT",) * 3,
    "string_agg": (_TEXT, _TEXT), "timezone": (_TEXT, ""), "to_days": ("INTEGER",), "to_hours": ("BIGINT",),
    "to_minutes": ("BIGINT",), "to_months": ("INTEGER",), "to_years": ("INTEGER",), "sqrt": ("DOUBLE",),
    "power": ("DOUBLE", "DOUBLE"), "pow": ("DOUBLE", "DOUBLE"), "time_bucket": (_INTERVAL, "", ""),
}  # fmt: skip
"""Functions whose arguments have one type each; empty where several will do."""
_LIST_AND_ELEMENT = frozenset({"list_contains", "array_contains", "list_has", "array_has", "list_position"})
_SERIES = frozenset({"generate_series", "range"})
_WHOLE = frozenset(
    {"count", "count_star", "length", "strlen", "date_part", "datepart", "year", "month", "day", "strpos"}
)
_WORDS = frozenset(
    {"lower", "upper", "trim", "ltrim", "rtrim", "concat", "||", "substring", "substr", "left", "right", "replace"}
    | {"strftime", "string_agg", "lpad", "rpad", "split_part", "concat_ws", "regexp_replace", "->>"}
)
_KEEPS = frozenset({"min", "max", "any_value", "first", "last", "abs", "greatest", "least", "nullif", "mod", "%"})
_FLOATS = frozenset({"avg", "sqrt", "power", "pow", "ln", "exp", "random", "stddev", "variance", "median"})
CLOCKS = {"current_date": _DAY, "current_timestamp": _INSTANT, "localtimestamp": "TIMESTAMP", "current_time": "TIME"}
"""Names that stand for a moment where no column has them."""
_NOW = frozenset({"now", "current_timestamp", "get_current_timestamp", "transaction_timestamp"})


def operands_of(node: Node) -> Sequence[Node]:
    """The expressions that an expression's type may follow from."""
    if node.get("class") == "CASE":
        outcomes = [check["then_expr"] for check in node.get("case_checks", ())]
        return [*outcomes, *([node["else_expr"]] if node.get("else_expr") else [])]
    if node.get("class") == "SUBQUERY" and node.get("subquery_type") == "SCALAR":
        selected = node.get("subquery", {}).get("node", {}).get("select_list", ())
        return list(selected) if len(selected) == 1 else ()
    return list(node.get("children", ()))


def made_of(node: Node, below: Sequence[str]) -> str:
    """The type of an expression whose operands have the types `below` (parameters left out); empty if unknown."""
    kind = node.get("class")
    known = set(below) - {"NULL"}
    same = next(iter(known)) if len(known) == 1 else ""
    if kind in ("CASE", "SUBQUERY") or node.get("type") == "OPERATOR_COALESCE":
        return same
    if kind not in ("FUNCTION", "WINDOW"):
        return ""
    name = fold(node.get("function_name", ""))
    if name in _WHOLE:
        return "BIGINT"
    if name in _WORDS:
        return _TEXT
    if name in _NOW:
        return _INSTANT
    if name in ("current_date", "today"):
        return _DAY
    if name in _FLOATS or (name == "/" and known):
        return "DOUBLE"
    if name in ("date_trunc", "datetrunc"):
        moment = below[-1] if below else ""
        return "TIMESTAMP" if moment == _DAY else moment if moment in _MOMENTS else ""
    if name == "sum":
        return "HUGEINT" if is_integer(same) else same if same == "DOUBLE" else _numeric(known)
    if name in ("+", "-", "*", "//"):
        return _arithmetic(name, known, same)
    if name in ("round", "ceil", "ceiling", "floor"):
        return below[0] if below else ""
    return same if name in _KEEPS else ""


def _arithmetic(name: str, known: set[str], same: str) -> str:
    moments = known & (_MOMENTS | {_DAY})
    if moments and _INTERVAL in known:
        moment = moments.pop()
        return "TIMESTAMP" if moment == _DAY else moment
    if moments:
        return "" if name != "-" else ("BIGINT" if same == _DAY else _INTERVAL if same else "")
    return same or _numeric(known)


def _numeric(known: set[str]) -> str:
    """Of numbers of several types: a float when one is, else exact."""
    if known & {"DOUBLE", "FLOAT"}:
        return "DOUBLE"
    if known and all(is_integer(kind) or decimal_shape(kind) is not None for kind in known):
        return "BIGINT" if all(map(is_integer, known)) else "DECIMAL(38,10)"
    return ""


def groups_of(item: Node, type_of: Callable[[Node], str]) -> Iterator[Group]:
    """What stands in an expression's places; `type_of` tells the type of another expression, or nothing."""
    kind = item.get("class")
    if kind == "COMPARISON":
        yield from _compared([item["left"], item["right"]])
    elif kind == "BETWEEN":
        yield [item["input"], item["lower"], item["upper"]], ""
    elif kind == "CAST":
        yield [item["child"]], spelled(item["cast_type"])
    elif kind == "OPERATOR" and item["type"] in _SAME_TYPE_OPERATORS:
        yield from _compared(list(item.get("children", ())))
    elif kind == "CONJUNCTION" or (kind == "OPERATOR" and item["type"] == "OPERATOR_NOT"):
        yield list(item.get("children", ())), "BOOLEAN"
    elif kind == "CASE":
        yield operands_of(item), ""
    elif kind == "SUBQUERY" and item.get("subquery_type") == "ANY" and item.get("child"):
        yield from _any(item, type_of)
    elif kind == "FUNCTION":
        yield from _arguments(item, type_of)
    if item.get("type") in ("LIMIT_MODIFIER", "LIMIT_PERCENT_MODIFIER"):
        yield [item[name] for name in ("limit", "offset") if item.get(name)], "BIGINT"


def _row(node: Any) -> Sequence[Any] | None:
    if isinstance(node, Mapping) and node.get("class") == "FUNCTION" and fold(node["function_name"]) == "row":
        return list(node.get("children", ()))
    return None


def _compared(sides: Sequence[Any]) -> Iterator[Group]:
    """Things compared share a type; of rows, each place does."""
    rows = [_row(side) for side in sides]
    if rows and rows[0] is not None:
        whole = [row for row in rows if row is not None and len(row) == len(rows[0])]
        yield from ((list(place), "") for place in zip(*whole, strict=True))
    else:
        yield sides, ""


def _any(item: Node, type_of: Callable[[Node], str]) -> Iterator[Group]:
    """`x = ANY ($1)`, which DuckDB reads as `x = ANY (SELECT unnest($1))`: a list of what `x` is."""
    selected = item.get("subquery", {}).get("node", {}).get("select_list", ())
    for call in selected:
        if call.get("class") == "FUNCTION" and fold(call["function_name"]) == "unnest":
            element = type_of(item["child"])
            yield list(call.get("children", ())), f"{element}[]" if element and not element.endswith("]") else ""
            listed = [type_of(argument) for argument in call.get("children", ())]
            yield [item["child"]], listed[0][:-2] if listed and listed[0].endswith("[]") else ""
        elif call.get("class") == "PARAMETER":
            yield [item["child"], call], ""


def _arguments(item: Node, type_of: Callable[[Node], str]) -> Iterator[Group]:
    name, below = fold(item["function_name"]), list(item.get("children", ()))
    if not any(argument.get("class") == "PARAMETER" for argument in below):
        return
    if name in _TEXT_CALLS:
        yield below, _TEXT
    elif name in _ARGUMENTS:
        yield from (([argument], wanted) for argument, wanted in zip(below, _ARGUMENTS[name], strict=False))
    elif name in _LIST_AND_ELEMENT and len(below) == 2:
        listed, element = type_of(below[0]), type_of(below[1])
        yield [below[0]], f"{element}[]" if element else ""
        yield [below[1]], listed[:-2] if listed.endswith("[]") else ""
    elif name in _SERIES:
        others = {type_of(b) for b in below} - {""}
        yield below, "BIGINT" if all(map(is_integer, others)) else ""
    elif name == "+" and {type_of(b) for b in below} & _MOMENTS:
        yield below, _INTERVAL
    elif name == "+" and _DAY in {type_of(b) for b in below}:
        yield below, "INTEGER"
    elif name == "*" and _INTERVAL in {type_of(b) for b in below}:
        yield below, "DOUBLE"
    elif name in _SAME_TYPE_CALLS:
        yield below, ""


def spelled(target: Node) -> str:
    """A cast's type as DuckDB spells it; empty for those no parameter is announced with."""
    info = target.get("type_info") or {}
    if target["id"] == "DECIMAL" and info:
        return f"DECIMAL({info.get('width')},{info.get('scale')})"
    if target["id"] == "LIST" and info.get("child_type"):
        inner = spelled(info["child_type"])
        return f"{inner}[]" if inner else ""
    if target["id"] == "UNBOUND":
        return normal(str(info.get("name", ""))) if fold(str(info.get("name", ""))) in ("json", "text") else ""
    return "" if info else str(target["id"])
