# ruff: noqa: E501
"""What the prover holds for unfailing, one form at a time: what it proves never fails, what fails is never proven.

Each condition runs by itself over rows of the values at which DuckDB's casts and functions fail: a proof is wrong when
DuckDB fails, and a refusal that is called necessary is wrong when it does not.
"""

from __future__ import annotations

from collections.abc import Iterator

import duckdb
import pytest

from engine.executor.second_parser import DuckDBParser
from engine.pipeline.prover import Prover, columns_of
from engine.pipeline.surveyor import survey_statement
from governance.tables import Column, Table, TableName

_COLUMNS = {
    "i": "INTEGER", "big": "BIGINT", "huge": "HUGEINT", "tiny": "TINYINT", "ub": "UBIGINT", "uh": "UHUGEINT",
    "f": "FLOAT", "d": "DOUBLE", "n": "DECIMAL(12,2)", "w": "DECIMAL(38,10)", "s": "VARCHAR", "z": "VARCHAR",
    "ok": "BOOLEAN", "day": "DATE", "ts": "TIMESTAMP", "tz": "TIMESTAMP WITH TIME ZONE", "tm": "TIME", "id": "UUID",
    "l": "INTEGER[]", "st": "STRUCT(a INTEGER, s VARCHAR)",
}  # fmt: skip
_ROWS = (
    (
        "(1, 1, 1, 1, 1, 1, 1, 1, 1, 1, '1', 'x', true, '2024-02-29', '2024-02-29 01:02:03', '2024-02-29', '01:02:03',"
        " '00000000-0000-0000-0000-000000000001', [1], {'a': 1, 's': 'q'})"
    ),
    (
        "(-2147483648, -9223372036854775808, -170141183460469231731687303715884105728, -128, 0, 0, '-inf', '-inf',"
        " -9999999999.99, -9999999999999999999999999999.9999999999, '', '', false, '-infinity', '-infinity',"
        " '-infinity', '00:00:00', '00000000-0000-0000-0000-000000000000', [], {'a': NULL, 's': NULL})"
    ),
    (
        "(2147483647, 9223372036854775807, 170141183460469231731687303715884105727, 127, 18446744073709551615,"
        " 340282366920938463463374607431768211455, 'inf', 'nan', 9999999999.99,"
        " 9999999999999999999999999999.9999999999, 'not a number', repeat('é', 1000), NULL,"
        " 'infinity', 'infinity', 'infinity', '23:59:59.999999',"
        " 'ffffffff-ffff-ffff-ffff-ffffffffffff', NULL, NULL)"
    ),
    (
        "(0, 0, 0, 0, 7, 7, 3e38, 1.7e308, 0, 0, '2024-13-45', '%_[', true, '0044-03-15 (BC)', '290000-01-01',"
        " '290000-01-01', '12:00:00', '12345678-1234-1234-1234-123456789012', [NULL], {'a': 0, 's': '(('})"
    ),
    (
        "(NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,"
        " NULL, NULL)"
    ),
)

