"""A column of one batch, encoded but not yet placed in rows (`engine.encoder.assembly` does that).

Two forms. A `Slots` column is a matrix of bytes, one row per value, as wide as the widest value; PAD bytes in it are
dropped ("squeezed") when rows are made. A `Strings` column is an Arrow binary array.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

U8 = npt.NDArray[np.uint8]
I32 = npt.NDArray[np.int32]
Mask = npt.NDArray[np.bool_]

PAD = 0xFE
"""Never in ASCII text, in a length below 254, or in -1."""
_PAD = bytes([PAD])
EMPTY = pa.scalar(b"", pa.binary())


@dataclass(frozen=True, slots=True)
class Slots:
    """Values in a matrix (rows x width) of bytes, PAD where a row's value is shorter.

    `sizes` is the length of every value, or one length per row; values that are null have size 0 and a slot of PAD.
    `padded` says whether any PAD stands in the matrix; then all other bytes are below 0x80 (text).
    """

    data: U8
    sizes: int | I32
    nulls: Mask | None
    padded: bool


@dataclass(frozen=True, slots=True)
class Strings:
    """Values in an Arrow binary array without nulls (a null is empty there); `sizes` one length per row."""

    data: pa.Array
    sizes: I32
    nulls: Mask | None


Field = Slots | Strings


def nulls_of(array: pa.Array) -> Mask | None:
    """Where `array` is null, or None when nowhere."""
    if array.null_count == 0:
        return None
    mask: Mask = pc.is_null(array).to_numpy(zero_copy_only=False)
    return mask


def records(matrix: U8) -> npt.NDArray[np.void]:
    """Each row of a matrix of bytes as one item, which numpy copies far faster than single bytes; no copy is made."""
    width = matrix.shape[1]
    if width > 1 and matrix.strides[1] != 1:
        matrix = np.ascontiguousarray(matrix)
    found: npt.NDArray[np.void] = matrix.view(f"V{width}")[:, 0]
    return found


def rows_of(table: U8, index: npt.NDArray[np.intp] | npt.NDArray[np.int64]) -> U8:
    """The rows of a table of bytes at `index`, all of them within it.

    Items of 4, 8, 16 or 32 bytes are taken some four times faster than those of other widths.
    """
    width = table.shape[1]
    wide = 1 << max(width - 1, 0).bit_length()
    filled = np.zeros((len(table), wide), np.uint8)
    filled[:, :width] = table
    found: U8 = records(filled).take(index, mode="clip").view(np.uint8).reshape(len(index), wide)
    return found[:, :width]


def fixed_binary(matrix: U8) -> pa.Array:
    """A matrix of bytes as an Arrow binary array, one value per row, without a copy."""
    rows, width = matrix.shape
    offsets = np.arange(0, (rows + 1) * width, width or 1, dtype=np.int32)[: rows + 1]
    if not width:
        offsets = np.zeros(rows + 1, np.int32)
    return pa.Array.from_buffers(
        pa.binary(), rows, [None, pa.py_buffer(offsets), pa.py_buffer(np.ascontiguousarray(matrix))]
    )


def binary_from(data: bytes | bytearray | U8, sizes: I32) -> pa.Array:
    """Values lying one after another in `data`, `sizes[i]` bytes each, as an Arrow binary array."""
    offsets = np.zeros(len(sizes) + 1, np.int32)
    np.cumsum(sizes, out=offsets[1:])
    return pa.Array.from_buffers(pa.binary(), len(sizes), [None, pa.py_buffer(offsets), pa.py_buffer(data)])


def strings_of(array: pa.Array) -> Strings:
    """An Arrow string or binary array as a field: bytes as they are."""
    nulls = nulls_of(array)
    if array.type not in (pa.string(), pa.binary()):
        array = array.cast(pa.binary())
    start, rows = array.offset, len(array)
    if rows == 0:
        return Strings(pa.array([], pa.binary()), np.zeros(0, np.int32), None)
    offsets = np.frombuffer(array.buffers()[1], np.int32)[start : start + rows + 1]
    sizes: I32 = np.diff(offsets)
    if nulls is not None and bool(sizes[nulls].any()):
        return strings_of_filled(array, nulls)
    plain = pa.Array.from_buffers(
        pa.binary(), rows, [None, array.buffers()[1], array.buffers()[2] or pa.py_buffer(b"")], offset=start
    )
    return Strings(plain, sizes, nulls)


def strings_of_filled(array: pa.Array, nulls: Mask) -> Strings:
    """The same for an array that keeps bytes under its nulls: they are dropped."""
    filled = pc.fill_null(array.cast(pa.binary()), pa.scalar(b"", pa.binary()))
    return Strings(filled, pc.binary_length(filled).to_numpy().astype(np.int32), nulls)


def as_binary(field: Field) -> pa.Array:
    """A field's values as an Arrow binary array without nulls (a null is empty)."""
    if isinstance(field, Strings):
        return field.data
    if not field.padded:
        return fixed_binary(field.data)
    rows = len(field.data)
    sizes = field.sizes if isinstance(field.sizes, np.ndarray) else np.full(rows, field.sizes, np.int32)
    return binary_from(np.ascontiguousarray(field.data).tobytes().translate(None, _PAD), sizes)


def narrowed(field: Field) -> Field:
    """A short Strings column whose values are all of one length, as slots: fixed-width columns need no join."""
    if isinstance(field, Slots) or field.nulls is not None or not len(field.sizes):
        return field
    width = int(field.sizes[0])
    if width > 64 or bool((field.sizes != width).any()):
        return field
    rows, offset = len(field.sizes), field.data.offset
    start = int(np.frombuffer(field.data.buffers()[1], np.int32)[offset])
    content = np.frombuffer(field.data.buffers()[2], np.uint8, rows * width, start)
    return Slots(content.reshape(rows, width), width, None, padded=False)


def without_nulls(matrix: U8, nulls: Mask | None) -> Field:
    """A column of fixed-width binary values: slots, or strings when some are null (binary bytes cannot be padded)."""
    width = matrix.shape[1]
    if nulls is None:
        return Slots(matrix, width, None, padded=False)
    sizes = np.where(nulls, 0, width).astype(np.int32)
    return Strings(binary_from(np.ascontiguousarray(matrix[~nulls]), sizes), sizes, nulls)


def big_endian(numbers: I32) -> U8:
    """Each number as 4 big-endian bytes: a matrix (rows x 4)."""
    return np.ascontiguousarray(numbers).astype(">i4").view(np.uint8).reshape(len(numbers), 4)
