"""JSON as PostgreSQL reads and prints it, for the catalog's DuckDB. Pure.

Of json the spelling is kept, jsonb is its normal form: so a part of either is the piece of text where it stands.
What is no JSON is refused with 22P02.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Any

from engine.catalog.emulation.names import NameUnknown

NUMBER_DIGITS_MAX = 1000
"""Of a number in jsonb, written out: `1e9` has ten. PostgreSQL goes to 131,072."""
_SPACE = re.compile(r"[ \t\n\r]*")
_NO_NUMBERS = {
    "NaN": "NaN", "nan": "NaN", "inf": "Infinity", "Infinity": "Infinity", "-inf": "-Infinity", "-Infinity": "-Infinity"
}  # fmt: skip
_PLACE = re.compile(r" *[+-]?[0-9]{1,9}")


class Number(str):
    """A number as written."""

    __slots__ = ()


def _no_constant(_: str) -> Any:
    raise ValueError("not JSON")


_DECODER = json.JSONDecoder(parse_int=Number, parse_float=Number, parse_constant=_no_constant)


def _value_at(text: str, at: int) -> tuple[Any, int]:
    """The value that begins at `at`, and where it ends."""
    try:
        value, end = _DECODER.raw_decode(text, at)
    except (ValueError, RecursionError):
        raise NameUnknown("22P02") from None
    return value, end


def _whole(text: str) -> tuple[Any, int, int]:
    """The only value of a text, and where it begins and ends."""
    start = _after_space(text, 0)
    value, end = _value_at(text, start)
    if _after_space(text, end) != len(text):
        raise NameUnknown("22P02")
    return value, start, end


def _after_space(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at


def read(text: str) -> Any:
    """The value of a text; numbers keep their spelling, of a key that stands twice the last counts."""
    return _whole(text)[0]


def checked(text: str | None) -> str | None:
    """A text that is to be json, as it is written."""
    if text is not None:
        read(text)
    return text


def _members(text: str, opening: str) -> Iterator[tuple[str | None, Any, str]]:
    """(key, value, spelling) of each member of the array or object that a text, found to be JSON, begins with."""
    at = _after_space(text, text.index(opening) + 1)
    while text[at] not in "]}":
        key = None
        if opening == "{":
            key, at = _value_at(text, at)
            at = _after_space(text, _after_space(text, at) + 1)
        value, end = _value_at(text, at)
        yield key, value, text[at:end]
        at = _after_space(text, end)
        if text[at] == ",":
            at = _after_space(text, at + 1)


def write(value: Any, comma: str = ", ", colon: str = ": ", order: bool = True) -> str:
    """A value in jsonb's normal form, unless told otherwise."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Number):
        return _normal(value) if order else str(value)
    if isinstance(value, str):
        return (string(_text(value)) if order else string(value)) or ""
    if isinstance(value, list):
        return "[" + comma.join(write(v, comma, colon, order) for v in value) + "]"
    # jsonb orders its keys by length, then by bytes.
    keys = sorted(value, key=lambda k: (len(_text(k).encode()), k.encode())) if order else list(value)
    return "{" + comma.join(f"{string(k)}{colon}{write(value[k], comma, colon, order)}" for k in keys) + "}"


def _normal(number: Number) -> str:
    """A number as numeric prints it: without an exponent, with the digits behind the point that were given."""
    digits, _, exponent = number.lower().partition("e")
    if len(exponent) > 5 or abs(int(exponent or 0)) + len(digits) > NUMBER_DIGITS_MAX:
        raise NameUnknown("22003")
    value = Decimal(number)
    if not value:
        return f"{abs(value):f}" if "." in digits else "0"
    return f"{value:f}"


def _text(value: str) -> str:
    """A string that is to leave JSON.

    Raises:
        NameUnknown: it holds what a text cannot: NUL (22P05), or half of a surrogate pair (22P02).
    """
    if "\0" in value:
        raise NameUnknown("22P05")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise NameUnknown("22P02") from None
    return value


def string(text: str | None) -> str | None:
    """A text as a JSON string."""
    return None if text is None else json.dumps(text, ensure_ascii=False)


def key(text: str | None) -> str:
    """A text as the key of an object, which is never NULL."""
    if text is None:
        raise NameUnknown("22023")
    return string(text) or ""


def number(text: str | None) -> str | None:
    """A number as JSON: what JSON has no number for becomes a string."""
    if text in _NO_NUMBERS:
        return string(_NO_NUMBERS[text])
    return text


def jsonb(text: str | None) -> str | None:
    """The normal form: keys once, in order, one space behind colons and commas."""
    return None if text is None else write(read(text))


