# ruff: noqa: E501, E741
"""Attacks by plan: what is done to aggregates, windows and sub-queries below a join fails or not as DuckDB orders it."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import duckdb
import pytest

from engine.executor.relation import ROWS_PLANNED
from governance.policies import RowFilter
from governance.tables import TableName
from tests.support.governed_lab import Lab, principal, rulebook

B, O = TableName("s", "b"), TableName("s", "o")
BOOK = rulebook([RowFilter("f", "own", B, "id >= 1")], [("s", "shared")])
ATTACKS = (
    "SELECT * FROM s.b JOIN (SELECT id, sqrt(min(n) - 10) AS r FROM s.o GROUP BY id) q USING (id)",
    "SELECT * FROM s.b JOIN (SELECT id, min(n) AS r FROM s.o GROUP BY id HAVING sqrt(min(n) - 10) > 0) q USING (id)",
    "SELECT * FROM s.b JOIN (SELECT id, max(n)::TINYINT AS r FROM s.o GROUP BY id) q USING (id)",
    "SELECT * FROM s.b JOIN (SELECT id, ntile(n) OVER () AS n FROM s.o) q USING (id)",
    "SELECT id FROM s.b WHERE id = ANY (SELECT n::TINYINT FROM s.o)",
    "SELECT id FROM s.b WHERE id IN (SELECT sqrt(min(n) - 10) FROM s.o GROUP BY id)",
)
HIDDEN_SIZES = (
    *ATTACKS,
    "SELECT * FROM s.b JOIN (SELECT id, n FROM s.o QUALIFY sqrt(row_number() OVER () - 2) > 0) q USING (id)",
    "SELECT * FROM s.b JOIN (SELECT id, (SELECT n FROM s.o) AS n FROM s.o) q USING (id)",
    "SELECT * FROM s.b JOIN (SELECT id FROM s.o WHERE (SELECT n FROM s.o p) > 0) q USING (id)",
    "SELECT * FROM s.b JOIN (SELECT id, (SELECT max(n) OVER () FROM s.o) AS n FROM s.o) q USING (id)",
    "SELECT * FROM s.b JOIN s.o USING (id) WHERE sqrt((SELECT min(n) FROM s.o)) > 0",
    "SELECT * FROM s.b JOIN (SELECT id FROM s.o WHERE n > (SELECT coalesce(max(n), id) FROM s.o GROUP BY ALL)) q USING (id)",
    "SELECT * FROM s.b JOIN (SELECT id, sum(n) OVER (ORDER BY n::TINYINT) AS x FROM s.o) q USING (id)",
    "SELECT * FROM s.b JOIN (SELECT id, stddev(n) AS x FROM s.o GROUP BY id) q USING (id)",
)
TRUE_SIZES = (
    "SELECT * FROM s.b JOIN (SELECT id, 0.2 * avg(n) AS r FROM s.o GROUP BY id HAVING count(*) > 3) q USING (id)",
    "SELECT * FROM s.b JOIN (SELECT id, row_number() OVER (ORDER BY n) AS r FROM s.o) q USING (id)",
    "SELECT * FROM s.b JOIN s.o USING (id) WHERE n > (SELECT min(n) FROM s.o) AND n < (SELECT n FROM s.o LIMIT 1)",
    "SELECT id, sqrt(sum(n)) FROM s.b JOIN s.o USING (id) GROUP BY id HAVING sqrt(min(n)) > 0",
)


@pytest.fixture(scope="module")
def lab() -> Lab:
    return Lab(["CREATE SCHEMA s", "CREATE TABLE s.b(id BIGINT)", "CREATE TABLE s.o(id BIGINT, n BIGINT)"])


@pytest.mark.parametrize("sql", HIDDEN_SIZES)
def test_what_may_fail_of_an_aggregate_below_a_join_is_planned_without_the_number_of_rows(lab: Lab, sql: str) -> None:
    assert lab.govern(sql, principal(), BOOK).sizes_hidden == (B,)


@pytest.mark.parametrize("sql", TRUE_SIZES)
def test_what_cannot_fail_keeps_the_true_numbers(lab: Lab, sql: str) -> None:
    assert lab.govern(sql, principal(), BOOK).sizes_hidden == ()


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[duckdb.DuckDBPyConnection, dict[TableName, Path]]]:
    """No row of `b` is visible; what fails in `o` stands past its first vectors."""
    folder, found = tmp_path_factory.mktemp("plans"), []
    for rows in (0, 1, 3000, 200_000):
        db = duckdb.connect(config={"threads": "1"})
        db.execute("SET disabled_optimizers = 'statistics_propagation'")
        files = {B: folder / f"b{rows}.parquet", O: folder / "o.parquet"}
        db.execute(f"COPY (SELECT -i AS id FROM range({rows}) r(i)) TO '{files[B]}'")
        db.execute(
            "COPY (SELECT i AS id, CASE WHEN i < 9000 THEN 100 + i % 20 ELSE (i % 3) * 33333 END AS n "
            f"FROM range(10000) r(i)) TO '{files[O]}'"
        )
        found.append((db, files))
    return found


@pytest.mark.parametrize("sql", ATTACKS)
def test_w4_8_failing_or_not_tells_no_number_of_hidden_rows(
    lab: Lab, worlds: list[tuple[duckdb.DuckDBPyConnection, dict[TableName, Path]]], sql: str
) -> None:
    governed = lab.govern(sql, principal(), BOOK)

    def seen(told: str) -> set[str]:
        out = set()
        for db, files in worlds:
            text = governed.sql(lambda table: f"read_parquet('{files[table]}'{told if table == B else ''})")  # noqa: B023
            try:
                out.add(repr(db.execute(text).fetchall()))
            except duckdb.Error as error:
                out.add(type(error).__name__)
        return out

    assert len(seen(f", explicit_cardinality={ROWS_PLANNED}")) == 1
    assert len(seen("")) == 2  # else the attack would show nothing


def test_arithmetic_with_a_double_never_fails() -> None:
    extremes = {
        "DOUBLE": ("1e308", "-1e308", "'nan'", "'inf'", "'-inf'", "0", "'-0.0'", "5e-324"),
        "FLOAT": ("3e38", "'nan'", "-3e38"),
        "TINYINT": ("-128", "0"),
        "BIGINT": ("9223372036854775807", "'-9223372036854775808'"),
        "UBIGINT": ("18446744073709551615",),
        "HUGEINT": ("'170141183460469231731687303715884105727'", "'-170141183460469231731687303715884105728'"),
        "UHUGEINT": ("'340282366920938463463374607431768211455'",),
        "DECIMAL(38,0)": ("'99999999999999999999999999999999999999'",),
        "DECIMAL(38,37)": ("'9.9999999999999999999999999999999999999'",),
    }
    values = [f"CAST({value} AS {type_})" for type_, listed in extremes.items() for value in listed]
    with duckdb.connect() as db:
        for one, two in product(values, [v for v in values if v.endswith("DOUBLE)")]):
            columns = ", ".join(f"x {sign} y, y {sign} x" for sign in "+-*/")
            db.execute(f"SELECT {columns}, -y FROM (SELECT {one} AS x, {two} AS y FROM range(2))").fetchall()
            assert {str(d[1]) for d in db.description or ()} == {"DOUBLE"}
