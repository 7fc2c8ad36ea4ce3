"""The node's block cache: one fetch per missing part however many ask, least recently used out at 80% of the volume.

Runs on the node's event loop; blocks are opened and deleted in a small pool of threads, ranges are fetched and written
in another (`Fetches`). Neighboring missing parts are fetched as one range. The cache is never in the way: a volume that
is full or broken only means that blocks are not kept.
"""

from __future__ import annotations

import asyncio
import os
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from engine.cache.block_index import BlockIndex, BlockKey
from engine.cache.block_volume import BlockVolume, GrowingBlock, OpenBlock, unlisted
from engine.cache.fetches import Fetch, Fetches
from engine.cache.object_store import ObjectGone, ObjectStore
from engine.cache.objects import (
    BLOCK_BYTES,
    HEADER_BYTES,
    PART_BYTES,
    PARTS,
    Snapshot,
    StoredObject,
    blocks_of,
    parts_within,
    runs,
)

_OPEN_MAX = 512
_RANGE_PARTS_MAX = (4 << 20) // PART_BYTES
"""Longer runs are fetched as several ranges, side by side."""
_WARM_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class CacheSettings:
    """Where blocks go and how many."""

    folder: Path
    bytes_max: int
    volume_fraction: float = 0.8
    """Evict when blocks reach this part of the volume, or when less than the rest of it is free (claim W6.2)."""


@dataclass(frozen=True, slots=True)
class CacheStatus:
    """For `hatidata cache status` and the metrics."""

    blocks: int
    bytes_held: int
    bytes_max: int
    hits: int
    misses: int
    bytes_from_store: int
    evictions: int
    write_failures: int


@dataclass(frozen=True, slots=True)
class Given:
    """What was asked for: every block in order, and where the parts that were asked for came from."""

    blocks: tuple[OpenBlock, ...]
    cache_bytes: int
    """Were there."""
    store_bytes: int
    """Had to be waited for."""


