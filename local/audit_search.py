"""`governance.ports.QueryAuditSearch` over the audit store of a home."""

from __future__ import annotations

import base64
import json
import sqlite3
import threading
import time
from collections import OrderedDict
from pathlib import Path
from typing import Any

from governance.audit_proof import unpack
from governance.errors import AuditUnavailable, InvalidRequest
from governance.ports import QueryAuditFilters, QueryAuditPage
from governance.tables import fold
from local.audit_index import AuditIndex, micros

CATCH_UP_S = 5.0
"""How long one search may spend on taking new objects in."""
SCAN_S = 2.0
"""How long one page may look at records for a piece of text."""
LIMIT_MAX = 1000
_HELD_OBJECTS = 16
_PAGE = 500


class AuditSearch:
    """Thread-safe: one search at a time."""

    def __init__(self, root: Path) -> None:
        """Search the store at `root`; the index lies beside it as `<name>-index.sqlite`."""
        self._root = root
        self._path = root.with_name(root.name + "-index.sqlite")
        self._lock = threading.Lock()
        self._index: AuditIndex | None = None
        self._held: OrderedDict[str, bytes] = OrderedDict()

    def close(self) -> None:
        """Let the index go."""
        with self._lock:
            self._drop()

    def search(self, filters: QueryAuditFilters, cursor: str, limit: int) -> QueryAuditPage:
        """At most `limit` (1 to 1000) matching records, newest first, from `cursor` on (empty: the newest).

        With a `text` a page may be short, even empty, and still name a next one: a page looks for about 2 s.

        Raises:
            InvalidRequest: a cursor or limit that is none.
            AuditUnavailable: the store or its index cannot be read, or the index is being made anew.
        """
        if not 1 <= limit <= LIMIT_MAX:
            raise InvalidRequest(f"A page holds 1 to {LIMIT_MAX} records.")
        after = _read_cursor(cursor)
        with self._lock:
            try:
                return self._search(filters, after, limit)
            except (sqlite3.Error, OSError) as error:
                self._drop()
                raise AuditUnavailable(
                    "The query audit cannot be searched now.",
                    advice="Try again; its index is made anew when it is damaged.",
                    reason=f"audit index: {type(error).__name__}",
                ) from None

    def _drop(self) -> None:
        if self._index is not None:
            self._index.close()
            self._index = None

    def _search(self, filters: QueryAuditFilters, after: tuple[int, str] | None, limit: int) -> QueryAuditPage:
        if self._index is None or not self._path.exists():
            self._drop()
            self._index = AuditIndex(self._root, self._path)
        index = self._index
        left = index.catch_up(CATCH_UP_S)
        if left:
            raise AuditUnavailable(
                f"The index of the query audit is being made; {left} objects are left.", advice="Try again in a moment."
            )
        asked = _asked(index, filters)
        if asked is None:
            return QueryAuditPage((), "")
        deadline = time.monotonic() + SCAN_S
        needle = filters.text.casefold()
        found: list[dict[str, Any]] = []
        while True:
            want = _PAGE if needle else limit - len(found) + 1
            rows = asked.rows(index, after, want)
            for started_us, query_id, name, at, size in rows:
                if len(found) == limit:
                    return QueryAuditPage(tuple(found), _write_cursor(after))
                after = (started_us, query_id)
                record = self._record(name, at, size, query_id)
                if record is not None and (not needle or needle in str(record.get("sql", "")).casefold()):
                    found.append(record)
            if len(rows) < want:
                return QueryAuditPage(tuple(found), "")
            if time.monotonic() > deadline:
                return QueryAuditPage(tuple(found), _write_cursor(after))

    def _record(self, name: str, at: int, size: int, query_id: str) -> dict[str, Any] | None:
        """The record itself; None when the object no longer holds it (`hatidata audit verify` says why)."""
        text = self._held.get(name)
        if text is None:
            try:
                text = unpack((self._root / name).read_bytes())
            except (FileNotFoundError, ValueError):
                return None
            self._held[name] = text
            if len(self._held) > _HELD_OBJECTS:
                self._held.popitem(last=False)
        try:
            record = json.loads(text[at : at + size])
        except ValueError:
            return None
        return record if isinstance(record, dict) and record.get("query_id") == query_id else None


