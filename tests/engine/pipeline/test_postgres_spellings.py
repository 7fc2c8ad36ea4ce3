"""PostgreSQL's spellings become DuckDB's, in place: what DuckDB accepts is left alone, and nothing moves."""

from __future__ import annotations

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.pipeline.postgres_spellings import respelled
from engine.pipeline.text_gate import scan
from governance.errors import TextRefused

RESPELLED = {
    "SELECT '{1,2}'::int[]": "SELECT '[1,2]'::int[]",
    "SELECT CAST('{a,\"b c\",NULL}' AS text[])": "SELECT CAST('[a,\"b c\",NULL]' AS text[])",
    "SELECT '{}'::double precision[]": "SELECT '[]'::double precision[]",
    "SELECT '{2020-01-01 10:00:00+00}'::timestamptz[]": "SELECT '[2020-01-01 10:00:00+00]'::timestamptz[]",
    "SELECT '{\"a\": 1}'::jsonb": "SELECT '{\"a\": 1}'::json ",
    "SELECT cast($1 AS JSONB)": "SELECT cast($1 AS json )",
    "SELECT STATEMENT_TIMESTAMP()": "SELECT now                ()",
    'SELECT "sales"."kinds".* FROM "sales"."kinds"': 'SELECT         "kinds".* FROM "sales"."kinds"',
    r"SELECT '\x00ff'::bytea, 1": "SELECT unhex('00ff')  , 1",
    "SELECT 1 WHERE x = ANY('{1,-2}')": "SELECT 1 WHERE x = ANY([1,-2]  )",
    "SELECT 1 WHERE x <> all ( '{p1, \"a b\",NULL}' )": "SELECT 1 WHERE x NOT IN ('p1','a b',NULL)     ",
    'SELECT 1 WHERE x = ANY ((\'{"1","2"}\')) OR y': "SELECT 1 WHERE x IN ('1','2')          OR y",
    "SELECT 1 WHERE x > ANY ('{a,b}')": "SELECT 1 WHERE x > ANY (['a','b'])",
    "SELECT 1 WHERE x = ANY ('{}')": "SELECT 1 WHERE x = ANY ([]  )",
    "SELECT ('{1,2}')::int[], (('{\"a\"}')) :: text[]": "SELECT ('[1,2]')::int[], (('[\"a\"]')) :: text[]",
    "SELECT t && '{a}' AND t @> ('{a,b}') AND t <@ '{a}'": "SELECT t && '[a]' AND t @> ('[a,b]') AND t <@ '[a]'",
    "SELECT '{a''b}'::text[]": "SELECT ['a''b']::text[]",
    r"""SELECT '{a\,b,"q\"x"}'::text[]""": """SELECT ['a,b','q"x']  ::text[]""",
    "SELECT '{a[b}'::text[]": "SELECT ['a[b']::text[]",
    "SELECT 1 WHERE t >= TO_TIMESTAMP('2020-01-02 03:04:05.000000', 'YYYY-MM-DD HH24:MI:SS.US')": (
        "SELECT 1 WHERE t >= TIMESTAMPTZ '2020-01-02 03:04:05.000000'" + " " * 30
    ),
    "SELECT to_date('2020-01-02', 'YYYY-MM-DD')": "SELECT DATE '2020-01-02'" + " " * 18,
    "SELECT sales . kinds . *": "SELECT         kinds . *",
}
LEFT_ALONE = [
    "SELECT '{1,2}'", r"SELECT '\xzz'::bytea", r"SELECT '\x00'::blob", "SELECT f('{1}')",
    "SELECT '{1,2}'::text", "SELECT '{{1},{2}}'::int[][]",
    "SELECT '{,}'::text[]", "SELECT {'a': 1}", "SELECT t & & '{a}'", "SELECT 1 WHERE t = '{a}'",
    "SELECT x AS jsonb", "SELECT to_timestamp(1)", "SELECT to_date('2020-1-2', 'YYYY-MM-DD')",
    "SELECT to_date('02.01.2020', 'DD.MM.YYYY')", "SELECT x.to_date('2020-01-02', 'YYYY-MM-DD')",
    "SELECT jsonb FROM t", "SELECT count(x) AS jsonb", "SELECT f(x AS jsonb)", "SELECT statement_timestamp",
    "SELECT x.statement_timestamp()", "SELECT statement_timestamp(1)", "SELECT t.*", "SELECT a.b.c", "SELECT a.b.c.*",
    "SELECT a.b * c", "SELECT 'x.y.*', '{1}' || 'jsonb'", "SELECT '{1,2}'::int[2]", "-- '{1}'::int[]\nSELECT 1",
]  # fmt: skip


@pytest.mark.parametrize("text", RESPELLED)
def test_a_spelling_is_duckdbs(text: str) -> None:
    assert respelled(text) == RESPELLED[text]


@pytest.mark.parametrize("text", LEFT_ALONE)
def test_what_is_no_spelling_of_postgresql_stays(text: str) -> None:
    assert respelled(text) == text


WORDS = ["'{1,2}'", "::", "int", "[", "]", "AS", "jsonb", "cast", "(", ")", ".", "*", "a", '"b"', "now", ",", "$1"]


@given(st.lists(st.sampled_from([*WORDS, "statement_timestamp", "--x\n", "'jsonb'", "{", "}"]), max_size=12))
def test_nothing_moves(parts: list[str]) -> None:
    text = " ".join(parts)
    try:
        before = scan(text)
    except TextRefused:
        return
    after = respelled(text)
    assert len(after) == len(text)
    assert respelled(after) == after
    places = {token.start for token in before}
    assert {token.start for token in scan(after)} <= places
    with duckdb.connect(":memory:") as db:
        if after != text:  # only what DuckDB refuses is respelled
            with pytest.raises(duckdb.Error):
                db.execute(f"SELECT {text}")
