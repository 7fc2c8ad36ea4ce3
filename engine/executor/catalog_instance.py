"""The catalog's own DuckDB: one locked in-memory instance per catalog image, in the worker, a few kept.

It holds nothing but rows made from the image; its SQL is text that `engine.catalog.emulation` printed. Relations are
filled in when a statement first reads them, because most statements read three of two hundred.
"""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import duckdb
import pyarrow as pa
from duckdb.func import FunctionNullHandling

from engine.catalog.emulation import information_schema, types
from engine.catalog.emulation.image import CatalogImage
from engine.catalog.emulation.names import Names
from engine.catalog.emulation.queries import KEYWORD_COLUMNS, SCHEMA_PREFIX
from engine.catalog.emulation.rows import Row, rows
from engine.catalog.emulation.statement import CatalogColumn
from engine.catalog.emulation.values import identifier
from engine.encoder.types import ResultColumn
from engine.executor.catalog_functions import MACROS, functions
from governance.errors import EngineFailed, Refusal, TableUnknown

IMAGES_MAX = 8
MEMORY_LIMIT = "256MB"
_MARK = re.compile(r"HD([0-9A-Z]{5})")
_REFUSALS = {
    "42P01": ("", "The relation does not exist."),
    "42704": ("undefined_object", "The object does not exist."),
    "42883": ("undefined_function", "The function does not exist."),
    "42725": ("ambiguous_function", "The function's name is not unique."),
    "42602": ("invalid_name", "Invalid name syntax."),
    "3F000": ("undefined_schema", "The schema does not exist."),
    "0A000": ("not_implemented", "The catalog query is not supported."),
    "22023": ("invalid_input", "An argument of the catalog query is out of bounds."),
}
"""SQLSTATEs that catalog functions raise: `EngineFailed.kind` (empty: TableUnknown) and what the client is told."""
_ = information_schema  # enters its rows


@dataclass(frozen=True, slots=True)
class CatalogRun:
    """A statement ready to run: text with columns in the form the encoder sends, and what the client is told."""

    sql: str
    columns: tuple[ResultColumn, ...]


def refusal_of(error: BaseException) -> Refusal | None:
    """What a failure of the catalog's own functions says, if it is one of theirs; never DuckDB's words."""
    found = _MARK.search(str(error))
    if found is None or found.group(1) not in _REFUSALS:
        return None
    kind, sentence = _REFUSALS[found.group(1)]
    return EngineFailed(sentence, kind=kind) if kind else TableUnknown(sentence)


def prepare(sql: str, columns: Sequence[CatalogColumn], formats: Sequence[int]) -> CatalogRun:
    """`sql` with every column in the form that its wire format wants.

    Object ids travel in four bytes, so they leave as INTEGER; reg* types and vectors are names and words in text.
    """
    if not columns:
        return CatalogRun(f"SELECT * EXCLUDE (c1) REPLACE (NULL AS c1) FROM ({sql}) AS q", ())
    wanted = tuple(formats) or (0,)
    if len(wanted) == 1:
        wanted *= len(columns)
    shown, told = [], []
    for place, (column, form) in enumerate(zip(columns, wanted, strict=True), 1):
        text, kind = _sent(f"c{place}", column, binary=form == 1)
        shown.append(f"{text} AS c{place}")
        told.append(ResultColumn(column.name, kind, column.oid, column.size, column.modifier))
    return CatalogRun(f"SELECT {', '.join(shown)} FROM ({sql}) AS q", tuple(told))


def _sent(name: str, column: CatalogColumn, *, binary: bool) -> tuple[str, str]:
    """The text and DuckDB type of one column on its way out."""
    oid = column.oid
    element = types.element_of(oid)
    if oid in types.REG_TYPES and not binary:
        return f"hd_{types.REG_TYPES[oid]}_out({name})", "VARCHAR"
    if oid in types.OID_LIKE:
        return f"CAST({name} AS INTEGER)", "INTEGER"
    if element is not None and element in types.REG_TYPES and not binary:
        return f"list_transform({name}, lambda e: hd_{types.REG_TYPES[element]}_out(e))", "VARCHAR[]"
    if types.is_vector(oid) and not binary:
        return f"hd_vector_out({name})", "VARCHAR"
    if element is not None and element in types.OID_LIKE:
        return f"CAST({name} AS INTEGER[])", "INTEGER[]"
    if oid == types.NUMERIC:
        return f"CAST({name} AS DECIMAL(38,0))" if column.modifier == 0 else name, column.duck
    return name, column.duck


