"""Answers about the audit: records found, days proved. What lies in an archive is named, with the way to restore it.

    {"hatidata": "search", "filters": {...}, "cursor": "", "limit": 100}
    {"hatidata": "verify", "first_day": "2026-11-01", "last_day": "2026-11-30"}

Filters are the fields of `governance.ports.QueryAuditFilters`. A refusal is an answer too: `{"error": {...}}`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, fields
from typing import Any

from governance import audit_proof
from governance.errors import InvalidRequest, Refusal
from governance.ports import AuditStore, QueryAuditFilters, QueryAuditSearch
from governance.signatures import Verify
from governance.timestamp import parse, stamp

SEARCH, VERIFY = "search", "verify"
LIMIT_DEFAULT = 100
FAULTS_MAX = 1000
TEXT_CHARS_MAX = 1024
RESTORE_ADVICE = (
    "Some records lie in Glacier. Restore them with `hatidata audit restore` (names, or --from DAY --to DAY); hours "
    "later, search again."
)
_FILTERS = {field.name: field.type for field in fields(QueryAuditFilters)}


class AuditSearchTask:
    """What the function does for one event."""

    def __init__(self, search: QueryAuditSearch, store: AuditStore, holds: Callable[[], Verify | None]) -> None:
        """`holds` gives what checks manifests' signatures, or None when no key is named."""
        self._search = search
        self._store = store
        self._holds = holds

    def answer(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """The answer to an event, a refusal included."""
        try:
            match event.get("hatidata"):
                case "search":
                    return self._found(event)
                case "verify":
                    return self._proved(event)
                case _:
                    raise InvalidRequest(
                        "The event asks for nothing that this function does.", advice=f"Ask to {SEARCH} or to {VERIFY}."
                    )
        except Refusal as refusal:
            error = {"code": refusal.code, "message": refusal.message, "advice": refusal.advice}
            return {"error": error}

    def _found(self, event: Mapping[str, Any]) -> dict[str, Any]:
        limit, cursor = event.get("limit", LIMIT_DEFAULT), event.get("cursor", "")
        if not isinstance(limit, int) or isinstance(limit, bool) or not isinstance(cursor, str):
            raise InvalidRequest("Limit or cursor are not what they should be.")
        page = self._search.search(_filters(event.get("filters", {})), cursor, limit)
        answer: dict[str, Any] = {"records": list(page.records), "next": page.next, "archived": list(page.archived)}
        return {**answer, "advice": RESTORE_ADVICE} if page.archived else answer

    def _proved(self, event: Mapping[str, Any]) -> dict[str, Any]:
        first, last = event.get("first_day", ""), event.get("last_day", "")
        if not isinstance(first, str) or not isinstance(last, str):
            raise InvalidRequest("A day is written YYYY-MM-DD.")
        try:
            report = audit_proof.verify(self._store, first, last, self._holds())
        except OSError as error:
            return {"error": {"code": "audit_unavailable", "message": "The audit cannot be read now.", "advice": "Try "
                              "again; if it stays so, look at the audit bucket and the function's rights.",
                              "reason": type(error).__name__}}  # fmt: skip
        told = asdict(report)
        faults = told.pop("faults")
        answer = {**told, "sound": report.sound, "faults": list(faults[:FAULTS_MAX]), "faults_count": len(faults)}
        return {**answer, "advice": RESTORE_ADVICE} if report.archived_objects else answer


def _filters(document: Any) -> QueryAuditFilters:
    """The filters in a document.

    Raises:
        InvalidRequest: an unknown one, or a value that is none.
    """
    if not isinstance(document, Mapping) or not set(document) <= set(_FILTERS):
        raise InvalidRequest("A filter is not known.", advice="Known are: " + ", ".join(sorted(_FILTERS)) + ".")
    given: dict[str, Any] = {}
    for name, value in document.items():
        if _FILTERS[name] == "float":
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1e9:
                raise InvalidRequest(f"`{name}` is a number of milliseconds.")
            given[name] = float(value)
        elif not isinstance(value, str) or len(value) > TEXT_CHARS_MAX:
            raise InvalidRequest(f"`{name}` is a text of at most {TEXT_CHARS_MAX} characters.")
        else:
            given[name] = _moment(name, value) if name in ("since", "until") and value else value
    return QueryAuditFilters(**given)


def _moment(name: str, text: str) -> str:
    try:
        return stamp(parse(text))
    except ValueError:
        raise InvalidRequest(f"`{name}` is no moment.", advice="Write it like 2026-11-22T00:00:00Z.") from None
