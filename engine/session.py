"""One client's conversation, from its start-up packet to its end: the one conductor."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import uuid

from engine import refusals
from engine.authenticate import AGENT_FRAMEWORK, AGENT_ID, Identity
from engine.catalog.emulation import PeerInfo
from engine.refusals import Report, SessionRefused
from engine.session_channel import Channel, ClientGone, IdleTooLong
from engine.session_parameters import DIALECT, PARAMETERS, fold
from engine.session_peers import Peers
from engine.session_plans import Plans
from engine.session_ports import Desk
from engine.session_queries import Queries
from engine.session_run import new_id, stamp
from engine.session_settings import SessionSettings
from engine.session_state import SessionEnded, SessionState
from engine.wire import backend, frontend
from engine.wire import sqlstate as s
from engine.wire.protocol import EXTENDED, EXTENDED_TYPES, Conversation, Move, Phase
from engine.wire.startup import CancelRequest, StartupMessage, parse_options
from engine.wire.violations import ProtocolViolation
from governance.audit_record import SessionEvent, SessionFacts
from governance.errors import Refusal, TextRefused

SHUTDOWN = Report(
    "FATAL",
    s.ADMIN_SHUTDOWN,
    "terminating connection: the node is shutting down",
    "Connect again; another node answers.",
    code="shutdown",
)


class CancelAsked(Exception):
    """The connection came to cancel another one's statement."""

    def __init__(self, request: CancelRequest) -> None:
        super().__init__("cancel request")
        self.request = request


