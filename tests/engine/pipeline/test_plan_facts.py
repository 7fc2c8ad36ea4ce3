# ruff: noqa: E501, E741
"""How many rows are hidden steers no plan by which an expression of the client fails or does not (W4.8)."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from engine.executor.relation import ROWS_PLANNED
from governance.policies import RowFilter
from governance.tables import TableName
from tests.support.governed_lab import Lab, principal, rulebook

B, O = TableName("s", "b"), TableName("s", "o")
BOOK = rulebook([RowFilter("f", "own", B, "id >= 1")], [("s", "shared")])
SETUP = ["CREATE SCHEMA s", "CREATE TABLE s.b(id BIGINT, d DATE, t VARCHAR, a DECIMAL(12,2))",
         "CREATE TABLE s.o(id BIGINT, n BIGINT)"]  # fmt: skip


@pytest.fixture(scope="module")
def lab() -> Lab:
    return Lab(SETUP)


def hidden(lab: Lab, sql: str) -> bool:
    governed = lab.govern(sql, principal(), BOOK)
    assert governed.sizes_hidden in ((), (B,))
    return governed.sizes_hidden == (B,)


BY_PLAN = [
    "SELECT * FROM s.o JOIN s.b ON o.n::VARCHAR::DATE = b.d",
    "SELECT * FROM s.o z NATURAL JOIN (SELECT id, d AS n FROM s.b) y",
    "SELECT * FROM s.b JOIN (SELECT n::SMALLINT AS n FROM s.o) q ON b.id = q.n",
    "SELECT * FROM s.b, (SELECT sum(n::SMALLINT) AS n FROM s.o) q",
    "SELECT * FROM s.b, (SELECT sum(n * n) AS n FROM s.o) q",
    "WITH q AS (SELECT 1 // n AS n, id FROM s.o) SELECT * FROM q JOIN s.b USING (id)",
    "SELECT (SELECT max(n::SMALLINT) FROM s.o) FROM s.b",
    "SELECT * FROM s.b, (VALUES ('a' || random()), ('b')) v(x) WHERE b.t = v.x",
    "SELECT id FROM s.b EXCEPT SELECT n::SMALLINT FROM s.o",
    "SELECT * FROM s.b JOIN (SELECT * REPLACE (n::SMALLINT AS n) FROM s.o) q ON b.id = q.n",
    "SELECT * FROM s.b JOIN (SELECT COLUMNS('n')::SMALLINT FROM s.o) q ON b.id = q.n",
    "SELECT * FROM s.b, (SELECT count(*) AS c FROM s.o GROUP BY n::SMALLINT) q",
    "SELECT * FROM s.b, (SELECT id FROM s.o GROUP BY id HAVING sum(n * n) > 1) q",
    "SELECT * FROM s.b, (SELECT id FROM s.o QUALIFY sum(n * n) OVER () > 1) q",
]
BY_ROWS = [
    "SELECT * FROM s.b",
    "SELECT sum(a * (1 - a)) FROM s.b",
    "SELECT b.t::INTEGER FROM s.b JOIN s.o USING (id)",
    "SELECT sum(b.a * o.n) FROM s.b JOIN s.o USING (id) GROUP BY b.t",
    "SELECT * FROM (SELECT b.t::INTEGER AS x FROM s.b JOIN s.o USING (id)) q",
    "SELECT b.t FROM s.b JOIN (SELECT id, count(*) AS c, sum(n) AS total FROM s.o GROUP BY id) q USING (id)",
    "SELECT b.t FROM s.b WHERE id IN (SELECT n FROM s.o)",
    "SELECT b.t FROM s.b, (SELECT * FROM s.o) q",
    "SELECT b.t FROM s.b, (SELECT sum(n) AS c, avg(n) AS d, max(n) AS m, count(*) AS k FROM s.o) q",
    "SELECT b.t FROM s.b JOIN s.o USING (id) GROUP BY b.t HAVING sum(o.n * o.n) > 1",
    "SELECT b.t FROM s.b JOIN s.o USING (id) QUALIFY sum(o.n * o.n) OVER () > 1",
    "SELECT x FROM (SELECT b.t AS x FROM s.b JOIN s.o USING (id) GROUP BY b.t HAVING sum(o.n * o.n) > 1) q",
    "SELECT b.t FROM s.b, (SELECT row_number() OVER (ORDER BY n) AS r FROM s.o) q",
]


@pytest.mark.parametrize("sql", BY_PLAN)
def test_what_may_fail_below_a_join_is_planned_without_the_number_of_rows(lab: Lab, sql: str) -> None:
    assert hidden(lab, sql)


@pytest.mark.parametrize("sql", BY_ROWS)
def test_what_cannot_fail_or_stands_above_every_join_is_planned_with_it(lab: Lab, sql: str) -> None:
    assert not hidden(lab, sql)


@pytest.mark.parametrize(
    ("kind", "steady"),
    [("BIGINT", True), ("HUGEINT", False), ("UHUGEINT", False), ("DECIMAL(18,2)", True), ("DECIMAL(19,2)", False), ("DECIMAL(38,0)", False), ("DOUBLE", False), ("TINYINT", True)],
)  # fmt: skip
@pytest.mark.parametrize("function", ["sum", "avg"])
def test_sums_below_a_join_are_steady_where_no_number_of_rows_overflows_them(
    function: str, kind: str, steady: bool
) -> None:
    lab = Lab([*SETUP, f"CREATE TABLE s.k(v {kind})"])
    assert hidden(lab, f"SELECT b.t FROM s.b, (SELECT {function}(v) AS x FROM s.k) q") is not steady


@pytest.mark.parametrize("sql", BY_PLAN)
def test_w4_8_an_error_does_not_depend_on_how_many_rows_are_hidden(lab: Lab, sql: str, tmp_path: Path) -> None:
    seen = set()
    for rows in (0, 1, 3, 5000):
        db = duckdb.connect(config={"threads": "1"})
        db.execute("SET disabled_optimizers = 'statistics_propagation'")
        files = {B: tmp_path / f"b{rows}.parquet", O: tmp_path / "o.parquet"}
        db.execute(
            f"COPY (SELECT -i AS id, DATE '2020-01-01' AS d, 'x' AS t, 1::DECIMAL(12,2) AS a FROM range({rows}) r(i)) TO '{files[B]}'"
        )
        db.execute(f"COPY (SELECT 0::BIGINT AS id, v AS n FROM (VALUES (0), (99999), (7)) x(v)) TO '{files[O]}'")
        governed = lab.govern(sql, principal(), BOOK)

        def relation(table: TableName) -> str:
            told = f", explicit_cardinality={ROWS_PLANNED}" if table in governed.sizes_hidden else ""  # noqa: B023
            return f"read_parquet('{files[table]}'{told})"  # noqa: B023

        try:
            seen.add(repr(db.execute(governed.sql(relation)).fetchall()))
        except duckdb.Error as error:
            seen.add(type(error).__name__)
    assert len(seen) == 1, seen
