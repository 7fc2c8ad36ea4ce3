"""DuckDB's lists and arrays (one dimension) as PostgreSQL arrays, text and binary."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from engine.encoder.assembly import Pieces
from engine.encoder.fields import I32, Field, Mask, as_binary, big_endian, nulls_of, strings_of
from engine.encoder.types import BYTEA, INTERVAL, JSON, TEXT, TIMESTAMP, TIMESTAMPTZ, PgType

Encode = Callable[[pa.Array, PgType], Field]

_QUOTED = frozenset({TEXT, BYTEA, JSON, TIMESTAMP, TIMESTAMPTZ, INTERVAL})
"""Element types whose text may hold what an array must quote."""
_NEEDS_QUOTES = '^$|^(?i:null)$|[{}",\\\\\\s\\v]'
_EMPTY = pa.scalar(b"", pa.binary())


def element_of(pg: PgType) -> PgType:
    """The PgType of an array's elements."""
    return replace(pg, oid=pg.element, element=0)


def _opened(array: pa.Array) -> tuple[I32, pa.Array, Mask | None]:
    """Offsets from 0, the elements, and which lists are null."""
    nulls = nulls_of(array)
    if pa.types.is_fixed_size_list(array.type):
        array = array.cast(pa.list_(array.type.value_type))
    if len(array) == 0:
        return np.zeros(1, np.int32), array.values.slice(0, 0), None
    ends: I32 = array.offsets.to_numpy(zero_copy_only=False).astype(np.int32)
    return ends - ends[0], array.values.slice(int(ends[0]), int(ends[-1] - ends[0])), nulls


def _listed(offsets: I32, values: pa.Array) -> pa.Array:
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), values)


def text(array: pa.Array, pg: PgType, encode: Encode) -> Field:
    """Arrays as `{a,"b c",NULL}`."""
    offsets, elements, nulls = _opened(array)
    field = encode(elements, element_of(pg))
    values = as_binary(field)
    if pg.element in _QUOTED:
        values = _quoted(values)
    if field.nulls is not None:
        values = pc.if_else(pa.array(field.nulls), pa.scalar(b"NULL", pa.binary()), values)
    joined = pc.binary_join(_listed(offsets, values), pa.scalar(b",", pa.binary()))
    made = pc.binary_join_element_wise(pa.scalar(b"{", pa.binary()), joined, pa.scalar(b"}", pa.binary()), _EMPTY)
    return strings_of(_nulled(made, nulls))


def _nulled(values: pa.Array, nulls: Mask | None) -> pa.Array:
    return values if nulls is None else pc.if_else(pa.array(nulls), pa.scalar(None, pa.binary()), values)


def _quoted(values: pa.Array) -> pa.Array:
    needy = pc.match_substring_regex(values, _NEEDS_QUOTES)
    if not pc.any(needy).as_py():
        return values
    escaped = pc.replace_substring(pc.replace_substring(values, b"\\", b"\\\\"), b'"', b'\\"')
    mark = pa.scalar(b'"', pa.binary())
    return pc.if_else(needy, pc.binary_join_element_wise(mark, escaped, mark, _EMPTY), values)


def binary(array: pa.Array, pg: PgType, encode: Encode) -> Field:
    """Arrays as dimensions, has-null flag, element oid, length, lower bound 1, then elements behind their lengths."""
    offsets, elements, nulls = _opened(array)
    field = encode(elements, element_of(pg))
    lengths = np.diff(offsets)
    values = _length_prefixed(field, len(elements))
    joined = pc.binary_join(_listed(offsets, values), _EMPTY)
    some = np.zeros(len(lengths), np.int32)
    if field.nulls is not None:
        running = np.concatenate([[0], np.cumsum(field.nulls)])
        some = (running[offsets[1:]] > running[offsets[:-1]]).astype(np.int32)
    heads = [
        struct.pack(">iii", 0, 0, pg.element)
        if count == 0
        else struct.pack(">iiiii", 1, has_null, pg.element, count, 1)
        for count, has_null in zip(lengths.tolist(), some.tolist(), strict=True)
    ]
    made = pc.binary_join_element_wise(pa.array(heads, pa.binary()), joined, _EMPTY)
    return strings_of(_nulled(made, nulls))


def _length_prefixed(field: Field, rows: int) -> pa.Array:
    sizes = field.sizes if isinstance(field.sizes, np.ndarray) else np.full(rows, field.sizes, np.int32)
    prefix = big_endian(sizes)
    if field.nulls is not None:
        prefix[field.nulls] = 255
    pieces = Pieces(rows)
    pieces.add(prefix, 4)
    pieces.add_strings(as_binary(field))
    return pieces.as_array()
