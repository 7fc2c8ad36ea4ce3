"""PostgreSQL's text forms of values, read strictly: into Python values, or into the text that DuckDB reads.

Every reader raises ValueError for text that is no value of its type; nothing here quotes the text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import numpy as np

from engine.encoder.calendar import US_PER_DAY, civil, clock_alone

ARRAY_DEPTH_MAX = 6
"""PostgreSQL's MAXDIM."""
_SPACE = " \t\n\r\v\f"
_INTEGER = re.compile(r"\A[+-]?[0-9]{1,40}\Z")
_DECIMAL = re.compile(r"\A([+-]?)([0-9]*)(?:\.([0-9]*))?(?:[eE]([+-]?[0-9]{1,4}))?\Z")
_FLOAT = re.compile(r"\A[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?\Z")
_SPECIAL = {
    "nan": "NaN", "infinity": "Infinity", "inf": "Infinity", "+infinity": "Infinity", "+inf": "Infinity",
    "-infinity": "-Infinity", "-inf": "-Infinity",
}  # fmt: skip
_MOMENT = re.compile(
    r"\A(?P<date>[0-9]{4,6}-[0-9]{1,2}-[0-9]{1,2})"
    r"(?:[ T](?P<clock>[0-9]{1,2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{0,9})?)?))?"
    r"\s?(?P<zone>Z|[+-][0-9]{2}(?::?[0-9]{2}(?::?[0-9]{2})?)?)?(?P<bc> BC)?\Z",
    re.IGNORECASE,
)
_CLOCK = re.compile(
    r"\A(?P<clock>[0-9]{1,2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{0,9})?)?)"
    r"\s?(?P<zone>Z|[+-][0-9]{2}(?::?[0-9]{2}(?::?[0-9]{2})?)?)?\Z",
    re.IGNORECASE,
)
_INTERVAL_PART = re.compile(
    r"\s*(?:(?P<sign>[+-])?(?P<hours>[0-9]+):(?P<minutes>[0-9]{2})(?::(?P<seconds>[0-9]{2})(?P<part>\.[0-9]*)?)?"
    r"|(?P<number>[+-]?[0-9]*\.?[0-9]+)\s*(?P<unit>[a-z]+))",
    re.IGNORECASE,
)
_ISO_PART = re.compile(r"([+-]?[0-9]*[.,]?[0-9]+)([YMWDHS])")
_YEAR, _MONTH, _DAY, _US = (12, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)
_UNITS: dict[str, tuple[tuple[int, int, int], int]] = {}
for _names, _kind, _factor in (
    ("year years yr yrs y", _YEAR, 1), ("decade decades", _YEAR, 10), ("century centuries", _YEAR, 100),
    ("mon mons month months", _MONTH, 1), ("week weeks w", _DAY, 7), ("day days d", _DAY, 1),
    ("hour hours hr hrs h", _US, 3_600_000_000), ("minute minutes min mins m", _US, 60_000_000),
    ("second seconds sec secs s", _US, 1_000_000), ("millisecond milliseconds msec msecs ms", _US, 1000),
    ("microsecond microseconds usec usecs us", _US, 1),
):  # fmt: skip
    for _name in _names.split():
        _UNITS[_name] = (_kind, _factor)
_ISO_DATE = {"Y": "year", "M": "month", "W": "week", "D": "day"}
_ISO_CLOCK = {"H": "hour", "M": "minute", "S": "second"}
_BYTEA_OCTAL = re.compile(rb"\\(\\|[0-3][0-7]{2})")
_ARRAY_TOKEN = re.compile(
    r"""\s*(?:(?P<mark>[{},])|"(?P<quoted>(?:[^"\\]|\\.)*)\""""
    r"""|(?P<bare>(?:[^{},"\\\s]|\\.)(?:(?:[^{},"\\]|\\.)*(?:[^{},"\\\s]|\\.))?))\s*""",
    re.DOTALL,
)
_UUID = re.compile(r"\A\{?([0-9a-fA-F]{4}-?){7}[0-9a-fA-F]{4}\}?\Z")


