"""The catalog's own DuckDB: a few locked in-memory instances in the worker, each showing one catalog image.

It holds nothing but rows made from the image; its SQL is text that `engine.catalog.emulation` printed. Relations are
filled in when a statement first reads them, because most statements read three of two hundred.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import duckdb
import pyarrow as pa
from duckdb.func import FunctionNullHandling

from engine.catalog.emulation import (
    dependencies,
    information_privileges,
    information_routines,
    information_schema,
    types,
)
from engine.catalog.emulation.descriptions import Descriptions
from engine.catalog.emulation.image import CatalogImage, build
from engine.catalog.emulation.names import Names
from engine.catalog.emulation.rows import Row, rows
from engine.catalog.emulation.sources import FUNCTION_COLUMNS, SCHEMA_PREFIX
from engine.catalog.emulation.statement import CatalogColumn
from engine.catalog.emulation.values import Value, as_text, identifier
from engine.encoder.types import ResultColumn
from engine.executor.catalog_binary import sent
from engine.executor.catalog_functions import MACROS, SIDE_EFFECTS, functions
from governance.errors import EngineFailed, Refusal, ResourceExceeded, TableUnknown

IMAGES_MAX = 4
"""Each takes 2.5 MB and 25 ms of a worker's start, whether used or not."""
IDLE_WAIT_S = 10.0
TEXTS_MAX = 256
_CONFIG: dict[str, str | bool | int | float | list[str]] = {
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "allow_community_extensions": "false",
    "python_enable_replacements": "false",
    "memory_limit": "256MiB",
    "threads": "1",
    "temp_directory": ".",
    "max_temp_directory_size": "64MiB",
}
_MARK = re.compile(r"HD([0-9A-Z]{5})")
_REFUSALS = {
    "42P01": ("", "The relation does not exist."),
    "42704": ("undefined_object", "The object does not exist."),
    "42883": ("undefined_function", "The function does not exist."),
    "42725": ("ambiguous_function", "The function's name is not unique."),
    "42602": ("invalid_name", "Invalid name syntax."),
    "42703": ("undefined_column", "The column does not exist."),
    "42601": ("syntax", "The text is not of the form its place asks for."),
    "3F000": ("undefined_schema", "The schema does not exist."),
    "0A000": ("not_implemented", "The catalog query is not supported."),
    "2201B": ("invalid_pattern", "The regular expression is invalid, or not supported."),
    "22004": ("null_value", "An argument of the catalog query must not be NULL."),
    "22P02": ("conversion", "A literal is not a value of the type its place asks for."),
    "22P05": ("untranslatable", "A character of the JSON cannot be part of a text."),
    "22003": ("out_of_range", "A number of the JSON has too many digits."),
    "22007": ("conversion", "A text is not a moment of its pattern."),
    "22008": ("invalid_input", "A moment is out of range."),
    "2202E": ("invalid_input", "The arrays do not fit together."),
    "22023": ("invalid_input", "An argument of the catalog query is out of bounds."),
}
"""SQLSTATEs that catalog functions raise: `EngineFailed.kind` (empty: TableUnknown) and what the client is told."""
_ENTERED = (dependencies, information_schema, information_routines, information_privileges)
"""Modules whose rows `rows.PRODUCERS` holds."""


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
    if column.fields or column.items or column.depth:
        value = Value(name, oid, fields=column.fields, items=column.items, depth=column.depth)
        return (sent(value), "BLOB") if binary else (as_text(value), "VARCHAR")
    if oid == types.JSONB and binary:
        return sent(Value(name, oid)), "BLOB"
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
    if oid == types.NUMERIC and column.modifier >= 4:
        return f"CAST({name} AS DECIMAL(38,{(column.modifier - 4) & 0x7FF}))", column.duck
    if oid == types.NUMERIC and not binary:
        return f"hd_numeric_out({name})", "VARCHAR"
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


def _values(values: list[Any], oid: int) -> list[Any]:
    """The JSON values of a column as its type wants them."""
    if oid in types.OID_LIKE or oid in types.INTEGERS:
        return [None if value is None else int(value) for value in values]
    if types.duck(oid) in ("FLOAT", "DOUBLE"):
        return [None if value is None else float(value) for value in values]
    element = types.element_of(oid)
    if element is not None:
        return [_values(value, element) if isinstance(value, list) else None for value in values]
    return values


