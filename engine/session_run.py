"""One statement on its way: slot, durable intent, execution, rows to the client, outcome; all roads end in `finish`."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from engine import refusals
from engine.admission import Slot
from engine.audit.texts import AuditTexts
from engine.authenticate import Identity
from engine.encoder.parameters import ParameterValue
from engine.encoder.types import ResultColumn
from engine.pipeline.governed import Governed
from engine.refusals import SessionRefused
from engine.session_channel import ClientGone
from engine.session_command_types import CopyOut
from engine.session_ports import CatalogPlan, Desk, Execution, Frame
from engine.session_verdict import DENIED, is_unaudited, shown, status_of
from engine.wire.backend import split_rows
from engine.wire.sqlstate import OBJECT_STATE
from governance.audit_record import Judged, PolicyVerdict, QueryIntent, QueryOutcome, SessionFacts
from governance.errors import AuditUnavailable, DeadlineExceeded, Refusal, ResourceExceeded

_REASON_CHARS_MAX = 1024


class RowSink(Protocol):
    """Takes whole DataRow messages: a client's channel."""

    async def send_bulk(self, data: bytes | bytearray | memoryview) -> None:
        """Take them, and wait while that is too much."""


@dataclass(frozen=True, slots=True)
class Source:
    """What a statement reads: exactly one of a governed statement and a catalog statement."""

    text: str
    governed: Governed | None
    catalog: CatalogPlan | None
    copy: CopyOut | None = None
    dialect: str = ""
    """In which it was written; empty: the key's."""
    digests: dict[AuditTexts, str] = field(default_factory=dict, compare=False, repr=False)
    """What the audit keeps of the governed text's fingerprint, once it was asked for."""

    def digest(self, texts: AuditTexts) -> str:
        """Of the governed statement's fingerprint; empty for a catalog statement."""
        if self.governed is None:
            return ""
        known = self.digests.get(texts)
        if known is None:
            known = self.digests[texts] = texts.digest(self.governed.fingerprint)
        return known


def stamp(moment: datetime) -> str:
    """RFC 3339 UTC with microseconds."""
    return moment.isoformat(timespec="microseconds")[:26] + "Z"


