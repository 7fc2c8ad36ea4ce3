"""Session commands carried out: transactions, parameters, cursors' beginnings and ends. Rows are fetched elsewhere."""

from __future__ import annotations

from dataclasses import replace

from engine.authenticate import AGENT_FRAMEWORK, AGENT_ID, check_claims
from engine.refusals import SessionRefused
from engine.session_command_types import (
    Begin,
    CloseCursor,
    Command,
    Deallocate,
    Discard,
    End,
    Lock,
    Nothing,
    Reset,
    Savepoint,
    SetParameters,
    Show,
)
from engine.session_parameters import PARAMETERS, fold, shown_name
from engine.session_run import new_id, stamp
from engine.session_state import TEXT_OID, LocalRows, Point, SessionState
from engine.wire import backend
from engine.wire import sqlstate as s
from engine.wire.backend import Field
from governance.audit_record import SessionEvent
from governance.errors import Refusal

_PAIRS_MAX = 16
_SAVEPOINTS_MAX = 1000


def text_field(name: str) -> Field:
    """A text column."""
    return Field(name, TEXT_OID, -1)


def local_rows(state: SessionState, command: Command) -> LocalRows | None:
    """What SHOW answers; None for commands without rows.

    Raises:
        SessionRefused: 42704.
    """
    if not isinstance(command, Show):
        return None
    settings = state.settings
    if command.name:
        return LocalRows((text_field(shown_name(command.name)),), ((settings.get(command.name),),))
    fields = (text_field("name"), text_field("setting"), text_field("description"))
    return LocalRows(fields, tuple((p.name, settings.get(key), "") for key, p in sorted(PARAMETERS.items())))


async def carry_out(state: SessionState, command: Command) -> str:
    """Do what the command says; its tag. What changes the session, or was to, is audited as an event (claim W5.1).

    Raises:
        Refusal: it may not be now, names what is not there, or claims to be another agent.
    """
    try:
        tag = await _carried_out(state, command)
    except Refusal as refusal:
        _audit(state, command, refusal.code)
        raise
    _audit(state, command, "")
    return tag


def _audit(state: SessionState, command: Command, refused: str) -> None:
    """An event of what was set: names of ours, and values as the environment keeps parameters of statements."""
    match command:
        case SetParameters(pairs=pairs):
            verb = "set"
        case Reset(name=name):
            verb, pairs = "reset", ((name, None),) if name else ()
        case Discard(what=what):
            verb, pairs = f"discard_{what}", ()
        case _:
            return
    desk = state.desk
    texts = desk.texts(state.identity.rulebook.audit)
    shown = [
        f"{fold(name)} = {texts.parameter(value) if value is not None else 'DEFAULT'}"
        if fold(name) in PARAMETERS or fold(name) in (AGENT_ID, AGENT_FRAMEWORK)
        else "a parameter of the client's own"
        for name, value in pairs[:_PAIRS_MAX]
    ]
    desk.audit.event(
        SessionEvent(
            event_id=new_id(),
            at=stamp(desk.clock.now()),
            kind="command_refused" if refused else "command",
            source_ip=state.facts.source_ip,
            detail=refused or verb,
            session=state.facts,
            extra=(("command", verb), ("parameters", shown)),
        )
    )


async def _carried_out(state: SessionState, command: Command) -> str:
    match command:
        case Begin():
            return _begin(state, command)
        case End():
            return await _end(state, command)
        case Savepoint():
            return await _savepoint(state, command)
        case SetParameters():
            return _set(state, command)
        case Reset(name=name):
            _reset(state, name)
            return "RESET"
        case Discard(what=what):
            await _discard(state, what)
            return f"DISCARD {what.upper()}"
        case Deallocate(name=name):
            if not name:
                for statement in list(state.statements):
                    state.drop_statement(statement)
                return "DEALLOCATE ALL"
            state.statement(name)
            state.drop_statement(name)
            return "DEALLOCATE"
        case CloseCursor(name=name):
            if not name:
                for cursor in [n for n, portal in state.portals.items() if portal.cursor is not None]:
                    await state.close_portal(cursor)
                return "CLOSE CURSOR ALL"
            state.portal(name)
            await state.close_portal(name)
            return "CLOSE CURSOR"
        case Lock():
            return "LOCK TABLE"
        case Nothing(tag=tag):
            return tag
        case Show():
            return "SHOW"
        case _:
            raise TypeError(type(command).__name__)


def notice(state: SessionState, sqlstate: str, message: str) -> None:
    """Tell the client something that is no error."""
    state.channel.send(backend.notice_response({"S": "WARNING", "V": "WARNING", "C": sqlstate, "M": message}))


def tell(state: SessionState, reports: dict[str, str]) -> None:
    """Remember the parameters that changed, for ParameterStatus before the next ReadyForQuery."""
    state.reports |= reports
    if "application_name" in reports:
        texts = state.desk.texts(state.identity.rulebook.audit)
        state.facts = replace(state.facts, application_name=texts.redact(reports["application_name"])[:256])


