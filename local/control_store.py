"""The register and the chain in one SQLite file: WAL, one writer at a time, `synchronous=FULL`.

A change and its events are one transaction, so after any crash both are there or neither is. The chain's table takes
no update and no delete, and `unique(environment, previous)` makes a fork impossible to store.
"""

from __future__ import annotations

import json
import os
import queue
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

from governance import chain
from governance.admin_event import Attribution
from governance.errors import Conflict, StoreUnavailable
from governance.ports import Change, ControlReader
from governance.register import Environment, Observation, Record
from governance.stored_record import decode_record, encode_record

R = TypeVar("R", bound=Record | Observation)
T = TypeVar("T")

SWEPT_AT_ONCE = 100
"""Expired observations that one change takes away at most."""
REMEMBERED_MAX = 8192
REMEMBERED_CHARS_MAX = 4096
"""Decoded records kept, and how long one may be: a list of a thousand keys would else be decoded at each request."""
READERS_MAX = 8
WAIT_S = 10.0
"""How long a reader waits for a connection, and a writer for the other writer, before giving up."""

_VERSION_1 = """
CREATE TABLE item (
  kind TEXT NOT NULL, environment TEXT NOT NULL, id TEXT NOT NULL,
  unique_name TEXT, lookup TEXT, body TEXT NOT NULL,
  PRIMARY KEY (kind, environment, id)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX item_unique ON item (kind, environment, unique_name) WHERE unique_name IS NOT NULL;
CREATE UNIQUE INDEX item_lookup ON item (kind, lookup) WHERE lookup IS NOT NULL;
CREATE TABLE law_version (environment TEXT PRIMARY KEY, version INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE chain (
  environment TEXT NOT NULL, sequence INTEGER NOT NULL, previous TEXT NOT NULL, hash TEXT NOT NULL, line TEXT NOT NULL,
  PRIMARY KEY (environment, sequence), UNIQUE (environment, previous), UNIQUE (hash)
) STRICT;
CREATE TRIGGER chain_no_update BEFORE UPDATE ON chain BEGIN SELECT RAISE(ABORT, 'the chain is append-only'); END;
CREATE TRIGGER chain_no_delete BEFORE DELETE ON chain BEGIN SELECT RAISE(ABORT, 'the chain is append-only'); END;
"""
_VERSION_2 = """
ALTER TABLE item ADD COLUMN expires_at TEXT;
CREATE INDEX item_expiry ON item (expires_at) WHERE expires_at IS NOT NULL;
"""
_VERSION_3 = """
UPDATE item SET unique_name = json_extract(body, '$.organization') || char(10) || unique_name
  WHERE kind = 'user' AND unique_name IS NOT NULL AND instr(unique_name, char(10)) = 0;
"""
MIGRATIONS = (_VERSION_1, _VERSION_2, _VERSION_3)
"""The n-th makes version n of the file (`PRAGMA user_version`) out of the one before. Never changed, only added to."""
SCHEMA_VERSION = len(MIGRATIONS)


