"""The index of a home's query audit: SQLite beside the store, made from it, and made anew whenever it is lost.

It holds what searches filter by and where each record lies; the records themselves stay in the objects.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from governance.audit_proof import unpack
from governance.tables import fold
from governance.timestamp import parse

SCHEMA_VERSION = 1

_SCHEMA = """
CREATE TABLE objects (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, damaged INTEGER NOT NULL);
CREATE TABLE folders (name TEXT PRIMARY KEY, changed_ns INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE words (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE);
CREATE TABLE records (
  id INTEGER PRIMARY KEY, started_us INTEGER NOT NULL, query_id TEXT NOT NULL, object INTEGER NOT NULL,
  at INTEGER NOT NULL, size INTEGER NOT NULL, environment INTEGER, organization INTEGER, user_id INTEGER, user INTEGER,
  agent INTEGER, key_id INTEGER, status INTEGER, cache INTEGER, duration_ms REAL NOT NULL
);
CREATE INDEX by_time ON records (started_us, query_id);
CREATE INDEX by_user ON records (user, started_us, query_id);
CREATE INDEX by_user_id ON records (user_id, started_us, query_id);
CREATE INDEX by_agent ON records (agent, started_us, query_id);
CREATE INDEX by_status ON records (status, started_us, query_id);
CREATE INDEX by_query ON records (query_id);
CREATE TABLE tags (tag INTEGER NOT NULL, started_us INTEGER NOT NULL, record INTEGER NOT NULL,
  PRIMARY KEY (tag, started_us, record)) WITHOUT ROWID;
"""


def micros(text: str) -> int:
    """An RFC 3339 moment as microseconds since 1970; 0 for an empty or unreadable one."""
    try:
        moment = parse(text)
    except ValueError:
        return 0
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // _MICROSECOND


_MICROSECOND = datetime.resolution


class AuditIndex:
    """One SQLite connection; not for two threads at once."""

    def __init__(self, root: Path, path: Path) -> None:
        """Open the index of the store at `root`, or make it.

        Raises:
            sqlite3.Error: the index cannot be opened or made.
        """
        self._root = root
        self._path = path
        self.connection = self._open()
        self._words: dict[str, int] = {}

    def _open(self) -> sqlite3.Connection:
        try:
            connection = self._connect()
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version == SCHEMA_VERSION:
                return connection
        except sqlite3.DatabaseError:
            connection = None
        if connection is not None:
            connection.close()
        for suffix in ("", "-wal", "-shm"):
            Path(f"{self._path}{suffix}").unlink(missing_ok=True)
        connection = self._connect()
        with connection:
            connection.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;")
        return connection

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, check_same_thread=False, timeout=5)
        connection.execute("PRAGMA journal_mode = WAL")
        # What a power cut takes from the index is in the objects still.
        connection.execute("PRAGMA synchronous = NORMAL")
        return connection

    def close(self) -> None:
        """Let the file go."""
        self.connection.close()

    def word(self, text: str) -> int | None:
        """The number that stands for `text`, or None when no record has it."""
        row = self.connection.execute("SELECT id FROM words WHERE text = ?", (text,)).fetchone()
        return None if row is None else int(row[0])

    # ------------------------------------------------------------ filling

    def catch_up(self, budget_s: float) -> int:
        """Take in new objects, newest days first, for about `budget_s`; how many are left."""
        deadline = time.monotonic() + budget_s
        left = 0
        for folder, changed_ns in self._changed_folders():
            day = folder.relative_to(self._root).as_posix()
            known = {
                name for (name,) in self.connection.execute("SELECT name FROM objects WHERE name GLOB ?", (day + "/*",))
            }
            fresh = sorted(
                (f"{day}/{entry.name}" for entry in folder.iterdir() if entry.name.endswith(".jsonl.gz")), reverse=True
            )
            fresh = [name for name in fresh if name not in known]
            while fresh and time.monotonic() < deadline:
                self._take(fresh[:64])
                fresh = fresh[64:]
            left += len(fresh)
            if not fresh:
                with self.connection:
                    self.connection.execute("INSERT OR REPLACE INTO folders VALUES (?, ?)", (day, changed_ns))
        return left

    def _changed_folders(self) -> Iterator[tuple[Path, int]]:
        known = dict(self.connection.execute("SELECT name, changed_ns FROM folders"))
        top = self._root / "queries"
        if not top.is_dir():
            return
        for folder in sorted(top.glob("[0-9]*/[0-9]*/[0-9]*"), reverse=True):
            # Read before the listing: a file that appears in between is seen by the next search.
            changed_ns = folder.stat().st_mtime_ns
            recent = time.time_ns() - changed_ns < 2_000_000_000  # within the clock's grain a change may not show
            if recent or known.get(folder.relative_to(self._root).as_posix()) != changed_ns:
                yield folder, changed_ns

    def _take(self, names: list[str]) -> None:
        with self.connection:
            for name in names:
                try:
                    text = unpack((self._root / name).read_bytes())
                    damaged = 0
                except (OSError, ValueError):
                    text, damaged = b"", 1
                row = self.connection.execute("INSERT INTO objects (name, damaged) VALUES (?, ?)", (name, damaged))
                if row.lastrowid is not None:
                    self._take_lines(row.lastrowid, text)

    def _take_lines(self, number: int, text: bytes) -> None:
        at = 0
        for line in text.split(b"\n"):
            size = len(line)
            try:
                record = json.loads(line) if line else None
            except ValueError:
                record = None
            if isinstance(record, dict) and isinstance(record.get("query_id"), str):
                # A record of another shape than ours is left out of the index; `hatidata audit verify` names it.
                with suppress(AttributeError, TypeError, ValueError):
                    self._take_record(number, at, size, record)
            at += size + 1

    def _take_record(self, number: int, at: int, size: int, record: dict[str, Any]) -> None:
        started_us = micros(str(record.get("started_at", "")))
        names = ("environment", "organization", "user_id", "user", "agent_id", "key_id", "status", "cache_status")
        words = [self._word_for(str(record.get(name, ""))) for name in names]
        duration = record.get("execution_ms", 0.0)
        row = self.connection.execute(
            "INSERT INTO records (started_us, query_id, object, at, size, environment, organization, user_id, user,"
            " agent, key_id, status, cache, duration_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (started_us, record["query_id"], number, at, size, *words, float(duration)),
        )
        tags = {self._word_for(f"t:{fold(str(table))}") for table in record.get("tables", ())}
        for verdict in record.get("verdicts", ()):
            tags |= {self._word_for(f"v:{verdict.get(part, '')}") for part in ("policy", "effect")}
        self.connection.executemany(
            "INSERT OR IGNORE INTO tags VALUES (?, ?, ?)", [(tag, started_us, row.lastrowid) for tag in tags]
        )

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
