"""One statement inside a worker: describe, bind, run, assert, encode. Knows DuckDB and the encoder, no sockets.

DuckDB streams: `execute` returns at the first vector, the reader pulls one batch at a time, and DuckDB's own buffer
bounds what runs ahead. The first batch is small so that the first row leaves early; later ones are joined to a size
at which the encoder is fast.
"""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import duckdb
import pyarrow as pa

from engine.cache.filesystem import PinnedFileSystem
from engine.encoder import EncodePlan, ResultColumn, plan, result_columns
from engine.encoder.copy import copy_encoder
from engine.encoder.parameters import ParameterValue, bound_type, decode
from engine.encoder.types import ELEMENT_OIDS, NUMERIC
from engine.executor.failures import AssertionBroken, Failure, SourceFault, classify
from engine.executor.messages import Request, columns_reply
from engine.executor.read_ahead import read_ahead
from engine.executor.spelling import copy_options, spelling

BATCH_ROWS = 60_000
_FIRST_ROWS = 2_048
_BATCH_BYTES = 32 << 20
"""Rows may be wide: a batch is no larger than this, or one of DuckDB's own."""
_DESCRIPTIONS_MAX = 512
_READY_MAX = 256
_SNAPSHOT_WAIT_S = 10.0
_DAMAGE = re.compile(
    r"parquet|snappy|zstd|lz4|brotli|thrift|TProtocol|decompress|hati://|magic bytes|page header", re.IGNORECASE
)


class Interrupted(Exception):
    """The node asked for an end before DuckDB could hear it."""


@dataclass(frozen=True, slots=True)
class Ready:
    """A statement that ran before, made ready to run again: parsed, described, its rows' way to the client known."""

    statement: Any
    """DuckDB's parsed statement, or text when it makes several of one."""
    way: Any
    checks: tuple[tuple[int, str], ...]
    """(column, mask) pairs asserted on every batch."""
    announcement: bytes
    """The reply that tells its columns."""


class Statements:
    """What all channels of a worker share: the instance, its file system, and what is known of statements."""

    def __init__(
        self, instance: duckdb.DuckDBPyConnection, files: PinnedFileSystem, variables: Mapping[str, bytes]
    ) -> None:
        self.instance = instance
        self.files = files
        self._variables = variables
        self._described: OrderedDict[tuple[Any, ...], tuple[ResultColumn, ...]] = OrderedDict()
        self._ready: OrderedDict[tuple[Any, ...], Ready] = OrderedDict()
        self._lock = threading.Lock()

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """A connection of one channel, with the variables that secured relations read (the mask key's pads)."""
        cursor = self.instance.cursor()
        for name, value in self._variables.items():
            cursor.execute(f"SET VARIABLE {name} = $1", [value])
        return cursor

    def described(self, key: tuple[Any, ...]) -> tuple[ResultColumn, ...] | None:
        """The columns of a statement seen before. The text names its snapshots, so it never goes stale."""
        with self._lock:
            known = self._described.get(key)
            if known is not None:
                self._described.move_to_end(key)
            return known

    def remember(self, key: tuple[Any, ...], columns: tuple[ResultColumn, ...]) -> None:
        """Keep a description."""
        with self._lock:
            self._described[key] = columns
            while len(self._described) > _DESCRIPTIONS_MAX:
                self._described.popitem(last=False)

    def ready(self, key: tuple[Any, ...]) -> Ready | None:
        """What was kept of a statement. Its text names its snapshots, so it never goes stale."""
        return self._ready.get(key)

    def keep(self, key: tuple[Any, ...], ready: Ready) -> None:
        """Keep a statement for the next time; the oldest gives way."""
        with self._lock:
            self._ready[key] = ready
            while len(self._ready) > _READY_MAX:
                self._ready.popitem(last=False)


