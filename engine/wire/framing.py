"""Bytes to messages: a type byte, a length that counts itself, a body. Lengths are judged before memory is taken."""

from __future__ import annotations

from dataclasses import dataclass

from engine.wire.violations import ProtocolViolation

LARGE_TYPES = frozenset(b"QPBd")
"""Messages that carry text or values; all others are short by nature."""


@dataclass(frozen=True, slots=True)
class FrameLimits:
    """The longest body accepted, in bytes."""

    large_bytes_max: int = 16 * 1024 * 1024
    small_bytes_max: int = 10_000


class Framer:
    """Cuts typed messages out of a stream.

    `feed` never holds more than one message beyond what its limits allow plus the last chunk fed; the caller stops
    reading while `buffered` is large.
    """

    __slots__ = ("_at", "_buffer", "_known", "limits")

    def __init__(self, known: frozenset[int], limits: FrameLimits | None = None) -> None:
        self._buffer = bytearray()
        self._at = 0
        self._known = known
        self.limits = limits or FrameLimits()

    @property
    def buffered(self) -> int:
        """Bytes fed and not yet returned."""
        return len(self._buffer) - self._at

    def feed(self, data: bytes | memoryview) -> None:
        """Append what the socket gave."""
        self._buffer += data

    def raw(self, count: int) -> bytes | None:
        """The next `count` bytes as they are (the start-up packet has no type), or None when they are not here yet."""
        if self.buffered < count:
            return None
        data = bytes(memoryview(self._buffer)[self._at : self._at + count])
        del self._buffer[: self._at + count]
        self._at = 0
        return data

    def next(self) -> tuple[int, bytes] | None:
        """The next message as (type byte, body), or None when it is not whole yet.

        Raises:
            ProtocolViolation: an unknown type, a length below 4 or past its limit.
        """
        buffer, at = self._buffer, self._at
        have = len(buffer) - at
        if have == 0:
            return None
        kind = buffer[at]
        if kind not in self._known:
            raise ProtocolViolation("A message of an unknown type was received.")
        if have < 5:
            return None
        length = int.from_bytes(buffer[at + 1 : at + 5], "big")
        limit = self.limits.large_bytes_max if kind in LARGE_TYPES else self.limits.small_bytes_max
        if length < 4 or length - 4 > limit:
            raise ProtocolViolation("A message's length is invalid or past its limit.")
        end = at + 1 + length
        if len(buffer) < end:
            return None
        body = bytes(memoryview(buffer)[at + 5 : end])
        if end == len(buffer):
            buffer.clear()
            self._at = 0
        elif end > 65536:
            del buffer[:end]
            self._at = 0
        else:
            self._at = end
        return kind, body
