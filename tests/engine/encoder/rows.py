"""Test help: run DuckDB through the encoder, take DataRows apart, and a slow reference encoder as the oracle."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import duckdb
import pyarrow as pa

from engine.encoder import EncodePlan, plan, result_columns
from engine.encoder.copy import CopyOptions, copy_encoder

Row = tuple[bytes | None, ...]


def connection() -> duckdb.DuckDBPyConnection:
    made = duckdb.connect()
    made.execute("SET TimeZone = 'UTC'")
    made.execute("SET arrow_output_version = '1.5'")  # as workers do
    return made


def whole(way: EncodePlan, batch: pa.RecordBatch) -> tuple[bytes, int]:
    """All rows of one batch, and how many its frames say they hold."""
    frames = list(way.frames(batch))
    return b"".join(bytes(data) for data, _ in frames), sum(count for _, count in frames)


def columns_of(cursor: duckdb.DuckDBPyConnection, sql: str, values: Sequence[Any] = ()):
    described = cursor.execute(sql, list(values)).description
    return result_columns([d[0] for d in described], [str(d[1]) for d in described])


def encoded(
    cursor: duckdb.DuckDBPyConnection,
    sql: str,
    formats: Sequence[int] = (),
    *,
    timezone: str = "UTC",
    interval_style: str = "postgres",
    bytea_output: str = "hex",
    batch: int = 60_000,
) -> bytes:
    """All rows of `sql` as the bytes a client gets."""
    way = plan(
        columns_of(cursor, sql), formats, timezone=timezone, interval_style=interval_style, bytea_output=bytea_output
    )
    reader = cursor.execute(way.wrap(sql)).to_arrow_reader(batch)
    return b"".join(bytes(data) for part in reader for data, _ in way.frames(part))


def copied(
    cursor: duckdb.DuckDBPyConnection, sql: str, format_: str, options: dict[str, str], batch: int = 60_000
) -> bytes:
    """All CopyData messages of a COPY of `sql`."""
    way = copy_encoder(columns_of(cursor, sql), CopyOptions.parse(format_, options))
    reader = cursor.execute(way.wrap(sql)).to_arrow_reader(batch)
    return b"".join(bytes(data) for part in reader for data, _ in way.frames(part)) + way.closing()


def messages(stream: bytes, tag: bytes) -> list[bytes]:
    """The payloads of whole messages of one kind; anything else fails."""
    out, at = [], 0
    while at < len(stream):
        assert stream[at : at + 1] == tag
        (length,) = struct.unpack_from(">i", stream, at + 1)
        assert at + 1 + length <= len(stream)
        out.append(stream[at + 5 : at + 1 + length])
        at += 1 + length
    return out


def taken_apart(stream: bytes, tag: bytes = b"D") -> list[Row]:
    """Rows of DataRow messages."""
    rows = []
    for payload in messages(stream, tag):
        (count,) = struct.unpack_from(">h", payload)
        at, row = 2, []
        for _ in range(count):
            (size,) = struct.unpack_from(">i", payload, at)
            at += 4
            row.append(None if size == -1 else payload[at : at + size])
            at += max(size, 0)
        assert at == len(payload)
        rows.append(tuple(row))
    return rows


def rows(cursor: duckdb.DuckDBPyConnection, sql: str, formats: Sequence[int] = (), **more: Any) -> list[Row]:
    return taken_apart(encoded(cursor, sql, formats, **more))


def value(cursor: duckdb.DuckDBPyConnection, expression: str, format_: int = 0, **more: Any) -> bytes | None:
    return rows(cursor, f"SELECT {expression}", (format_,), **more)[0][0]


def data_rows(values: Sequence[Sequence[bytes | None]]) -> bytes:
    """The oracle: DataRow messages built a value at a time."""
    out = bytearray()
    for row in values:
        body = struct.pack(">h", len(row))
        for field in row:
            body += struct.pack(">i", -1) if field is None else struct.pack(">i", len(field)) + field
        out += b"D" + struct.pack(">i", len(body) + 4) + body
    return bytes(out)
