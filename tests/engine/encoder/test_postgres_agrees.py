# ruff: noqa: E501 - tables of cases read better on one line
"""The same value asked of DuckDB through the encoder and of a real PostgreSQL 15: same bytes, oid, size and typmod."""

from __future__ import annotations

from collections.abc import Iterator
from unittest.mock import patch

import psycopg
import pytest

from engine.encoder.types import TEXT
from tests.engine.encoder.rows import columns_of, connection, copied, messages, rows, value
from tests.support.postgres15 import missing, running_postgres

if missing():
    pytest.skip(missing(), allow_module_level=True)


@pytest.fixture(scope="module")
def postgres() -> Iterator[psycopg.Connection]:
    with running_postgres() as server, psycopg.connect(server.dsn, autocommit=True) as opened:
        yield opened


@pytest.fixture(scope="module")
def duck():
    with connection() as opened:
        yield opened


def same(expression: str, postgres: str = "") -> object:
    return pytest.param(expression, postgres or expression, id=expression[:70])


_NUMERICS = [
    "0", "-0.00", "1", "-1", "0.01", "-0.01", "0.0001", "9999", "10000", "10000.5", "12345678.9", "99999999.9999",
    "100000000", "0.00001", "1234567890123.12", "-1234567890123456.78", "20000", "200000000.0001",
]  # fmt: skip
_WIDE = ["0", "1", "-1", "99999999999999999999.123456789", "-0.000000001", "1000000000000000000000000000", "10000.0001"]
_FLOATS = [
    "0", "-0.0", "1", "-1.5", "0.1", "1e-4", "1e-5", "9.99e-5", "123456", "1e6", "1234567", "999999", "1e14", "1e15", "1e16",
    "123456789012345", "1234567890123456", "123456789012345678", "1e20", "1e22", "1.7976931348623157e308", "5e-324",
    "2.2250738585072014e-308", "3.141592653589793", "0.30000000000000004", "100000", "1e-10", "123456.789", "999999999999999.9",
]  # fmt: skip
_REALS = [
    "0",
    "1",
    "-1.5",
    "0.1",
    "1e-4",
    "1e-5",
    "999999",
    "1e6",
    "1234567",
    "16777216",
    "3.4028235e38",
    "1e-45",
    "3.14159274",
]
_MOMENTS = [
    "2020-02-29 01:02:03.000001", "1970-01-01 00:00:00", "1969-12-31 23:59:59.999999", "0001-01-01 00:00:00",
    "9999-12-31 23:59:59.5", "1582-10-04 12:00:00", "2000-01-01 00:00:00.1", "2024-12-31 24:00:00",
]  # fmt: skip
_INTERVALS = [
    "0 days", "1 year", "-1 year", "14 months", "-14 months", "1 day", "-1 days", "3 days 04:05:06", "1 month -1 day",
    "-1 month 1 day 00:00:01", "1 year 2 months -3 days 04:05:06.789", "-00:00:01", "100:00:00", "1 day -00:00:00.5",
    "2 years -1 day 01:00:00", "00:00:00.000001",
]  # fmt: skip
CASES = [
    *(same(f"CAST({v} AS {t})") for t in ("SMALLINT", "INTEGER", "BIGINT") for v in ("0", "7", "-7", "32767", "-32768")),
    same("CAST(2147483647 AS INTEGER)"),
    same("CAST('-2147483648' AS INTEGER)"),
    same("CAST(9223372036854775807 AS BIGINT)"),
    same("CAST('-9223372036854775808' AS BIGINT)"),
    same("CAST(200 AS UTINYINT)", "200::int2"),
    same("CAST(-100 AS TINYINT)", "(-100)::int2"),
    same("CAST(65535 AS USMALLINT)", "65535::int4"),
    same("CAST(4294967295 AS UINTEGER)", "4294967295::int8"),
    *(
        same(f"CAST('{v}' AS {t})", f"CAST('{v}' AS numeric)")
        for t in ("UBIGINT", "HUGEINT", "UHUGEINT", "BIGNUM")
        for v in ("0", "1", "10000", "123456789", "18446744073709551615")
    ),
    same(
        "CAST('-170141183460469231731687303715884105727' AS HUGEINT)",
        "CAST('-170141183460469231731687303715884105727' AS numeric)",
    ),
    same(
        "CAST('340282366920938463463374607431768211455' AS UHUGEINT)",
        "CAST('340282366920938463463374607431768211455' AS numeric)",
    ),
    same(
        "CAST('-123456789012345678901234567890123456789012345678901234567890' AS BIGNUM)",
        "CAST('-123456789012345678901234567890123456789012345678901234567890' AS numeric)",
    ),
    *(same(f"CAST('{v}' AS DECIMAL(18,4))") for v in _NUMERICS if len(v.split(".")[0].lstrip("-")) <= 14),
    *(same(f"CAST('{v}' AS DECIMAL(18,2))") for v in _NUMERICS),
    *(same(f"CAST('{v}' AS DECIMAL(38,9))") for v in [*_NUMERICS, *_WIDE]),
    *(same(f"CAST('{v}' AS DECIMAL({p}))") for v in ("0", "-1", "9999") for p in ("4,0", "9,1", "18,0", "38,0", "37,3")),
    same("CAST('0.12345678901234567890123456789012345678' AS DECIMAL(38,38))"),
    same("CAST('-0.123456789012345678' AS DECIMAL(18,18))"),
    *(same(f"CAST('{v}' AS DOUBLE)", f"CAST('{v}' AS float8)") for v in [*_FLOATS, "NaN", "Infinity", "-Infinity"]),
    *(same(f"CAST('{v}' AS FLOAT)", f"CAST('{v}' AS float4)") for v in [*_REALS, "NaN", "Infinity", "-Infinity"]),
    same("true"),
    same("false"),
    same("CAST('' AS VARCHAR)", "''::text"),
    same("CAST('héllo wörld ☃' AS VARCHAR)", "'héllo wörld ☃'::text"),
    same("CAST('a' AS ENUM('a', 'b'))", "'a'::text"),
    same(r"'\x00\xFE\xFFab'::BLOB", r"'\x00feff6162'::bytea"),
    same("''::BLOB", "''::bytea"),
    *(same(f"DATE '{v[:10]}'") for v in _MOMENTS),
    *(same(f"CAST('{v}' AS DATE)") for v in ("infinity", "-infinity")),
    same("CAST('0044-03-15 (BC)' AS DATE)", "CAST('0044-03-15 BC' AS date)"),
    same("CAST('4713-01-01 (BC)' AS DATE)", "CAST('4713-01-01 BC' AS date)"),
    same("CAST('12345-06-07' AS DATE)", "CAST('12345-06-07' AS date)"),
    *(same(f"TIME '{v}'") for v in ("00:00:00", "23:59:59.999999", "12:30:00.5", "24:00:00")),
    *(same(f"CAST('{v}' AS TIMETZ)") for v in ("01:02:03+02", "01:02:03.5-08", "00:00:00+05:30", "12:00:00+00")),
    *(same(f"TIMESTAMP '{v}'") for v in _MOMENTS),
    *(same(f"CAST('{v}' AS TIMESTAMP)") for v in ("infinity", "-infinity")),
    same("CAST('0044-03-15 (BC) 01:02:03.5' AS TIMESTAMP)", "CAST('0044-03-15 01:02:03.5 BC' AS timestamp)"),
    same("CAST('12345-06-07 01:02:03' AS TIMESTAMP)", "CAST('12345-06-07 01:02:03' AS timestamp)"),
    same("CAST('2020-01-01 00:00:01' AS TIMESTAMP_S)", "'2020-01-01 00:00:01'::timestamp"),
    same("CAST('2020-01-01 00:00:01.25' AS TIMESTAMP_MS)", "'2020-01-01 00:00:01.25'::timestamp"),
    same("CAST('1960-01-01 00:00:01.123456789' AS TIMESTAMP_NS)", "'1960-01-01 00:00:01.123456'::timestamp"),
    *(same(f"CAST('infinity' AS TIMESTAMP_{u})", "'infinity'::timestamp") for u in ("S", "MS", "NS")),
    *(same(f"CAST('{v}+00' AS TIMESTAMPTZ)") for v in _MOMENTS),
    *(same(f"CAST('{v}' AS TIMESTAMPTZ)") for v in ("infinity", "-infinity")),
    same("CAST('0044-03-15 (BC) 01:02:03+00' AS TIMESTAMPTZ)", "CAST('0044-03-15 01:02:03+00 BC' AS timestamptz)"),
    *(same(f"INTERVAL '{v}'") for v in _INTERVALS),
    same("to_microseconds(9223372036854775807)", "INTERVAL '9223372036854.775807 seconds'"),
    same("INTERVAL '300 years' + to_hours(2562047788)", "INTERVAL '300 years 2562047788 hours'"),
    same("CAST('A0EEBC99-9c0b-4ef8-bb6d-6bb9bd380a11' AS UUID)"),
    *(same(f"CAST('{v}' AS JSON)") for v in ('{"a": [1, 2.50, null]}', "null", '"x"', "12345678901234567890.5")),
    *(same(f"CAST('{v}' AS BIT)", f"CAST('{v}' AS varbit)") for v in ("0", "1", "10101010", "101010101", "0000000000000001")),
    same("CAST([1, NULL, 3] AS INTEGER[])", "'{1,NULL,3}'::int4[]"),
    same("CAST([] AS INTEGER[])", "'{}'::int4[]"),
    same("CAST([1, 2] AS SMALLINT[2])", "'{1,2}'::int2[]"),
    same("CAST([1, 2] AS BIGINT[])", "'{1,2}'::int8[]"),
    same("CAST([1, -2] AS HUGEINT[])", "'{1,-2}'::numeric[]"),
    same("CAST([1.5, NULL, -20000.25] AS DECIMAL(10,2)[])", "'{1.5,NULL,-20000.25}'::numeric(10,2)[]"),
    same("CAST([1.5, 'NaN', '-inf', 1e15] AS DOUBLE[])", "'{1.5,NaN,-Infinity,1e15}'::float8[]"),
    same("CAST([1.5, 1e6] AS FLOAT[])", "'{1.5,1e6}'::float4[]"),
    same("[true, false, NULL]", "'{t,f,NULL}'::bool[]"),
    same(
        r"""['a b', '', 'null', NULL, 'NULLs', 'x"y', 'back\slash', '{', '}', 'a,b', 'plain', e'tab\t', chr(11), ' nbsp ']""",
        r"""ARRAY['a b', '', 'null', NULL, 'NULLs', 'x"y', 'back\slash', '{', '}', 'a,b', 'plain', e'tab\t', chr(11), ' nbsp ']""",
    ),
    same(r"['\x01'::BLOB, ''::BLOB]", r"ARRAY['\x01'::bytea, '']"),
    same("[DATE '2020-01-01', 'infinity'::DATE]", "'{2020-01-01,infinity}'::date[]"),
    same("[TIMESTAMP '2020-01-01 00:00:00', 'infinity'::TIMESTAMP]", "'{2020-01-01,infinity}'::timestamp[]"),
    same("['2020-01-01 00:00:00+00'::TIMESTAMPTZ]", "ARRAY['2020-01-01 00:00:00+00'::timestamptz]"),
    same("[TIME '01:02:03.5']", "ARRAY[TIME '01:02:03.5']"),
    same("['01:02:03+02'::TIMETZ]", "ARRAY['01:02:03+02'::timetz]"),
    same("[INTERVAL '1 day 02:00:00', NULL]", "ARRAY[INTERVAL '1 day 02:00:00', NULL]"),
    same(
        "['a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::UUID, NULL]", "ARRAY['a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid, NULL]"
    ),
    same("""['{"a": "b c"}'::JSON, 'null'::JSON]""", """ARRAY['{"a": "b c"}'::json, 'null']"""),
    same("['101'::BIT]", "ARRAY['101'::varbit]"),
    same("CAST(NULL AS INTEGER)"),
    same("CAST(NULL AS DECIMAL(10,2))"),
    same("CAST(NULL AS INTERVAL)"),
    same("CAST(NULL AS VARCHAR[])", "CAST(NULL AS text[])"),
]  # fmt: skip