class Statement:
    """One request on one cursor."""

    def __init__(self, shared: Statements, cursor: duckdb.DuckDBPyConnection, request: Request) -> None:
        self._shared = shared
        self._cursor = cursor
        self._request = request
        self._interrupted = False
        self._others: tuple[duckdb.DuckDBPyConnection, ...] = ()
        self._faults_before: dict[str, int] = {}

    def interrupt(self) -> None:
        """Stop as soon as DuckDB looks. Called from the control thread, more than once."""
        self._interrupted = True
        for cursor in (self._cursor, *self._others):
            cursor.interrupt()

    def watch(self, cursor: duckdb.DuckDBPyConnection) -> None:
        """Interrupt this cursor too: the statement runs on another instance."""
        self._others = (*self._others, cursor)

    def prepare(self) -> None:
        """Wait for the snapshots that another channel brings.

        Raises:
            SourceFault: they did not come.
        """
        if not self._request.snapshots and not self._request.forget:
            return
        files = self._shared.files
        files.forget(self._request.forget)
        if not files.await_snapshots(self._request.snapshots, _SNAPSHOT_WAIT_S):
            raise SourceFault("snapshot unknown")
        tables = {files.table_of(snapshot) for snapshot in self._request.snapshots}
        self._faults_before = {table: files.faults.count(table) for table in tables}

    def failure(self, error: BaseException) -> Failure:
        """What to tell the node of `error`."""
        if self._interrupted or isinstance(error, Interrupted):
            return Failure("interrupted")
        faults = self._shared.files.faults
        for table, before in self._faults_before.items():
            if faults.count(table) > before:
                return Failure(f"source:{faults.why(table)}", table)
        failure = classify(error)
        if self._request.snapshots and failure.kind in ("invalid_input", "internal", "source", "out_of_range"):
            text = str(error)
            if failure.kind == "source" or _DAMAGE.search(text):
                return Failure("source", self._damaged(text))
        return failure

    def _damaged(self, text: str) -> str:
        """The table whose file DuckDB complains of, when it says so."""
        match = re.search(r"hati://o/(\d+)/", text)
        tables = list(self._faults_before)
        if match is not None:
            found = self._shared.files.tables_of(int(match[1]))
            tables = [table for table in tables if table in found] or tables
        return tables[0] if len(tables) == 1 else ""

    # ------------------------------------------------------------------ describe and run

    def columns(self) -> tuple[ResultColumn, ...]:
        """The result's columns without running the statement."""
        request = self._request
        key = (request.work.sql, tuple((p.oid, p.type) for p in request.parameters))
        known = self._shared.described(key)
        if known is None:
            self._check()
            known = self._describe(_typed(request.parameters, [_value(p) for p in request.parameters]))
            self._shared.remember(key, known)
        return known

    def _describe(self, values: list[Any]) -> tuple[ResultColumn, ...]:
        work = self._request.work
        if work.kind == "explain":
            return tuple(result_columns(["explain_key", "explain_value"], ["VARCHAR", "VARCHAR"]))
        if work.kind == "select":
            try:
                rows = self._cursor.execute(f"DESCRIBE {work.sql}", values).fetchall()
                return tuple(result_columns([row[0] for row in rows], [row[1] for row in rows]))
            except duckdb.ParserException:  # a form DESCRIBE does not take in front
                pass
        return self._read_columns(self._cursor.execute(f"SELECT * FROM (\n{work.sql}\n) LIMIT 0", values))

    def run(self, send: Callable[[bytes], None]) -> Iterator[tuple[memoryview, int]]:
        """Frames of rows; `send` gets the reply that tells the columns before the first."""
        request = self._request
        values = [_value(p) for p in request.parameters]
        types = tuple([(p.oid, p.type) for p in request.parameters])
        own = _own_types(request.parameters, values)
        ready = self._shared.ready((request.key, types, own))
        if ready is None or None in values:
            ready, result = self._run_first(values, types, own)
        else:
            self._check()
            result = self._cursor.execute(ready.statement, values)
        send(ready.announcement)
        with closing(read_ahead(self._batches(result), self._cursor.interrupt)) as batches:
            for batch in batches:
                self._check()
                for at, check in ready.checks:
                    assert_masked(batch.column(at), check)
                yield from ready.way.frames(batch)
        end = ready.way.closing()
        if end:
            yield memoryview(end), 0

    def _run_first(
        self, values: list[Any], types: tuple[tuple[int, str], ...], own: tuple[str, ...]
    ) -> tuple[Ready, duckdb.DuckDBPyConnection]:
        """Run a statement not seen before, or one with NULLs among its values, which have no type of their own."""
        work, shared = self._request.work, self._shared
        result: duckdb.DuckDBPyConnection | None = None
        text = work.sql
        parsed = self._parsed(text)
        nulls = None in values
        known: tuple[ResultColumn, ...] | None
        if nulls and own:
            known = self._describe(_typed(self._request.parameters, values))
        else:
            known = self.columns() if nulls else shared.described((work.sql, types))
        if known is None or nulls or own:
            self._check()
            result = self._cursor.execute(parsed, values)
            found = self._read_columns(result)
            if known is None:
                known = found
                if not own:
                    shared.remember((work.sql, types), known)
            elif not nulls and [c.oid for c in found] == [c.oid for c in known]:
                known = found  # the client was told as much as it is told of numbers
            elif [c.type for c in found] != [c.type for c in known]:
                text, result = _cast(text, known), None
        way = self._encoder(known)
        if way.must_wrap:
            text, result = way.wrap(text), None
        if text is not work.sql:
            parsed = self._parsed(text)
        checks = [(at, check) for at, c in enumerate(known) for name, check in work.checks if c.name == name]
        ready = Ready(parsed, way, tuple(checks), columns_reply(known))
        if not nulls and work.row_format == "datarow":  # an encoder of COPY is for one run
            shared.keep((self._request.key, types, own), ready)
        if result is None:
            self._check()
            result = self._cursor.execute(parsed, values)
        return ready, result

    def _parsed(self, sql: str) -> Any:
        """`sql` parsed, so that the next time it need not be; text when it is more than one statement (PIVOT)."""
        found = self._cursor.extract_statements(sql)
        return found[0] if len(found) == 1 else sql

    def _encoder(self, columns: Sequence[ResultColumn]) -> Any:
        work = self._request.work
        if work.row_format == "datarow":
            return plan(columns, work.formats, **spelling(work.row_options))
        return copy_encoder(columns, copy_options(work), **spelling(work.row_options))

    def _batches(self, result: duckdb.DuckDBPyConnection) -> Iterator[pa.RecordBatch]:
        """The first batch as it comes, later ones joined."""
        reader = result.to_arrow_reader(_FIRST_ROWS)
        held: list[pa.RecordBatch] = []
        rows, size, first = 0, 0, True
        for batch in reader:
            held.append(batch)
            rows += batch.num_rows
            size += batch.nbytes
            if first or rows >= BATCH_ROWS or size >= _BATCH_BYTES:
                yield _joined(held)
                held, rows, size, first = [], 0, 0, False
        if held:
            yield _joined(held)

    def _read_columns(self, result: duckdb.DuckDBPyConnection) -> tuple[ResultColumn, ...]:
        description = result.description or []
        return tuple(result_columns([d[0] for d in description], [str(d[1]) for d in description]))

    def _check(self) -> None:
        if self._interrupted:
            raise Interrupted


