"""A store that is silent: readers are told in time, the node ends in time, and what comes late is kept."""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path

import pytest

from engine.cache import fetches
from engine.cache.block_cache import BlockCache
from engine.cache.fetches import _AT_ONCE
from engine.cache.object_store import StoreFailed
from engine.cache.objects import BLOCK_BYTES, PART_BYTES
from tests.engine.cache.test_block_cache import CountingStore, content, given, pinned, put, read, with_cache

DATA = content(2 * BLOCK_BYTES)


def test_readers_of_a_silent_store_are_told_in_time_and_what_comes_late_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetches, "_WAIT_S", 0.1)
    put(tmp_path, "s/t.parquet", DATA)

    async def test(cache: BlockCache, store: CountingStore) -> None:
        stored = await pinned(store, "s/t.parquet")
        store.gate = threading.Event()
        for _ in range(2):
            with pytest.raises(StoreFailed, match="failed"):
                await read(cache, stored, 0, PART_BYTES)
        store.gate.set()
        async with asyncio.timeout(20):
            while cache.status().bytes_from_store < PART_BYTES:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        monkeypatch.setattr(fetches, "_WAIT_S", 20)
        assert await read(cache, stored) == DATA
        assert await read(cache, stored, 0, 10) == DATA[:10]
        assert cache.status().bytes_held < len(DATA) + 3 * PART_BYTES, "what came twice counts once"

    with_cache(tmp_path, test)


def test_a_silent_store_neither_holds_up_the_end_nor_what_the_volume_has(tmp_path: Path) -> None:
    put(tmp_path, "s/t.parquet", DATA)
    gate = threading.Event()

    async def test(cache: BlockCache, store: CountingStore) -> float:
        stored = await pinned(store, "s/t.parquet")
        await read(cache, stored, 0, PART_BYTES)
        cache._open.clear()  # so that its file is opened again
        store.gate = gate
        waiting = [
            asyncio.create_task(read(cache, stored, at, at + 1)) for at in range(PART_BYTES, len(DATA), PART_BYTES)
        ]
        while len(store.reads) <= _AT_ONCE:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        assert (await given(cache, stored, 0, PART_BYTES)).cache_bytes == PART_BYTES
        began = time.monotonic()
        await cache.stop()
        for one in waiting:
            with pytest.raises(ConnectionError):
                await one
        return time.monotonic() - began

    try:
        assert with_cache(tmp_path, test) < 10
    finally:
        gate.set()


def test_a_reader_that_leaves_takes_nobody_with_it(tmp_path: Path) -> None:
    put(tmp_path, "s/t.parquet", DATA)

    async def test(cache: BlockCache, store: CountingStore) -> None:
        stored = await pinned(store, "s/t.parquet")
        store.gate = threading.Event()
        leaving, staying = (asyncio.create_task(read(cache, stored, 0, 9)) for _ in range(2))
        while not store.reads:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        leaving.cancel()
        store.gate.set()
        assert await staying == DATA[:9]
        assert leaving.cancelled()
        assert len(store.reads) == 1

    with_cache(tmp_path, test)
