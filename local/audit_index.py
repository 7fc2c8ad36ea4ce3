"""The index of a home's query audit: SQLite beside the store, made from it, and made anew whenever it is lost.

It holds what searches filter by and where each record lies; the records themselves stay in the objects, and what a
search gives is compared with them. A record's key is its moment: `started_us << 10`, and ten bits that tell records of
one microsecond apart. So every index of SQLite's own is in order of time without holding the time.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from zlib import crc32

from governance.audit_proof import unpack
from local.audit_days import folder_taken, fresh_days, object_taken, open_derived
from local.audit_words import RecordReader, Told

SCHEMA_VERSION = 2
SLOT_BITS = 10
_CACHE_KB = 64 << 10
_OBJECTS_AT_ONCE = 32
_BULK_OBJECTS = 2000
"""From so many new objects on an empty index is filled first and sorted then."""

_SCHEMA = """
CREATE TABLE words (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE);
CREATE TABLE records (
  id INTEGER PRIMARY KEY, object INTEGER NOT NULL, at INTEGER NOT NULL, size INTEGER NOT NULL, environment INTEGER,
  organization INTEGER, user_id INTEGER, user INTEGER, agent INTEGER, key_id INTEGER, status INTEGER, cache INTEGER,
  duration_us INTEGER NOT NULL, query INTEGER NOT NULL
);
CREATE TABLE tags (tag INTEGER NOT NULL, record INTEGER NOT NULL, PRIMARY KEY (tag, record)) WITHOUT ROWID;
"""
_INDEXES = {
    "by_user": "records (user)",
    "by_user_id": "records (user_id)",
    "by_agent": "records (agent) WHERE agent IS NOT NULL",
    "by_status": "records (status) WHERE status IS NOT NULL",
    "by_query": "records (query)",
}
_INSERT = "INSERT INTO records VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"


@dataclass(slots=True)
class _Rows:
    """What goes into the index of some objects."""

    newest: int
    """The greatest key there was before."""
    records: dict[int, tuple[int | None, ...]] = field(default_factory=dict)
    """By wanted key; the values without it."""
    tags: list[tuple[int, int]] = field(default_factory=list)


class AuditIndex:
    """One SQLite connection; not for two threads at once."""

    def __init__(self, root: Path, path: Path) -> None:
        """Open the index of the store at `root`, or make it.

        Raises:
            sqlite3.Error: the index cannot be opened or made.
        """
        self._root = root
        self.connection = open_derived(path, SCHEMA_VERSION, _SCHEMA, _CACHE_KB)
        self._words: dict[str, int] = {}
        self._reader = RecordReader(self._word_for)

    def close(self) -> None:
        """Let the file go."""
        self.connection.close()

    def word(self, text: str) -> int | None:
        """The number that stands for `text`, or None when no record has it."""
        row = self.connection.execute("SELECT id FROM words WHERE text = ?", (text,)).fetchone()
        return None if row is None else int(row[0])

    # ------------------------------------------------------------ filling

    def catch_up(self, budget_s: float) -> int:
        """Take in new objects, oldest first, for about `budget_s`; how many are left.

        Raises:
            sqlite3.Error, OSError: the index or the store cannot be read or written.
        """
        deadline = time.monotonic() + budget_s
        left = 0
        days = list(fresh_days(self._root, self.connection))
        empty = self.connection.execute("SELECT 1 FROM objects LIMIT 1").fetchone() is None
        if empty and sum(len(fresh) for _, _, fresh in days) > _BULK_OBJECTS:
            for name in _INDEXES:
                self.connection.execute(f"DROP INDEX IF EXISTS {name}")
        for day, changed_ns, fresh in days:
            at = 0
            while at < len(fresh) and time.monotonic() < deadline:
                self._take(fresh[at : at + _OBJECTS_AT_ONCE])
                at += _OBJECTS_AT_ONCE
            behind = max(0, len(fresh) - at)
            left += behind
            if not behind:
                folder_taken(self.connection, day, changed_ns)
        if not left:
            self._sort()
        return left

    def _sort(self) -> None:
        """Make the indexes that are not there: from many records at once it is far faster than one by one."""
        there = {name for (name,) in self.connection.execute("SELECT name FROM sqlite_master WHERE type = 'index'")}
        for name, what in _INDEXES.items():
            if name not in there:
                self.connection.execute(f"CREATE INDEX {name} ON {what}")

    def _take(self, names: Iterable[str]) -> None:
        with self.connection:
            rows = _Rows(self.connection.execute("SELECT max(id) FROM records").fetchone()[0] or 0)
            for name in names:
                try:
                    text, damaged = unpack((self._root / name).read_bytes()), False
                except (OSError, ValueError):
                    text, damaged = b"", True
                self._take_lines(object_taken(self.connection, name, damaged=damaged), text, rows)
            self.connection.executemany(_INSERT, ((key, *values) for key, values in sorted(rows.records.items())))
            self.connection.executemany("INSERT OR IGNORE INTO tags VALUES (?, ?)", sorted(rows.tags))

    def _take_lines(self, number: int, text: bytes, rows: _Rows) -> None:
        at = 0
        for line in text.split(b"\n"):
            size = len(line)
            # A record of another shape than ours is left out of the index; `hatidata audit verify` names it.
            told = self._reader.told(line) if line else None
            if told is not None:
                key = self._free_key(told, rows)
                rows.records[key] = (number, at, size, *told.values)
                rows.tags += [(tag, key) for tag in told.tags]
            at += size + 1

    def _free_key(self, told: Told, rows: _Rows) -> int:
        """The record's moment and the first free slot from its own on."""
        key = told.started_us << SLOT_BITS | crc32(told.query_id) & ((1 << SLOT_BITS) - 1)
        while key in rows.records or (key <= rows.newest and self._has(key)):
            key += 1
        return key

    def _has(self, key: int) -> bool:
        return self.connection.execute("SELECT 1 FROM records WHERE id = ?", (key,)).fetchone() is not None

    def _word_for(self, text: str) -> int:
        number = self._words.get(text)
        if number is None:
            number = self.word(text)
            if number is None:
                number = self.connection.execute("INSERT INTO words (text) VALUES (?)", (text,)).lastrowid or 0
            if len(self._words) > 10_000:
                self._words.clear()
            self._words[text] = number
        return number
