"""What was taken in of a home's audit, by whatever is derived from it: folders of days and the objects in them."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

_GRAIN_NS = 2_000_000_000
"""Within the clock's grain a change of a folder may not show."""
QUERIES = "queries"
SCHEMA = """
CREATE TABLE objects (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, damaged INTEGER NOT NULL);
CREATE TABLE folders (name TEXT PRIMARY KEY, changed_ns INTEGER NOT NULL) WITHOUT ROWID;
"""


def open_derived(path: Path, version: int, schema: str, cache_kb: int) -> sqlite3.Connection:
    """The database at `path`, with `SCHEMA` and `schema`; one that is broken or of another version is made anew.

    Raises:
        sqlite3.Error, OSError: it cannot be opened or made.
    """
    try:
        connection: sqlite3.Connection | None = _connect(path, cache_kb)
        if connection is not None and connection.execute("PRAGMA user_version").fetchone()[0] == version:
            return connection
    except sqlite3.DatabaseError:
        connection = None
    if connection is not None:
        connection.close()
    for suffix in ("", "-wal", "-shm"):
        Path(f"{path}{suffix}").unlink(missing_ok=True)
    connection = _connect(path, cache_kb)
    with connection:
        connection.executescript(f"BEGIN; {SCHEMA} {schema} PRAGMA user_version = {version}; COMMIT;")
    return connection


def _connect(path: Path, cache_kb: int) -> sqlite3.Connection:
    connection = sqlite3.connect(path, check_same_thread=False, timeout=5)
    connection.execute("PRAGMA journal_mode = WAL")
    # What a power cut takes from it is in the objects still.
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute(f"PRAGMA cache_size = -{cache_kb}")
    return connection


def fresh_days(root: Path, connection: sqlite3.Connection) -> Iterator[tuple[str, int, list[str]]]:
    """Folders of days (`queries/2026/11/22`), oldest first, that hold objects not taken in: moment of change, objects.

    The moment is read before the folder is listed: a file that appears in between is seen the next time. A folder
    counts as known once `folder_taken` said so.

    Raises:
        sqlite3.Error, OSError: the database or the store cannot be read.
    """
    top = root / QUERIES
    if not top.is_dir():
        return
    known = dict(connection.execute("SELECT name, changed_ns FROM folders"))
    for folder in sorted(top.glob("[0-9]*/[0-9]*/[0-9]*")):
        changed_ns = folder.stat().st_mtime_ns
        day = folder.relative_to(root).as_posix()
        if known.get(day) == changed_ns and time.time_ns() - changed_ns >= _GRAIN_NS:
            continue
        taken = {name for (name,) in connection.execute("SELECT name FROM objects WHERE name GLOB ?", (day + "/*",))}
        names = sorted(f"{day}/{entry.name}" for entry in folder.iterdir() if entry.name.endswith(".jsonl.gz"))
        yield day, changed_ns, [name for name in names if name not in taken]


def folder_taken(connection: sqlite3.Connection, day: str, changed_ns: int) -> None:
    """Everything that the folder held at that moment has been taken in."""
    with connection:
        connection.execute("INSERT OR REPLACE INTO folders VALUES (?, ?)", (day, changed_ns))


def object_taken(connection: sqlite3.Connection, name: str, *, damaged: bool) -> int:
    """Note one object, in the caller's transaction; its number."""
    found = connection.execute("INSERT INTO objects (name, damaged) VALUES (?, ?)", (name, int(damaged)))
    return int(found.lastrowid or 0)
