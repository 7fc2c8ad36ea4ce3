"""Reading one batch ahead changes nothing but the time it takes."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import duckdb
import pytest

from engine.executor.read_ahead import read_ahead

WAIT_S = 10.0


def never() -> None:
    raise AssertionError("nobody left early")


def threads() -> int:
    return sum(thread.name == "read-ahead" for thread in threading.enumerate())


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 50])
def test_all_items_in_order(count: int) -> None:
    assert list(read_ahead(iter(range(count)), lambda: None)) == list(range(count))
    assert threads() == 0


@pytest.mark.parametrize("count", [0, 1, 2])
def test_short_results_need_no_thread(count: int) -> None:
    seen = [threads() for _ in read_ahead(iter(range(count)), never)]
    assert seen == [0] * count


def test_an_error_comes_after_the_items_before_it() -> None:
    def source() -> Iterator[int]:
        yield from range(5)
        raise KeyError("five")

    reader = read_ahead(source(), lambda: None)
    assert [next(reader) for _ in range(5)] == [0, 1, 2, 3, 4]
    with pytest.raises(KeyError, match="five"):
        next(reader)
    assert threads() == 0


def test_no_more_than_one_item_waits() -> None:
    made, reached = [], threading.Event()

    def source() -> Iterator[int]:
        for item in range(100):
            made.append(item)
            if item == 4:
                reached.set()
            yield item

    reader = read_ahead(source(), lambda: None)
    for _ in range(3):
        next(reader)
    assert reached.wait(WAIT_S)  # 3 taken, 1 waits, 1 in hand
    assert made == [0, 1, 2, 3, 4]
    reader.close()
    assert threads() == 0


def test_leaving_early_ends_a_running_query() -> None:
    with duckdb.connect() as duck:
        reader = duck.execute("SELECT i FROM range(10000000) t(i)").to_arrow_reader(2048)
        batches = read_ahead(iter(reader), duck.interrupt)
        for _ in range(4):
            next(batches)
        batches.close()
        assert threads() == 0
        assert duck.execute("SELECT 42").fetchone() == (42,)