def integer(text: str) -> int:
    """A whole number in decimal digits."""
    text = text.strip(_SPACE)
    if not _INTEGER.match(text):
        raise ValueError
    return int(text)


def special_number(text: str) -> str | None:
    """`NaN`, `Infinity`, `-Infinity` when `text` is one of them, in any of PostgreSQL's spellings."""
    return _SPECIAL.get(text.strip(_SPACE).lower())


def decimal_parts(text: str) -> tuple[str, str, str]:
    """Sign (`-` or empty), digits before the point without leading zeros, digits after it."""
    match = _DECIMAL.match(text.strip(_SPACE))
    if match is None:
        raise ValueError
    sign, whole, fraction, exponent = match.group(1), match.group(2), match.group(3) or "", int(match.group(4) or 0)
    if not whole and not fraction:
        raise ValueError
    if abs(exponent) > 400 or len(whole) + len(fraction) > 400:
        raise OverflowError
    if exponent > 0:
        fraction = fraction.ljust(exponent, "0")
        whole, fraction = whole + fraction[:exponent], fraction[exponent:]
    elif exponent < 0:
        whole = whole.rjust(-exponent, "0")
        whole, fraction = whole[:exponent], whole[exponent:] + fraction
    return ("-" if sign == "-" else ""), whole.lstrip("0"), fraction


def _float(text: str) -> float:
    special = special_number(text)
    if special is not None:
        return float(special)
    text = text.strip(_SPACE)
    if not _FLOAT.match(text):
        raise ValueError
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise OverflowError
    return value


def _bool(text: str) -> bool:
    word = text.strip(_SPACE).lower()
    if word in ("1", "on") or (word and ("true".startswith(word) or "yes".startswith(word))):
        return True
    if word in ("0", "off", "of") or (word and ("false".startswith(word) or "no".startswith(word))):
        return False
    raise ValueError


def _bytea(text: str) -> bytes:
    if text[:2] == "\\x":
        digits = "".join(text[2:].split())
        return bytes.fromhex(digits)
    raw = text.encode()
    if b"\\" in _BYTEA_OCTAL.sub(b"", raw):
        raise ValueError
    return _BYTEA_OCTAL.sub(lambda m: b"\\" if m[1] == b"\\" else bytes([int(m[1], 8)]), raw)


def _zone(text: str | None) -> str:
    if not text:
        return ""
    if text.upper() == "Z":
        return "+00"
    digits = text[1:].replace(":", "")
    parts = [digits[at : at + 2] for at in range(0, len(digits), 2)]
    if int(parts[0]) > 15 or any(int(part) > 59 for part in parts[1:]):
        raise ValueError
    return text[0] + ":".join(parts)


def _clock_parts(text: str) -> str:
    hours, minutes, *rest = text.split(":")
    seconds = rest[0] if rest else "00"
    if int(minutes) > 59 or float(seconds) >= 60:
        raise ValueError
    if int(hours) > 23 and not (int(hours) == 24 and int(minutes) == 0 and float(seconds) == 0):
        raise ValueError
    whole, _, fraction = seconds.partition(".")
    return f"{int(hours):02d}:{minutes}:{whole}" + (f".{fraction[:6]}" if fraction else "")


def _moment(text: str, *, clock: bool, zone: bool) -> str:
    text = text.strip(_SPACE)
    special = {"infinity": "infinity", "-infinity": "-infinity", "epoch": "1970-01-01"}.get(text.lower())
    if special is not None:
        return special
    match = _MOMENT.match(text)
    if match is None:
        raise ValueError
    year, month, day = (int(part) for part in match["date"].split("-"))
    if not year or not 1 <= month <= 12 or not 1 <= day <= _days_in(1 - year if match["bc"] else year, month):
        raise ValueError
    date = f"{year:04d}-{month:02d}-{day:02d}" + (" (BC)" if match["bc"] else "")
    time, offset = _clock_parts(match["clock"] or "00:00:00"), _zone(match["zone"])
    if not clock:
        return date
    return f"{date} {time}" + ((offset or "+00") if zone else "")


