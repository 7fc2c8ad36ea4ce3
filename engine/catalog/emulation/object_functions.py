"""Functions that describe objects of any kind, or ask for properties of indexes; importing this module enters them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.catalog.emulation import types as t
from engine.catalog.emulation.functions import Builder, argument, plain_call, register, special, unknown_call
from engine.catalog.emulation.tree import Call
from engine.catalog.emulation.values import Field, Value

if TYPE_CHECKING:
    from engine.catalog.emulation.scope import Scope

_IDENTITY = tuple(Field(name, t.TEXT) for name in ("type", "schema", "name", "identity"))
_ADDRESS = (Field("type", t.TEXT), Field("object_names", t.TEXT_ARRAY), Field("object_args", t.TEXT_ARRAY))


@special("pg_identify_object", "pg_identify_object_as_address")
def _identify(builder: Builder, node: Call, scope: Scope) -> Value:
    plain_call(node)
    if len(node.arguments) != 3:
        raise unknown_call(node)
    kinds = (t.OID, t.OID, t.INT4)
    given = ", ".join(argument(builder, a, scope, k).sql for a, k in zip(node.arguments, kinds, strict=True))
    address = node.name[-1].endswith("address")
    return Value(f"hd_{node.name[-1]}({given})", t.RECORD, fields=_ADDRESS if address else _IDENTITY)


def _enter() -> None:
    register("pg_describe_object", (t.OID, t.OID, t.INT4), t.TEXT, "hd_pg_describe_object({0}, {1}, {2})")
    register("pg_index_column_has_property", (t.REGCLASS, t.INT4, t.TEXT), t.BOOL, "hd_index_column_is({0}, {1}, {2})")
    register("pg_index_has_property", (t.REGCLASS, t.TEXT), t.BOOL, "hd_index_is({0}, {1})")
    register("pg_indexam_has_property", (t.OID, t.TEXT), t.BOOL, "hd_access_method_is({0}, {1})")
    nothing = "(CASE WHEN {0} IS NULL THEN NULL ELSE CAST(NULL AS %s) END)"
    register("pg_partition_root", (t.REGCLASS,), t.REGCLASS, nothing % "BIGINT")
    register("pg_get_replica_identity_index", (t.REGCLASS,), t.REGCLASS, nothing % "BIGINT")
    for name in ("pg_collation_actual_version", "pg_database_collation_actual_version", "pg_xact_status"):
        register(name, (t.OID,), t.TEXT, nothing % "VARCHAR")
    register("pg_column_compression", (0,), t.TEXT, nothing % "VARCHAR")
    register("pg_collation_for", (0,), t.TEXT, "(CASE WHEN {0} IS NULL THEN NULL ELSE '\"default\"' END)")
    register("pg_settings_get_flags", (t.TEXT,), t.TEXT_ARRAY, nothing % "VARCHAR[]")
    register("pg_safe_snapshot_blocking_pids", (t.INT4,), t.INT4_ARRAY, "CAST([] AS INTEGER[])")
    register("pg_encoding_max_length", (t.INT4,), t.INT4, "(CASE WHEN {0} = 6 THEN 4 ELSE 1 END)")
    for name, kind, text in (
        ("pg_current_xact_id", t.XID8, "'1000'"),
        ("pg_current_snapshot", t.PG_SNAPSHOT, "'1000:1000:'"),
        ("txid_current_snapshot", t.TXID_SNAPSHOT, "'1000:1000:'"),
    ):
        register(name, (), kind, text)
    for name, kind in (("regprocedure", t.REGPROCEDURE), ("regoper", t.REGOPER), ("regoperator", t.REGOPERATOR)):
        register("to_" + name, (t.TEXT,), kind, f"hd_to_{name}({{0}})")
    register("to_regcollation", (t.TEXT,), t.REGCOLLATION, "hd_to_regcollation({0})")


_enter()
