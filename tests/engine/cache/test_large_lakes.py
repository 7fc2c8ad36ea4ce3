"""Scans and many small files, through workers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from governance.tables import TableName
from tests.engine.executor.rig import Rig, rig


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with rig(tmp_path_factory.mktemp("large"), memory_bytes=1 << 30, workers_per_organization_max=1) as made:
        yield made


def test_what_is_read_ahead_counts_once_and_as_brought_from_the_store(lake: Rig) -> None:
    lake.write("ahead/t.parquet", "SELECT hash(i) AS h, hash(i + 1) AS g FROM range(1500000) t(i)")
    lake.seen()
    lake.run(lake.cache.clear())
    before = lake.cache.status().bytes_from_store
    facts = lake.ask("SELECT sum(h % 1000) FROM ", TableName("ahead", "t"), organization="2").facts
    fetched = lake.cache.status().bytes_from_store - before
    assert facts.store_bytes > 10_000_000
    assert facts.store_bytes + facts.cache_bytes <= fetched * 1.2, "of one column of two, once"
    assert fetched < 16_000_000
    assert facts.cache_status in ("miss", "partial")


@pytest.mark.slow
def test_thousands_of_files_are_one_table(lake: Rig) -> None:
    first = lake.write("thousands/t/0.parquet", "SELECT 1 AS i, 'x' AS t").read_bytes()
    for number in range(1, 1500):
        (lake.data / f"thousands/t/{number}.parquet").write_bytes(first)
    for _ in range(3):
        lake.seen()
    table = TableName("thousands", "t")
    for organization in ("1", "3"):
        answer = lake.ask("SELECT sum(i), count(t) FROM ", table, organization=organization, deadline_s=55)
        assert answer.rows == [("1500", "1500")]
    (lake.data / "thousands/t/17.parquet").unlink()
    lake.write("thousands/t/more.parquet", "SELECT 100 AS i, NULL::VARCHAR AS t")
    lake.seen()
    assert lake.ask("SELECT sum(i), count(t), count(*) FROM ", table, deadline_s=55).rows == [("1599", "1499", "1500")]
