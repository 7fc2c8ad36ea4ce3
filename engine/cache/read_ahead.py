"""A worker reads ahead of its scans: the columns read in neighboring row groups are asked for in the next ones.

DuckDB's threads each wait for one range at a time; a store answers after many milliseconds. So the node is asked, by
a thread that nobody waits for, to bring what a scan will want. A look-up by key, which reads one row group here and
one there, sets nothing off.
"""

from __future__ import annotations

import queue
import threading
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterator

from engine.cache.row_groups import END_BYTES, Chunk, NotParquet, RowGroups, footer_bytes

_GROUPS_AHEAD = 4
_NEAR_GROUPS = 4
"""Two reads of a column so many row groups apart are a scan: DuckDB's threads do not keep order."""
_READS_BEFORE = 8
"""Reads of an object before its footer is looked at, which takes time from whoever looks up one row."""
_CHUNKS_MAX = 4096
_BYTES_MAX = 32 << 20
"""Asked for at one time."""
_FOOTER_BYTES_MAX = 16 << 20
_OBJECTS_MAX = 256
_NOTES_MAX = 1024


class _Scan:
    """What of an object was read lately, and what was asked for and not read yet."""

    def __init__(self) -> None:
        self.groups: RowGroups | None = None
        self.early: list[tuple[int, int]] | None = []
        """Reads before the footer was looked at; None afterwards."""
        self.read: OrderedDict[Chunk, None] = OrderedDict()
        self.asked: OrderedDict[Chunk, None] = OrderedDict()

    def following(self, groups: RowGroups, start: int, end: int) -> Iterator[Chunk]:
        """Take in a read, and give the chunks that follow it, if it goes on from another one."""
        for group, column in groups.chunks(start, end):
            steps = range(1, _NEAR_GROUPS + 1)
            near = any((group + by, column) in self.read or (group - by, column) in self.read for by in steps)
            _add(self.read, (group, column))
            self.asked.pop((group, column), None)
            for chunk in ((at, column) for at in range(group + 1, min(group + _GROUPS_AHEAD + 1, len(groups)))):
                if near and chunk not in self.asked and chunk not in self.read:
                    _add(self.asked, chunk)
                    yield chunk


def _add(chunks: OrderedDict[Chunk, None], chunk: Chunk) -> None:
    chunks[chunk] = None
    chunks.move_to_end(chunk)
    while len(chunks) > _CHUNKS_MAX:
        chunks.popitem(last=False)


class ReadAhead:
    """Notes reads; asks for what follows. Safe to use from every DuckDB thread."""

    def __init__(self, read: Callable[[int, int, int], bytes], ask: Callable[[int, int, int], None]) -> None:
        """`read` and `ask` take (object number, start, end) in bytes; `read` raises OSError, `ask` does not wait."""
        self._read = read
        self._ask = ask
        self._notes: queue.SimpleQueue[tuple[int, int, int, int]] = queue.SimpleQueue()
        self._scans: OrderedDict[int, _Scan] = OrderedDict()

    def start(self) -> None:
        """Begin to listen."""
        threading.Thread(target=self._follow, name="read-ahead", daemon=True).start()

    def note(self, number: int, size: int, start: int, end: int, *, waited: bool) -> None:
        """Bytes [start, end) of an object of `size` bytes were read; `waited`: they had to be asked for."""
        if (waited or number in self._scans) and self._notes.qsize() < _NOTES_MAX:  # so busy a worker waits for nothing
            self._notes.put((number, size, start, end))

    def _follow(self) -> None:
        while True:
            number, size, start, end = self._notes.get()
            try:
                self.follow(number, size, start, end)
            except OSError:
                self._scans.pop(number, None)  # the reader will be told

    def follow(self, number: int, size: int, start: int, end: int) -> None:
        """Ask for what follows a read.

        Raises:
            OSError: the footer cannot be had, or the node is gone.
        """
        scan = self._scans.get(number)
        if scan is None:
            scan = self._scans[number] = _Scan()
            while len(self._scans) > _OBJECTS_MAX:
                self._scans.popitem(last=False)
        reads = [(start, end)]
        if scan.early is not None:
            scan.early.append((start, end))
            if len(scan.early) < _READS_BEFORE:
                return
            reads, scan.early = scan.early, None
            scan.groups = self._groups(number, size)
        if scan.groups is None:
            return
        wanted: defaultdict[int, list[int]] = defaultdict(list)
        for read in reads:
            for group, column in scan.following(scan.groups, *read):
                wanted[group].append(column)
        left = _BYTES_MAX
        for group in sorted(wanted):
            for low, ends in scan.groups.spans(group, wanted[group]):
                high = min(ends, size)
                left -= high - low
                if left < 0:
                    return
                if low < high:
                    self._ask(number, low, high)

    def _groups(self, number: int, size: int) -> RowGroups | None:
        try:
            length = footer_bytes(self._read(number, max(size - END_BYTES, 0), size)) + END_BYTES
            if length > min(size, _FOOTER_BYTES_MAX):
                return None
            groups = RowGroups.read(self._read(number, size - length, size))
        except NotParquet:
            return None
        return groups if len(groups) > 1 else None
