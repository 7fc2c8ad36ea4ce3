"""One statement in work, as the node sees it: deadline, cancel, reruns, frames, facts (ARCHITECTURE.md, Executor)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol

from engine.cache.block_door import BlockDoor, BlockUse, ObjectNumbers
from engine.cache.objects import Snapshot
from engine.encoder.parameters import ParameterValue
from engine.encoder.types import ResultColumn
from engine.executor.channel import Channel, Frame
from engine.executor.failures import Failure, refusal
from engine.executor.leave import Gate, Leave
from engine.executor.messages import Bound, Kind, PinnedObject, SnapshotImage, encode_images, encode_request
from engine.executor.pool import ExecutorSettings, Lease, WorkerPool
from engine.executor.worker_process import WorkerProcess
from governance.errors import DeadlineExceeded, EngineFailed, Refusal, ResourceExceeded, WorkerLost

_COLUMNS_MAX = 4096
_SIGNALS_MAX = 1_000

__all__ = ["Execution", "ExecutionFacts", "Frame", "Host", "Job", "ParameterValue", "ResultColumn"]


@dataclass(slots=True)
class ExecutionFacts:
    """What the audit and the metrics want to know of a statement; final when its frames have ended."""

    rows: int = 0
    bytes: int = 0
    """Bytes of frames."""
    execution_ms: float = 0.0
    """From the worker's start on the statement to its last row."""
    cache_status: str = "none"
    """hit, partial, miss; none when no block was needed."""
    cache_bytes: int = 0
    """Bytes of blocks the cache volume had."""
    store_bytes: int = 0
    """Bytes of blocks fetched from the object store."""


@dataclass(frozen=True, slots=True)
class Job:
    """A request before it has a worker."""

    organization: str
    work: bytes
    """`messages.Work`, encoded."""
    parameters: tuple[Bound, ...] = ()
    snapshots: tuple[Snapshot, ...] = ()
    has_tables: bool = False
    constant: bool = False
    """Whether its answer may be remembered (`engine.executor.constants`)."""


class Host(Protocol):
    """What an execution needs of the executor that started it."""

    settings: ExecutorSettings
    pool: WorkerPool
    numbers: ObjectNumbers
    statements: Iterator[int]
    reruns: int

    def in_background(self, task: asyncio.Task[None]) -> None:
        """Keep a task until it ends."""

    def learned(self, job: Job, columns: tuple[ResultColumn, ...], frames: tuple[Frame, ...]) -> None:
        """The whole answer of a constant statement."""


