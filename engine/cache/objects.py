"""What is pinned: objects by path, ETag and size, and a table's snapshot made of them. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

BLOCK_BYTES = 1 << 22
"""The aligned block: one file on the volume, one descriptor in a worker, one entry of the index; see ADR 0009."""
PART_BYTES = 1 << 16
"""The aligned part of a block: what is fetched and checksummed. A block may hold some of its parts only."""
PARTS = BLOCK_BYTES // PART_BYTES
"""Parts in a block."""

HEADER_BYTES = 4096
"""Where a block's first byte lies in its file: the header is a page, so that parts stay aligned."""


def parts_within(block: int, first: int, end: int) -> int:
    """Which parts of block `block` lie in parts [first, end) of the object: a bit for each, part 0 the lowest."""
    low, high = max(first - block * PARTS, 0), min(end - block * PARTS, PARTS)
    return (1 << high) - (1 << low) if high > low else 0


def blocks_of(first: int, end: int) -> range:
    """The blocks that hold parts [first, end) of an object, end > first."""
    return range(first // PARTS, (end - 1) // PARTS + 1)


def runs(parts: int, at: int, longest: int) -> Iterator[tuple[int, int]]:
    """Neighboring bits of `parts`, the lowest of which is number `at`, as [first, end), at most `longest` in a run."""
    while parts:
        skipped = (parts & -parts).bit_length() - 1
        parts >>= skipped
        at += skipped
        length = min((~parts & (parts + 1)).bit_length() - 1, longest)
        yield at, at + length
        parts >>= length
        at += length


def parts_of(start: int, end: int) -> tuple[int, int]:
    """The parts [first, end) that hold bytes [start, end), end > start."""
    return start // PART_BYTES, -(-end // PART_BYTES)


@dataclass(frozen=True)
class StoredObject:
    """One version of one object. `etag` is whatever the store says identifies the version; `size` in bytes."""

    path: str
    """Below the root of the data, `/`-separated."""
    etag: str
    size: int
    local: str = ""
    """A file of the node's own that is this object, whatever the store is: its blocks are never kept on the volume."""

    @cached_property
    def key(self) -> str:
        """32 hex digits that name this version on the cache volume."""
        text = f"{self.path}\0{self.etag}\0{self.size}"
        return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:32]

    @property
    def blocks(self) -> int:
        """How many blocks it has."""
        return -(-self.size // BLOCK_BYTES)

    @property
    def parts(self) -> int:
        """How many parts it has."""
        return -(-self.size // PART_BYTES)

    def bytes_in(self, block: int, parts: int) -> int:
        """The bytes of those `parts` of a block; the object's last part may be short."""
        size = parts.bit_count() * PART_BYTES
        last = self.parts - 1
        if block == last // PARTS and parts >> (last % PARTS) & 1:
            size -= (last + 1) * PART_BYTES - self.size
        return size

    def block_bytes(self, block: int) -> int:
        """The length of block `block`; the last one may be short.

        Raises:
            IndexError: no such block.
        """
        if not 0 <= block < self.blocks:
            raise IndexError(block)
        return min(BLOCK_BYTES, self.size - block * BLOCK_BYTES)


@dataclass(frozen=True)
class Snapshot:
    """A table's files at one moment. Equal files give equal ids."""

    table: str
    """`schema.name`, for messages."""
    root: str
    """The table's folder; relative paths of objects begin after it."""
    objects: tuple[StoredObject, ...]
    partitions: tuple[tuple[str, str], ...] = ()
    """Hive partition columns and their DuckDB types, in path order."""
    uniform: bool = False
    """Whether all files have the same columns in the same order, so that one footer describes them."""

    @cached_property
    def id(self) -> str:
        """32 hex digits that name exactly these versions of these objects."""
        digest = hashlib.sha256(self.table.encode())
        for stored in self.objects:
            digest.update(stored.key.encode())
        return digest.hexdigest()[:32]

    @property
    def size(self) -> int:
        """Bytes of all objects."""
        return sum(stored.size for stored in self.objects)
