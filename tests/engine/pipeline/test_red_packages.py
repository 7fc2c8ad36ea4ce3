# ruff: noqa: E501
"""Not over-blocking, a third time: dbt's packages with their macros expanded, BI tools' and agents' statements.

dbt's generic tests, dbt_utils, dbt-expectations; Metabase, Power BI, Superset, Looker, Tableau; then what an agent
writes when it looks around: windows, pivots, lists, JSON, calendars, samples.
"""

from __future__ import annotations

import pytest

from tests.engine.pipeline.red_twins import Twin, answers_of
from tests.support.governed_lab import Lab

QUERIES = (
    "with all_values as (select g as value_field, count(*) as n_records from s.t group by g) select * from all_values where value_field not in ('g0','g1') order by 1",
    "select count(*) as failures, count(*) != 0 as should_warn, count(*) != 0 as should_error from ( select id as unique_field, count(*) as n_records from s.t where id is not null group by id having count(*) > 1 ) dbt_internal_test",
    "with child as (select tid as from_field from s.o where tid is not null), parent as (select id as to_field from s.t) select from_field from child left join parent on child.from_field = parent.to_field where parent.to_field is null order by 1",
    "select md5(cast(coalesce(cast(id as TEXT), '_dbt_utils_surrogate_key_null_') || '-' || coalesce(cast(g as TEXT), '_dbt_utils_surrogate_key_null_') as TEXT)) as sk from s.t order by 1 limit 5",
    "with rawdata as (with p as (select 0 as generated_number union all select 1), unioned as (select p0.generated_number * power(2, 0) + p1.generated_number * power(2, 1) + 1 as generated_number from p as p0 cross join p as p1) select * from unioned where generated_number <= 4 order by generated_number) select (date_trunc('day', cast('2020-01-01' as date)) + ((interval '1 day') * (row_number() over (order by generated_number) - 1)))::date as date_day from rawdata",
    "select g, sum(case when name = '3' then 1 else 0 end) as \"3\", sum(case when name = '4' then 1 else 0 end) as \"4\" from s.t group by g order by g",
    '(select cast(\'s.o\' as TEXT) as _dbt_source_relation, cast("k" as BIGINT) as k, cast("g" as varchar) as g from s.o) union all (select cast(\'s.t\' as TEXT) as _dbt_source_relation, cast("id" as BIGINT) as k, cast("g" as varchar) as g from s.t) order by 1, 2, 3 limit 9',
    "with grouped_expression as (select regexp_instr is not null as expression from (select 1 as regexp_instr)) select * from grouped_expression where not(expression)",
    "with grouped_expression as (select ( 1=1 and count(*) >= 1 and count(*) <= 100000) as expression from s.t), validation_errors as (select * from grouped_expression where not(expression = true)) select * from validation_errors",
    "with relation_columns as (select cast('ID' as text) as relation_column, cast('BIGINT' as text) as relation_column_type union all select cast('G' as text), cast('VARCHAR' as text)) select * from relation_columns where relation_column in ('ID') order by 1",
    'select * from (select "num", avg("dec") as column_mean, stddev("dec") as sd from s.t group by 1) where abs(column_mean) > 3 * sd order by 1',
    "with metric_values as (select date_trunc('day', d) as metric_period, sum(dec) as agg_metric_value from s.t group by 1), metric_moving_calcs as (select metric_period, agg_metric_value, avg(agg_metric_value) over (order by metric_period rows between 7 preceding and 1 preceding) as rolling_avg from metric_values) select * from metric_moving_calcs where agg_metric_value > 2 * rolling_avg order by 1",
    "select max(d) as max_d, datediff('day', max(d), date '2021-06-01') as lag_days from s.t",
    "with lagged as (select id, ts, lag(ts) over (partition by g order by ts, id) as prev_ts from s.t), flagged as (select *, case when prev_ts is null or date_diff('minute', prev_ts, ts) > 30 then 1 else 0 end as is_new from lagged) select sum(is_new) from flagged",
    "select count(distinct case when num > 5 then id end) * 1.0 / nullif(count(distinct id), 0) as rate from s.t",
    'SELECT "T1"."g" AS "c0", SUM("T1"."dec") AS "m0" FROM "s"."t" AS "T1" LEFT OUTER JOIN "s"."o" AS "T2" ON ("T1"."id" = "T2"."tid") WHERE ("T2"."amt" > 5 OR "T2"."amt" IS NULL) GROUP BY "T1"."g" ORDER BY "m0" DESC NULLS LAST, "c0" ASC LIMIT 501',
    "SELECT TOP.g FROM (SELECT g, COUNT(1) AS cnt FROM s.t GROUP BY g ORDER BY cnt DESC, g LIMIT 3) TOP ORDER BY 1",
    'select "_"."g", sum("_"."dec") as "a0" from ( select "$Table"."id" as "id", "$Table"."g" as "g", "$Table"."dec" as "dec" from "s"."t" "$Table" ) "_" where "_"."dec" is not null group by "_"."g" order by 1',
    'select "rows"."g" as "g", count(1) as "count" from ( select "_"."g" from s.t "_" where upper("_"."name") = \'3\' ) "rows" group by "g" order by 1',
    'SELECT CAST("t"."ts" AS DATE) AS "__timestamp", "t"."g" AS "g", COUNT(*) AS "count", AVG("t"."dec") AS "AVG(dec)" FROM (SELECT * FROM s.t WHERE num > 1) AS "t" JOIN (SELECT "g" AS "g__", COUNT(*) AS "mme_inner__" FROM s.t GROUP BY "g" ORDER BY "mme_inner__" DESC, 1 LIMIT 2) AS "series_limit" ON "t"."g" = "series_limit"."g__" GROUP BY 1, 2 ORDER BY 1, 2 LIMIT 50',
    "SELECT DATE_TRUNC('month', ts) AS __timestamp, sum(dec) AS m FROM s.t WHERE ts >= CAST('2020-02-01T00:00:00.000000' AS TIMESTAMP) AND ts < CAST('2020-09-01T00:00:00.000000' AS TIMESTAMP) GROUP BY DATE_TRUNC('month', ts) ORDER BY m DESC, 1",
    "SELECT t.g AS \"t.g\", COALESCE(CAST( ( SUM(DISTINCT (CAST(FLOOR(COALESCE(t.dec ,0)*(1000000*1.0)) AS DECIMAL(38,0))) + CAST(('0x' || substr(md5(CAST(t.id AS varchar)),1,15))::BIGINT AS DECIMAL(38,0)) ) - SUM(DISTINCT CAST(('0x' || substr(md5(CAST(t.id AS varchar)),1,15))::BIGINT AS DECIMAL(38,0))) ) AS DOUBLE PRECISION) / CAST((1000000*1.0) AS DOUBLE PRECISION), 0) AS s FROM s.t LEFT JOIN s.o ON t.id = o.tid GROUP BY 1 ORDER BY 1",
    "SELECT t.id AS \"t.id\" FROM s.t AS t WHERE ((t.ts >= (TIMESTAMP '2020-03-01') AND t.ts < ((TIMESTAMP '2020-03-01' + (1 || ' month')::INTERVAL)))) ORDER BY 1",
    "SELECT g, GROUPING(g) AS grp, SUM(dec) FROM s.t GROUP BY ROLLUP(g) HAVING GROUPING(g) = 1 OR SUM(dec) > 10 ORDER BY 1, 2",
    "SELECT * FROM (SELECT g, name, sum(dec) AS s, rank() OVER (PARTITION BY g ORDER BY sum(dec) DESC, name) AS r FROM s.t GROUP BY g, name) WHERE r <= 2 ORDER BY g, r",
    "SELECT g, name, count(*) * 100.0 / sum(count(*)) OVER (PARTITION BY g) AS pct FROM s.t GROUP BY g, name ORDER BY ALL",
    "SELECT percentile_disc(0.9) WITHIN GROUP (ORDER BY dec) AS p90, percentile_cont(0.5) WITHIN GROUP (ORDER BY f) FROM s.t",
    "WITH RECURSIVE dates AS (SELECT DATE '2020-01-01' AS dt UNION ALL SELECT dt + 1 FROM dates WHERE dt < DATE '2020-01-10') SELECT dt, count(id) FROM dates LEFT JOIN s.t ON t.d = dates.dt GROUP BY dt ORDER BY dt",
    "SELECT gs.dt::date AS day, coalesce(sum(t.dec), 0) FROM generate_series(TIMESTAMP '2020-01-01', TIMESTAMP '2020-01-10', INTERVAL '1 day') AS gs(dt) LEFT JOIN s.t ON t.d = gs.dt::date GROUP BY 1 ORDER BY 1",
    "SELECT date_part('year', age(DATE '2024-01-01', d)) AS years, count(*) FROM s.t GROUP BY 1 ORDER BY 1",
    "SELECT strftime('%Y-%m', d) AS ym, monthname(d), dayname(d), week(d), yearweek(d) FROM s.t ORDER BY id LIMIT 5",
    "SELECT CASE WHEN ssn LIKE '***%' THEN 'masked' ELSE 'clear' END AS k, count(*) FROM s.t GROUP BY k",
    "SELECT right(ssn, 4) AS last4, count(*) FROM s.t GROUP BY 1 ORDER BY 1",
    "SELECT email, count(*) AS orders FROM s.t JOIN s.o ON o.tid = t.id GROUP BY email HAVING count(*) > 2 ORDER BY orders DESC, email LIMIT 5",
    "SELECT count(*) FROM s.t a JOIN s.t b ON a.email = b.email AND a.id < b.id",
    "SELECT lower(trim(name)) AS n, count(DISTINCT ssn) FROM s.t WHERE name ~ '^[0-3]$' GROUP BY 1 ORDER BY 1",
    "SELECT id, tags, unnest(tags) AS tag FROM s.t ORDER BY id, tag LIMIT 6",
    "SELECT tag, count(*) FROM (SELECT unnest(tags) AS tag FROM s.t) GROUP BY tag ORDER BY tag",
    "SELECT id, x.tag FROM s.t, LATERAL (SELECT unnest(t.tags) AS tag) x ORDER BY 1, 2 LIMIT 5",
    "SELECT json_extract_string(j, '$.a') AS a, count(*) FROM s.t GROUP BY 1 ORDER BY 1",
    "SELECT j->>'a' AS a, (j->>'a')::INT + 1 AS b FROM s.t WHERE (j->>'a')::INT > 0 ORDER BY id LIMIT 4",
    "SELECT info.a, info.n, count(*) FROM s.t GROUP BY ALL ORDER BY ALL",
    "SELECT list_aggregate(ii, 'sum') AS s, list_contains(tags, '2') FROM s.t ORDER BY id LIMIT 5",
    "SELECT g, list(DISTINCT name ORDER BY name) FROM s.t GROUP BY g ORDER BY g",
    "SELECT g, string_agg(DISTINCT name, ', ' ORDER BY name) FROM s.t GROUP BY g ORDER BY g",
    "SELECT g, arg_max(id, dec), max_by(name, id), first(name ORDER BY id) FROM s.t GROUP BY g ORDER BY g",
    "SELECT m['k'][1] AS v, count(*) FROM s.t GROUP BY 1 ORDER BY 1",
    "SELECT map_extract_value(m, 'k') AS v, cardinality(m) FROM s.t ORDER BY id LIMIT 3",
    "SELECT COLUMNS('^(id|num|dec)$') FROM s.t ORDER BY id LIMIT 3",
    "SELECT min(COLUMNS(['id', 'num'])), max(COLUMNS(['id', 'num'])) FROM s.t",
    "FROM s.t SELECT g, count(*) AS n GROUP BY g ORDER BY n DESC, g",
    "SELECT * FROM (PIVOT (SELECT g, name, dec FROM s.t) ON name IN ('0', '1', '2') USING sum(dec) GROUP BY g) ORDER BY g",
    "SELECT * FROM (UNPIVOT (SELECT id, num, num * 2 AS twice FROM s.t) ON num, twice INTO NAME k VALUE v) ORDER BY id, k LIMIT 4",
    "WITH p AS (PIVOT (SELECT g, num FROM s.t) ON g IN ('g0', 'g1') USING count(*)) SELECT g0 + g1 AS both FROM p WHERE g0 > 0",
    "SELECT t.id, o.k FROM s.t ASOF JOIN s.o ON t.id >= o.tid ORDER BY 1, 2 LIMIT 5",
    "SELECT id FROM s.t WHERE id IN (SELECT tid FROM s.o WHERE note = 'n1' AND amt > (SELECT avg(amt) FROM s.o)) ORDER BY id",
    "SELECT id FROM s.t WHERE NOT EXISTS (SELECT 1 FROM s.o WHERE o.tid = t.id) ORDER BY id LIMIT 4",
    "SELECT id FROM s.t ANTI JOIN s.o ON o.tid = t.id ORDER BY id LIMIT 4",
    "SELECT id FROM s.t WHERE (g, name) IN (SELECT g, '3' FROM s.o) ORDER BY id LIMIT 5",
    "SELECT g, sum(dec) FILTER (WHERE d >= DATE '2020-06-01') AS h2, sum(dec) FILTER (WHERE d < DATE '2020-06-01') AS h1 FROM s.t GROUP BY g ORDER BY g",
    "SELECT q, count(*) FROM (SELECT ntile(4) OVER (ORDER BY dec, id) AS q FROM s.t) GROUP BY q ORDER BY q",
    "SELECT floor(dec / 5) * 5 AS bucket, count(*) FROM s.t GROUP BY bucket ORDER BY bucket",
    "SELECT histogram(num) FROM s.t",
    "SELECT corr(num, dec), regr_slope(dec, num), covar_pop(num, dec) FROM s.t",
    "SELECT id, exp(ln(nullif(num, 0))) AS x FROM s.t WHERE num > 0 ORDER BY id LIMIT 3",
    "SELECT round(100.0 * sum(CASE WHEN num >= 5 THEN 1 ELSE 0 END) / count(*), 2) FROM s.t",
    "SELECT coalesce(memo, 'n/a') AS memo, count(*) FROM s.t GROUP BY 1",
    "SELECT ifnull(pay, 0) AS pay, nullif(name, '') FROM s.t ORDER BY id LIMIT 2",
    "SELECT id, name FROM s.t WHERE name ILIKE '%3%' AND d BETWEEN '2020-01-01' AND '2020-12-31' ORDER BY id LIMIT 5",
    "SELECT id FROM s.t WHERE ts > now() - INTERVAL '30 years' AND d < current_date ORDER BY id LIMIT 3",
    "SELECT id FROM s.t WHERE d >= date_trunc('year', DATE '2020-05-05') AND d < date_trunc('year', DATE '2020-05-05') + INTERVAL 1 YEAR ORDER BY id LIMIT 3",
    "SELECT d, sum(sum(dec)) OVER (ORDER BY d) AS running FROM s.t GROUP BY d ORDER BY d LIMIT 5",
    "SELECT d, avg(dec) OVER (ORDER BY d RANGE BETWEEN INTERVAL 6 DAYS PRECEDING AND CURRENT ROW) AS a FROM (SELECT d, sum(dec) AS dec FROM s.t GROUP BY d) ORDER BY d LIMIT 5",
    "SELECT g, dec, dec - first_value(dec) OVER w AS diff, last_value(dec) OVER w FROM s.t WINDOW w AS (PARTITION BY g ORDER BY id) ORDER BY g, id LIMIT 5",
    "WITH cohort AS (SELECT g, min(date_trunc('month', d)) AS c FROM s.t GROUP BY g) SELECT c, date_diff('month', c, date_trunc('month', t.d)) AS n, count(DISTINCT t.id) FROM s.t JOIN cohort USING (g) GROUP BY 1, 2 ORDER BY 1, 2 LIMIT 6",
    "SELECT a.g, a.n - coalesce(b.n, 0) AS delta FROM (SELECT g, count(*) AS n FROM s.t GROUP BY g) a LEFT JOIN (SELECT g, count(*) AS n FROM s.o GROUP BY g) b ON a.g = b.g ORDER BY 1",
    "SELECT count(*) FROM (SELECT * FROM s.t USING SAMPLE 10 ROWS)",
    "SELECT DISTINCT ON (g) g, id, dec FROM s.t ORDER BY g, dec DESC, id",
    'SELECT id AS "ID", g AS "Group Name", dec AS "Amount ($)" FROM s.t ORDER BY "ID" LIMIT 2',
    'SELECT "Group Name", sum("Amount") FROM (SELECT g AS "Group Name", dec AS "Amount" FROM s.t) GROUP BY 1 HAVING sum("Amount") > 10 ORDER BY 1',
    "SELECT t.g, o.note, sum(o.amt) FROM s.t JOIN s.o ON o.tid = t.id WHERE o.note IN ('n1', 'n2') AND t.d > '2020-01-01' GROUP BY GROUPING SETS ((t.g, o.note), (t.g), ()) ORDER BY ALL",
    "SELECT hash(id) % 10 AS bucket, count(*) FROM s.t GROUP BY 1 ORDER BY 1",
    "SELECT id, CASE name WHEN '1' THEN 'one' WHEN '2' THEN 'two' ELSE 'many' END AS w FROM s.t ORDER BY id LIMIT 3",
    "SELECT id, format('{} - {}', g, name), printf('%05d', id), concat_ws('/', g, name) FROM s.t ORDER BY id LIMIT 3",
    "SELECT split_part(g || '-' || name, '-', 2) AS p, count(*) FROM s.t GROUP BY p ORDER BY p",
    "SELECT regexp_extract(g, 'g(\\d)', 1)::INT AS n, count(*) FROM s.t GROUP BY 1 ORDER BY 1",
    "SELECT regexp_replace(name, '[0-9]', 'x', 'g') AS x, count(*) FROM s.t GROUP BY 1",
    "SELECT TRY_CAST(name AS INT) AS n, sum(dec) FROM s.t WHERE TRY_CAST(name AS INT) > 2 GROUP BY 1 ORDER BY 1",
    "SELECT last_day(d), date_add(d, INTERVAL 1 MONTH), d - INTERVAL 7 DAY FROM s.t ORDER BY id LIMIT 2",
    "SELECT count(*) FROM s.t WHERE ts::TIME >= TIME '00:00:00' AND extract(isodow FROM d) IN (6, 7)",
    "SELECT tz AT TIME ZONE 'Europe/Berlin' AS local, timezone('UTC', tz) FROM s.t ORDER BY id LIMIT 1",
    "SELECT id, t FROM s.h t ORDER BY id LIMIT 2",
    "SELECT to_json(h) FROM s.h ORDER BY id LIMIT 2",
    "SELECT h.* FROM s.h WHERE h.id = 3",
    "SELECT s.h.v, count(*) FROM s.h GROUP BY s.h.v ORDER BY 1",
    "SELECT * FROM s.h ORDER BY 1, 2 LIMIT 3 OFFSET 2",
    "SELECT id FROM s.h EXCEPT SELECT tid FROM s.o ORDER BY 1",
    "TABLE s.h ORDER BY id LIMIT 1",
    "SELECT (SELECT count(*) FROM s.t) AS total, (SELECT count(*) FROM s.o) AS orders",
    "SELECT 1 AS ok WHERE EXISTS (SELECT 1 FROM s.t)",
    "SELECT x, y FROM (VALUES (1, 'a'), (2, 'b')) v(x, y) JOIN s.h ON h.id = v.x ORDER BY 1",
    "WITH params(lo, hi) AS (VALUES (3, 8)) SELECT count(*) FROM s.t, params WHERE num BETWEEN lo AND hi",
    "WITH a AS MATERIALIZED (SELECT * FROM s.t WHERE num > 3), b AS (SELECT g, count(*) AS n FROM a GROUP BY g) SELECT a.g, b.n, count(*) FROM a JOIN b USING (g) GROUP BY ALL ORDER BY ALL",
    "SELECT g, count(*) AS n, bar(count(*), 0, 400, 10) FROM s.t GROUP BY g ORDER BY g",
    "SELECT g, sum(dec) AS total FROM s.t GROUP BY g ORDER BY total DESC, g FETCH FIRST 2 ROWS ONLY",
    "SELECT sum(dec)::DECIMAL(18,2) AS s, avg(dec)::DECIMAL(10,4), cast(count(*) AS INTEGER) FROM s.t",
    "SELECT id % 2 = 0 AS even, count(*) FROM s.t GROUP BY even ORDER BY even",
    "SELECT bool_or(num > 9), bool_and(num >= 0), count_if(num > 5) FROM s.t",
    "SELECT g, mode(name), entropy(name) FROM s.t GROUP BY g ORDER BY g",
    "SELECT DATE_DIFF('day', MIN(d), MAX(d)) + 1 AS span FROM s.t",
    "SELECT approx_count_distinct(id) > 0 FROM s.t",
    "SELECT id, row_number() OVER (ORDER BY id) - dense_rank() OVER (ORDER BY d) AS island FROM s.t ORDER BY id LIMIT 3",
    "SELECT count(*) FROM s.t WHERE array_length(tags) = 2 AND len(ii) = 2 AND tags[1] = '1'",
    "SELECT list_transform(ii, lambda x: x * 2) AS dbl, [y + 1 for y in ii if y > 0] FROM s.t ORDER BY id LIMIT 2",
    "SELECT struct_pack(k := g, v := name) AS s FROM s.t ORDER BY id LIMIT 1",
    "SELECT typeof(pay), typeof(ssn), typeof(info) FROM s.t LIMIT 1",
    "SUMMARIZE SELECT id, num FROM s.t",
    "DESCRIBE SELECT g, count(*) FROM s.t GROUP BY g",
    "SELECT column_name FROM (DESCRIBE s.t) ORDER BY 1 LIMIT 2",
    "SELECT pg_typeof(id) FROM s.t LIMIT 1",
)


@pytest.fixture(scope="module")
def twin(tmp_path_factory: pytest.TempPathFactory) -> Twin:
    return Twin(tmp_path_factory.mktemp("packages"), "A", 1)


@pytest.fixture(scope="module")
def permitted(twin: Twin) -> Lab:
    return twin.permitted()


@pytest.mark.parametrize("sql", QUERIES)
def test_what_packages_write_runs_and_is_exact(twin: Twin, permitted: Lab, sql: str) -> None:
    seen, wanted = twin.ask(sql), answers_of(permitted, sql)
    assert seen.error == ""
    assert seen.columns == wanted.columns
    assert sorted(map(repr, seen.rows)) == sorted(map(repr, wanted.rows))
