"""Which message may come when: the state table of one conversation."""

from __future__ import annotations

from enum import Enum

from engine.wire.frontend import (
    Bind,
    Close,
    CopyData,
    CopyDone,
    CopyFail,
    Describe,
    Execute,
    Flush,
    Message,
    Parse,
    Password,
    Sync,
    Terminate,
)
from engine.wire.violations import ProtocolViolation


class Phase(Enum):
    """Where a conversation stands."""

    AUTHENTICATING = "authenticating"
    READY = "ready"
    SKIPPING = "skipping"
    """After an error in an extended-query series: everything up to Sync is dropped."""
    CLOSED = "closed"


class Move(Enum):
    """What becomes of a message."""

    HANDLE = "handle"
    DROP = "drop"


EXTENDED = (Parse, Bind, Describe, Execute, Close, Flush)
"""Messages of an extended-query series."""
EXTENDED_TYPES = frozenset(b"PBDECH")
_COPY = (CopyData, CopyDone, CopyFail)


class Conversation:
    """The phase of one conversation and the transaction status that ReadyForQuery reports."""

    __slots__ = ("phase", "transaction")

    def __init__(self) -> None:
        self.phase = Phase.AUTHENTICATING
        self.transaction = "I"
        """I idle, T in a transaction block, E in a failed one."""

    def admit(self, message: Message) -> Move:
        """Whether `message` is to be handled now or dropped.

        Raises:
            ProtocolViolation: it may not come now.
        """
        if isinstance(message, Terminate):
            self.phase = Phase.CLOSED
            return Move.HANDLE
        if self.phase is Phase.AUTHENTICATING:
            if isinstance(message, Password):
                return Move.HANDLE
            raise ProtocolViolation("A password was expected.")
        if self.phase is Phase.SKIPPING:
            if isinstance(message, Sync):
                self.phase = Phase.READY
                return Move.HANDLE
            return Move.DROP
        if self.phase is Phase.CLOSED:
            return Move.DROP
        if isinstance(message, _COPY):
            return Move.DROP
        if isinstance(message, Password):
            raise ProtocolViolation("A password was not expected.")
        return Move.HANDLE

    def authenticated(self) -> None:
        """The password was right."""
        self.phase = Phase.READY

    def failed(self, *, extended: bool) -> None:
        """A message's handling ended in an error: an extended-query series skips to Sync, a transaction block fails."""
        if self.transaction == "T":
            self.transaction = "E"
        if extended and self.phase is Phase.READY:
            self.phase = Phase.SKIPPING