class Execution:
    """One statement in work. An async context manager: leaving it frees the worker's channel."""

    def __init__(self, host: Host, job: Job, deadline_s: float) -> None:
        self._host = host
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
        self._leave = Leave()
        self._refusal: Refusal | None = None
        self._kept: list[Frame] = []
        """Frames of a constant statement."""
        self.columns: tuple[ResultColumn, ...] = ()
        self.document: Any = None
        """What the worker announced, for operations that answer with something else than columns."""
        self.signals: tuple[tuple[str, int], ...] = ()
        """(signal, process id) that a catalog statement asks for; the worker is not believed that it may."""
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
        if self._leave.withdraw():
            lease.channel.final_at = self._loop.time()
        if lease.channel.final_at or lease.channel.lost:
            self._free()
        else:
            self._host.in_background(self._loop.create_task(self._abandon(lease)))

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
                if self._job.constant:
                    self._kept.append(message.frame)
                if self._lease is not None and self._lease.channel.done_next():
                    self._done()  # a reader that wants no more rows than there are need not ask for the end
                yield message.frame
            elif message.kind is Kind.DONE:
                self._done()
            elif message.kind is Kind.FAILED:
                raise self._failed(message.document)

    async def cancel(self) -> None:
        """Stop the statement: `frames` raises DeadlineExceeded (57014)."""
        self._stop("cancelled")

    # ------------------------------------------------------------------ beginning

    async def begin(self, gate: Gate | None = None) -> None:
        """Lease, pass the gate, send, and wait for the columns. Starts again while workers are lost."""
        host = self._host
        if gate is None:
            self._leave.give()
        while True:
            self._lease = await host.pool.lease(self._job.organization, self._deadline - self._loop.time())
            if self._ending:
                self._lease.channel.final_at = self._loop.time()
                raise self._ended()
            worker, channel = self._lease.worker, self._lease.channel
            self._statement = next(host.statements)
            channel.reset()
            forget: tuple[str, ...] = ()
            try:
                if self._job.snapshots and worker.door is not None:
                    forget = self._acquaint(worker, worker.door, channel)
                encoded = encode_request(
                    self._job.work, self._statement, parameters=self._job.parameters, snapshots=self._ids, forget=forget
                )
            except ValueError:
                channel.final_at = self._loop.time()
                raise ResourceExceeded("The statement is too large.", advice="Split it.") from None
            if not self._timers:
                self._timers.append(self._loop.call_at(self._deadline, self._stop, "deadline"))
            self._leave.offer(channel, encoded)
            if gate is not None:
                asked, gate = gate, None
                asked(self._leave.give, self._refused)
            message = await self._next()
            if message is not None:
                break
            self._lost()
        if message.kind is Kind.FAILED:
            raise self._failed(message.document)
        if message.kind is not Kind.COLUMNS:
            raise self._broken()
        self._take_columns(message.document)

    def _acquaint(self, worker: WorkerProcess, door: BlockDoor, channel: Channel) -> tuple[str, ...]:
        """Pin the snapshots, tell the worker of those it does not know; what it may forget. Raises ValueError."""
        by_id = {s.id: s for s in self._job.snapshots}
        self._ids = list(by_id)
        new, forget = worker.acquaint(self._ids)
        self._use = door.hold(by_id.values())
        if new:
            try:
                channel.send(encode_images([self._image(by_id[i]) for i in new]))
            except ValueError:
                worker.unknow(self._ids)
                raise
        return forget

    def _image(self, snapshot: Snapshot) -> SnapshotImage:
        number = self._host.numbers.number
        root = len(snapshot.root) + 1 if snapshot.root else 0
        return SnapshotImage(
            snapshot.id,
            snapshot.table,
            tuple(PinnedObject(number(o), o.path[root:], o.size) for o in snapshot.objects),
        )

    def _take_columns(self, document: Any) -> None:
        if isinstance(document, dict) and "result" in document:
            self.signals = _signals(document.get("signals"))
            document = document["result"]
        if not isinstance(document, list):
            self.document = document
            return
        if len(document) > _COLUMNS_MAX:
            raise self._broken()
        columns = tuple([ResultColumn(*column) for column in document])
        if self.columns and columns != self.columns:
            raise WorkerLost("The table changed while the statement ran.", advice="Retry.")
        self.columns = columns

    async def _next(self) -> Any:
        lease = self._lease
        if lease is None:
            raise WorkerLost("The statement has ended.", advice="Retry.")
        message = await lease.channel.next()
        if self._refusal is not None:
            self._finish()
            raise self._refusal
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
        await self.begin()  # columns came before, so leave was given

    def _lost(self) -> None:
        self._free()
        self._reruns += 1
        self._host.reruns += 1
        if self._reruns > self._host.settings.reruns_max:
            self._over = True
            raise WorkerLost(
                "The process that ran the statement ended, more than once.",
                advice="The statement may need more memory than a process may take; make it smaller.",
            )

    # ------------------------------------------------------------------ ending

    def _refused(self, refusal: Refusal) -> None:
        """The gate stays shut."""
        if self._leave.withdraw() and self._lease is not None:
            self._refusal = refusal
            self._lease.channel.forgo()

    def _stop(self, why: str) -> None:
        """Interrupt, and kill the worker when that does not help."""
        lease = self._lease
        if self._over or self._ending:
            return
        self._ending = why
        if lease is None or lease.channel.final_at:
            return
        if self._leave.withdraw():
            lease.channel.forgo()
            return
        lease.channel.discard()
        lease.worker.interrupt(lease.channel, self._statement)
        grace = self._host.settings.kill_grace_s
        self._timers.append(self._loop.call_later(grace, self._kill, lease))

    def _kill(self, lease: Lease) -> None:
        if not lease.channel.final_at and not lease.channel.lost:
            lease.worker.kill()

    async def _abandon(self, lease: Lease) -> None:
        """Leave a statement that still runs."""
        lease.channel.discard()
        lease.worker.interrupt(lease.channel, self._statement)
        try:
            async with asyncio.timeout(self._host.settings.kill_grace_s):
                while not lease.channel.final_at and await lease.channel.next() is not None:
                    pass
        except TimeoutError:
            lease.worker.kill()
        finally:
            self._free()

    def _done(self) -> None:
        """The statement has come to its end."""
        self._finish()
        if self._job.constant:
            self._host.learned(self._job, self.columns, tuple(self._kept))

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
        self._host.pool.release(lease)

    def _ended(self) -> Refusal:
        if self._ending == "deadline":
            return DeadlineExceeded(
                "The statement was stopped at its deadline.", advice="Make it smaller, or raise statement_timeout."
            )
        return DeadlineExceeded("The statement was cancelled.", reason="cancelled by the client")

    def _failed(self, document: Any) -> Refusal:
        if not isinstance(document, dict):
            return self._broken()
        if document.get("retire") and self._lease is not None:
            self._host.pool.retire(self._lease.worker)
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


def _signals(told: Any) -> tuple[tuple[str, int], ...]:
    """What a worker says, as far as it has the right shape."""
    pairs = told[:_SIGNALS_MAX] if isinstance(told, list) else []
    return tuple(
        (str(pair[0]), pair[1])
        for pair in pairs
        if isinstance(pair, list) and len(pair) == 2 and isinstance(pair[1], int)
    )
