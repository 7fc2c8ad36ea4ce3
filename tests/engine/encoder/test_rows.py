# ruff: noqa: E501 - tables of cases read better on one line
"""Whole batches against the oracle: every column's values one at a time, put in rows one at a time, are the same bytes."""

from __future__ import annotations

import decimal
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from typing import Any
from unittest.mock import patch

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.encoder import plan, result_columns
from engine.encoder.assembly import ROW_BYTES_MAX, messages
from engine.encoder.fields import Strings
from engine.executor.messages import FRAME_BYTES_MAX
from governance.errors import EngineFailed, ResourceExceeded, StatementRefused
from tests.engine.encoder.rows import connection, data_rows, encoded, rows, taken_apart, whole

Oracle = Callable[[Any], bytes]
_WIDE = decimal.Context(prec=60)


def _decimal(value: decimal.Decimal) -> bytes:
    return f"{value:f}".encode()


def _numeric(scale: int) -> Oracle:
    def binary(value: decimal.Decimal) -> bytes:
        from psycopg.types.numeric import DecimalBinaryDumper

        made = bytes(
            DecimalBinaryDumper(decimal.Decimal).dump(_WIDE.quantize(value, decimal.Decimal(1).scaleb(-scale)))
        )
        count, weight = int.from_bytes(made[:2]), int.from_bytes(made[2:4], signed=True)
        digits = [made[8 + 2 * i : 10 + 2 * i] for i in range(count)]
        while digits and digits[-1] == b"\0\0":
            digits.pop()
        while digits and digits[0] == b"\0\0":
            digits.pop(0)
            weight -= 1
        sign = made[4:6] if digits else b"\0\0"
        weight = weight if digits else 0
        return len(digits).to_bytes(2) + weight.to_bytes(2, signed=True) + sign + scale.to_bytes(2) + b"".join(digits)

    return binary


def _clock(value: time) -> str:
    return value.isoformat().rstrip("0") if value.microsecond else value.isoformat()


def _moment(value: datetime) -> bytes:
    return f"{value.year:04d}-{value:%m-%d} {_clock(value.time())}".encode()


def _integer(size: int) -> tuple[Oracle, Oracle]:
    return (lambda v: str(v).encode()), (lambda v: v.to_bytes(size, signed=True))


def _since_2000(value: datetime) -> bytes:
    return ((value - _EPOCH) // timedelta(microseconds=1)).to_bytes(8, signed=True)


def _ints(bits: int) -> st.SearchStrategy[int]:
    return st.one_of(st.integers(-(1 << (bits - 1)), (1 << (bits - 1)) - 1), st.integers(-100, 100))


def _decimals(precision: int, scale: int) -> st.SearchStrategy[decimal.Decimal]:
    units = st.one_of(st.integers(-(10**precision) + 1, 10**precision - 1), st.integers(-999, 999))
    return units.map(lambda n: _WIDE.scaleb(decimal.Decimal(n), -scale))


def _decimal_type(precision: int, scale: int) -> pa.DataType:
    """As DuckDB hands decimals over."""
    make = pa.decimal32 if precision <= 9 else pa.decimal64 if precision <= 18 else pa.decimal128
    return make(precision, scale)


_EPOCH = datetime(2000, 1, 1)  # noqa: DTZ001 - DuckDB's TIMESTAMP has no zone
_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)
_TYPES: dict[str, tuple[pa.DataType, st.SearchStrategy[Any], Oracle, Oracle]] = {
    "SMALLINT": (pa.int16(), _ints(16), *_integer(2)),
    "INTEGER": (pa.int32(), _ints(32), *_integer(4)),
    "BIGINT": (pa.int64(), _ints(64), *_integer(8)),
    "UBIGINT": (
        pa.uint64(), st.integers(0, 2**64 - 1), lambda v: str(v).encode(), lambda v: _numeric(0)(decimal.Decimal(v)),
    ),
    "BOOLEAN": (pa.bool_(), st.booleans(), lambda v: b"t" if v else b"f", lambda v: bytes([v])),
    "VARCHAR": (pa.string(), _TEXT, str.encode, str.encode),
    "BLOB": (pa.binary(), st.binary(max_size=300), lambda v: b"\\x" + v.hex().encode(), bytes),
    "DATE": (
        pa.date32(), st.dates(), lambda v: f"{v.year:04d}-{v:%m-%d}".encode(),
        lambda v: (v - date(2000, 1, 1)).days.to_bytes(4, signed=True),
    ),
    "TIMESTAMP": (pa.timestamp("us"), st.datetimes(), _moment, _since_2000),
    "TIME": (
        pa.time64("us"), st.times(), lambda v: _clock(v).encode(),
        lambda v: (((v.hour * 60 + v.minute) * 60 + v.second) * 1_000_000 + v.microsecond).to_bytes(8),
    ),
    **{
        f"DECIMAL({p},{s})": (_decimal_type(p, s), _decimals(p, s), _decimal, _numeric(s))
        for p, s in ((4, 0), (9, 1), (9, 2), (9, 3), (15, 2), (18, 4), (18, 5), (18, 18), (19, 0), (25, 7), (38, 0), (38, 10), (38, 38))
    },
}  # fmt: skip


