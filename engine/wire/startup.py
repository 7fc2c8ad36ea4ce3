"""Before the first typed message: requests for encryption, a cancel request, the start-up message."""

from __future__ import annotations

from dataclasses import dataclass

from engine.wire.violations import ProtocolViolation

STARTUP_BYTES_MAX = 10_000
"""PostgreSQL's own limit (MAX_STARTUP_PACKET_LENGTH)."""

_SSL = 80877103
_GSS = 80877104
_CANCEL = 80877102


@dataclass(frozen=True, slots=True)
class SslRequest:
    """The client would like TLS."""


@dataclass(frozen=True, slots=True)
class GssEncRequest:
    """The client would like GSSAPI encryption."""


@dataclass(frozen=True, slots=True)
class CancelRequest:
    """Another connection's statement is to stop; `secret` is never shown."""

    process_id: int
    secret: bytes

    def __repr__(self) -> str:
        """Without the secret."""
        return f"CancelRequest(process_id={self.process_id})"


@dataclass(frozen=True, slots=True)
class StartupMessage:
    """Protocol version and parameters (`user`, `database`, `options`, ...), as sent."""

    major: int
    minor: int
    parameters: dict[str, str]


Startup = SslRequest | GssEncRequest | CancelRequest | StartupMessage


def length_of(head: bytes) -> int:
    """Bytes that follow the 4-byte length `head`.

    Raises:
        ProtocolViolation: the length is invalid or past its limit.
    """
    length = int.from_bytes(head, "big")
    if length < 8 or length > STARTUP_BYTES_MAX:
        raise ProtocolViolation("The start-up packet's length is invalid.")
    return length - 4


def parse_startup(body: bytes) -> Startup:
    """A start-up packet without its length.

    Raises:
        ProtocolViolation: not a start-up packet.
    """
    if len(body) < 4:
        raise ProtocolViolation("The start-up packet is too short.")
    code = int.from_bytes(body[:4], "big")
    if code in (_SSL, _GSS):
        if len(body) != 4:
            raise ProtocolViolation("An encryption request has a wrong length.")
        return SslRequest() if code == _SSL else GssEncRequest()
    if code == _CANCEL:
        if not 8 < len(body) <= 8 + 256:
            raise ProtocolViolation("A cancel request has a wrong length.")
        return CancelRequest(int.from_bytes(body[4:8], "big"), body[8:])
    major, minor = code >> 16, code & 0xFFFF
    if major != 3:
        raise ProtocolViolation("Only version 3 of the protocol is spoken here.", sqlstate="0A000")
    return StartupMessage(major, minor, _parameters(body[4:]))


def _parameters(data: bytes) -> dict[str, str]:
    """Name and value pairs, each ended by NUL, the list ended by one more."""
    if not data.endswith(b"\0"):
        raise ProtocolViolation("The start-up packet's parameters are not terminated.")
    parts = data[:-1].split(b"\0")
    if parts and parts[-1] == b"":
        parts.pop()
    if len(parts) % 2:
        raise ProtocolViolation("The start-up packet's parameters are not pairs.")
    try:
        texts = [part.decode("utf-8") for part in parts]
    except UnicodeDecodeError:
        raise ProtocolViolation("The start-up packet is not UTF-8.", sqlstate="22021") from None
    parameters: dict[str, str] = {}
    for name, value in zip(texts[::2], texts[1::2], strict=True):
        if not name or name in parameters:
            raise ProtocolViolation("A start-up parameter is nameless or given twice.")
        parameters[name] = value
    return parameters


def parse_options(text: str) -> list[tuple[str, str]]:
    """The `options` parameter (`-c name=value`, `--name=value`; a backslash escapes a character), in order.

    Raises:
        ProtocolViolation: an option that is neither.
    """
    words: list[str] = []
    word: list[str] = []
    inside = escaped = False
    for char in text:
        if escaped:
            word.append(char)
            escaped = False
        elif char == "\\":
            inside = escaped = True
        elif char.isspace():
            if inside:
                words.append("".join(word))
                word, inside = [], False
        else:
            word.append(char)
            inside = True
    if inside:
        words.append("".join(word))
    pairs: list[tuple[str, str]] = []
    rest = iter(words)
    for item in rest:
        if item == "-c":
            setting = next(rest, "")
        elif item.startswith("-c"):
            setting = item[2:]
        elif item.startswith("--"):
            setting = item[2:].replace("-", "_") if "=" not in item else _long_option(item[2:])
        else:
            raise ProtocolViolation("A start-up option is not understood.", sqlstate="22023")
        name, equals, value = setting.partition("=")
        if not equals or not name:
            raise ProtocolViolation("A start-up option is not name=value.", sqlstate="22023")
        pairs.append((name, value))
    return pairs


def _long_option(text: str) -> str:
    name, _, value = text.partition("=")
    return f"{name.replace('-', '_')}={value}"
