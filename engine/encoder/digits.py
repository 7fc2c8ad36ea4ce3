"""Whole numbers and exact decimals as ASCII digits and as PostgreSQL's base-10000 digits, a column at a time.

Digits come four at a time from tables: index 0-9999 is the chunk with leading zeros, 10000-19999 the chunk with nothing
above it, its leading zeros turned to PAD but for the least that must show.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from engine.encoder.fields import (
    I32,
    PAD,
    U8,
    Field,
    Mask,
    Slots,
    Strings,
    as_binary,
    binary_from,
    nulls_of,
    records,
    rows_of,
    strings_of,
)
from engine.encoder.scalars import numbers

_CHUNK = 10_000
_MINUS, _POINT = ord("-"), ord(".")
_INT64_DIGITS = 18
_HEAD_BYTES = 8
_BASE9 = 1_000_000_000
_NEGATIVE_SIGN = 0x4000
_TABLE_ROWS_MIN = 1024


def _tables() -> tuple[npt.NDArray[np.uint32], ...]:
    numbers = np.arange(_CHUNK)
    digits = np.stack([numbers // 10**place % 10 for place in (3, 2, 1, 0)], axis=1).astype(np.uint8) + ord("0")
    made = []
    for least in range(5):
        top = digits.copy()
        for column in range(4 - least):
            top[numbers < 10 ** (3 - column), column] = PAD
        made.append(np.ascontiguousarray(np.concatenate([digits, top])).view(np.uint32).ravel())
    return tuple(made)


_TABLES = _tables()


def _fractions(scale: int) -> U8:
    """A point and `scale` digits, for every number below 10**scale."""
    text = "".join(f".{number:0{scale}d}" for number in range(10**scale))
    return np.frombuffer(text.encode(), np.uint8).reshape(10**scale, scale + 1)


_FRACTIONS = tuple(_fractions(scale) for scale in range(1, 4))


def _magnitude(values: npt.NDArray[np.integer]) -> tuple[npt.NDArray[np.unsignedinteger], Mask | None]:
    """Absolute values, in 32 bits when they fit (division is cheaper), and where they are negative."""
    negative = None
    if np.issubdtype(values.dtype, np.signedinteger):
        if len(values) and int(values.min()) < 0:
            negative = values < 0
            wide = values.astype(np.int64).view(np.uint64)
            magnitude: npt.NDArray[np.unsignedinteger] = np.where(negative, np.uint64(0) - wide, wide)
        else:
            magnitude = values.astype(np.uint64) if values.dtype != np.int64 else values.view(np.uint64)
    else:
        magnitude = values.astype(np.uint64)
    if len(magnitude) and int(magnitude.max()) <= 0xFFFFFFFF:
        magnitude = magnitude.astype(np.uint32)
    return magnitude, negative


def _ascii(magnitude: npt.NDArray[np.unsignedinteger], least: int) -> tuple[U8, int | I32]:
    """Digits right-justified with PAD before them, at least `least`; how many (one number: no PAD stands there)."""
    rows, kind = len(magnitude), magnitude.dtype.type
    top, bottom = (int(magnitude.max()), int(magnitude.min())) if rows else (0, 0)
    width, shortest = max(len(str(top)), least), max(len(str(bottom)), least)
    chunks = -(-width // 4)
    out = np.empty((rows, chunks), np.uint32)
    rest = magnitude
    for chunk in range(chunks):
        above = rest // kind(_CHUNK)
        index = (rest - above * kind(_CHUNK)).astype(np.intp)
        if width != shortest:
            index += (above == 0) * np.intp(_CHUNK)
        out[:, chunks - 1 - chunk] = _TABLES[min(max(least - 4 * chunk, 0), 4)].take(index, mode="clip")
        rest = above
    matrix: U8 = out.view(np.uint8).reshape(rows, 4 * chunks)[:, 4 * chunks - width :]
    if width == shortest:
        return matrix, width
    sizes = np.full(rows, shortest, np.int32)
    for digits in range(shortest, width):
        sizes += magnitude >= kind(10**digits)
    return matrix, sizes


def integers(values: npt.NDArray[np.integer], nulls: Mask | None, scale: int = 0) -> Slots:
    """Whole numbers as text; with `scale`, numbers counted in 10**-scale units (`1234` at scale 2 is `12.34`)."""
    if nulls is not None:
        values = np.where(nulls, values.dtype.type(0), values)
    spread = _narrow_range(values)
    if spread is not None and nulls is None:
        return _from_table(values, integers(spread, None, scale))
    magnitude, negative = _magnitude(values)
    if 0 < scale <= len(_FRACTIONS):
        unit = magnitude.dtype.type(10**scale)
        whole = magnitude // unit
        digits, sizes = _ascii(whole, 1)
        parts = [digits, rows_of(_FRACTIONS[scale - 1], (magnitude - whole * unit).astype(np.intp))]
        sizes = sizes + np.int32(scale + 1) if isinstance(sizes, np.ndarray) else sizes + scale + 1
    elif scale:
        digits, sizes = _ascii(magnitude, scale + 1)
        point = np.full((len(values), 1), _POINT, np.uint8)
        parts = [digits[:, :-scale], point, digits[:, -scale:]]
        sizes += 1
    else:
        digits, sizes = _ascii(magnitude, 1)
        parts = [digits]
    if negative is not None:
        parts.insert(0, np.where(negative, _MINUS, PAD).astype(np.uint8)[:, None])
        sizes = sizes + negative.astype(np.int32)
    if nulls is None:
        return Slots(_abreast(parts), sizes, None, padded=not isinstance(sizes, int))
    data = _abreast(parts, own=True)
    data[nulls] = PAD
    return Slots(data, np.where(nulls, 0, sizes).astype(np.int32), nulls, padded=True)


def _abreast(parts: list[U8], *, own: bool = False) -> U8:
    """Matrices of bytes side by side; `own` says that the result is changed afterwards."""
    if len(parts) == 1:
        return parts[0].copy() if own else parts[0]
    out = np.empty((len(parts[0]), sum(part.shape[1] for part in parts)), np.uint8)
    at = 0
    for part in parts:
        span = part.shape[1]
        records(out[:, at : at + span])[:] = records(part)
        at += span
    return out


def _narrow_range(values: npt.NDArray[np.integer]) -> npt.NDArray[np.integer] | None:
    """Every number between the least and the greatest when they are few against the rows: then a table is cheaper."""
    if len(values) < _TABLE_ROWS_MIN:
        return None
    low, high = int(values.min()), int(values.max())
    if high - low >= len(values) // 4:
        return None
    return np.arange(low, high + 1, dtype=values.dtype)


def _from_table(values: npt.NDArray[np.integer], table: Slots) -> Slots:
    """Each value's row of `table`, whose first row is the least value's."""
    index = (values - values.min()).astype(np.intp, copy=False)
    sizes = table.sizes if isinstance(table.sizes, int) else table.sizes.take(index, mode="clip")
    return Slots(rows_of(table.data, index), sizes, None, table.padded)


def decimal_words(array: pa.Array) -> npt.NDArray[np.uint64]:
    """The two 64-bit words (low, high) of each decimal128 in two's complement: a matrix (rows x 2)."""
    start, rows = array.offset, len(array)
    return np.frombuffer(array.buffers()[1], np.uint64)[2 * start : 2 * (start + rows)].reshape(rows, 2)


