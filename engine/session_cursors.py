"""Cursors: DECLARE makes a portal that FETCH and MOVE read, forward only.

One declared SCROLL keeps the row it stands on, so that it can be asked for again; what lies before is gone.
"""

from __future__ import annotations

from engine.refusals import SessionRefused
from engine.session_channel import Channel
from engine.session_command_types import Declare, Fetch
from engine.session_rows import Rows
from engine.session_served import served
from engine.session_state import Portal
from engine.wire import backend
from engine.wire import sqlstate as s
from governance.errors import SyntaxRefused

_KEPT_BYTES_MAX = 1 << 20


class Cursors:
    """The cursors of one session."""

    def __init__(self, rows: Rows) -> None:
        self.rows = rows
        self.state = rows.state
        self.plans = rows.plans

    async def declare(self, command: Declare, declaring: Portal) -> str:
        """DECLARE: a portal that FETCH reads, with the values that the `declaring` one was bound with."""
        state = self.state
        if state.transaction == "I" and not state.implicit and not command.hold:
            raise SessionRefused(s.NO_ACTIVE_TRANSACTION, "DECLARE CURSOR can only be used in transaction blocks")
        plan = await self.plans.plan(command.query, declaring.plan.parameter_oids)
        if plan.source is None or plan.source.copy is not None:
            raise SyntaxRefused("DECLARE CURSOR takes a query")
        if len(plan.parameter_oids) != len(declaring.parameters):
            raise SessionRefused(s.UNDEFINED_PARAMETER, "there is no parameter $1")
        formats = (1,) if command.binary else ()
        settled = state.transaction == "I" and not state.implicit
        state.add_portal(Portal(command.name, plan, declaring.parameters, formats, command, settled))
        return "DECLARE CURSOR"

    async def open(self, cursor: Portal, formats: tuple[int, ...] = ()) -> None:
        """Start a cursor's statement, unless it runs or is at its end."""
        if cursor.run is None and not cursor.done and cursor.plan.source is not None:
            cursor.formats = formats or cursor.formats
            await self.rows.open(cursor)

    async def fetch(self, portal: Portal, command: Fetch) -> None:
        """FETCH and MOVE: forward over a cursor's rows, in the format the fetching portal asks for."""
        state, channel = self.state, self.state.channel
        cursor = state.cursor(command.name)
        count = command.count
        if command.absolute and count is not None:
            count -= cursor.position
            if count < 0:
                raise _forward_only()
        if count == 0 and cursor.on_row and not command.move:  # it means the row that was given last
            if not cursor.last:
                raise _forward_only()
            _same_formats(portal, cursor)
            channel.send(cursor.last)
        skipped = 0
        if (command.absolute or command.relative) and count:
            skipped, count = count - 1, 1
        sent = int(count == 0 and cursor.on_row)
        if count != 0:
            sent = 0 if cursor.done else await self._read_on(portal, cursor, command, skipped, count)
            cursor.on_row = count is not None and sent == count
        portal.done = True
        channel.send(backend.command_complete(f"{'MOVE' if command.move else 'FETCH'} {sent}"))

    async def _read_on(self, portal: Portal, cursor: Portal, command: Fetch, skipped: int, count: int | None) -> int:
        """Pass over `skipped` rows, then send `count` (None: all), or pass over them too; how many."""
        state = self.state
        if cursor.run is None:
            await self.open(cursor, portal.formats)
        else:
            _same_formats(portal, cursor)
        run = cursor.run
        assert run is not None  # noqa: S101 - `open` set it
        if skipped:
            cursor.position += await served(state, run, run.skip(skipped))
        sink = KeepingLast(state.channel if not command.move else None) if _scrolls(cursor) else None
        if sink is not None or not command.move:
            sent = await served(state, run, run.pump(sink or state.channel, count or 0))
        else:
            sent = await served(state, run, run.skip(count or 0))
        cursor.last = sink.last if sink is not None else b""
        cursor.position += sent
        if run.exhausted:
            cursor.done, cursor.run = True, None
            await run.finish()
        return sent


def _same_formats(portal: Portal, cursor: Portal) -> None:
    """A FETCH takes the rows as they come.

    Raises:
        SessionRefused: it wants them in another format (0A000).
    """
    if portal.formats and tuple(portal.formats) != tuple(cursor.formats or (0,)):
        raise SessionRefused(s.FEATURE_NOT_SUPPORTED, "A cursor keeps the format of its first FETCH.")


def _scrolls(cursor: Portal) -> bool:
    return cursor.cursor is not None and cursor.cursor.scroll


class KeepingLast:
    """Takes rows, passes them on when there is somebody to take them, and keeps the last."""

    def __init__(self, channel: Channel | None) -> None:
        self._channel = channel
        self.last = b""

    async def send_bulk(self, data: bytes | bytearray | memoryview) -> None:
        """Pass whole DataRow messages on."""
        view, at, following = memoryview(data), 0, 0
        while following < len(view):
            at, following = following, following + 1 + int.from_bytes(view[following + 1 : following + 5])
        self.last = bytes(view[at:]) if len(view) - at <= _KEPT_BYTES_MAX else b""
        if self._channel is not None:
            await self._channel.send_bulk(data)


def _forward_only() -> SessionRefused:
    return SessionRefused(
        s.OBJECT_STATE, "cursor can only scan forward", advice="Declare it again to read from the start."
    )
