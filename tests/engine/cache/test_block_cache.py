"""Blocks on a real volume from a real store (a folder), with faults."""

from __future__ import annotations

import asyncio
import itertools
import os
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import given as given_
from hypothesis import strategies as st

from engine.cache.block_cache import BlockCache, CacheSettings, Given
from engine.cache.block_volume import BlockVolume, GrowingBlock
from engine.cache.object_store import ObjectGone, ObjectStore, StoreFailed
from engine.cache.objects import (
    BLOCK_BYTES,
    HEADER_BYTES,
    PART_BYTES,
    PARTS,
    Snapshot,
    StoredObject,
    parts_of,
    parts_within,
)
from governance.errors import InvalidRequest

T = TypeVar("T")


class CountingStore(ObjectStore):
    """A real store that counts its reads."""

    def __init__(self, data: str) -> None:
        super().__init__(data)
        self.reads: list[tuple[str, int, int]] = []
        self.gate: threading.Event | None = None

    def read(self, stored: StoredObject, start: int, end: int) -> memoryview:
        self.reads.append((stored.path, start, end))
        if self.gate is not None:
            self.gate.wait(20)
        return super().read(stored, start, end)


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


async def given(cache: BlockCache, stored: StoredObject, start: int = 0, end: int | None = None) -> Given:
    return await cache.blocks(stored, *parts_of(start, stored.size if end is None else end))


async def read(cache: BlockCache, stored: StoredObject, start: int = 0, end: int | None = None) -> bytes:
    """Bytes [start, end), out of the files that a worker would get."""
    end = stored.size if end is None else end
    return bytes_of(await given(cache, stored, start, end), start, end)


def bytes_of(found: Given, start: int, end: int) -> bytes:
    pieces = []
    for number, block in enumerate(found.blocks, start // BLOCK_BYTES):
        at = number * BLOCK_BYTES
        assert not parts_within(number, *parts_of(start, end)) & ~block.parts
        low, high = max(start, at), min(end, at + BLOCK_BYTES)
        pieces.append(os.pread(block.descriptor, high - low, HEADER_BYTES + low - at))
    return b"".join(pieces)


def test_blocks_hold_the_objects_bytes_and_neighbors_come_in_ranges_of_4_mib(tmp_path: Path) -> None:
    data = content(3 * BLOCK_BYTES + 17)
    put(tmp_path, "s/t.parquet", data)

    async def test(cache: BlockCache, store: CountingStore) -> None:
        stored = await pinned(store, "s/t.parquet")
        assert await read(cache, stored) == data
        ends = [*range(0, len(data), 4 << 20), len(data)]
        assert store.reads == [("s/t.parquet", start, end) for start, end in itertools.pairwise(ends)]
        assert await read(cache, stored, BLOCK_BYTES - 1, 3 * BLOCK_BYTES) == data[BLOCK_BYTES - 1 : 3 * BLOCK_BYTES]
        assert len(store.reads) == 4
        for first, end in ((0, 0), (-1, 1), (3 * PARTS, 3 * PARTS + 2), (3 * PARTS + 1, 3 * PARTS + 2), (3, 2)):
            with pytest.raises(IndexError):
                await cache.blocks(stored, first, end)

    with_cache(tmp_path, test)


def test_only_the_parts_that_hold_what_is_read_are_fetched(tmp_path: Path) -> None:
    data = content(2 * BLOCK_BYTES)
    put(tmp_path, "s/t.parquet", data)

    async def test(cache: BlockCache, store: CountingStore) -> None:
        stored = await pinned(store, "s/t.parquet")
        low = BLOCK_BYTES - 10
        found = await given(cache, stored, low, BLOCK_BYTES + 10)
        assert bytes_of(found, low, BLOCK_BYTES + 10) == data[low : BLOCK_BYTES + 10]
        assert (found.cache_bytes, found.store_bytes) == (0, 2 * PART_BYTES)
        found = await given(cache, stored, low - PART_BYTES, BLOCK_BYTES)
        assert (found.cache_bytes, found.store_bytes) == (PART_BYTES, PART_BYTES)
        assert cache.status().bytes_from_store == 3 * PART_BYTES == sum(end - start for _, start, end in store.reads)
        assert cache.status().bytes_held == 2 * HEADER_BYTES + 3 * PART_BYTES
        files = (tmp_path / "cache").glob("*/*.block")
        assert sum(file.stat().st_blocks * 512 for file in files) <= cache.status().bytes_held + 2 * HEADER_BYTES

    with_cache(tmp_path, test)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given_(
    size=st.integers(1, 3 * BLOCK_BYTES),
    waves=st.lists(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 0.4)), min_size=1, max_size=6), max_size=4),
    restart=st.booleans(),
)
def test_whatever_is_read_at_once_or_in_turn_is_the_objects_bytes_and_each_part_is_fetched_once(
    tmp_path_factory: pytest.TempPathFactory, size: int, waves: list[list[tuple[float, float]]], restart: bool
) -> None:
    folder = tmp_path_factory.mktemp("law")
    data = content(size)
    put(folder, "s/t.parquet", data)
    wanted: set[int] = set()
    fetched: list[int] = []

    async def test(cache: BlockCache, store: CountingStore) -> None:
        stored = await pinned(store, "s/t.parquet")
        for wave in waves:
            ranges = [(int(at * (size - 1)), min(size, int(at * (size - 1)) + 1 + int(far * size))) for at, far in wave]
            for found, (start, end) in zip(
                await asyncio.gather(*(read(cache, stored, *one) for one in ranges)), ranges, strict=True
            ):
                assert found == data[start:end]
                wanted.update(range(*parts_of(start, end)))
        for _, start, end in store.reads:
            fetched.extend(range(*parts_of(start, end)))

    with_cache(folder, test)
    if restart:
        with_cache(folder, test)
    assert sorted(fetched) == sorted(wanted), "no part twice, no part that nobody read"


