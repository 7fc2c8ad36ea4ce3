"""The pure half of the cache: versions, blocks, and who goes first."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import cache_traces
from engine.cache.block_index import BlockIndex
from engine.cache.objects import BLOCK_BYTES, Snapshot, StoredObject


@given(size=st.integers(0, 5 * BLOCK_BYTES))
def test_blocks_cover_an_object_exactly(size: int) -> None:
    stored = StoredObject("a/b.parquet", "e", size)
    assert sum(stored.block_bytes(block) for block in range(stored.blocks)) == size
    with pytest.raises(IndexError):
        stored.block_bytes(stored.blocks)
    with pytest.raises(IndexError):
        stored.block_bytes(-1)


def test_a_version_has_its_own_key() -> None:
    one = StoredObject("a", "e1", 10)
    assert len({one.key, StoredObject("a", "e2", 10).key, StoredObject("b", "e1", 10).key}) == 3
    assert Snapshot("t", "", (one,)).id != Snapshot("u", "", (one,)).id
    assert Snapshot("t", "", (one,)).id == Snapshot("t", "", (StoredObject("a", "e1", 10),)).id


@given(
    operations=st.lists(
        st.tuples(st.sampled_from(["add", "touch", "remove", "evict"]), st.integers(0, 9), st.integers(1, 40)),
        max_size=60,
    ),
    limit=st.integers(0, 100),
)
def test_w6_2_the_rest_fits_after_eviction_whatever_was_done(
    operations: list[tuple[str, int, int]], limit: int
) -> None:
    index, model = BlockIndex(limit), dict[tuple[str, int], int]()
    for name, number, size in operations:
        key = ("object", number)
        if name == "add":
            index.add(key, size)
            model[key] = size
        elif name == "touch":
            assert index.touch(key) == (key in model)
        elif name == "remove":
            index.remove(key)
            model.pop(key, None)
        else:
            order = list(index.keys())
            gone = index.victims()
            assert gone == order[: len(gone)]
            for victim in gone[:-1]:
                del model[victim]
            assert not gone or sum(model.values()) > limit, "no more than needed"
            if gone:
                del model[gone[-1]]
            assert sum(model.values()) <= limit
        assert index.bytes_held == sum(model.values())
        assert sorted(index.keys()) == sorted(model)
        assert len(index) == len(model)


def test_w6_2_least_recently_used_go_first_and_what_is_come_back_to_outlives_a_scan() -> None:
    index = BlockIndex(100)
    for number in range(10):
        index.add(("hot", number), 5, at=0.0)
    for number in (3, 1):
        assert index.touch(("hot", number), at=60.0)
    for number in range(50):
        index.add(("scan", number), 5, at=61.0)
        assert index.touch(("scan", number), at=61.5), "read ahead, then read"
        index.victims()
    assert {("hot", 3), ("hot", 1)} <= set(index.keys())
    assert ("hot", 0) not in index
    assert ("scan", 49) in index
    assert index.victims(also_free=90)[-1] == ("scan", 49), "then what is kept, least recently used first"
    assert list(index.keys()) == [("hot", 3), ("hot", 1)]


@pytest.mark.parametrize("alpha", [0.8, 1.0, 1.2])
def test_eviction_is_never_below_plain_lru_and_clearly_above_when_scans_mix_in(alpha: float) -> None:
    trace = cache_traces.zipf(alpha)[:20_000]
    mixed = cache_traces.with_scans(trace)
    capacity = int(cache_traces.BLOCKS * cache_traces.SHARE)
    assert cache_traces.served_by_index(trace, capacity) >= cache_traces.served_by_lru(trace, capacity)
    ours, plain = cache_traces.served_by_index(mixed, capacity), cache_traces.served_by_lru(mixed, capacity)
    best = cache_traces.served_by_belady(mixed, capacity)
    assert plain + (best - plain) * 0.25 < ours <= best, "a quarter at least of what plain LRU leaves to be had"


def test_eviction_frees_what_the_file_system_lacks() -> None:
    index = BlockIndex(1000)
    for number in range(5):
        index.add(("o", number), 100)
    assert index.victims(also_free=150) == [("o", 0), ("o", 1)]
    assert index.bytes_held == 300
