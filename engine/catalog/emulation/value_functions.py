"""Functions with their own way of typing; importing this module enters them in `FUNCTIONS`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from engine.catalog.emulation import types as t
from engine.catalog.emulation.functions import (
    Builder,
    plain_call,
    special,
    unknown_call,
)
from engine.catalog.emulation.tree import Call, Literal
from engine.catalog.emulation.values import Value, cast, quoted
from governance.errors import StatementRefused

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
    if not node.arguments or not isinstance(node.arguments[0], Literal) or node.arguments[0].kind != "string":
        raise StatementRefused("format() takes a constant format in catalog queries.")
    pieces, arguments = [], list(node.arguments[1:])
    text = node.arguments[0].text
    while "%" in text:
        before, _, text = text.partition("%")
        pieces.append(quoted(before))
        kind, text = text[:1], text[1:]
        if kind == "%":
            pieces.append("'%'")
            continue
        if kind not in ("s", "I", "L") or not kind or not arguments:
            raise StatementRefused("format() takes %s, %I and %L in catalog queries.")
        value = cast(builder.typed(arguments.pop(0), scope), t.TEXT).sql
        pieces.append(
            {
                "s": f"coalesce({value}, '')",
                "I": f"hd_quote_ident({value})",
                "L": f"coalesce(hd_quote_literal({value}), 'NULL')",
            }[kind]
        )
    return Value("(" + " || ".join([*pieces, quoted(text)]) + ")", t.TEXT)


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
    if len(values) != (2 if name == "mod" else 1) or any(v.type not in t.NUMBERS for v in values):
        raise unknown_call(node)
    kind = max((v.type for v in values), key=t.PROMOTION.index)
    if name in ("round", "trunc") and kind in t.INTEGERS:
        kind = t.FLOAT8
    text = f"{name}({', '.join(v.sql for v in values)})"
    return Value(text if kind == t.NUMERIC else f"CAST({text} AS {t.duck(kind)})", kind)


@special("json_build_object", "jsonb_build_object")
def _json_build_object(builder: Builder, node: Call, scope: Scope) -> Value:
    plain_call(node)
    if len(node.arguments) % 2:
        raise unknown_call(node)
    texts = [builder.typed(a, scope).sql for a in node.arguments]
    return Value(f"CAST(json_object({', '.join(texts)}) AS VARCHAR)", t.JSON)
