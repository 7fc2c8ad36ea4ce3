"""A worker reads ahead of its scans: the columns read in neighboring row groups are asked for in the next ones.

DuckDB's threads each wait for one range at a time; a store answers after many milliseconds. So the node is asked, by
a thread that nobody waits for, to bring what a scan will want. A look-up by key, which reads one row group here and
one there, sets nothing off.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections import OrderedDict, defaultdict
from collections.abc import Callable

from engine.cache.row_groups import END_BYTES, NotParquet, RowGroups, footer_bytes

_GROUPS_AHEAD = 4
_NEAR_GROUPS = 4
"""Two reads of a column so many row groups apart are a scan: DuckDB's threads do not keep order."""
_BYTES_MAX = 32 << 20
"""Asked for at one time."""
_FOOTER_BYTES_MAX = 16 << 20
_OBJECTS_MAX = 256
_NOTES_MAX = 1024


class _Scan:
    """How far each column of an object was read, and asked for."""

    def __init__(self, groups: RowGroups | None) -> None:
        self.groups = groups
        self.read: dict[int, int] = {}
        self.asked: dict[int, int] = {}


class ReadAhead:
    """Notes reads; asks for what follows. Safe to use from every DuckDB thread."""

    def __init__(self, read: Callable[[int, int, int], bytes], ask: Callable[[int, int, int], None]) -> None:
        """`read` and `ask` take (object number, start, end) in bytes; `read` raises OSError, `ask` does not wait."""
        self._read = read
        self._ask = ask
        self._notes: queue.Queue[tuple[int, int, int, int]] = queue.Queue(_NOTES_MAX)
        self._scans: OrderedDict[int, _Scan] = OrderedDict()

    def start(self) -> None:
        """Begin to listen."""
        threading.Thread(target=self._follow, name="read-ahead", daemon=True).start()

    def note(self, number: int, size: int, start: int, end: int, *, waited: bool) -> None:
        """Bytes [start, end) of an object of `size` bytes were read; `waited`: they had to be asked for."""
        if waited or number in self._scans:
            with contextlib.suppress(queue.Full):  # so busy a worker waits for nothing
                self._notes.put_nowait((number, size, start, end))

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
            scan = self._scans[number] = _Scan(self._groups(number, size))
            while len(self._scans) > _OBJECTS_MAX:
                self._scans.popitem(last=False)
        if scan.groups is None:
            return
        wanted: defaultdict[int, list[int]] = defaultdict(list)
        for group, column in scan.groups.chunks(start, end):
            last = scan.read.get(column, group)
            scan.read[column] = latest = max(last, group)
            if group != last and abs(group - last) <= _NEAR_GROUPS:
                upto = min(latest + _GROUPS_AHEAD, len(scan.groups) - 1)
                for following in range(max(scan.asked.get(column, 0), latest) + 1, upto + 1):
                    wanted[following].append(column)
                scan.asked[column] = max(scan.asked.get(column, 0), upto)
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