def path(text: str | None, steps: list[str | None] | None, as_text: bool | None) -> str | None:
    """`#>` and `#>>`: what stands at the end of `steps`, NULL when there is nothing."""
    if text is None or steps is None:
        return None
    value, start, end = _whole(text)
    spelling = text[start:end]
    for step in steps:
        found = None
        if isinstance(value, dict) and step is not None:
            found = _under(value, spelling, step)
        elif isinstance(value, list) and step is not None and _PLACE.fullmatch(step):
            found = _at(value, spelling, int(step))
        if found is None:
            return None
        value, spelling = found
    return _shown(value, spelling, as_text)


def field(text: str | None, key: str | None, as_text: bool | None) -> str | None:
    """`->` and `->>` with a key; NULL of anything but an object."""
    if text is None or key is None:
        return None
    value, start, end = _whole(text)
    found = _under(value, text[start:end], key) if isinstance(value, dict) else None
    return None if found is None else _shown(*found, as_text)


def element(text: str | None, place: int | None, as_text: bool | None) -> str | None:
    """`->` and `->>` with a place, counted from 0 or, below it, from the end; NULL of anything but an array."""
    if text is None or place is None:
        return None
    value, start, end = _whole(text)
    found = _at(value, text[start:end], place) if isinstance(value, list) else None
    return None if found is None else _shown(*found, as_text)


def _under(value: dict[str, Any], spelling: str, key: str) -> tuple[Any, str] | None:
    """A member of an object and its spelling; the last of that key."""
    if key not in value:
        return None
    return [(inner, shown) for name, inner, shown in _members(spelling, "{") if name == key][-1]


def _at(value: list[Any], spelling: str, place: int) -> tuple[Any, str] | None:
    """A member of an array and its spelling."""
    if not -len(value) <= place < len(value):
        return None
    return [(inner, shown) for _, inner, shown in _members(spelling, "[")][place]


def _shown(value: Any, spelling: str, as_text: bool | None) -> str | None:
    if as_text and value is None:
        return None
    return _text(value) if as_text and isinstance(value, str) and not isinstance(value, Number) else spelling


def typeof(text: str | None) -> str | None:
    """`json_typeof`."""
    if text is None:
        return None
    value = read(text)
    kinds = ((Number, "number"), (bool, "boolean"), (str, "string"), (list, "array"), (dict, "object"))
    return next((name for kind, name in kinds if isinstance(value, kind)), "null")


def items(text: str | None, as_text: bool | None) -> list[str | None]:
    """`json_array_elements`."""
    value = [] if text is None else read(text)
    if not isinstance(value, list):
        raise NameUnknown("22023")
    return [_shown(item, spelling, as_text) for _, item, spelling in _members(text or "[]", "[")]


def array_length(text: str | None) -> int | None:
    """`json_array_length`."""
    if text is None:
        return None
    value = read(text)
    if not isinstance(value, list):
        raise NameUnknown("22023")
    return len(value)


def pairs(text: str | None, as_text: bool | None) -> list[dict[str, str | None]]:
    """`json_each`: a key that stands twice is given twice."""
    value = {} if text is None else read(text)
    if not isinstance(value, dict):
        raise NameUnknown("22023")
    members = _members(text or "{}", "{")
    return [{"f1": _text(key or ""), "f2": _shown(item, shown, as_text)} for key, item, shown in members]


def keys(text: str | None) -> list[str]:
    """`json_object_keys`."""
    return [str(pair["f1"]) for pair in pairs(text, as_text=False)]


def strip_nulls(text: str | None, normal: bool | None) -> str | None:
    """`json_strip_nulls`, and `jsonb_strip_nulls` when the result is to be `normal`."""

    def stripped(value: Any) -> Any:
        if isinstance(value, dict):
            return {k: stripped(v) for k, v in value.items() if v is not None}
        return [stripped(v) for v in value] if isinstance(value, list) else value

    if text is None:
        return None
    value = stripped(read(text))
    return write(value) if normal else write(value, ",", ":", order=False)


def pretty(text: str | None) -> str | None:
    """`jsonb_pretty`."""
    return None if text is None else _indented(read(write(read(text))), 0)


def _indented(value: Any, depth: int) -> str:
    pad, end = " " * 4 * (depth + 1), " " * 4 * depth
    if isinstance(value, list):
        return _lines("[", (pad + _indented(v, depth + 1) for v in value), f"{end}]")
    if isinstance(value, dict):
        shown = (f"{pad}{string(k)}: {_indented(v, depth + 1)}" for k, v in value.items())
        return _lines("{", shown, end + "}")
    return write(value)


def _lines(opening: str, members: Iterable[str], closing: str) -> str:
    inner = ",\n".join(members)
    return f"{opening}\n{inner}\n{closing}" if inner else f"{opening}\n{closing}"