PROVEN = (
    # comparisons: one type, types of which one holds the other, literals that are values
    "i = 1", "i <> -5", "big > 3", "i = big", "i < huge", "tiny = ub", "f = d", "i = d", "n = 1.5", "n = i", "n < w",
    "n = d", "w >= f", "s = 'x'", "s = z", "s > ''", "ok = true", "day = '2024-01-31'", "day >= DATE '2024-01-31'",
    "ts < '2024-01-31 10:00:00'", "ts > TIMESTAMP '2024-01-31'", "tm = '10:00:00'",
    "id = '12345678-1234-1234-1234-123456789012'", "i = '5'", "big = '-5'", "i BETWEEN 1 AND 3", "i IN (1, 2, NULL)",
    "s IN ('a', 'b')", "day BETWEEN '2024-01-01' AND '2024-12-31'", "s NOT IN ('a')", "i IS NULL", "st IS NOT NULL",
    "i IS DISTINCT FROM 4", "NULL = i", "ok", "NOT ok", "ok AND i = 1", "i = 1 OR s = 'x' OR ok", "ok = 'true'",
    # constants of the calendar
    "day > current_date", "ts > DATE '2024-01-31' - INTERVAL 3 MONTH", "ts < TIMESTAMP '2024-01-31' + INTERVAL 2 DAY",
    "day < DATE '2024-01-31' + 5", "i > 100 - 3", "i = -100000",
    "ts > current_date - INTERVAL '30' DAY", "ts > TIMESTAMP '2024-01-31' - to_days(7)", "trunc(d) = 1", "trunc(f) > d",
    # functions that are total
    "lower(s) = 'x'", "upper(z) LIKE 'A%'", "trim(s) = ''", "ltrim(s, ' ') = rtrim(s)", "substring(s, 2, 3) = 'a'",
    "left(s, 2) = 'ab'", "right(s, 100000) = 'ab'", "s || 'x' = 'ax'", "reverse(s) = 'x'",
    "replace(s, 'aa', 'b') = 'x'",
    "s LIKE 'a%'", "s NOT LIKE '_b'", "s ILIKE 'A%'", "s NOT ILIKE '%'", "contains(s, z)", "starts_with(s, 'a')",
    "s ^@ 'a'", "suffix(s, z)", "length(s) > 3", "strlen(z) = 2", "len(s) < 4", "year(day) = 2024", "month(ts) < 5",
    "date_part('year', day) = 2024", "extract(quarter FROM ts) = 2", "dayofweek(day) = 1", "d + i > 3", "d * f < 1",
    "d / n = 1", "d - 1 = 2",
    # casts that widen, and those that try
    "i::BIGINT = 3", "tiny::INTEGER = i", "i::VARCHAR = '3'", "n::DOUBLE > 1", "day::VARCHAR = 'x'", "id::VARCHAR = ''",
    "TRY_CAST(s AS INTEGER) = 3", "TRY_CAST(s AS DATE) > '2024-01-31'", "TRY_CAST(big AS TINYINT) = 1",
    "TRY_CAST(s AS DECIMAL(10,2)) = 1", "'2024-01-31'::DATE = day", "'5'::INTEGER = i", "5::SMALLINT = i",
    "1.5::INTEGER = i",
    "'t'::BOOLEAN = ok", "TRY_CAST(s AS UUID) = id",
    # cases, coalesce, sub-queries
    "CASE WHEN i = 1 THEN 'a' ELSE s END = 'a'", "CASE i WHEN 1 THEN ok ELSE false END", "coalesce(s, z) = 'x'",
    "CASE WHEN ok THEN i ELSE NULL END = 1", "CASE WHEN ok THEN i END = 1", "i > 100 + 3",
    "CASE WHEN ok THEN (SELECT max(u.i) FROM x.t u) ELSE i END = '5'",
    "left(s, -(2)) = 'a'", "left(s, -(2::INTEGER)) = 'a'", "NULL::INTEGER = i", "NULL::DATE < day", "TRY_CAST(s AS TIMESTAMP) = ts", "TRY_CAST(ok AS INTEGER) = 1",
    "TRY_CAST(d AS BIGINT) = 1", "TRY_CAST(n AS TINYINT) = 1", "TRY_CAST(s AS BOOLEAN)", "ts > CURRENT_DATE - INTERVAL 3 MONTH", "f < w", "w > d", "d < n",
    "n = big", "big = n", "NOT (i = 1)", "NOT (s LIKE 'a%' AND ok)", "coalesce(s, z, 'x') = 'x'", "datepart('month', ts) = 1",
    "ok = (i = 1)", "(i = 1) = (s = 'x')",
    "coalesce(i, i) = 1", "EXISTS (SELECT 1)", "i IN (SELECT i FROM x.t)", "i > (SELECT max(i) FROM x.t)",
    "NOT EXISTS (SELECT 1 FROM x.t u WHERE u.i = t.i)", "s NOT IN (SELECT z FROM x.t)", "x.t.i = 1", "t.i = 1",
)  # fmt: skip
FAILING = (
    # each of these fails in DuckDB on one of the rows
    "s::INTEGER = 1", "s = 1", "i = s", "s::DATE = '2024-01-01'", "CAST(s AS BOOLEAN)", "s", "ok = s", "day = s",
    "i + i = 2", "i * big = 2", "big - big - big < 0", "-i = 1", "abs(i) = 1", "tiny + tiny = 1",
    "n * n * n * n = 1", "w + w = 1",
    "i::TINYINT = tiny", "big::INTEGER = i", "d::INTEGER = 1", "f::BIGINT = 1", "ub::BIGINT = 1", "huge::BIGINT = big",
    "n::DECIMAL(4,2) = n + n", "w::DECIMAL(12,2) = 1", "w = i::DECIMAL(38,38)", "TRY_CAST(ts AS TIME) = tm",
    "day + INTERVAL 9999999 MONTH > '2024-01-01'", "ts + INTERVAL 300000 YEAR > ts", "day + 2147483647 > day",
    "s ~ z", "regexp_matches(z, s || '(')", "s LIKE 'a' ESCAPE z", "strptime(s, '%Y') > ts",
    "json_extract(s, '$.a') = '1'",
    "chr(i) = 'a'", "repeat(s, big) = 'a'", "substring(s, big) = 'a'", "date_trunc('day', ts)::TIME = s",
    "date_part(s, day) = 1", "error(s) IS NULL", "CASE WHEN ok THEN 1 ELSE s::INTEGER END = 1", "sqrt(i) = 1",
    "ln(i) = 1", "coalesce(s::INTEGER, 1) = 1", "i = '1x'", "day = '2024-02-30'", "id = 'no'", "i IN (1, '1x')",
    "day BETWEEN '2024-01-01' AND 'never'", "ok AND s::INTEGER = 1", "NOT (s::INTEGER = 1)", "s::INTEGER IS NULL",
    "i IN (SELECT u.s::INTEGER FROM x.t u)", "make_date(i, 1, 1) = day", "s::UUID = id",
    "(s || '')::INTEGER = 1", "'99999999999'::INTEGER = i", "300::TINYINT = tiny", "hex(s)::INTEGER = 1",
    "st.s::INTEGER = 1", "l[1] / 0 = i::TINYINT", "epoch_ns(ts) = 1", "DATE '2024-01-31' + i > day",
    "NOT s", "NOT (s::INTEGER = 1)", "huge = w", "w = huge", "uh = w", "w >= ub * 1000000000000", "ok OR s", "s AND ok", "i = 1 OR s",
    "TRY_CAST(ts AS TIME) IS NULL",
    "CASE WHEN s THEN ok ELSE ok END", "CASE WHEN s::INTEGER = 1 THEN 1 ELSE 2 END = 1",
    "s IN (1, 2)", "s BETWEEN 1 AND 2", "1 BETWEEN s AND 2", "i IN (SELECT s FROM x.t)", "s = (SELECT max(i) FROM x.t)",
)  # fmt: skip
UNSURE = (
    # DuckDB may well run these without an error; the prover does not know enough of them
    "i = ?", "st.a = 1", "t = t", "l = [1]", "s SIMILAR TO 'a.*'", "md5(s) = 'x'", "concat(s, z) = 'x'", "random() > 2",
    "s || z = 'a'", "replace(s, 'a', 'bb') = 'x'", "left(s, 100001) = 'a'", "left(s, i) = 'a'", "lower(i) = '1'",
    "length(l) = 1", "x.lower(s) = 'a'", "year(tm) = 1", "year(tz) = 2024", "date_part('epoch', day) = 1",
    "TRY_CAST(day AS TIMESTAMP) = ts", "i = 1.5 OR l", "CASE WHEN ok THEN 1 ELSE 'a' END = 1", "d = s || ''",
    "CASE WHEN i THEN ok ELSE ok END", "CASE WHEN ok THEN NULL ELSE NULL END = 1", "i > 100 + 3 + 4",
    "coalesce(i, n) = 1", "coalesce(s, 1) = '1'", "missing = 1", "i COLLATE NOCASE = 1", "trim(s, z, s) = ''",
    "day > DATE '2024-01-31' - INTERVAL 3000000 MONTH", "day < DATE '2024-01-31' + 500000", "i > 100 - 300000",
    "(SELECT i, s FROM x.t) = 1", "i = ANY (SELECT u.s FROM x.t u)", "'1'::TINYINT + i = 1",
    "trunc(n, 2) = 1", "trunc(d)::INTEGER = 1", "ts > current_date - INTERVAL 'x' DAY",
    "ts > current_date - to_days(CAST(CAST('77' AS BOOLEAN) AS INTEGER))",
    "ts > current_date - to_days(CAST(trunc(CAST(i AS DOUBLE)) AS INTEGER))", "ts > current_date - to_days(200000)",
    "day = ts", "day > DATE '2024-01-31' - INTERVAL 3 MONTH", "uh = huge", "i::SMALLINT = 1", "i + 1 = 2",
    "date_part('year', tz) = 1", "date_part('year', tm) = 1", "date_trunc('year', day) IS NULL", "date_part(s, ts) = 1",
    "ts > current_date - to_days(i)", "ts > (day - INTERVAL 3 MONTH)", "ts > TIMESTAMP '2024-01-31' + 5",
    "(DATE '2024-01-31' + INTERVAL 1 DAY) + INTERVAL 1 DAY < ts", "i = ALL (SELECT s FROM x.t)",
)  # fmt: skip