class _Asked:
    """SQL for one set of filters: the table that leads, conditions, their values."""

    def __init__(self) -> None:
        self.lead = "records r"
        self.time = "r.started_us"
        self.clauses: list[str] = []
        self.values: list[object] = []

    def add(self, clause: str, *values: object) -> None:
        self.clauses.append(clause)
        self.values += values

    def tagged(self, tag: int) -> None:
        """The first tag leads, in order of time; further ones are looked up."""
        if self.lead == "records r":
            self.lead, self.time = "tags d JOIN records r ON r.id = d.record", "d.started_us"
            self.add("d.tag = ?", tag)
        else:
            self.add(
                "EXISTS (SELECT 1 FROM tags t WHERE t.tag = ? AND t.started_us = r.started_us AND t.record = r.id)", tag
            )

    def rows(
        self, index: AuditIndex, after: tuple[int, str] | None, count: int
    ) -> list[tuple[int, str, str, int, int]]:
        """Moment, query id, object, offset and size of the next records."""
        clauses, values = list(self.clauses), list(self.values)
        if after is not None:
            clauses += [f"{self.time} <= ?", f"({self.time}, r.query_id) < (?, ?)"]
            values += [after[0], *after]
        where = " AND ".join(clauses) or "TRUE"
        return index.connection.execute(
            f"SELECT r.started_us, r.query_id, o.name, r.at, r.size FROM {self.lead} JOIN objects o ON o.id = r.object"
            f" WHERE {where} ORDER BY {self.time} DESC, r.query_id DESC LIMIT ?",
            (*values, count),
        ).fetchall()


def _asked(index: AuditIndex, filters: QueryAuditFilters) -> _Asked | None:
    """The SQL of `filters`; None when a word that must match is in no record at all."""
    asked = _Asked()
    words = {
        "environment": filters.environment, "organization": filters.organization, "agent": filters.agent,
        "key_id": filters.key_id, "status": filters.status, "cache": filters.cache_status, "user": filters.user,
    }  # fmt: skip
    wanted = [(column, text) for column, text in words.items() if text]
    wanted += [("table", f"t:{fold(filters.table)}")] if filters.table else []
    wanted += [("verdict", f"v:{filters.verdict}")] if filters.verdict else []
    for column, word in wanted:
        number = index.word(word)
        if number is None:
            return None
        if column in {"table", "verdict"}:
            asked.tagged(number)
        elif column == "user":
            named = index.connection.execute("SELECT 1 FROM records WHERE user = ? LIMIT 1", (number,)).fetchone()
            asked.add("r.user = ?" if named else "r.user_id = ?", number)
        else:
            # Columns with few values must not lead the plan: the order by time does.
            asked.add(f"{'' if column in {'agent', 'status'} else '+'}r.{column} = ?", number)
    if filters.since:
        asked.add(f"{asked.time} >= ?", micros(filters.since))
    if filters.until:
        asked.add(f"{asked.time} < ?", micros(filters.until))
    if filters.query_id:
        asked.add("r.query_id = ?", filters.query_id)
    if filters.duration_ms_min:
        asked.add("r.duration_ms >= ?", filters.duration_ms_min)
    if filters.duration_ms_max:
        asked.add("r.duration_ms <= ?", filters.duration_ms_max)
    return asked


def _write_cursor(after: tuple[int, str] | None) -> str:
    return base64.urlsafe_b64encode(json.dumps(after).encode()).decode().rstrip("=") if after else ""


def _read_cursor(cursor: str) -> tuple[int, str] | None:
    if not cursor:
        return None
    try:
        started_us, query_id = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        return int(started_us), str(query_id)
    except (ValueError, TypeError):
        raise InvalidRequest("The cursor is not one that this search gave.", advice="Start without a cursor.") from None
