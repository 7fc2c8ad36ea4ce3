"""Typed pieces of DuckDB text, and how literals and parameters take their type from where they stand."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from engine.catalog.emulation import types as t
from engine.catalog.emulation.names import format_type
from governance.errors import Refusal, StatementRefused

NAME_CHARS_MAX = 128
_READ_AS = {t.JSON: "hd_json_checked({})", t.JSONB: "hd_jsonb({})"}
"""What a text goes through to be of these types."""
DEPTH_MAX = 5
"""Dimensions of an array beyond the first: PostgreSQL has six in all."""


def named(name: str) -> str:
    """A name out of the client's own text, quoted for a message and cut to a safe length."""
    return '"' + "".join(c if c.isprintable() else "?" for c in name[:NAME_CHARS_MAX]) + '"'


class CatalogRefused(Refusal):
    """A catalog query that PostgreSQL itself would refuse: carries PostgreSQL's SQLSTATE."""

    code = "refused"

    def __init__(self, sqlstate: str, message: str, *, position: int | None = None, advice: str = "") -> None:
        super().__init__(message, position=position, advice=advice)
        self.sqlstate = sqlstate


class Field(NamedTuple):
    """A field of a composite; `fields`, `items` and `depth` as `Value` has them."""

    name: str
    type: int
    modifier: int = -1
    fields: tuple[Any, ...] = ()
    items: tuple[Any, ...] = ()
    depth: int = 0


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
    fields: tuple[Field, ...] = ()
    """Of a composite; the DuckDB value is a STRUCT of f1, f2, ..."""
    items: tuple[Field, ...] = ()
    """Of an array of composites: the fields of each."""
    depth: int = 0
    """How many dimensions an array has beyond the first; the DuckDB value is a list of lists."""

    @property
    def duck(self) -> str:
        """The DuckDB type of a value that is no composite."""
        return t.duck(self.type) + "[]" * self.depth

    def element(self, sql: str) -> Value:
        """What stands inside this array, one dimension down, called `sql`."""
        if self.depth:
            return Value(sql, self.type, items=self.items, depth=self.depth - 1)
        return Value(sql, t.element_of(self.type) or t.TEXT, fields=self.items)

    @property
    def type_name(self) -> str:
        """The type as a message names it."""
        return "unknown" if self.untyped else format_type(self.type, None) or "unknown"

    @property
    def untyped(self) -> bool:
        """Whether its type is still to be told."""
        return self.literal is not None or self.parameter > 0 or self.null


def no_operator(operator: str, left: Value, right: Value) -> CatalogRefused:
    """No operator of that name takes these (42883), in PostgreSQL's words."""
    return CatalogRefused("42883", f"operator does not exist: {left.type_name} {operator} {right.type_name}")


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
        text = f"CAST($p{number} AS {t.duck(oid)})"
        return Value(_READ_AS[oid].format(text) if oid in _READ_AS else text, oid)


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


def array_depth(text: str) -> int:
    """How many dimensions an array literal has beyond the first."""
    opened = re.match(r"[{\s]*", text.strip())
    return max((opened.group() if opened else "").count("{") - 1, 0)


def _parts(text: str) -> list[str]:
    """The array literals inside `{{...},{...}}`.

    Raises:
        CatalogRefused: malformed.
    """
    found, level, start, quotes, i = list[str](), 0, 0, False, 0
    body = text.strip()
    while i < len(body):
        c = body[i]
        if c == "\\":
            i += 1
        elif c == '"':
            quotes = not quotes
        elif c == "{" and not quotes:
            level += 1
            start = i if level == 2 else start
        elif c == "}" and not quotes:
            level -= 1
            if level == 1:
                found.append(body[start : i + 1])
        elif level == 1 and not quotes and c != "," and not c.isspace():
            raise _refuse()
        i += 1
    if level or quotes:
        raise _refuse()
    return found


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
    if element is not None and t.is_composite(element):
        if text.strip() != "{}":
            raise StatementRefused("Composites are not read from texts in catalog queries.")
        return "[]"
    if element is not None:
        depth = 0 if t.is_vector(oid) else array_depth(text)
        if depth > DEPTH_MAX:
            raise _refuse(oid)
        if depth:
            parts = _parts(text)
            if len({part.count(",") if depth == 1 and '"' not in part else 0 for part in parts}) != 1:
                raise _refuse(oid)
            return f"[{', '.join(constant(part, oid) for part in parts)}]"
        items = text.split() if t.is_vector(oid) and "{" not in text else array_items(text)
        inner = ", ".join("NULL" if item is None else constant(item, element) for item in items)
        return f"CAST([{inner}] AS {t.duck(oid)})"
    if oid in (t.TIMESTAMP, t.TIMESTAMPTZ):
        whole = _MINUTES.sub(lambda found: found.group() + ":00", text.strip())
        return f"CAST({quoted(whole)} AS {t.duck(oid)})"
    if oid in _READ_AS:
        return _READ_AS[oid].format(quoted(text))
    if oid == t.CHAR:
        return quoted(text[:1])
    if t.duck(oid) == "VARCHAR":
        return quoted(text)
    return f"CAST({quoted(text)} AS {t.duck(oid)})"