TABLE = Table(TableName("x", "t"), tuple(Column(name, kind) for name, kind in _COLUMNS.items()))
PARSER = DuckDBParser()


def proven(condition: str, *, strict: bool = False) -> bool:
    parse = PARSER.parse(f"SELECT 1 FROM x.t WHERE {condition}")
    assert parse.tree is not None, condition
    survey = survey_statement(parse.tree)
    prover = Prover(survey, columns_of([TABLE]), strict=strict)
    return prover.condition(parse.tree["node"]["where_clause"]) is not None


@pytest.fixture(scope="module")
def rows() -> Iterator[list[duckdb.DuckDBPyConnection]]:
    """A database of one row for each of the values, and one that holds them all."""
    found = []
    for values in [*((row,) for row in _ROWS), _ROWS]:
        db = duckdb.connect(config={"threads": "1"})
        db.execute("SET disabled_optimizers = 'statistics_propagation'")
        columns = ", ".join(f"{name} {kind}" for name, kind in _COLUMNS.items())
        db.execute(f"CREATE SCHEMA x; CREATE TABLE x.t ({columns}); INSERT INTO x.t VALUES {', '.join(values)}")
        found.append(db)
    yield found
    for db in found:
        db.close()


def fails(rows: list[duckdb.DuckDBPyConnection], condition: str) -> bool:
    for db in rows:
        try:
            db.execute(f"SELECT count(*) FROM x.t WHERE {condition}").fetchall()
        except duckdb.Error:
            return True
    return False


