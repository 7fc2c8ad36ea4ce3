"""Which worker runs a statement: a worker serves one organization in its life, and their number is bounded.

Idle channels are kept warm; a started but unassigned worker stands by so that a new organization does not wait for a
process to start. When all workers are taken, the longest idle one of another organization ends for the newcomer.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

from engine.cache.block_door import DoorMaker
from engine.executor.channel import Channel
from engine.executor.instance import InstanceLimits
from engine.executor.sandbox import REQUIRED
from engine.executor.worker_process import WorkerProcess, WorkerSpec
from governance.errors import EngineFailed, TooManyQueries, WorkerLost

_LOG = logging.getLogger("hatidata.executor")
_ADDRESS_SPACE_SLACK_BYTES = 3 << 30
"""Python, thread stacks and allocator arenas, above DuckDB's own limit."""
_STARTS_MAX = 3


def _default_memory_bytes() -> int:
    """15% of the machine's memory."""
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        total = 8 << 30
    return max(512 << 20, int(total * 0.15))


@dataclass(frozen=True, slots=True)
class ExecutorSettings:
    """What workers may take and how many there are. Bytes, seconds."""

    spill_root: Path
    workers_max: int = 8
    workers_per_organization_max: int = 2
    channels_per_worker_max: int = 64
    spread_from: int = 8
    """Statements running in a worker before its organization is given another one."""
    threads: int = field(default_factory=lambda: max(1, os.cpu_count() or 1))
    memory_bytes: int = field(default_factory=_default_memory_bytes)
    """DuckDB's limit in each worker."""
    spill_bytes: int = 8 << 30
    worker_uid_first: int = 61_500
    """Workers of a node that runs as root become this user and the following ones, one each."""
    require_sandbox: bool = False
    """Refuse to serve when a measure of `sandbox.REQUIRED` does not hold."""
    kill_grace_s: float = 1.0
    """From interrupt to SIGKILL."""
    lease_wait_s: float = 30.0
    reruns_max: int = 2
    """How often a statement that sent nothing is started again after its worker was lost."""
    mask_key: bytes = field(default=b"", repr=False)
    """The environment's key for `hmac` masks; empty: they show NULL."""
    standby: bool = True
    """Keep one started worker unassigned."""


@dataclass(slots=True, eq=False)
class Lease:
    """A channel of a worker, for one statement."""

    worker: WorkerProcess
    channel: Channel


