"""A handful of rows, a value at a time: for one row, plain Python costs a tenth of what whole-column arithmetic does.

Only types whose text or bytes Python gives directly; anything else is left to the columns' own encoders, which
the same tests hold to the same bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
from pyarrow import lib

from engine.encoder.types import BOOL, FLOAT8, INT2, INT4, INT8, JSON, NUMERIC, TEXT, UUID, PgType

ROWS_MAX = 8
_PLAIN_FROM, _PLAIN_BELOW = 1e-4, 1e15


def _integer(value: int) -> bytes:
    return b"%d" % value


def _bool(value: bool) -> bytes:
    return b"t" if value else b"f"


def _decimal(value: Decimal) -> bytes:
    return f"{value:f}".encode()


def _date(value: date) -> bytes:
    return value.isoformat().encode()


def _timestamp(value: datetime) -> bytes:
    text = value.isoformat(" ")
    return (text.rstrip("0") if value.microsecond else text).encode()


def _float(value: float) -> bytes | None:
    """Plain notation only; None for what needs an exponent or a name."""
    if not (_PLAIN_FROM <= abs(value) < _PLAIN_BELOW):
        return b"0" if value == 0 and str(value) == "0.0" else None
    text = repr(value)
    return (text.removesuffix(".0")).encode()


_TEXT: dict[int, Callable[[Any], bytes | None]] = {
    **dict.fromkeys((lib.Type_INT8, lib.Type_INT16, lib.Type_INT32, lib.Type_INT64), _integer),
    **dict.fromkeys((lib.Type_UINT8, lib.Type_UINT16, lib.Type_UINT32, lib.Type_UINT64), _integer),
    lib.Type_STRING: str.encode,
    lib.Type_BOOL: _bool,
    **dict.fromkeys((lib.Type_DECIMAL32, lib.Type_DECIMAL64, lib.Type_DECIMAL128), _decimal),
    lib.Type_DATE32: _date,
    lib.Type_TIMESTAMP: _timestamp,
    lib.Type_DOUBLE: _float,
}
_BINARY: dict[int, Callable[[Any], bytes]] = {
    INT2: struct.Struct(">h").pack,
    INT4: struct.Struct(">i").pack,
    INT8: struct.Struct(">q").pack,
    FLOAT8: struct.Struct(">d").pack,
    BOOL: struct.Struct(">?").pack,
    TEXT: str.encode,
}
_TEXT_OIDS_AS_THEY_ARE = frozenset({TEXT, UUID, NUMERIC})
"""Types whose values, when they come as strings, are sent as they are in text format."""


def _converter(array: pa.Array, pg: PgType, format_: int) -> Callable[[Any], bytes | None] | None:
    kind = array.type.id
    if format_ == 1:
        wanted = lib.Type_STRING if pg.oid == TEXT else None
        return _BINARY.get(pg.oid) if wanted is None or kind == wanted else None
    if kind == lib.Type_STRING and pg.oid not in _TEXT_OIDS_AS_THEY_ARE:
        return None
    if kind == lib.Type_TIMESTAMP and (array.type.tz is not None or array.type.unit != "us"):
        return None
    return None if pg.oid == JSON else _TEXT.get(kind)


def few_rows(batch: pa.RecordBatch, types: tuple[PgType, ...], formats: tuple[int, ...]) -> bytes | None:
    """The DataRow messages of a small batch, or None when a column or value is not one of the plain ones."""
    columns: list[list[bytes | None]] = []
    for array, pg, format_ in zip(batch.columns, types, formats, strict=True):
        convert = _converter(array, pg, format_)
        if convert is None:
            return None
        try:
            values = array.to_pylist()
        except (OverflowError, ValueError):  # a date or timestamp beyond Python's years
            return None
        made: list[bytes | None] = []
        for value in values:
            field = None if value is None else convert(value)
            if field is None and value is not None:
                return None
            made.append(field)
        columns.append(made)
    head = len(columns).to_bytes(2, "big")
    out: list[bytes] = []
    for row in zip(*columns, strict=True):
        body = b"".join([b"\xff\xff\xff\xff" if f is None else len(f).to_bytes(4, "big") + f for f in row])
        out += (b"D", (len(body) + 6).to_bytes(4, "big"), head, body)
    return b"".join(out)