def test_one_fetch_however_many_ask(tmp_path: Path) -> None:
    put(tmp_path, "s/t.parquet", content(BLOCK_BYTES))

    async def test(cache: BlockCache, store: CountingStore) -> None:
        stored = await pinned(store, "s/t.parquet")
        store.gate = threading.Event()
        asking = [asyncio.create_task(read(cache, stored)) for _ in range(50)]
        while not store.reads:  # noqa: ASYNC110
            await asyncio.sleep(0)
        store.gate.set()
        assert set(await asyncio.gather(*asking)) == {content(BLOCK_BYTES)}
        assert len(store.reads) == 1

    with_cache(tmp_path, test)


def test_w6_3_the_index_is_rebuilt_from_the_volume(tmp_path: Path) -> None:
    put(tmp_path, "s/t.parquet", content(2 * BLOCK_BYTES))

    async def first(cache: BlockCache, store: CountingStore) -> None:
        await read(cache, await pinned(store, "s/t.parquet"))

    async def second(cache: BlockCache, store: CountingStore) -> None:
        assert cache.status().blocks == 2
        found = await given(cache, await pinned(store, "s/t.parquet"))
        assert (found.cache_bytes, found.store_bytes) == (2 * BLOCK_BYTES, 0)
        assert store.reads == []

    with_cache(tmp_path, first)
    (next((tmp_path / "cache").glob("*/")) / "left-behind").write_bytes(b"x")
    with_cache(tmp_path, second)
    assert not list((tmp_path / "cache").glob("*/left*"))


