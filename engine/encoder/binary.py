"""Columns in PostgreSQL's binary formats (`src/backend/utils/adt/*send` functions)."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from engine.encoder import arrays
from engine.encoder.calendar import INFINITY_DAYS, INFINITY_US, Zone
from engine.encoder.digits import decimals_numeric, integers_numeric, text_numeric
from engine.encoder.fields import U8, Field, nulls_of, strings_of, without_nulls
from engine.encoder.scalars import bits, days, interval_parts, microseconds, not_understood, numbers, storage_of
from engine.encoder.text import text_field
from engine.encoder.types import (
    BYTEA,
    INT2,
    INT4,
    INT8,
    INTERVAL,
    JSON,
    NUMERIC,
    TEXT,
    TIMETZ,
    UUID,
    VARBIT,
    PgType,
)

Numbers = npt.NDArray[Any]

EPOCH_DAYS = 10_957
"""2000-01-01, where PostgreSQL's dates begin, in days since 1970."""
EPOCH_US = EPOCH_DAYS * 86_400_000_000
_INTEGERS = {INT2: ">i2", INT4: ">i4", INT8: ">i8"}
_NIBBLE = np.full(256, 255, np.uint8)
_NIBBLE[np.frombuffer(b"0123456789abcdef", np.uint8)] = np.arange(16)
_NIBBLE[np.frombuffer(b"ABCDEF", np.uint8)] = np.arange(10, 16)
_DASHES = (8, 13, 18, 23)
_UUID_TEXT = 36


def binary_field(array: pa.Array, pg: PgType, zone: Zone) -> Field:
    """A column of one batch in binary.

    Raises:
        EngineFailed: a type without an encoding.
    """
    array = storage_of(array)
    kind, nulls = array.type, nulls_of(array)
    if pg.element:
        return arrays.binary(array, pg, lambda inner, inner_pg: binary_field(inner, inner_pg, zone))
    if pg.oid == TEXT or pg.oid == JSON:
        return text_field(array, pg, zone)
    if pa.types.is_null(kind):
        return strings_of(array.cast(pa.string()))
    if pg.oid == BYTEA and pa.types.is_binary(kind):
        return strings_of(array)
    if pa.types.is_string(kind):
        special = _FROM_TEXT.get(pg.oid)
        if special is not None:
            return special(array)
    elif pg.oid in _INTEGERS and pa.types.is_integer(kind):
        return without_nulls(_bytes(numbers(array), _INTEGERS[pg.oid]), nulls)
    elif pg.oid == NUMERIC and pa.types.is_integer(kind):
        return integers_numeric(numbers(array), nulls)
    elif pa.types.is_decimal(kind):
        return decimals_numeric(array)
    elif pa.types.is_floating(kind):
        values = numbers(array)
        return without_nulls(_bytes(values, f">f{values.dtype.itemsize}"), nulls)
    elif pa.types.is_boolean(kind):
        return without_nulls(bits(array)[:, None], nulls)
    elif pa.types.is_date32(kind):
        return without_nulls(_bytes(_shifted(days(array), EPOCH_DAYS, INFINITY_DAYS, 2**31), ">i4"), nulls)
    elif pa.types.is_timestamp(kind):
        return without_nulls(_bytes(_shifted(microseconds(array), EPOCH_US, INFINITY_US, 2**63), ">i8"), nulls)
    elif pa.types.is_time64(kind):
        return without_nulls(_bytes(microseconds(array), ">i8"), nulls)
    elif pg.oid == INTERVAL and pa.types.is_struct(kind):
        months, day, us = interval_parts(array)
        parts = (_bytes(us, ">i8"), _bytes(day, ">i4"), _bytes(months, ">i4"))
        return without_nulls(np.concatenate(parts, axis=1), nulls)
    raise not_understood(array)


def _bytes(values: Numbers, dtype: str) -> U8:
    big = np.ascontiguousarray(values).astype(dtype)
    return big.view(np.uint8).reshape(len(values), big.dtype.itemsize)


def _shifted(values: Numbers, epoch: int, infinity: int, least: int) -> Numbers:
    """Counts since 1970 as counts since 2000; DuckDB's infinities as PostgreSQL's (its minus infinity is one lower)."""
    high, low = values >= infinity, values <= -infinity
    moved = np.where(high | low, 0, values) - epoch
    moved = np.where(high, infinity, moved)
    return np.where(low, -least, moved)


def _uuids(array: pa.Array) -> Field:
    nulls = nulls_of(array)
    plain = strings_of(pc.fill_null(array, "0" * _UUID_TEXT))
    if bool((plain.sizes != _UUID_TEXT).any()):
        raise not_understood(array)
    start = int(np.frombuffer(plain.data.buffers()[1], np.int32)[plain.data.offset]) if len(array) else 0
    content = np.frombuffer(plain.data.buffers()[2], np.uint8, len(array) * _UUID_TEXT, start)
    digits = _NIBBLE[np.delete(content.reshape(-1, _UUID_TEXT), _DASHES, axis=1)]
    octets: U8 = (digits[:, 0::2] << 4 | digits[:, 1::2]).astype(np.uint8)
    return without_nulls(octets, nulls)


def _one_by_one(convert: Callable[[str], bytes]) -> Callable[[pa.Array], Field]:
    def field(array: pa.Array) -> Field:
        values = [None if text is None else convert(text) for text in array.to_pylist()]
        return strings_of(pa.array(values, pa.binary()))

    return field


def _timetz(text: str) -> bytes:
    """`HH:MM:SS[.f]+HH[:MM[:SS]]` as microseconds and seconds *west* of UTC."""
    at = max(text.rfind("+"), text.rfind("-"))
    clock, zone = text[:at], text[at:]
    hours, minutes, seconds = clock.split(":")
    whole, _, fraction = seconds.partition(".")
    us = ((int(hours) * 60 + int(minutes)) * 60 + int(whole)) * 1_000_000 + int(fraction.ljust(6, "0")[:6] or 0)
    parts = [int(part) for part in zone[1:].split(":")]
    offset = sum(part * unit for part, unit in zip(parts, (3600, 60, 1), strict=False))
    return struct.pack(">qi", us, -offset if zone[0] == "+" else offset)


def _bit_string(text: str) -> bytes:
    packed = int(text, 2) << (-len(text) % 8) if text else 0
    return struct.pack(">i", len(text)) + packed.to_bytes((len(text) + 7) // 8, "big")


_FROM_TEXT: dict[int, Callable[[pa.Array], Field]] = {
    NUMERIC: text_numeric,
    UUID: _uuids,
    TIMETZ: _one_by_one(_timetz),
    VARBIT: _one_by_one(_bit_string),
}