@pytest.mark.parametrize("format_", [0, 1], ids=["text", "binary"])
@pytest.mark.parametrize(("expression", "theirs"), CASES)
def test_a_value_is_the_same_bytes(
    postgres: psycopg.Connection, duck, expression: str, theirs: str, format_: int
) -> None:
    answer = postgres.pgconn.exec_params(f"SELECT {theirs}".encode(), [], result_format=format_)
    assert not answer.error_message, answer.error_message
    assert value(duck, expression, format_) == answer.get_value(0, 0)
    with patch("engine.encoder.plan.FEW_ROWS", 0):
        assert value(duck, expression, format_) == answer.get_value(0, 0)
    (column,) = columns_of(duck, f"SELECT {expression}")
    assert column.oid == answer.ftype(0)
    assert column.size == answer.fsize(0)
    if answer.fmod(0) != -1 and column.oid != TEXT:
        assert column.typmod == answer.fmod(0)


@pytest.mark.parametrize("form", ["hex", "escape"])
def test_bytes_stand_in_the_session_form(postgres: psycopg.Connection, duck, form: str) -> None:
    postgres.execute(f"SET bytea_output = '{form}'".encode())
    every = bytes(range(256)).hex()
    try:
        theirs = postgres.execute(f"SELECT v::text FROM (VALUES ('\\x{every}'::bytea), ('')) t(v)".encode()).fetchall()
        listed = postgres.execute(f"SELECT ARRAY['\\x{every}'::bytea, '', NULL]::text".encode()).fetchone()
    finally:
        postgres.execute("RESET bytea_output")
    ours = rows(duck, f"SELECT v FROM (VALUES (unhex('{every}')), (''::BLOB)) t(v)", bytea_output=form)
    assert [(row[0].decode(),) for row in ours] == theirs
    assert [(row[0].decode(),) for row in rows(duck, f"SELECT [unhex('{every}'), '', NULL]", bytea_output=form)] == [
        listed
    ]


