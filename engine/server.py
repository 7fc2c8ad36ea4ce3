"""The listener on 5439: TLS 1.3 or nothing, limits before anything costs, one session per client, cancel, drain."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hmac
import itertools
import logging
import socket
import ssl
import uuid
from collections import Counter
from dataclasses import dataclass
from ipaddress import ip_address, ip_network

from engine import refusals
from engine.hello import TurnedAway, Turnstile, before_tls
from engine.session import SHUTDOWN, CancelAsked, Session
from engine.session_channel import Channel, ClientGone
from engine.session_peers import Peers
from engine.session_ports import Desk
from engine.session_run import stamp
from engine.tls import ALPN
from engine.wire.startup import CancelRequest
from engine.wire.violations import ProtocolViolation
from governance.audit_record import SessionEvent
from governance.errors import Refusal, TooManyConnections
from governance.rulebook import Rulebook

_LOG = logging.getLogger("hatidata.node")
_BACKLOG = 1024
_ACCEPTED_A_TURN = 64


@dataclass(slots=True, eq=False)
class _Arrival:
    """A connection that has come in; `source` is the peer's address."""

    client: socket.socket
    source: str
    begun: bool = False
    half_open: bool = True


class Server:
    """Accepts clients until it is drained."""

    def __init__(
        self, desk: Desk, context: ssl.SSLContext, *, host: str, port: int, proxy_from: tuple[str, ...] = ()
    ) -> None:
        self._desk = desk
        self._context = context
        self._host = host
        self._port = port
        self._proxy_from = tuple(ip_network(text) for text in proxy_from)
        self._socket: socket.socket | None = None
        self._accepting: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._sessions: dict[int, Session] = {}
        self._peers = Peers(self._sessions)
        self._half_open: Counter[str] = Counter()
        self._half_open_count = 0
        self._opening: dict[asyncio.Task[None] | None, str] = {}
        """Connections that have not authenticated and that we wait for, oldest first, and where they come from."""
        self._queueing: dict[asyncio.Task[None] | None, str] = {}
        """Those that wait for us: their handshake's turn has not come."""
        self._turnstile = Turnstile()
        self.draining = False

    @property
    def port(self) -> int:
        """The port listened on."""
        assert self._socket is not None  # noqa: S101 - started
        return int(self._socket.getsockname()[1])

    @property
    def connections(self) -> int:
        """Authenticated sessions."""
        return len(self._sessions)

    async def start(self) -> None:
        """Listen.

        Raises:
            OSError: the port is taken.
        """
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((self._host, self._port))
        except OSError:
            listener.close()
            raise
        listener.listen(_BACKLOG)
        listener.setblocking(False)
        self._socket = listener
        self._accepting = asyncio.create_task(self._accept(listener), name="accept")

    async def stop(self, timeout_s: float) -> None:
        """Stop accepting, let running statements end, tell idle clients, and end the rest at the deadline."""
        self.draining = True
        if self._accepting is not None:
            self._accepting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._accepting
        if self._socket is not None:
            self._socket.close()
        for session in list(self._sessions.values()):
            session.drain()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=timeout_s)
        for session in list(self._sessions.values()):
            session.end(SHUTDOWN)
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=2.0)
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def rulebook_changed(self, _rulebook: Rulebook) -> None:
        """Look at every session anew (revocation is prompt)."""
        self.recheck()

    def recheck(self) -> None:
        """End sessions whose key or user is no longer valid."""
        for session in list(self._sessions.values()):
            session.still_valid()

    # ------------------------------------------------------------ accepting

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                client, address = await loop.sock_accept(listener)
            except OSError as error:
                _LOG.warning("accept failed: %s", errno.errorcode.get(error.errno or 0, "unknown"))
                await asyncio.sleep(0.1)
                continue
            self._admit(client, str(address[0]))
            for _ in range(_ACCEPTED_A_TURN):  # a crowd must not keep an honest client waiting in the kernel's queue
                try:
                    client, address = listener.accept()
                except OSError:
                    break
                client.setblocking(False)
                self._admit(client, str(address[0]))

    def _admit(self, client: socket.socket, source: str) -> None:
        """Serve one more connection, in the place of another when there are too many."""
        limits = self._desk.limits
        if self._half_open_count >= limits.half_open_max or (
            self._half_open[source] >= limits.half_open_per_source_max and not self._trusted(source)
        ):
            self._drop_oldest(source)
        arrival = _Arrival(client, source)
        self._half_open[source] += 1
        self._half_open_count += 1
        self._desk.metrics.half_open.set(self._half_open_count)
        task = asyncio.create_task(self._serve(arrival))
        self._opening[task] = source
        self._tasks.add(task)
        task.add_done_callback(lambda task: self._left(task, arrival))

    def _left(self, task: asyncio.Task[None], arrival: _Arrival) -> None:
        """A connection is over; one that was dropped before its first step is closed here."""
        self._tasks.discard(task)
        self._opened(task, arrival)
        if not arrival.begun:
            arrival.client.close()

    def _opened(self, task: asyncio.Task[None] | None, arrival: _Arrival) -> None:
        """It is not half open any more."""
        if not arrival.half_open:
            return
        arrival.half_open = False
        self._opening.pop(task, None)
        self._queueing.pop(task, None)
        self._half_open_count -= 1
        self._half_open[arrival.source] -= 1
        if not self._half_open[arrival.source]:
            del self._half_open[arrival.source]
        self._desk.metrics.half_open.set(self._half_open_count)

    def _drop_oldest(self, source: str) -> None:
        """Make room: whoever waited longest without authenticating goes, of this source when it is the one too many.

        An honest client is through in milliseconds; a silent one would keep the door shut until its deadline. Those who
        wait for us go last: that is no fault of theirs.
        """
        mine = self._half_open_count < self._desk.limits.half_open_max
        waiting = itertools.chain(self._opening.items(), self._queueing.items())
        victim = next((task for task, of in waiting if of == source or not mine), None)
        if victim is not None:
            self._opening.pop(victim, None)
            self._queueing.pop(victim, None)
            self._desk.metrics.refused_connections.labels("half_open_limit").inc()
            victim.cancel()

    def _trusted(self, source: str) -> bool:
        return any(ip_address(source) in network for network in self._proxy_from)

    async def _serve(self, arrival: _Arrival) -> None:
        """One connection, from its first byte to its end."""
        arrival.begun = True
        client, peer = arrival.client, arrival.source
        channel: Channel | None = None
        try:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            channel, source = await self._secure(client, peer)
            session = Session(self._desk, channel, source, self._peers)
            if await self._greet(session):
                self._opened(asyncio.current_task(), arrival)
                await self._converse(session)
        except TurnedAway as refused:
            self._desk.metrics.refused_connections.labels(refused.code).inc()
            if refused.code != "closed":
                self._event("connection_refused", peer, refused.code)
        except (OSError, ClientGone, TimeoutError) as error:
            code = "tls_handshake" if isinstance(error, ssl.SSLError) else "connection_lost"
            self._desk.metrics.refused_connections.labels(code).inc()
        finally:
            if channel is not None:
                channel.close()
            else:
                client.close()

    # ------------------------------------------------------------ before TLS

    async def _secure(self, client: socket.socket, peer: str) -> tuple[Channel, str]:
        """Bring TLS up; the channel and the client's address."""
        loop = asyncio.get_running_loop()
        limits = self._desk.limits
        try:
            async with asyncio.timeout(limits.handshake_timeout_s):
                source, direct = await before_tls(client, peer, trusted=self._trusted(peer), cancel=self._cancel)
                await self._handshakes_turn()
        except TimeoutError:
            raise TurnedAway("handshake_timeout") from None
        channel = Channel(limits)
        transport, _ = await loop.connect_accepted_socket(
            lambda: channel, client, ssl=self._context,
            ssl_handshake_timeout=limits.handshake_timeout_s, ssl_shutdown_timeout=2.0,
        )  # fmt: skip
        secured = transport.get_extra_info("ssl_object")
        if direct and (secured is None or secured.selected_alpn_protocol() != ALPN):
            channel.abort()
            raise TurnedAway("alpn_missing")
        return channel, source

    async def _handshakes_turn(self) -> None:
        me = asyncio.current_task()
        source = self._opening.pop(me, None)
        if source is None:
            return  # dropped already; the cancellation is on its way
        self._queueing[me] = source
        await self._turnstile.enter()
        if self._queueing.pop(me, None) is not None:
            self._opening[me] = source

    # ------------------------------------------------------------ after TLS

    async def _greet(self, session: Session) -> bool:
        """Let the client in, or tell it why not."""
        limits = self._desk.limits
        try:
            async with asyncio.timeout(limits.authentication_timeout_s):
                if self.draining:
                    session.tell(SHUTDOWN)
                    return False
                await session.greet()
        except TimeoutError:
            self._desk.metrics.refused_connections.labels("authentication_timeout").inc()
            return False
        except CancelAsked as asked:
            self._cancel(asked.request)
            return False
        except (Refusal, ProtocolViolation) as error:
            told = refusals.report(error, severity="FATAL")
            self._desk.metrics.refused_connections.labels(told.code).inc()
            if isinstance(error, ProtocolViolation):
                self._event("connection_refused", session.source_ip, told.code)
            session.tell(told)
            return False
        if len(self._sessions) >= limits.connections_max:
            full = TooManyConnections("too many clients are connected", advice="Close idle connections.")
            session.refuse(refusals.report(full, severity="FATAL"))
            return False
        return True

    async def _converse(self, session: Session) -> None:
        while session.process_id in self._sessions:
            session.renumber()
        self._sessions[session.process_id] = session
        self._desk.metrics.connections.set(len(self._sessions))
        try:
            session.welcome()
            await session.converse()
        finally:
            del self._sessions[session.process_id]
            self._desk.metrics.connections.set(len(self._sessions))

    def _cancel(self, request: CancelRequest) -> None:
        """Never answered, whatever it names."""
        session = self._sessions.get(request.process_id)
        secret = session.secret if session is not None else b"\0\0\0\0"
        if hmac.compare_digest(request.secret, secret) and session is not None:
            session.cancel()

    def _event(self, kind: str, source: str, detail: str) -> None:
        self._desk.audit.event(
            SessionEvent(
                event_id=str(uuid.uuid4()), at=stamp(self._desk.clock.now()), kind=kind, source_ip=source, detail=detail
            )
        )