def _days_in(year: int, month: int) -> int:
    if month == 2:
        return 29 if year % 4 == 0 and (year % 100 != 0 or year % 400 == 0) else 28
    return 30 if month in (4, 6, 9, 11) else 31


def _time(text: str) -> str:
    match = _CLOCK.match(text.strip(_SPACE))
    if match is None:
        raise ValueError
    return _clock_parts(match["clock"])


def _timetz(text: str) -> str:
    match = _CLOCK.match(text.strip(_SPACE))
    if match is None:
        raise ValueError
    return _clock_parts(match["clock"]) + (_zone(match["zone"]) or "+00")


def clock(us: int) -> str:
    """Microseconds of a day as `HH:MM:SS[.ffffff]`; 24:00:00 is the last."""
    if not 0 <= us <= US_PER_DAY:
        raise ValueError
    return clock_alone(us)


def duckdb_timestamp(us: int) -> str:
    """Microseconds since 1970 in the text that DuckDB reads (`... (BC)` before the year 1)."""
    day, rest = divmod(us, US_PER_DAY)
    year, month, of_month = (int(part[0]) for part in civil(np.array([day], np.int64)))
    era = " (BC)" if year <= 0 else ""
    return f"{1 - year if era else year:04d}-{month:02d}-{of_month:02d}{era} {clock_alone(rest)}"


def duckdb_interval(months: int, days: int, us: int) -> str:
    """An interval in the text that DuckDB reads."""
    if abs(months) >= 1 << 31 or abs(days) >= 1 << 31 or abs(us) >= 1 << 63:
        raise OverflowError
    return f"{months} months {days} days {us} microseconds"


def _interval(text: str) -> str:
    text = text.strip(_SPACE)
    total = [0, 0, 0]
    if text[:1] in ("P", "p"):
        _iso_interval(text[1:].upper(), total)
        return duckdb_interval(*total)
    factor = 1
    text = text.removeprefix("@")
    if text.lower().endswith(" ago"):
        text, factor = text[:-4], -1
    at, seen = 0, False
    while at < len(text):
        match = _INTERVAL_PART.match(text, at)
        if match is None:
            raise ValueError
        at, seen = match.end(), True
        if match["hours"] is not None:
            us = (int(match["hours"]) * 3600 + int(match["minutes"]) * 60 + int(match["seconds"] or 0)) * 1_000_000
            us += int((match["part"] or ".").strip(".").ljust(6, "0")[:6])
            total[2] += -us if match["sign"] == "-" else us
        else:
            _add_part(total, match["number"], match["unit"].lower())
    if not seen or text != text.rstrip(_SPACE):
        raise ValueError
    return duckdb_interval(*(factor * part for part in total))


def _iso_interval(text: str, total: list[int]) -> None:
    date, mark, time = text.partition("T")
    for part, units in ((date, _ISO_DATE), (time, _ISO_CLOCK)):
        if _ISO_PART.sub("", part):
            raise ValueError
        for number, letter in _ISO_PART.findall(part):
            _add_part(total, number.replace(",", "."), units[letter] if letter in units else _no_unit())
    if not (date or time) or (mark and not time):
        raise ValueError


def _no_unit() -> str:
    raise ValueError