@pytest.mark.parametrize("style", ["postgres", "iso_8601"])
def test_intervals_stand_in_the_session_style(postgres: psycopg.Connection, duck, style: str) -> None:
    written = [
        "1 year 2 mons -3 days 04:05:06.7", "0", "-1 day", "-04:05:06.007", "14 mons", "-14 mons 2 days", "100 hours",
        "0.000001 s", "-0.5 s", "-1 year -1 mon -1 day -00:00:01", "3 mons 00:01", "-59 s",
    ]  # fmt: skip
    listed = ", ".join(f"(INTERVAL '{text}')" for text in written)
    postgres.execute(f"SET IntervalStyle = '{style}'".encode())
    try:
        theirs = [row[0] for row in postgres.execute(f"SELECT v::text FROM (VALUES {listed}) AS t(v)".encode())]
    finally:
        postgres.execute("RESET IntervalStyle")
    ours = [row[0] for row in rows(duck, f"SELECT v FROM (VALUES {listed}) AS t(v)", interval_style=style)]
    assert [text.decode() for text in ours if text is not None] == theirs
    ((listed_alone,),) = rows(duck, "SELECT [INTERVAL '1 day 02:00:00']", interval_style=style)
    assert listed_alone == {"postgres": b'{"1 day 02:00:00"}', "iso_8601": b"{P1DT2H}"}[style]


