"""The pure half of the cache: versions, blocks, and who goes first."""

from __future__ import annotations

from collections import OrderedDict

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
def test_w6_2_least_recently_used_blocks_go_first_and_the_rest_fits(
    operations: list[tuple[str, int, int]], limit: int
) -> None:
    index, model = BlockIndex(limit), OrderedDict[tuple[str, int], int]()
    for name, number, size in operations:
        key = ("object", number)
        if name == "add":
            index.add(key, size)
            model.pop(key, None)
            model[key] = size
        elif name == "touch":
            assert index.touch(key) == (key in model)
            if key in model:
                model.move_to_end(key)
        elif name == "remove":
            index.remove(key)
            model.pop(key, None)
        else:
            expected = []
            while sum(model.values()) > limit:
                expected.append(model.popitem(last=False)[0])
            assert index.victims() == expected
        assert index.bytes_held == sum(model.values())
        assert list(index.keys()) == list(model)


def test_eviction_frees_what_the_file_system_lacks() -> None:
    index = BlockIndex(1000)
    for number in range(5):
        index.add(("o", number), 100)
    assert index.victims(also_free=150) == [("o", 0), ("o", 1)]
    assert index.bytes_held == 300
