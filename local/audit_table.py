"""`governance.audit_table.AuditTableFiles` over a home's audit: Parquet for each organization, made when it is read.

Files are derived: what was taken in stands in a database beside them (`local.audit_days`), in one transaction with the
names of the files it went into. Files are never changed; small ones are joined, and what is not needed any more stays
for a while, for statements that still read it.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from governance.audit_proof import unpack
from governance.audit_table import TableFile, WaitingRecords
from governance.errors import SourceUnavailable
from local.audit_days import folder_taken, fresh_days, object_taken, open_derived
from local.audit_rows import SCHEMA, of_organization, read

VERSION = 2
CATCH_UP_S = 5.0
"""How long one statement may spend on taking new objects in."""
KEEP_S = 900.0
"""How long a file stays after it is not needed any more: longer than a statement runs."""
OBJECTS_AT_ONCE = 256
TEXT_BYTES_AT_ONCE = 64 << 20
SMALL_ROWS = 200_000
SMALL_FILES_MAX = 8
"""So many files of fewer rows than that are joined to one."""
_ROW_GROUP_ROWS = 50_000
_CACHE_KB = 4096
_TABLES = """
CREATE TABLE files (name TEXT PRIMARY KEY, organization TEXT NOT NULL, rows INTEGER NOT NULL, size INTEGER NOT NULL)
  WITHOUT ROWID;
"""


class HomeAuditTable:
    """One node's; not for two threads at once."""

    def __init__(self, root: Path, folder: Path, environment: str) -> None:
        """The records of `environment` in the store at `root`, as files in `folder`, made when it is needed."""
        self._root = root
        self._folder = folder
        self._environment = environment

    def files(self, organization: str, waiting: WaitingRecords) -> Sequence[TableFile]:
        """See the port."""
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            books = _Books(self._root, self._folder, self._environment)
            try:
                taken_now, left = books.catch_up(CATCH_UP_S, set(waiting.lines))
                if left:
                    raise _not_now(f"The table of the audit is being made; {left} objects are left.")
                books.join_small(organization)
                return (*books.files(organization), books.tail(organization, waiting, taken_now))
            finally:
                books.close()
        except (sqlite3.Error, OSError, ValueError, pa.ArrowException) as error:
            raise _not_now("The audit cannot be read as a table now.", type(error).__name__) from None


def _not_now(sentence: str, reason: str = "being made") -> SourceUnavailable:
    return SourceUnavailable(sentence, advice="Try again in a moment.", reason=f"audit table: {reason}")


