"""Values and names as SQL text: the only two ways in which anything of ours becomes part of a statement."""

from __future__ import annotations

import re
from datetime import date, datetime, time

from governance.sql_types import FLOATS, INTEGER_RANGES, decimal_shape, is_text

_WHOLE = re.compile(r"\A-?\d{1,40}\Z", re.ASCII)
_NUMBER = re.compile(r"\A-?\d{1,40}(\.\d{1,40})?\Z", re.ASCII)
_UUID = re.compile(r"\A[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}\Z")


def identifier(name: str) -> str:
    """`name` as a quoted identifier.

    Raises:
        ValueError: an empty name or one with a NUL, which DuckDB would read as the end of the text.
    """
    if not name or "\0" in name:
        raise ValueError("not a name")
    return '"' + name.replace('"', '""') + '"'


def text_literal(text: str) -> str:
    """`text` as a plain string literal (DuckDB reads no escapes inside).

    Raises:
        ValueError: a NUL, which DuckDB would read as the end of the text.
    """
    if "\0" in text:
        raise ValueError("a NUL cannot stand in a literal")
    return "'" + text.replace("'", "''") + "'"


def fits(text: str, low: int, high: int) -> bool:
    """Whether `text` is a whole number between `low` and `high`."""
    return bool(_WHOLE.match(text)) and low <= int(text) <= high


def literal_of(text: str, type_: str) -> str | None:
    """`text` as a literal of `type_`, or None when it is not a value of that type, exactly."""
    if is_text(type_):
        return None if "\0" in text else text_literal(text)
    if type_ in INTEGER_RANGES:
        return f"CAST({int(text)} AS {type_})" if fits(text, *INTEGER_RANGES[type_]) else None
    if type_ in FLOATS:
        return f"CAST({text} AS {type_})" if _NUMBER.match(text) else None
    shape = decimal_shape(type_)
    if shape:
        if not _NUMBER.match(text):
            return None
        whole, _, fraction = text.lstrip("-").partition(".")
        if len(whole.lstrip("0")) > shape[0] - shape[1] or len(fraction) > shape[1]:
            return None
        return f"CAST({text_literal(text)} AS {type_})"
    if type_ == "BOOLEAN":
        return text.upper() if text.lower() in ("true", "false") else None
    if type_ == "UUID":
        return f"CAST({text_literal(text)} AS UUID)" if _UUID.match(text) else None
    return _moment(text, type_)


_DAY = r"\d{4}-\d{2}-\d{2}"
_HOUR = r"\d{2}:\d{2}:\d{2}(?:\.\d{1,6})?"
_WRITTEN = {
    "DATE": re.compile(_DAY, re.ASCII),
    "TIMESTAMP": re.compile(rf"{_DAY}(?:[ T]{_HOUR})?", re.ASCII),
    "TIMESTAMP WITH TIME ZONE": re.compile(rf"{_DAY}(?:[ T]{_HOUR}(?:[+-]\d{{2}}:\d{{2}})?)?", re.ASCII),
    "TIME": re.compile(_HOUR, re.ASCII),
}


def written_as(text: str, type_: str) -> bool:
    """Whether DuckDB, too, is sure to read `text` as a value of `type_`: Python reads more spellings of moments."""
    pattern = _WRITTEN.get(type_)
    if pattern is None:
        return literal_of(text, type_) is not None
    if not pattern.fullmatch(text):
        return False
    try:
        time.fromisoformat(text) if type_ == "TIME" else datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def _moment(text: str, type_: str) -> str | None:
    try:
        if type_ == "DATE":
            return f"CAST({text_literal(date.fromisoformat(text).isoformat())} AS DATE)"
        if type_ == "TIMESTAMP":
            moment = datetime.fromisoformat(text)
            if moment.tzinfo is not None:
                return None
            return f"CAST({text_literal(moment.isoformat(sep=' '))} AS TIMESTAMP)"
    except ValueError:
        return None
    return None
