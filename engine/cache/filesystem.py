"""DuckDB's one door: a read-only file system `hati://` whose files are pinned objects, read block by block.

`hati://s/<snapshot>/*` lists a snapshot, `hati://o/<object number>/<path below the table>` is one of its objects (the
path keeps its `key=value` folders for Hive partitions). An object keeps its name from snapshot to snapshot, so what
DuckDB remembers of a file stays good. Names are looked up in what the node sent, never taken apart into paths.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Protocol

import fsspec

from engine.cache.block_client import BlockClient, BlocksRefused
from engine.cache.files_ahead import FilesAhead
from engine.cache.read_ahead import ReadAhead

_LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
"""Objects are immutable versions, so they are never modified."""


class Image(Protocol):
    """A snapshot as the node describes it."""

    @property
    def id(self) -> str: ...  # noqa: D102
    @property
    def table(self) -> str: ...  # noqa: D102
    @property
    def objects(self) -> tuple[Any, ...]: ...  # noqa: D102


class Faults:
    """Which tables' files could not be read, and why the last time."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._why: dict[str, str] = {}

    def note(self, tables: Iterable[str], why: str = "") -> None:
        """A read failed; `why` is an outcome in small letters, or empty."""
        for table in tables:
            self._counts[table] += 1
            self._why[table] = why

    def count(self, table: str) -> int:
        """How often, ever; a statement compares before and after."""
        return self._counts[table]

    def why(self, table: str) -> str:
        """Why the last time."""
        return self._why.get(table, "")


class _Pinned:
    __slots__ = ("at", "files", "name", "number", "size", "tables")

    def __init__(self, name: str, number: int, size: int) -> None:
        self.name, self.number, self.size = name, number, size
        self.tables: Counter[str] = Counter()
        self.files: list[_Pinned] = []
        """Those of the newest snapshot that holds it; it is number `at` of them."""
        self.at = 0


class PinnedFile:
    """One open object. DuckDB seeks and reads from several threads, so the position is per thread."""

    def __init__(self, pinned: _Pinned, blocks: BlockClient, ahead: ReadAhead, faults: Faults) -> None:
        self._pinned = pinned
        self._blocks = blocks
        self._ahead = ahead
        self._faults = faults
        self._positions: dict[int, int] = {}
        self.closed = False

    def seek(self, offset: int, whence: int = 0) -> int:
        """Move this thread's position."""
        if whence == 1:
            offset += self.tell()
        elif whence == 2:
            offset += self._pinned.size
        self._positions[threading.get_ident()] = offset
        return offset

    def tell(self) -> int:
        """This thread's position."""
        return self._positions.get(threading.get_ident(), 0)

    def read(self, size: int = -1) -> bytes:
        """At most `size` bytes from this thread's position.

        Raises:
            BlocksRefused: the node did not give a block.
        """
        start = self.tell()
        end = self._pinned.size if size < 0 else min(start + size, self._pinned.size)
        if end <= start:
            return b""
        number = self._pinned.number
        try:
            data, waited = self._blocks.read(number, start, end)
        except BlocksRefused as refused:
            self._faults.note(tuple(self._pinned.tables), refused.outcome.name.lower())
            raise
        self._positions[threading.get_ident()] = end
        if len(data) != end - start:
            self._faults.note(tuple(self._pinned.tables))
            raise OSError("short block")
        self._ahead.note(number, self._pinned.size, start, end, waited=waited)
        return data

    def readable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """Always."""
        return True

    def writable(self) -> bool:
        """Never."""
        return False

    def flush(self) -> None:
        """Nothing is written."""

    def close(self) -> None:
        """Let go."""
        self.closed = True
        self._positions.clear()


