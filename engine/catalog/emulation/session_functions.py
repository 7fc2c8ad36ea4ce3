"""Functions that tell or change the session; importing this module enters them in `FUNCTIONS`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.catalog.emulation import types as t
from engine.catalog.emulation.functions import (
    FUNCTIONS,
    Builder,
    Handler,
    SettingWrite,
    argument,
    plain_call,
    special,
    unknown_call,
)
from engine.catalog.emulation.tree import Call, Literal, Parameter
from engine.catalog.emulation.values import Value
from governance.errors import StatementRefused

if TYPE_CHECKING:
    from engine.catalog.emulation.scope import Scope


def _session(slot: str, kind: int) -> Handler:
    def handler(builder: Builder, node: Call, _: Scope) -> Value:
        plain_call(node)
        if node.arguments:
            raise unknown_call(node)
        return Value(f"CAST({builder.slot(slot)} AS {t.duck(kind)})", kind)

    return handler


for _name, _slot, _kind in (
    ("current_user", "user", t.NAME),
    ("session_user", "user", t.NAME),
    ("user", "user", t.NAME),
    ("current_role", "user", t.NAME),
    ("current_database", "database", t.NAME),
    ("current_catalog", "database", t.NAME),
    ("current_schema", "schema", t.NAME),
    ("version", "version", t.TEXT),
    ("pg_backend_pid", "backend_pid", t.INT4),
    ("pg_postmaster_start_time", "started", t.TIMESTAMPTZ),
):
    FUNCTIONS[_name] = _session(_slot, _kind)


@special("pg_table_is_visible", "pg_type_is_visible")
def _is_visible(builder: Builder, node: Call, scope: Scope) -> Value:
    plain_call(node)
    if len(node.arguments) != 1:
        raise unknown_call(node)
    value = argument(builder, node.arguments[0], scope, t.OID)
    return Value(f"hd_{node.name[-1]}({value.sql}, CAST({builder.slot('schema')} AS VARCHAR))", t.BOOL)


@special("current_schemas")
def _current_schemas(builder: Builder, node: Call, scope: Scope) -> Value:
    plain_call(node)
    if len(node.arguments) != 1:
        raise unknown_call(node)
    implicit = builder.typed(node.arguments[0], scope, t.BOOL)
    path = f"list_filter([CAST({builder.slot('schema')} AS VARCHAR)], lambda p: p IS NOT NULL)"
    return Value(f"(CASE WHEN {implicit.sql} THEN list_concat(['pg_catalog'], {path}) ELSE {path} END)", t.NAME_ARRAY)


@special("pg_cancel_backend", "pg_terminate_backend")
def _signal(builder: Builder, node: Call, scope: Scope) -> Value:
    """To a session of the same key; what is asked is carried out by the session, who alone knows the others."""
    plain_call(node)
    cancel = node.name[-1] == "pg_cancel_backend"
    if not 1 <= len(node.arguments) <= (1 if cancel else 2):
        raise unknown_call(node)
    pid = argument(builder, node.arguments[0], scope, t.INT4).sql
    wait = argument(builder, node.arguments[1], scope, t.INT8).sql if len(node.arguments) == 2 else "0"
    builder.signaling = True
    own = f"CAST({builder.slot('peer_pid')} AS BIGINT[])"
    return Value(f"hd_signal('{'cancel' if cancel else 'terminate'}', {pid}, {wait}, {own})", t.BOOL)


def settings_map(builder: Builder) -> str:
    """The session's settings as a DuckDB map."""
    names, values = builder.slot("setting_names"), builder.slot("setting_values")
    return f"map(CAST({names} AS VARCHAR[]), CAST({values} AS VARCHAR[]))"


@special("current_setting")
def _current_setting(builder: Builder, node: Call, scope: Scope) -> Value:
    plain_call(node)
    if not 1 <= len(node.arguments) <= 2:
        raise unknown_call(node)
    name = builder.typed(node.arguments[0], scope)
    missing = builder.typed(node.arguments[1], scope, t.BOOL).sql if len(node.arguments) == 2 else "FALSE"
    held = f"map_extract_value({settings_map(builder)}, lower({name.sql}))"
    return Value(f"hd_setting_or_refuse(coalesce({held}, hd_default_setting({name.sql})), {missing})", t.TEXT)


@special("set_config")
def _set_config(builder: Builder, node: Call, scope: Scope) -> Value:
    plain_call(node)
    if len(node.arguments) != 3:
        raise unknown_call(node)
    name, value, local = node.arguments
    text = builder.typed(value, scope)
    fixed = isinstance(name, Literal) and name.kind == "string" and isinstance(local, Literal)
    untyped = builder.translate(value, scope)
    if not (isinstance(name, Literal) and isinstance(local, Literal) and fixed) or scope.sources or scope.parent:
        return Value(f"hd_refuse_set_config({builder.typed(name, scope).sql}, {text.sql})", t.TEXT)
    if isinstance(value, Parameter):
        wanted: str | int | None = value.number
    elif untyped.literal is not None or untyped.null:
        wanted = untyped.literal
    else:
        raise StatementRefused("set_config takes a constant or a parameter.")
    builder.setting_writes.append(SettingWrite(name.text.lower(), wanted, local.text in ("true", "t", "on", "1")))
    return Value(text.sql, t.TEXT)
