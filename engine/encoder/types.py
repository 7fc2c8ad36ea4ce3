"""DuckDB types as PostgreSQL sees them: oid, size, typmod, and how a value is prepared in SQL when Arrow would lose it.

One table, read by the encoder, by the parameter decoder and by the emulated catalog. `docs/types.md` explains each row.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum, auto
from functools import lru_cache

BOOL, BYTEA, INT8, INT2, INT4, TEXT, JSON = 16, 17, 20, 21, 23, 25, 114
FLOAT4, FLOAT8, UNKNOWN, BPCHAR, VARCHAR = 700, 701, 705, 1042, 1043
DATE, TIME, TIMESTAMP, TIMESTAMPTZ, INTERVAL, TIMETZ = 1082, 1083, 1114, 1184, 1186, 1266
VARBIT, NUMERIC, UUID = 1562, 1700, 2950

ARRAY_OIDS = {
    BOOL: 1000, BYTEA: 1001, INT2: 1005, INT4: 1007, TEXT: 1009, INT8: 1016, FLOAT4: 1021, FLOAT8: 1022,
    TIMESTAMP: 1115, DATE: 1182, TIME: 1183, TIMESTAMPTZ: 1185, INTERVAL: 1187, NUMERIC: 1231, TIMETZ: 1270,
    VARBIT: 1563, UUID: 2951, JSON: 199, VARCHAR: 1015, BPCHAR: 1014,
}  # fmt: skip
"""Element oid -> array oid, as PostgreSQL's pg_type.dat has them."""
ELEMENT_OIDS = {array: element for element, array in ARRAY_OIDS.items()}

_SIZES = {
    BOOL: 1, INT2: 2, INT4: 4, INT8: 8, FLOAT4: 4, FLOAT8: 8, DATE: 4, TIME: 8, TIMETZ: 12,
    TIMESTAMP: 8, TIMESTAMPTZ: 8, INTERVAL: 16, UUID: 16,
}  # fmt: skip


class Preparation(Enum):
    """What `EncodePlan.wrap` must do to a column in SQL, because its Arrow form loses something (or does not exist)."""

    NONE = auto()
    TEXT = auto()
    """Cast to VARCHAR: DuckDB's text is PostgreSQL's."""
    INTERVAL = auto()
    """As a struct of months, days, microseconds: Arrow's nanoseconds overflow silently after 292 years."""
    TO_JSON = auto()
    """Through `to_json`."""
    CAST_JSON = auto()
    """Cast to JSON: `to_json` of a VARIANT is a string."""


@dataclass(frozen=True, slots=True)
class PgType:
    """A PostgreSQL type: `oid`, `size` in bytes (-1: variable), `typmod` (-1: none), `element` oid of arrays (or 0)."""

    oid: int
    size: int
    typmod: int = -1
    element: int = 0
    scale: int | None = None
    """Digits after the point of an exact DECIMAL; None for other types."""
    preparation: Preparation = Preparation.NONE
    interval_style: str = "postgres"
    """How the session wants intervals written: postgres or iso_8601."""
    bytea_output: str = "hex"
    """How it wants bytes written: hex or escape."""


@dataclass(frozen=True, slots=True)
class ResultColumn:
    """One column of a result: its name, DuckDB type as DuckDB spells it, and PostgreSQL's oid, size and typmod."""

    name: str
    type: str
    oid: int
    size: int
    typmod: int


