"""JSON as PostgreSQL reads and prints it, for the catalog's DuckDB. Pure.

Numbers keep their spelling. What is no JSON is refused with 22P02.
"""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

from engine.catalog.emulation.names import NameUnknown


class _Number(str):
    """A number as written."""

    __slots__ = ()


def _read(text: str) -> Any:
    try:
        return json.loads(text, parse_int=_Number, parse_float=_Number, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise NameUnknown("22P02") from None


def _no_constant(_: str) -> Any:
    raise ValueError("not JSON")


def _print(value: Any, comma: str = ", ", colon: str = ": ", order: bool = True) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, _Number):
        return str(value)
    if isinstance(value, str):
        return string(value) or ""
    if isinstance(value, list):
        return "[" + comma.join(_print(v, comma, colon, order) for v in value) + "]"
    # jsonb orders its keys by length, then by bytes.
    keys = sorted(value, key=lambda k: (len(k.encode()), k.encode())) if order else list(value)
    return "{" + comma.join(f"{string(k)}{colon}{_print(value[k], comma, colon, order)}" for k in keys) + "}"


def string(text: str | None) -> str | None:
    """A text as a JSON string."""
    return None if text is None else json.dumps(text, ensure_ascii=False)


def number(text: str | None) -> str | None:
    """A number as JSON: what JSON has no number for becomes a string."""
    return string(text) if text in ("NaN", "Infinity", "-Infinity", "inf", "-inf", "nan") else text


def jsonb(text: str | None) -> str | None:
    """The normal form: keys once, in order, one space behind colons and commas."""
    return None if text is None else _print(_read(text))


def path(text: str | None, steps: list[str | None] | None, as_text: bool | None) -> str | None:
    """`#>` and `#>>`: what stands at the end of `steps`, NULL when there is nothing."""
    if text is None or steps is None:
        return None
    value = _read(text)
    for step in steps:
        if isinstance(value, dict) and step in value:
            value = value[step]
        elif isinstance(value, list) and step is not None and step.lstrip("-").isdigit() and len(step) < 10:
            place = int(step)
            if not -len(value) <= place < len(value):
                return None
            value = value[place]
        else:
            return None
    return _shown(value, as_text)


def _shown(value: Any, as_text: bool | None) -> str | None:
    if as_text and (value is None or isinstance(value, str)):
        return None if value is None else str(value)
    return _print(value)


def typeof(text: str | None) -> str | None:
    """`json_typeof`."""
    if text is None:
        return None
    value = _read(text)
    kinds = ((_Number, "number"), (bool, "boolean"), (str, "string"), (list, "array"), (dict, "object"))
    return next((name for kind, name in kinds if isinstance(value, kind)), "null")


def items(text: str | None, as_text: bool | None) -> list[str | None]:
    """`json_array_elements`."""
    value = [] if text is None else _read(text)
    if not isinstance(value, list):
        raise NameUnknown("22023")
    return [_shown(item, as_text) for item in value]


def array_length(text: str | None) -> int | None:
    """`json_array_length`."""
    return None if text is None else len(items(text, as_text=False))


def pairs(text: str | None, as_text: bool | None) -> list[dict[str, str | None]]:
    """`json_each`."""
    value = {} if text is None else _read(text)
    if not isinstance(value, dict):
        raise NameUnknown("22023")
    return [{"f1": key, "f2": _shown(item, as_text)} for key, item in value.items()]


def keys(text: str | None) -> list[str]:
    """`json_object_keys`."""
    return [str(pair["f1"]) for pair in pairs(text, as_text=False)]


def strip_nulls(text: str | None) -> str | None:
    """`json_strip_nulls`."""

    def stripped(value: Any) -> Any:
        if isinstance(value, dict):
            return {k: stripped(v) for k, v in value.items() if v is not None}
        return [stripped(v) for v in value] if isinstance(value, list) else value

    return None if text is None else _print(stripped(_read(text)), ",", ":", order=False)


def pretty(text: str | None) -> str | None:
    """`jsonb_pretty`."""
    return None if text is None else _indented(_read(_print(_read(text))), 0)


def _indented(value: Any, depth: int) -> str:
    pad, end = " " * 4 * (depth + 1), " " * 4 * depth
    if isinstance(value, list):
        return "[\n" + ",\n".join(pad + _indented(v, depth + 1) for v in value) + f"\n{end}]"
    if isinstance(value, dict):
        shown = (f"{pad}{string(k)}: {_indented(v, depth + 1)}" for k, v in value.items())
        return "{\n" + ",\n".join(shown) + f"\n{end}}}"
    return _print(value)


# ---------------------------------------------------------------- jsonb operators


