"""Block files on the cache volume: written whole or not at all, checksummed, verified before they are handed out.

A file is the block's bytes and a 16-byte trailer (magic, CRC-32, length). It is written under a temporary name and
renamed; a torn, cut or altered file fails verification and is fetched again. Nothing here is durable on purpose: the
volume is ephemeral and rebuilds itself from the store (claim W6.3). Blocking; runs in a thread.
"""

from __future__ import annotations

import os
import re
import secrets
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

from engine.cache.block_index import BlockKey

_TRAILER = struct.Struct(">4sIQ")
_MAGIC = b"HBK1"
_NAME = re.compile(r"\A([0-9a-f]{32})-(\d{1,10})\.block\Z")
_TEMPORARY = ".part-"


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
        """(block, file bytes) of everything on the volume, least recently used first; leftovers are swept away."""
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
                seen.append((status.st_mtime_ns, (match[1], int(match[2])), status.st_size))
        yield from ((key, size) for _, key, size in sorted(seen))

    def write(self, key: BlockKey, data: memoryview) -> int:
        """Put the block on the volume; return a descriptor for reading it.

        Raises:
            OSError: the volume is full or broken; nothing is left behind.
        """
        path = self._path(key)
        temporary = path.with_name(f"{_TEMPORARY}{secrets.token_hex(8)}")
        descriptor = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        try:
            try:
                os.writev(descriptor, [data, _TRAILER.pack(_MAGIC, zlib.crc32(data), len(data))])
                _expect_size(descriptor, len(data) + _TRAILER.size)
            finally:
                os.close(descriptor)
            temporary.rename(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def open(self, key: BlockKey, size: int) -> int | None:
        """A descriptor for a verified block of `size` bytes, or None when it is missing or bad (then it is removed)."""
        path = self._path(key)
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0))
        except OSError:
            return None
        try:
            content = os.pread(descriptor, size + _TRAILER.size + 1, 0)
            body = memoryview(content)[:size]
            good = len(content) == size + _TRAILER.size and _TRAILER.unpack(content[size:]) == (
                _MAGIC,
                zlib.crc32(body),
                size,
            )
            if good:
                os.utime(descriptor)
                return descriptor
        except OSError:
            pass
        os.close(descriptor)
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

    @staticmethod
    def file_bytes(size: int) -> int:
        """What a block of `size` bytes takes on the volume."""
        return size + _TRAILER.size


def _expect_size(descriptor: int, size: int) -> None:
    if os.fstat(descriptor).st_size != size:
        raise OSError("short write")


def unlisted(data: memoryview) -> int:
    """A descriptor of bytes that no file system holds: serves a block when the volume cannot take it."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("block", os.MFD_CLOEXEC)
    else:
        import tempfile

        descriptor, name = tempfile.mkstemp()
        Path(name).unlink()
    os.write(descriptor, data)
    return descriptor