@st.composite
def batches(draw: st.DrawFn) -> tuple[list[str], list[list[Any]], list[int]]:
    names = draw(st.lists(st.sampled_from(sorted(_TYPES)), min_size=1, max_size=6))
    count = draw(st.integers(0, 12))
    columns = []
    for name in names:
        values = _TYPES[name][1]
        some = draw(
            st.lists(st.one_of(values, st.none()) if draw(st.booleans()) else values, min_size=count, max_size=count)
        )
        columns.append(some)
    return names, columns, draw(st.lists(st.sampled_from([0, 1]), min_size=len(names), max_size=len(names)))


@given(batches(), st.integers(0, 3))
@settings(max_examples=150, deadline=None)
def test_a_batch_is_its_values_one_by_one(drawn: tuple[list[str], list[list[Any]], list[int]], skip: int) -> None:
    names, columns, formats = drawn
    arrays = [pa.array(values, _TYPES[name][0]) for name, values in zip(names, columns, strict=True)]
    way = plan(result_columns(names, names), formats)
    oracles = [_TYPES[name][2 + format_] for name, format_ in zip(names, formats, strict=True)]
    wanted = [
        [None if v is None else oracle(v) for v, oracle in zip(row, oracles, strict=True)]
        for row in zip(*columns, strict=True)
    ]
    batch = pa.RecordBatch.from_arrays(arrays, names=[str(at) for at in range(len(names))])
    for few in (0, 100):  # by columns, and a value at a time where that is possible
        with patch("engine.encoder.plan.FEW_ROWS", few):
            data, count = whole(way, batch)
            assert (data, count) == (data_rows(wanted), len(wanted))
            data, count = whole(way, batch.slice(skip))  # DuckDB's batches may be slices
            assert (data, count) == (data_rows(wanted[skip:]), max(len(wanted) - skip, 0))


@given(
    st.lists(
        st.one_of(
            st.floats(), st.sampled_from([0.0, -0.0, 1e10, 12345678901.5, 1e15, 1e14, 1e-4, 1e-5, 123456789012345.6])
        ),
        max_size=8,
    )
)
def test_few_floats_are_written_as_many_are(values: list[float]) -> None:
    way = plan(result_columns(["v"], ["DOUBLE"]), ())
    batch = pa.RecordBatch.from_arrays([pa.array(values, pa.float64())], names=["v"])
    few = whole(way, batch)[0]
    with patch("engine.encoder.plan.FEW_ROWS", 0):
        assert few == whole(way, batch)[0]


@pytest.mark.parametrize("format_", [0, 1])
@pytest.mark.parametrize("low", [-3, 0, 5, 9_990, 2**31 - 600])
def test_tables_of_close_values_change_nothing(format_: int, low: int) -> None:
    """From some thousand rows on, values that lie close together come from tables."""
    values = [low + i % 500 for i in range(4000)]
    for name, arrow, make in (
        ("BIGINT", pa.int64(), int),
        ("UBIGINT", pa.uint64(), abs),
        ("DECIMAL(15,2)", pa.decimal128(15, 2), lambda v: decimal.Decimal(v).scaleb(-2)),
        ("DECIMAL(15,2)", pa.decimal64(15, 2), lambda v: decimal.Decimal(v).scaleb(-2)),
        ("DATE", pa.date32(), lambda v: date.fromordinal(abs(v) % 10_000 + 1)),
    ):
        made = [make(v) for v in values]
        batch = pa.RecordBatch.from_arrays([pa.array(made, arrow)], names=["v"])
        oracle = _TYPES[name][2 + format_]
        assert whole(plan(result_columns(["v"], [name]), [format_]), batch)[0] == data_rows([[oracle(v)] for v in made])


