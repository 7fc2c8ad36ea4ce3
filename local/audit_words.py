"""What the index keeps of one record: numbers for its words, read without understanding the whole line.

Ten million records are to be indexed in minutes, and a record is long. Our encoder writes its fields in one order, and
no quote stands unescaped inside a JSON text, so `,"tables":[` can only be the field: the few parts that count are cut
out and remembered. A line that is written otherwise is read as JSON. Nothing rests on it: what a search gives is
compared with the record itself.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from governance.tables import fold
from governance.timestamp import parse

MOMENT_MAX_US = (1 << 53) - 1
"""In the year 2255; with ten more bits it is a SQLite integer still."""
SUCCEEDED = "succeeded"
_EVERYWHERE = frozenset({"role", "scope", "organization_wall", "allowed"})
"""Verdicts of nearly every record: a search for one walks through the records instead."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_BEGIN = b'{"schema_version":1,"query_id":"'
_REMEMBERED_MAX = 20_000
_INTEGER_MAX = (1 << 63) - 1


def micros(text: str) -> int:
    """An RFC 3339 moment as microseconds since 1970, within what a key holds; 0 for an empty or unreadable one."""
    try:
        moment = parse(text)
    except ValueError:
        return 0
    return min(max(0, (moment - _EPOCH) // datetime.resolution), MOMENT_MAX_US)


def query_number(query_id: str) -> int:
    """63 bits that stand for a statement's id; of a time-ordered id they grow with time. Two ids may share them."""
    digits = query_id.replace("-", "")
    try:
        if len(digits) == 32:
            return int(digits[:16], 16) >> 1
    except ValueError:
        pass
    return int.from_bytes(hashlib.sha256(query_id.encode("utf-8", "surrogatepass")).digest()[:8], "big") >> 1


def is_tagged(verdict: str) -> bool:
    """Whether the index tells which records hold a verdict of this name; of the rest the records themselves do."""
    return verdict not in _EVERYWHERE


@dataclass(frozen=True, slots=True)
class Told:
    """One record, as the index keeps it."""

    query_id: bytes
    started_us: int
    values: tuple[int | None, ...]
    """environment, organization, user_id, user, agent, key_id, status, cache, duration_us, query."""
    tags: frozenset[int]


class RecordReader:
    """Reads lines; `word` gives the number that stands for a text."""

    def __init__(self, word: Callable[[str], int]) -> None:
        self._word = word
        self._sessions: dict[bytes, tuple[int | None, ...]] = {}
        self._tagged: dict[bytes, frozenset[int]] = {}
        self._seconds: dict[bytes, int] = {}

    def told(self, line: bytes) -> Told | None:
        """What is kept of a line; None when it is no record of a query."""
        if line.startswith(_BEGIN):
            try:
                return self._quickly(line)
            except (ValueError, TypeError, AttributeError, OverflowError):
                pass
        try:
            record = json.loads(line)
            return self._slowly(record) if isinstance(record["query_id"], str) else None
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
            return None

    def _quickly(self, line: bytes) -> Told:
        """Raises ValueError for a line that is not in our order."""
        at = line.index(b'","started_at":"', len(_BEGIN))
        query_id = line[len(_BEGIN) : at]
        began = line[at + 16 : at + 43]
        kind = line.index(b',"statement_kind":"', at + 43)
        session = line[at + 45 : kind]
        tables = line.index(b',"tables":[', kind)
        masked = line.index(b'],"columns_masked":[', tables)
        verdicts = line.index(b',"verdicts":[', masked)
        version = line.index(b',"policy_version":', verdicts)
        status, at = _after(line, b',"status":"', b'"', version)
        duration, at = _after(line, b',"execution_ms":', b",", at)
        cache, at = _after(line, b',"cache_status":"', b'"', at)
        if b"\\" in query_id + began + status + cache or line[-1:] != b"}":
            raise ValueError("not in our order")
        who = self._sessions.get(session)
        if who is None:
            _forget(self._sessions)
            who = self._sessions[session] = self._who(json.loads(b"{" + session + b"}"))
        judged = line[tables + 10 : masked + 1] + line[verdicts:version]
        tags = self._tagged.get(judged)
        if tags is None:
            _forget(self._tagged)
            found = json.loads(b'{"tables":' + judged + b"}")
            tags = self._tagged[judged] = self._tags(found)
        return Told(
            query_id,
            self._micros(began),
            (
                *who,
                *self._what(status.decode("ascii"), cache.decode("ascii"), float(duration), query_id.decode("ascii")),
            ),
            tags,
        )

    def _slowly(self, record: dict[str, Any]) -> Told:
        query_id = record["query_id"]
        status, cache = str(record.get("status", "")), str(record.get("cache_status", ""))
        what = self._what(status, cache, float(record.get("execution_ms", 0.0)), query_id)
        return Told(
            query_id.encode("utf-8", "surrogatepass"),
            micros(str(record.get("started_at", ""))),
            (*self._who(record), *what),
            self._tags(record),
        )

    def _who(self, record: dict[str, Any]) -> tuple[int | None, ...]:
        agent = str(record.get("agent_id", ""))
        names = ("environment", "organization", "user_id", "user")
        return (
            *(self._word(str(record.get(name, ""))) for name in names),
            self._word(agent) if agent else None,
            self._word(str(record.get("key_id", ""))),
        )

    def _what(self, status: str, cache: str, duration_ms: float, query_id: str) -> tuple[int | None, ...]:
        duration_us = int(duration_ms * 1000)
        if not -_INTEGER_MAX <= duration_us <= _INTEGER_MAX:
            raise ValueError("a duration that is none")
        return (
            None if status == SUCCEEDED else self._word(status),
            self._word(cache),
            duration_us,
            query_number(query_id),
        )

    def _tags(self, record: dict[str, Any]) -> frozenset[int]:
        tags = {self._word(f"t:{fold(str(table))}") for table in record.get("tables", ())}
        for verdict in record.get("verdicts", ()):
            for said in (verdict.get("policy", ""), verdict.get("effect", "")):
                if is_tagged(said):
                    tags.add(self._word(f"v:{said}"))
        return frozenset(tags)

    def _micros(self, text: bytes) -> int:
        """As `micros`; most records share their second with the one before."""
        if text[19:20] != b"." or text[26:] != b"Z" or not text[20:26].isdigit():
            return micros(text.decode("ascii", "replace"))
        second = self._seconds.get(text[:19])
        if second is None:
            _forget(self._seconds)
            second = self._seconds[text[:19]] = micros(text[:19].decode("ascii", "replace") + "Z")
        return second + int(text[20:26]) if 0 < second < MOMENT_MAX_US - 1_000_000 else second


def _after(line: bytes, name: bytes, end: bytes, start: int) -> tuple[bytes, int]:
    """The bytes between `name` and `end`, and where they end. Raises ValueError."""
    at = line.index(name, start) + len(name)
    stop = line.index(end, at)
    return line[at:stop], stop


def _forget(remembered: dict[bytes, Any]) -> None:
    if len(remembered) >= _REMEMBERED_MAX:
        remembered.clear()
