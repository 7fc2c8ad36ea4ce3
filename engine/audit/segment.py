"""One spool segment: a preallocated file that is only ever appended to."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from engine.audit.frames import FrameKind, SegmentHeader, encode


def segment_path(spool: Path, number: int) -> Path:
    """Where segment `number` lies."""
    return spool / f"segment-{number:012d}.log"


def segment_number(path: Path) -> int:
    """The number in a segment's name.

    Raises:
        ValueError: not a segment's name.
    """
    return int(path.stem.removeprefix("segment-"))


def sync_folder(folder: Path) -> None:
    """Make names made or removed in `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class Segment:
    """The segment that is written. All methods may raise OSError; then the segment must be abandoned."""

    def __init__(self, spool: Path, header: SegmentHeader, size: int, seq: int) -> None:
        """Make the file, reserve its space and write its header, durably."""
        self.number = header.number
        self.size = size
        self.used = 0
        self.durable = 0
        """Bytes known to be on the disk."""
        self._hash = hashlib.sha256()
        self._pending: list[bytes] = []
        self._path = segment_path(spool, header.number)
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(self._descriptor, 0, size)
            self.write(encode(FrameKind.HEADER, seq, header.encode()))
            os.fsync(self._descriptor)
            self._settled()
            sync_folder(spool)
        except OSError:
            os.close(self._descriptor)
            self._path.unlink(missing_ok=True)
            raise

    def has_room(self, count: int) -> bool:
        """Whether `count` bytes more fit. A record longer than a segment gets one of its own."""
        return self.used + count <= self.size

    def write(self, data: bytes) -> None:
        """Append; survives the process, not yet a power cut."""
        view = memoryview(data)
        at = self.used
        while view:
            count = os.pwrite(self._descriptor, view, at)
            view = view[count:]
            at += count
        self.used = at
        self._pending.append(data)

    def sync(self) -> None:
        """Make everything written durable."""
        os.fdatasync(self._descriptor)
        self._settled()

    def _settled(self) -> None:
        for data in self._pending:
            self._hash.update(data)
        self._pending.clear()
        self.durable = self.used

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of the durable bytes."""
        return self._hash.hexdigest()

    def close(self) -> None:
        """No more writes."""
        os.close(self._descriptor)

    def abandon(self) -> None:
        """After a failed write or sync: cut what was never acknowledged, as far as the disk still obeys."""
        try:
            os.ftruncate(self._descriptor, self.durable)
            os.fsync(self._descriptor)
        except OSError:
            # The next segment's header says where this one ends, which holds even when the cut did not succeed.
            pass
        finally:
            os.close(self._descriptor)
