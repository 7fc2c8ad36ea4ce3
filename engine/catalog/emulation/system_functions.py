"""Functions that tell of the system and its objects; importing this module enters them in `FUNCTIONS`."""

from __future__ import annotations

from engine.catalog.emulation import types as t
from engine.catalog.emulation.functions import (
    ANY,
    FUNCTIONS,
    register,
)
from engine.catalog.emulation.image import FIRST_OID, OWNER, OWNER_OID
from engine.catalog.emulation.names import format_type
from engine.catalog.emulation.rows import static
from engine.catalog.emulation.values import quoted

_NULL_TEXT = "CAST(NULL AS VARCHAR)"
_USUAL = (t.INT8, t.INT4, t.INT2, t.TEXT, t.BOOL, t.DATE, t.FLOAT8, t.FLOAT4, t.UUID, t.JSON, t.NAME, t.OID, t.BYTEA)
"""Types that are shown alike whatever their modifier."""
_ENCODINGS = str(
    [
        "SQL_ASCII",
        "EUC_JP",
        "EUC_CN",
        "EUC_KR",
        "EUC_TW",
        "EUC_JIS_2004",
        "UTF8",
        "MULE_INTERNAL",
        "LATIN1",
        "LATIN2",
        "LATIN3",
        "LATIN4",
        "LATIN5",
        "LATIN6",
        "LATIN7",
        "LATIN8",
        "LATIN9",
        "LATIN10",
        "WIN1256",
        "WIN1258",
        "WIN866",
        "WIN874",
        "KOI8R",
        "WIN1251",
        "WIN1252",
        "ISO_8859_5",
        "ISO_8859_6",
        "ISO_8859_7",
        "ISO_8859_8",
        "WIN1250",
        "WIN1253",
        "WIN1254",
        "WIN1255",
        "WIN1257",
        "KOI8U",
        "SJIS",
        "BIG5",
        "GBK",
        "UHC",
        "GB18030",
        "JOHAB",
        "SHIFT_JIS_2004",
    ]
)
"""PostgreSQL's encodings by number, as a DuckDB list."""


