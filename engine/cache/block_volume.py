"""Block files on the cache volume: written part by part, each part checksummed, verified before a file is handed out.

A file is one page of header and the block at its place behind it, with holes where parts are missing. The header
holds a magic word, the block's size and for each part (present, CRC-32). A part counts when its entry matches its
bytes: a write that was torn anywhere costs a fetch, so there is no need to write aside and rename. Nothing here is
durable on purpose: the volume is ephemeral and rebuilds itself from the store (claim W6.3). Blocking; runs in threads.
"""

from __future__ import annotations

import fcntl
import os
import re
import struct
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from engine.cache.block_index import BlockKey
from engine.cache.objects import HEADER_BYTES, PART_BYTES, PARTS

_HEAD = struct.Struct(">4sI")
_ENTRY = struct.Struct(">II")
_MAGIC = b"HBK2"
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

    __slots__ = ("_writer", "descriptor", "parts")

    def __init__(self, descriptor: int, parts: int, writer: int = _NONE) -> None:
        self.descriptor = descriptor
        self.parts = parts
        self._writer = writer

    def __del__(self) -> None:
        os.close(self.descriptor)
        if self._writer != _NONE:
            os.close(self._writer)

    def write(self, first: int, data: memoryview) -> None:
        """Put parts, from part `first` of the block on, in their place; the caller adds them to `parts` then.

        Parts are only ever added, and a part's bytes never change, so readers of others need not wait.

        Raises:
            OSError: the volume is full or broken; what was written does not count.
        """
        entries = b"".join(
            _ENTRY.pack(1, zlib.crc32(data[at : at + PART_BYTES])) for at in range(0, len(data), PART_BYTES)
        )
        _write(self._writer, data, HEADER_BYTES + first * PART_BYTES)
        _write(self._writer, entries, _HEAD.size + first * _ENTRY.size)


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

    def create(self, key: BlockKey, size: int, first: int, data: memoryview) -> OpenBlock:
        """A new file for a block of `size` bytes, with the parts in `data` from part `first` on.

        Raises:
            OSError: the volume is full or broken; nothing is left behind.
        """
        path = self._path(key)
        path.unlink(missing_ok=True)  # a bad one; whoever still reads it keeps it
        writer = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        try:
            try:
                block = OpenBlock(os.open(path, os.O_RDONLY | os.O_CLOEXEC), 0, writer)
            except BaseException:
                os.close(writer)
                raise
            _write(writer, _HEAD.pack(_MAGIC, size), 0)
            block.write(first, data)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        return block

    def open(self, key: BlockKey, size: int) -> OpenBlock | None:
        """A block of `size` bytes with its parts verified, or None when there is none good (then it is removed)."""
        path = self._path(key)
        flags = os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0)
        try:
            writer = os.open(path, os.O_WRONLY | flags)
        except OSError:
            return None
        try:
            descriptor = os.open(path, os.O_RDONLY | flags)
        except OSError:
            os.close(writer)
            return None
        block = OpenBlock(descriptor, 0, writer)
        try:
            if os.fstat(descriptor).st_ino == os.fstat(writer).st_ino:
                block.parts = _verified(descriptor, size)
                os.utime(descriptor)
        except OSError:
            block.parts = 0
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
    header = os.pread(descriptor, HEADER_BYTES, 0)
    if len(header) < _HEAD.size or _HEAD.unpack_from(header) != (_MAGIC, size):
        return 0
    found = 0
    for part in range(min(PARTS, -(-size // PART_BYTES))):
        at = _HEAD.size + part * _ENTRY.size
        if len(header) < at + _ENTRY.size:
            break
        present, checksum = _ENTRY.unpack_from(header, at)
        if present == 1:
            length = min(PART_BYTES, size - part * PART_BYTES)
            data = os.pread(descriptor, length, HEADER_BYTES + part * PART_BYTES)
            if len(data) == length and zlib.crc32(data) == checksum:
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
