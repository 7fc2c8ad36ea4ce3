"""Parameters of a statement: PostgreSQL's text and binary forms to values that DuckDB binds with the right type.

A client's oid decides how its bytes are read and typed; with oid 0 the type that the pipeline inferred does. Every
value is checked here before DuckDB sees it, so that a malformed one is refused without being quoted.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NoReturn

import duckdb
from duckdb.sqltypes import DuckDBPyType

from engine.encoder import parameter_text as text_form
from engine.encoder import types as t
from governance.errors import EngineFailed

ARRAY_ELEMENTS_MAX = 1_000_000
_NULL_LENGTH = -1
_JSONB, _NAME, _OID, _CHAR, _BIT = 3802, 19, 26, 18, 1560
_UNTYPED = (0, t.UNKNOWN)
_EPOCH_US, _EPOCH_DAYS = 946_684_800_000_000, 10_957
_NUMERIC_NAN, _NUMERIC_INFINITY, _NUMERIC_MINUS_INFINITY, _NUMERIC_NEGATIVE = 0xC000, 0xD000, 0xF000, 0x4000
_NUMERIC_DIGITS_MAX = 64
_DECIMAL_PRECISION_MAX = 38


@dataclass(frozen=True, slots=True)
class ParameterValue:
    """One bound value: its bytes (None is NULL), format (0 text, 1 binary) and the client's oid (0: not told)."""

    data: bytes | None = field(repr=False)
    format: int = 0
    oid: int = 0


_DUCKDB = {
    t.BOOL: "BOOLEAN", t.INT2: "SMALLINT", t.INT4: "INTEGER", t.INT8: "BIGINT", t.FLOAT4: "FLOAT", t.FLOAT8: "DOUBLE",
    t.TEXT: "VARCHAR", t.VARCHAR: "VARCHAR", t.BPCHAR: "VARCHAR", _NAME: "VARCHAR", _CHAR: "VARCHAR", t.BYTEA: "BLOB",
    t.DATE: "DATE", t.TIME: "TIME", t.TIMETZ: "TIME WITH TIME ZONE", t.TIMESTAMP: "TIMESTAMP", t.UUID: "UUID",
    t.TIMESTAMPTZ: "TIMESTAMP WITH TIME ZONE", t.INTERVAL: "INTERVAL", t.JSON: "JSON", _JSONB: "JSON",
    t.VARBIT: "BIT", _BIT: "BIT", _OID: "UINTEGER",
}  # fmt: skip
_ELEMENTS = {**t.ELEMENT_OIDS, 3807: _JSONB, 1003: _NAME, 1028: _OID, 1561: _BIT, 1002: _CHAR}
_ALIASES = {"TIMESTAMP_TZ": "TIMESTAMP WITH TIME ZONE", "TIME_TZ": "TIME WITH TIME ZONE", "DECIMAL": "DECIMAL(18,3)"}


_FLOATS = ("FLOAT", "DOUBLE")


def bound_type(oid: int, inferred: str = "") -> str:
    """The DuckDB type a parameter is bound with: the client's oid says, or else what was inferred; empty if neither."""
    element = _ELEMENTS.get(oid)
    if element is not None:
        kind = _DUCKDB.get(element, "")
        return f"{kind}[]" if kind else inferred
    return _DUCKDB.get(oid, inferred)


def decode(value: ParameterValue, duckdb_type: str = "") -> Any:
    """What DuckDB is to bind for `value`: None, a `duckdb.Value` of the right type, or a list of elements in one.

    `duckdb_type` is the type inferred for the parameter (empty when nothing tells); it counts when the client names
    no oid. Timestamps with time zone but without an offset are taken as UTC.

    Raises:
        EngineFailed: kind `parameter` for bytes that are no value of the type, `out_of_range` for one too large,
            `not_implemented` for a type that cannot be read. Never holds the value.
    """
    if value.data is None:
        return None
    oid = value.oid
    if oid in _UNTYPED:
        oid = t.pg_type(_ALIASES.get(duckdb_type, duckdb_type)).oid if duckdb_type else t.TEXT
    if value.format not in (0, 1):
        _malformed()
    try:
        kind, plain = _element_or_array(oid, value.data, binary=value.format == 1)
        if kind.startswith(_FLOATS) and _holds_nan(plain):
            plain = _floats_as_text(plain)
        if oid == t.NUMERIC and duckdb_type:
            kind = _as_inferred(kind, plain, duckdb_type)
    except (ValueError, struct.error, IndexError, OverflowError):
        _malformed()
    return duckdb.Value(plain, _type(kind))


