"""The node's block cache: one fetch per missing part however many ask, least recently used out at 80% of the volume.

Runs on the node's event loop; reads and writes of files go through a small bounded thread pool. Neighboring missing
parts are fetched as one range. The cache is never in the way: a volume that is full or broken only means that blocks
are not kept.
"""

from __future__ import annotations

import asyncio
import os
from collections import OrderedDict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from weakref import WeakValueDictionary

from engine.cache.block_index import BlockIndex, BlockKey
from engine.cache.block_volume import BlockVolume, OpenBlock, unlisted
from engine.cache.object_store import ObjectGone, ObjectStore
from engine.cache.objects import BLOCK_BYTES, HEADER_BYTES, PART_BYTES, PARTS, Snapshot, StoredObject, parts_within

_OPEN_MAX = 512
_RANGE_PARTS_MAX = (4 << 20) // PART_BYTES
"""Longer runs are fetched as several ranges, side by side."""
_FETCHES_MAX = 32
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


@dataclass(frozen=True, slots=True, eq=False)
class _Fetch:
    """Parts [first, end) of an object on their way; `done` gives the blocks that hold them."""

    first: int
    end: int
    done: asyncio.Future[dict[int, OpenBlock]]


class BlockCache:
    """Blocks of `store`'s objects on the volume in `settings.folder`."""

    def __init__(self, settings: CacheSettings, store: ObjectStore) -> None:
        self._settings = settings
        self._store = store
        self._threads = ThreadPoolExecutor(4, thread_name_prefix="cache")
        self._fetches = asyncio.Semaphore(_FETCHES_MAX)
        self._pending: dict[BlockKey, list[_Fetch]] = {}
        self._making: WeakValueDictionary[BlockKey, asyncio.Lock] = WeakValueDictionary()
        self._tasks: set[asyncio.Task[None]] = set()
        self._open: OrderedDict[BlockKey, OpenBlock] = OrderedDict()
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
        await self._evict()

    async def stop(self) -> None:
        """End fetches and close descriptors; the volume keeps its blocks."""
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
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
        numbers = range(first // PARTS, (end - 1) // PARTS + 1)
        have = await self._from_volume(stored, [(name, number) for number in numbers])
        # From here to the last fetch's beginning nothing is awaited: what is missing is asked for once.
        waits: dict[_Fetch, None] = {}
        missing: list[int] = []
        cached = 0
        now = asyncio.get_running_loop().time()
        for number in numbers:
            key = (name, number)
            needed = lacking = parts_within(number, first, end)
            block = self._open.get(key) or have.get(number)
            if block is not None:
                have[number] = block
                lacking &= ~block.parts
                self._index.touch(key, now)
            if lacking:
                self._misses += 1
            else:
                self._hits += 1
            cached += stored.bytes_in(number, needed & ~lacking)
            for fetch in self._pending.get(key, ()):
                coming = parts_within(number, fetch.first, fetch.end) & lacking
                if coming:
                    waits[fetch] = None
                    lacking &= ~coming
            missing += (number * PARTS + part for part in range(PARTS) if lacking >> part & 1)
        for low, high in _runs(missing):
            waits[self._begin(stored, low, high)] = None
        came = [await asyncio.shield(fetch.done) for fetch in waits]
        given = []
        for number in numbers:
            needed = parts_within(number, first, end)
            candidates = [found[number] for found in (have, *came) if number in found]
            block = next((one for one in candidates if not needed & ~one.parts), None)
            given.append(block or await self._united(candidates))
        asked = min(end * PART_BYTES, stored.size) - first * PART_BYTES
        return Given(tuple(given), cached, asked - cached)

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

    async def _from_volume(self, stored: StoredObject, keys: list[BlockKey]) -> dict[int, OpenBlock]:
        """Those of `keys` that are open, and those that the volume has in good order, by number."""
        found: dict[int, OpenBlock] = {}
        closed: list[BlockKey] = []
        for key in keys:
            if (block := self._open.get(key)) is not None:
                self._open.move_to_end(key)
                found[key[1]] = block
            elif key in self._index:
                closed.append(key)
        if closed:
            open_all = partial(_open_all, self._volume, [(key, stored.block_bytes(key[1])) for key in closed])
            opened = await asyncio.get_running_loop().run_in_executor(self._threads, open_all)
            for key, block in zip(closed, opened, strict=True):
                if block is None:
                    self._index.remove(key)
                else:
                    found[key[1]] = self._keep_open(key, block)
        return found

    def _keep_open(self, key: BlockKey, block: OpenBlock) -> OpenBlock:
        """The one open file of a block: `block`, unless there is one already."""
        if key in self._index:
            block = self._open.setdefault(key, block)
            self._open.move_to_end(key)
            while len(self._open) > _OPEN_MAX:
                self._open.popitem(last=False)
        return block

    def _begin(self, stored: StoredObject, first: int, end: int) -> _Fetch:
        """Fetch parts [first, end); whoever wants one of them meanwhile finds the fetch in `_pending`."""
        loop = asyncio.get_running_loop()
        fetch = _Fetch(first, end, loop.create_future())
        fetch.done.add_done_callback(_retrieve)
        for number in range(first // PARTS, (end - 1) // PARTS + 1):
            self._pending.setdefault((stored.key, number), []).append(fetch)
        task = loop.create_task(self._bring(stored, fetch))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return fetch

    async def _bring(self, stored: StoredObject, fetch: _Fetch) -> None:
        """Fetch, put on the volume, and settle `fetch.done` whatever happens."""
        name = stored.key
        numbers = range(fetch.first // PARTS, (fetch.end - 1) // PARTS + 1)
        try:
            start, end = fetch.first * PART_BYTES, min(fetch.end * PART_BYTES, stored.size)
            async with self._fetches:
                data = await self._store.read(stored, start, end)
            self._bytes_from_store += len(data)
            blocks = []
            for number in numbers:
                at = number * BLOCK_BYTES
                piece = data[max(at - start, 0) : at + BLOCK_BYTES - start]
                blocks.append(self._put(stored, number, max(fetch.first - number * PARTS, 0), piece))
            fetch.done.set_result(dict(zip(numbers, await asyncio.gather(*blocks), strict=True)))
            await self._evict()
        except asyncio.CancelledError:
            if not fetch.done.done():
                fetch.done.set_exception(ConnectionError("the cache is stopping"))
            raise
        except Exception as error:
            if not fetch.done.done():
                fetch.done.set_exception(error)
        finally:
            for number in numbers:
                pending = self._pending[name, number]
                pending.remove(fetch)
                if not pending:
                    del self._pending[name, number]

    async def _put(self, stored: StoredObject, number: int, first: int, data: memoryview) -> OpenBlock:
        """Put parts of a block, from part `first` on, where its other parts are."""
        key = (stored.key, number)
        parts = parts_within(0, first, first - (-len(data) // PART_BYTES))
        in_thread = partial(asyncio.get_running_loop().run_in_executor, self._threads)
        try:
            block = self._open.get(key)
            if block is None:
                async with self._making.setdefault(key, asyncio.Lock()):  # one file for a block
                    block = (await self._from_volume(stored, [key])).get(number)
                    if block is None:
                        block = await in_thread(self._volume.create, key, stored.block_bytes(number), first, data)
                        block.parts = parts
                        self._index.add(key, HEADER_BYTES + len(data), asyncio.get_running_loop().time())
                        return self._keep_open(key, block)
            await in_thread(block.write, first, data)
        except OSError:
            self._write_failures += 1
            pieces: list[tuple[int, bytes | memoryview]] = [(first, data)]
            return await in_thread(unlisted, pieces, parts)
        block.parts |= parts
        self._index.grow(key, len(data))
        return block

    async def _united(self, blocks: list[OpenBlock]) -> OpenBlock:
        """One block with the parts of all, for the reader of a block that the volume could not keep in one place."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, _unite, blocks)

    async def _evict(self) -> None:
        _, free = self._volume.space()
        victims = self._index.victims(max(0, self._reserve - free))
        if victims:
            self._evictions += len(victims)
            await self._delete(victims)

    async def _delete(self, keys: list[BlockKey]) -> None:
        """Take blocks that the index has let go off the volume."""
        for key in keys:
            self._open.pop(key, None)
        for listener in tuple(self.listeners):
            listener(keys)
        await asyncio.get_running_loop().run_in_executor(self._threads, self._volume.delete, keys)


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
        for number in range(first // PARTS, (end - 1) // PARTS + 1):
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


def _open_all(volume: BlockVolume, wanted: list[tuple[BlockKey, int]]) -> list[OpenBlock | None]:
    return [volume.open(key, size) for key, size in wanted]


def _unite(blocks: list[OpenBlock]) -> OpenBlock:
    pieces: list[tuple[int, bytes | memoryview]] = []
    held = 0
    for block in blocks:
        for part in range(PARTS):
            if (block.parts & ~held) >> part & 1:
                pieces.append((part, os.pread(block.descriptor, PART_BYTES, HEADER_BYTES + part * PART_BYTES)))
        held |= block.parts
    return unlisted(pieces, held)


def _retrieve(future: asyncio.Future[dict[int, OpenBlock]]) -> None:
    """Look at the outcome, so that a failure nobody waits for any more is not reported as forgotten."""
    if not future.cancelled():
        future.exception()


def _runs(parts: list[int]) -> Iterator[tuple[int, int]]:
    """Neighboring numbers together as [first, end), at most _RANGE_PARTS_MAX in a run."""
    at = 0
    while at < len(parts):
        first = at
        while at + 1 < len(parts) and parts[at + 1] == parts[at] + 1 and at + 1 - first < _RANGE_PARTS_MAX:
            at += 1
        yield parts[first], parts[at] + 1
        at += 1
