"""Names of PostgreSQL 15's own functions, operators, collations and text search objects, read and written. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache

from engine.catalog.emulation.names import NameUnknown, format_type, quote_identifier, split_name
from engine.catalog.emulation.rows import static

_NAMED = {
    "regconfig": ("pg_ts_config", "cfgname"),
    "regdictionary": ("pg_ts_dict", "dictname"),
    "regcollation": ("pg_collation", "collname"),
}
"""Kind -> the relation of its objects and the column of their names."""
_SIGNATURE = re.compile(r"(.*?)\s*\((.*)\)\s*\Z", re.DOTALL)
_OPERATOR_NAME = re.compile(r"(?:\"?pg_catalog\"?\s*\.\s*)?([-+*/<>=~!@#%^&|`?]+)\s*\Z")


def _number(text: str) -> int | None:
    text = text.strip()
    return 0 if text == "-" else int(text) if text.isdigit() and len(text) < 11 else None


@cache
def _by_name(kind: str) -> dict[str, int]:
    relation, column = _NAMED[kind]
    return {row[column]: int(row["oid"]) for row in static(relation)}


def named(kind: str, text: str) -> int:
    """The object of a kind (`regconfig`, ...) called `text`.

    Raises:
        NameUnknown: 42704.
    """
    number = _number(text)
    parts = [] if number is not None else split_name(text)
    found = number if number is not None else _by_name(kind).get(parts[-1])
    if found is None or (len(parts) > 1 and parts[-2] != "pg_catalog"):
        raise NameUnknown("42704")
    return found


def name_text(kind: str, oid: int) -> str:
    """The name of an object of a kind; its number when there is none."""
    shown = next((name for name, number in _by_name(kind).items() if number == oid), None)
    return quote_identifier(shown) if shown is not None else str(oid) if oid else "-"


@cache
def _procedures() -> dict[tuple[str, tuple[int, ...]], int]:
    return {(r["proname"], tuple(int(k) for k in r["proargtypes"])): int(r["oid"]) for r in static("pg_proc")}


@cache
def _operators() -> dict[tuple[str, int, int], int]:
    return {(r["oprname"], int(r["oprleft"]), int(r["oprright"])): int(r["oid"]) for r in static("pg_operator")}


def procedure(text: str, type_named: Callable[[str], int]) -> int:
    """`regprocedure` from text, as `name(type, ...)`.

    Raises:
        NameUnknown: 22P02 without parentheses, 42883 when there is none.
    """
    number = _number(text)
    if number is not None:
        return number
    found = _SIGNATURE.match(text)
    if found is None:
        raise NameUnknown("22P02")
    parts = split_name(found.group(1))
    kinds = tuple(type_named(kind) for kind in found.group(2).split(",")) if found.group(2).strip() else ()
    oid = _procedures().get((parts[-1], kinds)) if parts[:-1] in ([], ["pg_catalog"]) else None
    if oid is None:
        raise NameUnknown("42883")
    return oid


def procedure_text(oid: int) -> str:
    """`regprocedure` as text."""
    found = next((key for key, number in _procedures().items() if number == oid), None)
    if found is None:
        return str(oid) if oid else "-"
    return f"{quote_identifier(found[0])}({','.join(format_type(kind, None) or '' for kind in found[1])})"


def operator(text: str, type_named: Callable[[str], int] | None) -> int:
    """`regoperator` from text as `=(type,type)`; `regoper` as a name alone when `type_named` is None.

    Raises:
        NameUnknown: 22P02, 42725 or 42883.
    """
    number = _number(text)
    if number is not None:
        return number
    signature = _SIGNATURE.match(text) if type_named is not None else None
    if type_named is not None and signature is None:
        raise NameUnknown("22P02")
    symbol = _OPERATOR_NAME.match((signature.group(1) if signature else text).strip())
    if symbol is None:
        raise NameUnknown("42601")
    fitting = [oid for (name, _, _), oid in _operators().items() if name == symbol.group(1)]
    if signature is not None and type_named is not None:
        kinds = [0 if k.strip().lower() == "none" else type_named(k) for k in signature.group(2).split(",")]
        if len(kinds) != 2:
            raise NameUnknown("42601")
        one = _operators().get((symbol.group(1), kinds[0], kinds[1]))
        fitting = [one] if one is not None else []
    if len(fitting) != 1:
        raise NameUnknown("42725" if fitting else "42883")
    return fitting[0]


def operator_text(oid: int, *, arguments: bool) -> str:
    """`regoperator`, or `regoper` without its arguments, as text."""
    found = next((key for key, number in _operators().items() if number == oid), None)
    if found is None:
        return str(oid) if oid else "0"
    name, left, right = found
    if arguments:
        shown = (format_type(kind, None) if kind else "NONE" for kind in (left, right))
        return f"{name}({','.join(each or '' for each in shown)})"
    return name if sum(other == name for other, _, _ in _operators()) == 1 else f"pg_catalog.{name}"