@given(st.lists(st.floats(width=64), min_size=1, max_size=50), st.lists(st.floats(width=32), min_size=1, max_size=50))
def test_floats_read_back_the_same(doubles: list[float], singles: list[float]) -> None:
    for name, arrow, kind, values in (("DOUBLE", pa.float64(), "f8", doubles), ("FLOAT", pa.float32(), "f4", singles)):
        batch = pa.RecordBatch.from_arrays([pa.array(values, arrow)], names=["v"])
        texts = [row[0] for row in taken_apart(whole(plan(result_columns(["v"], [name]), ()), batch)[0])]
        back = np.array([float(text) for text in texts if text is not None], kind)
        assert np.array_equal(back, np.array(values, kind), equal_nan=True)


def test_ten_thousand_mixed_rows_with_nulls_from_duckdb() -> None:
    sql = """
        SELECT CASE WHEN i % 7 <> 0 THEN i * 1000003 - 5000000000 END AS a, CASE WHEN i % 5 <> 0 THEN 'text ' || i END AS b,
               CASE WHEN i % 3 <> 0 THEN (i / 8)::DECIMAL(12,3) END AS c, CASE WHEN i % 2 <> 0 THEN DATE '1990-01-01' + i::INT END AS d,
               i % 2 = 0 AS e, 'x' AS f, i::HUGEINT AS g, [i, NULL, -i] AS h, {'k': i} AS j, to_days(i::INT) AS k, repeat('é', (i % 300)::INT) AS l
        FROM range(10000) t(i)"""
    with connection() as duck:
        got = rows(duck, sql)
        plain = duck.execute(
            "SELECT a::VARCHAR, b, c::VARCHAR, d::VARCHAR, CASE WHEN e THEN 't' ELSE 'f' END, f, g::VARCHAR, "
            "'{' || h[1] || ',NULL,' || h[3] || '}', '{\"k\":' || j.k || '}', "
            "CASE WHEN k = to_days(0) THEN '00:00:00' ELSE k::VARCHAR END, l "
            f"FROM ({sql})"
        ).fetchall()
    assert got == [tuple(None if v is None else v.encode() for v in row) for row in plain]


@pytest.mark.parametrize("limit", ["engine.encoder.plan.PART_BYTES", "engine.encoder.assembly.FRAME_BYTES"])
def test_large_batches_are_cut_into_frames_that_hold_whole_rows(limit: str) -> None:
    column = result_columns(["v"], ["VARCHAR"])
    batch = pa.RecordBatch.from_arrays([pa.array(["x" * 1000] * 64)], names=["v"])
    with patch(limit, 4096):
        frames = list(plan(column, ()).frames(batch))
    assert len(frames) > 8
    assert max(len(data) for data, _ in frames) < 8192
    assert sum(count for _, count in frames) == 64
    assert all(len(taken_apart(bytes(data))) == count for data, count in frames)


def test_no_columns_are_rows_all_the_same() -> None:
    assert bytes(messages([], 2, b"D").data) == data_rows([[], []])


def test_a_row_that_no_frame_holds_is_refused() -> None:
    assert ROW_BYTES_MAX < FRAME_BYTES_MAX
    alone = pa.RecordBatch.from_arrays([pa.array(["x" * 5000])], names=["v"])
    with patch("engine.encoder.plan.ROW_BYTES_MAX", 4096), pytest.raises(ResourceExceeded):
        whole(plan(result_columns(["v"], ["VARCHAR"]), ()), alone)
    huge = Strings(pa.array([b""]), np.array([ROW_BYTES_MAX], np.int32), None)
    with pytest.raises(ResourceExceeded):
        messages([huge], 1, b"D")


def test_what_must_be_prepared_is_refused_unprepared() -> None:
    with connection() as duck:
        for expression, kind in (
            ("{'a': 1}", "STRUCT(a INTEGER)"),
            ("INTERVAL 1 DAY", "INTERVAL"),
            ("map {1: 2}", "MAP"),
        ):
            way = plan(result_columns(["v"], [kind]), ())
            (batch,) = duck.execute(f"SELECT {expression} AS v").to_arrow_reader(10)
            with pytest.raises(EngineFailed):
                whole(way, batch)


@pytest.mark.parametrize("formats", [(2,), (0, 0, 0), (0, 7)])
def test_formats_that_do_not_fit_are_refused(formats: tuple[int, ...]) -> None:
    with pytest.raises(StatementRefused):
        plan(result_columns(["a", "b"], ["INTEGER", "INTEGER"]), formats)


def test_an_unknown_time_zone_is_refused() -> None:
    for name in ("Nowhere/Land", "../../etc/passwd", ""):
        with pytest.raises(StatementRefused):
            plan((), (), timezone=name)


