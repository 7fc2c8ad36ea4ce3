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

from governance.audit_match import matches
from governance.audit_proof import unpack
from governance.errors import AuditUnavailable, InvalidRequest
from governance.ports import QueryAuditFilters, QueryAuditPage
from governance.tables import fold
from local.audit_index import SLOT_BITS, AuditIndex
from local.audit_words import SUCCEEDED, is_tagged, micros, query_number

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

    def keep_up(self, budget_s: float = CATCH_UP_S) -> int:
        """Take new objects in, so that no search has to; how many are left.

        Raises:
            sqlite3.Error, OSError: the store or the index cannot be read or written.
        """
        with self._lock:
            try:
                return self._opened().catch_up(budget_s)
            except (sqlite3.Error, OSError):
                self._drop()
                raise

    def _opened(self) -> AuditIndex:
        if self._index is None or not self._path.exists():
            self._drop()
            self._index = AuditIndex(self._root, self._path)
        return self._index

    def _search(self, filters: QueryAuditFilters, after: int | None, limit: int) -> QueryAuditPage:
        index = self._opened()
        left = index.catch_up(CATCH_UP_S)
        if left:
            raise AuditUnavailable(
                f"The index of the query audit is being made; {left} objects are left.", advice="Try again in a moment."
            )
        asked = _asked(index, filters)
        if asked is None:
            return QueryAuditPage((), "")
        deadline = time.monotonic() + SCAN_S
        found: list[dict[str, Any]] = []
        while True:
            want = _PAGE if asked.loose else limit - len(found) + 1
            rows = asked.rows(index, after, want)
            for key, name, at, size in rows:
                if len(found) == limit:
                    return QueryAuditPage(tuple(found), _write_cursor(after))
                after = key
                record = self._record(name, at, size)
                if record is not None and matches(record, filters):
                    found.append(record)
            if len(rows) < want:
                return QueryAuditPage(tuple(found), "")
            if time.monotonic() > deadline:
                return QueryAuditPage(tuple(found), _write_cursor(after))

    def _record(self, name: str, at: int, size: int) -> dict[str, Any] | None:
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
        return record if isinstance(record, dict) else None


class _Asked:
    """SQL for one set of filters: the table that leads, conditions, their values."""

    def __init__(self) -> None:
        self.lead = "records r"
        self.key = "r.id"
        self.loose = False
        """Whether the records themselves decide what the index cannot."""
        self.clauses: list[str] = []
        self.values: list[object] = []

    def add(self, clause: str, *values: object) -> None:
        self.clauses.append(clause)
        self.values += values

    def tagged(self, tag: int) -> None:
        """The first tag leads, in order of time; further ones are looked up."""
        if self.lead == "records r":
            self.lead, self.key = "tags d CROSS JOIN records r ON r.id = d.record", "d.record"
            self.add("d.tag = ?", tag)
        else:
            self.add("EXISTS (SELECT 1 FROM tags t WHERE t.tag = ? AND t.record = r.id)", tag)

    def rows(self, index: AuditIndex, after: int | None, count: int) -> list[tuple[int, str, int, int]]:
        """Key, object, offset and size of the next records."""
        clauses, values = list(self.clauses), list(self.values)
        if after is not None:
            clauses.append(f"{self.key} < ?")
            values.append(after)
        where = " AND ".join(clauses) or "TRUE"
        return index.connection.execute(
            f"SELECT r.id, o.name, r.at, r.size FROM {self.lead} JOIN objects o ON o.id = r.object"
            f" WHERE {where} ORDER BY {self.key} DESC LIMIT ?",
            (*values, count),
        ).fetchall()


def _asked(index: AuditIndex, filters: QueryAuditFilters) -> _Asked | None:
    """The SQL of `filters`; None when a word that must match is in no record at all."""
    asked = _Asked()
    asked.loose = bool(filters.text) or bool(filters.verdict and not is_tagged(filters.verdict))
    words = {
        "user": filters.user, "agent": filters.agent, "status": filters.status, "environment": filters.environment,
        "organization": filters.organization, "key_id": filters.key_id, "cache": filters.cache_status,
    }  # fmt: skip
    if filters.status == SUCCEEDED:
        words["status"] = ""
        asked.add("r.status IS NULL")
    leads = _leading(filters)
    for column, word in words.items():
        number = index.word(word) if word else 0
        if number is None:
            return None
        if not word:
            continue
        if column == "user":
            _add_user(index, asked, number, leads=leads == column)
        else:
            # Only one column may lead the plan, and none with few values: the order by time does.
            asked.add(f"{'' if leads == column else '+'}r.{column} = ?", number)
    tags = [f"t:{fold(filters.table)}"] if filters.table else []
    tags += [f"v:{filters.verdict}"] if filters.verdict and is_tagged(filters.verdict) else []
    for word in tags:
        tag = index.word(word)
        if tag is None:
            return None
        if leads == "tag":
            asked.tagged(tag)
        else:
            asked.add("EXISTS (SELECT 1 FROM tags t WHERE t.tag = ? AND t.record = r.id)", tag)
    if filters.since:
        asked.add(f"{asked.key} >= ?", micros(filters.since) << SLOT_BITS)
    if filters.until:
        asked.add(f"{asked.key} < ?", micros(filters.until) << SLOT_BITS)
    if filters.query_id:
        asked.add("r.query = ?", query_number(filters.query_id))
    if filters.duration_ms_min:
        asked.add("r.duration_us >= ?", _duration_us(filters.duration_ms_min) - 1)
    if filters.duration_ms_max:
        asked.add("r.duration_us <= ?", _duration_us(filters.duration_ms_max) + 1)
    return asked


def _leading(filters: QueryAuditFilters) -> str:
    """What the plan begins with: the filter that most likely leaves least."""
    if filters.query_id:
        return "query"
    for name in ("user", "agent"):
        if getattr(filters, name):
            return name
    if filters.table or (filters.verdict and is_tagged(filters.verdict)):
        return "tag"
    return "status" if filters.status and filters.status != SUCCEEDED else ""


def _add_user(index: AuditIndex, asked: _Asked, number: int, *, leads: bool) -> None:
    """A name, an id, or the rare word that is one person's name and another's id."""
    plus = "" if leads else "+"
    named, numbered = (
        index.connection.execute(f"SELECT 1 FROM records WHERE {column} = ? LIMIT 1", (number,)).fetchone()
        for column in ("user", "user_id")
    )
    if named and numbered:
        asked.add("(r.user = ? OR r.user_id = ?)", number, number)
    else:
        asked.add(f"{plus}r.{'user' if named else 'user_id'} = ?", number)


def _duration_us(milliseconds: float) -> int:
    return int(min(max(milliseconds, -1e12), 1e12) * 1000)


def _write_cursor(after: int | None) -> str:
    return base64.urlsafe_b64encode(str(after).encode()).decode().rstrip("=") if after is not None else ""


def _read_cursor(cursor: str) -> int | None:
    if not cursor:
        return None
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("ascii")
    except ValueError:
        text = ""
    if not text.isdecimal() or len(text) > 19 or int(text) >= 1 << 63:
        raise InvalidRequest("The cursor is not one that this search gave.", advice="Start without a cursor.")
    return int(text)
