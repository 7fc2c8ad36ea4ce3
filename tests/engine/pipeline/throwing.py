# ruff: noqa: E501
"""Expressions that throw on some value: each is harmless on the visible rows and fails on a hidden one."""

THROWING = (
    # casts
    "t::INTEGER >= 0", "CAST(t AS BIGINT) > 0", "t::DOUBLE >= 0", "t::DECIMAL(8,2) >= 0", "t::DATE IS NOT NULL",
    "d2::DATE > DATE '1900-01-01'", "d2::TIMESTAMP IS NOT NULL", "t::BOOLEAN IS NOT NULL OR t = t", "t::UUID IS NULL OR t = t",
    "big::INTEGER >= 0", "big::SMALLINT >= 0", "big::TINYINT >= -128", "big::UTINYINT >= 0", "big::UBIGINT >= 0",
    "amt::SMALLINT >= 0", "amt::TINYINT >= 0", "amt::DECIMAL(6,2) >= 0", "f::INTEGER >= 0", "f::BIGINT >= 0",
    "f::DECIMAL(9,2) >= 0", "ts::TIMESTAMP_NS IS NOT NULL", "dt::TIMESTAMP_NS IS NOT NULL", "j::JSON IS NOT NULL",
    "t::INTEGER[] IS NULL OR true", "{'a': t}::STRUCT(a INTEGER) IS NOT NULL", "[t]::INTEGER[] IS NOT NULL", "MAP {'k': t}::MAP(VARCHAR, INTEGER) IS NOT NULL",
    "blobby::BLOB IS NOT NULL", "t::TIME IS NULL OR true", "t::INTERVAL IS NULL OR true",
    # implicit casts
    "t = 1", "t > 0", "t IN (1, 2, 3)", "t BETWEEN 0 AND 100", "t = id", "coalesce(t, 5) = 5", "t <> big", "CASE WHEN id > 0 THEN t ELSE 1 END = 1",
    "dt < ts", "big = f::BIGINT", "t + 1 > 0", "NOT (t = 1)", "(t, id) = (1, 1)",
    # arithmetic
    "big + 9223372036854775000 > 0", "big * big >= 0", "-big <= 0", "-neg >= 0", "abs(neg) >= 0", "neg // -1 >= 0", "neg * -1 >= 0", "neg - 1 <= 0", "sign(neg) >= -1", "abs(big) >= 0", "amt * 1000000 >= 0", "big - 9223372036854775000 < 0",
    "id * 2000000000 > -1", "factorial(id::INTEGER % 5) > 0 AND big + 9223372036854775807 > 0", "(big << 8) >= 0", "gcd(big, 2) >= 0", "lcm(big, 9007199254740993) >= 0",
    "big % 7 >= -7 AND big ** 40 >= 0", "exp(f) >= 0", "ln(pos) > -1e9", "log10(pos) > -1e9", "sqrt(pos) >= 0", "acos(unit) >= 0", "asin(unit) >= -2", "gamma(pos) > -1e9", "round(amt, 2) * 100000000 >= 0",
    # text and regex
    "regexp_matches('x', pat)", "t SIMILAR TO pat", "regexp_replace('x', pat, 'y') = 'x' OR true", "regexp_extract('x', pat) = '' OR true", "len(string_split_regex('x', pat)) >= 0",
    "like_escape('x', 'x', esc)", "'a' LIKE 'a' ESCAPE esc", "chr(id::INTEGER + big::INTEGER) <> 'zz'", "decode(blobby::BLOB) <> ''", "unhex(hexy) IS NOT NULL", "from_base64(b64) IS NOT NULL",
    "format(fmt, 1) <> ''", "printf(fmt2, 1) <> ''", "hamming(t, '1') >= 0", "mismatches(t, '1') >= 0", "unbin(hexy) IS NOT NULL",
    # dates
    "strptime(t, '%d') IS NOT NULL", "strftime(ts, sf) <> ''", "date_trunc(part, ts) IS NOT NULL", "date_part(part, ts) >= 0", "ts + INTERVAL (big) YEAR IS NOT NULL",
    "make_date(2020, mon, 1) IS NOT NULL", "make_timestamp(2020, mon, 1, 1, 1, 1) IS NOT NULL", "epoch_ns(ts) <> 1", "to_timestamp(f) IS NOT NULL", "to_years(id) + dt IS NOT NULL AND big::INTEGER > 0",
    "age(ts, TIMESTAMP '2000-01-01') IS NOT NULL", "time_bucket(INTERVAL (mon) MONTH, dt) IS NOT NULL", "ts AT TIME ZONE zone IS NOT NULL", "dt + mon * 1000000 IS NOT NULL", "ts - INTERVAL (big) DAY IS NOT NULL", "last_day(dt) IS NOT NULL",
    # JSON, lists, others
    "json_extract(j, '$.a') IS NULL OR true", "(j->>'$.a') IS NULL OR true", "json_extract('{}', jp) IS NULL", "json_array_length(j) >= 0", "json_type(j) IS NOT NULL", "json_keys(j) IS NOT NULL OR true", "from_json(j, '\"INTEGER\"') IS NULL OR true",
    "list_extract([1,2], big) IS NULL OR true", "substring('abc', big::INTEGER) <> 'q'", "array_slice([1], id, big) IS NOT NULL", "list_aggregate([1], agg) >= 0", "list_sort([1], ord) IS NOT NULL",
    "union_extract(union_value(a := t), 'a')::INTEGER >= 0", "list_transform([t], lambda x: x::INTEGER)[1] >= 0", "[x::INTEGER FOR x IN [t]][1] >= 0", "list_filter([t], lambda x: x::INTEGER > 0) IS NOT NULL", "struct_pack(a := t::INTEGER).a >= 0",
    "bit_count(t::BIT) >= 0", "get_bit(t::BIT, 0) >= 0", "t::HUGEINT >= 0", "t.upper()::INTEGER >= 0", "greatest(t, 1) >= 0", "nullif(t, 1) IS NULL OR true", "setb::BIT IS NOT NULL",
)  # fmt: skip

