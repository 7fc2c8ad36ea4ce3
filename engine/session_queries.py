"""Queries of one session: text to plan, portal to rows; here wire, law, executor and audit meet."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Coroutine, Sequence
from dataclasses import replace
from typing import TypeVar

from engine import session_commands
from engine.encoder.parameters import ParameterValue
from engine.encoder.types import ResultColumn
from engine.refusals import Report, SessionRefused
from engine.session_command_types import Command, CopyOut, Declare, End, Fetch, Savepoint, SetParameters
from engine.session_control import carry_out, local_rows
from engine.session_ports import CatalogSession
from engine.session_run import Run, Source
from engine.session_settings import DIALECT, PARAMETERS
from engine.session_state import TEXT_OID, Plan, Portal, Prepared, SessionEnded, SessionState, expand_formats
from engine.wire import backend, frontend
from engine.wire import sqlstate as s
from engine.wire.backend import Field
from engine.wire.violations import ProtocolViolation
from governance.conditions import EXPORT, QUERY, turns_with_time
from governance.errors import AuthenticationFailed, DeadlineExceeded, Refusal, SyntaxRefused
from governance.rulebook import Rulebook

T = TypeVar("T")

_ENDED = Report(
    "FATAL",
    s.ADMIN_SHUTDOWN,
    "terminating connection: its key or user is no longer valid",
    "Log in with a valid key.",
    code="credential_ended",
)


class Queries:
    """Simple and extended queries over one session's state."""

    def __init__(self, state: SessionState) -> None:
        self.state = state
        self._turning: tuple[Rulebook | None, bool] = (None, False)

    # ------------------------------------------------------------ plan

    def recheck(self) -> None:
        """The identity must still hold under the rulebook in force.

        Raises:
            SessionEnded: it does not.
            RulebookUnavailable: nothing runs now.
        """
        state = self.state
        try:
            state.identity = state.desk.authenticator.recheck(state.identity)
        except AuthenticationFailed:
            raise SessionEnded(_ENDED) from None

    async def judge(self, text: str, oids: Sequence[int] = (), dialect: str = "") -> Plan:
        """One statement, as a plan; `dialect` is the one it was first read in, when it is judged again.

        Raises:
            Refusal: it is refused; not audited yet.
            SessionEnded: the identity no longer holds.
        """
        command = session_commands.parse(text)
        if self.state.transaction == "E" and not _ends_transaction(command):
            raise _in_failed_transaction()
        if command is not None and not isinstance(command, CopyOut):
            return Plan(text, command=command)
        self.recheck()
        copy = command if isinstance(command, CopyOut) else None
        version = self.state.version
        source = await self.source(copy.query if copy else text, oids, dialect, export=copy is not None)
        if source.governed is not None:
            inferred = [parameter.type for parameter in source.governed.parameters]
            types = [self.state.desk.parameter_oid(kind) for kind in inferred]
        elif source.catalog is not None:
            types = list(source.catalog.parameter_oids)
        else:
            types = []
        count = max(len(types), len(oids))
        types += [0] * (count - len(types))
        given = [*oids, *([0] * (count - len(oids)))]
        parameters = tuple(mine or theirs or TEXT_OID for mine, theirs in zip(given, types, strict=True))
        return Plan(text, None, replace(source, text=text, copy=copy), parameters, version)

    async def source(self, text: str, oids: Sequence[int], dialect: str, *, export: bool) -> Source:
        """A query's source of rows: the catalog, or a governed statement."""
        state, desk = self.state, self.state.desk
        identity = state.identity
        view = desk.view(identity.principal, identity.rulebook)
        if desk.catalog.is_catalog_query(text):
            info = CatalogSession(
                identity.principal.email,
                identity.principal.organization,
                desk.environment,
                state.process_id,
                identity.principal.source_ip,
                tuple((name, state.settings.get(name)) for name in PARAMETERS),
            )
            return Source(text, None, desk.catalog.plan(text, oids, view, info))
        dialect = dialect or state.settings.get(DIALECT)
        principal = identity.principal
        if dialect != principal.dialect:
            principal = replace(principal, dialect=dialect)
        governed = await desk.pipeline.govern(
            text,
            principal,
            view,
            identity.rulebook,
            actions=EXPORT if export else QUERY,
            deadline_s=self.timeout_s,
        )
        return Source(text, governed, None, dialect=dialect)

    async def plan(self, text: str, oids: Sequence[int] = (), dialect: str = "") -> Plan:
        """As `judge`; a refusal is audited before it is told.

        Raises:
            Refusal: it is refused.
        """
        try:
            return await self.judge(text, oids, dialect)
        except Refusal as error:
            await self.audit_refused(text, error)
            raise

    async def audit_refused(self, text: str, error: Refusal) -> None:
        """Both halves of a refused statement's record.

        Raises:
            AuditUnavailable: the record cannot be kept.
        """
        state = self.state
        await Run(state.desk, state.facts, state.identity, Source(text, None, None)).finish(error)

    # ------------------------------------------------------------ simple query

    async def simple(self, text: str) -> None:
        """Every statement of a simple query in turn; the first error ends it.

        Raises:
            Refusal: a statement's error.
        """
        state = self.state
        await state.close_portal("")
        state.drop_statement("")
        try:
            statements = state.desk.split(text)
            if len(statements) > state.desk.limits.statements_per_query_max:
                raise SessionRefused(s.PROGRAM_LIMIT_EXCEEDED, "Too many statements in one query.")
        except Refusal as error:
            await self.audit_refused(text, error)
            raise
        if not statements:
            state.channel.send(backend.EMPTY_QUERY)
            return
        state.implicit = len(statements) > 1
        try:
            for statement in statements:
                await self.one(statement)
        finally:
            state.implicit = False
            if state.transaction == "I":
                await state.close_portals()

    async def one(self, text: str) -> None:
        """One statement of a simple query."""
        channel = self.state.channel
        plan = await self.plan(text)
        if plan.empty:
            channel.send(backend.EMPTY_QUERY)
            return
        if plan.parameter_oids:
            error = SessionRefused(s.UNDEFINED_PARAMETER, "there is no parameter $1")
            await self.audit_refused(text, error)
            raise error
        portal = Portal("", plan)
        if plan.source is not None:
            await self.open(portal)
            if plan.source.copy is None:
                channel.send(backend.row_description(portal.fields or (), (0,) * len(portal.fields or ())))
        else:
            if isinstance(plan.command, Fetch):
                await self.open_cursor(self.state.portal(plan.command.name))
            if (fields := await self.fields(portal)) is not None:
                channel.send(backend.row_description(fields, expand_formats(self.formats(portal), len(fields))))
        await self.advance(portal, 0)

    # ------------------------------------------------------------ extended query

    async def parse(self, message: frontend.Parse) -> None:
        """Parse: judge and keep.

        Raises:
            Refusal: it is refused, or its name is taken.
        """
        state = self.state
        try:
            statements = state.desk.split(message.text)
            if len(statements) > 1:
                raise SyntaxRefused("cannot insert multiple commands into a prepared statement")
        except Refusal as error:
            await self.audit_refused(message.text, error)
            raise
        plan = await self.plan(statements[0], message.parameter_oids) if statements else Plan("")
        state.add_statement(Prepared(message.name, plan))
        state.channel.send(backend.PARSE_COMPLETE)

    async def bind(self, message: frontend.Bind) -> None:
        """Bind: a portal with its values."""
        state = self.state
        prepared = state.statement(message.statement)
        plan = prepared.plan
        if state.transaction == "E" and not _ends_transaction(plan.command):
            raise _in_failed_transaction()
        if len(message.parameters) != len(plan.parameter_oids):
            raise ProtocolViolation("Bind gives another number of parameters than the statement has.", fatal=False)
        formats = expand_formats(message.parameter_formats, len(message.parameters))
        values = tuple(
            ParameterValue(data, code, oid)
            for data, code, oid in zip(message.parameters, formats, plan.parameter_oids, strict=True)
        )
        if not message.portal:
            await state.close_portal("")
        state.add_portal(Portal(message.portal, plan, values, message.result_formats))
        state.channel.send(backend.BIND_COMPLETE)

    async def describe(self, message: frontend.Describe) -> None:
        """Describe: parameters and columns of a statement, columns of a portal."""
        state, channel = self.state, self.state.channel
        if message.kind == "S":
            prepared = state.statement(message.name)
            if prepared.fields is None:
                fields = await self.fields(Portal("", prepared.plan))
                prepared.fields = fields
            channel.send(backend.parameter_description(prepared.plan.parameter_oids))
            fields = prepared.fields
            formats: tuple[int, ...] = ()
        else:
            portal = state.portal(message.name)
            if state.transaction == "E" and not _ends_transaction(portal.plan.command):
                raise _in_failed_transaction()
            if portal.plan.source is not None and portal.cursor is None and portal.run is None and not portal.done:
                await self.open(portal)
            copies = portal.plan.source is not None and portal.plan.source.copy is not None
            fields, formats = None if copies else await self.fields(portal), self.formats(portal)
        if fields is None:
            channel.send(backend.NO_DATA)
        else:
            channel.send(backend.row_description(fields, expand_formats(formats, len(fields))))

    async def execute(self, message: frontend.Execute) -> None:
        """Execute: run a portal on."""
        portal = self.state.portal(message.portal)
        if self.state.transaction == "E" and not _ends_transaction(portal.plan.command):
            raise _in_failed_transaction()
        if portal.plan.empty:
            self.state.channel.send(backend.EMPTY_QUERY)
            return
        await self.advance(portal, message.rows_max)

    async def close(self, message: frontend.Close) -> None:
        """Close: forget a statement or portal; one that is not there is no error."""
        if message.kind == "S":
            self.state.drop_statement(message.name)
        else:
            await self.state.close_portal(message.name)
        self.state.channel.send(backend.CLOSE_COMPLETE)

    # ------------------------------------------------------------ columns

    def formats(self, portal: Portal) -> tuple[int, ...]:
        """The formats a portal's rows come in; a FETCH that asks for none has its cursor's."""
        if isinstance(portal.plan.command, Fetch) and not portal.formats:
            return self.state.portal(portal.plan.command.name).formats
        return portal.formats

    async def fields(self, portal: Portal) -> tuple[Field, ...] | None:
        """A portal's columns, without running it when it does not run yet; None when it has none."""
        if portal.fields is not None:
            return portal.fields
        plan = portal.plan
        if isinstance(plan.command, Fetch):
            return None if plan.command.move else await self.fields(self.state.portal(plan.command.name))
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
        portal.fields = _fields(await self.served(run, work))
        return portal.fields

    # ------------------------------------------------------------ rows

    async def open(self, portal: Portal) -> None:
        """Start a portal's statement.

        Raises:
            Refusal: it may not run, or failed.
        """
        state = self.state
        plan = portal.plan
        self.recheck()
        judged, now = plan.version, (state.identity.rulebook, state.desk.lake_version())
        if judged[0] is not now[0] or judged[1] != now[1] or self._turns(now[0]):
            dialect = plan.source.dialect if plan.source else ""
            plan = portal.plan = await self.plan(plan.text, plan.parameter_oids, dialect)
        if plan.source is None:
            raise SessionRefused(s.OBJECT_STATE, "The statement changed its kind.")
        run = Run(state.desk, state.facts, state.identity, plan.source)
        await self.served(
            run, run.start(portal.parameters, portal.formats, self.timeout_s, state.settings.get("TimeZone"))
        )
        portal.run = run
        portal.fields = _fields(run.columns)

    def _turns(self, rulebook: Rulebook) -> bool:
        """Whether a statement must be judged anew whenever it starts, for the time of day decides."""
        if self._turning[0] is not rulebook:
            self._turning = (rulebook, turns_with_time(rulebook.policies))
        return self._turning[1]

    @property
    def timeout_s(self) -> float:
        """The session's statement timeout, never above the environment's."""
        ceiling = self.state.identity.rulebook.limits.statement_timeout_s
        own = self.state.settings.duration_s("statement_timeout")
        return min(own, ceiling) if own else ceiling

    async def advance(self, portal: Portal, rows_max: int) -> None:
        """Send a portal's next rows and what ends them: CommandComplete, or PortalSuspended at `rows_max`."""
        state, channel = self.state, self.state.channel
        command = portal.plan.command
        if isinstance(command, Fetch):
            await self.fetch(portal, command)
        elif isinstance(command, Declare):
            channel.send(backend.command_complete(await self.declare(command)))
        elif command is not None:
            if not await self.local(portal, rows_max):
                return
            if portal.done:
                raise SessionRefused(s.OBJECT_STATE, "portal cannot be run again")
            portal.done = True
            channel.send(backend.command_complete(await carry_out(state, command)))
        else:
            await self.rows(portal, rows_max)

    async def rows(self, portal: Portal, rows_max: int) -> None:
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
        sent = await self.served(run, run.pump(channel, rows_max))
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
        channel.send(backend.command_complete(f"{'COPY' if source.copy else 'SELECT'} {sent}"))

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

    # ------------------------------------------------------------ cursors

    async def declare(self, command: Declare) -> str:
        """DECLARE: a portal that FETCH reads."""
        state = self.state
        if state.transaction == "I" and not state.implicit and not command.hold:
            raise SessionRefused(s.NO_ACTIVE_TRANSACTION, "DECLARE CURSOR can only be used in transaction blocks")
        if command.scroll:
            raise SessionRefused(
                s.FEATURE_NOT_SUPPORTED, "Scrollable cursors are not supported.", advice="Declare it NO SCROLL."
            )
        plan = await self.plan(command.query)
        if plan.source is None or plan.source.copy is not None:
            raise SyntaxRefused("DECLARE CURSOR takes a query")
        if plan.parameter_oids:
            raise SessionRefused(s.UNDEFINED_PARAMETER, "there is no parameter $1")
        formats = (1,) if command.binary else ()
        state.add_portal(Portal(command.name, plan, formats=formats, cursor=command))
        return "DECLARE CURSOR"

    async def open_cursor(self, cursor: Portal, formats: tuple[int, ...] = ()) -> None:
        """Start a cursor's statement, unless it runs or is at its end."""
        if cursor.run is None and not cursor.done and cursor.plan.source is not None:
            cursor.formats = formats or cursor.formats
            await self.open(cursor)

    async def fetch(self, portal: Portal, command: Fetch) -> None:
        """FETCH and MOVE: forward over a cursor's rows, in the format the fetching portal asks for."""
        state, channel = self.state, self.state.channel
        cursor = state.portal(command.name)
        count = command.count
        if command.absolute and count is not None:
            count -= cursor.position
            if count < 0:
                raise SessionRefused(s.OBJECT_STATE, "cursor can only scan forward")
        skipped = 0
        if command.absolute and count:
            skipped, count = count - 1, 1
        sent = 0
        if count != 0 and not cursor.done:
            if cursor.run is None:
                await self.open_cursor(cursor, portal.formats)
            elif portal.formats and tuple(portal.formats) != tuple(cursor.formats or (0,)):
                raise SessionRefused(s.FEATURE_NOT_SUPPORTED, "A cursor keeps the format of its first FETCH.")
            run = cursor.run
            assert run is not None  # noqa: S101 - `open` set it
            if skipped:
                cursor.position += await self.served(run, run.skip(skipped))
            work = run.skip(count or 0) if command.move else run.pump(channel, count or 0)
            sent = await self.served(run, work)
            cursor.position += sent
            if run.exhausted:
                cursor.done, cursor.run = True, None
                await run.finish()
        portal.done = True
        channel.send(backend.command_complete(f"{'MOVE' if command.move else 'FETCH'} {sent}"))

    # ------------------------------------------------------------ interruption

    async def served(self, run: Run, work: Awaitable[T]) -> T:
        """Await a step of a run. Whatever goes wrong ends the run with its outcome; an interruption becomes 57014.

        Raises:
            Refusal: the step's error.
        """
        state = self.state
        state.active = run
        if state.interrupted:
            work = _stopped(work, state.interrupted)
        try:
            return await work
        except asyncio.CancelledError as error:
            if not state.interrupted:
                await run.finish(error)
                raise
            task = asyncio.current_task()
            if task is not None:
                task.uncancel()
            told = _canceled(state.interrupted)
            await run.finish(told, interrupted=state.interrupted)
            raise told from None
        except DeadlineExceeded as error:
            told = _canceled(state.interrupted) if state.interrupted else error
            await run.finish(told, interrupted=state.interrupted)
            raise told from None
        except BaseException as error:
            await run.finish(error, interrupted=state.interrupted)
            raise
        finally:
            state.active = None


def _canceled(why: str) -> DeadlineExceeded:
    words = {"user": "canceling statement due to user request", "client_gone": "the client is gone"}
    return DeadlineExceeded(words.get(why, "canceling statement because the session ends"))


async def _stopped(work: Awaitable[T], why: str) -> T:
    """Instead of a step that was interrupted before it began."""
    if isinstance(work, Coroutine):
        work.close()
    raise _canceled(why)


def _ends_transaction(command: Command | None) -> bool:
    return isinstance(command, End) or (isinstance(command, Savepoint) and command.action == "rollback")


def _in_failed_transaction() -> SessionRefused:
    return SessionRefused(
        s.IN_FAILED_TRANSACTION,
        "current transaction is aborted, commands ignored until end of transaction block",
    )


def _fields(columns: Sequence[ResultColumn]) -> tuple[Field, ...]:
    return tuple(Field(c.name, c.oid, c.size, c.typmod) for c in columns)
