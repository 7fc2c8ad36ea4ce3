"""Relations of pg_catalog that tell of the session itself: their text instead of a table's, filled when it runs.

A session sees itself and no other; of settings it sees its own values.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.catalog.emulation import types as t
from engine.catalog.emulation.session_functions import settings_map
from engine.catalog.emulation.values import identifier, quoted

if TYPE_CHECKING:
    from engine.catalog.emulation.functions import Builder

_ACTIVITY = {
    "datid": "CAST($s_database_oid AS BIGINT)",
    "datname": "CAST($s_database AS VARCHAR)",
    "pid": "CAST($s_backend_pid AS INTEGER)",
    "usesysid": "CAST($s_user_oid AS BIGINT)",
    "usename": "CAST($s_user AS VARCHAR)",
    "application_name": "coalesce(map_extract_value({settings}, 'application_name'), '')",
    "backend_start": "CAST($s_started AS TIMESTAMP WITH TIME ZONE)",
    "xact_start": "now()",
    "query_start": "now()",
    "state_change": "now()",
    "state": quoted("active"),
    "query": quoted(""),
    "backend_type": quoted("client backend"),
}
_SSL = {
    "pid": "CAST($s_backend_pid AS INTEGER)",
    "ssl": "TRUE",
    "version": quoted("TLSv1.3"),
    "bits": "CAST(256 AS INTEGER)",
}
_GSSAPI = {
    "pid": "CAST($s_backend_pid AS INTEGER)",
    "gss_authenticated": "FALSE",
    "encrypted": "FALSE",
    "credentials_delegated": "FALSE",
}
_DATABASE = {
    "datid": "CAST($s_database_oid AS BIGINT)",
    "datname": "CAST($s_database AS VARCHAR)",
    "numbackends": "CAST(1 AS INTEGER)",
}
_ONE_ROW = {
    "pg_stat_activity": _ACTIVITY, "pg_stat_ssl": _SSL, "pg_stat_gssapi": _GSSAPI, "pg_stat_database": _DATABASE,
}  # fmt: skip


def session_text(builder: Builder, name: str, text: str) -> str | None:
    """What is read instead of the relation `pg_catalog.name`, whose table is `text`; None: the table itself."""
    if name == "pg_settings":
        held = f"map_extract_value({settings_map(builder)}, lower(name))"
        return f"(SELECT * REPLACE (coalesce({held}, setting) AS setting) FROM {text})"
    if name == "pg_timezone_names":
        return "(SELECT name, abbrev, utc_offset, is_dst FROM pg_timezone_names())"
    values = _ONE_ROW.get(name)
    if values is None:
        return None
    shown = []
    for column, kind, _ in t.relations()["pg_catalog", name].columns:
        value = values.get(column, f"CAST({'0' if kind == t.INT8 else 'NULL'} AS {t.duck(kind)})")
        if "{settings}" in value:
            value = value.replace("{settings}", settings_map(builder))
        for slot in ("database_oid", "database", "backend_pid", "user_oid", "user", "started"):
            if f"$s_{slot} " in value:
                builder.slot(slot)
        shown.append(f"{value} AS {identifier(column)}")
    return f"(SELECT {', '.join(shown)})"