def _holds_nan(plain: Any) -> bool:
    return any(map(_holds_nan, plain)) if isinstance(plain, list) else isinstance(plain, float) and plain != plain


def _floats_as_text(plain: Any) -> Any:
    """Floats as the text that reads back the same: DuckDB's binding takes a NaN of Python's for NULL."""
    if isinstance(plain, list):
        return [_floats_as_text(item) for item in plain]
    return repr(plain) if isinstance(plain, float) else plain


@lru_cache(maxsize=1024)
def _type(name: str) -> DuckDBPyType:
    return DuckDBPyType(name)


def _malformed() -> NoReturn:
    raise EngineFailed(
        "The value of a parameter is not valid for its type.",
        kind="parameter",
        advice="Send the value in the text or binary form of the type that ParameterDescription names.",
    ) from None


def _out_of_range() -> NoReturn:
    raise EngineFailed("The value of a parameter is out of range for its type.", kind="out_of_range")


def _element_or_array(oid: int, data: bytes, *, binary: bool) -> tuple[str, Any]:
    element = _ELEMENTS.get(oid)
    if element is None:
        return _scalar(oid, data, binary=binary)
    if binary:
        depth, found, items = _binary_array(data)
        if found != element and not (_is_text(found) and _is_text(element)):
            raise ValueError
    else:
        items = text_form.array_items(data.decode(), ARRAY_ELEMENTS_MAX)
        depth = text_form.depth_of(items)
    kinds: set[str] = set()
    plain = _converted(items, element, kinds, binary=binary)
    return _common(kinds, element) + "[]" * depth, plain


def _is_text(oid: int) -> bool:
    return _DUCKDB.get(oid) == "VARCHAR"


def _converted(items: list[Any], element: int, kinds: set[str], *, binary: bool) -> list[Any]:
    out: list[Any] = []
    for item in items:
        if item is None:
            out.append(None)
        elif isinstance(item, list):
            out.append(_converted(item, element, kinds, binary=binary))
        else:
            kind, plain = _scalar(element, item, binary=binary)
            kinds.add(kind)
            out.append(plain)
    return out


def _common(kinds: set[str], element: int) -> str:
    """The one type of an array's elements; decimals of several precisions become the widest of them."""
    if not kinds:
        return _DUCKDB.get(element, "DECIMAL(38,10)")
    if len(kinds) == 1:
        return kinds.pop()
    if "DOUBLE" in kinds:
        return "DOUBLE"
    whole = scale = 0
    for kind in kinds:
        precision, point = (int(part) for part in kind[8:-1].split(",")) if kind.startswith("DECIMAL") else (39, 0)
        whole, scale = max(whole, precision - point), max(scale, point)
    if whole + scale > _DECIMAL_PRECISION_MAX:
        _out_of_range()
    return f"DECIMAL({whole + scale},{scale})"


def _scalar(oid: int, data: bytes, *, binary: bool) -> tuple[str, Any]:
    if oid == t.NUMERIC:
        return _numeric(_binary_numeric(data) if binary else data.decode())
    kind = _DUCKDB.get(oid)
    if kind is None:
        raise EngineFailed(
            "A parameter has a type that is not supported.", kind="not_implemented", advice="Send it as text."
        )
    if kind in ("VARCHAR", "JSON"):
        return kind, _text(data, oid, binary=binary)
    if kind in ("SMALLINT", "INTEGER", "BIGINT", "UINTEGER"):
        return kind, _integer(kind, data, binary=binary)
    return kind, (_BINARY[kind](data) if binary else text_form.READ[kind](data.decode()))