def _cast(sql: str, columns: Sequence[ResultColumn]) -> str:
    """`sql` with its columns cast to the types it was described with: a NULL parameter has no type of its own."""
    cast = ", ".join(
        f'CAST(c{at} AS {column.type}) AS "{column.name.replace(chr(34), chr(34) * 2)}"'
        for at, column in enumerate(columns)
    )
    return f"SELECT {cast} FROM (\n{sql}\n) AS result({', '.join(f'c{at}' for at in range(len(columns)))})"


def _joined(batches: list[pa.RecordBatch]) -> pa.RecordBatch:
    return batches[0] if len(batches) == 1 else pa.concat_batches(batches)


def _value(bound: Any) -> Any:
    return decode(ParameterValue(bound.data, bound.format, bound.oid), bound.type)


def _typed(parameters: Sequence[Any], values: Sequence[Any]) -> list[Any]:
    return [_example(p) if value is None else value for p, value in zip(parameters, values, strict=True)]


def _own_types(parameters: Sequence[Any], values: Sequence[Any]) -> tuple[str, ...]:
    """The types of values that only the values themselves tell: decimals by their digits, arrays by their depth."""
    if not any(p.oid == NUMERIC or p.oid in ELEMENT_OIDS or p.type[-1:] in (")", "]") for p in parameters):
        return ()
    return tuple(["" if value is None else str(value.type) for value in values])


_EXAMPLES = {"VARCHAR": "", "BOOLEAN": "t", "DATE": "2000-01-01", "UUID": "0" * 32, "JSON": "null", "BLOB": "\\x"}


def _example(bound: Any) -> Any:
    """A value of a parameter's type, so that a statement can be described before it is bound: NULL has no type."""
    kind = bound_type(bound.oid, bound.type)
    if not kind:
        return "" if bound.oid != NUMERIC else decode(ParameterValue(b"0", 0, NUMERIC))
    text = _EXAMPLES.get(kind)
    if text is None:
        if kind.endswith("]"):
            text = "{}"
        elif kind.startswith("TIMESTAMP"):
            text = "2000-01-01 00:00:00"
        elif kind.startswith("TIME"):
            text = "00:00:00"
        elif kind == "INTERVAL":
            text = "0 days"
        else:
            text = "0"
    return decode(ParameterValue(text.encode(), 0, 0), kind)


def assert_masked(column: pa.Array, check: str) -> None:
    """Look at a masked column of a result: it must carry what its mask makes. Never changes anything.

    Raises:
        AssertionBroken: some value cannot have come from the mask.
    """
    name, _, argument = check.partition(":")
    if name == "null":
        good = column.null_count == len(column)
    elif name in _PATTERNS:
        pattern = _PATTERNS[name].replace("N", argument or "4")
        if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
            good = column.null_count == len(column)
        else:
            matches = pa.compute.match_substring_regex(column, pattern)
            good = pa.compute.all(matches, skip_nulls=True, min_count=0).as_py() is not False
    else:
        good = False
    if not good:
        raise AssertionBroken(name)


_PATTERNS = {
    "full": r"\A\*\*\*\z",
    "partial": r"\A\*\*\*(?s:.{0,N})\z",
    "hash": r"\A[0-9a-f]{64}\z",
    "hmac": r"\A[0-9a-f]{64}\z",
}
__all__ = ["EncodePlan", "Interrupted", "Statement", "Statements", "assert_masked"]