def _unscaled(array: pa.Array) -> npt.NDArray[np.integer] | None:
    """Decimals of at most 18 digits as whole numbers, counted in units of their scale; None for longer ones."""
    if pa.types.is_decimal32(array.type):
        return numbers(array, np.int32)
    if pa.types.is_decimal64(array.type):
        return numbers(array, np.int64)
    if array.type.precision <= _INT64_DIGITS:
        return np.ascontiguousarray(decimal_words(array)[:, 0]).view(np.int64)
    return None


def _wide_digits(words: npt.NDArray[np.uint64], nulls: Mask | None) -> tuple[U8, Mask]:
    """The 39 decimal digits (0-9, most significant first) of 128-bit numbers, and where they are negative."""
    low, high = words[:, 0].copy(), words[:, 1].copy()
    negative: Mask = high >> np.uint64(63) == 1
    if nulls is not None:
        low[nulls], high[nulls], negative[nulls] = 0, 0, False
    flipped = ~low[negative] + np.uint64(1)
    high[negative] = ~high[negative] + (flipped == 0).astype(np.uint64)
    low[negative] = flipped
    half, limit = np.uint64(32), np.uint64(0xFFFFFFFF)
    limbs = [high >> half, high & limit, low >> half, low & limit]
    out = np.zeros((len(low), 45), np.uint8)
    base = np.uint64(_BASE9)
    for group in range(4, -1, -1):
        remainder = np.zeros(len(low), np.uint64)
        for at in range(4):
            current = (remainder << half) | limbs[at]
            limbs[at] = current // base
            remainder = current - limbs[at] * base
        for place in range(8, -1, -1):
            quotient = remainder // np.uint64(10)
            out[:, group * 9 + place] = (remainder - quotient * np.uint64(10)).astype(np.uint8)
            remainder = quotient
    return out[:, 6:], negative


