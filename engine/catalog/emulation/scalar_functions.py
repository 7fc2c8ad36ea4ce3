"""Scalar functions that are a piece of DuckDB text each; importing this module enters them in `FUNCTIONS`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.catalog.emulation import types as t
from engine.catalog.emulation.functions import (
    ANY,
    FUNCTIONS,
    Builder,
    Handler,
    plain_call,
    register,
    unknown_call,
)
from engine.catalog.emulation.tree import Call
from engine.catalog.emulation.values import Value, cast, quoted, settle

if TYPE_CHECKING:
    from engine.catalog.emulation.scope import Scope

_NULL_TEXT = "CAST(NULL AS VARCHAR)"


def _constants() -> None:
    """Functions that answer the same for every catalog of ours, given arguments or not."""
    for name, kinds, least in (
        ("pg_get_expr", (t.TEXT, t.OID, t.BOOL), 2),
        ("obj_description", (t.OID, t.NAME), 1),
        ("shobj_description", (t.OID, t.NAME), 2),
        ("col_description", (t.OID, t.INT4), 2),
        ("pg_get_indexdef", (t.OID, t.INT4, t.BOOL), 1),
        ("pg_get_constraintdef", (t.OID, t.BOOL), 1),
        ("pg_get_triggerdef", (t.OID, t.BOOL), 1),
        ("pg_get_ruledef", (t.OID, t.BOOL), 1),
        ("pg_get_functiondef", (t.OID,), 1),
        ("pg_get_function_sqlbody", (t.OID,), 1),
        ("pg_get_function_arg_default", (t.OID, t.INT4), 2),
        ("pg_get_statisticsobjdef", (t.OID,), 1),
        ("pg_get_statisticsobjdef_columns", (t.OID,), 1),
        ("pg_get_statisticsobjdef_expressions", (t.OID,), 1),
        ("pg_get_partkeydef", (t.OID,), 1),
        ("pg_get_partition_constraintdef", (t.OID,), 1),
        ("pg_get_serial_sequence", (t.TEXT, t.TEXT), 2),
        ("pg_sequence_last_value", (t.OID,), 1),
        ("pg_relation_filepath", (t.REGCLASS,), 1),
    ):
        # The arguments stay in the text: a set-returning or unknown one must still be found out.
        terms = " OR ".join(f"{{{i}}} IS NULL" for i in range(least))
        template = f"(CASE WHEN ({terms}) THEN {_NULL_TEXT} ELSE {_NULL_TEXT} END)"
        register(name, kinds, t.TEXT, template, least=least, fills=tuple("NULL" for _ in kinds[least:]))
    for name, result, text in (
        ("pg_is_in_recovery", t.BOOL, "FALSE"),
        ("pg_is_wal_replay_paused", t.BOOL, "FALSE"),
        ("pg_jit_available", t.BOOL, "FALSE"),
        ("pg_my_temp_schema", t.OID, "CAST(0 AS BIGINT)"),
        ("txid_current", t.INT8, "CAST(1000 AS BIGINT)"),
        ("txid_current_if_assigned", t.INT8, "CAST(NULL AS BIGINT)"),
        ("pg_current_xact_id_if_assigned", t.INT8, "CAST(NULL AS BIGINT)"),
        ("pg_client_encoding", t.NAME, "'UTF8'"),
        ("getdatabaseencoding", t.NAME, "'UTF8'"),
        ("inet_server_addr", t.TEXT, _NULL_TEXT),
        ("inet_server_port", t.INT4, "CAST(NULL AS INTEGER)"),
        ("inet_client_addr", t.TEXT, _NULL_TEXT),
        ("inet_client_port", t.INT4, "CAST(NULL AS INTEGER)"),
        ("pg_advisory_unlock_all", t.VOID, "''"),
        ("pg_trigger_depth", t.INT4, "CAST(0 AS INTEGER)"),
        ("pg_conf_load_time", t.TIMESTAMPTZ, "now()"),
    ):
        register(name, (), result, text)
    for name in ("pg_table_size", "pg_total_relation_size", "pg_indexes_size"):
        register(
            name, (t.REGCLASS,), t.INT8, "(CASE WHEN {0} IS NULL THEN CAST(NULL AS BIGINT) ELSE CAST(0 AS BIGINT) END)"
        )
    register(
        "pg_relation_size",
        (t.REGCLASS, t.TEXT),
        t.INT8,
        "(CASE WHEN {0} IS NULL OR {1} IS NULL THEN NULL ELSE CAST(0 AS BIGINT) END)",
        least=1,
        fills=("''",),
    )
    register("pg_database_size", (ANY,), t.INT8, "(CASE WHEN {0} IS NULL THEN NULL ELSE CAST(0 AS BIGINT) END)")
    register("pg_tablespace_size", (ANY,), t.INT8, "(CASE WHEN {0} IS NULL THEN NULL ELSE CAST(0 AS BIGINT) END)")
    register("pg_tablespace_location", (t.OID,), t.TEXT, "(CASE WHEN {0} IS NULL THEN NULL ELSE '' END)")
    register(
        "pg_relation_filenode", (t.REGCLASS,), t.OID, "(CASE WHEN {0} IS NULL THEN NULL ELSE CAST(NULL AS BIGINT) END)"
    )
    register("pg_is_other_temp_schema", (t.OID,), t.BOOL, "({0} IS NULL AND NULL)")
    register("pg_relation_is_publishable", (t.REGCLASS,), t.BOOL, "({0} IS NULL AND NULL)")
    register(
        "pg_relation_is_updatable",
        (t.REGCLASS, t.BOOL),
        t.INT4,
        "(CASE WHEN {0} IS NULL OR {1} IS NULL THEN NULL ELSE CAST(0 AS INTEGER) END)",
    )
    register("row_security_active", (ANY,), t.BOOL, "({0} IS NULL AND NULL)")
    register("acldefault", (t.CHAR, t.OID), t.ACLITEM_ARRAY, "hd_acldefault({0}, {1})")
    register(
        "pg_encoding_to_char", (t.INT4,), t.NAME, "(CASE {0} WHEN 6 THEN 'UTF8' WHEN 0 THEN 'SQL_ASCII' ELSE '' END)"
    )
    register(
        "pg_char_to_encoding",
        (t.NAME,),
        t.INT4,
        "(CASE WHEN upper(replace({0}, '-', '')) IN ('UTF8', 'UNICODE') THEN 6 ELSE -1 END)",
    )
    for name in (
        "pg_function_is_visible",
        "pg_collation_is_visible",
        "pg_opclass_is_visible",
        "pg_opfamily_is_visible",
        "pg_operator_is_visible",
        "pg_conversion_is_visible",
        "pg_ts_config_is_visible",
        "pg_ts_dict_is_visible",
        "pg_ts_parser_is_visible",
        "pg_ts_template_is_visible",
        "pg_statistics_obj_is_visible",
    ):
        register(name, (t.OID,), t.BOOL, "(CASE WHEN {0} IS NULL THEN CAST(NULL AS BOOLEAN) ELSE TRUE END)")


def _catalog_backed() -> None:
    """Functions that ask the catalog."""
    register("pg_sleep", (t.FLOAT8,), t.VOID, "hd_pg_sleep({0})")
    register("format_type", (t.OID, t.INT4), t.TEXT, "hd_format_type({0}, {1})")
    register("pg_get_userbyid", (t.OID,), t.NAME, "hd_pg_get_userbyid({0})")
    register(
        "pg_get_viewdef", (t.REGCLASS, ANY), t.TEXT, "hd_pg_get_viewdef({0}, {1} IS NULL)", least=1, fills=("TRUE",)
    )
    register("pg_get_function_result", (t.OID,), t.TEXT, "hd_pg_get_function_result({0})")
    register("pg_get_function_arguments", (t.OID,), t.TEXT, "hd_pg_get_function_arguments({0})")
    register("pg_get_function_identity_arguments", (t.OID,), t.TEXT, "hd_pg_get_function_arguments({0})")
    for kind, oid in (
        ("regclass", t.REGCLASS),
        ("regtype", t.REGTYPE),
        ("regproc", t.REGPROC),
        ("regnamespace", t.REGNAMESPACE),
        ("regrole", t.REGROLE),
    ):
        register("to_" + kind, (t.TEXT,), oid, f"hd_to_{kind}({{0}})")


def _texts() -> None:
    """Text, number and array functions that DuckDB has too."""
    text, int4, int8 = t.TEXT, t.INT4, t.INT8
    for name in ("lower", "upper", "reverse", "md5"):
        register(name, (text,), text, name + "({0})")
    register("quote_ident", (text,), text, "hd_quote_ident({0})")
    register("quote_literal", (ANY,), text, "hd_quote_literal(CAST({0} AS VARCHAR))")
    register("quote_nullable", (ANY,), text, "coalesce(hd_quote_literal(CAST({0} AS VARCHAR)), 'NULL')")
    for name in ("length", "char_length", "character_length"):
        register(name, (text,), int4, "CAST(length({0}) AS INTEGER)")
    register("octet_length", (text,), int4, "CAST(strlen({0}) AS INTEGER)")
    register("strpos", (text, text), int4, "CAST(instr({0}, {1}) AS INTEGER)")
    register("position", (text, text), int4, "CAST(instr({0}, {1}) AS INTEGER)")
    register("starts_with", (text, text), t.BOOL, "starts_with({0}, {1})")
    register("left", (text, int4), text, "left({0}, {1})")
    register("right", (text, int4), text, "right({0}, {1})")
    register("replace", (text, text, text), text, "replace({0}, {1}, {2})")
    register("split_part", (text, text, int4), text, "split_part({0}, {1}, {2})")
    register("translate", (text, text, text), text, "translate({0}, {1}, {2})")
    register("ascii", (text,), int4, "ascii({0})")
    register(
        "regexp_replace", (text, text, text, text), text, "regexp_replace({0}, {1}, {2}, {3})", least=3, fills=("''",)
    )
    register(
        "string_to_array", (text, text, text), t.TEXT_ARRAY, "hd_string_to_array({0}, {1}, {2})",
        least=2, fills=(_NULL_TEXT,),
    )  # fmt: skip
    for name, result in (("regexp_match", t.TEXT_ARRAY), ("regexp_split_to_array", t.TEXT_ARRAY)):
        call = "hd_regexp_split" if result == t.TEXT_ARRAY and "split" in name else "hd_regexp_match"
        register(name, (text, text, text), result, call + "({0}, {1}, {2})", least=2, fills=("''",))
    register("parse_ident", (text, t.BOOL), t.TEXT_ARRAY, "hd_parse_ident({0}, {1})", least=1, fills=("TRUE",))
    register("pg_size_pretty", (int8,), text, "hd_pg_size_pretty({0})")
    register(
        "substr", (text, int4, int4), text, "hd_pg_substr({0}, {1}, {2})", least=2, fills=("CAST(NULL AS INTEGER)",)
    )
    for name in ("btrim", "ltrim", "rtrim"):
        register(name, (text, text), text, {"btrim": "trim"}.get(name, name) + "({0}, {1})", least=1, fills=("' '",))
    for name in ("floor", "ceil", "ceiling", "sqrt", "ln", "exp"):
        register(name, (t.FLOAT8,), t.FLOAT8, name + "({0})")
    register("_pg_truetypid", (t.OID,), t.OID, "{0}")


def _privileges() -> None:
    """has_*_privilege: reading is granted on what is visible, nothing else is."""
    readable = {
        "has_table_privilege": (t.REGCLASS, "SELECT"),
        "has_any_column_privilege": (t.REGCLASS, "SELECT"),
        "has_schema_privilege": (t.REGNAMESPACE, "USAGE"),
        "has_database_privilege": (ANY, "CONNECT"),
        "has_function_privilege": (ANY, "EXECUTE"),
        "has_type_privilege": (t.REGTYPE, "USAGE"),
        "has_language_privilege": (ANY, "USAGE"),
        "has_sequence_privilege": (t.REGCLASS, "SELECT"),
        "has_tablespace_privilege": (ANY, ""),
        "has_server_privilege": (ANY, ""),
        "has_foreign_data_wrapper_privilege": (ANY, ""),
    }
    for name, (kind, privilege) in readable.items():
        FUNCTIONS[name] = _privilege(kind, privilege, 1)
    FUNCTIONS["has_column_privilege"] = _privilege(t.REGCLASS, "SELECT", 2)
    FUNCTIONS["pg_has_role"] = _privilege(ANY, "USAGE|MEMBER", 1)


def _privilege(kind: int, granted: str, objects: int) -> Handler:
    pattern = quoted(rf"(?i)(^|,)\s*({granted})\s*(,|$)") if granted else quoted(r"$^x")

    def handler(builder: Builder, node: Call, scope: Scope) -> Value:
        plain_call(node)
        given = list(node.arguments)
        if len(given) == objects + 2:
            builder.typed(given.pop(0), scope)
        if len(given) != objects + 1:
            raise unknown_call(node)
        first = settle(builder.translate(given[0], scope), kind or t.TEXT, builder.parameters)
        if kind and t.is_text(first.type):
            first = cast(first, kind)
        rest = [builder.typed(a, scope) for a in given[1:]]
        test = f"regexp_matches({rest[-1].sql}, {pattern})"
        return Value(f"(CASE WHEN {first.sql} IS NOT NULL THEN {test} END)", t.BOOL)

    return handler


_constants()
_catalog_backed()
_texts()
_privileges()