def _arrow_type(oid: int) -> pa.DataType:
    duck = types.duck(oid)
    plain = {
        "BOOLEAN": pa.bool_(), "SMALLINT": pa.int16(), "INTEGER": pa.int32(), "BIGINT": pa.int64(),
        "FLOAT": pa.float32(), "DOUBLE": pa.float64(), "VARCHAR": pa.string(),
    }  # fmt: skip
    if duck in plain:
        return plain[duck]
    element = types.element_of(oid)
    return pa.list_(_arrow_type(element)) if element is not None else pa.string()


def _value(value: Any, oid: int) -> Any:
    """A fixed row's JSON value as the column's type."""
    if value is None:
        return None
    if oid in types.OID_LIKE or oid in types.INTEGERS:
        return int(value)
    if types.duck(oid) in ("FLOAT", "DOUBLE"):
        return float(value)
    element = types.element_of(oid)
    if element is not None:
        return [_value(v, element) for v in value] if isinstance(value, list) else None
    return value


class CatalogInstance:
    """One image's DuckDB."""

    def __init__(self, image: CatalogImage) -> None:
        self._image = image
        self._lock = threading.Lock()
        self._filled: set[tuple[str, str]] = set()
        self._connection = duckdb.connect(":memory:")
        self._connection.execute("SET threads = 1")
        self._connection.execute(f"SET memory_limit = '{MEMORY_LIMIT}'")
        self._connection.execute("SET TimeZone = 'UTC'")
        self._connection.execute("SET python_enable_replacements = false")
        self._connection.execute(f"CREATE SCHEMA {SCHEMA_PREFIX}pg_catalog")
        self._connection.execute(f"CREATE SCHEMA {SCHEMA_PREFIX}information_schema")
        for name, function, arguments, result in functions(Names(image)):
            parameters: list[Any] = list(arguments)
            self._connection.create_function(
                name, function, parameters, result, null_handling=FunctionNullHandling.SPECIAL
            )
        for macro in MACROS:
            self._connection.execute(macro)
        self._connection.execute("SET autoinstall_known_extensions = false")
        self._connection.execute("SET autoload_known_extensions = false")
        self._connection.execute("SET enable_external_access = false")
        self._connection.execute("SET lock_configuration = true")

    def fill(self, relations: Sequence[tuple[str, str]]) -> None:
        """See to it that these relations hold their rows."""
        with self._lock:
            for schema, name in relations:
                if (schema, name) not in self._filled:
                    self._fill(schema, name)
                    self._filled.add((schema, name))

    def _fill(self, schema: str, name: str) -> None:
        relation = types.relations().get((schema, name))
        shape = [(n, k) for n, k in KEYWORD_COLUMNS] if relation is None else [(n, k) for n, k, _ in relation.columns]
        target = f"{SCHEMA_PREFIX}{schema}.{identifier(name)}"
        found: list[Row] = list(rows(schema, name, self._image))
        if not found:
            columns = ", ".join(f"{identifier(n)} {types.duck(k)}" for n, k in shape)
            self._connection.execute(f"CREATE TABLE {target} ({columns})")
            return
        arrays = [pa.array([_value(row.get(n), k) for row in found], type=_arrow_type(k)) for n, k in shape]
        table = pa.Table.from_arrays(arrays, names=[n for n, _ in shape])
        self._connection.register("filling", table)
        casts = ", ".join(f"CAST({identifier(n)} AS {types.duck(k)}) AS {identifier(n)}" for n, k in shape)
        self._connection.execute(f"CREATE TABLE {target} AS SELECT {casts} FROM filling")
        self._connection.unregister("filling")

    def used(self, sql: str, values: dict[str, object]) -> dict[str, object]:
        """Those of `values` that `sql` has a place for."""
        wanted = self._connection.extract_statements(sql)[0].named_parameters
        return {name: value for name, value in values.items() if name in wanted}

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """A connection of its own for one statement."""
        return self._connection.cursor()

    def close(self) -> None:
        """Free the instance; cursors still running keep their part until they end."""
        self._connection.close()


class CatalogInstances:
    """The instances a worker keeps, least recently used out first."""

    def __init__(self, limit: int = IMAGES_MAX) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._held: OrderedDict[str, CatalogInstance] = OrderedDict()

    def held(self, key: str) -> CatalogInstance | None:
        """The instance of that image, if it is here."""
        with self._lock:
            found = self._held.get(key)
            if found is not None:
                self._held.move_to_end(key)
            return found

    def add(self, image: CatalogImage) -> CatalogInstance:
        """The instance of `image`, made if needed."""
        found = self.held(image.key)
        if found is not None:
            return found
        made = CatalogInstance(image)
        with self._lock:
            kept = self._held.setdefault(image.key, made)
            dropped = [self._held.popitem(last=False)[1] for _ in range(len(self._held) - self._limit)]
        for instance in dropped:
            instance.close()
        return kept
