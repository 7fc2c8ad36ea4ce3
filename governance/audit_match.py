"""Whether a record of the query audit is what a search asks for. Pure; the meaning of `QueryAuditFilters`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from governance.ports import QueryAuditFilters
from governance.tables import fold

_EXACT = {
    "environment": "environment",
    "organization": "organization",
    "agent": "agent_id",
    "key_id": "key_id",
    "status": "status",
    "cache_status": "cache_status",
    "query_id": "query_id",
}
"""Filter -> the record's field it must equal."""


def matches(record: Mapping[str, Any], filters: QueryAuditFilters) -> bool:
    """Whether every filter that is given holds. A record of another shape than ours matches nothing.

    Moments compare as texts: both are RFC 3339 UTC in one spelling (`governance.timestamp.stamp`). A record whose
    intent was destroyed has none: it is found when no moment is asked for.
    """
    started, duration = record.get("started_at"), record.get("execution_ms", 0.0)
    if not isinstance(started, str) or not isinstance(duration, int | float):
        return False
    if not started and (filters.since or filters.until):
        return False
    for name, field in _EXACT.items():
        wanted = getattr(filters, name)
        if wanted and record.get(field, "") != wanted:
            return False
    return (
        (not filters.since or started >= filters.since)
        and (not filters.until or started < filters.until)
        and (not filters.user or filters.user in (record.get("user"), record.get("user_id")))
        and (not filters.duration_ms_min or duration >= filters.duration_ms_min)
        and (not filters.duration_ms_max or duration <= filters.duration_ms_max)
        and (not filters.table or fold(filters.table) in {fold(str(table)) for table in _list(record, "tables")})
        and (not filters.verdict or any(_says(verdict, filters.verdict) for verdict in _list(record, "verdicts")))
        and filters.text.casefold() in str(record.get("sql", "")).casefold()
    )


def _list(record: Mapping[str, Any], name: str) -> list[Any]:
    found = record.get(name)
    return list(found) if isinstance(found, list | tuple) else []


def _says(verdict: Any, wanted: str) -> bool:
    return isinstance(verdict, Mapping) and wanted in (verdict.get("policy"), verdict.get("effect"))
