"""`governance.ports.QueryAuditSearch` over the audit bucket: no index, days read from the newest backwards.

A page reads so many bytes and looks for so long at most; then it names where the next one goes on. Order: objects from
the newest batch back, in each the newest record first. A batch is made when statements end, so two records of nodes
that shipped at different moments may stand out of order by as much.
"""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from aws.audit_bucket import AuditBucket
from governance.audit_manifest import parse_object_name
from governance.audit_match import matches
from governance.audit_proof import unpack
from governance.audit_shelf import ObjectArchived, ShelfItem
from governance.errors import AuditUnavailable, InvalidRequest
from governance.ports import QueryAuditFilters, QueryAuditPage
from governance.timestamp import parse, stamp

SCAN_BYTES_MAX = 128 << 20
SCAN_S = 10.0
LIMIT_MAX = 1000
ANSWER_BYTES_MAX = 700_000
"""Of the records of one page: a load balancer takes 1 MB of a function."""
ARCHIVED_MAX = 1000
LATE = timedelta(days=7)
"""A record is looked for up to `until` and this long after: its node may have kept it while the store was away."""
_AHEAD = 8
_ALL = -1
_DAY = re.compile(r"\Aqueries/([0-9]{4})/([0-9]{2})/([0-9]{2})/\Z")


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a search goes on: in this object, past so many records that match, or behind it (`_ALL`)."""

    name: str = ""
    skip: int = 0

    def has(self, name: str) -> bool:
        """Whether an object of that name is still to be looked at."""
        return not self.name or name < self.name or (name == self.name and self.skip != _ALL)


class BucketSearch:
    """Searches the bucket. Safe for threads."""

    def __init__(
        self,
        bucket: AuditBucket,
        *,
        scan_bytes_max: int = SCAN_BYTES_MAX,
        scan_s: float = SCAN_S,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._bucket = bucket
        self._scan_bytes_max = scan_bytes_max
        self._scan_s = scan_s
        self._monotonic = monotonic

    def search(self, filters: QueryAuditFilters, cursor: str, limit: int) -> QueryAuditPage:
        """See the port. A page may be short, even empty, and still name a next one.

        Raises:
            InvalidRequest: a cursor, moment or limit that is none.
            AuditUnavailable: the bucket cannot be read.
        """
        if not 1 <= limit <= LIMIT_MAX:
            raise InvalidRequest(f"A page holds 1 to {LIMIT_MAX} records.")
        place, (first, last) = _read_cursor(cursor), _days(filters)
        try:
            return self._search(filters, place, limit, first, last)
        except OSError as error:
            raise AuditUnavailable(
                "The query audit cannot be searched now.",
                advice="Try again; if it stays so, look at the audit bucket and the function's rights.",
                reason=f"audit bucket: {type(error).__name__}",
            ) from None

    def _search(self, filters: QueryAuditFilters, place: _Place, limit: int, first: str, last: str) -> QueryAuditPage:
        deadline = self._monotonic() + self._scan_s
        found: list[dict[str, Any]] = []
        archived: list[str] = []
        room, read = ANSWER_BYTES_MAX, 0
        with ThreadPoolExecutor(_AHEAD, thread_name_prefix="audit-search") as pool:
            for items in _groups(self._objects(place, first, last)):
                for item, data in zip(items, pool.map(self._bytes, items), strict=True):
                    if data is None:
                        if len(archived) < ARCHIVED_MAX:
                            archived.append(item.name)
                        continue
                    read += len(data)
                    skip = place.skip if item.name == place.name else 0
                    for number, record in enumerate(_matching(data, filters)):
                        if number < skip:
                            continue
                        size = len(json.dumps(record))
                        if len(found) == limit or (found and size > room):
                            return QueryAuditPage(tuple(found), _write_cursor(item.name, number), tuple(archived))
                        found.append(record)
                        room -= size
                    if len(found) == limit or read >= self._scan_bytes_max or self._monotonic() > deadline:
                        return QueryAuditPage(tuple(found), _write_cursor(item.name, _ALL), tuple(archived))
        return QueryAuditPage(tuple(found), "", tuple(archived))

    def _objects(self, place: _Place, first: str, last: str) -> Iterator[ShelfItem]:
        """Objects of the days from `last` back to `first`, the newest first, from `place` on."""
        for folder in self._folders(first, last):
            if place.name and folder > place.name:
                continue
            items = [item for item in self._bucket.items(folder) if parse_object_name(item.name) is not None]
            for item in reversed(items):
                if place.has(item.name):
                    yield item

    def _folders(self, first: str, last: str) -> Iterator[str]:
        """Folders of days that there are, newest first."""
        for year in reversed(self._bucket.folders("queries/")):
            if not first[:4] <= year[8:12] <= last[:4]:
                continue
            for month in reversed(self._bucket.folders(year)):
                for day in reversed(self._bucket.folders(month)):
                    named = _DAY.match(day)
                    if named and first <= "-".join(named.groups()) <= last:
                        yield day

    def _bytes(self, item: ShelfItem) -> bytes | None:
        """The object's bytes; None when it is archived."""
        if not item.readable:
            return None
        try:
            return self._bucket.get(item.name)
        except ObjectArchived:
            return None


def _groups(items: Iterator[ShelfItem]) -> Iterator[list[ShelfItem]]:
    """A few at a time, fetched together; the first alone, for it is often enough."""
    group: list[ShelfItem] = []
    size = 1
    for item in items:
        group.append(item)
        if len(group) == size:
            yield group
            group, size = [], min(_AHEAD, size * 2)
    if group:
        yield group


def _matching(data: bytes, filters: QueryAuditFilters) -> list[dict[str, Any]]:
    """The records of an object that match, newest first. What cannot be read is left to `verify`."""
    try:
        lines = unpack(data).splitlines()
    except ValueError:
        return []
    found = []
    for line in lines:
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if isinstance(record, dict) and matches(record, filters):
            found.append(record)
    found.sort(key=lambda record: (str(record["started_at"]), str(record.get("query_id", ""))), reverse=True)
    return found


def _days(filters: QueryAuditFilters) -> tuple[str, str]:
    """The first and last day whose objects can hold what is asked for: a batch is never older than its records."""
    try:
        for text in (filters.since, filters.until):
            if text and stamp(parse(text)) != text:
                raise InvalidRequest("A moment of the search is not spelled as records spell theirs.")
        first = parse(filters.since).date().isoformat() if filters.since else "0000-00-00"
        last = (parse(filters.until) + LATE).date().isoformat() if filters.until else "9999-99-99"
    except (ValueError, OverflowError):
        raise InvalidRequest("A moment of the search is none.", advice="Write it like 2026-11-22T00:00:00Z.") from None
    return first, last


def _write_cursor(name: str, skip: int) -> str:
    return base64.urlsafe_b64encode(json.dumps([name, skip]).encode()).decode().rstrip("=")


def _read_cursor(cursor: str) -> _Place:
    if not cursor:
        return _Place()
    try:
        name, skip = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        known = isinstance(name, str) and isinstance(skip, int) and skip >= _ALL and parse_object_name(name) is not None
    except (ValueError, TypeError):
        name, skip, known = "", 0, False
    if not known:
        raise InvalidRequest("The cursor is not one that this search gave.", advice="Start without a cursor.")
    return _Place(name, skip)