def decimals_text(array: pa.Array) -> Slots:
    """A decimal column as text, with exactly its scale's digits after the point."""
    scale, nulls = array.type.scale, nulls_of(array)
    small = _unscaled(array)
    if small is not None:
        return integers(small, nulls, scale)
    words = decimal_words(array)
    digits, negative = _wide_digits(words, nulls)
    rows, width = digits.shape
    least = scale + 1
    first = np.minimum(np.argmax(digits != 0, axis=1), width - least)
    first = np.where((digits != 0).any(axis=1), first, width - least)
    text = digits + np.uint8(ord("0"))
    text[np.arange(width) < first[:, None]] = PAD
    counts = (width - first + negative + (scale > 0)).astype(np.int32)
    parts = [np.where(negative, _MINUS, PAD).astype(np.uint8)[:, None], text[:, : width - scale]]
    if scale:
        parts += [np.full((rows, 1), _POINT, np.uint8), text[:, width - scale :]]
    out = np.concatenate(parts, axis=1)
    if nulls is not None:
        out[nulls] = PAD
        counts[nulls] = 0
    return Slots(out, counts, nulls, padded=True)


def numeric_binary(shorts: npt.NDArray[np.uint16], point: int, scale: int, negative: Mask, nulls: Mask | None) -> Field:
    """PostgreSQL's binary numeric (ndigits, weight, sign, dscale, digits) from base-10000 digits; outer zeros are cut.

    `shorts` is a matrix, most significant digit first, `point` of them before the decimal point.
    """
    rows, width = shorts.shape
    nothing = np.ones(rows, np.bool_)
    first = np.zeros(rows, np.int16)
    for at in range(width):
        nothing &= shorts[:, at] == 0
        first += nothing
    blank = np.ones(rows, np.bool_)
    last = np.full(rows, width, np.int16)
    for at in range(width - 1, -1, -1):
        blank &= shorts[:, at] == 0
        last -= blank
    first[nothing] = 0
    count = last - first
    out = np.empty((rows, 4 + width), ">u2")
    out[:, 0] = count
    out[:, 1] = np.where(nothing, 0, point - 1 - first).astype(np.int16).view(np.uint16)
    out[:, 2] = np.where(negative, _NEGATIVE_SIGN, 0)
    out[:, 3] = scale
    out[:, 4:] = shorts
    sizes = (_HEAD_BYTES + 2 * count).astype(np.int32)
    if nulls is None and rows and int(count.min()) == width:
        return Slots(out.view(np.uint8).reshape(rows, -1), _HEAD_BYTES + 2 * width, None, padded=False)
    keep = np.ones((rows, 4 + width), np.bool_)
    for at in range(width):
        np.logical_and(first <= at, last > at, out=keep[:, 4 + at])
    if nulls is not None:
        keep[nulls] = False
        sizes[nulls] = 0
    return Strings(binary_from(out[keep].view(np.uint8), sizes), sizes, nulls)


