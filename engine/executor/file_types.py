"""The column types of a table's files, as DuckDB reads them: the lake asks when files changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import duckdb

from engine.executor.messages import Kind, Request, reply
from engine.executor.relation import read_files
from engine.executor.statement import Statements

_DISTINCT_SCHEMAS = """
SELECT count(DISTINCT columns) FROM (
  SELECT file_name, list((name, type, type_length, converted_type, scale, precision, logical_type, num_children,
    repetition_type)) AS columns
  FROM parquet_schema('hati://s/{id}/*') GROUP BY file_name
)"""


def file_types(
    shared: Statements, cursor: duckdb.DuckDBPyConnection, request: Request, send: Callable[[bytes], None], *_: object
) -> Iterator[tuple[memoryview, int]]:
    """Answer COLUMNS with `{"columns": [[name, type], ...], "uniform": bool}` for the one snapshot of the request.

    Columns are united by name over all files; a file without a column has NULL there. `extra["partitions"]` is the
    list of `[name, type]` Hive columns, already typed by the lake.
    """
    del shared
    snapshot = request.snapshots[0]
    partitions = tuple((name, kind) for name, kind in request.work.extra.get("partitions", []))
    relation = read_files(snapshot, partitions, uniform=False)
    rows = cursor.execute(f"DESCRIBE SELECT * FROM {relation}").fetchall()
    schemas = cursor.execute(_DISTINCT_SCHEMAS.format(id=snapshot)).fetchone()
    document: dict[str, Any] = {
        "columns": [[row[0], row[1]] for row in rows],
        "uniform": bool(schemas and schemas[0] == 1),
    }
    send(reply(Kind.COLUMNS, document))
    yield from ()
