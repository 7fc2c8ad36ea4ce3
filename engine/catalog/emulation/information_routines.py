"""information_schema's routines and their parameters; importing this module enters their rows in `rows.PRODUCERS`.

They are PostgreSQL's own: whoever looks around may call them as far as `functions.FUNCTIONS` goes.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

from engine.catalog.emulation import types as t
from engine.catalog.emulation.image import OWNER, CatalogImage
from engine.catalog.emulation.information_schema import producer
from engine.catalog.emulation.names import format_type
from engine.catalog.emulation.rows import Row, static
from engine.catalog.emulation.words import words

_MODES = {"i": "IN", "o": "OUT", "b": "INOUT", "v": "IN", "t": "OUT"}

_OWNERS = words(
    "lo_export lo_import pg_backup_start pg_backup_stop pg_config pg_create_restore_point pg_current_logfile "
    "pg_get_backend_memory_contexts pg_get_shmem_allocations pg_hba_file_rules pg_ident_file_mappings "
    "pg_log_backend_memory_contexts pg_ls_archive_statusdir pg_ls_dir pg_ls_logdir pg_ls_logicalmapdir "
    "pg_ls_logicalsnapdir pg_ls_replslotdir pg_ls_tmpdir pg_ls_waldir pg_promote pg_read_binary_file pg_read_file "
    "pg_reload_conf pg_replication_origin_advance pg_replication_origin_create pg_replication_origin_drop "
    "pg_replication_origin_oid pg_replication_origin_progress pg_replication_origin_session_is_setup "
    "pg_replication_origin_session_progress pg_replication_origin_session_reset "
    "pg_replication_origin_session_setup pg_replication_origin_xact_reset pg_replication_origin_xact_setup "
    "pg_rotate_logfile pg_show_all_file_settings pg_show_replication_origin_status pg_stat_file "
    "pg_stat_have_stats pg_stat_reset pg_stat_reset_replication_slot pg_stat_reset_shared "
    "pg_stat_reset_single_function_counters pg_stat_reset_single_table_counters pg_stat_reset_slru "
    "pg_stat_reset_subscription_stats pg_switch_wal pg_wal_replay_pause pg_wal_replay_resume "
)
"""Functions that PostgreSQL 15 lets its owner alone call."""


@cache
def _routines() -> tuple[Row, ...]:
    """Functions that everyone may call."""
    return tuple(row for row in static("pg_proc") if row["proname"] not in _OWNERS)


@cache
def _languages() -> dict[str, str]:
    return {row["oid"]: row["lanname"] for row in static("pg_language")}


def _schema(row: Row) -> str:
    return "pg_catalog" if int(row["pronamespace"]) == 11 else "information_schema"


def _named(image: CatalogImage, row: Row) -> Row:
    return {
        "specific_catalog": image.database, "specific_schema": _schema(row),
        "specific_name": f"{row['proname'][:63 - len(row['oid']) - 1]}_{row['oid']}",
    }  # fmt: skip


def _type(oid: int) -> tuple[str, str, str]:
    """A type as information_schema names it, its schema and its name."""
    kind = t.types()[oid]
    if kind.element and kind.length == -1:
        return "ARRAY", kind.schema, kind.name
    shown = format_type(oid, None) or "" if kind.schema == "pg_catalog" else "USER-DEFINED"
    return shown, kind.schema, kind.name


@producer("routines")
def _all_routines(image: CatalogImage) -> Iterator[Row]:
    for row in _routines():
        shown, schema, name = _type(int(row["prorettype"]))
        language = _languages()[row["prolang"]]
        yield {
            **_named(image, row), "routine_catalog": image.database, "routine_schema": _schema(row),
            "routine_name": row["proname"],
            "routine_type": {"f": "FUNCTION", "p": "PROCEDURE"}.get(row["prokind"]),
            "data_type": shown, "type_udt_catalog": image.database, "type_udt_schema": schema, "type_udt_name": name,
            "dtd_identifier": "0", "routine_body": "SQL" if language == "sql" else "EXTERNAL",
            "external_name": row["prosrc"] if language == "c" else None, "external_language": language.upper(),
            "parameter_style": "GENERAL", "is_deterministic": "YES" if row["provolatile"] == "i" else "NO",
            "sql_data_access": "MODIFIES", "is_null_call": "YES" if row["proisstrict"] else "NO",
            "schema_level_routine": "YES", "max_dynamic_result_sets": 0,
            "security_type": "DEFINER" if row["prosecdef"] else "INVOKER", "as_locator": "NO",
            "is_udt_dependent": "NO",
        }  # fmt: skip


@producer("parameters")
def _parameters(image: CatalogImage) -> Iterator[Row]:
    for row in _routines():
        named, modes, names = _named(image, row), row["proargmodes"], row["proargnames"]
        for place, oid in enumerate(row["proallargtypes"] or row["proargtypes"]):
            shown, schema, name = _type(int(oid))
            yield {
                **named, "ordinal_position": place + 1, "parameter_mode": _MODES[modes[place]] if modes else "IN",
                "is_result": "NO", "as_locator": "NO", "parameter_name": (names[place] or None) if names else None,
                "data_type": shown, "udt_catalog": image.database, "udt_schema": schema, "udt_name": name,
                "dtd_identifier": str(place + 1),
            }  # fmt: skip


@producer("routine_privileges")
def _routine_privileges(image: CatalogImage) -> Iterator[Row]:
    for row in _routines():
        yield {
            "grantor": OWNER, "grantee": "PUBLIC", **_named(image, row), "routine_catalog": image.database,
            "routine_schema": _schema(row), "routine_name": row["proname"], "privilege_type": "EXECUTE",
            "is_grantable": "NO",
        }  # fmt: skip
