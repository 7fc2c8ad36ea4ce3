"""How many rows are hidden shows in no order of rows, and in no sample that can be repeated."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from engine.executor.relation import read_files, rows_rounded
from governance.policies import RowFilter
from governance.tables import TableName
from tests.support.governed_lab import Lab, principal, rulebook

H, O = TableName("s", "h"), TableName("s", "o")  # noqa: E741
BOOK = rulebook([RowFilter("f", "own", H, "org_id = {org_id}")], [("s", "1")])
ORDERS = (  # each shows which side of the join DuckDB builds on
    "SELECT h.id, o.k FROM s.h JOIN s.o ON h.id = o.tid LIMIT 5",
    "SELECT list(o.k) FROM s.h JOIN s.o ON h.id = o.tid",
    "SELECT first(o.k), any_value(h.id), string_agg(o.k) FROM s.h JOIN s.o ON h.id = o.tid",
    "SELECT h.id, o.k FROM s.h JOIN s.o ON h.id = o.tid ORDER BY h.org_id",
    "SELECT o.k, row_number() OVER () FROM s.h JOIN s.o ON h.id = o.tid",
    "SELECT sum(h.id / 3.0 + o.k / 7.0) FROM s.h JOIN s.o ON h.id = o.tid",
)


@pytest.fixture(scope="module")
def lab() -> Lab:
    return Lab(
        [
            "CREATE SCHEMA s",
            "CREATE TABLE s.h AS SELECT i AS id, CASE WHEN i < 20 THEN 1 ELSE 2 END AS org_id FROM range(400) r(i)",
            "CREATE TABLE s.o AS SELECT i AS k, i % 100 AS tid FROM range(300) r(i)",
        ]
    )


def _answer(lab: Lab, sql: str, folder: Path, hidden: int, told: int | None) -> str:
    files = {H: folder / f"h{hidden}.parquet", O: folder / "o.parquet"}
    with duckdb.connect(config={"threads": "1"}) as db:
        db.execute("SET disabled_optimizers = 'statistics_propagation'")
        db.execute(f"COPY (SELECT i AS id, if(i < 20, 1, 2) AS org_id FROM range({20 + hidden}) r(i)) TO '{files[H]}'")
        db.execute(f"COPY (SELECT i AS k, i % 100 AS tid FROM range(300) r(i)) TO '{files[O]}'")
        rows = f", explicit_cardinality={told}" if told is not None else ""
        governed = lab.govern(sql, principal(), BOOK)
        assert governed.filtered == (H,)
        return repr(
            db.execute(governed.sql(lambda t: f"read_parquet('{files[t]}'{rows if t == H else ''})")).fetchall()
        )


@pytest.mark.parametrize("sql", ORDERS)
def test_w4_8_the_order_of_rows_does_not_follow_the_number_of_hidden_ones(lab: Lab, sql: str, tmp_path: Path) -> None:
    assert len({_answer(lab, sql, tmp_path, hidden, rows_rounded(4000)) for hidden in (0, 500, 8000)}) == 1
    assert len({_answer(lab, sql, tmp_path, hidden, None) for hidden in (0, 500, 8000)}) == 2  # the attack


def test_numbers_of_rows_are_told_in_steps_of_sixteen() -> None:
    told = [rows_rounded(size) for size in range(0, 4_000_000, 1_111)]
    assert told == sorted(told)
    assert set(told) == {16, 256, 4096, 65_536, 1_048_576}
    assert rows_rounded(0) == 16
    assert all(rows_rounded(size) > size // 32 for size in range(0, 1_000_000, 997))


def test_a_table_seen_whole_is_planned_with_what_its_files_say(lab: Lab) -> None:
    assert lab.govern("SELECT * FROM s.o", principal(), BOOK).filtered == ()
    assert "explicit_cardinality" not in read_files("0" * 32, (), uniform=True)
    assert "explicit_cardinality=256" in read_files("0" * 32, (), uniform=True, rows_planned=256)


@pytest.mark.parametrize(
    "sample", ["reservoir(10 ROWS) REPEATABLE (7)", "reservoir(10%) REPEATABLE (0)", "system(10%)", "10%"]
)
def test_samples_that_follow_vectors_are_refused(lab: Lab, sample: str) -> None:
    outcome = lab.run(f"SELECT id FROM s.h TABLESAMPLE {sample}", principal(), BOOK)
    assert "are not taken of tables with row filters" in outcome.error
    assert lab.run(f"SELECT k FROM s.o TABLESAMPLE {sample}", principal(), BOOK).status == "ok"


def test_other_samples_are_taken_and_a_seeded_one_knows_visible_rows_only(lab: Lab) -> None:
    assert len(lab.run("SELECT id FROM s.h TABLESAMPLE reservoir(10 ROWS)", principal(), BOOK).rows) == 10
    few = Lab(["CREATE SCHEMA s", "CREATE TABLE s.h AS SELECT i AS id, 1 AS org_id FROM range(20) r(i)"])
    sql = "SELECT id FROM s.h TABLESAMPLE bernoulli(30%) REPEATABLE (7)"
    assert lab.run(sql, principal(), BOOK) == few.run(sql, principal(), BOOK)
