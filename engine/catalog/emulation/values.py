"""Typed pieces of DuckDB text, and how literals and parameters take their type from where they stand."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from engine.catalog.emulation import types as t
from engine.catalog.emulation.names import format_type
from governance.errors import Refusal, StatementRefused

NAME_CHARS_MAX = 128


def named(name: str) -> str:
    """A name out of the client's own text, quoted for a message and cut to a safe length."""
    return '"' + "".join(c if c.isprintable() else "?" for c in name[:NAME_CHARS_MAX]) + '"'


class CatalogRefused(Refusal):
    """A catalog query that PostgreSQL itself would refuse: carries PostgreSQL's SQLSTATE."""

    code = "refused"

    def __init__(self, sqlstate: str, message: str, *, position: int | None = None, advice: str = "") -> None:
        super().__init__(message, position=position, advice=advice)
        self.sqlstate = sqlstate


@dataclass(frozen=True, slots=True)
class Value:
    """DuckDB text with its PostgreSQL type.

    `literal` is the text of a string constant not yet typed; `parameter` the number of one not yet typed; `null` an
    untyped NULL. `label` is the column name PostgreSQL would give; `firm` whether a cast around it keeps that name.
    """

    sql: str
    type: int
    literal: str | None = None
    parameter: int = 0
    null: bool = False
    label: str = "?column?"
    firm: bool = False
    returns_set: bool = False
    modifier: int = -1
    fields: tuple[tuple[str, int, int], ...] = ()
    """Of a composite: (name, type id, modifier) of each field; the DuckDB value is a STRUCT of f1, f2, ..."""

    @property
    def type_name(self) -> str:
        """The type as a message names it."""
        return "unknown" if self.untyped else format_type(self.type, None) or "unknown"

    @property
    def untyped(self) -> bool:
        """Whether its type is still to be told."""
        return self.literal is not None or self.parameter > 0 or self.null


class Parameters:
    """Types of `$n`, told by the client or by the first place that asks."""

    def __init__(self, declared: tuple[int, ...]) -> None:
        self._types: dict[int, int] = {i: oid for i, oid in enumerate(declared, 1) if oid and oid != t.UNKNOWN}
        self._highest = len(declared)

    def mention(self, number: int) -> Value:
        """A use of `$number`: typed already, or to be typed."""
        self._highest = max(self._highest, number)
        known = self._types.get(number)
        if known is None:
            return Value("", t.UNKNOWN, parameter=number)
        return self._read(number, known)

    def settle(self, number: int, oid: int) -> Value:
        """Give `$number` its type if it has none yet."""
        return self._read(number, self._types.setdefault(number, oid))

    def types(self) -> tuple[int, ...]:
        """The type of each parameter; text when nothing told."""
        return tuple(self._types.get(i, t.TEXT) for i in range(1, self._highest + 1))

    @staticmethod
    def _read(number: int, oid: int) -> Value:
        if oid in t.REG_TYPES:
            return Value(f"hd_{t.REG_TYPES[oid]}_in(CAST($p{number} AS VARCHAR))", oid)
        return Value(f"CAST($p{number} AS {t.duck(oid)})", oid)


def quoted(text: str) -> str:
    """A DuckDB string literal."""
    return "'" + text.replace("'", "''") + "'"


def identifier(name: str) -> str:
    """A quoted DuckDB name."""
    return '"' + name.replace('"', '""') + '"'


_TRUE = ("t", "true", "y", "yes", "on", "1")
_FALSE = ("f", "false", "n", "no", "off", "0")
_INTEGER = re.compile(r"\s*[+-]?\d{1,38}\s*\Z")
_MINUTES = re.compile(r"\A\d{4,6}-\d\d?-\d\d?[ T]\d\d?:\d\d(?![:\d])")
"""A moment without its seconds, which DuckDB wants."""
_NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*\Z")