def new_id() -> str:
    """A time-ordered unique id (UUID version 7; RFC 9562)."""
    head = (time.time_ns() // 1_000_000).to_bytes(6, "big")
    tail = bytearray(os.urandom(10))
    tail[0] = 0x70 | tail[0] & 0x0F
    tail[2] = 0x80 | tail[2] & 0x3F
    text = (head + tail).hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


class Run:
    """A statement from its slot to its outcome."""

    def __init__(self, desk: Desk, facts: SessionFacts, identity: Identity, source: Source) -> None:
        self._desk = desk
        self._facts = facts
        self._identity = identity
        self._source = source
        self._slot: Slot | None = None
        self._parameters: Sequence[ParameterValue] = ()
        self._frames: AsyncIterator[Frame] | None = None
        self._rest: memoryview | None = None
        self._rest_rows = 0
        self._began = time.perf_counter()
        self._queue_ms = 0.0
        self._intended = False
        self._finished = False
        self._deadline = 0.0
        """Loop time."""
        self._alarm: asyncio.TimerHandle | None = None
        self._ending: asyncio.Task[None] | None = None
        self.waiting = False
        """For its slot again, after a rest."""
        self.query_id = new_id()
        self.execution: Execution | None = None
        self.rows = 0
        self.bytes = 0
        self.exhausted = False

    @property
    def signals(self) -> Sequence[tuple[str, int]]:
        """What a catalog statement asks to be told to other sessions, once started."""
        return self.execution.signals if self.execution is not None and self._source.catalog is not None else ()

    @property
    def columns(self) -> Sequence[ResultColumn]:
        """The result's columns, once started."""
        return self.execution.columns if self.execution is not None else ()

    async def start(
        self,
        parameters: Sequence[ParameterValue],
        formats: Sequence[int],
        timeout_s: float,
        spelling: Mapping[str, str],
    ) -> None:
        """Slot, then execution, which begins the moment the intent is durable; `spelling` says how values are written.

        Raises:
            Refusal: the quota is used up, no slot, no audit, or the executor's no.
        """
        desk, principal = self._desk, self._identity.principal
        desk.usage.begin(self._identity.key, principal.organization, self._identity.rulebook)
        slot = desk.admission.try_acquire(principal.organization, principal.key_id)
        if slot is None:
            slot = await desk.admission.acquire(principal.organization, principal.key_id, timeout_s)
            self._queue_ms = (time.perf_counter() - self._began) * 1000
        self._slot = slot
        self._deadline = asyncio.get_running_loop().time() + timeout_s
        source, self._parameters = self._source, parameters
        intent = self._intent()

        def gate(may_run: Callable[[], None], refused: Callable[[Refusal], None]) -> None:
            desk.audit.admit(intent, may_run, refused)
            self._intended = True

        copy = source.copy
        row_format = f"copy_{copy.format}" if copy else "datarow"
        options: dict[str, str] = dict(copy.options) if copy else {}
        options |= spelling
        remaining = max(0.001, timeout_s - (time.perf_counter() - self._began))
        if source.governed is not None:
            self.execution = await desk.executor.run(
                source.governed, parameters=parameters, formats=formats, deadline_s=remaining,
                row_format=row_format, row_options=options, gate=gate,
            )  # fmt: skip
        else:
            assert source.catalog is not None  # noqa: S101 - a source has one of both
            self.execution = await source.catalog.run(
                parameters=parameters, formats=formats, deadline_s=remaining, row_format=row_format,
                row_options=options, gate=gate,
            )  # fmt: skip
        await self.execution.__aenter__()
        self._frames = self.execution.frames().__aiter__()

    @property
    def _texts(self) -> AuditTexts:
        return self._desk.texts(self._identity.rulebook.audit)

    async def intend(self, error: Refusal | None) -> None:
        """Make the intent of a statement durable that failed before it could run.

        Raises:
            AuditUnavailable: it cannot be.
        """
        await self._desk.audit.intent(self._intent(error))
        self._intended = True

    def _intent(self, error: Refusal | None = None) -> QueryIntent:
        desk, source, governed = self._desk, self._source, self._source.governed
        texts = self._texts
        judged = error.judged if error is not None else Judged()
        verdicts = governed.verdicts if governed else judged.verdicts
        if source.catalog is not None and error is None:
            verdicts = source.catalog.verdicts
        if error is not None and error.code in DENIED:
            verdicts = (*verdicts, PolicyVerdict(error.code, "access", "denied", texts.redact(error.reason)))
        return QueryIntent(
            query_id=self.query_id,
            session=self._facts,
            started_at=stamp(desk.clock.now()),
            statement_kind=governed.kind if governed else "catalog" if source.catalog else "unknown",
            sql=texts.sql(source.text),
            sql_form=texts.form.value,
            tables=tuple(map(str, governed.tables)) if governed else judged.tables,
            columns_masked=governed.columns_masked if governed else (),
            verdicts=verdicts,
            policy_version=governed.policy_version if governed else self._identity.rulebook.version,
            fingerprint=source.digest(texts),
            parameters=shown(texts, self._parameters),
            dialect=source.dialect or self._identity.key.dialect,
        )

    async def pump(self, channel: RowSink, rows_max: int) -> int:
        """Send rows, at most `rows_max` (0: all); how many. `exhausted` says whether there are no more.

        Raises:
            Refusal: the statement failed on its way.
            ClientGone: nobody takes them.
        """
        if self._ending is not None:
            raise _late()
        if self._finished:
            raise SessionRefused(OBJECT_STATE, "The statement of this portal has ended.")
        if self._alarm is not None:
            await self._resume()
        sent = 0
        frames = self._frames
        limit = self._identity.rulebook.limits.result_rows_max
        while frames is not None and not self.exhausted and (not rows_max or sent < rows_max):
            if self._rest is not None:
                data, rows, self._rest = self._rest, self._rest_rows, None
            else:
                try:
                    frame = await anext(frames)
                except StopAsyncIteration:
                    self.exhausted = True
                    break
                data, rows = frame.data, frame.rows
            if rows_max and rows > rows_max - sent:
                view = memoryview(data)
                keep = rows_max - sent
                cut = split_rows(view, keep)
                self._rest, self._rest_rows = memoryview(bytes(view[cut:])), rows - keep
                data, rows = view[:cut], keep
            if limit and self.rows + rows > limit:
                raise ResourceExceeded(
                    "The result has more rows than this environment allows.", advice="Ask for fewer rows, or aggregate."
                )
            sent += rows
            self.rows += rows
            self.bytes += len(data)
            await channel.send_bulk(data)
        return sent

    def rest(self) -> None:
        """The client has rows and asks for none now: its slot is others', until it asks again or the deadline comes."""
        if self._alarm is None and self._slot is not None and not self._finished:
            self._slot.rest()
            self._alarm = asyncio.get_running_loop().call_at(self._deadline, self._expire)

    async def _resume(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        if self._slot is not None:
            self.waiting = True
            try:
                await self._slot.resume()
            finally:
                self.waiting = False

    def _expire(self) -> None:
        """The deadline came while nobody asked for rows: what the statement holds is freed now, not when they do."""
        self._ending = asyncio.get_running_loop().create_task(self.finish(_late()))

    async def skip(self, rows_max: int) -> int:
        """Pass over rows without sending them (MOVE); how many (0 asks for all)."""
        return await self.pump(_Nowhere(), rows_max)

    async def finish(self, error: BaseException | None = None, *, interrupted: str = "") -> None:
        """Free everything and write the outcome; a second call does nothing.

        A statement that failed before its intent gets both halves now, when the audit takes them.
        """
        if self._finished:
            return
        self._finished = True
        if self._alarm is not None:
            self._alarm.cancel()
        try:
            if self.execution is not None:
                await self.execution.__aexit__(None, None, None)
        finally:
            if self._slot is not None:
                self._slot.release()
        if not self._intended:
            refusal = error if isinstance(error, Refusal) else None
            if error is None or isinstance(error, ClientGone | asyncio.CancelledError) or is_unaudited(refusal):
                return
            await self.intend(refusal)
        if self._desk.store_wait_s:
            await self._hold_back(error, interrupted)
            return
        # Behind the answer: the client need not wait while its record is made. The loop keeps the order.
        asyncio.get_running_loop().call_soon(self._outcome, error, interrupted, stamp(self._desk.clock.now()))

    async def _hold_back(self, error: BaseException | None, interrupted: str) -> None:
        """Write the outcome, and wait until the record is in the store (`audit_durability = "store"`).

        Raises:
            AuditUnavailable: it is not in time, and the statement would be told complete.
        """
        self._outcome(error, interrupted, stamp(self._desk.clock.now()))
        if isinstance(error, ClientGone | asyncio.CancelledError):
            return
        stored = False
        with contextlib.suppress(AuditUnavailable):
            stored = await self._desk.audit.stored(self._desk.store_wait_s)
        if not stored and error is None:
            raise AuditUnavailable(
                "The statement ran, but its audit record is not in the store yet.",
                advice="The record is kept by the node and shipped when the store answers; then try again.",
                reason="not in the store in time",
            )

    def _outcome(self, error: BaseException | None, interrupted: str, ended_at: str) -> None:
        desk = self._desk
        status = status_of(error, interrupted)
        facts = self.execution.facts if self.execution is not None else None
        told = refusals.report(error) if isinstance(error, Refusal) else None
        cache = facts.cache_status if facts else "none"
        desk.audit.outcome(
            QueryOutcome(
                query_id=self.query_id,
                ended_at=ended_at,
                status=status,
                rows_returned=self.rows,
                bytes_returned=self.bytes,
                execution_ms=round(facts.execution_ms, 3) if facts else 0.0,
                queue_ms=round(self._queue_ms, 3),
                cache_status=cache,
                cache_bytes=facts.cache_bytes if facts else 0,
                store_bytes=facts.store_bytes if facts else 0,
                error_code=told.code if told else ("internal_error" if error and status == "failed" else ""),
                error_reason=self._texts.redact(told.reason)[:_REASON_CHARS_MAX] if told else "",
                sqlstate=told.sqlstate if told else "",
            )
        )
        metrics = desk.metrics
        metrics.statements[status].inc()
        metrics.statement_seconds.observe(time.perf_counter() - self._began)
        desk.usage.ended(self._identity.key.id, status, time.perf_counter() - self._began)
        if self._queue_ms:
            metrics.queue_seconds.observe(self._queue_ms / 1000)
        if cache in metrics.cache:
            metrics.cache[cache].inc()
        if facts:
            metrics.bytes_from["cache"].inc(facts.cache_bytes)
            metrics.bytes_from["store"].inc(facts.store_bytes)
        metrics.rows.inc(self.rows)
        metrics.bytes.inc(self.bytes)
        if told:
            metrics.refusals.labels(told.code).inc()


def _late() -> DeadlineExceeded:
    return DeadlineExceeded(
        "The statement was stopped at its deadline, between two requests for its rows.",
        advice="Fetch faster, or raise statement_timeout.",
    )


class _Nowhere:
    """Takes rows and forgets them."""

    async def send_bulk(self, data: bytes | bytearray | memoryview) -> None:
        """Forget."""
