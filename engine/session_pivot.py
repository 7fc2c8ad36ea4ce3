"""What a PIVOT without its values asks first: statements of their own, run and audited, their rows kept here."""

from __future__ import annotations

import struct

from engine.session_run import Run, Source
from engine.session_served import served
from engine.session_state import SessionState
from governance.errors import StatementRefused

_BYTES_MAX = 256 * 1024
"""Of all values of one PIVOT column, as they come: no longer statement would be governed."""
_HEAD = struct.Struct("!xIHi")


async def found_values(state: SessionState, source: Source, timeout_s: float) -> tuple[str, ...]:
    """The rows of a governed statement of one text column, in turn.

    Raises:
        Refusal: it may not run, failed, or found too much.
    """
    run = Run(state.desk, state.facts, state.identity, source)
    await served(state, run, run.start((), (0,), timeout_s, state.settings.spelling()))
    sink = _Values()
    await served(state, run, run.pump(sink, 0))
    await run.finish()
    return sink.values()


class _Values:
    """Takes DataRow messages of one column."""

    def __init__(self) -> None:
        self._data = bytearray()

    async def send_bulk(self, data: bytes | bytearray | memoryview) -> None:
        """Keep them.

        Raises:
            StatementRefused: they are too much.
        """
        if len(self._data) + len(data) > _BYTES_MAX:
            raise StatementRefused("PIVOT found too long values to make columns of.", advice="List those you want.")
        self._data += data

    def values(self) -> tuple[str, ...]:
        """The column's values; there are no NULLs among them."""
        found = []
        at = 0
        while at < len(self._data):
            _, _, length = _HEAD.unpack_from(self._data, at)
            at += _HEAD.size
            found.append(self._data[at : at + length].decode())
            at += length
        return tuple(found)