@pytest.mark.parametrize("condition", PROVEN)
def test_what_is_proven_never_fails(rows: list[duckdb.DuckDBPyConnection], condition: str) -> None:
    assert proven(condition)
    assert not fails(rows, condition)


@pytest.mark.parametrize("condition", FAILING)
def test_what_fails_on_some_row_is_not_proven(rows: list[duckdb.DuckDBPyConnection], condition: str) -> None:
    assert fails(rows, condition)
    assert not proven(condition)


@pytest.mark.parametrize("condition", UNSURE)
def test_what_is_not_known_well_enough_is_not_proven(condition: str) -> None:
    assert not proven(condition)


@pytest.mark.parametrize(
    ("condition", "strictly"),
    [
        ("i > (SELECT max(i) FROM x.t)", True),
        ("i = (SELECT u.i FROM x.t u LIMIT 1)", True),
        ("i = (SELECT u.i FROM x.t u)", False),
        ("i = (SELECT u.i FROM x.t u LIMIT 2)", False),
        ("i = (SELECT max(u.i) FROM x.t u GROUP BY u.s)", False),
        ("i > (SELECT row_number() OVER () FROM x.t u)", False),
        ("i > (SELECT max(u.i) OVER () FROM x.t u)", False),
        ("s > (SELECT lower(max(u.s)) FROM x.t u)", True),
        ("s > (SELECT max(u.s) FROM x.t u GROUP BY ROLLUP (u.z))", False),
        ("s > (SELECT max(u.s) FROM x.t u GROUP BY ALL)", False),
        ("s > (SELECT lower(u.s) FROM x.t u)", False),
    ],
)
def test_a_sub_query_that_may_have_two_rows_is_proven_only_where_the_plan_does_not_ask(
    condition: str, strictly: bool
) -> None:
    assert proven(condition)
    assert proven(condition, strict=True) is strictly


