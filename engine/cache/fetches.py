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
from dataclasses import dataclass

from engine.cache.block_index import BlockKey
from engine.cache.block_volume import GrowingBlock, OpenBlock, unlisted
from engine.cache.object_store import ObjectStore, StoreFailed
from engine.cache.objects import BLOCK_BYTES, PART_BYTES, PARTS, StoredObject, parts_within

_AT_ONCE = 32
_STOP_S = 1.0
"""How long the end waits for a range that is being written."""


@dataclass(frozen=True, slots=True, eq=False)
class Fetch:
    """Parts [first, end) of an object on their way into `blocks`, by number; `done` gives where each of them is.

    That is the same block, or one of its own (`unlisted`) when the volume could not take the parts.
    """

    stored: StoredObject
    first: int
    end: int
    blocks: Mapping[int, GrowingBlock]
    done: asyncio.Future[Mapping[int, OpenBlock]]

    @property
    def bytes(self) -> int:
        """How many come."""
        return min(self.end * PART_BYTES, self.stored.size) - self.first * PART_BYTES


Come = Callable[[Fetch, Mapping[int, OpenBlock]], None]


class Fetches:
    """Begins fetches and knows which are on their way. All methods belong to one event loop."""

    def __init__(self, store: ObjectStore, come: Come) -> None:
        """`come` is told on the event loop of each fetch that succeeded, before `done` is settled."""
        self._store = store
        self._come = come
        self._loop = asyncio.get_running_loop()
        self._queue: queue.SimpleQueue[Fetch | None] = queue.SimpleQueue()
        self._pending: dict[BlockKey, list[Fetch]] = {}
        self._threads = [threading.Thread(target=self._work, name="fetch", daemon=True) for _ in range(_AT_ONCE)]
        for thread in self._threads:
            thread.start()

    def of(self, key: BlockKey) -> list[Fetch]:
        """Those that bring parts of a block."""
        return self._pending.get(key, [])

    def begin(self, stored: StoredObject, first: int, end: int, blocks: Mapping[int, GrowingBlock]) -> Fetch:
        """Have parts [first, end) brought to `blocks`."""
        fetch = Fetch(stored, first, end, blocks, self._loop.create_future())
        fetch.done.add_done_callback(_look_at)
        for number in blocks:
            self._pending.setdefault((stored.key, number), []).append(fetch)
        self._queue.put(fetch)
        return fetch

    def give_up(self, fetch: Fetch) -> None:
        """Nobody waits any longer: whoever wants these parts next asks anew. Should they come yet, they are kept."""
        self._end(fetch, {}, StoreFailed("failed"))

    async def stop(self) -> None:
        """End: what is on its way fails, and nothing is written any more, but for ranges the store has just given."""
        for fetch in {fetch for pending in self._pending.values() for fetch in pending}:
            self._end(fetch, {}, ConnectionError("the cache is stopping"))
        for _ in self._threads:
            self._queue.put(None)
        await asyncio.to_thread(self._join)

    def _join(self) -> None:
        until = time.monotonic() + _STOP_S
        for thread in self._threads:
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
        if fetch.done.done():
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
        for number in fetch.blocks:
            key = (fetch.stored.key, number)
            pending = self._pending.get(key, [])
            if fetch in pending:
                pending.remove(fetch)
            if not pending:
                self._pending.pop(key, None)
        if given:
            self._come(fetch, given)
        if fetch.done.done():
            return  # nobody waited so long
        if failed is not None:
            fetch.done.set_exception(failed)
        else:
            fetch.done.set_result(given)


def _look_at(done: asyncio.Future[Mapping[int, OpenBlock]]) -> None:
    """So that a failure nobody waits for any more is not reported as forgotten."""
    if not done.cancelled():
        done.exception()
