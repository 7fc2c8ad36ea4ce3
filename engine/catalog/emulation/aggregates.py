"""Aggregates and windows; importing this module enters them in `FUNCTIONS`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.catalog.emulation import types as t
from engine.catalog.emulation.functions import Builder, special, unknown_call
from engine.catalog.emulation.tree import Call
from engine.catalog.emulation.values import Value, cast

if TYPE_CHECKING:
    from engine.catalog.emulation.scope import Scope


def aggregate(builder: Builder, node: Call, scope: Scope, call: str, arguments: str) -> str:
    """An aggregate's text with DISTINCT, ORDER BY, FILTER and OVER."""
    distinct = "DISTINCT " if node.distinct else ""
    text = f"{call}({distinct}{arguments}{builder.sorts(node.order, scope)})"
    if node.filter is not None:
        text += f" FILTER (WHERE {builder.condition(node.filter, scope)})"
    if node.over is not None:
        partition = ", ".join(builder.typed(p, scope).sql for p in node.over.partition)
        order = builder.sorts(node.over.order, scope)
        text += f" OVER ({'PARTITION BY ' + partition if partition else ''}{order})"
    return text


@special("count")
def _count(builder: Builder, node: Call, scope: Scope) -> Value:
    if node.star == bool(node.arguments) or len(node.arguments) > 1:
        raise unknown_call(node)
    inner = "*" if node.star else builder.typed(node.arguments[0], scope).sql
    return Value(aggregate(builder, node, scope, "count", inner), t.INT8)


@special("min", "max", "sum", "avg", "bool_and", "bool_or", "every", "array_agg", "string_agg", "any_value")
def _aggregates(builder: Builder, node: Call, scope: Scope) -> Value:
    name = node.name[-1]
    if node.star or len(node.arguments) != (2 if name == "string_agg" else 1):
        raise unknown_call(node)
    value = builder.typed(node.arguments[0], scope)
    inner, kind, call = value.sql, value.type, name
    if name in ("min", "max"):
        kind = (
            t.TEXT if value.type in (t.NAME, t.VARCHAR, t.CHAR) else t.OID if value.type in t.REG_TYPES else value.type
        )
    elif name in ("sum", "avg"):
        if value.type not in t.NUMBERS:
            raise unknown_call(node)
        kind = (
            {t.INT2: t.INT8, t.INT4: t.INT8, t.INT8: t.NUMERIC}.get(value.type, value.type)
            if name == "sum"
            else t.FLOAT8
        )
    elif name in ("bool_and", "bool_or", "every"):
        kind, call = t.BOOL, {"every": "bool_and"}.get(name, name)
        inner = builder.condition(node.arguments[0], scope)
    elif name == "array_agg":
        kind, call = t.array_of(value.type), "list"
    elif name == "string_agg":
        kind = t.TEXT
        inner = f"{cast(value, t.TEXT).sql}, {builder.typed(node.arguments[1], scope).sql}"
    text = aggregate(builder, node, scope, call, inner)
    if name in ("sum", "avg"):
        text = f"CAST({text} AS {'DECIMAL(38,0)' if kind == t.NUMERIC else t.duck(kind)})"
    return Value(text, kind)


@special("row_number", "rank", "dense_rank")
def _ranks(builder: Builder, node: Call, scope: Scope) -> Value:
    if node.arguments or node.over is None:
        raise unknown_call(node)
    return Value(aggregate(builder, node, scope, node.name[-1], ""), t.INT8)


@special("first_value", "last_value", "lag", "lead")
def _neighbors(builder: Builder, node: Call, scope: Scope) -> Value:
    if len(node.arguments) != 1 or node.over is None:
        raise unknown_call(node)
    value = builder.typed(node.arguments[0], scope)
    return Value(aggregate(builder, node, scope, node.name[-1], value.sql), value.type)
