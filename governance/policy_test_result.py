"""What came of a policy test: whether what was got is what was expected, told so that a person can mend it. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from governance.policy_test_file import Expectation

_SHOWN_ROWS = 5


@dataclass(frozen=True, slots=True)
class Got:
    """What a query gave: columns and rows, or the code of a refusal."""

    columns: tuple[str, ...] = ()
    rows: tuple[tuple[Any, ...], ...] = ()
    masked: tuple[str, ...] = ()
    refused: str = ""
    message: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """One test's outcome; `why` is empty when it passed."""

    name: str
    why: str
    query: str

    @property
    def passed(self) -> bool:
        """Whether everything expected came."""
        return not self.why


def plain(value: Any) -> Any:
    """A value as a test file can write it: numbers, truth values, null, texts, lists and mappings."""
    match value:
        case None | bool() | int() | str():
            return value
        case Decimal():
            return int(value) if value == value.to_integral_value() else float(value)
        case float():
            return int(value) if value.is_integer() else value
        case datetime():
            return value.isoformat(" ")
        case date() | time():
            return value.isoformat()
        case timedelta():
            return str(value)
        case bytes() | bytearray() | memoryview():
            return bytes(value).hex()
        case list() | tuple():
            return [plain(v) for v in value]
        case dict():
            return {str(plain(k)): plain(v) for k, v in value.items()}
        case _:
            return str(value)


def _key(row: Sequence[Any]) -> str:
    """A row so that equal rows have equal keys: 1 and 1.0 are equal, 1 and "1" are not, nor is 1 true."""
    return repr([_typed(plain(value)) for value in row])


def _typed(value: Any) -> Any:
    if isinstance(value, list):
        return [_typed(v) for v in value]
    if isinstance(value, dict):
        return {k: _typed(v) for k, v in sorted(value.items())}
    return (type(value).__name__ if not isinstance(value, float) else "float", value)


def judge(expected: Expectation, got: Got) -> Verdict:
    """The outcome of one test."""
    return Verdict(expected.name, _why(expected, got), expected.query)


def _why(expected: Expectation, got: Got) -> str:
    if expected.refused:
        if not got.refused:
            return f"expected the refusal {expected.refused}, got {len(got.rows)} rows"
        return (
            ""
            if got.refused == expected.refused
            else (f"expected the refusal {expected.refused}, got {got.refused}: {got.message}")
        )
    if got.refused:
        return f"refused with {got.refused}: {got.message} ({got.reason})"
    if expected.columns is not None and expected.columns != got.columns:
        return f"expected the columns {', '.join(expected.columns)}, got {', '.join(got.columns)}"
    if expected.masked is not None and set(expected.masked) != set(got.masked):
        return f"expected masks on {_names(expected.masked)}, got masks on {_names(got.masked)}"
    if expected.count is not None and expected.count != len(got.rows):
        return f"expected {expected.count} rows, got {len(got.rows)}"
    return _rows_why(expected, got) if expected.rows is not None else ""


def _names(names: Sequence[str]) -> str:
    return ", ".join(sorted(names)) or "nothing"


def _rows_why(expected: Expectation, got: Got) -> str:
    wanted = expected.rows or ()
    if expected.ordered:
        for number, (one, two) in enumerate(zip(wanted, got.rows, strict=False), 1):
            if _key(one) != _key(two):
                return f"row {number}: expected {_row(one)}, got {_row(two)}"
        return "" if len(wanted) == len(got.rows) else f"expected {len(wanted)} rows, got {len(got.rows)}"
    left, right = Counter(map(_key, wanted)), Counter(map(_key, got.rows))
    missing = [row for row in wanted if left[_key(row)] > right[_key(row)]]
    surplus = [row for row in got.rows if right[_key(row)] > left[_key(row)]]
    parts = []
    if missing:
        parts.append("missing " + "; ".join(map(_row, missing[:_SHOWN_ROWS])))
    if surplus:
        parts.append("not expected " + "; ".join(map(_row, surplus[:_SHOWN_ROWS])))
    return ", ".join(parts)


def _row(row: Sequence[Any]) -> str:
    return "[" + ", ".join("null" if v is None else repr(plain(v)) for v in row) + "]"
