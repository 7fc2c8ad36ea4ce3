"""The lake over a real folder, described and read by real workers."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.catalog.lake import DAMAGED
from governance.errors import Refusal, SourceUnavailable
from governance.tables import Column, TableName
from tests.engine.executor.rig import Rig, mint, rig


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with rig(tmp_path_factory.mktemp("lake"), memory_bytes=1 << 30, workers_per_organization_max=1) as made:
        yield made


def columns(lake: Rig, name: str) -> list[tuple[str, str]]:
    return [(c.name, c.type) for c in lake.lake.tables()[TableName.parse(name).key].columns]


def fault(lake: Rig, name: str) -> str:
    return lake.lake.tables()[TableName.parse(name).key].fault


def test_columns_have_the_types_duckdb_reads(lake: Rig) -> None:
    lake.write("types/t.parquet", "SELECT 1::INTEGER a, 1.5::DECIMAL(12,2) b, [1] c, {'x': 1} d, now() e, 'x'::BLOB f")
    lake.seen()
    assert columns(lake, "types.t") == [
        ("a", "INTEGER"), ("b", "DECIMAL(12,2)"), ("c", "INTEGER[]"), ("d", "STRUCT(x INTEGER)"),
        ("e", "TIMESTAMP WITH TIME ZONE"), ("f", "BLOB"),
    ]  # fmt: skip


def test_new_changed_and_removed_files_are_seen_without_a_restart(lake: Rig) -> None:
    table = TableName("grow", "t")
    lake.write("grow/t/1.parquet", "SELECT 1 AS i")
    lake.seen()
    version = lake.lake.version
    assert lake.ask("SELECT sum(i) FROM ", table).rows == [("1",)]
    lake.write("grow/t/2.parquet", "SELECT 2 AS i")
    lake.seen()
    assert lake.lake.version == version, "files changed, columns did not"
    assert lake.ask("SELECT sum(i) FROM ", table).rows == [("3",)]
    lake.write("grow/t/1.parquet", "SELECT 10 AS i")
    lake.seen()
    assert lake.ask("SELECT sum(i) FROM ", table).rows == [("12",)]
    (lake.data / "grow/t/2.parquet").unlink()
    lake.seen()
    assert lake.ask("SELECT sum(i) FROM ", table).rows == [("10",)]
    (lake.data / "grow/t/1.parquet").unlink()
    lake.seen()
    assert table.key not in lake.lake.tables()
    assert lake.lake.version != version


def test_files_that_drift_unite_by_name_and_miss_as_null(lake: Rig) -> None:
    lake.write("drift/t/1.parquet", "SELECT 1 AS a, 'x' AS b")
    lake.write("drift/t/2.parquet", "SELECT 'y' AS b, 2::BIGINT AS a, true AS c")
    lake.seen()
    assert columns(lake, "drift.t") == [("a", "BIGINT"), ("b", "VARCHAR"), ("c", "BOOLEAN")]
    answer = lake.ask("SELECT a, b, c FROM ", TableName("drift", "t"), " ORDER BY a")
    assert answer.rows == [("1", "x", None), ("2", "y", "t")]


def test_partition_columns_are_marked_typed_and_pruned(lake: Rig) -> None:
    for year in ("2019", "2020"):
        lake.write(f"hive/t/year={year}/place=a%20b/f.parquet", f"SELECT {year} AS made")
    lake.write("hive/t/year=__HIVE_DEFAULT_PARTITION__/place=c'd/f.parquet", "SELECT 0 AS made")
    lake.seen()
    assert lake.lake.tables()["hive", "t"].columns == (
        Column("made", "INTEGER"),
        Column("place", "VARCHAR", partition=True),
        Column("year", "BIGINT", partition=True),
    )  # fmt: skip  -- DuckDB puts partition columns behind the file's, in order of name
    answer = lake.ask("SELECT year, place, made FROM ", TableName("hive", "t"), " ORDER BY made")
    assert answer.rows == [(None, "c'd", "0"), ("2019", "a b", "2019"), ("2020", "a b", "2020")]
    assert lake.ask("SELECT made FROM ", TableName("hive", "t"), " WHERE year = 2020").rows == [("2020",)]


@pytest.mark.parametrize(
    "name", ["with space", "quo'te", "qué", "semi;colon", "sta*r", "br[a]cket", "per%20cent", "que?ry"]
)
def test_odd_names_of_files_and_tables_work(lake: Rig, name: str) -> None:
    lake.write("odd/placeholder.parquet", "SELECT 1 AS i")
    folder = lake.data / "odd" / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.parquet").write_bytes((lake.data / "odd/placeholder.parquet").read_bytes())
    lake.seen()
    assert lake.ask("SELECT i FROM ", TableName("odd", name)).rows == [("1",)]


def test_a_corrupt_table_is_listed_at_fault_and_refused_naming_the_table_only(lake: Rig) -> None:
    lake.write("bad/fine.parquet", "SELECT 1 AS i")
    (lake.data / "bad/junk.parquet").write_bytes(b"PAR1 this is not parquet at all, secret-17 PAR1")
    (lake.data / "bad/empty.parquet").write_bytes(b"")
    lake.write("bad/mixed/good.parquet", "SELECT 1 AS i")
    (lake.data / "bad/mixed/cut.parquet").write_bytes((lake.data / "bad/fine.parquet").read_bytes()[:100])
    lake.seen()
    for name in ("bad.junk", "bad.empty", "bad.mixed"):
        assert fault(lake, name) == DAMAGED
        with pytest.raises(SourceUnavailable, match=name) as caught:
            lake.ask("SELECT * FROM ", TableName.parse(name))
        told = caught.value.message + caught.value.advice + caught.value.reason
        assert "secret" not in told
        assert "parquet'" not in told
        assert "hati:" not in told
    assert lake.ask("SELECT i FROM ", TableName("bad", "fine")).rows == [("1",)]
    lake.write("bad/junk.parquet", "SELECT 7 AS i")
    lake.seen()
    assert lake.ask("SELECT i FROM ", TableName("bad", "junk")).rows == [("7",)]


def test_damage_inside_a_page_is_found_when_read(lake: Rig) -> None:
    file = lake.write("rot/t.parquet", "SELECT hash(i) AS h, repeat(hash(i)::VARCHAR, 3) AS s FROM range(300000) t(i)")
    data = bytearray(file.read_bytes())
    for at in range(4000, len(data) - 60_000, 1000):
        data[at : at + 64] = os.urandom(64)
    file.write_bytes(data)
    lake.seen()
    assert fault(lake, "rot.t") == ""
    with pytest.raises(SourceUnavailable, match=r"rot\.t"):
        lake.ask("SELECT max(h), max(s) FROM ", TableName("rot", "t"))
    assert lake.ask("SELECT 1 + 0").rows == [("1",)]


def test_a_file_replaced_while_a_statement_runs_is_never_mixed(lake: Rig) -> None:
    table = TableName("swap", "t")
    rows = 3_000_000
    lake.write("swap/t.parquet", f"SELECT i, hash(i)::VARCHAR AS s FROM range({rows}) t(i)")
    lake.seen()

    async def scene() -> None:
        governed = mint("SELECT i, s FROM ", table)
        async with await lake.executor.run(governed, deadline_s=60) as execution:
            frames = execution.frames()
            await anext(frames)
            await asyncio.to_thread(lake.write, "swap/t.parquet", f"SELECT -i AS i, 'new' AS s FROM range({rows}) t(i)")
            seen = 0
            async for frame in frames:
                seen += frame.rows
                assert b"new" not in bytes(frame.data[:200])
            assert seen, "every block was already there"

    with contextlib.suppress(SourceUnavailable):  # blocks not yet read are gone; if all were read, the old rows came
        lake.run(scene())
    lake.seen()
    assert lake.ask("SELECT min(s), max(s) FROM ", table).rows == [("new", "new")]


def test_a_file_that_vanishes_before_it_was_read_is_unavailable_and_retryable(tmp_path: Path) -> None:
    with rig(tmp_path, refresh_s=3600, memory_bytes=512 << 20, standby=False) as still:
        still.write("gone/t/1.parquet", "SELECT i, hash(i) AS h FROM range(2000000) t(i)")

        async def look() -> None:
            await still.lake._look()

        still.run(look())
        (still.data / "gone/t/1.parquet").unlink()
        with pytest.raises(SourceUnavailable, match=r"gone\.t") as caught:
            still.ask("SELECT sum(h) FROM ", TableName("gone", "t"))
        assert "retry" in caught.value.advice.casefold()
        still.run(look())
        with pytest.raises(SourceUnavailable):
            still.ask("SELECT sum(h) FROM ", TableName("gone", "t"))


def test_cache_status_goes_from_miss_to_hit(tmp_path: Path) -> None:
    with rig(tmp_path, memory_bytes=512 << 20, standby=False) as cold:
        cold.write("s/t.parquet", "SELECT i, hash(i) AS h, hash(i + 1) AS g FROM range(1000000) t(i)")
        cold.seen()
        cold.run(cold.cache.clear())
        table = TableName("s", "t")
        first = cold.ask("SELECT sum(h), sum(g) FROM ", table).facts
        assert first.cache_status in ("miss", "partial")  # the node may have looked at the footer again meanwhile
        assert first.store_bytes > 8_000_000
        second = cold.ask("SELECT sum(h), sum(g) FROM ", table).facts
        assert (second.cache_status, second.store_bytes) == ("hit", 0)
        other = cold.ask("SELECT sum(h), sum(g) FROM ", table, organization="2").facts
        assert (other.cache_status, other.store_bytes) == ("hit", 0)
        assert other.cache_bytes > 1_000_000, "what the worker had to ask for; the rest it read from the same files"


def test_iceberg_and_delta_are_listed_and_refused_with_advice(lake: Rig) -> None:
    (lake.data / "fmt/delta/_delta_log").mkdir(parents=True)
    (lake.data / "fmt/delta/_delta_log/0.json").write_text("{}")
    lake.write("fmt/delta/a.parquet", "SELECT 1 AS i")
    lake.seen()
    with pytest.raises(SourceUnavailable, match="Delta"):
        lake.ask("SELECT * FROM ", TableName("fmt", "delta"))


def test_tables_without_rows_have_their_columns(lake: Rig) -> None:
    lake.write("empty/t.parquet", "SELECT 1 AS i, 'x' AS t WHERE false")
    lake.write("empty/some/1.parquet", "SELECT 1 AS i WHERE false")
    lake.write("empty/some/2.parquet", "SELECT 2 AS i")
    (lake.data / "empty/folder").mkdir()
    lake.seen()
    assert columns(lake, "empty.t") == [("i", "INTEGER"), ("t", "VARCHAR")]
    assert lake.ask("SELECT * FROM ", TableName("empty", "t")).rows == []
    assert lake.ask("SELECT i FROM ", TableName("empty", "some")).rows == [("2",)]
    assert ("empty", "folder") not in lake.lake.tables()


def test_two_hundred_files_in_one_table(lake: Rig) -> None:
    first = lake.write("many/t/0.parquet", "SELECT 1 AS i").read_bytes()
    for number in range(1, 200):
        (lake.data / f"many/t/{number}.parquet").write_bytes(first)
    lake.seen()
    assert lake.ask("SELECT sum(i), count(*) FROM ", TableName("many", "t")).rows == [("200", "200")]


def test_a_snapshot_of_a_table_that_is_gone_is_refused(lake: Rig) -> None:
    with pytest.raises(Refusal):
        lake.run(lake.lake.snapshot(TableName("no", "where")))


def test_a_table_larger_than_the_cache_is_read_all_the_same(tmp_path: Path) -> None:
    with rig(tmp_path, cache_bytes=2 << 20, memory_bytes=512 << 20, standby=False) as tiny:
        tiny.write("s/t.parquet", "SELECT i, hash(i) AS h, hash(i + 1) AS g FROM range(1000000) t(i)")
        tiny.seen()
        for organization in ("1", "2"):
            answer = tiny.ask("SELECT count(*), max(i) FROM ", TableName("s", "t"), organization=organization)
            assert answer.rows == [("1000000", "999999")]
        assert tiny.cache.status().bytes_held <= 2 << 20
        assert tiny.cache.status().evictions > 0


def test_statements_of_one_worker_share_what_the_node_hands_it(lake: Rig) -> None:
    lake.write("share/t.parquet", "SELECT i, hash(i) AS h FROM range(2000000) t(i)")
    lake.seen()
    table = TableName("share", "t")

    async def together() -> list[list[tuple[str | None, ...]]]:
        answers = await asyncio.gather(*(lake.ask_async("SELECT sum(h % 1000) FROM ", table) for _ in range(16)))
        return [answer.rows for answer in answers]

    assert len({tuple(rows) for rows in lake.run(together())}) == 1
