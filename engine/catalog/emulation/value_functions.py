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
from engine.catalog.emulation.values import Value, cast

if TYPE_CHECKING:
    from engine.catalog.emulation.scope import Scope


@special("coalesce", "greatest", "least")
def _coalesce(builder: Builder, node: Call, scope: Scope) -> Value:
    plain_call(node)
    if not node.arguments:
        raise unknown_call(node)
    values = builder.unify([builder.translate(a, scope) for a in node.arguments])
    return Value(f"{node.name[-1]}({', '.join(v.sql for v in values)})", values[0].type)


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
    texts = [cast(builder.typed(a, scope), t.TEXT).sql for a in node.arguments]
    return Value(f"concat({', '.join(texts)})" if texts else "''", t.TEXT)


@special("concat_ws")
def _concat_ws(builder: Builder, node: Call, scope: Scope) -> Value:
    plain_call(node)
    if len(node.arguments) < 2:
        raise unknown_call(node)
    texts = [cast(builder.typed(a, scope), t.TEXT).sql for a in node.arguments]
    return Value(f"concat_ws({', '.join(texts)})", t.TEXT)


@special("format")
def _format(builder: Builder, node: Call, scope: Scope) -> Value:
    plain_call(node)
    if not node.arguments:
        raise unknown_call(node)
    text = argument(builder, node.arguments[0], scope, t.TEXT)
    given = [cast(builder.typed(a, scope), t.TEXT).sql for a in node.arguments[1:]]
    return Value(f"hd_format({text.sql}, CAST([{', '.join(given)}] AS VARCHAR[]))", t.TEXT)


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
