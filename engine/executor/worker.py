"""A worker process: one locked DuckDB, one thread per channel, nothing of the world but inherited sockets.

Started as `python -I -m engine.executor.worker CONTROL_FD BLOCKS_FD` with a clean environment. The first message on
the control socket says what it may take; then it gives up everything else (`sandbox`), opens DuckDB, says hello and
serves channels until the control socket closes. The main thread only listens for channels and interrupts.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import json
import os
import socket
import struct
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from engine.cache.block_client import BlockClient
from engine.cache.filesystem import PinnedFileSystem
from engine.executor import sandbox
from engine.executor.instance import InstanceLimits, lock_instance, open_instance
from engine.executor.messages import (
    CONTROL,
    HEADER,
    REQUEST_BYTES_MAX,
    Control,
    Kind,
    Request,
    columns_reply,
    decode_images,
    decode_request,
    reply,
)
from engine.executor.rehearsal import rehearse
from engine.executor.statement import Statement, Statements

_LENGTH = struct.Struct(">I")
_INTERRUPT_EVERY_S = 0.05
_THREAD_STACK_BYTES = 16 << 20
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
_MMAP_FROM_BYTES = 32 << 20
_KEPT_BYTES = 64 << 20
_RECEIVE_BYTES = 32_768

Operation = Callable[..., Iterator[Any]]
"""Another room's way to answer a request: (shared, cursor, request, send, watch) -> frames; it sends COLUMNS itself,
and tells `watch` of a cursor of its own that an interrupt must reach."""


def receive_exactly(sock: socket.socket, length: int) -> bytes | None:
    """`length` bytes, or None when the other side is gone."""
    data = bytearray(length)
    view = memoryview(data)
    while view:
        try:
            got = sock.recv_into(view)
        except OSError:
            return None
        if not got:
            return None
        view = view[got:]
    return bytes(data)


def send_all(sock: socket.socket, parts: Iterable[bytes | memoryview]) -> None:
    """Every byte of `parts`, gathered, without joining them."""
    views = [memoryview(part).cast("B") for part in parts if len(part)]
    while views:
        sent = sock.sendmsg(views[:64])
        while views and sent >= len(views[0]):
            sent -= len(views[0])
            views.pop(0)
        if views and sent:
            views[0] = views[0][sent:]


class ChannelThread(threading.Thread):
    """Serves one channel: one statement at a time on a DuckDB connection of its own."""

    def __init__(self, number: int, sock: socket.socket, shared: Statements) -> None:
        super().__init__(name=f"channel-{number}", daemon=True)
        self._socket = sock
        self._shared = shared
        self._cursor = shared.cursor()
        self._lock = threading.Lock()
        self._running: tuple[int, Statement] | None = None
        self._unsent: list[bytes | memoryview] = []
        self._pending = bytearray()

    def run(self) -> None:
        """Until the node closes the channel."""
        try:
            while (request := self._next()) is not None:
                self._serve(request)
        except OSError:
            pass
        finally:  # whatever ended the thread: the node must not wait for an answer
            self._socket.close()
            self._cursor.close()

    def interrupt(self, number: int) -> bool:
        """Interrupt statement `number` if it runs; whether it does."""
        with self._lock:
            running = self._running
        if running is None or running[0] != number:
            return False
        running[1].interrupt()
        return True

    def _next(self) -> Request | None:
        """The next request; snapshots that come before it are learned. None: the node closed, or broke the rules."""
        while True:
            found = self._message()
            if found is None:
                return None
            kind, body = found
            if kind == Kind.REQUEST:
                return decode_request(body)
            if kind != Kind.IMAGES:
                return None
            self._shared.files.admit(decode_images(body))

    def _message(self) -> tuple[int, bytes] | None:
        pending = self._pending
        while True:
            if len(pending) >= HEADER.size:
                kind, _, length = HEADER.unpack_from(pending)
                if length > REQUEST_BYTES_MAX:
                    return None
                end = HEADER.size + length
                if len(pending) >= end:
                    body = bytes(memoryview(pending)[HEADER.size : end])
                    del pending[:end]
                    return kind, body
            more = self._socket.recv(_RECEIVE_BYTES)
            if not more:
                return None
            pending += more

    def _serve(self, request: Request) -> None:
        statement = Statement(self._shared, self._cursor, request)
        with self._lock:
            self._running = (request.statement, statement)
        retire = False
        try:
            statement.prepare()
            rows = self._answer(request, statement)
            last = reply(Kind.DONE, rows=rows)
        except OSError as error:
            if isinstance(error, (BrokenPipeError, ConnectionError)):
                raise
            last = reply(Kind.FAILED, asdict(statement.failure(error)))
        except BaseException as error:
            retire = isinstance(error, (duckdb.FatalException, duckdb.InternalException))
            last = reply(Kind.FAILED, {**asdict(statement.failure(error)), "retire": retire})
        with self._lock:
            self._running = None
        send_all(self._socket, [*self._unsent, last])
        self._unsent.clear()

    def _answer(self, request: Request, statement: Statement) -> int:
        operation_name = request.work.operation
        if operation_name == "describe":
            self._unsent.append(columns_reply(statement.columns()))
            return 0
        if operation_name == "run":
            frames = statement.run(self._unsent.append)
        else:
            operation = _operations()[operation_name]
            frames = operation(self._shared, self._cursor, request, self._unsent.append, statement.watch)
        rows = 0
        held = self._unsent
        for data, count in frames:
            rows += count
            held += [HEADER.pack(Kind.FRAME, count, len(data)), data]
            # A small frame is the last one as a rule: it leaves with the end of the result, in one system call.
            if len(data) > _HOLD_BYTES_MAX:
                send_all(self._socket, held)
                held.clear()
        return rows


_HOLD_BYTES_MAX = 16_384


def _operations() -> dict[str, Operation]:
    """Operations of other rooms, by name."""
    from engine.executor import operations

    return operations.OPERATIONS


def _serve_control(control: socket.socket, shared: Statements) -> None:
    """Open channels and pass on interrupts until the node is gone."""
    channels: dict[int, ChannelThread] = {}
    while True:
        try:
            message, descriptors, _, _ = socket.recv_fds(control, CONTROL.size, 1)
        except OSError:
            return
        if len(message) < CONTROL.size:
            rest = receive_exactly(control, CONTROL.size - len(message)) if message else None
            if rest is None:
                return
            message += rest
        operation, number, statement = CONTROL.unpack(message)
        if operation == Control.OPEN and descriptors:
            channel = ChannelThread(number, socket.socket(fileno=descriptors[0]), shared)
            channels = {n: c for n, c in channels.items() if c.is_alive()}
            channels[number] = channel
            channel.start()
        elif operation == Control.INTERRUPT and number in channels:
            threading.Thread(target=_insist, args=(channels[number], statement), name="interrupt", daemon=True).start()


def _insist(channel: ChannelThread, statement: int) -> None:
    """Interrupt until the statement is over: DuckDB forgets an interrupt that comes between two of its steps."""
    pause = threading.Event()
    while channel.interrupt(statement):
        pause.wait(_INTERRUPT_EVERY_S)


def main(arguments: list[str]) -> int:
    """Serve until the node closes the control socket."""
    control = socket.socket(fileno=int(arguments[0]))
    blocks = socket.socket(fileno=int(arguments[1]))
    header = receive_exactly(control, _LENGTH.size)
    body = receive_exactly(control, _LENGTH.unpack(header)[0]) if header else None
    if body is None:
        return 1
    try:
        settings = json.loads(body)
        shared, report = _prepare(settings, blocks)
        hello: dict[str, Any] = {"sandbox": [asdict(m) for m in report.measures]}
    except BaseException as error:
        _send_hello(control, {"failed": f"{type(error).__name__} at {_place(error)}"})
        return 1
    _send_hello(control, hello)
    _serve_control(control, shared)
    os._exit(0)  # channel threads may be deep inside DuckDB


def _place(error: BaseException) -> str:
    """Where a start-up failed: file and line of the innermost frame, no words of the error."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "?"


