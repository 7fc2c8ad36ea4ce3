"""JSON as PostgreSQL reads and prints it, for the catalog's DuckDB. Pure.

Numbers keep their spelling. What is no JSON is refused with 22P02.
"""

from __future__ import annotations

import json
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
