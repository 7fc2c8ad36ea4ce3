"""The type of each `$n`, from what it stands beside; clients encode their values by the types we announce."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from engine.pipeline.governed import Parameter
from engine.pipeline.survey import Node, Survey
from governance.errors import StatementRefused
from governance.sql_types import normal
from governance.tables import Table, fold

PARAMETERS_MAX = 1000
_NUMBER = re.compile(r"\A[1-9][0-9]{0,3}\Z")
_TEXT_CALLS = frozenset(
    {"~~", "!~~", "~~*", "!~~*", "~~~", "lower", "upper", "trim", "ltrim", "rtrim", "concat", "||", "contains"}
    | {"starts_with", "prefix", "suffix", "ends_with", "regexp_matches", "regexp_full_match", "length", "strpos"}
    | {"replace", "split_part", "string_split", "instr", "like_escape", "ilike_escape", "regexp_replace"}
)
_SAME_TYPE_CALLS = frozenset({"+", "-", "*", "/", "%", "//", "greatest", "least", "nullif", "list_value"})
_SAME_TYPE_OPERATORS = frozenset({"COMPARE_IN", "COMPARE_NOT_IN", "OPERATOR_COALESCE"})


def infer(tree: Node, survey: Survey, tables: Sequence[Table]) -> tuple[Parameter, ...]:
    """One Parameter per number up to the highest; empty type where nothing tells.

    Raises:
        StatementRefused: named parameters, or too many.
    """
    if not survey.parameters:
        return ()
    numbers = set()
    for name in survey.parameters:
        if not _NUMBER.match(name) or int(name) > PARAMETERS_MAX:
            raise StatementRefused(f"Parameters are numbered from $1 to ${PARAMETERS_MAX}.")
        numbers.add(int(name))
    if len(numbers) != max(numbers):
        raise StatementRefused("The numbers of parameters leave a gap.")
    columns: dict[str, set[str]] = {}
    for table in tables:
        for column in table.columns:
            columns.setdefault(fold(column.name), set()).add(normal(column.type))
    types: dict[int, str] = {}
    _visit(tree, _Columns(columns, survey), types)
    return tuple(Parameter(types.get(i, "")) for i in range(1, max(numbers) + 1))


class _Columns:
    """What a name may be typed as."""

    def __init__(self, columns: Mapping[str, set[str]], survey: Survey) -> None:
        self._columns = columns
        self._survey = survey

    def type_of(self, node: Node, depth: int = 0) -> str:
        kind = node.get("class")
        if depth > 16:
            return ""
        if kind == "CONSTANT":
            type_ = node["value"]["type"]
            return "" if type_.get("type_info") else normal(type_["id"])
        if kind == "CAST":
            target = node["cast_type"]
            return "" if target.get("type_info") else str(target["id"])
        if kind == "COLUMN_REF":
            name = fold(node["column_names"][-1])
            found = set(self._columns.get(name, ()))
            if not found:
                found = {self.type_of(d, depth + 1) for d in self._survey.definitions.get(name, ()) if d is not None}
            return found.pop() if len(found) == 1 else ""
        if kind == "FUNCTION":
            name = fold(node["function_name"])
            below = node.get("children", ())
            if name in ("count", "count_star", "length", "strlen", "date_part", "year", "month", "day"):
                return "BIGINT"
            if name in ("lower", "upper", "trim", "concat", "||", "substring", "substr", "left", "right", "replace"):
                return "VARCHAR"
            if name in ("min", "max", "any_value", "first", "last", *_SAME_TYPE_CALLS) and below:
                types = {self.type_of(b, depth + 1) for b in below if b.get("class") != "PARAMETER"} - {""}
                return types.pop() if len(types) == 1 and name != "/" else ""
        return ""


def _number(node: Any) -> int | None:
    return int(node["identifier"]) if isinstance(node, Mapping) and node.get("class") == "PARAMETER" else None


def _visit(tree: Any, columns: _Columns, types: dict[int, str]) -> None:
    stack: list[Any] = [tree]
    while stack:
        item = stack.pop()
        if isinstance(item, list):
            stack.extend(item)
        if not isinstance(item, Mapping):
            continue
        stack.extend(item.values())
        group, fixed = _group(item)
        numbers = [n for n in map(_number, group) if n is not None]
        if not numbers:
            continue
        known = {columns.type_of(n) for n in group if _number(n) is None} - {"", "NULL"}
        wanted = fixed or (known.pop() if len(known) == 1 else "")
        for number in numbers:
            if wanted and not types.get(number):
                types[number] = wanted


def _group(item: Mapping[str, Any]) -> tuple[list[Any], str]:
    """Expressions that share a type, and that type when the form itself says it."""
    kind = item.get("class")
    if kind == "COMPARISON":
        return [item["left"], item["right"]], ""
    if kind == "BETWEEN":
        return [item["input"], item["lower"], item["upper"]], ""
    if kind == "CAST":
        target = item["cast_type"]
        return [item["child"]], _spelled(target)
    if kind == "OPERATOR" and item["type"] in _SAME_TYPE_OPERATORS:
        return list(item.get("children", ())), ""
    if kind == "OPERATOR" and item["type"] == "OPERATOR_NOT":
        return list(item.get("children", ())), "BOOLEAN"
    if kind == "CONJUNCTION":
        return list(item.get("children", ())), "BOOLEAN"
    if kind == "FUNCTION":
        name, below = fold(item["function_name"]), list(item.get("children", ()))
        if name in _TEXT_CALLS:
            return below, "VARCHAR"
        if name in _SAME_TYPE_CALLS:
            return below, ""
    if item.get("type") in ("LIMIT_MODIFIER", "LIMIT_PERCENT_MODIFIER"):
        return [item[name] for name in ("limit", "offset") if item.get(name)], "BIGINT"
    return [], ""


def _spelled(target: Node) -> str:
    info = target.get("type_info") or {}
    if target["id"] == "DECIMAL" and info:
        return f"DECIMAL({info.get('width')},{info.get('scale')})"
    if target["id"] == "LIST" and info.get("child_type"):
        inner = _spelled(info["child_type"])
        return f"{inner}[]" if inner else ""
    if target["id"] == "UNBOUND":
        return normal(str(info.get("name", ""))) if fold(str(info.get("name", ""))) in ("json", "text") else ""
    return "" if info else str(target["id"])