class CatalogInstance:
    """A DuckDB that shows one image at a time. Opened before the worker is confined, because DuckDB cannot be after."""

    def __init__(self) -> None:
        self._image = build((), database="none", user="none")
        self._names = Names(self._image)
        self._descriptions = Descriptions(self._image, self._names)
        self._lock = threading.Lock()
        self._filled: set[tuple[str, str]] = set()
        self._places: dict[str, frozenset[str]] = {}
        """Names of the parameters of texts seen before."""
        self.users = 0
        """Statements that run on it; kept by `CatalogInstances`."""
        self._connection = duckdb.connect(":memory:", config=dict(_CONFIG))
        for name, function, arguments, result in functions(lambda: self._names, lambda: self._descriptions):
            parameters: list[Any] = list(arguments)
            # Not as functions of Arrow vectors: DuckDB 1.5.5 frees what those return while lists still point into it.
            self._connection.create_function(
                name,
                function,
                parameters,
                result,
                null_handling=FunctionNullHandling.SPECIAL,
                side_effects=name in SIDE_EFFECTS,
            )
        for macro in MACROS:
            self._connection.execute(macro)
        for schema in ("pg_catalog", "information_schema"):
            self._connection.execute(f"CREATE SCHEMA {SCHEMA_PREFIX}{schema}")
        self._connection.execute("SET TimeZone = 'UTC'")
        self._connection.execute("SET enable_external_access = false")
        self._connection.execute("SET lock_configuration = true")

    @property
    def key(self) -> str:
        """Of the image it shows."""
        return self._image.key

    def show(self, image: CatalogImage) -> None:
        """Show another image; nothing may run on the instance."""
        for schema, name in self._filled:
            self._connection.execute(f"DROP TABLE {SCHEMA_PREFIX}{schema}.{identifier(name)}")
        self._filled.clear()
        self._image, self._names = image, Names(image)
        self._descriptions = Descriptions(image, self._names)

    def fill(self, relations: Sequence[tuple[str, str]]) -> None:
        """See to it that these relations hold their rows."""
        with self._lock:
            for schema, name in relations:
                if (schema, name) not in self._filled:
                    self._fill(schema, name)
                    self._filled.add((schema, name))

    def _fill(self, schema: str, name: str) -> None:
        relation = types.relations().get((schema, name))
        shape = list(FUNCTION_COLUMNS[name]) if relation is None else [(n, k) for n, k, _ in relation.columns]
        target = f"{SCHEMA_PREFIX}{schema}.{identifier(name)}"
        found: list[Row] = list(rows(schema, name, self._image))
        if not found:
            columns = ", ".join(f"{identifier(n)} {types.duck(k)}" for n, k in shape)
            self._connection.execute(f"CREATE TABLE {target} ({columns})")
            return
        arrays = [pa.array(_values([row.get(n) for row in found], k), type=_arrow_type(k)) for n, k in shape]
        table = pa.Table.from_arrays(arrays, names=[n for n, _ in shape])
        self._connection.register("filling", table)
        casts = ", ".join(f"CAST({identifier(n)} AS {types.duck(k)}) AS {identifier(n)}" for n, k in shape)
        self._connection.execute(f"CREATE TABLE {target} AS SELECT {casts} FROM filling")
        self._connection.unregister("filling")

    def used(self, sql: str, values: dict[str, object]) -> dict[str, object]:
        """Those of `values` that `sql` has a place for."""
        with self._lock:
            wanted = self._places.get(sql)
            if wanted is None:
                wanted = frozenset(self._connection.extract_statements(sql)[0].named_parameters)
                if len(self._places) >= TEXTS_MAX:
                    self._places.clear()
                self._places[sql] = wanted
        return {name: value for name, value in values.items() if name in wanted}

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """A connection of its own for one statement."""
        return self._connection.cursor()

    def close(self) -> None:
        """Free the instance; cursors still running keep their part until they end."""
        self._connection.close()


class CatalogInstances:
    """The instances a worker has; the least recently used idle one shows the next image."""

    def __init__(self, limit: int = IMAGES_MAX) -> None:
        self._limit = limit
        self._change = threading.Condition()
        self._instances: list[CatalogInstance] = []
        """Least recently used first."""

    def open(self) -> None:
        """Open them all."""
        while len(self._instances) < self._limit:
            self._instances.append(CatalogInstance())

    @contextmanager
    def showing(self, key: str, image: Callable[[], CatalogImage]) -> Iterator[CatalogInstance]:
        """The instance that shows the image of that key; `image` gives it when none does.

        Raises:
            ResourceExceeded: all instances stay busy with other images.
        """
        instance = self._take(key, image)
        try:
            yield instance
        finally:
            with self._change:
                instance.users -= 1
                self._change.notify()

    def _take(self, key: str, image: Callable[[], CatalogImage]) -> CatalogInstance:
        with self._change:
            found = next((i for i in self._instances if i.key == key), None)
            if found is None:
                wanted = image()
                if not self._change.wait_for(lambda: any(not i.users for i in self._instances), IDLE_WAIT_S):
                    raise ResourceExceeded("Too many catalogs are read at the same time.", advice="Retry.")
                found = next(i for i in self._instances if not i.users)
                found.show(wanted)
            found.users += 1
            self._instances.remove(found)
            self._instances.append(found)
            return found

    def close(self) -> None:
        """Close them all."""
        while self._instances:
            self._instances.pop().close()