def _constants() -> None:
    """Functions that answer the same for every catalog of ours, given arguments or not."""
    for name, kinds, least in (
        ("pg_get_expr", (t.TEXT, t.OID, t.BOOL), 2),
        ("shobj_description", (t.OID, t.NAME), 2),
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
        ("inet_server_addr", t.INET, _NULL_TEXT),
        ("inet_server_port", t.INT4, "CAST(NULL AS INTEGER)"),
        ("inet_client_addr", t.INET, _NULL_TEXT),
        ("inet_client_port", t.INT4, "CAST(NULL AS INTEGER)"),
        ("pg_advisory_unlock_all", t.VOID, "''"),
        ("pg_trigger_depth", t.INT4, "CAST(0 AS INTEGER)"),
        ("pg_conf_load_time", t.TIMESTAMPTZ, "now()"),
        ("pg_last_xact_replay_timestamp", t.TIMESTAMPTZ, "CAST(NULL AS TIMESTAMP WITH TIME ZONE)"),
        ("pg_last_wal_receive_lsn", t.PG_LSN, _NULL_TEXT),
        ("pg_last_wal_replay_lsn", t.PG_LSN, _NULL_TEXT),
        ("pg_current_wal_lsn", t.PG_LSN, "'0/0'"),
        ("pg_current_wal_insert_lsn", t.PG_LSN, "'0/0'"),
        ("current_query", t.TEXT, _NULL_TEXT),
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
    register("pg_encoding_to_char", (t.INT4,), t.NAME, f"coalesce(({_ENCODINGS})[{{0}} + 1], '')")
    register(
        "pg_char_to_encoding", (t.NAME,), t.INT4,
        f"CAST(coalesce(list_position({_ENCODINGS}, CASE upper(replace({{0}}, '-', '')) WHEN 'UNICODE' THEN 'UTF8' "
        "ELSE upper(replace({0}, '-', '')) END), 0) - 1 AS INTEGER)",
    )  # fmt: skip
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
    # A call of ours for each row takes 34 us, so what most rows ask is answered without one.
    usual = " ".join(f"WHEN {oid} THEN {quoted(format_type(oid, None) or '')}" for oid in _USUAL)
    register("format_type", (t.OID, t.INT4), t.TEXT, f"(CASE {{0}} {usual} ELSE hd_format_type({{0}}, {{1}}) END)")
    register(
        "pg_get_userbyid", (t.OID,), t.NAME,
        f"(CASE WHEN {{0}} = {OWNER_OID} THEN {quoted(OWNER)} ELSE hd_pg_get_userbyid({{0}}) END)",
    )  # fmt: skip
    register(
        "pg_get_viewdef", (t.REGCLASS, ANY), t.TEXT, "hd_pg_get_viewdef({0}, {1} IS NULL)", least=1, fills=("TRUE",)
    )
    register("pg_get_function_result", (t.OID,), t.TEXT, "hd_pg_get_function_result({0})")
    register("pg_get_function_arguments", (t.OID,), t.TEXT, "hd_pg_get_function_arguments({0})")
    register("pg_get_function_identity_arguments", (t.OID,), t.TEXT, "hd_pg_get_function_identity_arguments({0})")
    told = f"(CASE WHEN {{0}} < {FIRST_OID} THEN hd_description({{0}}, %s) END)"
    register("obj_description", (t.OID, t.NAME), t.TEXT, told % "{1}, 0", least=1, fills=("NULL",))
    register("col_description", (t.OID, t.INT4), t.TEXT, told % "'pg_class', {1}")
    register("pg_get_constraintdef", (t.OID, t.BOOL), t.TEXT, "hd_constraint({0}, {1})", least=1, fills=("FALSE",))
    register(
        "pg_get_indexdef", (t.OID, t.INT4, t.BOOL), t.TEXT, "hd_index({0}, {1}, {2})", least=1, fills=("0", "FALSE")
    )
    register("oidvectortypes", (t.OIDVECTOR,), t.TEXT, "hd_oidvectortypes({0})")
    register(
        "pg_blocking_pids", (t.INT4,), t.INT4_ARRAY, "(CASE WHEN {0} IS NULL THEN NULL ELSE CAST([] AS INTEGER[]) END)"
    )
    register("mxid_age", (t.XID,), t.INT4, "(CASE WHEN {0} IS NULL THEN NULL ELSE CAST(0 AS INTEGER) END)")
    register(
        "pg_column_is_updatable",
        (t.REGCLASS, t.INT2, t.BOOL),
        t.BOOL,
        "({0} IS NULL AND {1} IS NULL AND {2} IS NULL AND NULL)",
    )
    register(
        "pg_wal_lsn_diff",
        (t.PG_LSN, t.PG_LSN),
        t.NUMERIC,
        "(CASE WHEN {0} IS NULL OR {1} IS NULL THEN NULL ELSE CAST(0 AS DECIMAL(38,9)) END)",
    )
    register("pg_column_size", (ANY,), t.INT4, "CAST(strlen(CAST({0} AS VARCHAR)) + 1 AS INTEGER)")
    register("host", (t.INET,), t.TEXT, "split_part({0}, '/', 1)")
    register("gen_random_uuid", (), t.UUID, "gen_random_uuid()")


def _counters() -> None:
    """`pg_stat_get_*`: nothing is counted, for figures of a table would tell of hidden rows."""
    for row in static("pg_proc"):
        name, result = row["proname"], int(row["prorettype"])
        kinds = [int(kind) for kind in row["proargtypes"]]
        if not name.startswith("pg_stat_get_") or row["proretset"] or result == t.RECORD or name in FUNCTIONS:
            continue
        missing = " OR ".join(f"{{{place}}} IS NULL" for place in range(len(kinds))) or "FALSE"
        nothing = "0" if result in t.NUMBERS else "NULL"
        register(
            name, tuple(kinds), result, f"(CASE WHEN {missing} THEN NULL ELSE CAST({nothing} AS {t.duck(result)}) END)"
        )
    for kind, oid in (
        ("regclass", t.REGCLASS),
        ("regtype", t.REGTYPE),
        ("regproc", t.REGPROC),
        ("regnamespace", t.REGNAMESPACE),
        ("regrole", t.REGROLE),
    ):
        register("to_" + kind, (t.TEXT,), oid, f"hd_to_{kind}({{0}})")


_constants()
_catalog_backed()
_counters()
