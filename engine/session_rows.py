"""Portals' rows: a statement opened, its rows sent on, whatever goes wrong brought to the run's outcome."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence

from engine.encoder.types import ResultColumn
from engine.refusals import SessionRefused
from engine.session_command_types import Command, Fetch, Lock, SetParameters
from engine.session_control import carry_out, local_rows, notice
from engine.session_peers import TERMINATED
from engine.session_plans import Plans
from engine.session_run import Run, Source
from engine.session_served import served
from engine.session_state import Portal, SessionEnded, SessionState
from engine.wire import backend
from engine.wire import sqlstate as s
from engine.wire.backend import Field
from governance.errors import DeadlineExceeded


class Rows:
    """The rows of one session's portals."""

    def __init__(self, state: SessionState, plans: Plans) -> None:
        self.state = state
        self.plans = plans

    def formats(self, portal: Portal) -> tuple[int, ...]:
        """The formats a portal's rows come in; a FETCH that asks for none has its cursor's."""
        if isinstance(portal.plan.command, Fetch) and not portal.formats:
            return self.state.cursor(portal.plan.command.name).formats
        return portal.formats

    async def fields(self, portal: Portal) -> tuple[Field, ...] | None:
        """A portal's columns, without running it when it does not run yet; None when it has none."""
        if portal.fields is not None:
            return portal.fields
        plan = portal.plan
        if isinstance(plan.command, Fetch):
            return None if plan.command.move else await self.fields(self.state.cursor(plan.command.name))
        if plan.command is not None and portal.cursor is None:
            rows = local_rows(self.state, plan.command)
            portal.local, portal.fields = rows, rows.fields if rows else None
            return portal.fields
        source = plan.source
        if source is None or source.copy is not None:
            return None
        run = Run(self.state.desk, self.state.facts, self.state.identity, source)
        oids = plan.parameter_oids
        if source.governed is not None:
            work: Awaitable[Sequence[ResultColumn]] = self.state.desk.executor.describe(source.governed, oids)
        else:
            assert source.catalog is not None  # noqa: S101 - a source has one of both
            work = source.catalog.describe()
        portal.fields = _fields(await served(self.state, run, work))
        return portal.fields

    async def open(self, portal: Portal) -> None:
        """Start a portal's statement.

        Raises:
            Refusal: it may not run, or failed.
        """
        state = self.state
        plan = portal.plan = await self.plans.current(portal.plan)
        if plan.source is None:
            raise SessionRefused(s.OBJECT_STATE, "The statement changed its kind.")
        run = Run(state.desk, state.facts, state.identity, plan.source)
        work = run.start(portal.parameters, portal.formats, self.plans.timeout_s, state.settings.spelling())
        await served(state, run, work)
        state.has_read = True
        await self._signal(run)
        portal.run = run
        portal.fields = _fields(run.columns)

    async def _signal(self, run: Run) -> None:
        """Let the signals of `pg_cancel_backend` and its like come to the sessions of this key, itself among them.

        Raises:
            DeadlineExceeded: it was canceled itself.
            SessionEnded: it was ended itself.
        """
        state, own = self.state, set[str]()
        for signal, process_id in run.signals:
            if process_id == state.process_id:
                own.add(signal)
            elif not state.peers.reach(state.facts, process_id, signal):
                notice(state, s.WARNING, f"PID {process_id} is not a PostgreSQL server process")
        if own:
            canceled = DeadlineExceeded("canceling statement due to user request")
            await run.finish(canceled, interrupted="ended" if "terminate" in own else "user")
            if "terminate" in own:
                raise SessionEnded(TERMINATED)
            raise canceled

    async def carry_out(self, portal: Portal, command: Command, rows_max: int) -> None:
        """A session command: its rows, when it has some, and what it does."""
        if not await self.local(portal, rows_max):
            return
        if portal.done:
            raise SessionRefused(s.OBJECT_STATE, "portal cannot be run again")
        portal.done = True
        if isinstance(command, Lock):
            await self._lock(command)
        self.state.channel.send(backend.command_complete(await carry_out(self.state, command)))

    async def _lock(self, command: Lock) -> None:
        """See to it that the tables may be read: nothing else is to be done, for a statement's files do not change.

        Raises:
            Refusal: outside a transaction (25P01), not a reader's lock, or one of them may not be read; audited.
        """
        if self.state.transaction == "I" and not self.state.implicit:
            raise SessionRefused(s.NO_ACTIVE_TRANSACTION, "LOCK TABLE can only be used in transaction blocks")
        if command.mode != "access share":  # what those take who write
            raise SessionRefused(
                s.INSUFFICIENT_PRIVILEGE,
                "tables are locked in ACCESS SHARE mode only",
                advice="Tables are read-only: no other lock guards anything.",
            )
        for table in command.tables:
            await self.plans.plan(f"SELECT * FROM {table}")

    async def advance(self, portal: Portal, rows_max: int) -> None:
        """Rows of a query or COPY."""
        channel = self.state.channel
        if portal.done:
            channel.send(backend.command_complete("SELECT 0"))
            return
        if portal.run is None:
            await self.open(portal)
        run, source = portal.run, portal.plan.source
        assert run is not None and source is not None  # noqa: S101, PT018 - `open` set both
        if source.copy is not None:
            channel.send(backend.copy_out_response(source.copy.format == "binary", len(run.columns)))
            rows_max = 0
        sent = await served(self.state, run, run.pump(channel, rows_max))
        if not run.exhausted and rows_max and sent >= rows_max:
            channel.send(backend.PORTAL_SUSPENDED)
            return
        portal.done = True
        portal.run = None
        await run.finish()
        if source.catalog is not None:
            for name, value, local in source.catalog.setting_writes(portal.parameters):
                await carry_out(self.state, SetParameters(((name, value),), local=local))
        if source.copy is not None:
            channel.send(backend.COPY_DONE)
        channel.send(backend.command_complete(_tag(source, sent)))

    async def local(self, portal: Portal, rows_max: int) -> bool:
        """Rows of SHOW; whether all are sent now."""
        await self.fields(portal)
        if portal.local is None:
            return True
        rows = portal.local.rows[portal.position :]
        if rows_max:
            rows = rows[:rows_max]
        for row in rows:
            self.state.channel.send(backend.data_row(None if v is None else v.encode() for v in row))
        portal.position += len(rows)
        if rows_max and len(rows) == rows_max:
            self.state.channel.send(backend.PORTAL_SUSPENDED)
            return False
        return True


def _tag(source: Source, rows: int) -> str:
    if source.copy is not None:
        return f"COPY {rows}"
    return "EXPLAIN" if source.governed is not None and source.governed.kind == "explain" else f"SELECT {rows}"


def _fields(columns: Sequence[ResultColumn]) -> tuple[Field, ...]:
    return tuple(Field(c.name, c.oid, c.size, c.typmod) for c in columns)