def _refuse(oid: int = t.TEXT_ARRAY) -> CatalogRefused:
    return CatalogRefused("22P02", f"invalid input syntax for type {format_type(oid, None)}")


def array_items(text: str) -> list[str | None]:
    """The items of a one-dimensional array literal `{a,"b c",NULL}`.

    Raises:
        CatalogRefused: malformed.
    """
    body = text.strip()
    if not (body.startswith("{") and body.endswith("}")):
        raise _refuse()
    body, items, i = body[1:-1], list[str | None](), 0
    if not body.strip():
        return items
    while True:
        while i < len(body) and body[i].isspace():
            i += 1
        if i < len(body) and body[i] == '"':
            piece, i = "", i + 1
            while i < len(body) and body[i] != '"':
                if body[i] == "\\":
                    i += 1
                piece += body[i : i + 1]
                i += 1
            if i >= len(body):
                raise _refuse()
            items.append(piece)
            i += 1
        else:
            end = body.find(",", i)
            end = len(body) if end < 0 else end
            piece, i = body[i:end].strip(), end
            if not piece or "{" in piece or "}" in piece or '"' in piece:
                raise _refuse()
            items.append(None if piece.lower() == "null" else piece.replace("\\", ""))
        while i < len(body) and body[i].isspace():
            i += 1
        if i == len(body):
            return items
        if body[i] != ",":
            raise _refuse()
        i += 1


def constant(text: str, oid: int) -> str:
    """DuckDB text for the string constant `text` read as a value of type `oid`.

    Raises:
        CatalogRefused: it is none.
    """
    if oid in t.REG_TYPES:
        return f"hd_{t.REG_TYPES[oid]}_in({quoted(text)})"
    if oid in t.INTEGERS or oid in t.OID_LIKE:
        if not _INTEGER.match(text):
            raise _refuse(oid)
        return f"CAST({int(text)} AS {t.duck(oid)})"
    if oid in t.NUMBERS:
        if not _NUMBER.match(text) and text.strip().lower() not in ("nan", "infinity", "-infinity"):
            raise _refuse(oid)
        return f"CAST({quoted(text.strip())} AS {t.duck(oid)})"
    if oid == t.BOOL:
        folded = text.strip().lower()
        if folded not in _TRUE + _FALSE:
            raise _refuse(oid)
        return "TRUE" if folded in _TRUE else "FALSE"
    element = t.element_of(oid)
    if element is not None:
        items = text.split() if t.is_vector(oid) and "{" not in text else array_items(text)
        inner = ", ".join("NULL" if item is None else constant(item, element) for item in items)
        return f"CAST([{inner}] AS {t.duck(oid)})"
    if oid in (t.TIMESTAMP, t.TIMESTAMPTZ):
        whole = _MINUTES.sub(lambda found: found.group() + ":00", text.strip())
        return f"CAST({quoted(whole)} AS {t.duck(oid)})"
    if oid == t.JSONB:
        return f"hd_jsonb({quoted(text)})"
    if oid == t.CHAR:
        return quoted(text[:1])
    if t.duck(oid) == "VARCHAR":
        return quoted(text)
    return f"CAST({quoted(text)} AS {t.duck(oid)})"


def settle(value: Value, oid: int, parameters: Parameters) -> Value:
    """`value` with its type told by its place, if it was untyped; otherwise as it is."""
    if value.null:
        return replace(value, sql=f"CAST(NULL AS {t.duck(oid)})", type=oid, null=False)
    if value.literal is not None:
        return replace(value, sql=constant(value.literal, oid), type=oid, literal=None)
    if value.parameter:
        settled = parameters.settle(value.parameter, oid)
        return replace(settled, label=value.label, firm=value.firm)
    return value


def field(value: Value, place: int) -> Value:
    """The field of a composite at a 0-based place."""
    name, kind, modifier = value.fields[place]
    text = f"struct_extract({value.sql}, 'f{place + 1}')"
    return Value(text, kind, label=name, firm=True, returns_set=value.returns_set, modifier=modifier)