def settle(value: Value, oid: int, parameters: Parameters) -> Value:
    """`value` with its type told by its place, if it was untyped; otherwise as it is."""
    if value.null:
        text = "NULL" if t.is_composite(t.element_of(oid) or oid) else f"CAST(NULL AS {t.duck(oid)})"
        return replace(value, sql=text, type=oid, null=False)
    if value.literal is not None:
        depth = array_depth(value.literal) if t.element_of(oid) is not None and not t.is_vector(oid) else 0
        return replace(value, sql=constant(value.literal, oid), type=oid, literal=None, depth=depth)
    if value.parameter:
        settled = parameters.settle(value.parameter, oid)
        return replace(settled, label=value.label, firm=value.firm)
    return value


def array_over(item: Value, sql: str) -> Value:
    """The array `sql` of values like `item`: an array of arrays has one dimension more."""
    if t.element_of(item.type) is not None and not t.is_vector(item.type):
        return Value(sql, item.type, items=item.items, depth=item.depth + 1)
    return Value(sql, t.array_of(item.type), items=item.fields)


def like(values: list[Value], sql: str) -> Value:
    """A value `sql` that is one of `values`, which are of one type: with the fields and dimensions they have."""
    shape = next((v for v in values if v.fields or v.items or v.depth), values[0])
    return Value(sql, values[0].type, fields=shape.fields, items=shape.items, depth=shape.depth)


def flat(value: Value) -> Value:
    """An array's items in one dimension."""
    text = value.sql
    for _ in range(value.depth):
        text = f"flatten({text})"
    return replace(value, sql=text, depth=0)


def field(value: Value, place: int) -> Value:
    """The field of a composite at a 0-based place."""
    held = value.fields[place]
    text = f"struct_extract({value.sql}, 'f{place + 1}')"
    return Value(
        text, held.type, label=held.name, firm=True, returns_set=value.returns_set, modifier=held.modifier,
        fields=held.fields, items=held.items, depth=held.depth,
    )  # fmt: skip


def composite(fields: list[Value], oid: int = t.RECORD) -> Value:
    """A composite of typed values, whose labels name its fields."""
    packed = ", ".join(f"f{i} := {f.sql}" for i, f in enumerate(fields, 1))
    told = tuple(Field(f.label, f.type, f.modifier, f.fields, f.items, f.depth) for f in fields)
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
    if t.element_of(value.type) is not None:
        item = "e" * (value.depth + 1)
        shown = f"list_transform({value.sql}, lambda {item}: {printed(value.element(item))})"
        if value.depth:
            inner = f"list_aggregate({shown}, 'string_agg', ',')"
            return f"(CASE WHEN {value.sql} IS NOT NULL THEN '{{' || coalesce({inner}, '') || '}}' END)"
        return f"hd_array_out({shown})"
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
    if oid == t.JSON and source != t.JSONB:
        return replace(value, sql=_READ_AS[oid].format(as_text(value)), type=oid, fields=(), modifier=-1)
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
    if wanted is not None and held is not None and ({wanted, held} & t.REG_TYPES.keys() or t.is_text(wanted)):
        name = "m" * (value.depth + 1)
        inner = value.element(name)
        shown = cast(inner, oid if value.depth else wanted).sql
        return replace(value, sql=f"list_transform({value.sql}, lambda {name}: {shown})", type=oid, items=())
    return replace(value, sql=f"CAST({value.sql} AS {t.duck(oid)}{'[]' * value.depth})", type=oid)
