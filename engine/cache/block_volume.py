"""Block files on the cache volume: written part by part, each part checksummed, verified before a file is handed out.

A file is one page of header and the block at its place behind it, with holes where parts are missing. The header
holds a magic word, the block's size and for each part its XXH3 checksum, or 0. A part counts when its checksum matches
its bytes: a write that was torn anywhere costs a fetch, so there is no need to write aside and rename. Nothing here is
durable on purpose: the volume is ephemeral and rebuilds itself from the store (claim W6.3). Blocking; runs in threads.
"""

from __future__ import annotations

import fcntl
import os
import re
import struct
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import xxhash

from engine.cache.block_index import BlockKey
from engine.cache.objects import HEADER_BYTES, PART_BYTES, PARTS

_HEAD = struct.Struct(">4sI")
_SUMS = struct.Struct(f">{PARTS}Q")
_SUM_BYTES = 8
_MAGIC = b"HBK3"
_NAME = re.compile(r"\A([0-9a-f]{32})-(\d{1,10})\.block\Z")
_NONE = -1
_SEALS = (
    getattr(fcntl, "F_SEAL_SEAL", 1) | getattr(fcntl, "F_SEAL_SHRINK", 2)
    | getattr(fcntl, "F_SEAL_GROW", 4) | getattr(fcntl, "F_SEAL_WRITE", 8)
)  # fmt: skip


class OpenBlock:
    """A block's open file, closed when its last user is done.

    `descriptor` is for reading and the one that leaves this process; `parts` says which parts are there to be read.
    """

    __slots__ = ("descriptor", "parts", "writer")

    def __init__(self, descriptor: int, parts: int, writer: int = _NONE) -> None:
        self.descriptor = descriptor
        self.parts = parts
        self.writer = writer

    def __del__(self) -> None:
        for descriptor in (self.descriptor, self.writer):
            if descriptor != _NONE:
                os.close(descriptor)


class GrowingBlock(OpenBlock):
    """A block of the volume, whose file is made by the first part that is written to it."""

    __slots__ = ("_key", "_making", "_size", "_volume", "listed")

    def __init__(self, volume: BlockVolume, key: BlockKey, size: int) -> None:
        super().__init__(_NONE, 0)
        self.listed = False
        """Whether the index was told of it."""
        self._volume = volume
        self._key = key
        self._size = size
        self._making = threading.Lock()

    def write(self, first: int, data: memoryview) -> None:
        """Put parts, from part `first` of the block on, in their place; the caller adds them to `parts` then.

        Parts are only ever added, and a part's bytes never change, so readers of others need not wait.

        Raises:
            OSError: the volume is full or broken; what was written does not count.
        """
        sums = [_sum(data[at : at + PART_BYTES]) for at in range(0, len(data), PART_BYTES)]
        try:
            with self._making:
                if self.writer == _NONE:
                    self._volume.create(self._key, self._size, self)
            _write(self.writer, data, HEADER_BYTES + first * PART_BYTES)
            _write(self.writer, struct.pack(f">{len(sums)}Q", *sums), _HEAD.size + first * _SUM_BYTES)
        except OSError:
            if not self.listed:
                self._volume.delete([self._key])
            raise


def _sum(part: bytes | memoryview) -> int:
    """A part's checksum; never 0, which means that there is none."""
    return xxhash.xxh3_64_intdigest(part) or 1


def _write(descriptor: int, data: bytes | memoryview, at: int) -> None:
    if os.pwrite(descriptor, data, at) != len(data):
        raise OSError("short write")


