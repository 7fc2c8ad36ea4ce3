"""The audit as a session sees it: an intent that is durable when the call returns, an outcome that never waits."""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import secrets
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace

from engine.audit.event_gate import EventGate
from engine.audit.frames import FrameKind
from engine.audit.ledger import Ledger
from engine.audit.outbox import Outbox
from engine.audit.recovery import Finding, Recovered, identity, recover
from engine.audit.segment import Segment
from engine.audit.settings import AuditSettings
from engine.audit.shipper import Shipper
from engine.audit.writer import Gate, Item, OpenSegment, SpoolWriter
from governance.audit_record import (
    INTERRUPTED,
    QueryIntent,
    QueryOutcome,
    SessionEvent,
    encode_event,
    encode_intent,
    encode_outcome,
)
from governance.audit_table import WaitingRecords
from governance.errors import AuditUnavailable
from governance.ports import AuditStore, Clock
from governance.timestamp import stamp

_LOG = logging.getLogger("hatidata.audit")
END_S = 2.0
"""How long `stop` waits for threads that are told to end."""
_ADVICE = "Nothing runs unaudited. Ask the operator to look at the node's audit spool; try again later."


class QueryAudit:
    """One per node. Methods are called on the loop that `start` ran on."""

    def __init__(
        self, settings: AuditSettings, store: AuditStore, clock: Clock, *, open_segment: OpenSegment = Segment
    ) -> None:
        self._open_segment = open_segment
        self._settings = settings
        self._store = store
        self._clock = clock
        self._lock_descriptor = -1
        self._ledger: Ledger | None = None
        self._writer: SpoolWriter | None = None
        self._shipper: Shipper | None = None
        self._accepting = False
        self.findings: tuple[Finding, ...] = ()
        """What the last start found wrong in the spool; also audited as `spool_*` events."""
        self.interrupted = 0
        """Queries that the last start found without an outcome."""
        self.intents = 0
        self.refused = 0
        self._refused_unsaid = 0
        self._pending: dict[str, tuple[float, Callable[[OSError], None]]] = {}
        """Intents the disk has not answered: since when (loop time), and how to refuse them."""
        self._watching = False
        self._gate = EventGate(time.monotonic())

    # ------------------------------------------------------------ life

    async def start(self) -> None:
        """Take the spool, recover it, begin to write and ship.

        Raises:
            AuditUnavailable: the spool cannot be used, or another process has it.
        """
        try:
            recovered = await asyncio.to_thread(self._take)
        except (OSError, ValueError) as error:
            self._let_go()
            raise _unavailable(f"spool not usable: {type(error).__name__}") from None
        settings = self._settings
        self._ledger = recovered.ledger
        self.findings = recovered.findings
        loop = asyncio.get_running_loop()
        self._writer = SpoolWriter(
            settings.spool, settings.segment_bytes, recovered.ledger, recovered.end, loop, self._open_segment
        )
        self._shipper = Shipper(
            settings,
            recovered.ledger,
            self._writer,
            Outbox(settings.spool / "outbox"),
            self._store,
            self._clock,
            list(recovered.parcels),
        )
        self._writer.start()
        self._close_open(recovered)
        self._shipper.start()
        self._accepting = True
        try:
            await self.settled()
        except AuditUnavailable:
            await self.stop()
            raise

    def _take(self) -> Recovered:
        spool = self._settings.spool
        spool.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock_descriptor = os.open(spool / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._lock_descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return recover(spool, identity(spool, self._settings.node), self._settings.ship_bytes)

    def _let_go(self) -> None:
        if self._lock_descriptor >= 0:
            os.close(self._lock_descriptor)
            self._lock_descriptor = -1

    def _close_open(self, recovered: Recovered) -> None:
        """Give every intent left over an outcome, and say what the spool showed."""
        now = stamp(self._clock.now())
        self.interrupted = len(recovered.ledger.open)
        for query_id in list(recovered.ledger.open):
            self.outcome(QueryOutcome(query_id=query_id, ended_at=now, status=INTERRUPTED, error_code=INTERRUPTED))
        for finding in recovered.findings:
            if finding.kind == "torn_tail":
                continue  # a record whose writing was never acknowledged; nobody was told it exists
            self._say("spool_" + finding.kind, segment=finding.segment, start=finding.start, end=finding.end)

    async def stop(self) -> bool:
        """Take no more intents, write and ship what is there; whether all of it reached the store in time."""
        self._accepting = False
        writer, shipper = self._writer, self._shipper
        if writer is None or shipper is None:
            return True
        self._say_held_back()
        with ThreadPoolExecutor(1, thread_name_prefix="audit-stop") as pool:
            loop = asyncio.get_running_loop()
            with suppress(AuditUnavailable):  # the spool refuses; what it holds already is shipped all the same
                await self.settled()
            drained = await loop.run_in_executor(pool, shipper.stop, self._settings.drain_timeout_s)
            await loop.run_in_executor(pool, writer.stop)
            ended = await loop.run_in_executor(pool, shipper.ended, END_S) and writer.ended
        self._writer = self._shipper = None
        if ended:
            self._let_go()
        else:
            # A thread that waits for disk or store may still act: till the process ends nobody else may have the spool.
            _LOG.warning("the audit spool stays taken until this process ends")
        return drained

    # ------------------------------------------------------------ records

    async def intent(self, intent: QueryIntent) -> None:
        """Durable when it returns.

        If the caller is cancelled while it waits, an outcome `cancelled` is written for it.

        Raises:
            AuditUnavailable: the spool is full, failing or overwhelmed; the statement must not run.
        """
        loop = asyncio.get_running_loop()
        durable: asyncio.Future[None] = loop.create_future()

        def settle(error: AuditUnavailable | None) -> None:
            if durable.done():
                return
            if error is None:
                durable.set_result(None)
            else:
                durable.set_exception(error)

        self.admit(intent, lambda: loop.call_soon_threadsafe(settle, None), settle)
        try:
            await durable
        except asyncio.CancelledError:
            self.outcome(QueryOutcome(query_id=intent.query_id, ended_at=stamp(self._clock.now()), status="cancelled"))
            raise

    def admit(
        self, intent: QueryIntent, may_run: Callable[[], object], refused: Callable[[AuditUnavailable], object]
    ) -> None:
        """Have `may_run` called the moment the intent is durable: on the writer's thread; short, and it never raises.

        When the spool cannot take it, `refused` is called on the loop instead; after a disk's silence of
        `intent_timeout_s` too, and then `may_run` may still come: the caller passes over whichever comes second.

        Raises:
            AuditUnavailable: it is refused at once; neither is called.
        """
        writer, _, ledger = self._running()
        if not self._accepting:
            raise self._refuse("stopping")
        if writer.broken:
            raise self._refuse("the writer ended")
        if writer.waiting >= self._settings.waiting_max:
            raise self._refuse("too many records wait")
        body = encode_intent(intent)
        if len(body) > self._settings.record_bytes_max:
            raise self._refuse("record too long")
        if ledger.spool_bytes + len(body) > self._settings.spool_bytes_max:
            raise self._refuse("spool full")
        query_id, pending = intent.query_id, self._pending

        def opened() -> None:
            pending.pop(query_id, None)
            may_run()
            self.intents += 1
            if self._refused_unsaid:
                loop.call_soon_threadsafe(self._say_refused)

        def failed(error: OSError) -> None:
            if pending.pop(query_id, None) is not None:
                refused(self._refuse(f"spool not writable: {type(error).__name__}"))

        loop = asyncio.get_running_loop()
        pending[query_id] = (loop.time(), failed)
        if not self._watching:
            self._watching = True
            loop.call_later(self._settings.intent_timeout_s / 4, self._watch)
        writer.put(Item(FrameKind.INTENT, query_id, body, Gate(opened, failed)))

    def _say_refused(self) -> None:
        count, self._refused_unsaid = self._refused_unsaid, 0
        if count:
            self._say("statements_refused_unaudited", count=count)

    def _watch(self) -> None:
        """Refuse the statements whose intents the disk has not answered in time."""
        loop, limit = asyncio.get_running_loop(), self._settings.intent_timeout_s
        for since, failed in list(self._pending.values()):
            if loop.time() - since >= limit:
                failed(TimeoutError())
        self._watching = bool(self._pending)
        if self._watching:
            loop.call_later(limit / 4, self._watch)

    def outcome(self, outcome: QueryOutcome) -> None:
        """Queue what became of a statement; the first outcome of an accepted intent counts, others are ignored."""
        self._running()[0].put_later(Item(FrameKind.OUTCOME, outcome.query_id, encode_outcome(outcome)))

    def event(self, event: SessionEvent) -> None:
        """Queue a session event.

        Events of strangers are limited in number (`engine.audit.event_gate`); what is over is counted and said in one
        event later. When the spool is full or `waiting_max` records wait, an event is dropped and counted.
        """
        writer = self._running()[0]
        if not self._gate.admits(event, time.monotonic()):
            return
        if writer.waiting >= self._settings.waiting_max or self.full:
            writer.events_dropped += 1
            return
        self._say_held_back()
        writer.put_later(Item(FrameKind.EVENT, event.event_id, encode_event(event)))

    def _say_held_back(self) -> None:
        counts = self._gate.take_held_back()
        if counts:
            self._say("events_summarized", **counts)

    def _say(self, kind: str, **facts: str | int) -> None:
        """An event of the audit itself."""
        event = SessionEvent(
            event_id=secrets.token_hex(16),
            at=stamp(self._clock.now()),
            kind=kind,
            source_ip="",
            detail=kind,
            extra=(("node", self._settings.node), *facts.items()),
        )
        self._running()[0].put_later(Item(FrameKind.EVENT, event.event_id, encode_event(event)))

    async def settled(self) -> None:
        """Wait until everything given so far is durable.

        Raises:
            AuditUnavailable: the spool cannot be written.
        """
        try:
            await self._written(Item(None))
        except OSError as error:
            raise _unavailable(f"spool not writable: {type(error).__name__}") from None

    def waiting(self) -> WaitingRecords:
        """Queries that the store does not surely hold yet; on any thread.

        In the order in which records move on, so that one that moves meanwhile is met twice rather than never.

        Raises:
            AuditUnavailable: not started.
            OSError: the outbox cannot be read.
        """
        lines = self._running()[2].waiting_lines()
        return WaitingRecords(lines, Outbox(self._settings.spool / "outbox").waiting("queries"))

    async def stored(self, deadline_s: float) -> bool:
        """Whether everything finished so far reaches the store within the deadline (`audit_durability = "store"`).

        Raises:
            AuditUnavailable: the spool cannot be written.
        """
        await self.settled()
        shipper = self._running()[1]
        done = shipper.when_stored()
        try:
            async with asyncio.timeout(deadline_s):
                return await asyncio.wrap_future(done)
        except TimeoutError:
            return False
        finally:
            shipper.forget(done)

    # ------------------------------------------------------------ figures

    @property
    def available(self) -> bool:
        """Whether an intent would be taken now, as far as is known."""
        if self._writer is None or self._ledger is None or not self._accepting:
            return False
        return not (self._writer.broken or self._writer.failing) and not self.full

    @property
    def full(self) -> bool:
        """Whether the spool is at its bound."""
        return self._ledger is not None and self._ledger.spool_bytes >= self._settings.spool_bytes_max

    @property
    def spool_bytes(self) -> int:
        """Bytes in segments and outbox."""
        return self._ledger.spool_bytes if self._ledger else 0

    @property
    def open_intents(self) -> int:
        """Statements that are audited as begun and not yet as ended."""
        return len(self._ledger.open) if self._ledger else 0

    @property
    def lag_s(self) -> float:
        """For how long the oldest finished record has been waiting to reach the store."""
        return self._shipper.lag_s if self._shipper else 0.0

    @property
    def ship_failures(self) -> int:
        """Tries the store refused since the start."""
        return self._shipper.ship_failures if self._shipper else 0

    @property
    def write_failures(self) -> int:
        """Writes the spool's disk refused since the start."""
        return self._writer.failures if self._writer else 0

    @property
    def syncs(self) -> int:
        """Times the disk was asked to sync: one for a whole group of records."""
        return self._writer.syncs if self._writer else 0

    @property
    def events_dropped(self) -> int:
        """Session events that a bound kept out."""
        return self._writer.events_dropped if self._writer else 0

    @property
    def outcomes_ignored(self) -> int:
        """Outcomes without an accepted intent, and second ones."""
        return self._writer.outcomes_ignored if self._writer else 0

    # ------------------------------------------------------------

    def _running(self) -> tuple[SpoolWriter, Shipper, Ledger]:
        if self._writer is None or self._shipper is None or self._ledger is None:
            raise _unavailable("not started")
        return self._writer, self._shipper, self._ledger

    async def _written(self, item: Item) -> None:
        """Hand `item` to the writer and wait for the disk. Raises OSError, TimeoutError among them."""
        writer = self._running()[0]
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[None] = loop.create_future()
        alarm = loop.call_later(self._settings.intent_timeout_s, _expire, waiter)
        try:
            writer.put(replace(item, waiter=waiter))
            if writer.broken:
                raise OSError("the audit writer ended")
            await waiter
        finally:
            alarm.cancel()

    def _close(self, query_id: str, status: str, code: str) -> None:
        now = stamp(self._clock.now())
        self.outcome(QueryOutcome(query_id=query_id, ended_at=now, status=status, error_code=code))

    def _refuse(self, reason: str) -> AuditUnavailable:
        self.refused += 1
        self._refused_unsaid += 1
        return _unavailable(reason)


def _expire(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_exception(TimeoutError())


def _unavailable(reason: str) -> AuditUnavailable:
    return AuditUnavailable(
        "The audit cannot take a record, so the statement was not run.", advice=_ADVICE, reason=reason
    )
