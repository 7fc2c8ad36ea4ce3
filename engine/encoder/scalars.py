"""Reading Arrow columns as numpy: raw numbers, microseconds, days; no copies where none are needed."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from engine.encoder.calendar import I64, INFINITY_US
from governance.errors import EngineFailed, ResourceExceeded

_PER_UNIT = {"s": 1_000_000, "ms": 1000, "us": 1}


def storage_of(array: pa.Array) -> pa.Array:
    """The array without an extension type or dictionary around it, and bytes lying one after another."""
    if isinstance(array, pa.ExtensionArray):
        array = array.storage
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if pa.types.is_binary_view(array.type):
        array = array.cast(pa.binary())
    return array


def numbers(array: pa.Array, dtype: type[np.generic] | None = None) -> npt.NDArray[Any]:
    """The numbers of a fixed-width column; what stands under nulls means nothing."""
    kind = np.dtype(array.type.to_pandas_dtype()) if dtype is None else np.dtype(dtype)
    if len(array) == 0:
        return np.empty(0, kind)
    return np.frombuffer(array.buffers()[1], kind)[array.offset : array.offset + len(array)]


def bits(array: pa.Array) -> npt.NDArray[np.uint8]:
    """A boolean column as 0 and 1."""
    if len(array) == 0:
        return np.empty(0, np.uint8)
    packed = np.frombuffer(array.buffers()[1], np.uint8)
    return np.unpackbits(packed, bitorder="little")[array.offset : array.offset + len(array)]


def microseconds(array: pa.Array) -> I64:
    """Timestamps or times of any unit in microseconds; finer ones are cut, infinity stays infinity.

    Raises:
        ResourceExceeded: seconds or milliseconds beyond what microseconds can hold.
    """
    values: I64 = numbers(array, np.int64)
    unit = array.type.unit
    if unit == "us":
        return values
    infinite = np.abs(values) == INFINITY_US
    if unit == "ns":
        return np.where(infinite, values, values // 1000)
    factor = _PER_UNIT[unit]
    valid = ~infinite if array.null_count == 0 else ~infinite & ~np.asarray(array.is_null())
    limit = INFINITY_US // factor
    if bool((valid & ((values > limit) | (values < -limit))).any()):
        raise ResourceExceeded("A timestamp lies outside the range that PostgreSQL's microseconds can hold.")
    return np.where(infinite, values, np.where(valid, values, 0) * factor)


def days(array: pa.Array) -> I64:
    """Dates in days since 1970."""
    out: I64 = numbers(array, np.int32).astype(np.int64)
    return out


def interval_parts(array: pa.Array) -> tuple[I64, I64, I64]:
    """Months, days and microseconds of an interval column prepared by `EncodePlan.wrap` (a struct of three numbers)."""
    parts = [numbers(array.field(at), np.int64) for at in range(3)]
    return parts[0], parts[1], parts[2]


def not_understood(array: pa.Array) -> EngineFailed:
    """The refusal of a column that came in a form this encoder does not know."""
    return EngineFailed(
        "A column of the result has a type that cannot be sent.",
        advice="Cast it to VARCHAR.",
        reason=f"no encoding for Arrow type {array.type}"[:200],
    )
