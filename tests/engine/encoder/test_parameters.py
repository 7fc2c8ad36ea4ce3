# ruff: noqa: E501 - tables of cases read better on one line
"""Parameters as clients send them: psycopg's own dumpers and asyncpg's habits, text and binary; malformed ones refused."""

from __future__ import annotations

import contextlib
import struct
import uuid
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg.adapt import PyFormat, Transformer
from psycopg.pq import Format

from engine.encoder import types as t
from engine.encoder.parameters import ParameterValue, decode
from governance.errors import EngineFailed, Refusal
from tests.engine.encoder.rows import connection


@pytest.fixture(scope="module")
def duck():
    with connection() as opened:
        yield opened


def bound(duck: Any, data: bytes | None, oid: int = 0, kind: str = "", format_: int = 0) -> tuple[str, str | None]:
    """The type and text that DuckDB sees."""
    value = decode(ParameterValue(data, format_, oid), kind)
    row = duck.execute("SELECT typeof($1), ($1)::VARCHAR", [value]).fetchone()
    return row[0], row[1]


TZ = timezone(timedelta(hours=5, minutes=30))
VALUES = [
    (5, "5"), (-70000, "-70000"), (2**40, str(2**40)), (-(2**63), str(-(2**63))), (2**100, str(2**100)),
    (1.5, "1.5"), (float("inf"), "inf"), (float("nan"), "nan"), ([1.5, float("nan"), None], "[1.5, nan, NULL]"), (True, "true"), (False, "false"), ("text ü", "text ü"), ("", ""),
    (b"plain", "plain"), (Decimal("1.50"), "1.50"), (Decimal("-0.00012"), "-0.00012"),
    (Decimal("1E+20"), "100000000000000000000"), (Decimal("12345678901234567890.123456789"), "12345678901234567890.123456789"),
    (date(2020, 2, 29), "2020-02-29"), (date(1, 1, 1), "0001-01-01"), (time(1, 2, 3, 450000), "01:02:03.45"),
    (time(1, 2, 3, tzinfo=TZ), "01:02:03+05:30"), (datetime(2020, 1, 2, 3, 4, 5, 6), "2020-01-02 03:04:05.000006"),  # noqa: DTZ001
    (datetime(2020, 1, 2, 3, 4, 5, tzinfo=UTC), "2020-01-02 03:04:05+00"),
    (datetime(2020, 1, 2, 3, 4, 5, tzinfo=TZ), "2020-01-01 21:34:05+00"),
    (timedelta(days=3, seconds=4, microseconds=5), "3 days 00:00:04.000005"), (timedelta(days=-1, seconds=1), "-1 day 00:00:01"),
    (uuid.UUID("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"), "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
    ([1, None, 3], "[1, NULL, 3]"), ([[1, 2], [3, 4]], "[[1, 2], [3, 4]]"), (["a b", 'q"\\', None, ""], None), ([1.5], "[1.5]"),
    ([Decimal("1.5"), Decimal("-22.25")], "[1.50, -22.25]"), ([date(2020, 1, 1), None], "[2020-01-01, NULL]"),
    ([True, None], "[true, NULL]"), ([uuid.UUID(int=1)], "[00000000-0000-0000-0000-000000000001]"),
]  # fmt: skip


@pytest.mark.parametrize("format_", [PyFormat.TEXT, PyFormat.BINARY], ids=["text", "binary"])
@pytest.mark.parametrize(("value", "wanted"), VALUES, ids=[repr(v)[:50] for v, _ in VALUES])
def test_what_psycopg_sends_is_what_was_meant(duck: Any, value: Any, wanted: str | None, format_: PyFormat) -> None:
    transformer = Transformer()
    (data,) = transformer.dump_sequence([value], [format_])
    (oid,), (sent,) = transformer.types or (0,), transformer.formats or [Format.TEXT]
    kind, text = bound(duck, bytes(data or b""), oid, "", int(sent))
    if wanted is None:
        (wanted,) = duck.execute("SELECT ($1)::VARCHAR", [value]).fetchone()
    if isinstance(value, bool) or kind != "VARCHAR" or isinstance(value, str):
        assert text == wanted


CASES = [
    ("NULL", None, t.INT4, "", 0, ('"NULL"', None)),
    ("no oid takes the inferred type", b"5", 0, "BIGINT", 0, ("BIGINT", "5")),
    ("no oid, binary, inferred", b"\0\0\0\x05", 0, "INTEGER", 1, ("INTEGER", "5")),
    ("no oid, no inference", b"5", 0, "", 0, ("VARCHAR", "5")),
    ("unknown oid is no oid", b"2020-01-01", t.UNKNOWN, "DATE", 0, ("DATE", "2020-01-01")),
    ("inferred decimal is kept", b"5", 0, "DECIMAL(10,2)", 0, ("DECIMAL(10,2)", "5.00")),
    ("more digits than inferred", b"5.123", 0, "DECIMAL(10,2)", 0, ("DECIMAL(4,3)", "5.123")),
    ("huge integer", b"-170141183460469231731687303715884105728", 0, "HUGEINT", 0, None),
    ("enum as text", b"a", 0, "ENUM('a', 'b')", 0, ("VARCHAR", "a")),
    ("jsonb", b'\x01{"a": 1}', 3802, "", 1, ("JSON", '{"a": 1}')),
    ("oid", b"4294967295", 26, "", 0, ("UINTEGER", "4294967295")),
    ("JDBC's date", b"2020-01-01 +02", t.DATE, "", 0, ("DATE", "2020-01-01")),
    ("JDBC's timestamp", b"2020-01-01 01:02:03.5+00", 0, "TIMESTAMP", 0, ("TIMESTAMP", "2020-01-01 01:02:03.5")),
    ("BC", b"0044-03-15 BC", t.DATE, "", 0, ("DATE", "0044-03-15 (BC)")),
    ("infinity", b"-infinity", t.TIMESTAMPTZ, "", 0, ("TIMESTAMP WITH TIME ZONE", "-infinity")),
    ("midnight at the end", b"24:00:00", t.TIME, "", 0, ("TIME", "24:00:00")),
    ("ISO interval", b"P1Y2M3DT4H5M6.5S", t.INTERVAL, "", 0, ("INTERVAL", "1 year 2 months 3 days 04:05:06.5")),
    ("interval ago", b"@ 1 day 2 hours ago", t.INTERVAL, "", 0, ("INTERVAL", "-1 day -02:00:00")),
    ("bytea in escape form", b"a\\\\b\\001", t.BYTEA, "", 0, ("BLOB", "a\\x5Cb\\x01")),
    ("bytea in binary", b"\0\xfe\\", t.BYTEA, "", 1, ("BLOB", "\\x00\\xFE\\x5C")),
    ("bits", b"\0\0\0\x03\xa0", t.VARBIT, "", 1, ("BIT", "101")),
    ("array with bounds", b"[0:1]={7,8}", 1007, "", 0, ("INTEGER[]", "[7, 8]")),
    ("empty array", b"{}", 1007, "", 0, ('"NULL"[]', "[]")),
    ("numeric without digits", struct.pack(">hhHH", 0, 0, 0, 2), t.NUMERIC, "", 1, ("DECIMAL(3,2)", "0.00")),
    ("numeric NaN", b"NaN", t.NUMERIC, "", 0, ("DOUBLE", "nan")),
    ("small numeric", struct.pack(">hhHHH", 1, -2, 0, 8, 1), t.NUMERIC, "", 1, ("DECIMAL(9,8)", "0.00000001")),
    ("large numeric", struct.pack(">hhHHH", 1, 3, 0x4000, 0, 5), t.NUMERIC, "", 1, ("DECIMAL(13,0)", "-5000000000000")),
]  # fmt: skip


@pytest.mark.parametrize(
    ("data", "oid", "kind", "format_", "wanted"), [c[1:] for c in CASES], ids=[c[0] for c in CASES]
)
def test_forms_of_values(duck: Any, data: bytes | None, oid: int, kind: str, format_: int, wanted: Any) -> None:
    got = bound(duck, data, oid, kind, format_)
    assert got == (wanted or (kind, (data or b"").decode()))


MALFORMED = [
    (b"x", t.INT4), (b"", t.INT4), (b"1_000", t.INT8), (b"1.5", t.INT8), (b"0x10", t.INT4), ("٣".encode(), t.INT4),
    (b"maybe", t.BOOL), (b"1e", t.FLOAT8), (b"1_0.5", t.FLOAT8), (b"--1", t.NUMERIC), (b".", t.NUMERIC), (b"\\xabc", t.BYTEA),
    (b"\\9", t.BYTEA), (b"2020-13-01", t.DATE), (b"2021-02-29", t.DATE), (b"0000-01-01", t.DATE), (b"yesterday", t.DATE),
    (b"25:00:00", t.TIME), (b"12:60:00", t.TIME), (b"24:00:01", t.TIME), (b"2020-01-01 1:2:99", t.TIMESTAMP),
    (b"2020-01-01 00:00:00 Mars/Olympus", t.TIMESTAMPTZ), (b"1 fortnight", t.INTERVAL), (b"", t.INTERVAL), (b"P", t.INTERVAL),
    (b"P1Q", t.INTERVAL), (b"zz0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", t.UUID), (b"{", t.JSON), (b"NaN", t.JSON), (b"[" * 99999, t.JSON),
    (b"12", t.VARBIT), (b"\xff", t.TEXT), (b"a\0b", t.TEXT), (b"{1", 1007), (b"1}", 1007), (b"{1,}", 1007), (b"{,1}", 1007),
    (b"{{1},2}", 1007), (b"{{1},{2,3}}", 1007), (b"{1}{2}", 1007), (b"{1} x", 1007), (b"{" * 8 + b"}" * 8, 1007), (b'{"a}', 1009),
]  # fmt: skip
MALFORMED_BINARY = [
    (b"", t.INT4), (b"\0", t.INT4), (b"\0" * 8, t.INT4), (b"\x02", t.BOOL), (b"\0" * 3, t.FLOAT4), (b"\0" * 4, t.DATE, True),
    (b"\0" * 7, t.TIMESTAMP), (b"\xff" * 8, t.TIME), (b"\0" * 8 + b"\x7f\xff\xff\xff", t.TIMETZ), (b"\0" * 15, t.UUID),
    (b"\0" * 15, t.INTERVAL), (b"\xff\xff\xff\xff", t.VARBIT), (b"\0\0\0\x09\0", t.VARBIT), (b"\x02{}", 3802),
    (b"\0\x01\0\0\0\0\0\0", t.NUMERIC), (b"\0\x01\0\0\0\0\0\0\x27\x10", t.NUMERIC), (b"\0\0\0\0\x12\x34\0\0", t.NUMERIC),
    (b"\xff\xff\0\0\0\0\0\0", t.NUMERIC), (struct.pack(">iii", 1, 0, 25), 1007), (struct.pack(">iii", 99, 0, 23), 1007),
    (struct.pack(">iiiii", 1, 0, 23, 2**30, 1), 1007), (struct.pack(">iiiiii", 1, 0, 23, 1, 1, 50), 1007),
    (struct.pack(">iiiii", 1, 0, 23, -1, 1), 1007), (struct.pack(">iii", 0, 0, 23) + b"x", 1007),
]  # fmt: skip


@pytest.mark.parametrize(("data", "oid"), MALFORMED, ids=[repr(c)[:50] for c in MALFORMED])
def test_malformed_text_is_refused_without_the_value(data: bytes, oid: int) -> None:
    with pytest.raises(EngineFailed) as caught:
        decode(ParameterValue(data, 0, oid))
    assert caught.value.kind == "parameter"
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


@pytest.mark.parametrize("case", MALFORMED_BINARY, ids=[repr(c)[:50] for c in MALFORMED_BINARY])
def test_malformed_binary_is_refused(case: tuple[Any, ...]) -> None:
    data, oid, *fine = case
    if fine:
        decode(ParameterValue(data, 1, oid))
        return
    with pytest.raises(EngineFailed) as caught:
        decode(ParameterValue(data, 1, oid))
    assert caught.value.kind == "parameter"


@pytest.mark.parametrize(
    ("data", "oid"),
    [(b"32768", t.INT2), (b"99999999999", t.INT4), (b"-1", 26), (b"9" * 40, t.NUMERIC), (b"1e-39", t.NUMERIC)],
)
def test_too_large_is_out_of_range(data: bytes, oid: int) -> None:
    with pytest.raises(EngineFailed) as caught:
        decode(ParameterValue(data, 0, oid))
    assert caught.value.kind == "out_of_range"


@pytest.mark.parametrize(("format_", "oid"), [(2, t.INT4), (-1, t.TEXT), (0, 600), (1, 3904)])
def test_unknown_formats_and_types_are_refused(format_: int, oid: int) -> None:
    with pytest.raises(EngineFailed):
        decode(ParameterValue(b"1", format_, oid))


def test_a_value_is_not_in_its_repr() -> None:
    assert "secret" not in repr(ParameterValue(b"secret", 0, 25))


_SHARED = connection()
_OIDS = [*t.ARRAY_OIDS, *t.ELEMENT_OIDS, 0, 3802, 26, 705]


@given(
    st.binary(max_size=60),
    st.sampled_from(_OIDS),
    st.integers(0, 1),
    st.sampled_from(["", "INTEGER", "DATE[]", "UUID", "DECIMAL(9,2)"]),
)
def test_any_bytes_give_a_value_or_a_refusal(data: bytes, oid: int, format_: int, kind: str) -> None:
    with contextlib.suppress(Refusal):
        decode(ParameterValue(data, format_, oid), kind)


@given(st.text('0123456789-: .+{},"\\NULLPYMDTHSeEBCinfty', max_size=40), st.sampled_from(_OIDS))
def test_near_misses_give_a_value_or_a_refusal_and_duckdb_takes_the_value(text: str, oid: int) -> None:
    try:
        value = decode(ParameterValue(text.encode(), 0, oid))
    except Refusal:
        return
    _SHARED.execute("SELECT $1", [value])


@given(st.decimals(allow_nan=False, allow_infinity=False, places=6, min_value=-(10**25), max_value=10**25))
def test_numbers_come_through_binary_exactly(number: Decimal) -> None:
    (data,) = Transformer().dump_sequence([number], [PyFormat.BINARY])
    value = decode(ParameterValue(bytes(data or b""), 1, t.NUMERIC))
    (got,) = _SHARED.execute("SELECT $1", [value]).fetchone() or (None,)
    assert Decimal(str(got)) == number
