"""The executor: takes `Governed` and nothing else, gives frames of encoded rows.

A statement past its deadline is interrupted (57014) and its worker killed a moment later if it does not stop; other
statements of a killed worker are started again if they sent nothing yet, else they end with WorkerLost (57P01).
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Protocol

from engine.cache.block_cache import BlockCache
from engine.cache.block_door import BlockDoor, BlockUse, ObjectNumbers
from engine.cache.objects import Snapshot
from engine.catalog.emulation import CatalogImage, CatalogStatement, SessionInfo
from engine.encoder.parameters import ParameterValue
from engine.encoder.types import ResultColumn
from engine.executor.execution import ExecutionFacts, Frame
from engine.executor.failures import Failure, refusal
from engine.executor.messages import Bound, Kind, PinnedObject, Request, SnapshotImage
from engine.executor.pool import ExecutorSettings, Lease, WorkerPool
from engine.executor.relation import read_files
from engine.pipeline.governed import Governed
from governance.errors import DeadlineExceeded, EngineFailed, Refusal, ResourceExceeded, WorkerLost
from governance.tables import TableName

_COLUMNS_MAX = 4096
CATALOG_IMAGE_MISSING = "image_missing"
"""What a worker says (`EngineFailed.kind`) that does not hold a catalog image yet."""
CATALOG_ORGANIZATION = ""
"""The reserved organization whose workers look at files for the lake."""


class SnapshotSource(Protocol):
    """What the executor asks of the lake."""

    async def snapshot(self, table: TableName) -> Snapshot:
        """The table's files, pinned. Raises SourceUnavailable."""


@dataclass(frozen=True, slots=True)
class _Job:
    """A request before it has a worker."""

    organization: str
    request: Request
    snapshots: tuple[Snapshot, ...] = ()
    has_tables: bool = False


class Executor:
    """Runs governed statements in workers. All methods belong to the node's event loop."""

    def __init__(self, settings: ExecutorSettings, lake: SnapshotSource | None, cache: BlockCache) -> None:
        self._settings = settings
        self.lake = lake
        """May be set after construction: the lake itself asks the executor for column types."""
        self._numbers = ObjectNumbers()
        self.pool = WorkerPool(settings, lambda sock: BlockDoor(sock, cache, self._numbers))
        self._statements = itertools.count(1)
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
        async with await self._begin(job, self._settings.lease_wait_s) as execution:
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
    ) -> Execution:
        """Start `governed`; returns when its columns are known.

        Args:
            governed: the statement.
            parameters: one for each `$n`.
            formats: as in Bind: none, one, or one for each column; 0 text, 1 binary.
            deadline_s: seconds until the statement is stopped, sending included.
            row_format: `datarow`, or `copy_text`, `copy_csv`, `copy_binary`.
            row_options: `time_zone` and the options of COPY.

        Raises:
            Refusal: SourceUnavailable, EngineFailed, ResourceExceeded, DeadlineExceeded, WorkerLost, TooManyQueries.
        """
        if not isinstance(governed, Governed):
            raise TypeError("the executor takes Governed and nothing else")
        bound = tuple(
            Bound(value.data, value.format, value.oid, parameter.type)
            for value, parameter in zip(parameters, governed.parameters, strict=True)
        )
        job = await self._job(governed, "run", bound)
        request = replace(
            job.request, formats=tuple(formats), row_format=row_format, row_options=dict(row_options or {})
        )
        return await self._begin(replace(job, request=request), deadline_s)

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
    ) -> Execution:
        """Start an operation of `engine.executor.operations` in a worker of `organization`. Raises as `run`."""
        request = Request(
            operation=operation,
            statement=0,
            sql=sql,
            parameters=tuple(parameters),
            formats=tuple(formats),
            row_format=row_format,
            row_options=dict(row_options or {}),
            extra=dict(extra or {}),
        )
        return await self._begin(_Job(organization, request, tuple(snapshots), bool(snapshots)), deadline_s)

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
            "columns": [[c.name, c.oid, c.size, c.modifier, c.duck] for c in statement.columns],
            "relations": [list(relation) for relation in statement.relations],
            "session": statement.bound(session),
        }

        async def start(document: Mapping[str, Any]) -> Execution:
            return await self.run_operation(
                "catalog", organization, sql=statement.sql, extra=document, parameters=bound, formats=formats,
                deadline_s=deadline_s, row_format=row_format, row_options=row_options,
            )  # fmt: skip

        try:
            return await start(extra)
        except EngineFailed as error:
            if error.kind != CATALOG_IMAGE_MISSING:
                raise
        return await start({**extra, "image": image.document()})

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

    async def _job(self, governed: Governed, operation: str, parameters: tuple[Bound, ...]) -> _Job:
        snapshots: dict[TableName, Snapshot] = {}
        if governed.tables and self.lake is None:
            raise EngineFailed("The engine failed.", reason="no lake")
        for table in governed.tables:
            assert self.lake is not None  # noqa: S101 - checked above
            snapshots[table] = await self.lake.snapshot(table)

        def relation(table: TableName) -> str:
            snapshot = snapshots[table]
            return read_files(snapshot.id, snapshot.partitions, uniform=snapshot.uniform)

        request = Request(
            operation=operation,
            statement=0,
            sql=governed.sql(relation),
            parameters=parameters,
            checks=governed.masked_values,
            kind=governed.kind,
        )
        return _Job(governed.organization, request, tuple(snapshots.values()), bool(governed.tables))

    async def _begin(self, job: _Job, deadline_s: float) -> Execution:
        execution = Execution(self, job, deadline_s)
        try:
            await execution._begin()  # noqa: SLF001 - the two are one
        except BaseException:
            await execution.__aexit__(None, None, None)
            raise
        return execution

    def _in_background(self, task: asyncio.Task[None]) -> None:
        self._background.add(task)
        task.add_done_callback(self._background.discard)


