"""Blocks on a real volume from a real store (a folder), with faults."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest

from engine.cache.block_cache import BlockCache, CacheSettings, OpenBlock
from engine.cache.block_volume import BlockVolume
from engine.cache.object_store import ObjectGone, ObjectStore, StoreFailed
from engine.cache.objects import BLOCK_BYTES, Snapshot, StoredObject
from governance.errors import InvalidRequest

T = TypeVar("T")


class CountingStore(ObjectStore):
    """A real store that counts its reads."""

    def __init__(self, data: str) -> None:
        super().__init__(data)
        self.reads: list[tuple[str, int, int]] = []
        self.gate: asyncio.Event | None = None

    async def read(self, stored: StoredObject, start: int, end: int) -> memoryview:
        self.reads.append((stored.path, start, end))
        if self.gate is not None:
            await self.gate.wait()
        return await super().read(stored, start, end)


def content(size: int, seed: int = 0) -> bytes:
    pattern = bytes((i * 7 + seed) % 251 for i in range(4099))
    return (pattern * (size // len(pattern) + 1))[:size]


def with_cache(tmp_path: Path, test: Callable[[BlockCache, CountingStore], Awaitable[T]], **settings: Any) -> T:
    data = tmp_path / "data"
    data.mkdir(exist_ok=True)

    async def run() -> T:
        store = CountingStore(str(data))
        cache = BlockCache(CacheSettings(tmp_path / "cache", **({"bytes_max": 1 << 30} | settings)), store)
        await cache.start()
        try:
            return await test(cache, store)
        finally:
            await cache.stop()

    return asyncio.run(run())


async def pinned(store: ObjectStore, path: str) -> StoredObject:
    async for batch in store.list(objects_max=100):
        for stored in batch:
            if stored.path == path:
                return stored
    raise AssertionError(path)


def put(tmp_path: Path, path: str, data: bytes) -> Path:
    target = tmp_path / "data" / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(data)
    return target


def bytes_of(blocks: list[OpenBlock]) -> bytes:
    return b"".join(os.pread(block.descriptor, block.size + 100, 0)[: block.size] for block in blocks)


def test_blocks_hold_the_objects_bytes_and_neighbors_come_in_one_range(tmp_path: Path) -> None:
    data = content(3 * BLOCK_BYTES + 17)
    put(tmp_path, "s/t.parquet", data)

    async def test(cache: BlockCache, store: CountingStore) -> None:
        stored = await pinned(store, "s/t.parquet")
        assert bytes_of(await cache.blocks(stored, 0, 4)) == data
        assert store.reads == [("s/t.parquet", 0, len(data))]
        assert bytes_of(await cache.blocks(stored, 1, 2)) == data[BLOCK_BYTES : 3 * BLOCK_BYTES]
        assert len(store.reads) == 1
        with pytest.raises(IndexError):
            await cache.blocks(stored, 3, 2)

    with_cache(tmp_path, test)


def test_one_fetch_however_many_ask(tmp_path: Path) -> None:
    put(tmp_path, "s/t.parquet", content(BLOCK_BYTES))

    async def test(cache: BlockCache, store: CountingStore) -> None:
        stored = await pinned(store, "s/t.parquet")
        store.gate = asyncio.Event()
        asking = [asyncio.create_task(cache.blocks(stored, 0, 1)) for _ in range(50)]
        while not store.reads:  # noqa: ASYNC110
            await asyncio.sleep(0)
        store.gate.set()
        found = await asyncio.gather(*asking)
        assert len(store.reads) == 1
        assert {bytes_of(blocks) for blocks in found} == {content(BLOCK_BYTES)}

    with_cache(tmp_path, test)


def test_w6_3_the_index_is_rebuilt_from_the_volume(tmp_path: Path) -> None:
    put(tmp_path, "s/t.parquet", content(2 * BLOCK_BYTES))

    async def first(cache: BlockCache, store: CountingStore) -> None:
        await cache.blocks(await pinned(store, "s/t.parquet"), 0, 2)

    async def second(cache: BlockCache, store: CountingStore) -> None:
        assert cache.status().blocks == 2
        blocks = await cache.blocks(await pinned(store, "s/t.parquet"), 0, 2)
        assert not any(block.from_store for block in blocks)
        assert store.reads == []

    with_cache(tmp_path, first)
    (next((tmp_path / "cache").glob("*/")) / ".part-left-behind").write_bytes(b"x")
    with_cache(tmp_path, second)
    assert not list((tmp_path / "cache").glob("*/.part-*"))


@pytest.mark.parametrize("damage", ["cut", "flip", "longer", "gone", "empty"])
def test_a_bad_block_is_fetched_again_never_served(tmp_path: Path, damage: str) -> None:
    put(tmp_path, "s/t.parquet", content(BLOCK_BYTES))

    async def first(cache: BlockCache, store: CountingStore) -> None:
        await cache.blocks(await pinned(store, "s/t.parquet"), 0, 1)

    with_cache(tmp_path, first)
    (file,) = (tmp_path / "cache").glob("*/*.block")
    whole = bytearray(file.read_bytes())
    if damage == "cut":
        file.write_bytes(whole[: len(whole) // 2])
    elif damage == "flip":
        whole[1234] ^= 1
        file.write_bytes(whole)
    elif damage == "longer":
        file.write_bytes(whole + b"x")
    elif damage == "empty":
        file.write_bytes(b"")
    else:
        file.unlink()

    async def second(cache: BlockCache, store: CountingStore) -> None:
        assert bytes_of(await cache.blocks(await pinned(store, "s/t.parquet"), 0, 1)) == content(BLOCK_BYTES)
        assert len(store.reads) == 1

    with_cache(tmp_path, second)


def test_w6_2_blocks_beyond_the_limit_leave_the_volume_but_not_their_readers(tmp_path: Path) -> None:
    for number in range(6):
        put(tmp_path, f"s/t{number}.parquet", content(BLOCK_BYTES, number))

    async def test(cache: BlockCache, store: CountingStore) -> None:
        held = await cache.blocks(await pinned(store, "s/t0.parquet"), 0, 1)
        for number in range(1, 6):
            await cache.blocks(await pinned(store, f"s/t{number}.parquet"), 0, 1)
        status = cache.status()
        assert status.bytes_held <= 3 * BLOCK_BYTES
        assert status.evictions >= 3
        files = list((tmp_path / "cache").glob("*/*.block"))
        assert sum(file.stat().st_size for file in files) <= 3 * BLOCK_BYTES
        assert bytes_of(held) == content(BLOCK_BYTES, 0)

    with_cache(tmp_path, test, bytes_max=3 * BLOCK_BYTES)


def test_a_replaced_object_is_gone_never_mixed(tmp_path: Path) -> None:
    put(tmp_path, "s/t.parquet", content(2 * BLOCK_BYTES))

    async def test(cache: BlockCache, store: CountingStore) -> None:
        stored = await pinned(store, "s/t.parquet")
        await cache.blocks(stored, 0, 1)
        put(tmp_path, "s/t.parquet", content(2 * BLOCK_BYTES, 3))
        with pytest.raises(ObjectGone):
            await cache.blocks(stored, 1, 1)
        (tmp_path / "data/s/t.parquet").unlink()
        with pytest.raises(ObjectGone):
            await cache.blocks(stored, 1, 1)
        assert bytes_of(await cache.blocks(stored, 0, 1)) == content(2 * BLOCK_BYTES)[:BLOCK_BYTES]

    with_cache(tmp_path, test)


def test_a_full_volume_is_never_in_the_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, "s/t.parquet", content(BLOCK_BYTES + 5))

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    async def test(cache: BlockCache, store: CountingStore) -> None:
        monkeypatch.setattr(BlockVolume, "write", full)
        stored = await pinned(store, "s/t.parquet")
        for _ in range(2):
            assert bytes_of(await cache.blocks(stored, 0, 2)) == content(BLOCK_BYTES + 5)
        assert cache.status().write_failures == 4
        assert cache.status().blocks == 0

    with_cache(tmp_path, test)


def test_clearing_deletes_blocks_and_warming_brings_them_back(tmp_path: Path) -> None:
    put(tmp_path, "s/t.parquet", content(2 * BLOCK_BYTES))

    async def test(cache: BlockCache, store: CountingStore) -> None:
        stored = await pinned(store, "s/t.parquet")
        assert await cache.warm(Snapshot("s.t", "s", (stored,))) == 2 * BLOCK_BYTES
        assert cache.status().blocks == 2
        await cache.clear()
        assert cache.status().blocks == cache.status().bytes_held == 0
        assert not list((tmp_path / "cache").glob("*/*.block"))

    with_cache(tmp_path, test)


def test_the_cache_folder_is_private(tmp_path: Path) -> None:
    async def test(cache: BlockCache, store: CountingStore) -> None:
        assert (tmp_path / "cache").stat().st_mode & 0o077 == 0

    with_cache(tmp_path, test)


def test_data_that_is_nothing_is_refused(tmp_path: Path) -> None:
    for data in (str(tmp_path / "missing"), "gs://bucket/x", "http://example.com"):
        with pytest.raises(InvalidRequest):
            ObjectStore(data)


def test_a_lake_with_too_many_objects_is_refused(tmp_path: Path) -> None:
    for number in range(5):
        put(tmp_path, f"s/t{number}.parquet", b"x")

    async def test(cache: BlockCache, store: CountingStore) -> None:
        with pytest.raises(StoreFailed):
            async for _ in store.list(objects_max=3):
                pass

    with_cache(tmp_path, test)