@pytest.mark.parametrize("format_", [0, 1])
@pytest.mark.parametrize(
    "inner",
    [
        "INTEGER",
        "DECIMAL(38,3)",
        "DECIMAL(5,1)",
        "VARCHAR",
        "DATE",
        "TIMESTAMPTZ",
        "UUID",
        "HUGEINT",
        "BOOLEAN",
        "INTERVAL",
        "DOUBLE",
        "BLOB",
    ],
)
def test_arrays_of_nothing(inner: str, format_: int) -> None:
    with connection() as duck:
        empty, none, null = rows(
            duck, f"SELECT unnest([CAST([] AS {inner}[]), CAST([NULL] AS {inner}[]), NULL])", (format_,)
        )
    assert null == (None,)
    assert empty[0] is not None
    assert empty[0] == b"{}" if format_ == 0 else empty[0][:8] == bytes(8)
    assert none[0] is not None
    assert none[0] == b"{NULL}" if format_ == 0 else none[0][-4:] == b"\xff" * 4


class TestWrap:
    """`wrap` changes how columns are made, never which rows come in which order under which names."""

    def test_names_and_their_duplicates_stay(self) -> None:
        sql = """SELECT 1::HUGEINT AS a, 'x' AS a, INTERVAL 1 DAY AS "q""uote; --", 2 AS "ç" -- trailing comment"""
        with connection() as duck:
            described = duck.execute(sql).description
            way = plan(result_columns([d[0] for d in described], [str(d[1]) for d in described]), ())
            assert way.must_wrap
            again = duck.execute(way.wrap(sql)).description
        assert [d[0] for d in again] == [d[0] for d in described]

    def test_order_survives(self) -> None:
        with connection() as duck:
            duck.execute("SET threads = 4")
            got = rows(
                duck,
                "SELECT i::HUGEINT AS h, -i FROM range(300000) t(i) ORDER BY hash(i) DESC LIMIT 250000 OFFSET 7",
                batch=5000,
            )
            wanted = duck.execute(
                "SELECT i FROM range(300000) t(i) ORDER BY hash(i) DESC LIMIT 250000 OFFSET 7"
            ).fetchall()
        assert [row[0] for row in got] == [str(i).encode() for (i,) in wanted]

    def test_parameters_keep_their_numbers(self) -> None:
        sql = "SELECT $2::HUGEINT AS b, $1::VARCHAR AS a"
        with connection() as duck:
            way = plan(result_columns(["b", "a"], ["HUGEINT", "VARCHAR"]), ())
            (batch,) = duck.execute(way.wrap(sql), ["one", 2]).to_arrow_reader(10)
            assert taken_apart(whole(way, batch)[0]) == [(b"2", b"one")]

    def test_nothing_to_prepare_changes_nothing(self) -> None:
        way = plan(result_columns(["a"], ["BIGINT"]), ())
        assert not way.must_wrap
        assert way.wrap("SELECT 1 AS a") == "SELECT 1 AS a"


class TestJson:
    """Nested values are JSON of a documented shape (docs/types.md)."""

    @pytest.mark.parametrize(
        ("expression", "wanted"),
        [
            ("{'a': 1, 'b': 'x\"y', 'c': NULL}", '{"a":1,"b":"x\\"y","c":null}'),
            ("map {'k': 1, 'l': 2}", '{"k":1,"l":2}'),
            ("map {1: 'x'}", '{"1":"x"}'),
            ("[[1, 2], [3]]", "[[1,2],[3]]"),
            ("[{'a': 1}, NULL]", '[{"a":1},null]'),
            ("union_value(num := 2)", '{"num":2}'),
            ("{'n': 'nan'::DOUBLE, 'i': '-inf'::DOUBLE, 't': 'NaN inf'}", '{"n":"NaN","i":"-Infinity","t":"NaN inf"}'),
            (
                "{'h': 170141183460469231731687303715884105727::HUGEINT}",
                '{"h":170141183460469231731687303715884105727}',
            ),
            (
                "{'d': DATE '2020-01-01', 't': TIMESTAMP '2020-01-01 01:02:03'}",
                '{"d":"2020-01-01","t":"2020-01-01 01:02:03"}',
            ),
            ("{'a': [1, 2]}::VARIANT", '{"a":[1,2]}'),
            ("NULL::STRUCT(a INTEGER)", None),
        ],
    )
    def test_shape(self, expression: str, wanted: str | None) -> None:
        with connection() as duck:
            for format_ in (0, 1):
                assert rows(duck, f"SELECT {expression}", (format_,)) == [(wanted and wanted.encode(),)]


def test_an_empty_result_is_no_bytes() -> None:
    with connection() as duck:
        assert encoded(duck, "SELECT 1 AS a, 'x' AS b WHERE false") == b""
