"""What a PostgreSQL 15 answered otherwise than the translation did (or Snowflake would): now the same, or refused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.support.governed_lab import Lab, Outcome, principal, rulebook

BOOK = rulebook([], [("s", "1")])


@pytest.fixture(scope="module")
def lab() -> Lab:
    return Lab(
        [
            "CREATE SCHEMA s",
            "CREATE TABLE s.t(i INT, w VARCHAR, d DATE)",
            "INSERT INTO s.t VALUES (1, 'b', '2024-01-31'), (2, 'a', NULL), (3, 'b', '1999-12-31')",
        ]
    )


def _ask(lab: Lab, sql: str) -> Outcome:
    return lab.run(sql, replace(principal(), dialect="postgres"), BOOK)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 10 UNION SELECT '9' ORDER BY 1",
        "SELECT i FROM s.t UNION ALL SELECT '9' ORDER BY 1",
        "SELECT 1, 'a' UNION ALL SELECT '2', 'b'",
        "SELECT d FROM s.t UNION SELECT '2020-01-01'",
        "SELECT string_agg(DISTINCT w, ',') FROM s.t",
        "SELECT t FROM s.t",
        "SELECT count(t) FROM s.t",
        'SELECT q.w FROM (SELECT w AS "W", i AS w FROM s.t) q',
        'SELECT "Foo", foo FROM (SELECT i AS "Foo", w AS foo FROM s.t) q',
        'SELECT "W" FROM (SELECT i AS w FROM s.t) q',
        'WITH "Q" AS (SELECT 1 AS a) SELECT * FROM q',
    ],
)
def test_what_postgres_reads_otherwise_is_refused(lab: Lab, sql: str) -> None:
    assert "cannot be translated exactly" in _ask(lab, sql).error


@pytest.mark.parametrize(
    ("sql", "names", "first"),
    [
        ("VALUES (1, 'a')", ["column1", "column2"], (1, "a")),
        ("SELECT * FROM (VALUES (1, 2)) v(x)", ["x", "column2"], (1, 2)),
        ("SELECT Column2 FROM (VALUES (1, 2)) v", ["column2"], (2,)),
        ("WITH q AS (VALUES (1)) SELECT * FROM q", ["column1"], (1,)),
        ('SELECT i AS Foo, w AS "Bar" FROM s.t ORDER BY foo', ["foo", "Bar"], (1, "b")),
        ("SELECT * FROM (SELECT i, w FROM s.t) q(A, b) ORDER BY a", ["a", "b"], (1, "b")),
        ('SELECT i AS "I" FROM s.t ORDER BY "I"', ["I"], (1,)),
        ('SELECT x."Id" FROM (SELECT i AS "Id" FROM s.t) x ORDER BY x."Id"', ["Id"], (1,)),
        ("SELECT date_part('year', d) FROM s.t ORDER BY i", ["date_part"], (2024,)),
        ("SELECT 'x' AS k UNION ALL SELECT upper(w) FROM s.t ORDER BY 1", ["k"], ("A",)),
        ("SELECT string_agg(DISTINCT w, ',' ORDER BY w) FROM s.t", ["string_agg"], ("a,b",)),
    ],
)
def test_names_are_those_that_postgres_gives(lab: Lab, sql: str, names: list[str], first: tuple[object, ...]) -> None:
    found = _ask(lab, sql)
    assert [name for name, _ in found.columns] == names, found.error
    assert found.rows[0] == first


def test_snowflakes_averages_of_whole_numbers_are_refused(lab: Lab) -> None:
    who = replace(principal(), dialect="snowflake")
    for average in ("avg(i)", "avg(i * 1.5)", "avg(i) OVER (ORDER BY i)"):
        assert "rounded" in lab.run(f"SELECT {average} FROM s.t", who, BOOK).error
    assert lab.run("SELECT avg(i::DOUBLE) FROM s.t", who, BOOK).rows == [(2.0,)]
    assert lab.run("SELECT COLUMN1 FROM VALUES (1), (2) ORDER BY 1", who, BOOK).rows == [(1,), (2,)]