@pytest.mark.parametrize(
    "zone",
    [
        "UTC", "Europe/Berlin", "America/St_Johns", "Asia/Kathmandu", "Africa/Monrovia", "+05:30", "<-07>+07", "GMT-2",
        "UTC+3", "<+02>-02", "+02:00:00",
    ],
)  # fmt: skip
def test_instants_stand_in_the_session_time_zone(postgres: psycopg.Connection, duck, zone: str) -> None:
    moments = [
        "2024-03-31 00:59:59.999999+00", "2024-03-31 01:00:00+00", "2024-10-27 00:59:59+00", "2024-10-27 01:00:00+00",
        "1850-01-01 00:00:00+00", "1972-01-06 23:00:00+00", "2040-07-01 12:00:00+00",
    ]  # fmt: skip
    listed = ", ".join(f"('{m}'::timestamptz)" for m in moments)
    postgres.execute(f"SET TimeZone = '{zone}'".encode())
    try:
        theirs = [row[0] for row in postgres.execute(f"SELECT v::text FROM (VALUES {listed}) AS t(v)".encode())]
    finally:
        postgres.execute("RESET TimeZone")
    ours = [row[0] for row in rows(duck, f"SELECT v FROM (VALUES {listed}) AS t(v)", timezone=zone)]
    assert [text.decode() for text in ours if text is not None] == theirs


