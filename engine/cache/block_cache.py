"""The node's block cache: one fetch per missing block however many ask, least recently used out at 80% of the volume.

Runs on the node's event loop; reads and writes of files go through a small bounded thread pool. Neighbouring missing
blocks are fetched as one range. The cache is never in the way: a volume that is full or broken only means that blocks
are not kept.
"""

from __future__ import annotations

import asyncio
import os
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from engine.cache.block_index import BlockIndex, BlockKey
from engine.cache.block_volume import BlockVolume, unlisted
from engine.cache.object_store import ObjectGone, ObjectStore
from engine.cache.objects import BLOCK_BYTES, Snapshot, StoredObject

_OPEN_MAX = 512
_RANGE_BLOCKS_MAX = 16
_FETCHES_MAX = 32


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


class OpenBlock:
    """A descriptor of a verified block, closed when its last user is done."""

    __slots__ = ("descriptor", "from_store", "size")

    def __init__(self, descriptor: int, size: int, *, from_store: bool) -> None:
        self.descriptor = descriptor
        self.size = size
        self.from_store = from_store

    def __del__(self) -> None:
        os.close(self.descriptor)


class BlockCache:
    """Blocks of `store`'s objects on the volume in `settings.folder`."""

    def __init__(self, settings: CacheSettings, store: ObjectStore) -> None:
        self._settings = settings
        self._store = store
        self._threads = ThreadPoolExecutor(4, thread_name_prefix="cache")
        self._fetches = asyncio.Semaphore(_FETCHES_MAX)
        self._pending: dict[BlockKey, asyncio.Future[OpenBlock]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._open: OrderedDict[BlockKey, OpenBlock] = OrderedDict()
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

    async def blocks(self, stored: StoredObject, first: int, count: int) -> list[OpenBlock]:
        """Blocks [first, first + count) of one object, in order.

        Raises:
            ObjectGone, StoreFailed: as the store says.
            IndexError: no such block.
        """
        if count < 1 or first < 0 or first + count > stored.blocks:
            raise IndexError(first)
        loop = asyncio.get_running_loop()
        if stored.local:
            return await loop.run_in_executor(self._threads, _own, stored, first, count)
        wanted: list[OpenBlock | asyncio.Future[OpenBlock]] = []
        missing: list[int] = []
        for block in range(first, first + count):
            key = (stored.key, block)
            if (held := self._open.get(key)) is not None:
                self._open.move_to_end(key)
                self._index.touch(key, loop.time())
                self._hits += 1
                wanted.append(held)
            elif (pending := self._pending.get(key)) is not None:
                wanted.append(pending)
            else:
                future: asyncio.Future[OpenBlock] = loop.create_future()
                future.add_done_callback(_retrieve)
                self._pending[key] = future
                wanted.append(future)
                missing.append(block)
        for run in _runs(missing):
            task = loop.create_task(self._bring(stored, run))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return [w if isinstance(w, OpenBlock) else await asyncio.shield(w) for w in wanted]

    async def warm(self, snapshot: Snapshot) -> int:
        """Bring every block of a table to the volume; return the bytes. Raises as `blocks`."""
        for stored in snapshot.objects:
            for first in range(0, stored.blocks, _RANGE_BLOCKS_MAX):
                await self.blocks(stored, first, min(_RANGE_BLOCKS_MAX, stored.blocks - first))
        return snapshot.size

    async def clear(self) -> None:
        """Forget and delete every block; blocks being read stay readable."""
        keys = list(self._index.keys())
        for key in keys:
            self._index.remove(key)
        self._open.clear()
        await asyncio.get_running_loop().run_in_executor(self._threads, self._volume.delete, keys)

    # ------------------------------------------------------------------ bringing blocks

    async def _bring(self, stored: StoredObject, run: list[int]) -> None:
        """Resolve the futures of neighbouring blocks `run`, from the volume where it has them, else from the store."""
        loop = asyncio.get_running_loop()
        try:
            absent = []
            for block in run:
                key = (stored.key, block)
                size = stored.block_bytes(block)
                descriptor = None
                if key in self._index:
                    descriptor = await loop.run_in_executor(self._threads, self._volume.open, key, size)
                if descriptor is None:
                    self._index.remove(key)
                    absent.append(block)
                else:
                    self._hits += 1
                    self._index.touch(key, loop.time())
                    self._settle(key, OpenBlock(descriptor, size, from_store=False), keep=True)
            for part in _runs(absent):
                await self._fetch(stored, part)
        except asyncio.CancelledError:
            self._fail(stored, run, ConnectionError("the cache is stopping"))
            raise
        except BaseException as error:
            self._fail(stored, run, error)

    async def _fetch(self, stored: StoredObject, part: list[int]) -> None:
        start = part[0] * BLOCK_BYTES
        end = min((part[-1] + 1) * BLOCK_BYTES, stored.size)
        async with self._fetches:
            data = await self._store.read(stored, start, end)
        self._misses += len(part)
        self._bytes_from_store += len(data)
        for block in part:
            offset = block * BLOCK_BYTES - start
            size = stored.block_bytes(block)
            await self._put((stored.key, block), data[offset : offset + size])

    async def _put(self, key: BlockKey, data: memoryview) -> None:
        loop = asyncio.get_running_loop()
        kept = True
        try:
            descriptor = await loop.run_in_executor(self._threads, self._volume.write, key, data)
            self._index.add(key, self._volume.file_bytes(len(data)), loop.time())
        except OSError:
            self._write_failures += 1
            kept = False
            descriptor = unlisted(data)
        block = OpenBlock(descriptor, len(data), from_store=True)
        self._settle(key, block, keep=False)
        if kept:
            self._keep(key, OpenBlock(os.dup(descriptor), len(data), from_store=False))
        await self._evict()

    def _settle(self, key: BlockKey, block: OpenBlock, *, keep: bool) -> None:
        if keep:
            self._keep(key, block)
        future = self._pending.pop(key, None)
        if future is not None and not future.done():
            future.set_result(block)

    def _keep(self, key: BlockKey, block: OpenBlock) -> None:
        self._open[key] = block
        self._open.move_to_end(key)
        while len(self._open) > _OPEN_MAX:
            self._open.popitem(last=False)

    def _fail(self, stored: StoredObject, run: list[int], error: BaseException) -> None:
        for block in run:
            future = self._pending.pop((stored.key, block), None)
            if future is not None and not future.done():
                future.set_exception(error)

    async def _evict(self) -> None:
        _, free = self._volume.space()
        victims = self._index.victims(max(0, self._reserve - free))
        if victims:
            self._evictions += len(victims)
            for key in victims:
                self._open.pop(key, None)
            await asyncio.get_running_loop().run_in_executor(self._threads, self._volume.delete, victims)


def _own(stored: StoredObject, first: int, count: int) -> list[OpenBlock]:
    """Blocks of a file of the node's own, held by no file system: what it holds belongs on no other volume.

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
        for block in range(first, first + count):
            data = os.pread(descriptor, stored.block_bytes(block), block * BLOCK_BYTES)
            if len(data) != stored.block_bytes(block):
                raise ObjectGone("cut short")
            blocks.append(OpenBlock(unlisted(memoryview(data)), len(data), from_store=False))
        return blocks
    finally:
        os.close(descriptor)


def _retrieve(future: asyncio.Future[OpenBlock]) -> None:
    """Look at the outcome, so that a failure nobody waits for any more is not reported as forgotten."""
    if not future.cancelled():
        future.exception()


def _runs(blocks: list[int]) -> list[list[int]]:
    """Neighbouring numbers together, at most _RANGE_BLOCKS_MAX in a run."""
    runs: list[list[int]] = []
    for block in blocks:
        if runs and runs[-1][-1] + 1 == block and len(runs[-1]) < _RANGE_BLOCKS_MAX:
            runs[-1].append(block)
        else:
            runs.append([block])
    return runs