class SqliteControlStore:
    """Implements `governance.ports.ControlStore` on a file, which it makes (mode 0600) when absent.

    Safe for threads and for several processes. `on_change` is called after each commit, from the writing thread.

    Raises:
        StoreUnavailable: the file is no store, is of a newer version, or cannot be opened.
    """

    def __init__(self, path: Path, *, on_change: Callable[[], None] | None = None) -> None:
        self._path = path
        self._on_change = on_change
        self._writing = threading.Lock()
        self._readers: queue.LifoQueue[sqlite3.Connection | None] = queue.LifoQueue()
        self._all: list[sqlite3.Connection] = []
        self._closed = False
        try:
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
            self._writer = self._open()
            self._migrate()
        except (sqlite3.Error, OSError) as error:
            self.close()
            raise StoreUnavailable(
                "The control plane's store cannot be opened.",
                advice="Look at the home folder, or restore it from a backup.",
                reason=f"{type(error).__name__} while opening the store",
            ) from None
        for _ in range(READERS_MAX):
            self._readers.put(None)

    @contextmanager
    def read(self) -> Iterator[ControlReader]:
        """A snapshot for the length of the block; see the port."""
        try:
            connection = self._readers.get(timeout=WAIT_S)
        except queue.Empty:
            raise StoreUnavailable("The control plane is busy.", advice="Try again.") from None
        try:
            if connection is None:
                connection = self._open()
            connection.execute("BEGIN")
            try:
                yield _Reader(connection)
            finally:
                connection.execute("ROLLBACK")
        except sqlite3.Error as error:
            raise _unavailable(error) from None
        finally:
            self._readers.put(connection)

    def change(self, attribution: Attribution, decide: Callable[[ControlReader], Change[T]]) -> T:
        """One transaction; see the port."""
        with self._transaction() as connection:
            reader = _Reader(connection)
            change = decide(reader)
            if (change.puts or change.removes) and not change.events:
                raise ValueError("the law changes without an event")
            for gone in (*change.removes, *change.forgets):
                connection.execute(
                    "DELETE FROM item WHERE kind = ? AND environment = ? AND id = ?",
                    (gone.kind, gone.environment, gone.id),
                )
            # A name may move from one record to another in one change: take all the names off first.
            for record in change.puts:
                connection.execute(
                    "UPDATE item SET unique_name = NULL WHERE kind = ? AND environment = ? AND id = ?",
                    (record.kind, record.environment, record.id),
                )
            for kept in (*change.puts, *change.observations):
                _put(connection, kept)
            for event in change.events:
                sequence, head = reader.head(event.environment)
                link = chain.seal(event.document(attribution), sequence=sequence + 1, previous=head)
                connection.execute(
                    "INSERT INTO chain VALUES (?, ?, ?, ?, ?)",
                    (event.environment, link.sequence, link.previous, link.hash, link.line),
                )
            environments = {record.environment for record in (*change.puts, *change.removes)}
            if "" in environments:
                environments = {environment.name for environment in reader.every(Environment, "")}
            for environment in environments:
                connection.execute(
                    "INSERT INTO law_version VALUES (?, 1) ON CONFLICT DO UPDATE SET version = version + 1",
                    (environment,),
                )
            _sweep(connection, attribution.at)
        if change.puts or change.removes:
            self._tell()
        return change.result

    def observe(self, *observations: Observation) -> None:
        """Keep what was seen; see the port."""
        with self._transaction() as connection:
            for observation in observations:
                _put(connection, observation)

    def close(self) -> None:
        """Close every connection; the store is of no use afterwards."""
        self._closed = True
        for connection in self._all:
            connection.close()
        self._all.clear()

    def _tell(self) -> None:
        if self._on_change is not None:
            self._on_change()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        if not self._writing.acquire(timeout=WAIT_S):
            raise StoreUnavailable("The control plane is busy.", advice="Try again.")
        try:
            connection = self._writer
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
        except sqlite3.IntegrityError:
            raise Conflict(
                "Another object has this name or id already.", advice="Choose another, or change that one."
            ) from None
        except sqlite3.Error as error:
            raise _unavailable(error) from None
        finally:
            self._writing.release()

    def _open(self) -> sqlite3.Connection:
        if self._closed:
            raise sqlite3.ProgrammingError("closed")
        connection = sqlite3.connect(self._path, timeout=WAIT_S, isolation_level=None, check_same_thread=False)
        self._all.append(connection)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA trusted_schema = OFF")
        return connection

    def _migrate(self) -> None:
        connection = self._writer
        connection.execute("BEGIN IMMEDIATE")
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if not 0 <= version <= SCHEMA_VERSION:
            connection.execute("ROLLBACK")
            raise sqlite3.DatabaseError("a version this code does not know")
        for script in MIGRATIONS[version:]:
            for statement in _statements(script):
                connection.execute(statement)
        if version < SCHEMA_VERSION:
            connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        connection.execute("COMMIT")


