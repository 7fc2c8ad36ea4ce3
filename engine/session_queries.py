"""A client's queries, simple and extended: each message to its plan, portal and rows."""

from __future__ import annotations

from engine.encoder.parameters import ParameterValue
from engine.refusals import SessionRefused
from engine.session_command_types import Declare, Discard, Fetch, Reset, SetParameters
from engine.session_control import end_transaction
from engine.session_cursors import Cursors
from engine.session_plans import Plans, ends_transaction, in_failed_transaction
from engine.session_rows import Rows
from engine.session_state import Plan, Portal, Prepared, SessionState, expand_formats
from engine.wire import backend, frontend
from engine.wire import sqlstate as s
from engine.wire.violations import ProtocolViolation
from governance.errors import Refusal, SyntaxRefused


class Queries:
    """Simple and extended queries over one session's state."""

    def __init__(self, state: SessionState) -> None:
        self.state = state
        self.plans = Plans(state)
        self.rows = Rows(state, self.plans)
        self.cursors = Cursors(self.rows)

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
            await self.plans.audit_refused(text, error)
            raise
        if not statements:
            state.channel.send(backend.EMPTY_QUERY)
            return
        if len(statements) > 1 and state.transaction == "I":
            state.settings.begin()
        state.implicit = len(statements) > 1
        done = False
        try:
            for statement in statements:
                await self.one(statement)
            done = True
        finally:
            implicit, state.implicit = state.implicit, False
            if state.transaction == "I":
                if implicit or state.series:
                    await end_transaction(state, commit=done)
                else:
                    await state.end_portals(commit=True)
            state.series = False

    async def one(self, text: str) -> None:
        """One statement of a simple query."""
        channel = self.state.channel
        plan = await self.plans.plan(text)
        if plan.empty:
            channel.send(backend.EMPTY_QUERY)
            return
        if plan.parameter_oids:
            error = SessionRefused(s.UNDEFINED_PARAMETER, "there is no parameter $1")
            await self.plans.audit_refused(text, error)
            raise error
        portal = Portal("", plan)
        if plan.source is not None:
            await self.rows.open(portal)
            if plan.source.copy is None:
                channel.send(backend.row_description(portal.fields or (), (0,) * len(portal.fields or ())))
        else:
            if isinstance(plan.command, Fetch):
                await self.cursors.open(self.state.cursor(plan.command.name))
            if (fields := await self.rows.fields(portal)) is not None:
                channel.send(backend.row_description(fields, expand_formats(self.rows.formats(portal), len(fields))))
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
            await self.plans.audit_refused(message.text, error)
            raise
        plan = await self.plans.plan(statements[0], message.parameter_oids) if statements else Plan("")
        state.add_statement(Prepared(message.name, plan))
        state.channel.send(backend.PARSE_COMPLETE)

    async def bind(self, message: frontend.Bind) -> None:
        """Bind: a portal with its values."""
        state = self.state
        prepared = state.statement(message.statement)
        plan = prepared.plan
        if state.transaction == "E" and not ends_transaction(plan.command):
            raise in_failed_transaction()
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
                fields = await self.rows.fields(Portal("", prepared.plan))
                prepared.fields = fields
            channel.send(backend.parameter_description(prepared.plan.parameter_oids))
            fields = prepared.fields
            formats: tuple[int, ...] = ()
        else:
            portal = state.portal(message.name)
            if state.transaction == "E" and not ends_transaction(portal.plan.command):
                raise in_failed_transaction()
            if portal.plan.source is not None and portal.cursor is None and portal.run is None and not portal.done:
                await self.rows.open(portal)
            copies = portal.plan.source is not None and portal.plan.source.copy is not None
            fields, formats = None if copies else await self.rows.fields(portal), self.rows.formats(portal)
        if fields is None:
            channel.send(backend.NO_DATA)
        else:
            channel.send(backend.row_description(fields, expand_formats(formats, len(fields))))

    async def execute(self, message: frontend.Execute) -> None:
        """Execute: run a portal on."""
        portal = self.state.portal(message.portal)
        if self.state.transaction == "E" and not ends_transaction(portal.plan.command):
            raise in_failed_transaction()
        if portal.plan.empty:
            self.state.channel.send(backend.EMPTY_QUERY)
            return
        command, state = portal.plan.command, self.state
        if isinstance(command, SetParameters | Reset | Discard) and state.transaction == "I" and not state.series:
            state.settings.begin()
            state.series = True
        await self.advance(portal, message.rows_max)

    async def sync(self) -> None:
        """Sync: the end of a series, and of the transaction that it was when it began none itself."""
        state = self.state
        if state.transaction == "I":
            if state.series:
                await end_transaction(state, commit=not state.series_failed)
            else:
                await state.end_portals(commit=True)
        state.series = state.series_failed = False
        state.ready()

    async def close(self, message: frontend.Close) -> None:
        """Close: forget a statement or portal; one that is not there is no error."""
        if message.kind == "S":
            self.state.drop_statement(message.name)
        else:
            await self.state.close_portal(message.name)
        self.state.channel.send(backend.CLOSE_COMPLETE)

    # ------------------------------------------------------------ rows

    async def advance(self, portal: Portal, rows_max: int) -> None:
        """Send a portal's next rows and what ends them: CommandComplete, or PortalSuspended at `rows_max`."""
        command = portal.plan.command
        if isinstance(command, Fetch):
            await self.cursors.fetch(portal, command)
        elif isinstance(command, Declare):
            self.state.channel.send(backend.command_complete(await self.cursors.declare(command, portal)))
        elif command is not None:
            await self.rows.carry_out(portal, command, rows_max)
        else:
            await self.rows.advance(portal, rows_max)
