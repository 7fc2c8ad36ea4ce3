"""The type of each `$n`, from what it stands beside; clients encode their values by the types we announce."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from engine.pipeline.governed import Parameter
from engine.pipeline.parameter_places import CLOCKS, groups_of, made_of, operands_of, spelled
from engine.pipeline.survey import Node, Survey
from governance.errors import StatementRefused
from governance.sql_types import normal
from governance.tables import Table, fold

PARAMETERS_MAX = 1000
_LOOKS_MAX = 20_000
"""Expressions looked at for one statement's parameters: names defined by names could lead in circles."""
_NUMBER = re.compile(r"\A[1-9][0-9]{0,3}\Z")


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
        self._left = _LOOKS_MAX

    def type_of(self, node: Node, depth: int = 0) -> str:
        kind = node.get("class")
        self._left -= 1
        if depth > 16 or self._left < 0:
            return ""
        if kind == "CONSTANT":
            type_ = node["value"]["type"]
            return "" if type_.get("type_info") else normal(type_["id"])
        if kind == "CAST":
            return spelled(node["cast_type"])
        if kind == "COLUMN_REF":
            name = fold(node["column_names"][-1])
            found = set(self._columns.get(name, ()))
            if not found:
                found = {self.type_of(d, depth + 1) for d in self._survey.definitions.get(name, ()) if d is not None}
            return found.pop() if len(found) == 1 else CLOCKS.get(name, "") if not found else ""
        below = [self.type_of(n, depth + 1) for n in operands_of(node) if n.get("class") != "PARAMETER"]
        return made_of(node, below)


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
        for group, fixed in groups_of(item, columns.type_of):
            numbers = [n for n in map(_number, group) if n is not None]
            if not numbers:
                continue
            known = {columns.type_of(n) for n in group if _number(n) is None} - {"", "NULL"}
            wanted = fixed or (known.pop() if len(known) == 1 else "")
            for number in numbers:
                if wanted and not types.get(number):
                    types[number] = wanted
