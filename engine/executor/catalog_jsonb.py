"""jsonb taken apart, changed and compared, for the catalog's DuckDB. Pure."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from engine.catalog.emulation.names import NameUnknown
from engine.executor.catalog_json import Number, read, string, write


def _same(left: Any, right: Any) -> bool:
    if isinstance(left, Number) and isinstance(right, Number):
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
    return None if whole is None or part is None else _holds(read(whole), read(part), True)


def has_keys(text: str | None, wanted: list[str | None] | None, every: bool | None) -> bool | None:
    """`?`, `?|` and `?&`: keys of an object, texts in an array, or the text itself."""
    if text is None or wanted is None:
        return None
    value = read(text)
    held = value if isinstance(value, (dict, list)) else [value]
    found = (
        any(isinstance(k, str) and not isinstance(k, Number) and k == key for k in held)
        for key in wanted
        if key is not None
    )
    return all(found) if every else any(found)


def concatenated(left: str | None, right: str | None) -> str | None:
    """`||`: objects merge, everything else becomes an array."""
    if left is None or right is None:
        return None
    first, second = read(left), read(right)
    if isinstance(first, dict) and isinstance(second, dict):
        return write({**first, **second})
    return write(
        [*(first if isinstance(first, list) else [first]), *(second if isinstance(second, list) else [second])]
    )


def without(text: str | None, keys: list[str | None] | None) -> str | None:
    """`-` with names: without those keys, or those texts in an array."""
    if text is None or keys is None:
        return None
    value = read(text)
    if isinstance(value, dict):
        return write({k: v for k, v in value.items() if k not in keys})
    if isinstance(value, list):
        return write([v for v in value if isinstance(v, Number) or not isinstance(v, str) or v not in keys])
    raise NameUnknown("22023")


def without_place(text: str | None, place: int | None) -> str | None:
    """`-` with a number: an array without the item there."""
    if text is None or place is None:
        return None
    value = read(text)
    if not isinstance(value, list):
        raise NameUnknown("22023")
    at = place if place >= 0 else len(value) + place
    return write([item for i, item in enumerate(value) if i != at])


def changed(
    text: str | None, steps: list[str | None] | None, new: str | None, how: str | None, missing: bool | None
) -> str | None:
    """`jsonb_set` (`how` set), `jsonb_insert` (before, after) and `#-` (delete) at the end of a path."""
    if text is None or steps is None or new is None or how is None or missing is None:
        return None
    return write(_changed(read(text), steps, read(new), how, missing))


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


def compared(left: str | None, right: str | None) -> int | None:
    """Which of two comes first, as jsonb's indexes sort them: -1, 0 or 1."""
    return None if left is None or right is None else _order(read(left), read(right))


def _order(left: Any, right: Any) -> int:
    ranks = _rank(left), _rank(right)
    if ranks[0] != ranks[1]:
        return _sign(ranks[0], ranks[1])
    if isinstance(left, (list, dict)) and len(left) != len(right):
        return _sign(len(left), len(right))
    if isinstance(left, list):
        return next((found for one, other in zip(left, right, strict=True) if (found := _order(one, other))), 0)
    if isinstance(left, dict):
        sides = [sorted(each.items(), key=lambda pair: (len(pair[0].encode()), pair[0])) for each in (left, right)]
        for (key, one), (other_key, other) in zip(*sides, strict=True):
            if found := _sign(key, other_key) or _order(one, other):
                return found
        return 0
    if isinstance(left, Number):
        return _sign(Decimal(left), Decimal(right))
    return 0 if left is None else _sign(left, right)


def _rank(value: Any) -> int:
    """Null, strings, numbers, truth values, arrays, objects; an array of nothing comes before all."""
    if value == []:
        return -1
    kinds = (dict, list, bool, Number, str)
    return next((5 - place for place, kind in enumerate(kinds) if isinstance(value, kind)), 0)


def _sign(left: Any, right: Any) -> int:
    return int(left > right) - int(left < right)
