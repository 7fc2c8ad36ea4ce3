"""Columns as PostgreSQL's text, exactly as PostgreSQL 15 prints them with its default settings."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from engine.encoder import arrays
from engine.encoder.calendar import Zone, clock_alone, dates_text, instants_text, times_text, timestamps_text
from engine.encoder.digits import decimals_text, integers
from engine.encoder.fields import PAD, Field, Slots, Strings, binary_from, nulls_of, strings_of
from engine.encoder.scalars import bits, days, interval_parts, microseconds, not_understood, numbers, storage_of
from engine.encoder.types import BYTEA, FLOAT4, INTERVAL, JSON, PgType

_HEX = np.frombuffer("".join(f"{n:02x}" for n in range(256)).encode(), np.uint16)
_EXPONENT_LOW = 1e-4
_PLAIN_BELOW = {True: 1e6, False: 1e15}
"""From here on PostgreSQL writes float4 (True) and float8 (False) with an exponent."""
_ARROW_PLAIN_BELOW = 1e10
"""From here on Arrow writes doubles with an exponent."""
_JSON_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|-?(?:NaN|Infinity|nan|inf)')


def text_field(array: pa.Array, pg: PgType, zone: Zone) -> Field:
    """A column of one batch as text.

    Raises:
        EngineFailed: a type without an encoding.
    """
    array = storage_of(array)
    kind, nulls = array.type, nulls_of(array)
    if pg.element and not pa.types.is_string(kind):
        return arrays.text(array, pg, lambda inner, inner_pg: text_field(inner, inner_pg, zone))
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return strings_of(_strict_json(array) if pg.oid == JSON else array)
    if pa.types.is_integer(kind):
        return integers(numbers(array), nulls)
    if pa.types.is_decimal(kind):
        return decimals_text(array)
    if pa.types.is_floating(kind):
        return strings_of(_floats(array, pg.oid == FLOAT4))
    if pa.types.is_boolean(kind):
        return _blanked(np.where(bits(array) == 1, ord("t"), ord("f")).astype(np.uint8)[:, None], array)
    if pa.types.is_date32(kind):
        return dates_text(days(array), nulls)
    if pa.types.is_timestamp(kind):
        if kind.tz is None:
            return timestamps_text(microseconds(array), nulls)
        return instants_text(microseconds(array), nulls, zone)
    if pa.types.is_time64(kind):
        return times_text(microseconds(array), nulls)
    if pg.oid == BYTEA and pa.types.is_binary(kind):
        return _hexadecimal(array) if pg.bytea_output == "hex" else strings_of(_escaped(array))
    if pg.oid == INTERVAL and pa.types.is_struct(kind):
        return strings_of(_intervals(array, interval_alone if pg.interval_style == "postgres" else interval_iso))
    if pa.types.is_null(kind):
        return strings_of(array.cast(pa.string()))
    raise not_understood(array)


def _blanked(matrix: np.ndarray[tuple[int, int], np.dtype[np.uint8]], array: pa.Array) -> Slots:
    nulls, width = nulls_of(array), matrix.shape[1]
    if nulls is None:
        return Slots(matrix, width, None, padded=False)
    matrix[nulls] = PAD
    return Slots(matrix, np.where(nulls, 0, width).astype(np.int32), nulls, padded=True)


def _hexadecimal(array: pa.Array) -> Strings:
    plain = strings_of(array)
    rows, offset = len(array), plain.data.offset
    if not rows:
        return plain
    ends = np.frombuffer(plain.data.buffers()[1], np.int32)[offset : offset + rows + 1]
    content = np.frombuffer(plain.data.buffers()[2], np.uint8)[ends[0] : ends[-1]]
    digits = binary_from(_HEX[content].view(np.uint8), plain.sizes * 2)
    prefix = pa.scalar(b"\\x", pa.binary())
    made = pc.binary_join_element_wise(prefix, digits, pa.scalar(b"", pa.binary()))
    if plain.nulls is None:
        return Strings(made, plain.sizes * 2 + 2, None)
    return strings_of(pc.if_else(pa.array(plain.nulls), pa.scalar(None, pa.binary()), made))


def _floats(array: pa.Array, single: bool) -> pa.Array:
    """Shortest digits that read back the same, in PostgreSQL's notation: plain between 1e-4 and 1e15 (float4: 1e6)."""
    texts = pc.cast(array, pa.string())
    values = np.abs(numbers(array))
    with np.errstate(invalid="ignore"):
        odd = ~((values >= _EXPONENT_LOW) & (values < (1e6 if single else _ARROW_PLAIN_BELOW))) & (values != 0)
    if array.null_count:
        odd &= ~np.asarray(array.is_null())
    if not odd.any():
        return texts
    raw = numbers(array)[odd]
    kinds, inverse = np.unique(raw.view(np.uint32 if single else np.uint64), return_inverse=True)
    written = [_float_alone(value, single) for value in kinds.view(raw.dtype)]
    return pc.replace_with_mask(texts, pa.array(odd), pa.array(written, pa.string()).take(pa.array(inverse)))


