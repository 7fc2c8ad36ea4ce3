"""Aggregates and windows; importing this module enters them in `FUNCTIONS`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from engine.catalog.emulation import types as t
from engine.catalog.emulation.functions import Builder, argument, plain_call, special, unknown_call
from engine.catalog.emulation.tree import Call
from engine.catalog.emulation.values import Value, array_over, cast, settle
from engine.catalog.emulation.windows import over

if TYPE_CHECKING:
    from engine.catalog.emulation.scope import Scope


def aggregate(builder: Builder, node: Call, scope: Scope, call: str, arguments: str, *, by: str = "") -> str:
    """An aggregate's text with DISTINCT, ORDER BY, FILTER and OVER; distinct values come sorted `by` this."""
    distinct = "DISTINCT " if node.distinct else ""
    order = builder.sorts(node.order, scope)
    if distinct and by and not order:  # PostgreSQL sorts to find what is equal
        order = f" ORDER BY {by} ASC NULLS LAST"
    text = f"{call}({distinct}{arguments}{order})"
    if node.filter is not None:
        text += f" FILTER (WHERE {builder.condition(node.filter, scope)})"
    if node.over is not None:
        text += over(builder, node.over, scope)
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
        made = array_over(value, "")
        return replace(made, sql=aggregate(builder, node, scope, "list", inner, by=inner))
    elif name == "string_agg":
        kind = t.TEXT
        inner = f"{cast(value, t.TEXT).sql}, {builder.typed(node.arguments[1], scope).sql}"
    text = aggregate(builder, node, scope, call, inner, by=cast(value, t.TEXT).sql if name == "string_agg" else "")
    if name in ("sum", "avg"):
        text = f"CAST({text} AS {'DECIMAL(38,0)' if kind == t.NUMERIC else t.duck(kind)})"
    return Value(text, kind)


@special("row_number", "rank", "dense_rank", "percent_rank", "cume_dist")
def _ranks(builder: Builder, node: Call, scope: Scope) -> Value:
    if node.arguments or node.over is None:
        raise unknown_call(node)
    kind = t.FLOAT8 if node.name[-1] in ("percent_rank", "cume_dist") else t.INT8
    return Value(aggregate(builder, node, scope, node.name[-1], ""), kind)


@special("ntile")
def _ntile(builder: Builder, node: Call, scope: Scope) -> Value:
    if len(node.arguments) != 1 or node.over is None:
        raise unknown_call(node)
    parts = argument(builder, node.arguments[0], scope, t.INT4)
    return Value(f"CAST({aggregate(builder, node, scope, 'ntile', parts.sql)} AS INTEGER)", t.INT4)


@special("first_value", "last_value", "lag", "lead", "nth_value")
def _neighbors(builder: Builder, node: Call, scope: Scope) -> Value:
    """A value of another row: `lag` and `lead` know how far away and what stands for none, `nth_value` which."""
    name = node.name[-1]
    least, most = {"lag": (1, 3), "lead": (1, 3), "nth_value": (2, 2)}.get(name, (1, 1))
    if not least <= len(node.arguments) <= most or node.over is None:
        raise unknown_call(node)
    value = builder.typed(node.arguments[0], scope)
    texts = [value.sql]
    if len(node.arguments) > 1:
        texts.append(argument(builder, node.arguments[1], scope, t.INT4).sql)
    if len(node.arguments) > 2:
        texts.append(
            cast(settle(builder.translate(node.arguments[2], scope), value.type, builder.parameters), value.type).sql
        )
    return Value(aggregate(builder, node, scope, name, ", ".join(texts)), value.type)


@special("percentile_cont", "percentile_disc", "mode")
def _ordered_set(builder: Builder, node: Call, scope: Scope) -> Value:
    """`WITHIN GROUP (ORDER BY one)`."""
    name = node.name[-1]
    if len(node.within) != 1 or len(node.arguments) != (0 if name == "mode" else 1):
        raise unknown_call(node)
    sorted_by = builder.typed(node.within[0].value, scope)
    kind = t.FLOAT8 if name == "percentile_cont" else sorted_by.type
    inner = "" if name == "mode" else argument(builder, node.arguments[0], scope, t.FLOAT8).sql
    if name == "percentile_cont":
        sorted_by = cast(sorted_by, t.FLOAT8)
    order = f"ORDER BY {sorted_by.sql}{' DESC' if node.within[0].descending else ''}"
    text = f"{name}({inner}) WITHIN GROUP ({order})"
    if node.filter is not None:
        text += f" FILTER (WHERE {builder.condition(node.filter, scope)})"
    return Value(text, kind)


@special("bit_and", "bit_or")
def _bits(builder: Builder, node: Call, scope: Scope) -> Value:
    if node.star or len(node.arguments) != 1:
        raise unknown_call(node)
    value = builder.typed(node.arguments[0], scope)
    if value.type not in t.INTEGERS:
        raise unknown_call(node)
    return Value(aggregate(builder, node, scope, node.name[-1], value.sql), value.type)


@special("stddev", "stddev_samp", "stddev_pop", "variance", "var_samp", "var_pop", "corr", "covar_pop", "covar_samp")
def _spread(builder: Builder, node: Call, scope: Scope) -> Value:
    """Spreads and correlations, always as float8."""
    name = node.name[-1]
    if node.star or len(node.arguments) != (2 if name.startswith("co") else 1):
        raise unknown_call(node)
    values = [argument(builder, a, scope, t.FLOAT8).sql for a in node.arguments]
    return Value(aggregate(builder, node, scope, name, ", ".join(values)), t.FLOAT8)


@special("grouping")
def _grouping(builder: Builder, node: Call, scope: Scope) -> Value:
    """Which of its arguments the row is not grouped by, as bits."""
    plain_call(node)
    if not node.arguments:
        raise unknown_call(node)
    inner = ", ".join(builder.typed(a, scope).sql for a in node.arguments)
    return Value(f"CAST(grouping({inner}) AS INTEGER)", t.INT4)