class WorkerPool:
    """All workers of a node."""

    def __init__(self, settings: ExecutorSettings, make_door: DoorMaker) -> None:
        self._settings = settings
        self._make_door = make_door
        self._workers: list[WorkerProcess] = []
        self._leaving: set[asyncio.Task[None]] = set()
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._numbers = 0
        self._stopping = False
        self.lost_workers = 0
        """Workers that ended without being asked to."""

    async def start(self) -> None:
        """Start one worker and see whether its sandbox holds.

        Raises:
            EngineFailed: it does not start, or `require_sandbox` is set and a measure is missing.
        """
        root = self._settings.spill_root
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        for left_behind in root.glob("worker-*"):  # of a node that was killed
            shutil.rmtree(left_behind, ignore_errors=True)
        worker = self._spawn()
        assert worker.ready is not None  # noqa: S101 - spawn has just set it
        await worker.ready
        missing = worker.report.missing
        if missing:
            _LOG.warning("workers run without: %s", ", ".join(missing))
            if self._settings.require_sandbox:
                await self.stop()
                raise EngineFailed(
                    "The query processes cannot be confined on this system.",
                    kind="startup",
                    advice="Run on Linux 5.13 or newer as root or with user namespaces, or set require_sandbox off.",
                    reason=f"missing of {len(REQUIRED)}: {', '.join(missing)}",
                )

    async def stop(self) -> None:
        """End every worker and wait for it."""
        self._stopping = True
        workers = tuple(self._workers)
        await asyncio.gather(*(worker.exited() for worker in workers))
        await asyncio.gather(*self._leaving, return_exceptions=True)
        for waiter in self._waiters:
            if not waiter.done():
                waiter.cancel()

    @property
    def workers(self) -> tuple[WorkerProcess, ...]:
        """Those that live, for status and tests."""
        return tuple(self._workers)

    # ------------------------------------------------------------------ leases

    async def lease(self, organization: str, timeout_s: float) -> Lease:
        """A channel into a worker of `organization`.

        Raises:
            TooManyQueries: none became free in time.
            EngineFailed, WorkerLost: workers do not start.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + min(timeout_s, self._settings.lease_wait_s)
        for _ in range(_STARTS_MAX):
            worker = self._choose(organization)
            while worker is None:
                await self._wait(until)
                worker = self._choose(organization)
            worker.leases += 1
            worker.organization = organization
            self._stand_by()
            try:
                if worker.ready is not None and not worker.ready.done():
                    async with asyncio.timeout_at(until):
                        await asyncio.shield(worker.ready)
                while worker.idle:
                    channel = worker.idle.pop()
                    if not channel.lost:
                        return Lease(worker, channel)
                return Lease(worker, await worker.open_channel())
            except TimeoutError:
                self._give_back(worker)
                raise _busy() from None
            except OSError:
                self._give_back(worker)
            except BaseException:
                self._give_back(worker)
                raise
        raise WorkerLost("The query process ended before the statement began.", advice="Retry.")

    def release(self, lease: Lease) -> None:
        """The statement is over; its channel can serve the next one unless it is lost."""
        worker, channel = lease.worker, lease.channel
        if not channel.lost and not worker.retired and channel.final_at:
            worker.idle.append(channel)
        else:
            channel.close()
        self._give_back(worker)

    def _give_back(self, worker: WorkerProcess) -> None:
        worker.leases -= 1
        worker.last_used = asyncio.get_running_loop().time()
        self._wake()

    def retire(self, worker: WorkerProcess) -> None:
        """DuckDB in there cannot go on: no new statements, the end once the running ones are over."""
        if worker in self._workers and not worker.retired:
            worker.kill()

    async def _wait(self, until: float) -> None:
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            async with asyncio.timeout_at(until):
                await waiter
        except TimeoutError:
            raise _busy() from None
        finally:
            if waiter in self._waiters:
                self._waiters.remove(waiter)

    def _wake(self) -> None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return

    def _choose(self, organization: str) -> WorkerProcess | None:
        """A worker with room, started or spared for the purpose if need be; None: wait."""
        settings = self._settings
        own = [w for w in self._workers if w.organization == organization and not w.retired]
        best = min(own, key=lambda w: w.leases, default=None)
        if best is not None and best.leases < settings.spread_from:
            return best
        if len(own) < settings.workers_per_organization_max:
            free = next((w for w in self._workers if w.organization is None and not w.retired), None)
            if free is not None:
                return free
            if self._make_room(best is None):
                return self._spawn()
        if best is not None and best.leases < settings.channels_per_worker_max:
            return best
        return None

    def _make_room(self, needed: bool) -> bool:
        """Whether one more worker may start; when it is `needed`, an idle one of another organization ends for it."""
        if self._stopping:
            return False
        if len(self._workers) < self._settings.workers_max:
            return True
        idle = [w for w in self._workers if w.leases == 0 and not w.retired]
        if not needed or not idle:
            return False
        self._end(min(idle, key=lambda w: w.last_used))
        return True

    def _stand_by(self) -> None:
        """Keep one worker unassigned while there is room."""
        if (
            self._settings.standby
            and not self._stopping
            and len(self._workers) < self._settings.workers_max
            and all(w.organization is not None for w in self._workers)
        ):
            self._spawn()

    # ------------------------------------------------------------------ processes

    def _spawn(self) -> WorkerProcess:
        settings = self._settings
        taken = {w.number for w in self._workers}
        number = next(n for n in range(len(taken) + 1) if n not in taken)
        self._numbers += 1
        spec = WorkerSpec(
            limits=InstanceLimits(settings.memory_bytes, settings.spill_bytes, settings.threads),
            spill_root=settings.spill_root,
            uid=settings.worker_uid_first + number if os.geteuid() == 0 else None,
            address_space_bytes=settings.memory_bytes + _ADDRESS_SPACE_SLACK_BYTES,
            mask_key=settings.mask_key,
        )
        worker = WorkerProcess(number, self._numbers, spec, self._make_door, self._ended)
        self._workers.append(worker)
        worker.last_used = asyncio.get_running_loop().time()
        worker.start()
        return worker

    def _end(self, worker: WorkerProcess) -> None:
        self._remove(worker)
        task = asyncio.get_running_loop().create_task(worker.exited())
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    def _remove(self, worker: WorkerProcess) -> None:
        if worker in self._workers:
            self._workers.remove(worker)

    def _ended(self, worker: WorkerProcess) -> None:
        """A worker was killed or crashed."""
        if worker in self._workers:
            self.lost_workers += 1
            self._end(worker)
        self._wake()


def _busy() -> TooManyQueries:
    return TooManyQueries(
        "No query process became free in time.", advice="Retry; or raise the limits on workers and channels."
    )