def _same(left: Any, right: Any) -> bool:
    if isinstance(left, _Number) and isinstance(right, _Number):
        return Decimal(left) == Decimal(right)
    return type(left) is type(right) and bool(left == right)


def _holds(whole: Any, part: Any, top: bool) -> bool:
    if isinstance(whole, dict) and isinstance(part, dict):
        return all(key in whole and _holds(whole[key], value, False) for key, value in part.items())
    if isinstance(whole, list):
        if isinstance(part, list):
            return all(any(_holds(item, wanted, False) for item in whole) for wanted in part)
        # An array holds a scalar, but only at the top.
        return top and not isinstance(part, dict) and any(_same(item, part) for item in whole)
    return _same(whole, part)


def contains(whole: str | None, part: str | None) -> bool | None:
    """`@>`."""
    return None if whole is None or part is None else _holds(_read(whole), _read(part), True)


def has_keys(text: str | None, wanted: list[str | None] | None, every: bool | None) -> bool | None:
    """`?`, `?|` and `?&`: keys of an object, texts in an array, or the text itself."""
    if text is None or wanted is None:
        return None
    value = _read(text)
    held = value if isinstance(value, (dict, list)) else [value]
    found = (
        any(isinstance(k, str) and not isinstance(k, _Number) and k == key for k in held)
        for key in wanted
        if key is not None
    )
    return all(found) if every else any(found)


def concatenated(left: str | None, right: str | None) -> str | None:
    """`||`: objects merge, everything else becomes an array."""
    if left is None or right is None:
        return None
    first, second = _read(left), _read(right)
    if isinstance(first, dict) and isinstance(second, dict):
        return _print({**first, **second})
    return _print(
        [*(first if isinstance(first, list) else [first]), *(second if isinstance(second, list) else [second])]
    )


def without(text: str | None, keys: list[str | None] | None) -> str | None:
    """`-` with names: without those keys, or those texts in an array."""
    if text is None or keys is None:
        return None
    value = _read(text)
    if isinstance(value, dict):
        return _print({k: v for k, v in value.items() if k not in keys})
    if isinstance(value, list):
        return _print([v for v in value if isinstance(v, _Number) or not isinstance(v, str) or v not in keys])
    raise NameUnknown("22023")


def without_place(text: str | None, place: int | None) -> str | None:
    """`-` with a number: an array without the item there."""
    if text is None or place is None:
        return None
    value = _read(text)
    if not isinstance(value, list):
        raise NameUnknown("22023")
    at = place if place >= 0 else len(value) + place
    return _print([item for i, item in enumerate(value) if i != at])


def changed(
    text: str | None, steps: list[str | None] | None, new: str | None, how: str | None, missing: bool | None
) -> str | None:
    """`jsonb_set` (`how` set), `jsonb_insert` (before, after) and `#-` (delete) at the end of a path."""
    if text is None or steps is None or new is None or how is None or missing is None:
        return None
    return _print(_changed(_read(text), steps, _read(new), how, missing))


def _changed(value: Any, steps: list[str | None], new: Any, how: str, missing: bool) -> Any:
    if not steps:
        return value
    step, rest = steps[0], steps[1:]
    if step is None:
        raise NameUnknown("22004")
    if isinstance(value, dict):
        if step in value and rest:
            return {**value, step: _changed(value[step], rest, new, how, missing)}
        if how == "delete":
            return {k: v for k, v in value.items() if k != step}
        if rest or (step in value and how != "set") or (step not in value and not missing):
            return value
        return {**value, step: new}
    if not isinstance(value, list) or not step.lstrip("-").isdigit() or len(step) > 9:
        return value
    place = int(step) if int(step) >= 0 else len(value) + int(step)
    inside = 0 <= place < len(value)
    if rest:
        return [_changed(v, rest, new, how, missing) if i == place else v for i, v in enumerate(value)]
    if how == "delete":
        return [v for i, v in enumerate(value) if i != place]
    if how == "set" and inside:
        return [new if i == place else v for i, v in enumerate(value)]
    if how == "set" and not missing:
        return value
    at = min(max(place, 0), len(value)) + (1 if how == "after" and inside else 0)
    return [*value[:at], new, *value[at:]]


def made_of(keys: list[str | None] | None, values: list[str | None] | None) -> str | None:
    """`json_object`: of names and values, or of both in turn."""
    if keys is None:
        return None
    if values is None:
        if len(keys) % 2:
            raise NameUnknown("2202E")
        keys, values = keys[::2], keys[1::2]
    if len(keys) != len(values):
        raise NameUnknown("2202E")
    if any(key is None for key in keys):
        raise NameUnknown("22004")
    pairs = (f"{string(key)} : {string(value) or 'null'}" for key, value in zip(keys, values, strict=True))
    return "{" + ", ".join(pairs) + "}"
