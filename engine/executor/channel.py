"""The node's end of a channel: frames come in without a copy, and reading stops when nobody takes them."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from engine.executor.messages import FRAME_BYTES_MAX, HEADER, REPLY_BYTES_MAX, Kind

_SCRATCH_BYTES = 1 << 16
_SMALL_BYTES = 4096
_FRAMES_AHEAD = 1
"""Whole frames held for a reader before the channel stops reading."""


@dataclass(frozen=True, slots=True)
class Frame:
    """Whole rows, already in the client's format."""

    data: memoryview
    rows: int


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a channel: a small reply, or a frame."""

    kind: Kind
    document: Any = None
    frame: Frame | None = None


def _parsed(body: bytes) -> Any:
    """A reply's JSON; small ones are kept, for the columns of a statement come again and again. Not to be changed."""
    return _parsed_small(body) if len(body) <= _SMALL_BYTES else json.loads(body)


@lru_cache(maxsize=1024)
def _parsed_small(body: bytes) -> Any:
    return json.loads(body) if body else None


class Channel(asyncio.BufferedProtocol):
    """One socket into a worker. One statement at a time; messages queue up to `_FRAMES_AHEAD` frames."""

    def __init__(self, number: int, ended: Callable[[Channel], None], sending: socket.socket) -> None:
        """`sending` is a second handle on the socket, for requests; non-blocking, closed with the channel."""
        self.number = number
        self._sending = sending
        self._sending_lock = threading.Lock()
        self._through_loop = False
        """Whether the loop sends a part of this statement's messages, and so all that follow."""
        self.discarding = False
        """Throw frames away: the statement is being given up."""
        self._ended = ended
        self._scratch = bytearray(_SCRATCH_BYTES)
        self._unparsed = 0
        self._body: bytearray | None = None
        self._filled = 0
        self._head: tuple[Kind, int] = (Kind.DONE, 0)
        self._messages: deque[Message] = deque()
        self._frames = 0
        self._waiter: asyncio.Future[None] | None = None
        self._transport: asyncio.Transport | None = None
        self._paused = False
        self._loop = asyncio.get_running_loop()
        self.lost = False
        self.final_at = 0.0
        """When the last message of the statement in work arrived (loop time); 0 while it runs."""

    # ------------------------------------------------------------------ asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = transport  # type: ignore[assignment]

    def connection_lost(self, exc: Exception | None) -> None:
        """The worker is gone, or the channel was closed."""
        del exc
        self.lost = True
        self._close_sending()
        self._wake()
        self._ended(self)

    def get_buffer(self, sizehint: int) -> memoryview:
        """The rest of a frame, or the scratch area for headers and small messages."""
        del sizehint
        if self._body is not None:
            return memoryview(self._body)[self._filled :]
        return memoryview(self._scratch)[self._unparsed :]

    def buffer_updated(self, nbytes: int) -> None:
        """Take in what was read."""
        if self._body is not None:
            self._filled += nbytes
            if self._filled == len(self._body):
                self._complete(self._body)
            return
        end = self._unparsed + nbytes
        at = 0
        view = memoryview(self._scratch)
        while end - at >= HEADER.size and not self.lost:
            kind, rows, length = HEADER.unpack_from(self._scratch, at)
            limit = FRAME_BYTES_MAX if kind == Kind.FRAME else REPLY_BYTES_MAX
            if kind not in (Kind.COLUMNS, Kind.FRAME, Kind.DONE, Kind.FAILED) or length > limit:
                self.close()
                return
            at += HEADER.size
            self._head = (Kind(kind), rows)
            self._body = bytearray(length)
            self._filled = min(length, end - at)
            self._body[: self._filled] = view[at : at + self._filled]
            at += self._filled
            if self._filled < length:
                break
            self._complete(self._body)
        self._unparsed = end - at
        if at and self._unparsed:
            self._scratch[: self._unparsed] = self._scratch[at:end]

    def _complete(self, body: bytearray) -> None:
        kind, rows = self._head
        self._body, self._filled = None, 0
        if kind == Kind.FRAME:
            if self.discarding:
                return
            self._messages.append(Message(kind, frame=Frame(memoryview(body), rows)))
            self._frames += 1
            if self._frames >= _FRAMES_AHEAD and not self._paused and self._transport is not None:
                self._paused = True
                self._transport.pause_reading()
        else:
            try:
                document = _parsed(bytes(body))
            except ValueError:
                self.close()
                return
            if kind != Kind.COLUMNS:
                self.final_at = self._loop.time()
            self._messages.append(Message(kind, document))
        self._wake()

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    # ------------------------------------------------------------------ the executor's side

    def reset(self) -> None:
        """Ready for a statement; the channel is fresh or its last statement has ended."""
        self.discarding = False
        self.final_at = 0.0
        self._through_loop = False
        self._messages.clear()
        self._frames = 0
        self._read_on()  # the last statement may have been left with frames that nobody took

    def send(self, message: bytes) -> None:
        """Send after `reset`; from any thread, without waiting. What the kernel does not take now, the loop sends."""
        with self._sending_lock:
            sent = 0
            if not self._through_loop:
                if self._sending.fileno() < 0:
                    return
                try:
                    sent = self._sending.send(message)
                except (BlockingIOError, InterruptedError):
                    sent = 0
                except OSError:
                    return  # the worker is gone; `connection_lost` says so
            if sent < len(message):
                self._through_loop = True
                self._loop.call_soon_threadsafe(self._send_rest, message[sent:])

    def _send_rest(self, rest: bytes) -> None:
        if self._transport is not None and not self.lost:
            self._transport.write(rest)

    def _close_sending(self) -> None:
        with self._sending_lock:  # so that no thread sends into a number that means something else by then
            self._sending.close()

    def forgo(self) -> None:
        """The request is never sent: the channel is free, and whoever waits for its answer is woken."""
        self.final_at = self._loop.time()
        self._messages.append(Message(Kind.DONE))
        self._wake()

    async def next(self) -> Message | None:
        """The next message; None when the worker is gone."""
        while not self._messages:
            if self.lost:
                return None
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        message = self._messages.popleft()
        if message.frame is not None:
            self._frames -= 1
            self._read_on()
        return message

    def done_next(self) -> bool:
        """Whether the end of the statement is here and comes next; it is taken then."""
        if not self._messages or self._messages[0].kind is not Kind.DONE:
            return False
        self._messages.popleft()
        return True

    def _read_on(self) -> None:
        if self._paused and self._transport is not None and not self.lost:
            self._paused = False
            self._transport.resume_reading()

    def discard(self) -> None:
        """Throw away frames from now on, so that a worker blocked on sending comes to its end."""
        self.discarding = True
        self._messages = deque(m for m in self._messages if m.frame is None)
        self._frames = 0
        self._read_on()

    def close(self) -> None:
        """End the channel; the worker's thread ends with it."""
        self._close_sending()
        if self._transport is not None:
            self._transport.close()