def _send_hello(control: socket.socket, document: dict[str, Any]) -> None:
    body = json.dumps(document).encode()
    with contextlib.suppress(OSError):
        control.sendall(_LENGTH.pack(len(body)) + body)


def _prepare(settings: dict[str, Any], blocks: socket.socket) -> tuple[Statements, sandbox.SandboxReport]:
    with contextlib.suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_ARENA_MAX, 8)  # arenas reserve address space, which is limited
        # An encoder's buffers are megabytes, used for a moment and again for the next batch: pages that go back to the
        # kernel each time come back cleared, which took a tenth of a full read's time.
        mallopt(_M_MMAP_THRESHOLD, _MMAP_FROM_BYTES)
        mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
    pa.set_cpu_count(1)
    modules: dict[str, Any] = sys.modules
    modules["pandas"] = None  # DuckDB would look for it, on disk, at every bound value
    _operations()
    rehearse()
    limits = InstanceLimits(**settings["limits"])
    instance = open_instance(limits)
    report = sandbox.enter(sandbox.Confinement(**settings["confinement"]))
    threading.stack_size(_THREAD_STACK_BYTES)
    client = BlockClient(blocks)
    client.start()
    files = PinnedFileSystem(client)
    files.start()
    lock_instance(instance, limits, files)
    gc.collect()
    gc.freeze()  # what is here now stays: looking at it again and again would only make statements wait
    return Statements(
        instance, files, {name: bytes.fromhex(value) for name, value in settings["variables"].items()}
    ), report


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