class BlockCache:
    """Blocks of `store`'s objects on the volume in `settings.folder`."""

    def __init__(self, settings: CacheSettings, store: ObjectStore) -> None:
        self._settings = settings
        self._fetches = Fetches(store, self._came)
        self._threads = ThreadPoolExecutor(4, thread_name_prefix="cache")
        """For the volume: those that wait for the store are others (`Fetches`)."""
        self._open: OrderedDict[BlockKey, GrowingBlock] = OrderedDict()
        self.listeners: set[Callable[[list[BlockKey]], None]] = set()
        """Told of blocks that leave the volume: a file gives its space back when nobody holds it open any more."""
        self._hits = self._misses = self._bytes_from_store = self._evictions = self._write_failures = 0

    async def start(self) -> None:
        """Rebuild the index from the volume.

        Raises:
            OSError: the folder cannot be made.
        """
        loop = asyncio.get_running_loop()
        self._volume = await loop.run_in_executor(self._threads, BlockVolume, self._settings.folder)
        total, _ = self._volume.space()
        fraction = int(total * self._settings.volume_fraction)
        self._reserve = total - fraction
        self._index = BlockIndex(min(self._settings.bytes_max, fraction))
        found = await loop.run_in_executor(self._threads, lambda: list(self._volume.found()))
        for key, size in found:
            self._index.add(key, size)
        self._fetches.start()
        self._evict()

    async def stop(self) -> None:
        """End fetches and close descriptors; the volume keeps its blocks."""
        await self._fetches.stop()
        self._open.clear()
        self._threads.shutdown(wait=True)

    def status(self) -> CacheStatus:
        """How the cache does."""
        return CacheStatus(
            len(self._index),
            self._index.bytes_held,
            self._index.bytes_max,
            self._hits,
            self._misses,
            self._bytes_from_store,
            self._evictions,
            self._write_failures,
        )

    async def blocks(self, stored: StoredObject, first: int, end: int) -> Given:
        """The blocks that hold parts [first, end) of one object, in order, with those parts in them.

        Raises:
            ObjectGone, StoreFailed: as the store says.
            IndexError: no such parts.
        """
        if not 0 <= first < end <= stored.parts:
            raise IndexError(first)
        if stored.local:
            in_thread = asyncio.get_running_loop().run_in_executor
            return await in_thread(self._threads, _own, stored, first, end)
        name = stored.key
        numbers = blocks_of(first, end)
        closed = [n for n in numbers if self._held((name, n)) is None and (name, n) in self._index]
        opened = await self._opened(stored, closed) if closed else {}
        # From here to the last fetch's beginning nothing is awaited: what is missing is asked for once.
        have: dict[int, GrowingBlock] = {}
        waits: dict[Fetch, None] = {}
        missing = 0
        cached = 0
        now = asyncio.get_running_loop().time()
        for number in numbers:
            key = (name, number)
            needed = lacking = parts_within(number, first, end)
            block = self._held(key) or opened.get(number)
            if block is None:
                block = GrowingBlock(self._volume, key, stored.block_bytes(number))
            have[number] = block
            lacking &= ~block.parts
            self._index.touch(key, now)
            if lacking:
                self._misses += 1
            else:
                self._hits += 1
            cached += stored.bytes_in(number, needed & ~lacking)
            for fetch in self._fetches.of(key):
                coming = parts_within(number, fetch.first, fetch.end) & lacking
                if coming:
                    waits[fetch] = None
                    lacking &= ~coming
            missing |= lacking << (number - numbers.start) * PARTS
        for low, high in runs(missing, numbers.start * PARTS, _RANGE_PARTS_MAX):
            waits[self._fetches.begin(stored, low, high, {n: have[n] for n in blocks_of(low, high)})] = None
        came = [await fetch.arrived() for fetch in waits]
        given: list[OpenBlock] = []
        for number in numbers:
            needed = parts_within(number, first, end)
            files = (have[number], *(found[number] for found in came if number in found))
            whole = next((one for one in files if not needed & ~one.parts), None)
            given.append(whole or await self._united(files))
        asked = min(end * PART_BYTES, stored.size) - first * PART_BYTES
        return Given(tuple(given), cached, asked - cached)

    def used(self, stored: StoredObject, first: int, end: int) -> None:
        """Note that parts [first, end) are read by someone who holds their blocks."""
        for number in blocks_of(first, end):
            self._index.touch((stored.key, number), asyncio.get_running_loop().time())

    async def warm(self, snapshot: Snapshot) -> int:
        """Bring every part of a table to the volume; return the bytes. Raises as `blocks`."""
        limit = asyncio.Semaphore(_WARM_AT_ONCE)

        async def bring(stored: StoredObject, first: int) -> None:
            try:
                await self.blocks(stored, first, min(first + _RANGE_PARTS_MAX, stored.parts))
            finally:
                limit.release()

        async with asyncio.TaskGroup() as tasks:
            for stored in snapshot.objects:
                for first in range(0, stored.parts, _RANGE_PARTS_MAX):
                    await limit.acquire()
                    tasks.create_task(bring(stored, first))
        return snapshot.size

    async def clear(self) -> None:
        """Forget and delete every block; blocks being read stay readable."""
        keys = list(self._index.keys())
        for key in keys:
            self._index.remove(key)
        await self._delete(keys)

    # ------------------------------------------------------------------ bringing blocks

    def _held(self, key: BlockKey) -> GrowingBlock | None:
        """The one open file of a block."""
        block = self._open.get(key)
        if block is not None:
            self._open.move_to_end(key)
            return block
        return next((fetch.blocks[key[1]] for fetch in self._fetches.of(key)), None)

    async def _opened(self, stored: StoredObject, numbers: list[int]) -> dict[int, GrowingBlock]:
        """Those of these blocks that the volume has in good order, by number."""
        wanted = [((stored.key, number), stored.block_bytes(number)) for number in numbers]
        open_all = partial(_open_all, self._volume, wanted)
        opened = await asyncio.get_running_loop().run_in_executor(self._threads, open_all)
        for (key, _), block in zip(wanted, opened, strict=True):
            if self._held(key) is None:  # nobody else was faster
                if block is None:
                    self._index.remove(key)
                else:
                    self._keep_open(key, block)
        return {key[1]: block for (key, _), block in zip(wanted, opened, strict=True) if block is not None}

    def _keep_open(self, key: BlockKey, block: GrowingBlock) -> None:
        if key in self._index:
            self._open[key] = block
            while len(self._open) > _OPEN_MAX:
                self._open.popitem(last=False)

    def _came(self, fetch: Fetch, given: Mapping[int, OpenBlock]) -> None:
        """A fetch has brought its parts."""
        stored, now = fetch.stored, asyncio.get_running_loop().time()
        for number, block in fetch.blocks.items():
            if given[number] is not block:
                self._write_failures += 1
                continue
            key, parts = (stored.key, number), parts_within(number, fetch.first, fetch.end)
            block.parts |= parts
            size = stored.bytes_in(number, parts)
            if block.listed:
                self._index.grow(key, size)  # unless it has left the volume meanwhile
            elif key not in self._index:  # as it is when a fetch was given up, begun again, and came twice
                block.listed = True
                self._index.add(key, HEADER_BYTES + size, now)
                self._keep_open(key, block)
        self._bytes_from_store += fetch.bytes
        self._evict()

    async def _united(self, blocks: Sequence[OpenBlock]) -> OpenBlock:
        """One block with the parts of all, for the reader of a block that the volume could not keep in one place."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, _unite, blocks)

    def _evict(self) -> None:
        _, free = self._volume.space()
        victims = self._index.victims(max(0, self._reserve - free))
        if victims:
            self._evictions += len(victims)
            self._delete(victims).add_done_callback(_look_at)

    def _delete(self, keys: list[BlockKey]) -> asyncio.Future[None]:
        """Take blocks that the index has let go off the volume."""
        for key in keys:
            self._open.pop(key, None)
        for listener in tuple(self.listeners):
            listener(keys)
        return asyncio.get_running_loop().run_in_executor(self._threads, self._volume.delete, keys)


def _own(stored: StoredObject, first: int, end: int) -> Given:
    """Parts of a file of the node's own, held by no file system: what it holds belongs on no other volume.

    Raises:
        ObjectGone: the file is not there, or not as it was.
        OSError: it cannot be read.
    """
    try:
        descriptor = os.open(stored.local, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise ObjectGone("removed") from None
    try:
        if os.fstat(descriptor).st_size != stored.size:
            raise ObjectGone("replaced")
        blocks = []
        size = 0
        for number in blocks_of(first, end):
            parts = parts_within(number, first, end)
            low = max(first - number * PARTS, 0)
            data = os.pread(descriptor, stored.bytes_in(number, parts), number * BLOCK_BYTES + low * PART_BYTES)
            if len(data) != stored.bytes_in(number, parts):
                raise ObjectGone("cut short")
            blocks.append(unlisted([(low, data)], parts))
            size += len(data)
        return Given(tuple(blocks), size, 0)
    finally:
        os.close(descriptor)


def _open_all(volume: BlockVolume, wanted: list[tuple[BlockKey, int]]) -> list[GrowingBlock | None]:
    return [volume.open(key, size) for key, size in wanted]


def _unite(blocks: Sequence[OpenBlock]) -> OpenBlock:
    pieces: list[tuple[int, bytes | memoryview]] = []
    held = 0
    for block in blocks:
        for part in range(PARTS):
            if (block.parts & ~held) >> part & 1:
                pieces.append((part, os.pread(block.descriptor, PART_BYTES, HEADER_BYTES + part * PART_BYTES)))
        held |= block.parts
    return unlisted(pieces, held)


def _look_at(deleted: asyncio.Future[None]) -> None:
    """A file that cannot be deleted is found again at the next start."""
    if not deleted.cancelled():
        deleted.exception()