class Execution:
    """One statement in work. An async context manager: leaving it frees the worker's channel."""

    def __init__(self, executor: Executor, job: _Job, deadline_s: float) -> None:
        self._executor = executor
        self._job = job
        self._loop = asyncio.get_running_loop()
        self._deadline = self._loop.time() + deadline_s
        self._began = self._loop.time()
        self._lease: Lease | None = None
        self._use: BlockUse | None = None
        self._ids: list[str] = []
        self._statement = 0
        self._ending = ""
        self._over = False
        self._reruns = 0
        self._delivered = False
        self._timers: list[asyncio.TimerHandle] = []
        self.columns: tuple[ResultColumn, ...] = ()
        self.document: Any = None
        """What the worker announced, for operations that answer with something else than columns."""
        self.facts = ExecutionFacts()

    async def __aenter__(self) -> Execution:
        """Itself."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Free the channel; a statement still running is stopped without waiting for it."""
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        lease = self._lease
        if lease is None:
            return
        if lease.channel.final_at or lease.channel.lost:
            self._free()
        else:
            self._executor._in_background(self._loop.create_task(self._abandon(lease)))  # noqa: SLF001

    async def frames(self) -> AsyncIterator[Frame]:
        """The rows. The worker stops when nobody asks for more.

        Raises:
            Refusal: as `Executor.run`.
        """
        while not self._over:
            message = await self._next()
            if message is None:
                await self._again()
            elif message.frame is not None:
                self._delivered = True
                self.facts.rows += message.frame.rows
                self.facts.bytes += len(message.frame.data)
                yield message.frame
            elif message.kind is Kind.DONE:
                self._finish()
            elif message.kind is Kind.FAILED:
                raise self._failed(message.document)

    async def cancel(self) -> None:
        """Stop the statement: `frames` raises DeadlineExceeded (57014)."""
        self._stop("cancelled")

    # ------------------------------------------------------------------ beginning

    async def _begin(self) -> None:
        """Lease, send, and wait for the columns. Starts again while workers are lost."""
        executor = self._executor
        while True:
            self._lease = await executor.pool.lease(self._job.organization, self._deadline - self._loop.time())
            worker, channel = self._lease.worker, self._lease.channel
            self._statement = next(executor._statements)  # noqa: SLF001
            request = replace(self._job.request, statement=self._statement)
            if self._job.snapshots and worker.door is not None:
                self._ids = list({s.id: None for s in self._job.snapshots})
                by_id = {s.id: s for s in self._job.snapshots}
                new, forget = worker.acquaint(self._ids)
                self._use = worker.door.hold(by_id.values())
                request = replace(
                    request, snapshots=tuple(self._ids), forget=forget, images=tuple(self._image(by_id[i]) for i in new)
                )
            try:
                encoded = request.encode()
            except ValueError:
                channel.final_at = self._loop.time()
                raise ResourceExceeded("The statement is too large.", advice="Split it.") from None
            if not self._timers:
                self._timers.append(self._loop.call_at(self._deadline, self._stop, "deadline"))
            channel.send(encoded)
            message = await self._next()
            if message is not None:
                break
            self._lost()
        if message.kind is Kind.FAILED:
            raise self._failed(message.document)
        if message.kind is not Kind.COLUMNS:
            raise self._broken()
        self._take_columns(message.document)

    def _image(self, snapshot: Snapshot) -> SnapshotImage:
        number = self._executor._numbers.number  # noqa: SLF001
        root = len(snapshot.root) + 1 if snapshot.root else 0
        return SnapshotImage(
            snapshot.id,
            snapshot.table,
            tuple(PinnedObject(number(o), o.path[root:], o.size) for o in snapshot.objects),
        )

    def _take_columns(self, document: Any) -> None:
        if not isinstance(document, list):
            self.document = document
            return
        if len(document) > _COLUMNS_MAX:
            raise self._broken()
        columns = tuple(ResultColumn(*column) for column in document)
        if self.columns and columns != self.columns:
            raise WorkerLost("The table changed while the statement ran.", advice="Retry.")
        self.columns = columns

    async def _next(self) -> Any:
        lease = self._lease
        if lease is None:
            raise WorkerLost("The statement has ended.", advice="Retry.")
        message = await lease.channel.next()
        if self._ending:
            self._finish()
            raise self._ended()
        return message

    async def _again(self) -> None:
        """The worker is lost: start over if nothing was sent."""
        if self._delivered:
            self._over = True
            self._free()
            raise WorkerLost(
                "The process that ran the statement ended.", advice="Retry.", reason="worker lost after rows were sent"
            )
        self._lost()
        await self._begin()

    def _lost(self) -> None:
        self._free()
        self._reruns += 1
        self._executor.reruns += 1
        if self._reruns > self._executor._settings.reruns_max:  # noqa: SLF001
            self._over = True
            raise WorkerLost(
                "The process that ran the statement ended, more than once.",
                advice="The statement may need more memory than a process may take; make it smaller.",
            )

    # ------------------------------------------------------------------ ending

    def _stop(self, why: str) -> None:
        """Interrupt, and kill the worker when that does not help."""
        lease = self._lease
        if self._over or self._ending:
            return
        self._ending = why
        if lease is None or lease.channel.final_at:
            return
        lease.channel.discard()
        lease.worker.interrupt(lease.channel, self._statement)
        grace = self._executor._settings.kill_grace_s  # noqa: SLF001
        self._timers.append(self._loop.call_later(grace, self._kill, lease))

    def _kill(self, lease: Lease) -> None:
        if not lease.channel.final_at and not lease.channel.lost:
            lease.worker.kill()

    async def _abandon(self, lease: Lease) -> None:
        """Leave a statement that still runs."""
        lease.channel.discard()
        lease.worker.interrupt(lease.channel, self._statement)
        try:
            async with asyncio.timeout(self._executor._settings.kill_grace_s):  # noqa: SLF001
                while not lease.channel.final_at and await lease.channel.next() is not None:
                    pass
        except TimeoutError:
            lease.worker.kill()
        finally:
            self._free()

    def _finish(self) -> None:
        self._over = True
        lease = self._lease
        if lease is not None:
            ended = lease.channel.final_at or self._loop.time()
            self.facts.execution_ms = (ended - self._began) * 1000
        if self._use is not None and self._job.has_tables:
            self.facts.cache_bytes, self.facts.store_bytes = self._use.cache_bytes, self._use.store_bytes
            self.facts.cache_status = self._use.status
        if lease is not None and (lease.channel.final_at or lease.channel.lost):
            self._free()

    def _free(self) -> None:
        lease, self._lease = self._lease, None
        if lease is None:
            return
        if self._use is not None and lease.worker.door is not None:
            lease.worker.door.release(self._use)
        lease.worker.part(self._ids)
        self._use, self._ids = None, []
        self._executor.pool.release(lease)

    def _ended(self) -> Refusal:
        if self._ending == "deadline":
            return DeadlineExceeded(
                "The statement was stopped at its deadline.", advice="Make it smaller, or raise statement_timeout."
            )
        return DeadlineExceeded("The statement was cancelled.", reason="cancelled by the client")

    def _failed(self, document: Any) -> Refusal:
        if not isinstance(document, dict):
            return self._broken()
        if document.pop("retire", False) and self._lease is not None:
            self._executor.pool.retire(self._lease.worker)
        self._finish()
        fields = {k: str(document.get(k, "")) for k in ("kind", "name", "message", "advice")}
        failure = Failure(**fields)
        if failure.kind == "interrupted":
            return self._ended()
        return refusal(failure)

    def _broken(self) -> Refusal:
        if self._lease is not None:
            self._lease.worker.kill()
        return EngineFailed("The engine failed.", advice="Retry.", reason="a worker broke the protocol")