def integers_numeric(values: npt.NDArray[np.integer], nulls: Mask | None, scale: int = 0) -> Field:
    """Whole numbers, or numbers counted in 10**-scale units, as PostgreSQL's binary numeric."""
    if nulls is not None:
        values = np.where(nulls, values.dtype.type(0), values)
    spread = _narrow_range(values)
    if spread is not None and nulls is None:
        table = as_binary(integers_numeric(spread, None, scale))
        return strings_of(table.take(pa.array((values - values.min()).astype(np.int32))))
    magnitude, negative = _magnitude(values)
    kind = magnitude.dtype.type
    rows = len(values)
    if negative is None:
        negative = np.zeros(rows, np.bool_)
    whole = magnitude
    after: list[npt.NDArray[np.unsignedinteger]] = []
    if scale:
        whole = magnitude // kind(10**scale) if 10**scale <= np.iinfo(magnitude.dtype).max else magnitude * kind(0)
        left = magnitude.astype(np.uint64) - whole.astype(np.uint64) * np.uint64(10**scale)
        digits_left = scale
        while digits_left > 0:  # four digits of the fraction at a time, the last group filled up with zeros
            take = min(4, digits_left)
            unit = np.uint64(10 ** (digits_left - take))
            head = left // unit
            left = left - head * unit
            after.append(head * np.uint64(10 ** (4 - take)))
            digits_left -= take
    before: list[npt.NDArray[np.unsignedinteger]] = []
    top = int(whole.max()) if rows else 0
    while top > 0:
        above = whole // kind(_CHUNK)
        before.append(whole - above * kind(_CHUNK))
        whole = above
        top //= _CHUNK
    columns = [*reversed(before), *after] or [np.zeros(rows, np.uint64)]
    shorts = np.empty((rows, len(columns)), np.uint16)
    for at, column in enumerate(columns):
        shorts[:, at] = column
    return numeric_binary(shorts, len(before) if before or after else 1, scale, negative, nulls)


def decimals_numeric(array: pa.Array) -> Field:
    """A decimal column as PostgreSQL's binary numeric."""
    scale, nulls = array.type.scale, nulls_of(array)
    small = _unscaled(array)
    if small is not None:
        return integers_numeric(small, nulls, scale)
    words = decimal_words(array)
    digits, negative = _wide_digits(words, nulls)
    return digits_numeric(digits, scale, negative, nulls)


def digits_numeric(digits: U8, scale: int, negative: Mask, nulls: Mask | None) -> Field:
    """Numbers given as decimal digits (0-9, a matrix), `scale` of them after the point, as binary numeric."""
    rows, width = digits.shape
    whole = width - scale
    before, behind = -whole % 4, -scale % 4
    aligned = np.zeros((rows, before + width + behind), np.uint16)
    aligned[:, before : before + width] = digits
    groups = aligned.reshape(rows, aligned.shape[1] // 4, 4)
    shorts = groups[:, :, 0] * 1000 + groups[:, :, 1] * 100 + groups[:, :, 2] * 10 + groups[:, :, 3]
    return numeric_binary(shorts.astype(np.uint16), (before + whole) // 4, scale, negative, nulls)


def text_numeric(array: pa.Array) -> Field:
    """Whole numbers of any size given as text (HUGEINT, UHUGEINT, BIGNUM) as PostgreSQL's binary numeric."""
    nulls = nulls_of(array)
    plain = pc.fill_null(array, "0")
    negative: Mask = pc.starts_with(plain, "-").to_numpy(zero_copy_only=False)
    plain = pc.utf8_ltrim(plain, "-")
    width = max(int(pc.max(pc.binary_length(plain)).as_py() or 1), 1)
    padded = pc.ascii_lpad(plain, width, "0")
    text = np.frombuffer(padded.buffers()[2], np.uint8, len(padded) * width).reshape(len(padded), width)
    return digits_numeric(text - np.uint8(ord("0")), 0, negative, nulls)
