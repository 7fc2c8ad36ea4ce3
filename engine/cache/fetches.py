"""Parts on their way from the store: threads that wait for it, read a range, and put it where its block is.

A range crosses one thread: asked for, checksummed, written, and then told to the event loop in one call. The threads
are daemons: one that waits for a silent store must not keep a node from ending.
"""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Callable, Mapping

from engine.cache.block_index import BlockKey
from engine.cache.block_volume import GrowingBlock, OpenBlock, unlisted
from engine.cache.object_store import ObjectStore, StoreFailed
from engine.cache.objects import BLOCK_BYTES, PART_BYTES, PARTS, StoredObject, parts_within

_AT_ONCE = 64
"""Of 300 KB each, at 30 ms an answer, that is 640 MB a second; of 4 MiB each, the longest, 256 MB of memory."""
_WAIT_S = 30.0
"""How long readers wait for a range, the store's retries and those in line before included; then they are told."""
_STOP_S = 1.0
"""How long the end waits for a range that is being written."""


class Fetch:
    """Parts [first, end) of an object on their way into `blocks`, by number."""

    def __init__(self, stored: StoredObject, first: int, end: int, blocks: Mapping[int, GrowingBlock]) -> None:
        self.stored, self.first, self.end, self.blocks = stored, first, end, blocks
        self.ended = False
        self.given: Mapping[int, OpenBlock] = {}
        self.failed: BaseException | None = None
        self._waiting: list[asyncio.Future[None]] = []

    @property
    def bytes(self) -> int:
        """How many come."""
        return min(self.end * PART_BYTES, self.stored.size) - self.first * PART_BYTES

    async def arrived(self) -> Mapping[int, OpenBlock]:
        """Where the parts of each block are: in the same block, or in one of their own when the volume is full.

        Raises:
            ObjectGone, StoreFailed: as the store says.
            ConnectionError: the cache is stopping.
        """
        if not self.ended:
            waiting = asyncio.get_running_loop().create_future()
            self._waiting.append(waiting)
            await waiting
        if self.failed is not None:
            raise self.failed
        return self.given

    def end_with(self, given: Mapping[int, OpenBlock], failed: BaseException | None) -> None:
        """Tell those who wait."""
        self.ended, self.given, self.failed = True, given, failed
        for waiting in self._waiting:
            if not waiting.done():
                waiting.set_result(None)


Come = Callable[[Fetch, Mapping[int, OpenBlock]], None]


class Fetches:
    """Begins fetches and knows which are on their way. All methods belong to one event loop."""

    def __init__(self, store: ObjectStore, come: Come) -> None:
        """`come` is told on the event loop of each fetch that succeeded, before those who wait for it."""
        self._store = store
        self._come = come
        self._queue: queue.SimpleQueue[Fetch | None] = queue.SimpleQueue()
        self._pending: dict[BlockKey, list[Fetch]] = {}
        self._deadlines: dict[Fetch, asyncio.TimerHandle] = {}
        self._threads = [threading.Thread(target=self._work, name="fetch", daemon=True) for _ in range(_AT_ONCE)]

    def start(self) -> None:
        """Be ready to fetch, for the running event loop."""
        self._loop = asyncio.get_running_loop()
        for thread in self._threads:
            thread.start()

    def of(self, key: BlockKey) -> list[Fetch]:
        """Those that bring parts of a block."""
        return self._pending.get(key, [])

    def begin(self, stored: StoredObject, first: int, end: int, blocks: Mapping[int, GrowingBlock]) -> Fetch:
        """Have parts [first, end) brought to `blocks`."""
        fetch = Fetch(stored, first, end, blocks)
        for number in blocks:
            self._pending.setdefault((stored.key, number), []).append(fetch)
        self._deadlines[fetch] = self._loop.call_later(_WAIT_S, self._end, fetch, {}, StoreFailed("failed"))
        self._queue.put(fetch)
        return fetch

    async def stop(self) -> None:
        """End: what is on its way fails, and nothing is written any more, but for ranges the store has just given."""
        for fetch in tuple(self._deadlines):
            self._end(fetch, {}, ConnectionError("the cache is stopping"))
        for _ in self._threads:
            self._queue.put(None)
        await asyncio.to_thread(self._join)

    def _join(self) -> None:
        until = time.monotonic() + _STOP_S
        for thread in self._threads:
            if thread.ident is not None:  # it was started
                thread.join(max(0.0, until - time.monotonic()))

    def _work(self) -> None:
        while (fetch := self._queue.get()) is not None:
            given: Mapping[int, OpenBlock] = {}
            failed: BaseException | None = None
            try:
                given = self._bring(fetch)
            except BaseException as error:
                failed = error
            try:
                self._loop.call_soon_threadsafe(self._end, fetch, given, failed)
            except RuntimeError:
                return  # the loop has ended
            del fetch, given, failed  # or an idle thread would keep a file open

    def _bring(self, fetch: Fetch) -> Mapping[int, OpenBlock]:
        """Read from the store and write to the volume. Raises as `ObjectStore.read`."""
        if fetch.ended:
            return {}
        start = fetch.first * PART_BYTES
        data = self._store.read(fetch.stored, start, start + fetch.bytes)
        given: dict[int, OpenBlock] = {}
        for number, block in fetch.blocks.items():
            at = number * BLOCK_BYTES
            piece = data[max(at - start, 0) : at + BLOCK_BYTES - start]
            first = max(fetch.first - number * PARTS, 0)
            try:
                block.write(first, piece)
                given[number] = block
            except OSError:
                given[number] = unlisted([(first, piece)], parts_within(number, fetch.first, fetch.end))
        return given

    def _end(self, fetch: Fetch, given: Mapping[int, OpenBlock], failed: BaseException | None) -> None:
        """It has come, or failed, or is given up: should it come yet then, what it brought is kept."""
        if given:
            self._come(fetch, given)
        if fetch.ended:
            return
        self._deadlines.pop(fetch).cancel()
        for number in fetch.blocks:
            pending = self._pending[fetch.stored.key, number]
            pending.remove(fetch)
            if not pending:
                del self._pending[fetch.stored.key, number]
        fetch.end_with(given, failed)
