"""The executor: takes `Governed` and nothing else, gives frames of encoded rows.

A statement past its deadline is interrupted (57014) and its worker killed a moment later if it does not stop; other
statements of a killed worker are started again if they sent nothing yet, else they end with WorkerLost (57P01).
"""

from __future__ import annotations

import asyncio
import itertools
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from engine.cache.block_cache import BlockCache
from engine.cache.block_door import BlockDoor, ObjectNumbers
from engine.cache.objects import Snapshot
from engine.catalog.emulation import CatalogImage, CatalogStatement, SessionInfo
from engine.encoder.parameters import ParameterValue
from engine.encoder.types import ResultColumn
from engine.executor.channel import Frame
from engine.executor.constants import Answer, Constants, Remembered, is_constant
from engine.executor.execution import Execution, Job
from engine.executor.leave import Gate
from engine.executor.messages import Bound, Work
from engine.executor.pool import ExecutorSettings, WorkerPool
from engine.executor.relation import ROWS_PLANNED, read_files, rows_rounded
from engine.pipeline.governed import Governed
from governance.audit_table import QUERIES
from governance.errors import EngineFailed, SourceUnavailable
from governance.tables import Column, Table, TableName

_WORKS_MAX = 1024
_WORK_KEPT_BYTES_MAX = 16_384
CATALOG_IMAGE_MISSING = "image_missing"
"""What a worker says (`EngineFailed.kind`) that does not hold a catalog image yet."""
CATALOG_ORGANIZATION = ""
"""The reserved organization whose workers look at files for the lake."""


class SnapshotSource(Protocol):
    """What the executor asks of the lake."""

    async def snapshot(self, table: TableName) -> Snapshot:
        """The table's files, pinned. Raises SourceUnavailable."""

    def tables(self) -> Mapping[tuple[str, str], Table]:
        """Every table by folded (schema, name), of the same moment as the snapshot just given."""


class OwnSnapshots(Protocol):
    """What the executor asks of the audit's table, whose files are made for each organization."""

    async def snapshot(self, organization: str) -> Snapshot:
        """The organization's records, pinned. Raises SourceUnavailable."""


