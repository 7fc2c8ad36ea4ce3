"""What clients say after start-up: each typed message as a value, parsed whole or refused."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from engine.wire.violations import ProtocolViolation


@dataclass(frozen=True, slots=True)
class Password:
    """The answer to a request for a password; never shown."""

    secret: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Query:
    """Simple query: any number of statements."""

    text: str


@dataclass(frozen=True, slots=True)
class Parse:
    """A prepared statement and the types the client gives its parameters (0: you tell me)."""

    name: str
    text: str
    parameter_oids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Bind:
    """A portal over a prepared statement: values as sent (None is NULL), formats 0 text and 1 binary."""

    portal: str
    statement: str
    parameter_formats: tuple[int, ...]
    parameters: tuple[bytes | None, ...] = field(repr=False)
    result_formats: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Describe:
    """Asks for the shape of a statement (`S`) or portal (`P`)."""

    kind: str
    name: str


@dataclass(frozen=True, slots=True)
class Execute:
    """Runs a portal, for at most `rows_max` rows (0: all)."""

    portal: str
    rows_max: int


@dataclass(frozen=True, slots=True)
class Close:
    """Forgets a statement (`S`) or portal (`P`)."""

    kind: str
    name: str


@dataclass(frozen=True, slots=True)
class Flush:
    """Send what is ready."""


@dataclass(frozen=True, slots=True)
class Sync:
    """End of an extended-query series."""


@dataclass(frozen=True, slots=True)
class Terminate:
    """Good-bye."""


@dataclass(frozen=True, slots=True)
class FunctionCall:
    """The old function-call interface; refused."""


@dataclass(frozen=True, slots=True)
class CopyData:
    """A piece of COPY data; ignored outside COPY FROM, as PostgreSQL does after a failed COPY."""


@dataclass(frozen=True, slots=True)
class CopyDone:
    """End of COPY data."""


@dataclass(frozen=True, slots=True)
class CopyFail:
    """The client gives COPY data up."""


Message = (
    Password
    | Query
    | Parse
    | Bind
    | Describe
    | Execute
    | Close
    | Flush
    | Sync
    | Terminate
    | FunctionCall
    | CopyData
    | CopyDone
    | CopyFail
)

KNOWN = frozenset(b"pQPBDECHSXFdcf")
"""Type bytes of every frontend message."""

_BAD = "A message's content is malformed."


class _Reader:
    """Reads a body from left to right; every step is bounded by the body."""

    __slots__ = ("at", "data")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def text(self) -> str:
        end = self.data.find(b"\0", self.at)
        if end < 0:
            raise ProtocolViolation("A string in a message is not terminated.", fatal=False)
        piece = self.data[self.at : end]
        self.at = end + 1
        return _utf8(piece)

    def int16(self) -> int:
        return self._int(2)

    def int32(self) -> int:
        return self._int(4)

    def _int(self, size: int) -> int:
        piece = self.data[self.at : self.at + size]
        if len(piece) != size:
            raise ProtocolViolation(_BAD, fatal=False)
        self.at += size
        return int.from_bytes(piece, "big")

    def int16s(self) -> tuple[int, ...]:
        return self._ints("h", 2)

    def oids(self) -> tuple[int, ...]:
        return self._ints("I", 4)

    def _ints(self, code: str, size: int) -> tuple[int, ...]:
        count = self.int16()
        if self.at + size * count > len(self.data):
            raise ProtocolViolation(_BAD, fatal=False)
        values = struct.unpack_from(f"!{count}{code}", self.data, self.at)
        self.at += size * count
        return values

    def values(self) -> tuple[bytes | None, ...]:
        out: list[bytes | None] = []
        for _ in range(self.int16()):
            length = self.int32()
            if length == 0xFFFFFFFF:
                out.append(None)
                continue
            if self.at + length > len(self.data):
                raise ProtocolViolation(_BAD, fatal=False)
            out.append(self.data[self.at : self.at + length])
            self.at += length
        return tuple(out)

    def done(self) -> None:
        if self.at != len(self.data):
            raise ProtocolViolation(_BAD, fatal=False)


def _utf8(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise ProtocolViolation("A text is not valid UTF-8.", fatal=False, sqlstate="22021") from None


def _formats(codes: tuple[int, ...]) -> tuple[int, ...]:
    for code in codes:
        if code not in (0, 1):
            raise ProtocolViolation("A format code is neither 0 nor 1.", fatal=False)
    return codes


def _target(reader: _Reader) -> tuple[str, str]:
    kind = chr(reader.data[0]) if reader.data else ""
    if kind not in ("S", "P"):
        raise ProtocolViolation(_BAD, fatal=False)
    reader.at = 1
    return kind, reader.text()


_EMPTY: dict[int, Message] = {
    ord("S"): Sync(),
    ord("H"): Flush(),
    ord("X"): Terminate(),
    ord("c"): CopyDone(),
}


def parse(kind: int, body: bytes) -> Message:
    """One message. A violation inside an otherwise well framed message is not fatal: the next one can be found.

    Raises:
        ProtocolViolation: malformed content.
    """
    empty = _EMPTY.get(kind)
    if empty is not None:
        if body:
            raise ProtocolViolation(_BAD, fatal=False)
        return empty
    reader = _Reader(body)
    message: Message
    if kind == 0x51:  # Q
        message = Query(reader.text())
    elif kind == 0x50:  # P
        message = Parse(reader.text(), reader.text(), reader.oids())
    elif kind == 0x42:  # B
        portal, statement = reader.text(), reader.text()
        formats = _formats(reader.int16s())
        values = reader.values()
        if len(formats) > 1 and len(formats) != len(values):
            raise ProtocolViolation("Parameter formats and parameters differ in number.", fatal=False)
        message = Bind(portal, statement, formats, values, _formats(reader.int16s()))
    elif kind == 0x44:  # D
        message = Describe(*_target(reader))
    elif kind == 0x45:  # E
        portal, rows_max = reader.text(), reader.int32()
        message = Execute(portal, rows_max if rows_max < 0x80000000 else 0)
    elif kind == 0x43:  # C
        message = Close(*_target(reader))
    elif kind == 0x70:  # p
        if not body.endswith(b"\0"):
            raise ProtocolViolation(_BAD)
        return Password(body[:-1])
    elif kind == 0x46:  # F
        return FunctionCall()
    elif kind == 0x64:  # d
        return CopyData()
    elif kind == 0x66:  # f
        return CopyFail()
    else:
        raise ProtocolViolation("A message of an unknown type was received.")
    reader.done()
    return message
