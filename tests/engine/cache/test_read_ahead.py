"""What a scan will want next: exactly the columns it reads, row group after row group; look-ups set nothing off."""

from __future__ import annotations

import random
from pathlib import Path

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.cache.read_ahead import _READS_BEFORE, ReadAhead
from engine.cache.row_groups import END_BYTES, NotParquet, RowGroups, footer_bytes

GROUPS, COLUMNS, NUMBER = 12, 4, 7


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path: Path = tmp_path_factory.mktemp("row-groups") / "t.parquet"
    rows = 2048 * GROUPS
    columns = ", ".join(f"hash(i + {at}) AS c{at}" for at in range(COLUMNS))
    with duckdb.connect() as connection:
        connection.execute(
            f"COPY (SELECT {columns} FROM range({rows}) t(i)) TO '{path}' (FORMAT parquet, ROW_GROUP_SIZE 2048)"
        )
    return path.read_bytes()


def groups_of(data: bytes) -> RowGroups:
    return RowGroups.read(data[-footer_bytes(data[-END_BYTES:]) - END_BYTES :])


class Reader:
    """A scan or a look-up of a file, and what was asked for meanwhile."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.asked: list[tuple[int, int]] = []
        self.ahead = ReadAhead(
            lambda _, start, end: data[start:end], lambda _, start, end: self.asked.append((start, end))
        )

    def read(self, *spans: tuple[int, int]) -> None:
        for start, end in spans:
            self.ahead.follow(NUMBER, len(self.data), start, end)


def test_chunks_are_where_the_footer_says(file: bytes) -> None:
    groups = groups_of(file)
    assert len(groups) == GROUPS
    for group in range(GROUPS):
        (whole,) = groups.spans(group, range(COLUMNS))
        assert groups.chunks(*whole) == [(group, column) for column in range(COLUMNS)]
        for column in range(COLUMNS):
            ((start, end),) = groups.spans(group, [column])
            assert groups.chunks(start, end) == [(group, column)]
            assert groups.chunks(end - 1, end) == [(group, column)]
    assert groups.chunks(len(file) - END_BYTES, len(file)) == []


@pytest.mark.parametrize("columns", [[0], [1, 3], [0, 1, 2, 3]])
def test_a_scan_is_read_ahead_of_once_and_by_its_columns_only(file: bytes, columns: list[int]) -> None:
    groups, reader = groups_of(file), Reader(file)
    order = list(range(GROUPS))
    order[3], order[4] = order[4], order[3]  # threads do not keep order
    reads = [span for group in order for span in groups.spans(group, columns)]
    asked: list[tuple[int, int]] = []
    done: set[tuple[int, int]] = set()
    for at, span in enumerate(reads):
        if at < _READS_BEFORE:
            assert reader.asked == [], "a look-up reads no more than that"
        reader.read(span)
        done.update(groups.chunks(*span))
        new = [chunk for one in reader.asked[len(asked) :] for chunk in groups.chunks(*one)]
        asked += [(0, 0)] * (len(reader.asked) - len(asked))
        if at >= _READS_BEFORE:
            assert not done.intersection(new)
    told = [chunk for one in reader.asked for chunk in groups.chunks(*one)]
    assert len(told) == len(set(told))
    assert {column for _, column in told} == set(columns)
    assert {(group, column) for group in order[_READS_BEFORE + 1 :] for column in columns} <= set(told)


def test_scans_that_begin_in_several_places_are_each_read_ahead_of(file: bytes) -> None:
    groups, reader = groups_of(file), Reader(file)
    for group in (0, 6, 1, 7, 0, 6, 1, 7):
        reader.read(*groups.spans(group, [2]))
    asked = {chunk for span in reader.asked for chunk in groups.chunks(*span)}
    assert asked == {(group, 2) for group in (2, 3, 4, 5, 8, 9, 10, 11)}


def test_reads_far_apart_are_no_scan(file: bytes) -> None:
    groups, reader = groups_of(file), Reader(file)
    for group in (0, 5, 10, 0, 5, 10):
        reader.read(*groups.spans(group, [0, 2]))
    assert reader.asked == []


@given(seed=st.integers(0, 1 << 30), flips=st.integers(1, 20), cut=st.integers(0, 50))
@settings(deadline=None, max_examples=150)
def test_a_damaged_footer_only_means_that_nothing_is_read_ahead(file: bytes, seed: int, flips: int, cut: int) -> None:
    rng, data = random.Random(seed), bytearray(file)
    length = footer_bytes(file[-END_BYTES:])
    for _ in range(flips):
        data[rng.randrange(len(data) - length - END_BYTES, len(data))] = rng.randrange(256)
    reader = Reader(bytes(data[: len(data) - cut]))
    for start in range(0, len(file), len(file) // 19):
        reader.read((start, min(start + 1000, len(reader.data))))
    for start, end in reader.asked:
        assert 0 <= start < end <= len(reader.data)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_footer_or_none(data: bytes) -> None:
    with pytest.raises(NotParquet):
        RowGroups.read(data)
