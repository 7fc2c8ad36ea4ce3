"""Relations of pg_catalog that tell of the session itself: their text instead of a table's, filled when it runs.

A session sees those of its own key and no other; of settings it sees its own values.
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
    "pid": "p.pid",
    "usesysid": "CAST($s_user_oid AS BIGINT)",
    "usename": "CAST($s_user AS VARCHAR)",
    "application_name": "p.application_name",
    "client_addr": "p.address",
    "backend_start": "CAST(p.started AS TIMESTAMP WITH TIME ZONE)",
    "xact_start": "now()",
    "query_start": "now()",
    "state_change": "now()",
    "state": "p.state",
    "query": quoted(""),
    "backend_type": quoted("client backend"),
}
_SSL = {
    "pid": "p.pid",
    "ssl": "TRUE",
    "version": quoted("TLSv1.3"),
    "bits": "CAST(256 AS INTEGER)",
}
_GSSAPI = {
    "pid": "p.pid",
    "gss_authenticated": "FALSE",
    "encrypted": "FALSE",
    "credentials_delegated": "FALSE",
}
_DATABASE = {
    "datid": "CAST($s_database_oid AS BIGINT)",
    "datname": "CAST($s_database AS VARCHAR)",
    "numbackends": "CAST(len(CAST($s_peer_pid AS INTEGER[])) AS INTEGER)",
}
_OF_PEERS = {"pg_stat_activity": _ACTIVITY, "pg_stat_ssl": _SSL, "pg_stat_gssapi": _GSSAPI}
_ONE_ROW = {"pg_stat_database": _DATABASE}
_PEERS = ("pid", "application_name", "address", "state", "started")


def session_text(builder: Builder, name: str, text: str) -> str | None:
    """What is read instead of the relation `pg_catalog.name`, whose table is `text`; None: the table itself."""
    if name == "pg_settings":
        held = f"map_extract_value({settings_map(builder)}, lower(name))"
        return f"(SELECT * REPLACE (coalesce({held}, setting) AS setting) FROM {text})"
    if name == "pg_timezone_names":
        return "(SELECT name, abbrev, utc_offset, is_dst FROM pg_timezone_names())"
    values = _OF_PEERS.get(name) or _ONE_ROW.get(name)
    if values is None:
        return None
    shown = []
    for column, kind, _ in t.relations()["pg_catalog", name].columns:
        value = values.get(column, f"CAST({'0' if kind == t.INT8 else 'NULL'} AS {t.duck(kind)})")
        for slot in ("database_oid", "database", "user_oid", "user", "peer_pid"):
            if f"$s_{slot} " in value:
                builder.slot(slot)
        shown.append(f"{value} AS {identifier(column)}")
    if name not in _OF_PEERS:
        return f"(SELECT {', '.join(shown)})"
    lists = ", ".join(
        f"unnest(CAST({builder.slot('peer_' + each)} AS {'INTEGER' if each == 'pid' else 'VARCHAR'}[])) AS {each}"
        for each in _PEERS
    )
    return f"(SELECT {', '.join(shown)} FROM (SELECT {lists}) AS p)"