HELD_PROVEN = (
    # what stands above the aggregate cannot sink below it; the types that meet must be certain all the same
    "sum(i) > 5", "count(*) > 1", "count(*) = '1'", "max(s) = 'x'", "avg(i) > 1.5", "sum(n) > 5", "max(day) > '2024-01-31'", "sum(d) * 2 > sum(f)", "sum(n) * avg(n) > 1",
    "max(n) * max(n) > 1", "sum(i) BETWEEN 1 AND 5", "max(i) IN (1, 2)", "max(s) IS NULL", "NOT (max(i) = 1)", "bool_and(ok)", "s = 'x' AND max(i) > 1", "lower(max(s)) = 'x'",
    "coalesce(max(i), min(i)) = 1", "CASE WHEN max(i) > 1 THEN 1 ELSE 2 END = 1", "max(i) = (SELECT max(i) FROM x.t)", "max(i) + max(i) > 3", "n < max(n) * max(n)", "d < sum(d) * 2", "i < max(n) * max(n)",
)  # fmt: skip
HELD_UNPROVEN = (
    # a part that stands beside the aggregate may sink
    "s::INTEGER = 1", "s::INTEGER = 1 AND max(i) > 1", "max(i) > 1 AND s", "i + i > 3", "s = 1", "max(s)::INTEGER = 1", "n < max(n) + max(n)", "d < max(i) + max(i)", "s < max(n) * max(n)", "s < sum(d) * 2", "n < max(w) * max(w)",
)  # fmt: skip


def held(condition: str, *, strict: bool = False) -> bool:
    parse = PARSER.parse(f"SELECT 1 FROM x.t GROUP BY ALL HAVING {condition}")
    assert parse.tree is not None, condition
    prover = Prover(survey_statement(parse.tree), columns_of([TABLE]), strict=strict)
    return prover.condition(parse.tree["node"]["having"]) is not None


@pytest.mark.parametrize("condition", HELD_PROVEN)
def test_what_is_done_to_aggregates_cannot_sink_below_them(condition: str) -> None:
    assert held(condition)


@pytest.mark.parametrize("condition", HELD_UNPROVEN)
def test_what_stands_beside_an_aggregate_is_proven_by_itself(condition: str) -> None:
    assert not held(condition)


@pytest.mark.parametrize("condition", [c for c in HELD_PROVEN if "+" in c])
def test_where_plans_ask_what_is_done_to_aggregates_is_proven_too(condition: str) -> None:
    assert not held(condition, strict=True)


def test_a_proof_ends_where_expressions_are_deep_and_the_next_begins_anew() -> None:
    deep = "i = 1" + "".join(" OR (i = 1 AND (ok" for _ in range(40)) + "))" * 40
    assert proven("(i = 1 OR i = 2) AND (i = 3 OR i = 4)")
    parse = PARSER.parse(f"SELECT 1 FROM x.t WHERE {deep}")
    assert parse.tree is not None
    prover = Prover(survey_statement(parse.tree), columns_of([TABLE]))
    assert prover.condition(parse.tree["node"]["where_clause"]) is None
    assert prover.depth == 0
