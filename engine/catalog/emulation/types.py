"""PostgreSQL's types by object id, and what DuckDB holds their values in."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from governance.errors import StatementRefused

BOOL, BYTEA, CHAR, NAME, INT8, INT2, INT2VECTOR, INT4, REGPROC, TEXT, OID = 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26
TID, XID, CID, OIDVECTOR, JSON, FLOAT4, FLOAT8, UNKNOWN = 27, 28, 29, 30, 114, 700, 701, 705
BPCHAR, VARCHAR, DATE, TIME, TIMESTAMP, TIMESTAMPTZ, INTERVAL = 1042, 1043, 1082, 1083, 1114, 1184, 1186
NUMERIC, REGPROCEDURE, REGOPER, REGOPERATOR, REGCLASS, REGTYPE = 1700, 2202, 2203, 2204, 2205, 2206
RECORD, UUID, JSONB, REGNAMESPACE, REGROLE, TEXT_ARRAY, NAME_ARRAY, OID_ARRAY = (
    2249,
    2950,
    3802,
    4089,
    4096,
    1009,
    1003,
    1028,
)
BOOL_ARRAY, INT2_ARRAY, INT4_ARRAY, INT8_ARRAY = 1000, 1005, 1007, 1016
VOID, RECORD_ARRAY = 2278, 2287
REGCONFIG, REGDICTIONARY, REGCOLLATION = 3734, 3769, 4191
XID8, PG_SNAPSHOT, TXID_SNAPSHOT = 5069, 5038, 2970
REFCURSOR, INET, CIDR, ACLITEM, ACLITEM_ARRAY, PG_LSN = 1790, 869, 650, 1033, 1034, 3220

REG_TYPES: Mapping[int, str] = {
    REGPROC: "regproc",
    REGPROCEDURE: "regprocedure",
    REGOPER: "regoper",
    REGOPERATOR: "regoperator",
    REGCLASS: "regclass",
    REGTYPE: "regtype",
    REGNAMESPACE: "regnamespace",
    REGROLE: "regrole",
    REGCONFIG: "regconfig",
    REGDICTIONARY: "regdictionary",
    REGCOLLATION: "regcollation",
}
BITS = frozenset({1560, 1562})
OID_LIKE = frozenset({OID, XID, CID, *REG_TYPES})
INTEGERS = frozenset({INT2, INT4, INT8})
NUMBERS = frozenset({*INTEGERS, NUMERIC, FLOAT4, FLOAT8})
PROMOTION = (INT2, INT4, INT8, NUMERIC, FLOAT4, FLOAT8)

_DUCK = {
    BOOL: "BOOLEAN",
    BYTEA: "BLOB",
    INT2: "SMALLINT",
    INT4: "INTEGER",
    INT8: "BIGINT",
    FLOAT4: "FLOAT",
    FLOAT8: "DOUBLE",
    DATE: "DATE",
    TIME: "TIME",
    TIMESTAMP: "TIMESTAMP",
    TIMESTAMPTZ: "TIMESTAMP WITH TIME ZONE",
    INTERVAL: "INTERVAL",
    UUID: "UUID",
    NUMERIC: "DECIMAL(38,9)",
}

_DOMAIN_MODIFIERS = {"yes_or_no": 7, "time_stamp": 2}
ALIASES = {
    "int": "int4",
    "integer": "int4",
    "smallint": "int2",
    "bigint": "int8",
    "real": "float4",
    "float": "float8",
    "boolean": "bool",
    "decimal": "numeric",
    "dec": "numeric",
    "character": "bpchar",
    "char": "bpchar",
    "nchar": "bpchar",
    "bit": "bit",
}


@dataclass(frozen=True, slots=True)
class PgType:
    """One row of pg_type, as far as expressions need it."""

    oid: int
    name: str
    length: int
    element: int
    array: int
    kind: str
    base: int
    category: str
    schema: str = "pg_catalog"
    preferred: bool = False


@dataclass(frozen=True, slots=True)
class Relation:
    """A system relation: `columns` are (name, type id, type modifier); domains are resolved to their base."""

    schema: str
    name: str
    oid: int
    columns: tuple[tuple[str, int, int], ...]


@cache
def _text(name: str) -> str:
    """A data file of this room, or nothing when there is none of that name."""
    file = resources.files("engine.catalog.emulation").joinpath("data", *name.split("/"))
    return file.read_text(encoding="utf-8") if file.is_file() else "{}"


def load(name: str) -> dict[str, Any]:
    """What a data file of this room holds; nothing when there is none of that name."""
    document: dict[str, Any] = json.loads(_text(name))
    return document


def preload() -> None:
    """Read every data file, for a process that will not be let near files later."""
    for entry in resources.files("engine.catalog.emulation").joinpath("data", "rows").iterdir():
        _text(f"rows/{entry.name}")


@cache
def types() -> Mapping[int, PgType]:
    """Every type of a fresh PostgreSQL 15, by id."""
    return {row[0]: PgType(*row) for row in _shapes()["types"]}


@cache
def _shapes() -> dict[str, Any]:
    return load("postgres15_shapes.json")


@cache
def types_by_name() -> Mapping[str, PgType]:
    """The same by name (names are unique within pg_catalog)."""
    return {t.name: t for t in types().values() if t.kind != "d" and t.schema == "pg_catalog"}


@cache
def relations() -> Mapping[tuple[str, str], Relation]:
    """Every relation of pg_catalog and information_schema, by (schema, name)."""
    found = {}
    for qualified, entry in _shapes()["relations"].items():
        schema, _, name = qualified.partition(".")
        columns = []
        for column, oid in entry["columns"]:
            kind = types().get(oid)
            domain = kind is not None and kind.kind == "d"
            modifier = _DOMAIN_MODIFIERS.get(kind.name, -1) if domain and kind is not None else -1
            columns.append((column, kind.base if domain and kind is not None else oid, modifier))
        found[schema, name] = Relation(schema, name, entry["oid"], tuple(columns))
    return found


@cache
def _all_by_name() -> Mapping[str, tuple[PgType, ...]]:
    found: dict[str, tuple[PgType, ...]] = {}
    for kind in types().values():
        found[kind.name] = (*found.get(kind.name, ()), kind)
    return found


def types_of(name: str) -> tuple[PgType, ...]:
    """Every type of that name, whatever its schema and kind."""
    return _all_by_name().get(name, ())


def named(name: str, *, exact: bool = False) -> PgType:
    """The type of that name or SQL alias; `exact` leaves aliases out, as a qualified name does.

    Raises:
        StatementRefused: no such type.
    """
    found = types_by_name().get(name if exact else ALIASES.get(name, name))
    if found is None or found.kind == "c" or (found.kind == "p" and found.name not in ("anyarray", "record")):
        raise StatementRefused("A type in the catalog query does not exist.")
    return found


def array_of(element: int) -> int:
    """The array type over `element`; text[] when it has none."""
    kind = types().get(element)
    return kind.array if kind is not None and kind.array else TEXT_ARRAY


@cache
def _row_types() -> Mapping[tuple[str, str], int]:
    return {(kind.schema, kind.name): kind.oid for kind in types().values() if kind.kind == "c"}


def row_type(schema: str, name: str) -> int:
    """The type of a system relation's rows."""
    return _row_types().get((schema, name), RECORD)


def element_of(oid: int) -> int | None:
    """The element type of a true array or a vector, or None."""
    kind = types().get(oid)
    if kind is None or not kind.element or (kind.category != "A" and oid != RECORD_ARRAY):
        return None
    return kind.element


def is_composite(oid: int) -> bool:
    """Whether its values have fields: rows of relations, and records."""
    kind = types().get(oid)
    return oid == RECORD or (kind is not None and kind.kind == "c")


def is_vector(oid: int) -> bool:
    """Whether subscripts count from 0 (int2vector, oidvector)."""
    return oid in (INT2VECTOR, OIDVECTOR)


def is_text(oid: int) -> bool:
    """Whether DuckDB holds it as text and it compares with text."""
    return duck(oid) == "VARCHAR" and oid != UNKNOWN


def duck(oid: int) -> str:
    """The DuckDB type that holds values of this type."""
    if oid in OID_LIKE:
        return "BIGINT"
    if oid in _DUCK:
        return _DUCK[oid]
    element = element_of(oid)
    return "VARCHAR" if element is None else f"{duck(element)}[]"


def wire_size(oid: int) -> int:
    """`typlen`, as RowDescription has it."""
    kind = types().get(oid)
    return kind.length if kind is not None else -1
