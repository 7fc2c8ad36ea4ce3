"""Composites, and arrays of them or of several dimensions, in PostgreSQL's binary form, made inside DuckDB.

What the encoder has no column for leaves as a BLOB that holds the value's bytes already. Source: PostgreSQL 15,
record_send and array_send.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from typing import Any

from engine.catalog.emulation import types as t
from engine.catalog.emulation.array_functions import dimensions
from engine.catalog.emulation.values import Value, field, flat
from governance.errors import EngineFailed

Entry = tuple[str, Callable[..., Any], tuple[str, ...], str]
_WHOLE = {t.INT2: 2, t.INT4: 4, t.INT8: 8}
_FLOATS = {t.FLOAT4: 4, t.FLOAT8: 8}


def sent(value: Value, name: str = "e") -> str:
    """DuckDB text for the bytes of a typed value; `name` names what stands for an array's element.

    Raises:
        EngineFailed: a type without a binary form here.
    """
    if value.fields:
        parts = [sent(field(value, place), name) for place in range(len(value.fields))]
        oids = ", ".join(str(each.type) for each in value.fields)
        record = f"hd_send_record([{oids}], CAST([{', '.join(parts)}] AS BLOB[]))"
        return f"(CASE WHEN {value.sql} IS NOT NULL THEN {record} END)"
    element = t.element_of(value.type)
    if element is not None:
        whole = flat(value)
        items = f"list_transform({whole.sql}, lambda {name}: {sent(whole.element(name), name + 'e')})"
        low = 0 if t.is_vector(value.type) else 1
        sizes = ", ".join(dimensions(value))
        return f"hd_send_array({element}, {low}, CAST([{sizes}] AS BIGINT[]), CAST({items} AS BLOB[]))"
    if value.type == t.BOOL:
        return f"hd_send_whole(CAST({value.sql} AS BIGINT), 1)"
    if value.type in _WHOLE or value.type in t.OID_LIKE:
        return f"hd_send_whole(CAST({value.sql} AS BIGINT), {_WHOLE.get(value.type, 4)})"
    if value.type in _FLOATS:
        return f"hd_send_float(CAST({value.sql} AS DOUBLE), {_FLOATS[value.type]})"
    if value.type == t.JSONB:
        return f"encode(chr(1) || {value.sql})"
    if t.is_text(value.type):
        return f"encode({value.sql})"
    raise EngineFailed("A composite in the catalog query has no binary form here.", kind="not_implemented")


def send_whole(number: int | None, size: int | None) -> bytes | None:
    """A whole number or an object id; ids above 2^31 keep their bits."""
    if number is None or size is None:
        return None
    return (number & ((1 << 8 * size) - 1)).to_bytes(size)


def send_float(number: float | None, size: int | None) -> bytes | None:
    """A float4 or float8."""
    return None if number is None else struct.pack(">f" if size == 4 else ">d", number)


def send_record(oids: list[int] | None, parts: list[bytes | None] | None) -> bytes | None:
    """A composite of fields that are bytes already."""
    pairs = list(zip(oids or (), parts or (), strict=True))
    return struct.pack(">i", len(pairs)) + b"".join(struct.pack(">I", oid) + _measured(part) for oid, part in pairs)


def send_array(
    element: int | None, low: int | None, sizes: list[int] | None, items: list[bytes | None] | None
) -> bytes | None:
    """An array of items that are bytes already."""
    if items is None:
        return None
    if not items:
        return struct.pack(">iiI", 0, 0, element)
    head = struct.pack(">iiI", len(sizes or ()), int(None in items), element)
    return head + b"".join(struct.pack(">ii", size, low) for size in sizes or ()) + b"".join(map(_measured, items))


def _measured(part: bytes | None) -> bytes:
    return struct.pack(">i", -1) if part is None else struct.pack(">i", len(part)) + part


def functions() -> Iterable[Entry]:
    """(name, function, argument types, result type) of each."""
    yield "hd_send_whole", send_whole, ("BIGINT", "INTEGER"), "BLOB"
    yield "hd_send_float", send_float, ("DOUBLE", "INTEGER"), "BLOB"
    yield "hd_send_record", send_record, ("BIGINT[]", "BLOB[]"), "BLOB"
    yield "hd_send_array", send_array, ("BIGINT", "INTEGER", "BIGINT[]", "BLOB[]"), "BLOB"
