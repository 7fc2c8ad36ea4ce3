# ruff: noqa: E501
"""Not over-blocking: what analysts write runs on filtered and masked tables, and answers as over the permitted database."""

from __future__ import annotations

import pytest

from tests.engine.pipeline.red_twins import Twin, answers_of
from tests.support.governed_lab import Lab

QUERIES = (
    "SELECT g, count(*), sum(dec), round(avg(f), 4) FROM s.t GROUP BY g ORDER BY g",
    "SELECT date_trunc('month', d) AS mon, count(*) FROM s.t GROUP BY 1 ORDER BY 1",
    "SELECT date_trunc('week', ts) AS w, sum(num) FROM s.t GROUP BY ALL ORDER BY ALL",
    "SELECT extract(year FROM d) AS y, extract(dow FROM d) AS w, count(*) FROM s.t GROUP BY ALL ORDER BY ALL",
    "SELECT strftime(d, '%Y-%m') AS ym, count(*) FROM s.t GROUP BY ym ORDER BY ym",
    "SELECT id, row_number() OVER (PARTITION BY g ORDER BY id) AS rn FROM s.t QUALIFY rn <= 2 ORDER BY ALL",
    "SELECT id, sum(dec) OVER (PARTITION BY g ORDER BY id ROWS BETWEEN 2 PRECEDING AND CURRENT ROW) AS s FROM s.t ORDER BY id",
    "SELECT g, id, dec - lag(dec) OVER (PARTITION BY g ORDER BY id) AS diff FROM s.t ORDER BY ALL LIMIT 50",
    "SELECT g, median(f), quantile_cont(f, [0.25, 0.5, 0.75]), mode(name) FROM s.t GROUP BY g ORDER BY g",
    "SELECT percentile_cont(0.9) WITHIN GROUP (ORDER BY f) FROM s.t",
    "SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY num) FROM s.t",
    "SELECT g, count(*) FILTER (WHERE num > 5) AS big, count(*) FILTER (WHERE num <= 5) AS small FROM s.t GROUP BY g ORDER BY g",
    "SELECT name, string_agg(DISTINCT g, ',' ORDER BY g) FROM s.t GROUP BY name ORDER BY name",
    "SELECT g, list(DISTINCT name ORDER BY name) FROM s.t GROUP BY g ORDER BY g",
    "SELECT count(DISTINCT email), count(DISTINCT ssn) FROM s.t",
    "SELECT ssn, count(*) FROM s.t GROUP BY ssn ORDER BY 2 DESC, 1 LIMIT 5",
    "SELECT upper(g) || '-' || lpad(name, 3, '0') AS code, count(*) FROM s.t GROUP BY code ORDER BY code LIMIT 5",
    "SELECT regexp_extract(g, '([a-z])(\\d)', 2) AS digit, count(*) FROM s.t GROUP BY 1 ORDER BY 1",
    "SELECT count(*) FROM s.t WHERE regexp_matches(g, '^g[0-2]$')",
    "SELECT split_part(ssn, '*', 4) AS tail, count(*) FROM s.t GROUP BY ALL ORDER BY ALL LIMIT 3",
    "SELECT j->>'$.a' AS a, count(*) FROM s.t GROUP BY 1 ORDER BY 1",
    "SELECT json_extract_string(j, '$.a')::INT AS a, sum(num) FROM s.t GROUP BY 1 ORDER BY 1",
    "SELECT (j->'a')::INT AS a, count(*) FROM s.t WHERE (j->>'a')::INT > 0 GROUP BY 1 ORDER BY 1",
    "SELECT to_json({'g': g, 'n': count(*)}) FROM s.t GROUP BY g ORDER BY g",
    "SELECT unnest(tags) AS tag, id FROM s.t ORDER BY id, tag LIMIT 10",
    "SELECT tag, count(*) FROM (SELECT unnest(tags) AS tag FROM s.t) q GROUP BY tag ORDER BY tag",
    "SELECT id, len(tags), tags[1], list_contains(tags, '2'), list_transform(ii, x -> x + 1) FROM s.t ORDER BY id LIMIT 5",
    "SELECT id, [x * 2 FOR x IN ii IF x > 0] AS doubled FROM s.t ORDER BY id LIMIT 5",
    "SELECT info.a, info.n, count(*) FROM s.t GROUP BY ALL ORDER BY ALL",
    "SELECT m['k'] AS k, count(*) FROM s.t GROUP BY ALL ORDER BY ALL",
    "SELECT id, array_to_string(tags, '|') FROM s.t ORDER BY id LIMIT 5",
    "PIVOT s.t ON g IN ('g0', 'g1') USING sum(num) GROUP BY name ORDER BY name",
    "SELECT * FROM (SELECT name, g, num FROM s.t) PIVOT (sum(num) FOR g IN ('g0', 'g1', 'g2') GROUP BY name) ORDER BY name",
    "UNPIVOT (SELECT id, num::DOUBLE AS num, f FROM s.t) ON num, f INTO NAME k VALUE v ORDER BY ALL LIMIT 10",
    "WITH m AS (SELECT g, avg(f) AS a FROM s.t GROUP BY g) SELECT t.g, count(*) FROM s.t JOIN m USING (g) WHERE f > a GROUP BY ALL ORDER BY ALL",
    "WITH RECURSIVE days AS (SELECT DATE '2020-01-01' AS day UNION ALL SELECT day + 1 FROM days WHERE day < DATE '2020-01-10') SELECT day::DATE AS day, count(id) FROM days LEFT JOIN s.t ON t.d = days.day GROUP BY ALL ORDER BY ALL",
    "SELECT day, count(id) FROM generate_series(DATE '2020-01-01', DATE '2020-01-05', INTERVAL 1 DAY) s(day) LEFT JOIN s.t ON d = day::DATE GROUP BY ALL ORDER BY ALL",
    "SELECT t.g, o.note, sum(o.amt) FROM s.t JOIN s.o ON t.id = o.tid GROUP BY ROLLUP (t.g, o.note) ORDER BY ALL",
    "SELECT t.g, o.note, grouping(t.g), sum(o.amt) FROM s.t JOIN s.o ON t.id = o.tid GROUP BY CUBE (t.g, o.note) ORDER BY ALL",
    "SELECT o.note, max(t.ssn) FROM s.o LEFT JOIN s.t ON t.id = o.tid GROUP BY ALL ORDER BY ALL",
    "SELECT g FROM s.t WHERE num > (SELECT avg(num) FROM s.t) GROUP BY g ORDER BY g",
    "SELECT id FROM s.t t1 WHERE dec = (SELECT max(dec) FROM s.t t2 WHERE t2.g = t1.g) ORDER BY id LIMIT 10",
    "SELECT id FROM s.t WHERE EXISTS (SELECT 1 FROM s.o WHERE o.tid = t.id AND o.amt > 10) ORDER BY id LIMIT 10",
    "SELECT id FROM s.t WHERE id NOT IN (SELECT tid FROM s.o) ORDER BY id LIMIT 5",
    "SELECT g, x.id FROM (SELECT DISTINCT g FROM s.t) q, LATERAL (SELECT id FROM s.t WHERE t.g = q.g ORDER BY id DESC LIMIT 2) x ORDER BY ALL",
    "SELECT DISTINCT ON (g) g, id, d FROM s.t ORDER BY g, d DESC, id",
    "SELECT o.k, t.id FROM s.o ASOF JOIN s.t ON o.k >= t.id ORDER BY ALL LIMIT 5",
    "SELECT CASE WHEN num < 3 THEN 'low' WHEN num < 7 THEN 'mid' ELSE 'high' END AS bucket, count(*), sum(dec) / count(*) AS per FROM s.t GROUP BY bucket ORDER BY bucket",
    "SELECT width, count(*) FROM (SELECT floor(f / 0.5) * 0.5 AS width FROM s.t) q GROUP BY width ORDER BY width",
    "SELECT id, num * 100.0 / sum(num) OVER () AS pct FROM s.t ORDER BY id LIMIT 5",
    "SELECT g, round(100.0 * count(*) / sum(count(*)) OVER (), 2) AS pct FROM s.t GROUP BY g ORDER BY g",
    "SELECT g, corr(num, f), regr_slope(num, f), stddev(f), var_pop(f) FROM s.t GROUP BY g ORDER BY g",
    "SELECT id, d + INTERVAL 1 MONTH AS next, date_diff('day', DATE '2020-01-01', d) AS age, d - DATE '2020-01-01' AS dd FROM s.t ORDER BY id LIMIT 5",
    "SELECT date_part('hour', ts), dayname(d), monthname(d), last_day(d) FROM s.t ORDER BY id LIMIT 3",
    "SELECT id FROM s.t WHERE d BETWEEN '2020-02-01' AND '2020-02-10' AND ts::DATE = d ORDER BY id",
    "SELECT id FROM s.t WHERE d >= current_date - INTERVAL 100 YEAR ORDER BY id LIMIT 2",
    "SELECT coalesce(memo, 'none') AS memo, count(*) FROM s.t GROUP BY ALL",
    "SELECT email = sha256('e1') AS same, count(*) FROM s.t GROUP BY ALL ORDER BY ALL",
    "SELECT id, phone, pay, email FROM s.t WHERE id < 3 ORDER BY id",
    "SELECT count(*) FROM s.t WHERE ssn LIKE '%1003'",
    "SELECT count(*) FROM s.t WHERE name::INT BETWEEN 2 AND 4",
    "SELECT try_cast(g AS INT) IS NULL, count(*) FROM s.t GROUP BY ALL",
    "SELECT TRY_CAST(name AS INT) * 2 AS n2, count(*) FROM s.t GROUP BY ALL ORDER BY ALL",
    "SELECT a.g, count(*) FROM s.t a JOIN s.t b ON a.num = b.num AND a.id < b.id AND b.id < 200 GROUP BY ALL ORDER BY ALL",
    "SELECT id FROM s.t WHERE g = 'g1' INTERSECT SELECT tid FROM s.o ORDER BY 1 LIMIT 5",
    "SELECT * EXCLUDE (tz, tzm, j, m, nested) REPLACE (round(f, 1) AS f) FROM s.t ORDER BY id LIMIT 3",
    "SELECT COLUMNS('^(id|num)$') FROM s.t ORDER BY id LIMIT 3",
    "SELECT min(COLUMNS(['id','num'])), max(COLUMNS(['id','num'])) FROM s.t",
    "SELECT histogram(g) FROM s.t",
    "SELECT approx_count_distinct(email) > 40 FROM s.t",
    "SELECT first(id ORDER BY num, id), last(id ORDER BY num, id), arg_max(id, dec * 1000000 + id), arg_min(g, id) FROM s.t",
    "SELECT any_value(g) IS NOT NULL, bool_or(num > 9), bit_or(num) FROM s.t",
    "SELECT id, ntile(4) OVER (ORDER BY dec, id), percent_rank() OVER (ORDER BY dec, id), cume_dist() OVER (ORDER BY id) FROM s.t ORDER BY id LIMIT 4",
    "SELECT id, first_value(num) OVER w, last_value(num) OVER w, nth_value(num, 2) OVER w FROM s.t WINDOW w AS (PARTITION BY g ORDER BY id ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) ORDER BY id LIMIT 4",
    "SELECT format('{}-{}', g, num), printf('%s:%d', g, num) FROM s.t ORDER BY id LIMIT 3",
    "SELECT g, sum(sum(num)) OVER (ORDER BY g) FROM s.t GROUP BY g ORDER BY g",
    "SELECT s.t.g, count(*) FROM s.t GROUP BY s.t.g ORDER BY s.t.g",
    "SELECT id % 10 AS b, count(*) FROM s.t GROUP BY b HAVING count(*) > 5 AND max(num) > 3 ORDER BY b",
    "FROM s.t SELECT g, sum(num) WHERE num > 3 GROUP BY g ORDER BY g",
    "SELECT greatest(num, id), least(num, id), nullif(num, 0), ifnull(memo, '-') FROM s.t ORDER BY id LIMIT 3",
    "SELECT encode(g), md5(g), hash(g) IS NOT NULL, base64(encode(g)) FROM s.t ORDER BY id LIMIT 2",
    "SELECT levenshtein(g, 'g1'), jaccard(g, 'g1'), strpos(g, '1'), reverse(g), translate(g, 'g', 'x') FROM s.t ORDER BY id LIMIT 2",
    "SELECT epoch(ts), epoch_ms(ts), to_timestamp(epoch(ts)) = tz OR true, make_date(2020, 1, 1), age(ts, TIMESTAMP '2019-01-01') FROM s.t ORDER BY id LIMIT 2",
    "SELECT v, count(*) FROM s.h GROUP BY v ORDER BY v",
    "SELECT h.v, count(*) FROM s.h LEFT JOIN s.t USING (id) GROUP BY ALL ORDER BY ALL",
    "SELECT (SELECT count(*) FROM s.e), (SELECT max(v) FROM s.h)",
    "SUMMARIZE SELECT id, g FROM s.t",
    "DESCRIBE SELECT ssn, pay, memo FROM s.t",
)


@pytest.fixture(scope="module")
def twin(tmp_path_factory: pytest.TempPathFactory) -> Twin:
    return Twin(tmp_path_factory.mktemp("analysts"), "A", 3)


@pytest.fixture(scope="module")
def permitted(twin: Twin) -> Lab:
    return twin.permitted()


@pytest.mark.parametrize("sql", QUERIES)
def test_w4_8_an_analysts_query_answers_as_over_the_permitted_database(twin: Twin, permitted: Lab, sql: str) -> None:
    governed, plain = twin.ask(sql), answers_of(permitted, sql)
    assert governed.error == ""
    assert repr(governed) == repr(plain)