class BlockVolume:
    """The folder `root` (made 0700) with one file per block in 256 sub-folders."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        root.chmod(0o700)
        for number in range(256):
            (root / f"{number:02x}").mkdir(mode=0o700, exist_ok=True)

    def _path(self, key: BlockKey) -> Path:
        name, block = key
        return self.root / name[:2] / f"{name}-{block}.block"

    def found(self) -> Iterator[tuple[BlockKey, int]]:
        """(block, bytes it takes) of everything on the volume, least recently used first; leftovers are swept away."""
        seen = []
        for folder in self.root.iterdir():
            if not folder.is_dir():
                continue
            for entry in os.scandir(folder):
                match = _NAME.match(entry.name)
                if match is None:
                    Path(entry.path).unlink(missing_ok=True)
                    continue
                status = entry.stat(follow_symlinks=False)
                seen.append((status.st_mtime_ns, (match[1], int(match[2])), status.st_blocks * 512))
        yield from ((key, size) for _, key, size in sorted(seen))

    def create(self, key: BlockKey, size: int, block: OpenBlock) -> None:
        """Make a new file for a block of `size` bytes, and open it in `block`.

        Raises:
            OSError: the volume is full or broken; nothing is left behind.
        """
        path = self._path(key)
        path.unlink(missing_ok=True)  # a bad one; whoever still reads it keeps it
        writer = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        try:
            _write(writer, _HEAD.pack(_MAGIC, size), 0)
            block.descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except BaseException:
            os.close(writer)
            path.unlink(missing_ok=True)
            raise
        block.writer = writer

    def open(self, key: BlockKey, size: int) -> GrowingBlock | None:
        """A block of `size` bytes with its parts verified, or None when there is none good (then it is removed)."""
        path = self._path(key)
        flags = os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0)
        block = GrowingBlock(self, key, size)
        block.listed = True
        try:
            block.writer = os.open(path, os.O_WRONLY | flags)
            block.descriptor = os.open(path, os.O_RDONLY | flags)
            if os.fstat(block.descriptor).st_ino == os.fstat(block.writer).st_ino:
                block.parts = _verified(block.descriptor, size)
                os.utime(block.descriptor)
        except OSError:
            return None
        if block.parts:
            return block
        path.unlink(missing_ok=True)
        return None

    def delete(self, keys: list[BlockKey]) -> None:
        """Remove blocks; a reader that holds a descriptor keeps reading."""
        for key in keys:
            self._path(key).unlink(missing_ok=True)

    def space(self) -> tuple[int, int]:
        """(total, free) bytes of the file system the volume is on."""
        status = os.statvfs(self.root)
        return status.f_blocks * status.f_frsize, status.f_bavail * status.f_frsize


def _verified(descriptor: int, size: int) -> int:
    """The parts of a block of `size` bytes that its file holds as they were written."""
    header = os.pread(descriptor, _HEAD.size + _SUMS.size, 0)
    if len(header) < _HEAD.size or _HEAD.unpack_from(header) != (_MAGIC, size):
        return 0
    found = 0
    for part, checksum in enumerate(_SUMS.unpack(header[_HEAD.size :].ljust(_SUMS.size, b"\0"))):
        length = min(PART_BYTES, size - part * PART_BYTES)
        if checksum and length > 0:
            data = os.pread(descriptor, length, HEADER_BYTES + part * PART_BYTES)
            if len(data) == length and _sum(data) == checksum:
                found |= 1 << part
    return found


def unlisted(pieces: list[tuple[int, bytes | memoryview]], parts: int) -> OpenBlock:
    """A block that no volume holds, of (first part, bytes) pieces: serves readers when the volume cannot take it."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("block", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        block = OpenBlock(descriptor, parts)
        _fill(descriptor, pieces)
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, _SEALS)  # it goes to workers of several organizations
        return block
    with tempfile.NamedTemporaryFile() as made:
        _fill(made.fileno(), pieces)
        return OpenBlock(os.open(made.name, os.O_RDONLY | os.O_CLOEXEC), parts)


def _fill(descriptor: int, pieces: list[tuple[int, bytes | memoryview]]) -> None:
    for first, data in pieces:
        os.pwrite(descriptor, data, HEADER_BYTES + first * PART_BYTES)