class _Reader:
    """Implements `governance.ports.ControlReader` inside a transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def get(self, kind: type[R], environment: str, record_id: str) -> R | None:
        return self._one(kind, "kind = ? AND environment = ? AND id = ?", (kind.kind, environment, record_id))

    def find_unique(self, kind: type[R], environment: str, unique: str) -> R | None:
        return self._one(kind, "kind = ? AND environment = ? AND unique_name = ?", (kind.kind, environment, unique))

    def find_lookup(self, kind: type[R], lookup: str) -> R | None:
        return self._one(kind, "kind = ? AND lookup = ?", (kind.kind, lookup))

    def every(self, kind: type[R], environment: str) -> list[R]:
        rows = self._connection.execute(
            "SELECT body FROM item WHERE kind = ? AND environment = ? ORDER BY id", (kind.kind, environment)
        )
        return [_decode(kind, body) for (body,) in rows]

    def page(self, kind: type[R], environment: str, *, after: str, limit: int) -> list[R]:
        rows = self._connection.execute(
            "SELECT body FROM item WHERE kind = ? AND environment = ? AND id > ? ORDER BY id LIMIT ?",
            (kind.kind, environment, after, limit),
        )
        return [_decode(kind, body) for (body,) in rows]

    def version(self, environment: str) -> int:
        row = self._connection.execute(
            "SELECT version FROM law_version WHERE environment = ?", (environment,)
        ).fetchone()
        return int(row[0]) if row else 0

    def head(self, environment: str) -> tuple[int, str]:
        row = self._connection.execute(
            "SELECT sequence, hash FROM chain WHERE environment = ? ORDER BY sequence DESC LIMIT 1", (environment,)
        ).fetchone()
        return (int(row[0]), str(row[1])) if row else (0, chain.genesis(environment))

    def events(self, environment: str, *, after: int, limit: int, newest_first: bool = False) -> list[str]:
        if newest_first:
            rows = self._connection.execute(
                "SELECT line FROM chain WHERE environment = ? AND sequence < ? ORDER BY sequence DESC LIMIT ?",
                (environment, after or chain.INTEGER_MAX, limit),
            )
        else:
            rows = self._connection.execute(
                "SELECT line FROM chain WHERE environment = ? AND sequence > ? ORDER BY sequence LIMIT ?",
                (environment, after, limit),
            )
        return [line for (line,) in rows]

    def _one(self, kind: type[R], where: str, parameters: tuple[str, ...]) -> R | None:
        row = self._connection.execute(f"SELECT body FROM item WHERE {where}", parameters).fetchone()
        return _decode(kind, row[0]) if row else None


def _decode(kind: type[R], body: str) -> R:
    try:
        record = _remembered(kind.kind, body) if len(body) <= REMEMBERED_CHARS_MAX else _read(kind.kind, body)
    except (KeyError, TypeError, ValueError):
        raise StoreUnavailable("A stored record cannot be read.", reason=f"a {kind.kind} cannot be decoded") from None
    if not isinstance(record, kind):
        raise StoreUnavailable("A stored record cannot be read.", reason=f"a {kind.kind} is something else")
    return record


def _read(kind: str, body: str) -> Record | Observation:
    return decode_record(kind, json.loads(body))


_remembered = lru_cache(maxsize=REMEMBERED_MAX)(_read)
"""Records are values: the same text is always the same one."""


def _put(connection: sqlite3.Connection, record: Record | Observation) -> None:
    connection.execute(
        "INSERT INTO item (kind, environment, id, unique_name, lookup, body, expires_at) VALUES (?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (kind, environment, id) DO UPDATE SET unique_name = excluded.unique_name,"
        " lookup = excluded.lookup, body = excluded.body, expires_at = excluded.expires_at",
        (
            record.kind,
            record.environment,
            record.id,
            record.unique or None,
            record.lookup or None,
            json.dumps(encode_record(record), ensure_ascii=False, separators=(",", ":")),
            (record.expires_at or None) if isinstance(record, Observation) else None,
        ),
    )


def _sweep(connection: sqlite3.Connection, now: str) -> None:
    """Take some of the observations away that expired before `now`."""
    connection.execute(
        "DELETE FROM item WHERE (kind, environment, id) IN"
        " (SELECT kind, environment, id FROM item WHERE expires_at < ? LIMIT ?)",
        (now, SWEPT_AT_ONCE),
    )


def _statements(script: str) -> Iterator[str]:
    """The statements of a script (executescript would commit the transaction it runs in)."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def _unavailable(error: sqlite3.Error) -> StoreUnavailable:
    return StoreUnavailable(
        "The control plane's store cannot be used just now.",
        advice="Try again; if it stays so, look at the disk of the home folder.",
        reason=f"{type(error).__name__} in the store",
    )
