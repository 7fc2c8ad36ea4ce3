"""The bytes of one client: messages in, messages out, both bounded, every wait with a deadline.

An asyncio protocol. What goes out is gathered until `flush`, so that a series of small messages costs one TLS record;
bulk goes straight to the transport in slices, and waits while the client does not read.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import cast

from engine.settings import ConnectionLimits
from engine.wire.framing import FrameLimits, Framer
from engine.wire.frontend import KNOWN, Message, parse
from engine.wire.startup import Startup, length_of, parse_startup
from engine.wire.violations import ProtocolViolation

_SLICE_BYTES = 256 * 1024
_READ_AHEAD_BYTES = 256 * 1024


class ClientGone(Exception):
    """The client went away, or takes nothing of what is sent."""


class IdleTooLong(Exception):
    """The client said nothing within its time."""


class Channel(asyncio.Protocol):
    """One client's transport. Only one coroutine reads, and only one writes, at a time."""

    def __init__(self, limits: ConnectionLimits, frames: FrameLimits | None = None) -> None:
        self._limits = limits
        self._framer = Framer(KNOWN, frames)
        self._transport: asyncio.Transport | None = None
        self._out = bytearray()
        self._incoming: asyncio.Future[None] | None = None
        self._writable: asyncio.Future[None] | None = None
        self._blocked = False
        self._reading = True
        self._expecting = 0
        self.gone = False
        self.on_gone: Callable[[], None] | None = None
        """Called once when the connection ends while it is set."""

    # ------------------------------------------------------------ asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport and set its limits."""
        self._transport = stream = cast("asyncio.Transport", transport)
        stream.set_write_buffer_limits(high=self._limits.write_buffer_bytes_max)

    def data_received(self, data: bytes) -> None:
        """Feed the framer; stop reading when much is waiting already."""
        self._framer.feed(data)
        incoming = self._incoming
        if incoming is not None:
            if not incoming.done():
                incoming.set_result(None)
        elif self._framer.buffered > _READ_AHEAD_BYTES and self._reading and self._transport is not None:
            self._reading = False
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        """A half-closed client is a gone client."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """Wake whoever waits."""
        self.gone = True
        for future in (self._incoming, self._writable):
            if future is not None and not future.done():
                future.set_result(None)
        if self.on_gone is not None:
            self.on_gone()

    def pause_writing(self) -> None:
        """The client reads more slowly than we write."""
        self._blocked = True

    def resume_writing(self) -> None:
        """The client has read on."""
        self._blocked = False
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)

    # ------------------------------------------------------------ the session's side

    def poll(self) -> Message | None:
        """The next message when it is here already.

        Raises:
            ProtocolViolation: what came is not protocol 3.
        """
        found = self._framer.next()
        if found is None:
            return None
        try:
            return parse(*found)
        except ProtocolViolation as violation:
            violation.kind = found[0]
            raise

    async def receive(self, timeout_s: float | None = None) -> Message:
        """The next message.

        Raises:
            ProtocolViolation: what came is not protocol 3.
            IdleTooLong: nothing came within `timeout_s`.
            ClientGone: the connection ended.
        """
        while True:
            message = self.poll()
            if message is not None:
                return message
            await self._more(timeout_s)

    async def receive_startup(self) -> Startup:
        """The start-up packet.

        Raises:
            ProtocolViolation: it is none.
            ClientGone: the connection ended.
        """
        while (head := self._framer.raw(4)) is None:
            await self._more(None)
        length = length_of(head)
        while (body := self._framer.raw(length)) is None:
            await self._more(None)
        return parse_startup(body)

    async def _more(self, timeout_s: float | None) -> None:
        """Wait for bytes."""
        if self.gone or self._transport is None:
            raise ClientGone
        if not self._reading:
            self._reading = True
            self._transport.resume_reading()
        loop = asyncio.get_running_loop()
        self._incoming = future = loop.create_future()
        timer = loop.call_later(timeout_s, _expire, future) if timeout_s else None
        try:
            await future
        finally:
            self._incoming = None
            if timer is not None:
                timer.cancel()

    def interrupt(self, error: Exception) -> bool:
        """Make whoever waits for a message raise `error`; whether somebody did."""
        if self._incoming is None or self._incoming.done():
            return False
        self._incoming.set_exception(error)
        return True

    def send(self, data: bytes | bytearray | memoryview) -> None:
        """Gather `data` for the next flush."""
        self._out += data

    async def flush(self) -> None:
        """Send what is gathered; wait only when the client is behind.

        Raises:
            ClientGone: it is gone, or took nothing within the write deadline.
        """
        if self._out:
            data, self._out = self._out, bytearray()
            self._write(data)
        if self._blocked:
            await self._drain()

    async def send_bulk(self, data: bytes | bytearray | memoryview) -> None:
        """Send a large piece behind what is gathered, slice by slice.

        Raises:
            ClientGone: as `flush`.
        """
        if len(data) + len(self._out) <= 16384:
            self._out += data
            return
        await self.flush()
        view = memoryview(data)
        for at in range(0, len(view), _SLICE_BYTES):
            self._write(view[at : at + _SLICE_BYTES])
            if self._blocked:
                await self._drain()

    def _write(self, data: bytes | bytearray | memoryview) -> None:
        if self.gone or self._transport is None:
            raise ClientGone
        self._transport.write(data)

    async def _drain(self) -> None:
        loop = asyncio.get_running_loop()
        while self._blocked and not self.gone:
            self._writable = future = loop.create_future()
            timer = loop.call_later(self._limits.write_timeout_s, _expire, future)
            try:
                await future
            except IdleTooLong:
                self.abort()
                raise ClientGone from None
            finally:
                self._writable = None
                timer.cancel()
        if self.gone:
            raise ClientGone

    def close(self) -> None:
        """Send what is gathered and close, giving the client a moment to take it."""
        transport = self._transport
        if transport is None or self.gone:
            return
        if self._out:
            data, self._out = self._out, bytearray()
            with contextlib.suppress(ClientGone):
                self._write(data)
        transport.close()
        asyncio.get_running_loop().call_later(5.0, transport.abort)

    def abort(self) -> None:
        """Close at once."""
        if self._transport is not None:
            self._transport.abort()


def _expire(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_exception(IdleTooLong())