def _text(data: bytes, oid: int, *, binary: bool) -> str:
    if oid == _JSONB and binary:
        if data[:1] != b"\x01":
            raise ValueError
        data = data[1:]
    text = data.decode()
    if "\0" in text:
        raise ValueError
    if oid in (t.JSON, _JSONB):
        text_form.check_json(text)
    return text


_INTEGER_BYTES = {"SMALLINT": 2, "INTEGER": 4, "BIGINT": 8, "UINTEGER": 4}


def _integer(kind: str, data: bytes, *, binary: bool) -> int:
    size, signed = _INTEGER_BYTES[kind], kind != "UINTEGER"
    if binary:
        if len(data) != size:
            raise ValueError
        return int.from_bytes(data, "big", signed=signed)
    number = text_form.integer(data.decode())
    bits = size * 8
    low, high = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1)
    if not low <= number <= high:
        _out_of_range()
    return number


def _numeric(text: str) -> tuple[str, str]:
    """The type that holds a decimal exactly, and its text: DECIMAL, or a wide integer; NaN and infinity are DOUBLE."""
    special = text_form.special_number(text)
    if special is not None:
        return "DOUBLE", special
    sign, whole, fraction = text_form.decimal_parts(text)
    scale, precision = len(fraction), len(whole) + len(fraction)
    if not whole and precision < _DECIMAL_PRECISION_MAX:
        precision += 1
    if precision <= _DECIMAL_PRECISION_MAX:
        return f"DECIMAL({precision},{scale})", f"{sign}{whole or '0'}" + (f".{fraction}" if fraction else "")
    number = int(f"{sign}{whole or '0'}") if not fraction.strip("0") else 0
    if not number:
        _out_of_range()
    if -(1 << 127) <= number < 1 << 127:
        return "HUGEINT", str(number)
    if 0 < number < 1 << 128:
        return "UHUGEINT", str(number)
    _out_of_range()


_WIDE = {"UBIGINT": (0, 1 << 64), "HUGEINT": (-(1 << 127), 1 << 127), "UHUGEINT": (0, 1 << 128)}


def _as_inferred(kind: str, text: str, inferred: str) -> str:
    """The inferred type when it holds the decimal exactly: the bound statement has the types it was described with."""
    if kind == "DOUBLE":
        return kind
    whole, _, fraction = text.lstrip("-").partition(".")
    if inferred in _WIDE and not fraction:
        low, high = _WIDE[inferred]
        return inferred if low <= int(text) < high else kind
    if inferred.startswith("DECIMAL("):
        precision, scale = (int(part) for part in inferred[8:-1].split(","))
        if len(fraction) <= scale and len(whole.lstrip("0")) <= precision - scale:
            return inferred
    return kind