_COPY_ROWS = r"""(VALUES
    (1, 'plain', 1.50, true, DATE '2020-01-01', TIMESTAMP '2020-01-01 01:02:03.5'),
    (NULL, NULL, NULL, NULL, NULL, NULL),
    (-3, '', -0.01, false, DATE '1999-12-31', TIMESTAMP '1999-12-31 00:00:00'),
    (4, e'tab\tnew\nline\rback\\slash', 0, true, NULL, NULL),
    (5, 'quote"comma,', 100, false, DATE '2020-02-02', TIMESTAMP '2020-02-02 00:00:00'),
    (6, '\N', 1, true, NULL, NULL), (7, 'ünï|code;', 1, NULL, NULL, NULL), (8, '\.', 1, NULL, NULL, NULL)
) AS t("id", "te,xt", n, b, d, ts)"""


@pytest.mark.parametrize(
    ("format_", "options", "clause"),
    [
        ("text", {}, ""),
        ("text", {"delimiter": "|", "null": "NUL", "header": "on"}, "(DELIMITER '|', NULL 'NUL', HEADER)"),
        ("text", {"delimiter": "-"}, "(DELIMITER '-')"),
        ("csv", {}, "(FORMAT csv)"),
        ("csv", {"header": "on", "force_quote": "*"}, "(FORMAT csv, HEADER, FORCE_QUOTE *)"),
        (
            "csv",
            {"delimiter": ";", "quote": "'", "escape": "\\"},
            r"(FORMAT csv, DELIMITER ';', QUOTE '''', ESCAPE '\')",
        ),
        ("csv", {"null": "1"}, "(FORMAT csv, NULL '1')"),
        ("csv", {"delimiter": "0"}, "(FORMAT csv, DELIMITER '0')"),
        ("binary", {}, "(FORMAT binary)"),
    ],
    ids=str,
)
@pytest.mark.parametrize("shape", ["all", "one", "none"])
def test_copy_is_the_same_bytes(
    postgres: psycopg.Connection, duck, format_: str, options: dict[str, str], clause: str, shape: str
) -> None:
    everything = '"id", "te,xt", n::DECIMAL(5,2) AS n, b, d, ts'
    wanted = {"all": everything, "one": '"te,xt"', "none": everything}[shape]
    query = f"SELECT {wanted} FROM {_COPY_ROWS}" + (" WHERE false" if shape == "none" else "")
    with postgres.cursor().copy(f"COPY ({query}) TO STDOUT {clause}".encode()) as copy:
        theirs = [bytes(data) for data in copy]
    assert messages(copied(duck, query, format_, options, batch=2048), b"d") == theirs
