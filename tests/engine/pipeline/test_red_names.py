# ruff: noqa: E501
"""Attacks by names that come from nowhere: a column that no table has, called as a table's column of another type.

What is believed to be the table's text is a UUID then, and DuckDB, which holds casts to UUID for unfailing, copies the
cast of the table's own column below the row filter: `t.name = q.name AND q.name = ...` is asked of both sides.
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from governance.policies import Mask, MaskFunction, RowFilter
from governance.sql_literals import identifier
from governance.tables import TableName
from tests.support.governed_lab import Lab, principal, rulebook

T, O = TableName("s", "t"), TableName("s", "o")  # noqa: E741
BOOK = rulebook([RowFilter("f", "own", T, "org_id = {org_id} OR grp = 'v'")], [("s", "1")])
X = "'00000000-0000-0000-0000-000000000003'"
U = f"{X}::UUID"
NAMES = (
    "name",
    "name_1",
    "col0",
    "col1",
    "range",
    "ordinality",
    "2019",
    "count_star()",
    "approx_unique",
    "null",
    "o",
    "current_date",
)
ATTACKS = (
    f"(VALUES (1, {U})) q WHERE t.col1 = q.col1 AND q.col1 = {X}",
    f"(SELECT * FROM (VALUES (1, {U})) w(one)) q WHERE t.col1 = q.col1 AND q.col1 = {X}",
    f"(FROM (VALUES ({U}))) q WHERE t.col0 = q.col0 AND q.col0 = {X}",
    f"(SELECT {{'t': {{'name': {U}}}}} AS x) q WHERE x.t.name = t.name AND x.t.name = {X}",
    f"(SELECT {{'t': {{'name': {U}}}}} AS x) q WHERE q.x.t.name = t.name AND q.x.t.name = {X}",
    f"(SELECT unnest({{'name': {U}}}) AS zz) q WHERE t.name = q.name AND q.name = {X}",
    f"(SELECT unnest([{{'name': {U}}}], recursive := true) AS zz) q WHERE t.name = q.name AND q.name = {X}",
    f"(PIVOT (SELECT id, num FROM s.t) ON num IN ('3' AS name) USING max({U})) q WHERE t.name = q.name AND q.name = {X}",
    f"(PIVOT (SELECT id, num FROM s.t) ON num IN ('name') USING max({U})) q WHERE t.name = q.name AND q.name = {X}",
    f"(SELECT 1 AS name, {U} AS name) q WHERE t.name_1 = q.name_1 AND q.name_1 = {X}",
    f"(FROM (SELECT 1 AS name) a, (SELECT {U} AS name) b) q WHERE t.name_1 = q.name_1 AND q.name_1 = {X}",
    f"(SELECT col0 FROM (VALUES ({U}))) q WHERE t.col0 = q.col0 AND q.col0 = {X}",
)


def twins_of(names: Sequence[str], rows: int, other: str) -> tuple[Lab, Lab]:
    """A table whose columns of these names hold UUIDs as texts, and no such in hidden rows; and one without hidden rows."""

    def lab(hidden: int) -> Lab:
        seen = ", ".join(f"'00000000-0000-0000-0000-00000000000' || (i % 5) AS {identifier(name)}" for name in names)
        shown = f"SELECT i * 10 AS id, 1 AS org_id, 'v' AS grp, i % 7 AS num, {seen} FROM range({rows}) r(i)"
        more = f"SELECT i * 10 + 1, 2, 'h', 9, {', '.join(['chr(72)'] * len(names))} FROM range({hidden}) r(i)"
        return Lab(
            ["CREATE SCHEMA s", f"CREATE TABLE s.t AS SELECT * FROM ({shown} UNION ALL {more}) ORDER BY id", other]
        )

    return lab(rows), lab(0)


@pytest.fixture(scope="module")
def twins() -> tuple[Lab, Lab]:
    return twins_of(NAMES, 3000, "CREATE TABLE s.o AS SELECT i AS k FROM range(50) r(i)")


@pytest.mark.parametrize("attack", ATTACKS)
def test_w4_8_a_name_from_nowhere_is_not_taken_for_the_tables(twins: tuple[Lab, Lab], attack: str) -> None:
    many, none = (lab.run(f"SELECT count(*) FROM s.t, {attack}", principal(), BOOK) for lab in twins)
    assert many == none
    assert many.status == "ok"


@pytest.mark.parametrize(
    "condition",
    [
        't."2019" = q."2019"',
        't."count_star()" = q."count_star()"',
        "t.approx_unique = q.approx_unique",
        't."null" = q."null"',
        "t.range = q.range",
        "t.ordinality = q.ordinality",
        "t.o = q.o",
        "t.current_date = q.current_date",
    ],
)
def test_w4_8_what_a_name_may_mean_besides_is_held_back(twins: tuple[Lab, Lab], condition: str) -> None:
    """What DuckDB calls a column by itself: the text of an expression, a row's table, a table function, a key word."""
    sources = {
        "2019": "(SELECT 2019)",
        "count_star()": "(SELECT count_star() FROM s.o)",
        "approx_unique": "(SUMMARIZE s.o)",
        "null": "(SELECT NULL)",
        "range": "range(50)",
        "ordinality": "range(50) WITH ORDINALITY",
        "o": "(SELECT o FROM s.o)",
        "current_date": "(SELECT current_date)",
    }
    name = condition.split(".")[-1].strip('"')
    text = twins[0].sql(f"SELECT count(*) FROM s.t, {sources[name]} q WHERE {condition}", principal(), BOOK)
    assert "OFFSET 0" in text


def test_a_natural_joins_keys_are_asked_by_every_name(twins: tuple[Lab, Lab]) -> None:
    sql = "SELECT count(*) FROM (SELECT name AS zz FROM s.t) a NATURAL JOIN (SELECT u AS zz FROM (SELECT {u} AS u) WHERE u = {x}) b"
    many, none = (lab.run(sql.format(u=U, x=X), principal(), BOOK) for lab in twins)
    assert many == none
    assert many.rows == [(600,)]


@pytest.mark.parametrize("join", ["JOIN s.t USING (name)", "NATURAL JOIN s.t"])
def test_a_condition_on_a_merged_column_is_not_copied_to_the_other_side(join: str) -> None:
    lab = Lab(
        ["CREATE SCHEMA s", "CREATE TABLE s.t AS SELECT 1 AS org_id, 'v' AS grp, unnest(['5', '05', '6']) AS name"]
    )
    sql = f"SELECT count(*) FROM (SELECT 5 AS name) q {join} WHERE name = '05'"
    assert lab.run(sql, principal(), BOOK).rows == [(2,)]


DENY = rulebook([Mask("m", "m", T, "name", MaskFunction.FULL, deny_predicate=True)], [("s", "1")])


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1 FROM (SELECT name AS zz FROM s.t) a NATURAL JOIN (SELECT 'x' AS zz) b",
        "SELECT (SELECT count(*) FROM s.o), q.name FROM (SELECT name FROM s.t) q, (SELECT name FROM s.t) o WHERE o.name = 'x'",
        "WITH o AS (SELECT name FROM s.t) SELECT (SELECT max(k) FROM s.o), o.name FROM o WHERE o.name = 'x'",
    ],
)
def test_a_denied_predicate_is_seen_behind_other_names(twins: tuple[Lab, Lab], sql: str) -> None:
    assert "masked" in twins[0].run(sql, principal(), DENY).error