class PinnedFileSystem(fsspec.AbstractFileSystem):  # type: ignore[misc]
    """What DuckDB sees of the world."""

    protocol = "hati"
    cachable = False

    def __init__(self, blocks: BlockClient) -> None:
        super().__init__()
        self._block_client = blocks
        self._ahead = ReadAhead(lambda number, start, end: blocks.read(number, start, end)[0], blocks.ask)
        self._files_ahead = FilesAhead(blocks.ask)
        self._known = threading.Condition()
        self._snapshots: dict[str, tuple[str, list[_Pinned]]] = {}
        self._objects: dict[str, _Pinned] = {}
        self._numbers: dict[int, _Pinned] = {}
        self.faults = Faults()

    def start(self) -> None:
        """Begin to read ahead of scans."""
        self._ahead.start()

    def admit(self, images: Iterable[Image]) -> None:
        """Learn snapshots."""
        with self._known:
            for image in images:
                if image.id in self._snapshots:
                    continue
                files: list[_Pinned] = []
                for pinned in image.objects:
                    known = self._numbers.get(pinned.number)
                    if known is None:
                        known = _Pinned(f"o/{pinned.number}/{pinned.path}", pinned.number, pinned.size)
                        self._numbers[pinned.number] = self._objects[known.name] = known
                    known.tables[image.table] += 1
                    known.files, known.at = files, len(files)
                    files.append(known)
                self._snapshots[image.id] = (image.table, files)
            self._known.notify_all()

    def forget(self, ids: Iterable[str]) -> None:
        """Drop snapshots no statement will name again."""
        with self._known:
            for snapshot in ids:
                table, files = self._snapshots.pop(snapshot, ("", []))
                for pinned in files:
                    pinned.tables[table] -= 1
                    if pinned.tables[table] <= 0:
                        del pinned.tables[table]
                    if not pinned.tables:
                        pinned.files = []
                        del self._numbers[pinned.number], self._objects[pinned.name]

    def await_snapshots(self, ids: tuple[str, ...], timeout_s: float) -> bool:
        """Whether all of `ids` are known; they may still be on their way on another channel."""
        with self._known:
            return self._known.wait_for(lambda: all(i in self._snapshots for i in ids), timeout_s)

    def table_of(self, snapshot: str) -> str:
        """The table a snapshot belongs to, or empty."""
        return self._snapshots.get(snapshot, ("", []))[0]

    def tables_of(self, number: int) -> tuple[str, ...]:
        """The tables whose snapshots hold object `number`."""
        pinned = self._numbers.get(number)
        return tuple(pinned.tables) if pinned is not None else ()

    def _find(self, path: str) -> _Pinned:
        pinned = self._objects.get(path.removeprefix("hati://"))
        if pinned is None:
            raise FileNotFoundError("no such object")
        return pinned

    # ------------------------------------------------------------------ what DuckDB calls, as fsspec spells it

    def glob(self, path: str, maxdepth: int | None = None, **kwargs: Any) -> list[str]:  # noqa: ARG002
        """The files of a snapshot, for `s/<id>/*`; an object's own name for itself; nothing else exists."""
        name = path.removeprefix("hati://")
        if name.startswith("s/") and name.endswith("/*"):
            return [pinned.name for pinned in self._snapshots.get(name[2:-2], ("", []))[1]]
        return [name] if name in self._objects else []

    def info(self, path: str, **kwargs: Any) -> dict[str, Any]:  # noqa: ARG002
        """Name, size and kind of an object."""
        pinned = self._find(path)
        return {"name": pinned.name, "size": pinned.size, "type": "file"}

    def size(self, path: str) -> int:
        """Bytes of an object."""
        return self._find(path).size

    def exists(self, path: str, **kwargs: Any) -> bool:  # noqa: ARG002
        """Whether a statement's snapshot has it."""
        return path.removeprefix("hati://") in self._objects

    isfile = exists

    def isdir(self, path: str) -> bool:  # noqa: ARG002
        """There are no folders."""
        return False

    def modified(self, path: str) -> datetime:  # noqa: ARG002
        """The same moment always: a version does not change."""
        return _LONG_AGO

    def open(self, path: str, mode: str = "rb", *args: Any, **kwargs: Any) -> PinnedFile:  # noqa: ARG002
        """An object for reading.

        Raises:
            PermissionError: any other mode.
            OSError: the node is gone.
        """
        if mode not in ("rb", "r"):
            raise PermissionError("read-only")
        pinned = self._find(path)
        for table in tuple(pinned.tables):
            self._files_ahead.opened(table, pinned.files, pinned.at)
        return PinnedFile(pinned, self._block_client, self._ahead, self.faults)