@pytest.mark.parametrize(
    ("damage", "fetched"),
    [("cut", BLOCK_BYTES // 2), ("flip", PART_BYTES), ("torn header", PART_BYTES), ("word", BLOCK_BYTES),
     ("gone", BLOCK_BYTES), ("empty", BLOCK_BYTES), ("other", BLOCK_BYTES)],
)  # fmt: skip
def test_a_bad_block_is_fetched_again_never_served(tmp_path: Path, damage: str, fetched: int) -> None:
    put(tmp_path, "s/t.parquet", content(BLOCK_BYTES))

    async def first(cache: BlockCache, store: CountingStore) -> None:
        await read(cache, await pinned(store, "s/t.parquet"))

    with_cache(tmp_path, first)
    (file,) = (tmp_path / "cache").glob("*/*.block")
    whole = bytearray(file.read_bytes())
    if damage == "cut":
        file.write_bytes(whole[: HEADER_BYTES + len(content(BLOCK_BYTES)) // 2])
    elif damage == "flip":
        whole[HEADER_BYTES + 1234] ^= 1
        file.write_bytes(whole)
    elif damage == "torn header":
        whole[8 + 8 * (PARTS - 1) : 8 + 8 * PARTS] = bytes(8)
        file.write_bytes(whole)
    elif damage == "word":
        whole[0] ^= 1
        file.write_bytes(whole)
    elif damage == "empty":
        file.write_bytes(b"")
    elif damage == "other":
        file.write_bytes(whole[:HEADER_BYTES] + content(BLOCK_BYTES, 77))
    else:
        file.unlink()

    async def again(cache: BlockCache, store: CountingStore) -> None:
        assert await read(cache, await pinned(store, "s/t.parquet")) == content(BLOCK_BYTES)
        assert sum(end - start for _, start, end in store.reads) == fetched

    async def mended(cache: BlockCache, store: CountingStore) -> None:
        assert await read(cache, await pinned(store, "s/t.parquet")) == content(BLOCK_BYTES)
        assert store.reads == []

    with_cache(tmp_path, again)
    with_cache(tmp_path, mended)


def test_w6_2_blocks_beyond_the_limit_leave_the_volume_but_not_their_readers(tmp_path: Path) -> None:
    for number in range(6):
        put(tmp_path, f"s/t{number}.parquet", content(BLOCK_BYTES, number))

    async def test(cache: BlockCache, store: CountingStore) -> None:
        held = await given(cache, await pinned(store, "s/t0.parquet"))
        for number in range(1, 6):
            await read(cache, await pinned(store, f"s/t{number}.parquet"))
        async with asyncio.timeout(20):
            while len(list((tmp_path / "cache").glob("*/*.block"))) > 2:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert cache.status().bytes_held <= 3 * BLOCK_BYTES
        assert cache.status().evictions == 4
        assert bytes_of(held, 0, BLOCK_BYTES) == content(BLOCK_BYTES, 0)

    with_cache(tmp_path, test, bytes_max=3 * BLOCK_BYTES)


def test_what_a_reader_gets_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, "s/t.parquet", content(BLOCK_BYTES))

    async def test(cache: BlockCache, store: CountingStore) -> None:
        stored = await pinned(store, "s/t.parquet")
        for _ in range(2):
            (block,) = (await given(cache, stored)).blocks
            with pytest.raises(OSError, match=r"Bad file descriptor|not permitted"):
                os.pwrite(block.descriptor, b"poison", HEADER_BYTES)
            await cache.clear()
            monkeypatch.setattr(BlockVolume, "create", full)

    with_cache(tmp_path, test)


def full(*_: object) -> None:
    raise OSError(28, "No space left on device")


def test_a_replaced_object_is_gone_never_mixed(tmp_path: Path) -> None:
    put(tmp_path, "s/t.parquet", content(2 * BLOCK_BYTES))

    async def test(cache: BlockCache, store: CountingStore) -> None:
        stored = await pinned(store, "s/t.parquet")
        await read(cache, stored, 0, BLOCK_BYTES)
        put(tmp_path, "s/t.parquet", content(2 * BLOCK_BYTES, 3))
        with pytest.raises(ObjectGone):
            await read(cache, stored, BLOCK_BYTES)
        (tmp_path / "data/s/t.parquet").unlink()
        with pytest.raises(ObjectGone):
            await read(cache, stored, BLOCK_BYTES)
        assert await read(cache, stored, 0, BLOCK_BYTES) == content(2 * BLOCK_BYTES)[:BLOCK_BYTES]

    with_cache(tmp_path, test)


def test_a_full_volume_is_never_in_the_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = content(BLOCK_BYTES + 5)
    put(tmp_path, "s/t.parquet", data)

    async def test(cache: BlockCache, store: CountingStore) -> None:
        monkeypatch.setattr(BlockVolume, "create", full)
        stored = await pinned(store, "s/t.parquet")
        for _ in range(2):
            assert await read(cache, stored) == data
        assert cache.status().write_failures == 4
        assert cache.status().blocks == 0

    with_cache(tmp_path, test)


def test_a_volume_that_fills_up_keeps_what_it_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = content(BLOCK_BYTES)
    put(tmp_path, "s/t.parquet", data)

    async def test(cache: BlockCache, store: CountingStore) -> None:
        stored = await pinned(store, "s/t.parquet")
        await read(cache, stored, 0, 10)
        monkeypatch.setattr(GrowingBlock, "write", full)
        assert await read(cache, stored) == data, "from the file and from what it could not take"
        assert await read(cache, stored, 5 * PART_BYTES, 9 * PART_BYTES) == data[5 * PART_BYTES : 9 * PART_BYTES]
        assert cache.status().bytes_held == HEADER_BYTES + PART_BYTES

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