class _Books:
    """What was taken in, and the files it went into, open for one statement."""

    def __init__(self, root: Path, folder: Path, environment: str) -> None:
        """Open the books and sweep the folder; raises sqlite3.Error, OSError."""
        self._root = root
        self._folder = folder
        self._environment = environment
        self._connection = open_derived(folder / "books.sqlite", VERSION, _TABLES, _CACHE_KB)
        if not self._whole():
            self.close()
            for left in folder.glob("books.sqlite*"):
                left.unlink()
            self._connection = open_derived(folder / "books.sqlite", VERSION, _TABLES, _CACHE_KB)
        self._sweep()

    def close(self) -> None:
        """Let the books go."""
        self._connection.close()

    def _whole(self) -> bool:
        """Whether every file in the books is there, as long as it was; else all of them are made anew."""
        for name, size in self._connection.execute("SELECT name, size FROM files"):
            path = self._folder / name
            if not path.is_file() or path.stat().st_size != size:
                return False
        return True

    def _sweep(self) -> None:
        """Remove files that are in no book and that nobody can be reading any more."""
        known = {name for (name,) in self._connection.execute("SELECT name FROM files")}
        for path in self._folder.glob("*.parquet"):
            if path.name not in known and time.time() - path.stat().st_mtime > KEEP_S:
                path.unlink()

    # ------------------------------------------------------------ taking in

    def catch_up(self, budget_s: float, wanted: set[str]) -> tuple[set[str], int]:
        """Take in new objects for about `budget_s`: which of the `wanted` query ids were in them, how many are left."""
        deadline = time.monotonic() + budget_s
        found: set[str] = set()
        left = 0
        for day, changed_ns, fresh in fresh_days(self._root, self._connection):
            at = 0
            while at < len(fresh) and time.monotonic() < deadline:
                at += self._take(fresh[at:], wanted, found)
            left += len(fresh) - at
            if at == len(fresh):
                folder_taken(self._connection, day, changed_ns)
        return found, left

    def _take(self, names: Sequence[str], wanted: set[str], found: set[str]) -> int:
        """Take in the first of `names`; how many."""
        texts: list[bytes] = []
        damaged: list[bool] = []
        size = 0
        for name in names[:OBJECTS_AT_ONCE]:
            try:
                text = unpack((self._root / name).read_bytes())
            except (OSError, ValueError):
                text = b""
            texts.append(text)
            damaged.append(not text)
            size += len(text)
            if size >= TEXT_BYTES_AT_ONCE:
                break
        records = read(texts)
        if wanted:
            found |= wanted & set(records["query_id"].to_pylist())
        with self._connection:
            for name, bad in zip(names, damaged, strict=False):
                object_taken(self._connection, name, damaged=bad)
            for organization in pc.unique(records["organization"]).to_pylist():
                rows = of_organization(records, organization, self._environment)
                if organization is not None and len(rows):
                    self._note(organization, rows)
        return len(texts)

    def _note(self, organization: str, rows: pa.Table) -> None:
        """Write a file and note it, in the caller's transaction."""
        name = f"{secrets.token_hex(12)}.parquet"
        size = self._write(self._folder / name, rows)
        self._connection.execute("INSERT INTO files VALUES (?, ?, ?, ?)", (name, organization, len(rows), size))

    def _write(self, path: Path, rows: pa.Table) -> int:
        """Durably, so that the books never tell of a file that a power cut took; its size."""
        pq.write_table(rows, path, compression="zstd", row_group_size=_ROW_GROUP_ROWS)
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
            return os.fstat(descriptor).st_size
        finally:
            os.close(descriptor)

    def join_small(self, organization: str) -> None:
        """When the organization has many small files, make one of them."""
        small = [
            name
            for (name,) in self._connection.execute(
                "SELECT name FROM files WHERE organization = ? AND rows < ?", (organization, SMALL_ROWS)
            )
        ]
        if len(small) < SMALL_FILES_MAX:
            return
        rows = pa.concat_tables([pq.read_table(self._folder / name, schema=SCHEMA) for name in small])
        with self._connection:
            self._note(organization, rows)
            self._connection.executemany("DELETE FROM files WHERE name = ?", ((name,) for name in small))
        for name in small:
            os.utime(self._folder / name)  # it stays from now on for as long as a statement may read it

    # ------------------------------------------------------------ giving

    def _has(self, name: str) -> bool:
        return self._connection.execute("SELECT 1 FROM objects WHERE name = ?", (name,)).fetchone() is not None

    def files(self, organization: str) -> list[TableFile]:
        """The organization's files."""
        found = self._connection.execute("SELECT name, size FROM files WHERE organization = ?", (organization,))
        return [TableFile(self._folder / name, size) for name, size in found]

    def tail(self, organization: str, waiting: WaitingRecords, taken_now: set[str]) -> TableFile:
        """A file of what is in no object yet; without rows when there is nothing.

        A record moves from the node's lines to a parcel to the store, and was looked for in this order: one that moved
        meanwhile is met twice and counted where it was met last.
        """
        parcels = read([unpack(data) for name, data in waiting.parcels.items() if not self._has(name)])
        elsewhere = taken_now | set(parcels["query_id"].to_pylist())
        lines = read([line + b"\n" for query_id, line in waiting.lines.items() if query_id not in elsewhere])
        rows = of_organization(pa.concat_tables([parcels, lines]), organization, self._environment)
        made = pa.BufferOutputStream()
        pq.write_table(rows, made, compression="zstd")
        data = made.getvalue().to_pybytes()
        path = self._folder / f"tail-{hashlib.sha256(data).hexdigest()[:32]}.parquet"
        if path.is_file():
            os.utime(path)
        else:
            temporary = self._folder / f"tmp-{secrets.token_hex(8)}.parquet"
            temporary.write_bytes(data)
            temporary.replace(path)
        return TableFile(path, len(data))
