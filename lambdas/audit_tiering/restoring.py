"""Copies of archived objects: asked for by name or by day, and how far they are."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from governance.audit_shelf import AuditShelf, Restore, Speed
from governance.errors import InvalidRequest

RESTORE, RESTORE_STATUS = "restore", "restore_status"
NAMES_MAX = 1000
RESTORE_DAYS = 7
PAGE_MAX = 100
"""Archived objects that one answer about days tells of; its `next` says where the next one goes on."""
LISTED_MAX = 10_000
"""Objects that one answer about days looks at."""
SPAN_DAYS_MAX = 366
_AT_ONCE = 8
_DAY = re.compile(r"\A[0-9]{4}-[0-9]{2}-[0-9]{2}\Z")
_DAY_FOLDERS = ("queries", "sessions")


@dataclass(frozen=True, slots=True)
class Restoring:
    """What became of one request."""

    objects: dict[str, str]
    """Name to state: those of `governance.audit_shelf.Restore`, `at_hand` and `missing`."""
    at_hand: int = 0
    """Objects of the days asked for that are not archived; they are not listed."""
    next: str = ""
    """`after` of the request that goes on; empty at the end."""


@dataclass(frozen=True, slots=True)
class _Asked:
    names: tuple[str, ...]
    first: date | None
    last: date | None
    after: str
    days: int
    speed: Speed
    asking: bool


def restore(shelf: AuditShelf, request: Mapping[str, Any]) -> Restoring:
    """Ask for copies of archived objects, or how far they are.

    `{"hatidata": "restore", "names": [...], "days": 7, "speed": "bulk"}`, or instead of names `"first_day":
    "2026-01-05", "last_day": "2026-01-06"` and, to go on, `"after"`. `{"hatidata": "restore_status", ...}` takes
    names or days and asks for nothing.

    Raises:
        InvalidRequest: not such a request.
        OSError: the store does not answer.
    """
    asked = _read(request)
    try:
        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="audit-restore") as pool:
            if asked.first is None:
                return Restoring(dict(pool.map(lambda name: _one(shelf, name, asked), asked.names)))
            names, at_hand, onward = _archived(shelf, asked)
            return Restoring(dict(pool.map(lambda name: _one(shelf, name, asked), names)), at_hand, onward)
    except ValueError:
        raise InvalidRequest("A name is none of an audit object, or the days are out of range.") from None


def _one(shelf: AuditShelf, name: str, asked: _Asked) -> tuple[str, str]:
    try:
        item = shelf.facts(name).item
        state = item.restore
        if item.readable:
            return name, "at_hand" if state is Restore.NONE else state.value
        if asked.asking and state is Restore.NONE:
            state = shelf.restore(name, days=asked.days, speed=asked.speed)
    except FileNotFoundError:
        return name, "missing"
    return name, state.value


def _archived(shelf: AuditShelf, asked: _Asked) -> tuple[list[str], int, str]:
    """Names of the days' archived objects past `after`, how many others, and where to go on."""
    names: list[str] = []
    at_hand = 0
    for prefix in _prefixes(asked):
        if asked.after and asked.after >= prefix + "\U0010ffff":
            continue
        after = asked.after if asked.after.startswith(prefix) else ""
        for item in shelf.items(prefix, after=after):
            if item.readable and item.restore is Restore.NONE:
                at_hand += 1
            else:
                names.append(item.name)
            if len(names) == PAGE_MAX or len(names) + at_hand == LISTED_MAX:
                return names, at_hand, item.name
    return names, at_hand, ""


def _prefixes(asked: _Asked) -> Iterator[str]:
    """Where the days' objects lie, in order of names: manifests, then queries, then sessions."""
    assert asked.first is not None and asked.last is not None  # noqa: S101, PT018 -- `_read` set both or neither
    days = [asked.first + timedelta(days=n) for n in range((asked.last - asked.first).days + 1)]
    yield from (f"manifests/{day.isoformat()}" for day in days)
    for folder in _DAY_FOLDERS:
        yield from (f"{folder}/{day:%Y/%m/%d}/" for day in days)


def _read(request: Mapping[str, Any]) -> _Asked:
    asking = request.get("hatidata") == RESTORE
    by_day = "first_day" in request or "last_day" in request
    known = {"hatidata"} | ({"first_day", "last_day", "after"} if by_day else {"names"})
    known |= {"days", "speed"} if asking else set()
    names, days, speed = request.get("names", []), request.get("days", RESTORE_DAYS), request.get("speed", Speed.BULK)
    after = request.get("after", "")
    if (
        set(request) - known
        or not isinstance(names, list)
        or not all(isinstance(name, str) for name in names)
        or not (by_day or 0 < len(names) <= NAMES_MAX)
        or not isinstance(days, int)
        or isinstance(days, bool)
        or not isinstance(after, str)
        or len(after) > 1024
        or not isinstance(speed, str)
        or speed not in set(Speed)
    ):
        raise InvalidRequest(
            "This is no request for restoring audit objects.",
            advice=f"Give `names` (at most {NAMES_MAX}), or `first_day` and `last_day`; to restore also `days` and"
            " `speed` (bulk, standard).",
        )
    first = last = None
    if by_day:
        first, last = _day(request.get("first_day")), _day(request.get("last_day"))
        if not 0 <= (last - first).days < SPAN_DAYS_MAX:
            raise InvalidRequest(f"Days are asked for from one to a later one, at most {SPAN_DAYS_MAX} at once.")
    return _Asked(tuple(names), first, last, after, days, Speed(speed), asking)


def _day(text: Any) -> date:
    try:
        if isinstance(text, str) and _DAY.match(text):
            return date.fromisoformat(text)
    except ValueError:
        pass
    raise InvalidRequest("A day is written YYYY-MM-DD.")
