"""Attacks on the proof that a condition cannot fail: literals that are no values, texts as conditions, growing texts.

DuckDB reads a literal when the first row asks for it. It holds a cast to UUID, and every function over text, for what
cannot fail, and so runs them on hidden rows before the row filter.
"""

from __future__ import annotations

import duckdb
import pytest

from governance.policies import RowFilter
from governance.sql_literals import written_as
from governance.tables import TableName
from tests.support.governed_lab import Lab, principal, rulebook

T = TableName("s", "t")
BOOK = rulebook([RowFilter("f", "own", T, "org_id = {org_id} OR grp = 'v'")], [("s", "1")])


def _lab(hidden: str) -> Lab:
    """Five visible rows; in twin A hidden ones are called HIDA."""
    return Lab(
        [
            "CREATE SCHEMA s",
            (
                "CREATE TABLE s.t AS SELECT i AS id, CASE WHEN i < 5 THEN 1 ELSE 2 END AS org_id, "
                f"CASE WHEN i < 5 THEN 'true' ELSE '{hidden}' END AS name, "
                "CASE WHEN i < 5 THEN 'v' ELSE 'h' END AS grp, "
                "DATE '2020-01-01' AS d, TIMESTAMP '2020-01-01' AS ts, TIMESTAMPTZ '2020-01-01' AS tz, true AS ok, "
                "uuid() AS u, 1.5::DOUBLE AS f, 1.25::DECIMAL(10,2) AS m, TIME '10:00' AS tm FROM range(5000) r(i)"
            ),
        ]
    )


@pytest.fixture(scope="module")
def labs() -> tuple[Lab, Lab]:
    return _lab("HIDA"), _lab("HIDB")


_TELL = (
    "u = 'zzz'",
    "u IN ('zzz', '00000000-0000-0000-0000-000000000000')",
    "NOT u = 'zzz'",
    "u IS DISTINCT FROM 'zzz'",
    "coalesce(u, u) = 'zzz'",
    "u BETWEEN 'y' AND 'z'",
    "u = lower('ZZZ')",
)


@pytest.mark.parametrize("condition", _TELL)
@pytest.mark.parametrize(
    "form",
    [
        "SELECT count(*) FROM s.t WHERE name = 'HIDA' AND {}",
        "SELECT max(id) FROM s.t GROUP BY name, u HAVING name = 'HIDA' AND {}",
        "SELECT count(*) FROM s.t JOIN (SELECT 1 AS k) o ON name = 'HIDA' AND {}",
    ],
)
def test_a_literal_that_is_no_value_tells_of_no_hidden_row(labs: tuple[Lab, Lab], form: str, condition: str) -> None:
    a, b = (lab.run(form.format(condition), principal(), BOOK) for lab in labs)
    assert a == b
    assert a.status == "ok"


@pytest.mark.parametrize(
    "condition",
    [
        *_TELL,
        "id = 'abc'",
        "id IN ('1', 'abc')",
        "id = lower('ABC')",
        "d = '20200101'",
        "d > DATE '2020-W01-1'",
        "ts > TIMESTAMP '2020-01-01T00:00:00,5'",
        "tz > '2020-01-01 Mars'",
        "tm > 'x'",
        "ok = 'maybe'",
        "f = 'x'",
        "m = 'x'",
        "'abc' = 5",
        "length(name) = 'x'",
        "ts > DATE '2000-01-01' + to_years(100000) + to_years(100000) + to_years(100000)",
        "name",
        "id > 3 OR left(name, 2)",
        "'abc'",
        "name || name || name = 'x'",
        "length(replace(name, 'H', 'xxxxxxxx')) > 3",
        "length(replace(name, '', 'x')) > 3",
        "length(replace(name, name, name)) > 3",
    ],
)
def test_what_may_fail_stays_outside(labs: tuple[Lab, Lab], condition: str) -> None:
    text = labs[0].sql(f"SELECT count(*) FROM s.t WHERE {condition}", principal(), BOOK)
    assert " OFFSET 0)" in text


@pytest.mark.parametrize(
    "condition",
    [
        "u = '00000000-0000-0000-0000-000000000000'",
        "d BETWEEN '2020-01-01' AND '2020-12-31'",
        "ts >= '2020-01-01 10:00:00.5' AND ts < TIMESTAMP '2020-01-01'",
        "tz >= '2020-01-01 10:00:00+02:00' AND tm > '10:00:00'",
        "id IN ('1', '2') AND m > '1.25' AND f < '7.5' AND ok = 'true' AND ok",
        "d < CAST('1998-12-01' AS DATE) + 90 AND ts > DATE '2000-01-01' + to_years(100)",
        "name || 'x' LIKE 'a%' AND replace(name, 'ab', '-') <> 'x'",
    ],
)
def test_what_cannot_fail_still_prunes(labs: tuple[Lab, Lab], condition: str) -> None:
    text = labs[0].sql(f"SELECT count(*) FROM s.t WHERE {condition}", principal(), BOOK)
    assert "OFFSET 0" not in text
    assert labs[0].plain(text).status == "ok"


def test_what_is_written_as_a_value_is_read_by_duckdb() -> None:
    texts = {
        "DATE": ("2020-01-01", "0001-01-01", "9999-12-31", "2020-02-30", "20200101", "2020-W01-1", " 2020-01-01"),
        "TIMESTAMP": ("2020-01-01", "2020-01-01T10:00:00", "9999-12-31 23:59:59.999999", "2020-01-01T00:00:00,5", "x"),
        "TIMESTAMP WITH TIME ZONE": ("0001-01-01", "9999-12-31 23:59:59+00:00", "2020-01-01 10:00:00-12:00", "now x"),
        "TIME": ("10:00:00", "23:59:59.5", "25:00:00", "10:00:00,5", "T10:00:00"),
        "UUID": ("00000000-0000-0000-0000-000000000000", "zz", "{00000000-0000-0000-0000-000000000000}"),
        "BOOLEAN": ("true", "FALSE", "maybe", "t"),
        "BIGINT": ("1", "-9223372036854775808", "9223372036854775808", "x", "\u0661"),
        "UTINYINT": ("255", "256", "-1"),
        "DOUBLE": ("1.5", "-1", "x", "\u0661"),
        "DECIMAL(4,2)": ("99.99", "100", "1.234", "x"),
    }
    sure = 0
    with duckdb.connect() as connection:
        for type_, spellings in texts.items():
            for text in spellings:
                read = connection.execute(f"SELECT TRY_CAST(? AS {type_}) IS NOT NULL", [text]).fetchall()[0][0]
                assert read or not written_as(text, type_), (type_, text)
                sure += written_as(text, type_)
    assert sure >= 17
