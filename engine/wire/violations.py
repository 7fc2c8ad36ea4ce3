"""What a client said that is not protocol 3."""

from __future__ import annotations


class ProtocolViolation(Exception):
    """Bytes that are not a message, or a message that may not come now.

    `fatal` says that the place of the next message is lost, so the conversation must end. The sentence never quotes
    what the client sent.
    """

    def __init__(self, message: str, *, fatal: bool = True, sqlstate: str = "08P01") -> None:
        super().__init__(message)
        self.message = message
        self.fatal = fatal
        self.sqlstate = sqlstate
        self.kind = 0
        """The type byte of the message, when it was found."""