def _add_part(total: list[int], number: str, unit: str) -> None:
    """Add `number` units; a fraction of a month or day spills into the smaller fields, as PostgreSQL does."""
    if unit not in _UNITS or len(number) > 32:
        raise ValueError
    kind, factor = _UNITS[unit]
    sign, whole, fraction = decimal_parts(number)
    direction = -1 if sign else 1
    index = kind.index(max(kind))
    unit_size = kind[index] * factor
    total[index] += direction * int(whole or "0") * unit_size
    if not fraction:
        return
    part, below = int(fraction) * unit_size, 10 ** len(fraction)
    if index == 0:  # years keep whole months, months become days of 30 to the month
        total[0] += direction * (part // below)
        part, index = part % below * 30 if factor * kind[0] == 1 else 0, 1
    if index == 1:
        total[1] += direction * (part // below)
        part = part % below * US_PER_DAY
    total[2] += direction * ((part + below // 2) // below)


def _uuid(text: str) -> str:
    text = text.strip(_SPACE)
    if not _UUID.match(text) or (text[0] == "{") != (text[-1] == "}"):
        raise ValueError
    digits = text.strip("{}").replace("-", "").lower()
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def _bits(text: str) -> str:
    if not re.fullmatch(r"[01]{1,1000000}", text):
        raise ValueError
    return text


def check_json(text: str) -> None:
    """Refuse what is not one JSON value.

    Raises:
        ValueError: it is not.
    """
    try:
        json.loads(text, parse_int=len, parse_float=len, parse_constant=_refuse_constant)
    except RecursionError:
        raise ValueError from None


def _refuse_constant(_name: str) -> None:
    raise ValueError


def array_items(text: str, most: int) -> list[Any]:
    """An array literal as nested lists of bytes and None, all of one depth.

    Raises:
        ValueError: not an array literal, ragged, deeper than 6, or more than `most` elements.
    """
    text = text.strip(_SPACE)
    bounds = re.match(r"(?:\[[+-]?[0-9]+:[+-]?[0-9]+\])+=", text)
    if bounds:
        text = text[bounds.end() :]
    root: list[Any] = []
    stack = [root]
    count, at, expects_item, closed = 0, 0, True, False
    while at < len(text):
        match = _ARRAY_TOKEN.match(text, at)
        if match is None or closed:
            raise ValueError
        at = match.end()
        mark, quoted, bare = match.groups()
        if mark == "{":
            if not expects_item or len(stack) > ARRAY_DEPTH_MAX:
                raise ValueError
            inner: list[Any] = []
            stack[-1].append(inner)
            stack.append(inner)
        elif mark == "}":
            if len(stack) == 1 or (expects_item and stack[-1]):
                raise ValueError
            stack.pop()
            expects_item, closed = False, len(stack) == 1
        elif mark == ",":
            if expects_item or len(stack) == 1:
                raise ValueError
            expects_item = True
        else:
            count += 1
            if not expects_item or len(stack) == 1 or count > most:
                raise ValueError
            stack[-1].append(_array_item(quoted, bare))
            expects_item = False
    if not closed:
        raise ValueError
    _check_even(root[0])
    return list(root[0])


def _array_item(quoted: str | None, bare: str | None) -> bytes | None:
    if quoted is None and bare is not None and bare.upper() == "NULL":
        return None
    return re.sub(r"\\(.)", r"\1", quoted if quoted is not None else bare or "", flags=re.DOTALL).encode()


def _check_even(items: list[Any]) -> int:
    """The depth of nested lists, which must be the same everywhere, with equal lengths."""
    nested = [item for item in items if isinstance(item, list)]
    if not nested:
        return 1
    if len(nested) != len(items) or len({len(item) for item in nested}) != 1:
        raise ValueError
    depths = {_check_even(item) for item in nested}
    if len(depths) != 1:
        raise ValueError
    return 1 + depths.pop()


def depth_of(items: list[Any]) -> int:
    """How deep lists are nested (1 for a flat one)."""
    depth = 1
    while items and isinstance(items[0], list):
        items, depth = items[0], depth + 1
    return depth


READ: dict[str, Callable[[str], Any]] = {
    "BOOLEAN": _bool,
    "FLOAT": _float,
    "DOUBLE": _float,
    "BLOB": _bytea,
    "DATE": lambda text: _moment(text, clock=False, zone=False),
    "TIME": _time,
    "TIME WITH TIME ZONE": _timetz,
    "TIMESTAMP": lambda text: _moment(text, clock=True, zone=False),
    "TIMESTAMP WITH TIME ZONE": lambda text: _moment(text, clock=True, zone=True),
    "INTERVAL": _interval,
    "UUID": _uuid,
    "BIT": _bits,
}
"""Readers by DuckDB type of everything but numbers of exact size and text."""