UPON_NULL = (
    "CASE WHEN t IS NULL THEN 'abc'::INTEGER ELSE 1 END = 1", "CAST(coalesce(region, 'x') AS INTEGER) > 0 OR region = 'emea'", "CASE WHEN region = 'emea' THEN true ELSE 'abc'::INTEGER = 1 END",
    "'abc'::INTEGER = 1", "id = 'abc'::INTEGER", "id > 9223372036854775807 + id * 0 + 1", "regexp_matches('x', '(')", "strptime('x', '%d') IS NOT NULL", "substring(t, 1, 99999999999) = 'x'",
    "coalesce(t, 'q')::INTEGER > 0", "id IS NULL AND 'a'::INTEGER = 1", "(id IS NULL)::VARCHAR::INTEGER >= 0", "json_extract(coalesce(t, '{'), '$.a') IS NULL", "[t, 'x'][2]::INTEGER = 1", "region = 'emea' OR 'abc'::INTEGER = 1",
    "list_transform([t], lambda x: coalesce(x, 'y')::INTEGER)[1] > 0", "t IS NULL AND (SELECT 'abc'::INTEGER) = 1", "EXISTS (SELECT 1 WHERE coalesce(t, 'q')::INTEGER > 0)", "dt >= '2020-99-01'::DATE", "id IN (1, 'x'::INT)",
)  # fmt: skip
"""Expressions that throw on constants, or on NULLs such as a guard makes: they tell that hidden rows are there."""

PLACES = {
    "select": "SELECT bool_and({e}) FROM s.t",
    "lateral": "SELECT count(*) FROM s.t, LATERAL (SELECT ({e}) AS probe) x WHERE probe",
    "union": "SELECT count(*) FROM (SELECT true AS p UNION ALL SELECT ({e}) FROM s.t) WHERE p",
    "in": "SELECT count(*) FROM s.t WHERE ({e}) IN (SELECT true)",
    "exists": "SELECT count(*) FROM s.t WHERE EXISTS (SELECT 1 FROM (VALUES (1)) v(one) WHERE {e})",
    "order": "SELECT id FROM s.t ORDER BY ({e}), id LIMIT 3",
    "group": "SELECT ({e}) AS g, count(*) FROM s.t GROUP BY 1 HAVING g ORDER BY ALL",
    "unpivot": "SELECT count(*) FROM (UNPIVOT (SELECT id, ({e})::VARCHAR AS probe FROM s.t) ON probe INTO NAME n VALUE v) WHERE v = 'true'",
    "where": "SELECT count(*) FROM s.t WHERE {e}",
    "derived": "SELECT count(*) FROM (SELECT * FROM s.t) q WHERE {e}",
    "alias": "SELECT count(*) FROM (SELECT ({e}) AS probe FROM s.t) q WHERE probe",
    "having": "SELECT count(*) FROM (SELECT 1 FROM s.t GROUP BY ALL HAVING bool_and({e})) q",
    "cte": "WITH c AS (SELECT *, ({e}) AS probe FROM s.t) SELECT count(*) FROM c WHERE probe",
    "join": "SELECT count(*) FROM s.t JOIN (VALUES (true)) v(x) ON ({e}) = v.x",
    "filter": "SELECT count(*) FILTER (WHERE {e}) FROM s.t",
    "and": "SELECT count(*) FROM s.t WHERE id >= 0 AND region = 'emea' AND ({e})",
}
