"""Governed statements over sample tables, in one DuckDB of this process: for policy tests, never for clients.

The engine's settings are the worker's, as far as they decide what a statement means. There is no sandbox: whoever runs
his own tests over his own samples is protected from nobody. What runs is still `Governed` and nothing else.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import duckdb

from engine.executor.failures import classify, refusal
from engine.pipeline.governed import Governed
from engine.pipeline.relation import hmac_pads
from governance.errors import DeadlineExceeded, InvalidRequest
from governance.policy_test_file import Sample
from governance.sql_literals import identifier, text_literal
from governance.tables import Column, Table, TableName

STATEMENT_TIMEOUT_S = 30.0
_BASE = "hatidata samples"
_MASK_KEY = b"hatidata policy tests"
"""Of `hmac` masks: a key that everybody knows, so that expectations can be written down."""
_READERS = {".parquet": "read_parquet", ".csv": "read_csv"}
_LOCK = (
    "SET TimeZone='UTC'",
    "SET Calendar='gregorian'",
    "SET disabled_optimizers='statistics_propagation'",
    "SET enable_external_access=false",
    "SET lock_configuration=true",
)


class Rehearsal:
    """Sample tables, reached through governed statements only. A context manager: leaving it lets everything go."""

    def __init__(self, samples: tuple[Sample, ...], folder: Path) -> None:
        """Load the samples; files are found below `folder`.

        Raises:
            InvalidRequest: a sample that cannot be loaded; the sentence names its table.
        """
        config: dict[str, str | bool | int | float | list[str]] = {
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "python_enable_replacements": "false",
            "threads": "1",
        }
        self._db = duckdb.connect(":memory:", config=config)
        self._db.execute(f"ATTACH ':memory:' AS {identifier(_BASE)}")
        for sample in samples:
            try:
                self._load(sample, folder)
            except (duckdb.Error, OSError) as error:
                first = str(error).split("\n", 1)[0][:300]
                raise InvalidRequest(f"tables.{sample.table}: cannot be loaded ({first}).") from None
        self.tables = self._described()
        for setting in _LOCK:
            self._db.execute(setting)
        for name, pad in hmac_pads(_MASK_KEY).items():
            self._db.execute(f"SET VARIABLE {name} = $1", [pad])

    def __enter__(self) -> Rehearsal:
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    def run(self, governed: Governed) -> tuple[tuple[str, ...], tuple[tuple[Any, ...], ...]]:
        """Columns and rows of a governed statement.

        Raises:
            Refusal: as a client would be told; DeadlineExceeded after `STATEMENT_TIMEOUT_S`.
        """
        late = threading.Timer(STATEMENT_TIMEOUT_S, self._db.interrupt)
        late.start()
        try:
            result = self._db.execute(governed.sql(_relation))
            columns = tuple(column[0] for column in result.description or ())
            return columns, tuple(tuple(row) for row in result.fetchall())
        except duckdb.InterruptException:
            raise DeadlineExceeded("The query took too long.") from None
        except duckdb.Error as error:
            raise refusal(classify(error)) from None
        finally:
            late.cancel()

    def _load(self, sample: Sample, folder: Path) -> None:
        name = _relation(sample.table)
        schema = f"{identifier(_BASE)}.{identifier(sample.table.schema)}"
        self._db.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")
        if sample.file:
            path = (folder / sample.file).resolve()
            reader = _READERS.get(path.suffix.lower())
            if reader is None:
                raise InvalidRequest(f"tables.{sample.table}: the file is neither .parquet nor .csv.")
            self._db.execute(f"CREATE TABLE {name} AS FROM {reader}({text_literal(str(path))})")
            return
        columns = ", ".join(f"{identifier(column.name)} {_type(column)}" for column in sample.columns)
        self._db.execute(f"CREATE TABLE {name} ({columns})")
        marks = ", ".join("?" for _ in sample.columns)
        for row in sample.rows:
            self._db.execute(f"INSERT INTO {name} VALUES ({marks})", list(row))

    def _described(self) -> Mapping[tuple[str, str], Table]:
        """The tables as the lake would tell them, by folded name."""
        found: dict[TableName, list[Column]] = {}
        for schema, table, column, type_ in self._db.execute(
            "SELECT schema_name, table_name, column_name, data_type FROM duckdb_columns() WHERE database_name = ? "
            "ORDER BY table_oid, column_index",
            [_BASE],
        ).fetchall():
            found.setdefault(TableName(schema, table), []).append(Column(column, type_))
        return {name.key: Table(name, tuple(columns)) for name, columns in found.items()}


def _relation(table: TableName) -> str:
    return ".".join(identifier(part) for part in (_BASE, table.schema, table.name))


def _type(column: Column) -> str:
    """The column's type as the tester wrote it, held to what a type can be spelled with."""
    allowed = set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_ (),[]\"'")
    if not set(column.type) <= allowed:
        raise InvalidRequest(f"{column.type[:64]} is not a type.")
    return column.type