def _binary_numeric(data: bytes) -> str:
    count, weight, sign, scale = struct.unpack_from(">hhHH", data)
    if sign == _NUMERIC_NAN:
        return "NaN"
    if sign in (_NUMERIC_INFINITY, _NUMERIC_MINUS_INFINITY):
        return "Infinity" if sign == _NUMERIC_INFINITY else "-Infinity"
    if len(data) != 8 + 2 * count or sign not in (0, _NUMERIC_NEGATIVE):
        raise ValueError
    if count > _NUMERIC_DIGITS_MAX or abs(weight) > _NUMERIC_DIGITS_MAX or scale > 4 * _NUMERIC_DIGITS_MAX:
        _out_of_range()
    digits = struct.unpack_from(f">{count}H", data, 8)
    if any(digit > 9999 for digit in digits):
        raise ValueError
    by_place = dict(zip(range(weight, weight - count, -1), digits, strict=True))
    lowest = -((scale + 3) // 4)
    whole = "".join(f"{by_place.get(place, 0):04d}" for place in range(max(weight, 0), -1, -1))
    fraction = "".join(f"{by_place.get(place, 0):04d}" for place in range(-1, lowest - 1, -1))
    shown = fraction[:scale].ljust(scale, "0")
    return ("-" if sign else "") + (whole.lstrip("0") or "0") + (f".{shown}" if scale else "")


def _binary_array(data: bytes) -> tuple[int, int, list[Any]]:
    """Number of dimensions (1 for an empty array), element oid, and the elements' bytes as nested lists."""
    dimensions, _, element = struct.unpack_from(">iiI", data)
    if not 0 <= dimensions <= text_form.ARRAY_DEPTH_MAX:
        raise ValueError
    if dimensions == 0:
        if len(data) != 12:
            raise ValueError
        return 1, element, []
    lengths, at, total = [], 12, 1
    for _ in range(dimensions):
        length, _lower = struct.unpack_from(">ii", data, at)
        at += 8
        total *= length
        if length < 0 or total > ARRAY_ELEMENTS_MAX:
            raise ValueError
        lengths.append(length)
    items: list[Any] = []
    for _ in range(total):
        (size,) = struct.unpack_from(">i", data, at)
        at += 4
        if size == _NULL_LENGTH:
            items.append(None)
            continue
        if size < 0 or at + size > len(data):
            raise ValueError
        items.append(data[at : at + size])
        at += size
    if at != len(data):
        raise ValueError
    for length in reversed(lengths[1:]):
        items = [items[start : start + length] for start in range(0, len(items), length)] if length else []
    return dimensions, element, items


def _fixed(form: str) -> Callable[[bytes], Any]:
    reader = struct.Struct(form)

    def read(data: bytes) -> Any:
        return reader.unpack(data)[0]

    return read


def _bool(data: bytes) -> bool:
    if len(data) != 1 or data[0] > 1:
        raise ValueError
    return data == b"\x01"


def _date(data: bytes) -> str:
    (days,) = struct.unpack(">i", data)
    if days in (2**31 - 1, -(2**31)):
        return "infinity" if days > 0 else "-infinity"
    return text_form.duckdb_timestamp((days + _EPOCH_DAYS) * 86_400_000_000).partition(" 00:00:00")[0]


def _timestamp(data: bytes) -> str:
    (us,) = struct.unpack(">q", data)
    if us in (2**63 - 1, -(2**63)):
        return "infinity" if us > 0 else "-infinity"
    return text_form.duckdb_timestamp(us + _EPOCH_US)


def _instant(data: bytes) -> str:
    text = _timestamp(data)
    return text if text.endswith("infinity") else f"{text}+00"


def _time(data: bytes) -> str:
    (us,) = struct.unpack(">q", data)
    return text_form.clock(us)


def _timetz(data: bytes) -> str:
    us, west = struct.unpack(">qi", data)
    if abs(west) >= 57_600:
        raise ValueError
    seconds = abs(west)
    zone = f"{'-' if west > 0 else '+'}{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
    return text_form.clock(us) + zone


def _interval(data: bytes) -> str:
    us, days, months = struct.unpack(">qii", data)
    return text_form.duckdb_interval(months, days, us)


def _uuid(data: bytes) -> str:
    if len(data) != 16:
        raise ValueError
    digits = data.hex()
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def _bits(data: bytes) -> str:
    (count,) = struct.unpack_from(">i", data)
    if count < 1 or len(data) != 4 + (count + 7) // 8:
        raise ValueError
    return f"{int.from_bytes(data[4:]):0{8 * (len(data) - 4)}b}"[:count]


_BINARY: dict[str, Callable[[bytes], Any]] = {
    "BOOLEAN": _bool,
    "FLOAT": _fixed(">f"),
    "DOUBLE": _fixed(">d"),
    "BLOB": bytes,
    "DATE": _date,
    "TIME": _time,
    "TIME WITH TIME ZONE": _timetz,
    "TIMESTAMP": _timestamp,
    "TIMESTAMP WITH TIME ZONE": _instant,
    "INTERVAL": _interval,
    "UUID": _uuid,
    "BIT": _bits,
}
