"""DuckDB's types as the law compares them: which pairs meet without a cast that could fail on a value."""

from __future__ import annotations

import re

TEXT = "VARCHAR"
BOOLEAN = "BOOLEAN"
UNTYPED = "?"
"""A text literal, NULL or placeholder: it takes the type of what it stands beside."""
NUMBER = "#"
"""A number literal: it takes a numeric type."""

INTEGER_RANGES: dict[str, tuple[int, int]] = {
    "TINYINT": (-(2**7), 2**7 - 1),
    "SMALLINT": (-(2**15), 2**15 - 1),
    "INTEGER": (-(2**31), 2**31 - 1),
    "BIGINT": (-(2**63), 2**63 - 1),
    "HUGEINT": (-(2**127), 2**127 - 1),
    "UTINYINT": (0, 2**8 - 1),
    "USMALLINT": (0, 2**16 - 1),
    "UINTEGER": (0, 2**32 - 1),
    "UBIGINT": (0, 2**64 - 1),
    "UHUGEINT": (0, 2**128 - 1),
}
FLOATS = frozenset({"FLOAT", "DOUBLE"})

_DECIMAL = re.compile(r"\ADECIMAL\((\d+),\s*(\d+)\)\Z")
_LISTS = re.compile(r"\]|\bMAP\b|\bUNION\b|\bVARIANT\b|\bLIST\b|\bARRAY\b")  # a name of a field that fits costs a copy
_ALIASES = {
    "INT": "INTEGER",
    "INT4": "INTEGER",
    "INT8": "BIGINT",
    "LONG": "BIGINT",
    "INT2": "SMALLINT",
    "SHORT": "SMALLINT",
    "INT1": "TINYINT",
    "STRING": TEXT,
    "TEXT": TEXT,
    "CHAR": TEXT,
    "BPCHAR": TEXT,
    "BOOL": BOOLEAN,
    "REAL": "FLOAT",
    "FLOAT4": "FLOAT",
    "FLOAT8": "DOUBLE",
    "DATETIME": "TIMESTAMP",
    "TIMESTAMPTZ": "TIMESTAMP WITH TIME ZONE",
    "DECIMAL": "DECIMAL(18,3)",
    "NUMERIC": "DECIMAL(18,3)",
}


def normal(type_: str) -> str:
    """The type in DuckDB's own spelling."""
    upper = type_.strip().upper()
    return _ALIASES.get(upper, upper if "'" not in type_ else type_.strip())


def is_text(type_: str) -> bool:
    """Whether values of the type are character strings."""
    return type_ == TEXT or type_.startswith("VARCHAR(")


def is_integer(type_: str) -> bool:
    """Whether the type is one of the whole-number types."""
    return type_ in INTEGER_RANGES


def is_nested(type_: str) -> bool:
    """Whether values of the type hold others."""
    return holds_lists(type_) or type_.upper().startswith("STRUCT")


def holds_lists(type_: str) -> bool:
    """Whether values of the type hold an unknown number of others: lists, maps and what may hold one."""
    return bool(_LISTS.search(type_.upper()))


def is_date_like(type_: str) -> bool:
    """Whether calendar parts of the type can be taken without failing."""
    return type_ in ("DATE", "TIMESTAMP")


def decimal_shape(type_: str) -> tuple[int, int] | None:
    """(width, scale) of a DECIMAL, or None."""
    match = _DECIMAL.match(type_)
    return (int(match[1]), int(match[2])) if match else None


def comparable(left: str, right: str) -> bool:
    """Whether DuckDB compares the two types without a cast that can fail on some value.

    Same types; whole numbers of the signed or of the unsigned kind; floats with floats; decimals whose common
    type holds both.
    """
    if left == right:
        return True
    if is_text(left) and is_text(right):
        return True
    if is_integer(left) and is_integer(right):
        return "UHUGEINT" not in (left, right)
    if left in FLOATS and right in FLOATS:
        return True
    if {left, right} & FLOATS and (is_integer(left) or is_integer(right)):
        return True
    one, two = decimal_shape(left), decimal_shape(right)
    if one and two:
        return max(one[0] - one[1], two[0] - two[1]) + max(one[1], two[1]) <= 38
    return False
