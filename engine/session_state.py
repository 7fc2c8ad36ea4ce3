"""What one session knows: who, which settings, which statements and portals, what runs right now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from engine.authenticate import Identity
from engine.encoder.parameters import ParameterValue
from engine.refusals import Report, SessionRefused
from engine.session_channel import Channel
from engine.session_command_types import Command, Declare
from engine.session_peers import Peers
from engine.session_ports import Desk
from engine.session_run import Run, Source
from engine.session_settings import Mark, SessionSettings
from engine.wire import backend
from engine.wire import sqlstate as s
from engine.wire.backend import Field
from engine.wire.protocol import Conversation
from engine.wire.violations import ProtocolViolation
from governance.audit_record import SessionFacts

TEXT_OID = 25


class SessionEnded(Exception):
    """The session is to end now, and the client is told why."""

    def __init__(self, report: Report) -> None:
        super().__init__(report.message)
        self.report = report


@dataclass(frozen=True, slots=True)
class Plan:
    """One statement, judged: nothing, a session command, or a source of rows. `version` is what it was judged under."""

    text: str
    command: Command | None = None
    source: Source | None = None
    parameter_oids: tuple[int, ...] = ()
    version: tuple[object, object] = (None, None)
    """(rulebook, lake version)"""

    @property
    def empty(self) -> bool:
        """Whether there is nothing to do."""
        return self.command is None and self.source is None


@dataclass(slots=True)
class Prepared:
    """A prepared statement."""

    name: str
    plan: Plan
    fields: tuple[Field, ...] | None = None
    """Its columns, once somebody asked."""


@dataclass(frozen=True, slots=True)
class LocalRows:
    """Rows that the session itself has (SHOW): text in every column."""

    fields: tuple[Field, ...]
    rows: tuple[tuple[str | None, ...], ...]


@dataclass(slots=True, eq=False)
class Portal:
    """A bound statement, or a cursor; it may stop between rows and go on."""

    name: str
    plan: Plan
    parameters: tuple[ParameterValue, ...] = ()
    formats: tuple[int, ...] = ()
    cursor: Declare | None = None
    settled: bool = False
    """Whether the transaction that declared it WITH HOLD has been committed."""
    run: Run | None = None
    local: LocalRows | None = None
    position: int = 0
    on_row: bool = False
    """Whether a cursor stands on the row it gave last, and not before the first or behind the last one."""
    last: bytes = b""
    """Of a cursor declared SCROLL: the row it stands on, unless that is too long to keep."""
    done: bool = False
    fields: tuple[Field, ...] | None = None


@dataclass(frozen=True, slots=True)
class Point:
    """A savepoint, and what ROLLBACK TO goes back to."""

    name: str
    settings: Mark
    portals: frozenset[str]


@dataclass(slots=True)
class SessionState:
    """The session's memory."""

    desk: Desk
    channel: Channel
    settings: SessionSettings
    identity: Identity
    facts: SessionFacts
    process_id: int
    conversation: Conversation
    peers: Peers = field(default_factory=lambda: Peers({}))
    """The sessions of its key."""
    began: str = ""
    """When it was let in: an ISO timestamp."""
    statements: dict[str, Prepared] = field(default_factory=dict)
    portals: dict[str, Portal] = field(default_factory=dict)
    savepoints: list[Point] = field(default_factory=list)
    prepared_bytes: int = 0
    active: Run | None = None
    busy: bool = False
    """Whether a statement is being served (a cancel request then means it)."""
    implicit: bool = False
    """Inside a simple query of several statements."""
    series: bool = False
    """Whether an extended-query series has changed a parameter: its end, Sync, keeps that or takes it back."""
    series_failed: bool = False
    interrupted: str = ""
    """Why the statement being served was interrupted: user, client_gone, ended."""
    ending: Report | None = None
    reports: dict[str, str] = field(default_factory=dict)
    """Parameters that changed and that the client is to be told of, before it is told that we are ready."""
    told: dict[str, str] = field(default_factory=dict)
    """What the client was told last."""
    has_read: bool = False
    """Whether the transaction has run a query: its modes are fixed from then on."""

    def ready(self) -> None:
        """What changed, and ReadyForQuery."""
        if self.reports:
            self.report(self.reports)
            self.reports.clear()
        self.channel.send(backend.READY[self.transaction])

    def report(self, values: dict[str, str]) -> None:
        """ParameterStatus of the values that the client does not know yet."""
        for name, value in values.items():
            if self.told.get(name) != value:
                self.told[name] = value
                self.channel.send(backend.parameter_status(name, value))

    @property
    def transaction(self) -> str:
        """I, T or E."""
        return self.conversation.transaction

    @property
    def version(self) -> tuple[object, object]:
        """What plans depend on, beside the principal."""
        return (self.identity.rulebook, self.desk.lake_version())

    # ------------------------------------------------------------ statements and portals

    def add_statement(self, prepared: Prepared) -> None:
        """Keep a prepared statement; the unnamed one is replaced.

        Raises:
            SessionRefused: 42P05 when the name is taken, 54000 past the limit.
        """
        limits = self.desk.limits
        if prepared.name:
            if prepared.name in self.statements:
                raise SessionRefused(s.DUPLICATE_PREPARED_STATEMENT, "prepared statement already exists")
            if len(self.statements) >= limits.statements_max:
                raise SessionRefused(
                    s.PROGRAM_LIMIT_EXCEEDED, "Too many prepared statements.", advice="DEALLOCATE some."
                )
        else:
            self.drop_statement("")
        size = len(prepared.plan.text)
        if self.prepared_bytes + size > limits.prepared_bytes_max:
            raise SessionRefused(s.PROGRAM_LIMIT_EXCEEDED, "Prepared statements take too much memory.")
        self.prepared_bytes += size
        self.statements[prepared.name] = prepared

    def drop_statement(self, name: str) -> bool:
        """Forget a prepared statement; whether it was there."""
        found = self.statements.pop(name, None)
        if found is not None:
            self.prepared_bytes -= len(found.plan.text)
        return found is not None

    def statement(self, name: str) -> Prepared:
        """A prepared statement.

        Raises:
            SessionRefused: 26000.
        """
        try:
            return self.statements[name]
        except KeyError:
            raise SessionRefused(s.INVALID_STATEMENT_NAME, "prepared statement does not exist") from None

    def portal(self, name: str) -> Portal:
        """A portal or cursor.

        Raises:
            SessionRefused: 34000.
        """
        try:
            return self.portals[name]
        except KeyError:
            raise SessionRefused(s.INVALID_CURSOR_NAME, "portal or cursor does not exist") from None

    def cursor(self, name: str) -> Portal:
        """What a FETCH of `name` reads: a cursor, or a portal bound to a query.

        Raises:
            SessionRefused: 34000 when there is none, 55000 when it is a command's portal (a FETCH's own, even).
        """
        found = self.portal(name)
        if found.plan.source is None:
            raise SessionRefused(s.OBJECT_STATE, "rows can be fetched from a query's cursor or portal only")
        return found

    def add_portal(self, portal: Portal) -> None:
        """Keep a portal.

        Raises:
            SessionRefused: 42P03 when the name is taken, 54000 past the limit.
        """
        if portal.name in self.portals:
            raise SessionRefused(s.DUPLICATE_CURSOR, "portal or cursor already exists")
        if len(self.portals) >= self.desk.limits.portals_max:
            raise SessionRefused(s.PROGRAM_LIMIT_EXCEEDED, "Too many portals are open.", advice="Close some.")
        self.portals[portal.name] = portal

    async def close_portal(self, name: str) -> bool:
        """Close a portal; whether it was there."""
        portal = self.portals.pop(name, None)
        if portal is not None and portal.run is not None:
            await portal.run.finish()
        return portal is not None

    def rest(self) -> None:
        """The client is waited for: portals that stopped between rows give up their slots meanwhile."""
        for portal in self.portals.values():
            if portal.run is not None:
                portal.run.rest()

    async def close_portals(self) -> None:
        """Close every portal."""
        for name in list(self.portals):
            await self.close_portal(name)

    async def end_portals(self, *, commit: bool) -> None:
        """A transaction is over: what stays open is cursors WITH HOLD of transactions that were committed."""
        for name, portal in list(self.portals.items()):
            if portal.cursor is not None and portal.cursor.hold and (commit or portal.settled):
                portal.settled = True
            else:
                await self.close_portal(name)


def expand_formats(formats: Sequence[int], count: int) -> tuple[int, ...]:
    """One format code for each of `count` columns.

    Raises:
        ProtocolViolation: neither none, one, nor `count` codes were given.
    """
    if len(formats) == count:
        return tuple(formats)
    if len(formats) == 1:
        return (formats[0],) * count
    if not formats:
        return (0,) * count
    raise ProtocolViolation("Result formats and columns differ in number.", fatal=False)