class Session:
    """A session over a channel whose TLS is already up."""

    def __init__(self, desk: Desk, channel: Channel, source_ip: str, peers: Peers | None = None) -> None:
        self.desk = desk
        self.channel = channel
        self.source_ip = source_ip
        self._peers = peers or Peers({})
        self.process_id = secrets.randbits(31) or 1
        self.secret = secrets.token_bytes(4)
        self.conversation = Conversation()
        self.state: SessionState | None = None
        self._task: asyncio.Task[object] | None = None
        self._cancel_tasks: set[asyncio.Task[None]] = set()

    # ------------------------------------------------------------ life

    async def greet(self) -> None:
        """Start-up packet, password, first reports. The caller holds the deadline.

        Raises:
            Refusal: not let in.
            ProtocolViolation: not protocol 3.
            ClientGone: the client left.
            CancelAsked: it is no session at all.
        """
        startup = await self.channel.receive_startup()
        if isinstance(startup, CancelRequest):
            raise CancelAsked(startup)
        if not isinstance(startup, StartupMessage):
            raise ProtocolViolation("A start-up message was expected inside TLS.")
        settings, claims = _startup_settings(startup)
        self._negotiate(startup)  # before authentication, as PostgreSQL does
        self.channel.send(backend.AUTHENTICATION_CLEARTEXT)
        await self.channel.flush()
        message = await self.channel.receive()
        self.conversation.admit(message)
        if not isinstance(message, frontend.Password):
            raise ClientGone
        parameters = startup.parameters
        try:
            identity = await self.desk.authenticator.authenticate(
                message.secret,
                source_ip=self.source_ip,
                database=parameters.get("database") or parameters.get("user", ""),
                claims=claims,
            )
        except Refusal as error:
            self.desk.metrics.authentications.labels("refused").inc()
            self._event("login_refused", refusals.report(error).code)
            raise
        self.desk.metrics.authentications.labels("accepted").inc()
        self.conversation.authenticated()
        settings.defaults["session_authorization"] = identity.principal.email
        settings.defaults.setdefault(DIALECT, identity.key.dialect)
        self.state = self._state(identity, settings)

    def _state(self, identity: Identity, settings: SessionSettings) -> SessionState:
        principal = identity.principal
        facts = SessionFacts(
            session_id=new_id(),
            environment=self.desk.environment,
            organization=principal.organization,
            user_id=principal.user_id,
            user=principal.email,
            role=principal.role.value,
            key_id=principal.key_id,
            source_ip=self.source_ip,
            application_name=self.desk.texts(identity.rulebook.audit).redact(settings.get("application_name"))[:256],
            agent_id=principal.agent.id if principal.agent else "",
            agent_framework=principal.agent.framework if principal.agent else "",
            node=self.desk.node,
        )
        return SessionState(
            self.desk, self.channel, settings, identity, facts, self.process_id, self.conversation,
            peers=self._peers, began=stamp(self.desk.clock.now()),
        )  # fmt: skip

    def _negotiate(self, startup: StartupMessage) -> None:
        options = [name for name in startup.parameters if name.startswith("_pq_.")]
        if startup.minor > 0 or options:
            self.channel.send(backend.negotiate_protocol_version(0x30000, options))

    def welcome(self) -> None:
        """Let the client in: the first reports and the key to cancel with."""
        assert self.state is not None  # noqa: S101 - `greet` came first
        channel = self.channel
        channel.send(backend.AUTHENTICATION_OK)
        self.state.report(self.state.settings.reports())
        channel.send(backend.backend_key_data(self.process_id, self.secret))
        channel.send(backend.READY["I"])
        self._event("login", "")

    def refuse(self, report: Report) -> None:
        """Turn a client away whose key was right."""
        self._event("login_refused", report.code)
        self.tell(report)

    def renumber(self) -> None:
        """Take another process id: this one is taken."""
        self.process_id = secrets.randbits(31) or 1
        if self.state is not None:
            self.state.process_id = self.process_id

    async def converse(self) -> None:
        """Messages and answers, until the client or the node ends it; then everything open is closed."""
        state = self.state
        assert state is not None  # noqa: S101 - `greet` came first
        self._task = asyncio.current_task()
        self.channel.on_gone = self._client_gone
        try:
            await self._loop(state, Queries(state))
        except SessionEnded as end:
            self.tell(end.report)
        except IdleTooLong:
            idle = state.transaction == "I"
            self.tell(
                Report(
                    "FATAL",
                    s.IDLE_SESSION_TIMEOUT if idle else s.IDLE_IN_TRANSACTION_TIMEOUT,
                    f"terminating connection due to idle-{'session' if idle else 'in-transaction'} timeout",
                )
            )
        except ClientGone:
            pass
        finally:
            self.channel.on_gone = None
            await state.close_portals()
            self._event("logout", "")

    async def _loop(self, state: SessionState, queries: Queries) -> None:
        channel, conversation = self.channel, self.conversation
        while conversation.phase is not Phase.CLOSED:
            message: frontend.Message | None = None
            try:
                message = channel.poll()
                if message is None:
                    await channel.flush()
                    if state.portals:
                        state.rest()
                    message = await channel.receive(self._idle_limit(state))
                if conversation.admit(message) is Move.HANDLE:
                    await self._handle(state, queries, message)
            except (ClientGone, IdleTooLong, SessionEnded):
                raise
            except asyncio.CancelledError:
                if not state.interrupted:
                    raise
                task = asyncio.current_task()
                if task is not None:
                    task.uncancel()
                self._failed(state, message, refusals.report(SessionRefused(s.QUERY_CANCELED, "canceling statement")))
            except ProtocolViolation as violation:
                if violation.fatal or conversation.phase is Phase.AUTHENTICATING:
                    raise SessionEnded(refusals.report(violation)) from None
                if violation.sqlstate == s.CHARACTER_NOT_IN_REPERTOIRE and chr(violation.kind) in "QP":
                    await self._audit_unreadable(queries, violation)
                self._failed(state, message, refusals.report(violation), violation.kind)
            except Exception as error:
                if not isinstance(error, Refusal):
                    self.desk.metrics.incidents.inc()
                if state.ending is not None and state.interrupted == "ended":
                    raise SessionEnded(state.ending) from None
                self._failed(state, message, refusals.report(error))
            finally:
                state.busy = False
                state.interrupted = ""
            if state.ending is not None:
                raise SessionEnded(state.ending)

    def _failed(self, state: SessionState, message: frontend.Message | None, told: Report, kind: int = 0) -> None:
        """Tell an error, and go to where the protocol goes on."""
        extended = isinstance(message, EXTENDED) or kind in EXTENDED_TYPES
        if self.conversation.phase is Phase.SKIPPING:
            return
        self.conversation.failed(extended=extended)
        state.series_failed = state.series_failed or extended
        self.channel.send(backend.error_response(told.fields()))
        if not extended:
            state.ready()

    async def _audit_unreadable(self, queries: Queries, violation: ProtocolViolation) -> None:
        """A statement that is no text is audited as refused, without a byte of it."""
        with contextlib.suppress(Refusal):  # the client is refused in any case
            await queries.plans.audit_refused("", TextRefused(violation.message))

    async def _handle(self, state: SessionState, queries: Queries, message: frontend.Message) -> None:
        state.busy = True
        match message:
            case frontend.Query():
                await queries.simple(message.text)
                state.ready()
            case frontend.Parse():
                await queries.parse(message)
            case frontend.Bind():
                await queries.bind(message)
            case frontend.Describe():
                await queries.describe(message)
            case frontend.Execute():
                await queries.execute(message)
            case frontend.Close():
                await queries.close(message)
            case frontend.Sync():
                await queries.sync()
            case frontend.Flush():
                await self.channel.flush()
            case frontend.FunctionCall():
                raise SessionRefused(s.FEATURE_NOT_SUPPORTED, "The function-call protocol is not supported.")
            case _:
                pass

    def _idle_limit(self, state: SessionState) -> float | None:
        name = "idle_session_timeout" if state.transaction == "I" else "idle_in_transaction_session_timeout"
        if fold(name) not in state.settings.values and fold(name) not in state.settings.defaults:
            return None
        return state.settings.duration_s(name) or None

    # ------------------------------------------------------------ from outside

    @property
    def facts(self) -> SessionFacts | None:
        """Who it is; None before it is let in."""
        return self.state.facts if self.state is not None else None

    @property
    def shown(self) -> PeerInfo:
        """What pg_stat_activity tells of it to sessions of its key."""
        state = self.state
        assert state is not None  # noqa: S101 - it has facts
        idle = {"I": "idle", "T": "idle in transaction", "E": "idle in transaction (aborted)"}
        name = state.settings.get("application_name")
        shown = "active" if state.busy else idle[state.transaction]
        return PeerInfo(self.process_id, name, self.source_ip, shown, state.began)

    def cancel(self) -> None:
        """A cancel request with the right secret came."""
        self._event("cancel_request", "")
        self._interrupt("user")

    def end(self, report: Report) -> None:
        """End the session: an idle one now, a busy one after its statement was stopped."""
        state = self.state
        if state is None:
            self.channel.abort()
            return
        if state.ending is None:
            state.ending = report
        if not self.channel.interrupt(SessionEnded(report)):
            self._interrupt("ended")

    def drain(self) -> bool:
        """End the session when it is idle between transactions' statements; whether it was."""
        state = self.state
        if state is None:
            return False
        if state.busy:
            state.ending = SHUTDOWN
            return False
        self.end(SHUTDOWN)
        return True

    def still_valid(self) -> None:
        """After the rulebook or the time moved on: end the session when its key or user is no longer valid."""
        state = self.state
        if state is None or state.ending is not None:
            return
        try:
            Plans(state).recheck()
        except SessionEnded as end:
            self.end(end.report)
        except Refusal:
            return

    def _client_gone(self) -> None:
        self._interrupt("client_gone")

    def _interrupt(self, why: str) -> None:
        state = self.state
        if state is None or not state.busy or state.interrupted:
            return
        state.interrupted = why
        run = state.active
        if run is not None and run.execution is not None and not run.waiting:
            task = asyncio.get_running_loop().create_task(run.execution.cancel())
            self._cancel_tasks.add(task)
            task.add_done_callback(self._cancel_tasks.discard)
        elif run is not None and self._task is not None:
            self._task.cancel()

    # ------------------------------------------------------------ telling

    def tell(self, report: Report) -> None:
        """An error as the last thing said."""
        self.channel.send(backend.error_response(report.fields()))

    def _event(self, kind: str, detail: str) -> None:
        self.desk.audit.event(
            SessionEvent(
                event_id=str(uuid.uuid4()),
                at=stamp(self.desk.clock.now()),
                kind=kind,
                source_ip=self.source_ip,
                detail=detail,
                session=self.state.facts if self.state else None,
            )
        )


def _startup_settings(startup: StartupMessage) -> tuple[SessionSettings, dict[str, str]]:
    """The session's defaults and the agent claims of a start-up packet. Parameters that are none are passed over.

    Raises:
        SessionRefused: a known parameter with a value that is not offered.
        ProtocolViolation: `options` that cannot be read.
    """
    parameters = startup.parameters
    if parameters.get("replication", "false").lower() not in ("false", "off", "no", "0"):
        raise SessionRefused(s.FEATURE_NOT_SUPPORTED, "Replication is not supported.")
    settings = SessionSettings()
    claims: dict[str, str] = {}
    pairs = [pair for pair in parameters.items() if pair[0] not in ("user", "database", "options", "replication")]
    for name, value in [*pairs, *parse_options(parameters.get("options", ""))]:
        key = fold(name)
        if key in (AGENT_ID, AGENT_FRAMEWORK):
            claims[key] = value
        parameter = PARAMETERS.get(key)
        if parameter is None or parameter.check is None:
            continue
        settings.set(name, value)
    settings.defaults = dict(settings.values)
    settings.values.clear()
    return settings, claims