class Executor:
    """Runs governed statements in workers. All methods belong to the node's event loop."""

    def __init__(self, settings: ExecutorSettings, lake: SnapshotSource | None, cache: BlockCache) -> None:
        self.settings = settings
        self.lake = lake
        """May be set after construction: the lake itself asks the executor for column types."""
        self.audit: OwnSnapshots | None = None
        """Where `hatidata_audit.queries` comes from; None where there is no such table."""
        self.numbers = ObjectNumbers()
        self.pool = WorkerPool(settings, lambda sock: BlockDoor(sock, cache, self.numbers))
        self.statements: Iterator[int] = itertools.count(1)
        self._works: OrderedDict[tuple[object, ...], tuple[bytes, bool]] = OrderedDict()
        """What workers are asked, encoded, and whether its answer is a constant, by everything it depends on."""
        self._constants = Constants()
        self._background: set[asyncio.Task[None]] = set()
        self.reruns = 0

    async def start(self) -> None:
        """Start the first worker. Raises EngineFailed when it does not start or cannot be confined as required."""
        await self.pool.start()

    async def stop(self) -> None:
        """End all workers; running statements end with WorkerLost."""
        for task in tuple(self._background):
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        await self.pool.stop()

    # ------------------------------------------------------------------ the seam

    async def describe(self, governed: Governed, parameter_oids: Sequence[int] = ()) -> tuple[ResultColumn, ...]:
        """The columns `governed` would have, without running it. Raises as `run`."""
        bound = tuple(
            Bound(None, 0, oid, parameter.type)
            for parameter, oid in itertools.zip_longest(
                governed.parameters, tuple(parameter_oids)[: len(governed.parameters)], fillvalue=0
            )
            if not isinstance(parameter, int)
        )
        job = await self._job(governed, "describe", bound)
        async with await self._begin(job, self.settings.lease_wait_s) as execution:
            async for _ in execution.frames():
                pass
            return execution.columns

    async def run(
        self,
        governed: Governed,
        *,
        parameters: Sequence[ParameterValue] = (),
        formats: Sequence[int] = (),
        deadline_s: float,
        row_format: str = "datarow",
        row_options: Mapping[str, Any] | None = None,
        gate: Gate | None = None,
    ) -> Execution | Remembered:
        """Start `governed`; returns when its columns are known.

        Args:
            governed: the statement.
            parameters: one for each `$n`.
            formats: as in Bind: none, one, or one for each column; 0 text, 1 binary.
            deadline_s: seconds until the statement is stopped, sending included.
            row_format: `datarow`, or `copy_text`, `copy_csv`, `copy_binary`.
            row_options: `time_zone`, `interval_style`, `bytea_output` and the options of COPY.
            gate: gives leave to run; without one the statement runs at once.

        Raises:
            Refusal: SourceUnavailable, EngineFailed, ResourceExceeded, DeadlineExceeded, WorkerLost, TooManyQueries.
        """
        if not isinstance(governed, Governed):
            raise TypeError("the executor takes Governed and nothing else")
        bound = tuple(
            Bound(value.data, value.format, value.oid, parameter.type)
            for value, parameter in zip(parameters, governed.parameters, strict=True)
        )
        job = await self._job(governed, "run", bound, tuple(formats), row_format, dict(row_options or {}))
        answer = self._constants.get(job.organization, job.work) if job.constant else None
        if answer is not None:
            remembered = Remembered(answer)
            await remembered.begin(gate, deadline_s)
            return remembered
        return await self._begin(job, deadline_s, gate)

    async def run_operation(
        self,
        operation: str,
        organization: str,
        *,
        sql: str = "",
        extra: Mapping[str, Any] | None = None,
        parameters: Sequence[Bound] = (),
        formats: Sequence[int] = (),
        deadline_s: float = 30.0,
        row_format: str = "datarow",
        row_options: Mapping[str, Any] | None = None,
        snapshots: Sequence[Snapshot] = (),
        gate: Gate | None = None,
    ) -> Execution:
        """Start an operation of `engine.executor.operations` in a worker of `organization`. Raises as `run`."""
        work = Work(
            operation=operation,
            sql=sql,
            formats=tuple(formats),
            row_format=row_format,
            row_options=dict(row_options or {}),
            extra=dict(extra or {}),
        )
        job = Job(organization, work.encode(), tuple(parameters), tuple(snapshots), bool(snapshots))
        return await self._begin(job, deadline_s, gate)

    async def run_catalog(
        self,
        image: CatalogImage,
        statement: CatalogStatement,
        session: SessionInfo,
        *,
        organization: str,
        parameters: Sequence[ParameterValue] = (),
        formats: Sequence[int] = (),
        deadline_s: float,
        row_format: str = "datarow",
        row_options: Mapping[str, Any] | None = None,
        gate: Gate | None = None,
    ) -> Execution:
        """Start a catalog query on `image` in a worker of `organization`. Raises as `run`.

        The image goes along only when the worker does not hold it yet.
        """
        if not isinstance(statement, CatalogStatement):
            raise TypeError("a catalog query is a CatalogStatement and nothing else")
        bound = tuple(
            Bound(value.data, value.format, value.oid or oid, "")
            for value, oid in zip(parameters, statement.parameters, strict=False)
        )
        extra = {
            "key": image.key,
            "columns": [c.document() for c in statement.columns],
            "relations": [list(relation) for relation in statement.relations],
            "session": statement.bound(session),
            **({"signaling": True} if statement.signaling else {}),
        }

        async def start(document: Mapping[str, Any], gate: Gate | None) -> Execution:
            return await self.run_operation(
                "catalog", organization, sql=statement.sql, extra=document, parameters=bound, formats=formats,
                deadline_s=deadline_s, row_format=row_format, row_options=row_options, gate=gate,
            )  # fmt: skip

        try:
            return await start(extra, gate)
        except EngineFailed as error:
            if error.kind != CATALOG_IMAGE_MISSING:
                raise
        return await start({**extra, "image": image.document()}, None)  # leave was given the first time

    async def file_types(self, snapshot: Snapshot) -> tuple[tuple[tuple[str, str], ...], bool]:
        """((column name, DuckDB type), ...) of a table's files, and whether all files have the same columns.

        Raises:
            SourceUnavailable: a file is damaged or gone.
        """
        extra = {"partitions": [list(p) for p in snapshot.partitions]}
        execution = await self.run_operation(
            "files", CATALOG_ORGANIZATION, extra=extra, snapshots=[snapshot], deadline_s=60.0
        )
        async with execution:
            document = execution.document
            async for _ in execution.frames():
                pass
        if not isinstance(document, dict):
            raise EngineFailed("The engine failed.", reason="files")
        return tuple((str(n), str(t)) for n, t in document["columns"]), bool(document["uniform"])

    # ------------------------------------------------------------------ inside

    async def _job(
        self,
        governed: Governed,
        operation: str,
        parameters: tuple[Bound, ...],
        formats: tuple[int, ...] = (),
        row_format: str = "datarow",
        row_options: dict[str, Any] | None = None,
    ) -> Job:
        snapshots: dict[TableName, Snapshot] = {}
        for table, columns in itertools.zip_longest(governed.tables, governed.shapes):
            snapshots[table] = await self._snapshot(table, governed.organization)
            if columns is not None and not self._is_as_governed(table, columns):
                raise SourceUnavailable(f"Table {table} has other columns since a moment ago.", advice="Retry.")
        pinned = tuple(snapshots.values())
        options = row_options or {}
        key = (
            governed.segments, governed.kind, governed.masked_values, governed.filtered, governed.sizes_hidden,
            tuple([s.id for s in pinned]), operation, formats, row_format, tuple(options.items()),
        )  # fmt: skip
        known = self._works.get(key)
        if known is None:

            def relation(table: TableName) -> str:
                snapshot = snapshots[table]
                return read_files(
                    snapshot.id,
                    snapshot.partitions,
                    uniform=snapshot.uniform,
                    rows_planned=_rows_planned(governed, table, snapshot),
                )

            sql = governed.sql(relation)
            work = Work(
                operation=operation, sql=sql, formats=formats, row_format=row_format, row_options=options,
                checks=governed.masked_values, kind=governed.kind,
            ).encode()  # fmt: skip
            known = work, operation == "run" and row_format == "datarow" and is_constant(governed)
            if len(work) <= _WORK_KEPT_BYTES_MAX:
                self._works[key] = known
                while len(self._works) > _WORKS_MAX:
                    self._works.popitem(last=False)
        work, constant = known
        return Job(governed.organization, work, parameters, pinned, bool(governed.tables), constant)

    async def _snapshot(self, table: TableName, organization: str) -> Snapshot:
        own = table.key == QUERIES.key
        if self.audit is not None and own:
            return await self.audit.snapshot(organization)
        if self.lake is None or own:
            raise EngineFailed("The engine failed.", reason="no lake")
        return await self.lake.snapshot(table)

    def _is_as_governed(self, table: TableName, columns: tuple[Column, ...]) -> bool:
        """Whether a table still has the columns it was governed with; the audit's never change."""
        known = self.lake.tables().get(table.key) if self.lake is not None else None
        return table.key == QUERIES.key or (known is not None and known.columns == columns)

    async def _begin(self, job: Job, deadline_s: float, gate: Gate | None = None) -> Execution:
        execution = Execution(self, job, deadline_s)
        try:
            await execution.begin(gate)
        except BaseException:
            await execution.__aexit__(None, None, None)
            raise
        return execution

    def learned(self, job: Job, columns: tuple[ResultColumn, ...], frames: tuple[Frame, ...]) -> None:
        """Remember the whole answer of a constant statement."""
        self._constants.keep(job.organization, job.work, Answer(columns, frames))

    def in_background(self, task: asyncio.Task[None]) -> None:
        """Keep a task until it ends; `stop` cancels it."""
        self._background.add(task)
        task.add_done_callback(self._background.discard)


def _rows_planned(governed: Governed, table: TableName, snapshot: Snapshot) -> int | None:
    """How many rows DuckDB is told that a table holds; None: as many as its files say, for a table seen whole."""
    if table in governed.sizes_hidden:
        return ROWS_PLANNED
    return rows_rounded(snapshot.size) if table in governed.filtered else None