def _float_alone(value: np.floating, single: bool) -> str:
    if np.isnan(value):
        return "NaN"
    if np.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    if not single and _EXPONENT_LOW <= abs(value) < _PLAIN_BELOW[single]:
        return repr(float(value)).removesuffix(".0")
    mantissa, _, exponent = np.format_float_scientific(value, unique=True, trim="-").partition("e")
    power = int(exponent)
    if power < -4 or 10.0**power >= _PLAIN_BELOW[single]:
        return f"{mantissa}e{'-' if power < 0 else '+'}{abs(power):02d}"
    return np.format_float_positional(value, unique=True, trim="-")


def _strict_json(array: pa.Array) -> pa.Array:
    """JSON without DuckDB's bare NaN and Infinity, which no JSON reader need accept: they become strings."""
    suspects = pc.match_substring_regex(array, "(?i)nan|inf")
    if not pc.any(suspects).as_py():
        return array
    chosen = pc.filter(array, pc.fill_null(suspects, False))
    mended = [_JSON_TOKEN.sub(_quoted_if_bare, text) for text in chosen.to_pylist()]
    return pc.replace_with_mask(array, pc.fill_null(suspects, False), pa.array(mended, array.type))


def _quoted_if_bare(match: re.Match[str]) -> str:
    token = match.group()
    if token.startswith('"'):
        return token
    name = "NaN" if token.lstrip("-")[0].lower() == "n" else "Infinity"
    return f'"{"-" if token.startswith("-") and name == "Infinity" else ""}{name}"'


def _intervals(array: pa.Array, alone: Callable[[int, int, int], str]) -> pa.Array:
    nulls = nulls_of(array)
    parts = zip(*(part.tolist() for part in interval_parts(array)), strict=True)
    hidden = [False] * len(array) if nulls is None else nulls.tolist()
    return pa.array([None if null else alone(*row) for row, null in zip(parts, hidden, strict=True)], pa.string())


def interval_alone(months: int, day: int, us: int) -> str:
    """One interval in PostgreSQL's `postgres` style: `1 year 2 mons -3 days +04:05:06.7`."""
    out: list[str] = []
    before = False
    years = abs(months) // 12 * (1 if months >= 0 else -1)
    for value, unit in ((years, "year"), (months - years * 12, "mon"), (day, "day")):
        if value:
            out.append(f"{'+' if before and value > 0 else ''}{value} {unit}{'' if value == 1 else 's'}")
            before = value < 0
    if us or not out:
        sign = "-" if us < 0 else "+" if before else ""
        out.append(sign + clock_alone(abs(us)))
    return " ".join(out)


_ESCAPES = ["\\\\" if byte == 0x5C else chr(byte) if 32 <= byte <= 126 else f"\\{byte:03o}" for byte in range(256)]


def _escaped(array: pa.Array) -> pa.Array:
    """Bytes in PostgreSQL's `escape` form: what ASCII can show as it is, the rest as a backslash and octal digits."""
    values = (None if value is None else "".join(map(_ESCAPES.__getitem__, value)) for value in array.to_pylist())
    return pa.array(values, pa.string())


def interval_iso(months: int, day: int, us: int) -> str:
    """One interval in PostgreSQL's `iso_8601` style: `P1Y2M-3DT4H5M6.7S`."""
    years = int(months / 12)
    date = "".join(f"{value}{unit}" for value, unit in ((years, "Y"), (months - years * 12, "M"), (day, "D")) if value)
    sign = "-" if us < 0 else ""
    seconds, fraction = divmod(abs(us), 1_000_000)
    clock = [f"{sign}{value}{unit}" for value, unit in ((seconds // 3600, "H"), (seconds // 60 % 60, "M")) if value]
    if seconds % 60 or fraction:
        clock.append(f"{sign}{seconds % 60}{f'.{fraction:06d}'.rstrip('0') if fraction else ''}S")
    return f"P{date}" + (f"T{''.join(clock)}" if clock else "" if date else "T0S")
