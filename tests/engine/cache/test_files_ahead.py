"""Many small files: the ends of the next ones are on their way while earlier ones are read."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from engine.cache.files_ahead import _FILES_AHEAD, _NEAR, _OPENED_BEFORE, FilesAhead
from engine.cache.objects import PART_BYTES
from governance.tables import TableName
from tests.engine.executor.rig import rig


@dataclass
class Pinned:
    number: int
    size: int


class Scan:
    """Opens files, and what was asked for meanwhile."""

    def __init__(self, count: int, size: int = 1000) -> None:
        self.files = [Pinned(at + 100, size) for at in range(count)]
        self.asked: list[tuple[int, int, int]] = []
        self.ahead = FilesAhead(lambda number, start, end: self.asked.append((number - 100, start, end)))

    def open(self, *places: int) -> None:
        for at in places:
            self.ahead.opened("s.t", self.files, at)


@given(count=st.integers(1, 200), seed=st.integers(0, 1 << 30))
def test_a_scan_asks_for_each_files_end_once_before_it_is_opened(count: int, seed: int) -> None:
    scan, rng = Scan(count), random.Random(seed)
    order = sorted(range(count), key=lambda at: at + rng.random() * (_NEAR - 1))  # threads do not keep order
    for at in order:
        if at > 2 * (_OPENED_BEFORE + _NEAR):
            assert at in {number for number, _, _ in scan.asked}
        scan.open(at)
        assert all(number <= at + _NEAR + _FILES_AHEAD for number, _, _ in scan.asked)
    numbers = [number for number, _, _ in scan.asked]
    assert len(numbers) == len(set(numbers))


def test_only_the_part_that_opening_a_file_reads_is_asked_for() -> None:
    for size, start in ((1, 0), (PART_BYTES, 0), (PART_BYTES + 1, PART_BYTES), (10 * PART_BYTES - 5, 9 * PART_BYTES)):
        scan = Scan(10, size)
        scan.open(*range(_OPENED_BEFORE))
        assert {(low, high) for _, low, high in scan.asked} == {(start, size)}
    scan = Scan(10, 0)
    scan.open(*range(_OPENED_BEFORE))
    assert scan.asked == [], "an empty file has none"


@given(st.lists(st.integers(0, 50), max_size=60))
def test_files_opened_here_and_there_set_nothing_off(places: list[int]) -> None:
    scan = Scan(50 * (_NEAR + 1) + 1)
    scan.open(*(at * (_NEAR + 1) for at in places))
    assert scan.asked == []


def test_a_scan_of_many_files_reads_each_once(tmp_path: Path) -> None:
    with rig(tmp_path, memory_bytes=1 << 30, workers_per_organization_max=1) as lake:
        first = lake.write("s/t/0.parquet", "SELECT 1 AS i, 'x' AS t").read_bytes()
        for number in range(1, 80):
            (lake.data / f"s/t/{number:03}.parquet").write_bytes(first)
        lake.seen()
        lake.run(lake.cache.clear())
        before = lake.cache.status().bytes_from_store
        answer = lake.ask("SELECT sum(i), count(t) FROM ", TableName("s", "t"), organization="2")
        assert answer.rows == [("80", "80")]
        assert lake.cache.status().bytes_from_store - before == 80 * len(first)
        assert answer.facts.store_bytes + answer.facts.cache_bytes == 80 * len(first)
