"""Texts of other dialects that DuckDB would have read as something else: refused, never guessed."""

from __future__ import annotations

import pytest

from governance.policies import Mask, MaskFunction
from governance.tables import TableName
from tests.support.governed_lab import Lab, principal, rulebook

BOOK = rulebook([], [("s", "1")])
POSTGRES, SNOWFLAKE = "postgres", "snowflake"


@pytest.fixture(scope="module")
def lab() -> Lab:
    return Lab(
        [
            "CREATE SCHEMA s",
            "CREATE TABLE s.t(i INT, f DOUBLE, v VARCHAR, d DATE, n INT, b BOOLEAN, m DECIMAL(10,2), ts TIMESTAMP)",
            "INSERT INTO s.t VALUES (1, 2.0, 'a\\b', '2020-01-31', NULL, true, 2.5, '2020-01-01 10:00:00')",
        ]
    )


@pytest.mark.parametrize(
    ("sql", "dialects"),
    [
        ("SELECT v::varchar(1) FROM s.t", (POSTGRES, SNOWFLAKE)),  # 'a' there
        ("SELECT CAST(v AS varchar(1)) FROM s.t", (POSTGRES, SNOWFLAKE)),
        ("SELECT f::text FROM s.t", (POSTGRES, SNOWFLAKE)),  # '2' there
        ("SELECT f || '' FROM s.t", (POSTGRES, SNOWFLAKE)),
        ("SELECT (f * 2)::text FROM s.t", (POSTGRES, SNOWFLAKE)),
        ("SELECT x::text FROM (SELECT f AS x FROM s.t) q", (POSTGRES, SNOWFLAKE)),
        ("SELECT i::text FROM (SELECT f AS i FROM s.t) q", (POSTGRES, SNOWFLAKE)),
        ("SELECT avg(i) || 'x' FROM s.t", (POSTGRES, SNOWFLAKE)),
        ("SELECT sum(f)::text FROM s.t", (POSTGRES, SNOWFLAKE)),
        ("SELECT CASE WHEN b THEN f END || 'x' FROM s.t", (POSTGRES, SNOWFLAKE)),
        ("SELECT coalesce(f, 1)::text FROM s.t", (POSTGRES, SNOWFLAKE)),
        ("SELECT f::int FROM s.t", (SNOWFLAKE,)),  # half away from zero there
        ("SELECT avg(i)::int FROM s.t", (SNOWFLAKE,)),
        ("SELECT ts::text FROM s.t", (SNOWFLAKE,)),
        ("SELECT i FROM s.t WHERE v LIKE v", (POSTGRES, SNOWFLAKE)),  # a backslash escapes there
        ("SELECT i FROM s.t WHERE v LIKE v || '%'", (POSTGRES, SNOWFLAKE)),
        ("SELECT (i, n) = (1, 2) FROM s.t", (POSTGRES, SNOWFLAKE)),  # NULL there
        ("SELECT i FROM s.t WHERE NOT (i, n) IN ((1, 2))", (POSTGRES, SNOWFLAKE)),
    ],
)
def test_what_reads_otherwise_is_refused(lab: Lab, sql: str, dialects: tuple[str, ...]) -> None:
    for dialect in dialects:
        refused = lab.run(sql, principal(dialect=dialect), BOOK)
        assert "cannot be translated exactly" in refused.error


@pytest.mark.parametrize("dialect", [POSTGRES, SNOWFLAKE])
@pytest.mark.parametrize(
    ("sql", "row"),
    [
        ("SELECT i::text, d::text, m::text, b::text FROM s.t", ("1", "2020-01-31", "2.50", "true")),
        ("SELECT (i + 1)::text, i || v, max(v) || 'x' FROM s.t GROUP BY i, v", ("2", "1a\\b", "a\\bx")),
        ("SELECT x::text || 'y' FROM (SELECT i AS x FROM s.t) q", ("1y",)),
        ("SELECT coalesce(n, 0)::text, count(*)::text, sum(i)::text FROM s.t GROUP BY n", ("0", "1", "1")),
        ("SELECT m::int, 2.5::int, '7'::int FROM s.t", (3, 3, 7)),
        ("SELECT i FROM s.t WHERE v LIKE 'a' || '%'", (1,)),
        ("SELECT count(*) FROM (VALUES (1, 2)) q(a, b) GROUP BY ROLLUP ((a, b)) LIMIT 1", (1,)),
    ],
)
def test_what_reads_alike_passes(lab: Lab, dialect: str, sql: str, row: tuple[object, ...]) -> None:
    outcome = lab.run(sql, principal(dialect=dialect), BOOK)
    assert outcome.rows == [row], outcome.error


def test_a_parameter_of_like_escapes_as_in_postgresql(lab: Lab) -> None:
    sql = "SELECT i FROM s.t WHERE v LIKE $1"
    rows = {d: lab.run(sql, principal(dialect=d), BOOK, ["a\\\\b"]).rows for d in (POSTGRES, SNOWFLAKE)}
    assert rows == {POSTGRES: [(1,)], SNOWFLAKE: []}


def test_a_masked_column_is_read_as_it_is_shown(lab: Lab) -> None:
    book = rulebook([Mask("m", "m", TableName("s", "t"), "f", MaskFunction.PARTIAL, 1)], [("s", "1")])
    assert lab.run("SELECT f || '' FROM s.t", principal(dialect=POSTGRES), book).rows == [("***0",)]
