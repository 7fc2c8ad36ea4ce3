"""How well blocks are kept that workers hold: a made trace through the real socket."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest

from benchmarks.cache_traces import served_by_lru, zipf
from engine.cache import block_client, block_index
from engine.cache.block_client import BlockClient
from engine.cache.block_door import BlockDoor, ObjectNumbers
from engine.cache.objects import HEADER_BYTES, Snapshot
from tests.engine.cache.test_block_cache import CountingStore, content, put
from tests.engine.cache.test_block_door import with_door

_OBJECTS, _BYTES, _REQUESTS = 300, 500, 3000


def test_w6_2_what_is_hot_in_a_worker_is_kept_at_least_as_well_as_by_plain_lru(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(block_index, "SAME_USE_S", 0.002)
    monkeypatch.setattr(block_client, "_USE_TOLD_S", 0.0025)
    contents = [content(_BYTES, number) for number in range(_OBJECTS)]
    for number, data in enumerate(contents):
        put(tmp_path, f"s/{number}.parquet", data)
    trace = [block % _OBJECTS for block in zipf(1.0)[: _REQUESTS * 3] if block < _OBJECTS][:_REQUESTS]
    capacity = _OBJECTS // 10

    async def test(
        door: BlockDoor, client: BlockClient, store: CountingStore, numbers: ObjectNumbers, _: socket.socket
    ) -> None:
        objects = {one.path: one async for batch in store.list(objects_max=1000) for one in batch}
        order = [numbers.number(objects[f"s/{at}.parquet"]) for at in range(_OBJECTS)]
        door._cache._index.bytes_max = capacity * (HEADER_BYTES + _BYTES)
        door.hold([Snapshot("s.t", "s", tuple(objects.values()))])

        def read() -> None:
            for block in trace:
                assert client.read(order[block], 0, _BYTES)[0] == contents[block]

        await asyncio.to_thread(read)
        hits = 1 - len(store.reads) / len(trace)
        assert hits >= served_by_lru(trace, capacity)

    with_door(tmp_path, test)
