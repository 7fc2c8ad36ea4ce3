"""What a client says before TLS: PROXY header, requests for encryption, the hello; no byte is taken from TLS."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

from engine import refusals
from engine.refusals import Report
from engine.wire import backend, proxy
from engine.wire import sqlstate as s
from engine.wire.client_hello import PROTOCOL_VERSION_ALERT, RECORD_HEAD_BYTES, offers_tls_1_3, record_length
from engine.wire.startup import CancelRequest, GssEncRequest, SslRequest, StartupMessage, length_of, parse_startup
from engine.wire.violations import ProtocolViolation

_TLS_HANDSHAKE = 0x16
_HELLO_BYTES_MAX = 16 * 1024

PLAINTEXT = Report(
    "FATAL",
    s.INVALID_AUTHORIZATION,
    "connections must use TLS 1.3",
    "Connect with sslmode=require, or better sslmode=verify-full and the authority's certificate.",
    code="plaintext_refused",
)


class TurnedAway(Exception):
    """A connection that ends before it is a session; `code` is stable."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Turnstile:
    """Lets one connection begin its handshake in each turn of the loop, the newest first.

    A handshake costs milliseconds of signing. A crowd of hellos must neither stop the sessions that run, nor make an
    honest client wait for all who came before it and may be gone.
    """

    def __init__(self) -> None:
        self._waiting: list[asyncio.Future[None]] = []
        self._turning = False

    async def enter(self) -> None:
        """Return when it is the caller's turn."""
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[None] = loop.create_future()
        self._waiting.append(turn)
        if not self._turning:
            self._turning = True
            loop.call_soon(self._turn, loop)
        await turn

    def _turn(self, loop: asyncio.AbstractEventLoop) -> None:
        while self._waiting:
            turn = self._waiting.pop()
            if not turn.done():
                turn.set_result(None)
                loop.call_soon(self._turn, loop)
                return
        self._turning = False


async def before_tls(
    client: socket.socket, peer: str, *, trusted: bool, cancel: Callable[[CancelRequest], None]
) -> tuple[str, bool]:
    """PROXY header (from those we trust with one), encryption requests, then the hello, which is left unread.

    Returns:
        The client's address, and whether TLS came without being asked for.

    Raises:
        TurnedAway: the connection ends here.
    """
    source = peer
    if trusted:
        source = await _proxied(client, peer)
    for _ in range(3):
        first = await _peek(client)
        if first == _TLS_HANDSHAKE:
            await _only_tls13(client)
            return source, True
        try:
            head = await _read_exactly(client, 4)
            startup = parse_startup(await _read_exactly(client, length_of(head)))
        except ProtocolViolation as violation:
            await _say(client, backend.error_response(refusals.report(violation).fields()))
            raise TurnedAway("protocol_violation") from None
        match startup:
            case SslRequest():
                await _say(client, b"S")
                await _only_tls13(client)
                return source, False
            case GssEncRequest():
                await _say(client, b"N")
            case CancelRequest():
                cancel(startup)
                raise TurnedAway("closed")
            case StartupMessage():
                await _say(client, backend.error_response(PLAINTEXT.fields()))
                raise TurnedAway("plaintext_refused")
    raise TurnedAway("protocol_violation")


async def _proxied(client: socket.socket, peer: str) -> str:
    try:
        head = await _read_exactly(client, proxy.HEAD_BYTES)
        rest = await _read_exactly(client, proxy.rest_length(head))
        return proxy.source(head, rest) or peer
    except ProtocolViolation:
        raise TurnedAway("proxy_header") from None


async def _readable(client: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()

    def wake() -> None:
        if not ready.done():
            ready.set_result(None)

    loop.add_reader(client, wake)
    try:
        await ready
    finally:
        loop.remove_reader(client)


async def _peek(client: socket.socket) -> int:
    """The next byte, left where it is.

    Raises:
        TurnedAway: the client closed.
    """
    while True:
        try:
            data = client.recv(1, socket.MSG_PEEK)
        except (BlockingIOError, InterruptedError):
            await _readable(client)
            continue
        if not data:
            raise TurnedAway("closed")
        return data[0]


async def _read_exactly(client: socket.socket, count: int) -> bytes:
    """Exactly `count` bytes: what follows may be TLS and is not ours to take.

    Raises:
        TurnedAway: the client closed.
    """
    data = bytearray()
    while len(data) < count:
        try:
            piece = client.recv(count - len(data))
        except (BlockingIOError, InterruptedError):
            await _readable(client)
            continue
        if not piece:
            raise TurnedAway("closed")
        data += piece
    return bytes(data)


async def _only_tls13(client: socket.socket) -> None:
    """Tell a client that cannot speak TLS 1.3 so, in TLS's own words.

    Raises:
        TurnedAway: it cannot, or it closed.
    """
    await _peek(client)
    await _arrived(client, RECORD_HEAD_BYTES)
    length = record_length(client.recv(RECORD_HEAD_BYTES, socket.MSG_PEEK))
    if length:
        await _arrived(client, min(length, _HELLO_BYTES_MAX))
    record = client.recv(min(length, _HELLO_BYTES_MAX), socket.MSG_PEEK) if length else b""
    if len(record) < min(length, _HELLO_BYTES_MAX):
        raise TurnedAway("closed")
    if length and not offers_tls_1_3(record):
        await _say(client, PROTOCOL_VERSION_ALERT)
        client.shutdown(socket.SHUT_WR)
        client.recv(_HELLO_BYTES_MAX)
        raise TurnedAway("tls_version")


async def _arrived(client: socket.socket, count: int) -> None:
    """Until `count` bytes are here, or no more will come; they stay where they are."""
    if len(client.recv(count, socket.MSG_PEEK)) < count:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, count)  # else half a hello would be ready all the time
        try:
            await _readable(client)
        finally:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)


async def _say(client: socket.socket, data: bytes) -> None:
    await asyncio.get_running_loop().sock_sendall(client, data)