def _begin(state: SessionState, command: Begin) -> str:
    tag = "START TRANSACTION" if command.start else "BEGIN"
    if state.transaction != "I":
        notice(state, s.ACTIVE_TRANSACTION, "there is already a transaction in progress")
        return tag
    state.conversation.transaction = "T"
    if not (state.implicit or state.series):  # else it began with the first statement
        state.settings.begin()
        state.has_read = False
    for name, value in command.modes:
        state.settings.set(name, value, local=True)
    return tag


async def _end(state: SessionState, command: End) -> str:
    word = "COMMIT" if command.commit else "ROLLBACK"
    if state.transaction == "I":
        if command.chain:
            raise SessionRefused(s.NO_ACTIVE_TRANSACTION, f"{word} AND CHAIN can only be used in transaction blocks")
        notice(state, s.NO_ACTIVE_TRANSACTION, "there is no transaction in progress")
        if state.implicit or state.series:
            await end_transaction(state, commit=command.commit)
            state.settings.begin()
        return word
    commit = command.commit and state.transaction == "T"
    modes = state.settings.modes()
    await end_transaction(state, commit=commit)
    if command.chain or state.implicit or state.series:
        state.settings.begin()
    if command.chain:
        state.conversation.transaction = "T"
        for name, value in modes:
            state.settings.set(name, value, local=True)
    return "COMMIT" if commit else "ROLLBACK"


async def end_transaction(state: SessionState, *, commit: bool) -> None:
    """A transaction is over: what it alone had is gone, and after ROLLBACK what it did, too."""
    state.conversation.transaction = "I"
    state.has_read = False
    state.savepoints.clear()
    await state.end_portals(commit=commit)
    tell(state, state.settings.end(commit=commit))


async def _savepoint(state: SessionState, command: Savepoint) -> str:
    tag = {"set": "SAVEPOINT", "release": "RELEASE", "rollback": "ROLLBACK"}[command.action]
    if state.transaction == "I":
        raise SessionRefused(s.NO_ACTIVE_TRANSACTION, f"{tag} can only be used in transaction blocks")
    points = state.savepoints
    if command.action == "set":
        if len(points) >= _SAVEPOINTS_MAX:
            raise SessionRefused(s.PROGRAM_LIMIT_EXCEEDED, "Too many savepoints.")
        points.append(Point(command.name, state.settings.mark(), frozenset(state.portals)))
        return tag
    at = next((at for at in range(len(points) - 1, -1, -1) if points[at].name == command.name), None)
    if at is None:
        raise SessionRefused(s.INVALID_SAVEPOINT, "savepoint does not exist")
    point = points[at]
    del points[at + (command.action == "rollback") :]
    if command.action == "rollback":
        state.conversation.transaction = "T"
        for name in set(state.portals) - point.portals:
            await state.close_portal(name)
        tell(state, state.settings.back_to(point.settings))
    return tag


def _set(state: SessionState, command: SetParameters) -> str:
    local = command.local or command.transaction
    if local and state.transaction == "I" and not state.implicit:
        what = "SET TRANSACTION" if command.transaction else "SET LOCAL"
        notice(state, s.NO_ACTIVE_TRANSACTION, f"{what} can only be used in transaction blocks")
        if not state.series:
            return "SET"
    for name, value in command.pairs:
        if command.transaction and state.has_read and _loosens(name, state.settings.get(name), value):
            raise SessionRefused(s.ACTIVE_TRANSACTION, "a transaction's mode must be set before any query")
        if fold(name) in (AGENT_ID, AGENT_FRAMEWORK):
            check_claims(state.identity.key, {fold(name): value or ""})
        before = state.settings.get(name) if fold(name) in PARAMETERS else None
        settings = state.settings
        reported = settings.reset(name) if value is None else settings.set(name, value, local=local)
        if reported is not None and reported != before:
            tell(state, {shown_name(name): reported})
    return "SET"


def _loosens(name: str, before: str, after: str | None) -> bool:
    """Whether a mode changes that may not once a query has run; a transaction may become READ ONLY at any time."""
    return before != after and (name, after) != ("transaction_read_only", "on")


def _reset(state: SessionState, name: str) -> None:
    if not name:
        tell(state, state.settings.reset_all())
        return
    if fold(name) in ("role", "session_authorization"):
        return  # one is always oneself
    before = state.settings.get(name) if fold(name) in PARAMETERS else None
    reported = state.settings.reset(name)
    if reported is not None and reported != before:
        tell(state, {shown_name(name): reported})


async def _discard(state: SessionState, what: str) -> None:
    if what != "all":
        return
    if state.transaction != "I":
        raise SessionRefused(s.ACTIVE_TRANSACTION, "DISCARD ALL cannot run inside a transaction block")
    await state.close_portals()
    for statement in list(state.statements):
        state.drop_statement(statement)
    tell(state, state.settings.reset_all())
