"""Functions with their own way of typing; importing this module enters them in `FUNCTIONS`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from engine.catalog.emulation import types as t
from engine.catalog.emulation.functions import (
    Builder,
    argument,
    plain_call,
    special,
    unknown_call,
)
from engine.catalog.emulation.tree import Call
from engine.catalog.emulation.values import Value, cast, flat, like, printed, settle

if TYPE_CHECKING:
    from engine.catalog.emulation.scope import Scope


@special("coalesce", "greatest", "least")
def _coalesce(builder: Builder, node: Call, scope: Scope) -> Value:
    plain_call(node)
    if not node.arguments:
        raise unknown_call(node)
    values = builder.unify([builder.translate(a, scope) for a in node.arguments])
    return like(values, f"{node.name[-1]}({', '.join(v.sql for v in values)})")


@special("nullif")
def _nullif(builder: Builder, node: Call, scope: Scope) -> Value:
    plain_call(node)
    if len(node.arguments) != 2:
        raise unknown_call(node)
    first = builder.typed(node.arguments[0], scope)
    test = builder.compare("=", first, builder.translate(node.arguments[1], scope))
    return replace(first, sql=f"(CASE WHEN {test} THEN NULL ELSE {first.sql} END)")


@special("concat")
def _concat(builder: Builder, node: Call, scope: Scope) -> Value:
    plain_call(node)
    if node.variadic:
        return Value(f"coalesce(list_aggregate({_spread(builder, node, scope)}, 'string_agg', ''), '')", t.TEXT)
    texts = [cast(builder.typed(a, scope), t.TEXT).sql for a in node.arguments]
    return Value(f"concat({', '.join(texts)})" if texts else "''", t.TEXT)


def _spread(builder: Builder, node: Call, scope: Scope) -> str:
    """The arguments but the first as a DuckDB list of texts; the last may be an array of them."""
    first = 0 if node.name[-1] == "concat" else 1
    given = node.arguments[first:-1] if node.variadic else node.arguments[first:]
    plain = f"CAST([{', '.join(cast(builder.typed(a, scope), t.TEXT).sql for a in given)}] AS VARCHAR[])"
    if not node.variadic:
        return plain
    array = flat(settle(builder.translate(node.arguments[-1], scope), t.TEXT_ARRAY, builder.parameters))
    if t.element_of(array.type) is None:
        raise unknown_call(node)
    return f"list_concat({plain}, list_transform({array.sql}, lambda e: {printed(array.element('e'))}))"


@special("concat_ws")
def _concat_ws(builder: Builder, node: Call, scope: Scope) -> Value:
    plain_call(node)
    if len(node.arguments) < 2:
        raise unknown_call(node)
    separator = argument(builder, node.arguments[0], scope, t.TEXT)
    return Value(f"hd_array_join({_spread(builder, node, scope)}, {separator.sql}, CAST(NULL AS VARCHAR))", t.TEXT)


@special("format")
def _format(builder: Builder, node: Call, scope: Scope) -> Value:
    plain_call(node)
    if not node.arguments:
        raise unknown_call(node)
    text = argument(builder, node.arguments[0], scope, t.TEXT)
    return Value(f"hd_format({text.sql}, {_spread(builder, node, scope)})", t.TEXT)


@special("num_nulls", "num_nonnulls")
def _num_nulls(builder: Builder, node: Call, scope: Scope) -> Value:
    plain_call(node)
    if not node.arguments:
        raise unknown_call(node)
    test = "IS NULL" if node.name[-1] == "num_nulls" else "IS NOT NULL"
    if node.variadic:
        array = settle(builder.translate(node.arguments[-1], scope), t.TEXT_ARRAY, builder.parameters)
        return Value(f"CAST(len(list_filter({array.sql}, lambda e: e {test})) AS INTEGER)", t.INT4)
    counted = (f"CAST({builder.typed(a, scope).sql} {test} AS INTEGER)" for a in node.arguments)
    return Value(f"({' + '.join(counted)})", t.INT4)


@special("substring")
def _substring(builder: Builder, node: Call, scope: Scope) -> Value:
    """By place and length, or by pattern: what the second argument is decides."""
    plain_call(node)
    if not 2 <= len(node.arguments) <= 3:
        raise unknown_call(node)
    text = argument(builder, node.arguments[0], scope, t.TEXT)
    second = builder.translate(node.arguments[1], scope)
    if len(node.arguments) == 2 and (second.literal is not None or t.is_text(second.type)):
        pattern = argument(builder, node.arguments[1], scope, t.TEXT)
        return Value(f"hd_regexp_substring({text.sql}, {pattern.sql})", t.TEXT)
    places = [argument(builder, a, scope, t.INT4).sql for a in node.arguments[1:]]
    return Value(f"hd_pg_substr({text.sql}, {', '.join([*places, 'CAST(NULL AS INTEGER)'][:2])})", t.TEXT)


@special("overlay")
def _overlay(builder: Builder, node: Call, scope: Scope) -> Value:
    plain_call(node)
    if not 3 <= len(node.arguments) <= 4:
        raise unknown_call(node)
    text, new = (argument(builder, a, scope, t.TEXT).sql for a in node.arguments[:2])
    start = argument(builder, node.arguments[2], scope, t.INT4).sql
    length = argument(builder, node.arguments[3], scope, t.INT4).sql if len(node.arguments) > 3 else f"length({new})"
    return Value(f"(left({text}, {start} - 1) || {new} || substr({text}, {start} + {length}))", t.TEXT)


@special("pg_typeof")
def _pg_typeof(builder: Builder, node: Call, scope: Scope) -> Value:
    plain_call(node)
    if len(node.arguments) != 1:
        raise unknown_call(node)
    value = builder.translate(node.arguments[0], scope)
    return Value(f"CAST({t.UNKNOWN if value.untyped else value.type} AS BIGINT)", t.REGTYPE)


@special("abs", "round", "trunc", "sign", "mod")
def _numbers(builder: Builder, node: Call, scope: Scope) -> Value:
    plain_call(node)
    name = node.name[-1]
    values = [builder.typed(a, scope, t.INT4) for a in node.arguments]
    if name in ("round", "trunc") and len(values) == 2 and {v.type for v in values} <= t.NUMBERS:
        number, digits = cast(values[0], t.NUMERIC), cast(values[1], t.INT4)
        return Value(f"CAST({name}({number.sql}, {digits.sql}) AS {t.duck(t.NUMERIC)})", t.NUMERIC)
    if len(values) != (2 if name == "mod" else 1) or any(v.type not in t.NUMBERS for v in values):
        raise unknown_call(node)
    kind = max((v.type for v in values), key=t.PROMOTION.index)
    if name in ("round", "trunc") and kind in t.INTEGERS:
        kind = t.FLOAT8
    text = f"{name}({', '.join(v.sql for v in values)})"
    return Value(text if kind == t.NUMERIC else f"CAST({text} AS {t.duck(kind)})", kind)