def composite(fields: list[Value], oid: int = t.RECORD) -> Value:
    """A composite of typed values, whose labels name its fields."""
    packed = ", ".join(f"f{i} := {f.sql}" for i, f in enumerate(fields, 1))
    told = tuple((f.label, f.type, f.modifier) for f in fields)
    return Value(f"struct_pack({packed})" if fields else "CAST(NULL AS VARCHAR)", oid, fields=told)


def printed(value: Value) -> str:
    """The text that a typed value has inside arrays and composites: as a cast's, but for truth values."""
    return f"hd_bool_out({value.sql})" if value.type == t.BOOL else as_text(value)


def as_text(value: Value) -> str:
    """The text PostgreSQL prints for a typed value."""
    if value.fields:
        shown = " || ',' || ".join(f"hd_field_out({printed(field(value, i))})" for i in range(len(value.fields)))
        return f"(CASE WHEN {value.sql} IS NULL THEN NULL ELSE '(' || {shown} || ')' END)"
    if t.is_text(value.type):
        return value.sql
    if value.type == t.NUMERIC:
        return f"hd_numeric_out({value.sql})"
    if value.type in (t.FLOAT4, t.FLOAT8):
        return f"hd_float_out({value.sql})"
    if value.type in t.REG_TYPES:
        return f"hd_{t.REG_TYPES[value.type]}_out({value.sql})"
    if t.is_vector(value.type):
        return f"hd_vector_out({value.sql})"
    element = t.element_of(value.type)
    if element is not None:
        shown = printed(Value("e", element))
        return f"hd_array_out(list_transform({value.sql}, lambda e: {shown}))"
    return f"CAST({value.sql} AS VARCHAR)"


def cast(value: Value, oid: int) -> Value:
    """`value`, typed already, as `oid`: what `CAST` does.

    Raises:
        StatementRefused: a cast that is not supported.
    """
    source = value.type
    if source == oid:
        return value
    if value.fields and t.is_text(oid):
        return replace(value, sql=as_text(value), type=oid, fields=())
    if oid in t.REG_TYPES and t.is_text(source):
        return replace(value, sql=f"hd_{t.REG_TYPES[oid]}_in({value.sql})", type=oid)
    if t.is_text(oid) and oid != t.JSONB and not (oid in t.BITS and source in t.INTEGERS):
        text = as_text(value)
        return replace(value, sql=f"left({text}, 1)" if oid == t.CHAR and source != t.CHAR else text, type=oid)
    if oid == t.JSONB and source != t.JSONB:
        return replace(value, sql=f"hd_jsonb({value.sql})", type=oid)
    if source in t.BITS and oid in t.INTEGERS:
        return replace(value, sql=f"CAST(hd_from_bits({value.sql}) AS {t.duck(oid)})", type=oid)
    if oid in t.BITS and source in t.INTEGERS:
        return replace(value, sql=f"hd_to_bits({value.sql}, 1)", type=oid)
    if t.duck(source) == t.duck(oid):
        return replace(value, type=oid)
    wanted, held = t.element_of(oid), t.element_of(source)
    if (wanted is None) != (held is None) or value.fields or oid == t.RECORD:
        raise StatementRefused("A cast in the catalog query is not supported.")
    if wanted is not None and held is not None and t.is_text(held) and wanted in t.REG_TYPES:
        return replace(value, sql=f"list_transform({value.sql}, lambda e: hd_{t.REG_TYPES[wanted]}_in(e))", type=oid)
    if wanted is not None and held is not None and t.is_text(wanted) and held in t.REG_TYPES:
        return replace(value, sql=f"list_transform({value.sql}, lambda e: hd_{t.REG_TYPES[held]}_out(e))", type=oid)
    return replace(value, sql=f"CAST({value.sql} AS {t.duck(oid)})", type=oid)
