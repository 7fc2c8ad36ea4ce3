# ruff: noqa: E501
"""Each form of the dialect `postgres` that passes, held against a real PostgreSQL 15: same rows, value by value."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from engine.pipeline.translate import translate
from governance.errors import Refusal
from governance.policy_test_result import plain
from tests.support.governed_lab import Lab, principal, rulebook
from tests.support.postgres15 import missing, running_postgres

SETUP = [
    "CREATE SCHEMA s",
    "CREATE TABLE s.t(id INT, org INT, word VARCHAR, n BIGINT, yes BOOLEAN, d DATE, ts TIMESTAMP)",
    "INSERT INTO s.t VALUES (1, 1, 'abc,def', 10, true, DATE '2024-01-31', TIMESTAMP '2024-02-29 23:59:59')",
    "INSERT INTO s.t VALUES (2, 1, NULL, NULL, NULL, NULL, NULL)",
    "INSERT INTO s.t VALUES (3, 1, ' Ab ', -7, false, DATE '1999-12-31', TIMESTAMP '2000-01-01 00:00:00')",
    "INSERT INTO s.t VALUES (4, 2, '', 0, true, DATE '2024-02-28', TIMESTAMP '1970-01-01 12:30:00')",
    "INSERT INTO s.t VALUES (5, 2, 'äöü', 3, false, NULL, NULL)",
    "INSERT INTO s.t SELECT 6, 3, chr(160) || ' x ' || chr(9) || chr(8195), 5, true, DATE '0002-01-01', NULL",
    "CREATE TABLE s.u(id INT, tag VARCHAR)",
    "INSERT INTO s.u VALUES (1, 'x'), (1, 'y'), (3, NULL), (9, 'z')",
]
QUERIES = [
    "SELECT id, word FROM s.t ORDER BY word DESC, id",
    "SELECT id FROM s.t ORDER BY n, id", "SELECT id FROM s.t ORDER BY n DESC NULLS LAST, id LIMIT 3 OFFSET 1",
    "SELECT nullif(id, 3), abs(n), nullif(word, '') FROM s.t ORDER BY id",
    "SELECT greatest(id, n), least(id, n, 2) FROM s.t ORDER BY id",
    "SELECT replace(word, 'b', 'xx'), strpos(word, 'b'), position('d' in word) FROM s.t ORDER BY id",
    "SELECT left(word, 2), right(word, 3), left(word, 0), right(word, 99) FROM s.t ORDER BY id",
    "SELECT substring(word, 2, 3), substr(word, 2), substring(word from 1 for 0) FROM s.t ORDER BY id",
    "SELECT starts_with(word, 'a'), split_part(word, ',', 1), split_part(word, ',', 9) FROM s.t ORDER BY id",
    "SELECT trim(word), ltrim(word), rtrim(word), length(word), lower(word), upper(word) FROM s.t WHERE id <> 5 ORDER BY id",
    "SELECT id % 2, n % 3, mod(n, 4) FROM s.t ORDER BY id",
    "SELECT extract(year from d), extract(month from ts), extract(day from d), extract(quarter from d) FROM s.t ORDER BY id",
    "SELECT extract(hour from ts), extract(minute from ts) FROM s.t ORDER BY id",
    "SELECT bool_and(yes), bool_or(yes) FROM s.t", "SELECT bool_and(id > 2), org FROM s.t GROUP BY org ORDER BY org",
    "SELECT sum(n) FILTER (WHERE id > 1), count(*) FILTER (WHERE yes) FROM s.t",
    "SELECT string_agg(word, '-' ORDER BY id) FROM s.t", "SELECT string_agg(word, ',' ORDER BY id DESC) FROM s.t WHERE id > 99",
    "SELECT id, sum(n) OVER (ORDER BY id ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM s.t ORDER BY id",
    "SELECT id, sum(n) OVER (ORDER BY id), count(*) OVER (PARTITION BY org) FROM s.t ORDER BY id",
    "SELECT id, lag(n) OVER (ORDER BY id), lead(n, 2) OVER (ORDER BY id), lag(id, 1, 0) OVER (ORDER BY id DESC) FROM s.t ORDER BY id",
    "SELECT id, first_value(n) OVER (ORDER BY id), last_value(n) OVER (ORDER BY id), nth_value(n, 2) OVER (ORDER BY id) FROM s.t ORDER BY id",
    "SELECT id, ntile(2) OVER (ORDER BY id), rank() OVER (ORDER BY n DESC), dense_rank() OVER (ORDER BY n) FROM s.t ORDER BY id",
    "SELECT id, row_number() OVER (ORDER BY n DESC, id), percent_rank() OVER (ORDER BY n) FROM s.t ORDER BY id",
    "SELECT id, cume_dist() OVER (ORDER BY id) FROM s.t ORDER BY id",
    "SELECT DISTINCT ON (org) org, id FROM s.t ORDER BY org, id DESC", "SELECT DISTINCT org FROM s.t ORDER BY 1",
    "SELECT org, count(*) FROM s.t GROUP BY ROLLUP (org) ORDER BY org", "SELECT org, yes, count(*) FROM s.t GROUP BY CUBE (org, yes) ORDER BY 1, 2, 3",
    "SELECT org, count(*) FROM s.t GROUP BY GROUPING SETS ((org), ()) ORDER BY org",
    "SELECT id FROM s.t ORDER BY id FETCH FIRST 2 ROWS ONLY",
    "SELECT t.id, x.c FROM s.t, LATERAL (SELECT count(*) AS c FROM s.u WHERE u.id = t.id) x ORDER BY 1",
    "SELECT t.id, tag FROM s.t LEFT JOIN s.u ON u.id = t.id ORDER BY t.id, tag", "SELECT t.id FROM s.t JOIN s.u USING (id) ORDER BY 1",
    "SELECT id FROM s.t WHERE EXISTS (SELECT 1 FROM s.u WHERE u.id = t.id) ORDER BY 1",
    "SELECT id FROM s.t WHERE id NOT IN (SELECT id FROM s.u) ORDER BY 1", "SELECT id FROM s.t WHERE word NOT LIKE 'a%' ORDER BY 1",
    "SELECT id FROM s.t WHERE word ILIKE '%B%' ORDER BY 1", "SELECT id FROM s.t WHERE n BETWEEN SYMMETRIC 10 AND 0 ORDER BY 1",
    "SELECT id FROM s.t WHERE n NOT BETWEEN SYMMETRIC 10 AND 0 ORDER BY 1", "SELECT id FROM s.t WHERE yes IS NOT TRUE ORDER BY 1",
    "SELECT id FROM s.t WHERE n IS DISTINCT FROM 3 ORDER BY 1",
    "SELECT d + INTERVAL '1 month', ts - INTERVAL '2 hours', d - INTERVAL '1 year' FROM s.t ORDER BY id",
    "SELECT id FROM s.t WHERE ts >= TIMESTAMP '2000-01-01 00:00:00' ORDER BY id", "SELECT id FROM s.t WHERE d < DATE '2024-02-01' ORDER BY 1",
    "SELECT word || '!' || id FROM s.t ORDER BY id", "SELECT CASE id WHEN 1 THEN 'one' ELSE word END FROM s.t ORDER BY id",
    "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 4) SELECT n FROM r ORDER BY n",
    "SELECT id FROM s.t UNION SELECT id FROM s.u ORDER BY 1", "SELECT id FROM s.t EXCEPT SELECT id FROM s.u ORDER BY 1",
    "SELECT count(DISTINCT org), min(word), max(d), sum(id), coalesce(max(n), 0) FROM s.t",
    "SELECT id::text FROM s.t ORDER BY id DESC", "SELECT n::text, id FROM s.t WHERE n > 3 GROUP BY n, id HAVING n > 4 ORDER BY n", "SELECT CASE WHEN yes THEN n ELSE id END, CASE WHEN yes THEN 1 END FROM s.t ORDER BY id",
    "SELECT (SELECT max(id) FROM s.u), EXISTS (SELECT 1 FROM s.u), true, null, -1, 1 + 1, id % 2, mod(id, 2), id IS NULL FROM s.t ORDER BY id",
    "SELECT btrim(word), trim(leading from word), substring(word from 2 for 2), char_length(word), (lower(word))::varchar, 1::smallint, (id) FROM s.t WHERE id = 1",
    "SELECT id::text FROM s.t UNION ALL SELECT 'x' ORDER BY id", "SELECT lower(word) AS w, id::bigint FROM s.t ORDER BY id", "SELECT DISTINCT ON (id) id::text FROM s.t ORDER BY id",
    "SELECT yes::text, id::text, d::text, (id = 1)::text FROM s.t ORDER BY id", "SELECT '12'::int + 1, 'true'::boolean, '2024-02-29'::date",
]  # fmt: skip
REFUSED = [
    "SELECT n / 2 FROM s.t", "SELECT n % id FROM s.t", "SELECT n % 0 FROM s.t", "SELECT round(n, 1) FROM s.t", "SELECT floor(n) FROM s.t",
    "SELECT concat(word, yes) FROM s.t", "SELECT reverse(word) FROM s.t", "SELECT initcap(word) FROM s.t", "SELECT word ~ 'a' FROM s.t",
    "SELECT left(word, -1) FROM s.t", "SELECT substring(word, 0, 2) FROM s.t", "SELECT substring(word from 'a.') FROM s.t", "SELECT replace(word, '', 'x') FROM s.t",
    "SELECT strpos(word, '') FROM s.t", "SELECT split_part(word, '', 1) FROM s.t", "SELECT split_part(word, ',', -1) FROM s.t", "SELECT trim('x' from word) FROM s.t",
    "SELECT extract(week from d) FROM s.t", "SELECT extract(epoch from ts) FROM s.t", "SELECT date_trunc('month', d) FROM s.t", "SELECT array_agg(id) FROM s.t", "SELECT avg(n)::numeric(10,2) FROM s.t",
    "SELECT sum(n) OVER (ORDER BY id RANGE BETWEEN 1 PRECEDING AND CURRENT ROW) FROM s.t", "SELECT sum(n) OVER (ORDER BY id ROWS BETWEEN id PRECEDING AND CURRENT ROW) FROM s.t",
    "SELECT sum(n) OVER (ORDER BY id ROWS BETWEEN 1 PRECEDING AND CURRENT ROW EXCLUDE CURRENT ROW) FROM s.t",
    "SELECT d + INTERVAL '1 month ago' FROM s.t", "SELECT d + INTERVAL '1 day 2 hours' FROM s.t", "SELECT TIMESTAMP 'yesterday'", "SELECT '1'::timestamptz", "SELECT id FROM s.t FETCH FIRST 1 ROWS WITH TIES",
    "SELECT * FROM s.t, LATERAL generate_series(1, 2) g", "SELECT id FROM s.t FOR UPDATE", "SELECT id FROM s.t TABLESAMPLE BERNOULLI (10)", "SELECT current_date", "SELECT now()", "SELECT chr(65)",
    "SELECT id FROM s.t NATURAL JOIN s.u", "SELECT id = ANY(ARRAY[1, 2]) FROM s.t", "SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY id) FROM s.t", "SELECT string_agg(DISTINCT word, word) FROM s.t",
]  # fmt: skip
WHO = principal(dialect="postgres")
BOOK = rulebook([], [("s", "shared")])


@pytest.fixture(scope="module")
def lab() -> Lab:
    return Lab(SETUP)


@pytest.fixture(scope="module")
def postgres() -> Iterator[psycopg.Connection[Any]]:
    why = missing()
    if why:
        pytest.skip(why)
    with running_postgres() as server, psycopg.connect(server.dsn, autocommit=True) as connection:
        connection.execute("SET lc_messages = 'C'")
        for statement in SETUP:
            connection.execute(statement.encode())
        yield connection


@pytest.mark.parametrize("sql", QUERIES)
def test_what_passes_answers_as_postgresql_does(postgres: psycopg.Connection[Any], lab: Lab, sql: str) -> None:
    mine = lab.run(sql, WHO, BOOK)
    assert mine.status == "ok", mine.error
    cursor = postgres.execute(sql.encode())
    theirs = cursor.fetchall()
    assert [name for name, _ in mine.columns] == [column.name for column in cursor.description or ()]
    assert [list(map(plain, row)) for row in mine.rows] == [list(map(plain, row)) for row in theirs]


@pytest.mark.parametrize("sql", REFUSED)
def test_what_may_mean_something_else_is_refused(sql: str) -> None:
    with pytest.raises(Refusal):
        translate(sql, "postgres")
