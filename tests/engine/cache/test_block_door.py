"""Descriptors over a real socket: what a worker gets, and what it does not."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from engine.cache import block_client
from engine.cache.block_cache import BlockCache
from engine.cache.block_client import BlockClient, BlocksRefused
from engine.cache.block_door import BlockDoor, ObjectNumbers
from engine.cache.block_wire import ASK, Outcome
from engine.cache.objects import BLOCK_BYTES, HEADER_BYTES, PART_BYTES, PARTS, Snapshot
from tests.engine.cache.test_block_cache import CountingStore, content, pinned, put, with_cache


def with_door(
    tmp_path: Path,
    test: Callable[[BlockDoor, BlockClient, CountingStore, ObjectNumbers, socket.socket], Awaitable[None]],
) -> None:
    async def run(cache: BlockCache, store: CountingStore) -> None:
        mine, theirs = socket.socketpair()
        numbers = ObjectNumbers()
        door = BlockDoor(mine, cache, numbers)
        client = BlockClient(theirs)
        client.start()
        try:
            await test(door, client, store, numbers, theirs)
        finally:
            door.close()
            client._ended = True
            theirs.shutdown(socket.SHUT_RDWR)
            theirs.close()

    with_cache(tmp_path, run)


def in_order(door: BlockDoor) -> list[str]:
    """The objects of the index, the first to go first."""
    return [name for name, _ in tuple(door._cache._index.keys())]


def test_a_running_statements_objects_are_given_and_charged(tmp_path: Path) -> None:
    data = content(20 * BLOCK_BYTES + 9)
    put(tmp_path, "s/t.parquet", data)

    async def test(
        door: BlockDoor, client: BlockClient, store: CountingStore, numbers: ObjectNumbers, _: socket.socket
    ) -> None:
        stored = await pinned(store, "s/t.parquet")
        use = door.hold([Snapshot("s.t", "s", (stored,))])
        number = numbers.number(stored)
        blocks, asked = await asyncio.to_thread(client.get, number, 0, len(data))
        assert asked
        read = b"".join(os.pread(b.descriptor, stored.block_bytes(at), HEADER_BYTES) for at, b in enumerate(blocks))
        assert read == data
        assert (use.status, use.store_bytes, use.cache_bytes) == ("miss", len(data), 0)
        again, asked = await asyncio.to_thread(client.get, number, 3 * BLOCK_BYTES, 5 * BLOCK_BYTES)
        assert not asked
        assert [b.descriptor for b in again] == [b.descriptor for b in blocks[3:5]]
        door.release(use)
        second = door.hold([Snapshot("s.t", "s", (stored,))])
        assert second.status == "hit"

    with_door(tmp_path, test)


def test_other_objects_are_refused_whatever_the_worker_knows(tmp_path: Path) -> None:
    put(tmp_path, "s/t.parquet", content(BLOCK_BYTES))
    put(tmp_path, "other/secret.parquet", content(BLOCK_BYTES, 9))

    async def test(
        door: BlockDoor, client: BlockClient, store: CountingStore, numbers: ObjectNumbers, _: socket.socket
    ) -> None:
        mine, other = await pinned(store, "s/t.parquet"), await pinned(store, "other/secret.parquet")
        use = door.hold([Snapshot("s.t", "s", (mine,))])
        for number, first, count in (
            (numbers.number(other), 0, 1), (99, 0, 1), (0, 0, 1), (numbers.number(mine), BLOCK_BYTES, 1),
            (numbers.number(mine), (2**32 - 2) * PART_BYTES, 1),
        ):  # fmt: skip
            with pytest.raises(BlocksRefused) as caught:
                await asyncio.to_thread(client.get, number, first, first + count)
            assert caught.value.outcome is Outcome.REFUSED
        door.release(use)
        with pytest.raises(BlocksRefused):
            await asyncio.to_thread(client.get, numbers.number(mine), 0, 1)
        assert store.reads == []
        assert door.refused == 6

    with_door(tmp_path, test)


def test_a_reader_asks_again_for_what_its_file_did_not_hold_yet(tmp_path: Path) -> None:
    data = content(3 * BLOCK_BYTES)
    put(tmp_path, "s/t.parquet", data)

    async def test(
        door: BlockDoor, client: BlockClient, store: CountingStore, numbers: ObjectNumbers, _: socket.socket
    ) -> None:
        stored = await pinned(store, "s/t.parquet")
        use = door.hold([Snapshot("s.t", "s", (stored,))])
        number = numbers.number(stored)
        for part in (PARTS - 1, 3, 4, PARTS, 0):
            (block,), _ = await asyncio.to_thread(client.get, number, part * PART_BYTES, (part + 1) * PART_BYTES)
            assert block.parts >> part % PARTS & 1
        assert use.store_bytes == 5 * PART_BYTES
        span = (3 * PART_BYTES, (PARTS + 1) * PART_BYTES)
        (first, second), _ = await asyncio.to_thread(client.get, number, *span)
        whole = (1 << PARTS) - 1
        assert (first.parts | 0b110, second.parts) == (whole, 1)
        assert (use.store_bytes, use.cache_bytes) == ((5 + PARTS - 6) * PART_BYTES, 0), "not handed over again"
        assert len(store.reads) == 6
        await asyncio.gather(*(asyncio.to_thread(client.get, number, at, at + 9) for at in range(0, len(data), 50_000)))
        assert sum(end - start for _, start, end in store.reads) == len(data), "each byte once"

    with_door(tmp_path, test)


def test_a_file_of_ten_gigabytes_is_read_where_it_is_asked_for(tmp_path: Path) -> None:
    far, said = 10 << 30, b"far out"
    file = put(tmp_path, "s/t.parquet", b"PAR1")
    with file.open("r+b") as sparse:
        sparse.truncate(far + 3 * BLOCK_BYTES)
        for at in (far - 3, 5 << 30, far + 3 * BLOCK_BYTES - len(said)):
            sparse.seek(at)
            sparse.write(said)

    async def test(
        door: BlockDoor, client: BlockClient, store: CountingStore, numbers: ObjectNumbers, _: socket.socket
    ) -> None:
        stored = await pinned(store, "s/t.parquet")
        assert stored.size > far
        use = door.hold([Snapshot("s.t", "s", (stored,))])
        for at in (far - 3, 5 << 30, stored.size - len(said)):
            data, asked = await asyncio.to_thread(client.read, numbers.number(stored), at, at + len(said))
            assert (data, asked) == (said, True)
        client.ask(numbers.number(stored), far - BLOCK_BYTES, far)
        async with asyncio.timeout(20):
            while use.store_bytes < BLOCK_BYTES + 3 * PART_BYTES:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert sum(end - start for _, start, end in store.reads) == BLOCK_BYTES + 3 * PART_BYTES

    with_door(tmp_path, test)


def test_w6_2_a_worker_lets_go_of_what_leaves_the_volume(tmp_path: Path) -> None:
    put(tmp_path, "s/t.parquet", content(2 * BLOCK_BYTES))

    async def test(
        door: BlockDoor, client: BlockClient, store: CountingStore, numbers: ObjectNumbers, _: socket.socket
    ) -> None:
        stored = await pinned(store, "s/t.parquet")
        door.hold([Snapshot("s.t", "s", (stored,))])
        number = numbers.number(stored)
        (first, second), _asked = await asyncio.to_thread(client.get, number, 0, stored.size)
        inode = os.fstat(first.descriptor)
        await door._cache.clear()
        async with asyncio.timeout(20):
            while client._open:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        _blocks, asked = await asyncio.to_thread(client.get, number, 0, 10)
        assert asked
        assert len(client._open) == 1
        assert os.pread(first.descriptor, 10, HEADER_BYTES) == content(10), "who reads it keeps it"
        assert os.fstat(first.descriptor).st_ino == inode.st_ino
        assert os.fstat(second.descriptor).st_nlink == 0

    with_door(tmp_path, test)


def test_w6_2_the_node_hears_of_a_block_that_a_worker_goes_on_using(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("hot", "cold"):
        put(tmp_path, f"s/{name}.parquet", content(BLOCK_BYTES))
    monkeypatch.setattr(block_client, "_USE_TOLD_S", -1.0)

    async def test(
        door: BlockDoor, client: BlockClient, store: CountingStore, numbers: ObjectNumbers, _: socket.socket
    ) -> None:
        hot, cold = await pinned(store, "s/hot.parquet"), await pinned(store, "s/cold.parquet")
        use = door.hold([Snapshot("s.t", "s", (hot, cold))])
        for stored in (hot, cold):
            await asyncio.to_thread(client.get, numbers.number(stored), 0, stored.size)
        assert in_order(door) == [hot.key, cold.key]
        _blocks, asked = await asyncio.to_thread(client.get, numbers.number(hot), 0, PART_BYTES)
        assert not asked
        async with asyncio.timeout(20):
            while in_order(door) != [cold.key, hot.key]:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert use.cache_bytes == 0, "told, not read again"

    with_door(tmp_path, test)


def test_a_version_that_is_gone_is_told(tmp_path: Path) -> None:
    file = put(tmp_path, "s/t.parquet", content(BLOCK_BYTES))

    async def test(
        door: BlockDoor, client: BlockClient, store: CountingStore, numbers: ObjectNumbers, _: socket.socket
    ) -> None:
        stored = await pinned(store, "s/t.parquet")
        door.hold([Snapshot("s.t", "s", (stored,))])
        file.unlink()
        with pytest.raises(BlocksRefused) as caught:
            await asyncio.to_thread(client.get, numbers.number(stored), 0, 1)
        assert caught.value.outcome is Outcome.GONE

    with_door(tmp_path, test)


def test_garbage_and_floods_do_not_hurt_the_node(tmp_path: Path) -> None:
    put(tmp_path, "s/t.parquet", content(BLOCK_BYTES))

    async def test(
        door: BlockDoor, client: BlockClient, store: CountingStore, numbers: ObjectNumbers, raw: socket.socket
    ) -> None:
        stored = await pinned(store, "s/t.parquet")
        door.hold([Snapshot("s.t", "s", (stored,))])
        flood = b"".join(ASK.pack(0, number, 2**31, 2**31) for number in range(2000))
        await asyncio.to_thread(raw.sendall, flood)
        blocks, _ = await asyncio.to_thread(client.get, numbers.number(stored), 0, 1)
        assert len(blocks) == 1
        assert len(door._tasks) <= 512

    with_door(tmp_path, test)