_PLAIN: dict[str, tuple[int, Preparation]] = {
    "BOOLEAN": (BOOL, Preparation.NONE),
    "TINYINT": (INT2, Preparation.NONE),
    "UTINYINT": (INT2, Preparation.NONE),
    "SMALLINT": (INT2, Preparation.NONE),
    "USMALLINT": (INT4, Preparation.NONE),
    "INTEGER": (INT4, Preparation.NONE),
    "UINTEGER": (INT8, Preparation.NONE),
    "BIGINT": (INT8, Preparation.NONE),
    "UBIGINT": (NUMERIC, Preparation.NONE),
    "HUGEINT": (NUMERIC, Preparation.TEXT),
    "UHUGEINT": (NUMERIC, Preparation.TEXT),
    "BIGNUM": (NUMERIC, Preparation.TEXT),
    "VARINT": (NUMERIC, Preparation.TEXT),
    "FLOAT": (FLOAT4, Preparation.NONE),
    "DOUBLE": (FLOAT8, Preparation.NONE),
    "VARCHAR": (TEXT, Preparation.NONE),
    "BLOB": (BYTEA, Preparation.NONE),
    "DATE": (DATE, Preparation.NONE),
    "TIME": (TIME, Preparation.NONE),
    "TIME_NS": (TIME, Preparation.NONE),
    "TIME WITH TIME ZONE": (TIMETZ, Preparation.TEXT),
    "TIMESTAMP": (TIMESTAMP, Preparation.NONE),
    "TIMESTAMP_S": (TIMESTAMP, Preparation.NONE),
    "TIMESTAMP_MS": (TIMESTAMP, Preparation.NONE),
    "TIMESTAMP_NS": (TIMESTAMP, Preparation.NONE),
    "TIMESTAMP WITH TIME ZONE": (TIMESTAMPTZ, Preparation.NONE),
    "INTERVAL": (INTERVAL, Preparation.INTERVAL),
    "UUID": (UUID, Preparation.NONE),
    "JSON": (JSON, Preparation.NONE),
    "BIT": (VARBIT, Preparation.TEXT),
    "NULL": (TEXT, Preparation.TEXT),
    '"NULL"': (TEXT, Preparation.TEXT),
    "VARIANT": (JSON, Preparation.CAST_JSON),
}
_DECIMAL = re.compile(r"\ADECIMAL\((\d{1,2}),\s*(\d{1,2})\)\Z")
_ARRAY = re.compile(r"\A(.*)\[\d*\]\Z", re.DOTALL)
_NESTED = ("STRUCT(", "MAP(", "UNION(")
_JSON = PgType(JSON, -1, preparation=Preparation.TO_JSON)


def element_type(duckdb_type: str) -> str | None:
    """The element's type of a list or array type, or None for others. `INTEGER[3]` -> `INTEGER`."""
    match = _ARRAY.match(duckdb_type)
    return match.group(1) if match else None


@lru_cache(maxsize=4096)
def pg_type(duckdb_type: str) -> PgType:
    """The PostgreSQL type of a DuckDB type as DuckDB spells it; unknown ones are text, as DuckDB casts them."""
    plain = _PLAIN.get(duckdb_type)
    if plain is not None:
        oid, preparation = plain
        return PgType(oid, _SIZES.get(oid, -1), preparation=preparation)
    decimal = _DECIMAL.match(duckdb_type)
    if decimal is not None:
        precision, scale = int(decimal.group(1)), int(decimal.group(2))
        return PgType(NUMERIC, -1, ((precision << 16) | scale) + 4, scale=scale)
    inner = element_type(duckdb_type)
    if inner is not None:
        element = pg_type(inner)
        if element.element or element.preparation in (Preparation.TO_JSON, Preparation.CAST_JSON):
            return _JSON  # DuckDB's nested lists need not be rectangular; PostgreSQL's arrays must
        return PgType(ARRAY_OIDS[element.oid], -1, element.typmod, element.oid, element.scale, element.preparation)
    if duckdb_type.startswith("ENUM("):
        return PgType(TEXT, -1)
    if duckdb_type.startswith(_NESTED):
        return _JSON
    return PgType(TEXT, -1, preparation=Preparation.TEXT)


def result_columns(names: list[str] | tuple[str, ...], types: list[str] | tuple[str, ...]) -> tuple[ResultColumn, ...]:
    """Names and DuckDB types of a result, in order, as PostgreSQL describes them."""
    columns = []
    for name, type_ in zip(names, types, strict=True):
        pg = pg_type(type_)
        columns.append(ResultColumn(name, type_, pg.oid, pg.size, pg.typmod))
    return tuple(columns)
