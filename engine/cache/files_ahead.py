"""A worker asks ahead for the ends of the next files of a table whose files are opened one after another.

DuckDB opens a file, waits for its footer, and goes on to the next: with thousands of small files a scan would wait for
the store once for each. The last part of a file is what opening it reads in any case, so nothing is fetched in vain
but what lies behind the end of a scan that stops early.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Protocol

from engine.cache.objects import PART_BYTES

_FILES_AHEAD = 32
_OPENED_BEFORE = 4
"""Files opened in a row before the next ones are asked for."""
_NEAR = 4
"""Threads do not keep order."""
_TABLES_MAX = 1024


class File(Protocol):
    """One of a table's files."""

    number: int
    size: int


class _Row:
    __slots__ = ("asked", "count", "last")

    def __init__(self, at: int) -> None:
        self.last, self.count, self.asked = at, 1, at + 1


class FilesAhead:
    """Notes which files of a table are opened. Safe to use from every DuckDB thread."""

    def __init__(self, ask: Callable[[int, int, int], None]) -> None:
        """`ask` takes (object number, start, end) in bytes, does not wait, and raises OSError."""
        self._ask = ask
        self._lock = threading.Lock()
        self._rows: dict[str, _Row] = {}

    def opened(self, table: str, files: Sequence[File], at: int) -> None:
        """File `at` of a table's `files` is opened: ask for the ends of those that follow, if it goes on from others.

        Raises:
            OSError: the node is gone.
        """
        with self._lock:
            row = self._rows.get(table)
            if row is None or not -_NEAR <= at - row.last <= _NEAR:
                if len(self._rows) >= _TABLES_MAX:
                    self._rows.clear()
                self._rows[table] = _Row(at)
                return
            if at <= row.last:
                return
            row.last, row.count = at, row.count + 1
            if row.count < _OPENED_BEFORE:
                return
            first, row.asked = max(row.asked, at + 1), min(at + 1 + _FILES_AHEAD, len(files))
        for file in files[first : row.asked]:
            if file.size:
                self._ask(file.number, (file.size - 1) // PART_BYTES * PART_BYTES, file.size)
