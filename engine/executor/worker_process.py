"""The node's handle on one worker process and the channels into it. Runs on the event loop; never blocks for long."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from engine.cache.block_door import BlockDoor, DoorMaker
from engine.executor.channel import Channel
from engine.executor.instance import InstanceLimits
from engine.executor.messages import (
    CONTROL,
    Control,
)
from engine.executor.sandbox import Confinement, Measure, SandboxReport
from engine.pipeline.relation import hmac_pads
from governance.errors import EngineFailed

_LENGTH = struct.Struct(">I")
_HELLO_BYTES_MAX = 1 << 16
_HELLO_WAIT_S = 60.0
_SNAPSHOTS_KNOWN_MAX = 256
_SOCKET_BUFFER_BYTES = 1 << 20
_ENVIRONMENT = {
    "LANG": "C.UTF-8",
    # No library may start a thread on import: the sandbox is put on while there is one thread only.
    "OPENBLAS_NUM_THREADS": "1",
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
}
"""All a worker's environment holds."""


@dataclass(frozen=True, slots=True)
class WorkerSpec:
    """How a worker is started. Bytes."""

    limits: InstanceLimits
    spill_root: Path
    uid: int | None
    address_space_bytes: int
    mask_key: bytes = field(default=b"", repr=False)
    """Told over the control socket, never in arguments, environment or SQL text."""


class WorkerProcess:
    """One process, its control socket, its block door, its channels."""

    def __init__(
        self, number: int, serial: int, spec: WorkerSpec, make_door: DoorMaker, on_exit: Callable[[WorkerProcess], None]
    ) -> None:
        self.number = number
        """Its slot, which says its user; free again when it has ended."""
        self.spec = spec
        self._spill = spec.spill_root / f"worker-{os.getpid()}-{serial}"
        self.organization: str | None = None
        """The one organization it serves; None before its first lease."""
        self.leases = 0
        self.idle: list[Channel] = []
        self.retired = False
        """Takes no new statements: killed, crashed, or DuckDB said it cannot go on."""
        self.last_used = 0.0
        self.report = SandboxReport(())
        self.door: BlockDoor | None = None
        self.known: OrderedDict[str, int] = OrderedDict()
        """Snapshots the worker has, with how many running statements name them."""
        self._make_door = make_door
        self._on_exit = on_exit
        self._channels: set[Channel] = set()
        self._channel_numbers = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._exited = asyncio.Event()
        self.ready: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int:
        """The process id; 0 before it is started."""
        return self._process.pid if self._process is not None else 0

    def start(self) -> None:
        """Start the process; await `ready` for its hello."""
        self.ready = asyncio.get_running_loop().create_task(self._start())
        self.ready.add_done_callback(self._started)

    def _started(self, task: asyncio.Task[None]) -> None:
        if task.cancelled() or task.exception() is not None:
            self.kill()

    async def _start(self) -> None:
        """Start, tell the settings, hear the hello.

        Raises:
            EngineFailed: kind `startup`.
        """
        loop = asyncio.get_running_loop()
        try:
            control = self._open()
            body = json.dumps(self._settings()).encode()
            async with asyncio.timeout(_HELLO_WAIT_S):
                await loop.sock_sendall(control, _LENGTH.pack(len(body)) + body)
                hello = await self._hello(control)
        except (OSError, TimeoutError, ValueError) as error:
            raise _not_started(type(error).__name__) from None
        if "failed" in hello:
            raise _not_started(str(hello["failed"])[:100])
        loop.add_reader(control.fileno(), self._gone)
        self.report = SandboxReport(tuple(Measure(**m) for m in hello["sandbox"]))

    def _open(self) -> socket.socket:
        """The process with its sockets, and the spill folder it may use. Raises OSError."""
        self._spill.mkdir(mode=0o700, parents=True)
        if self.spec.uid is not None:
            os.chown(self._spill, self.spec.uid, self.spec.uid)
        control, control_theirs = socket.socketpair()
        self._control = control
        blocks, blocks_theirs = socket.socketpair()
        self.door = self._make_door(blocks)
        control.setblocking(False)
        inherited = (control_theirs.fileno(), blocks_theirs.fileno())
        with control_theirs, blocks_theirs:
            # Started on the loop's own thread: PDEATHSIG fires when the starting *thread* ends.
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                [sys.executable, "-I", "-m", "engine.executor.worker", *map(str, inherited)],
                pass_fds=inherited,
                env=_ENVIRONMENT,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd="/",
                start_new_session=True,
            )
        return control

    def _settings(self) -> dict[str, Any]:
        spec = self.spec
        confinement = Confinement(str(self._spill), spec.uid, spec.address_space_bytes, spec.limits.spill_bytes)
        return {
            "confinement": asdict(confinement),
            "limits": asdict(spec.limits),
            "variables": {name: pad.hex() for name, pad in hmac_pads(spec.mask_key).items()},
        }

    async def _hello(self, control: socket.socket) -> dict[str, Any]:
        loop = asyncio.get_running_loop()
        data = b""
        while len(data) < _LENGTH.size or len(data) < _LENGTH.size + _LENGTH.unpack(data[: _LENGTH.size])[0]:
            more = await loop.sock_recv(control, 65536)
            if not more or len(data) > _HELLO_BYTES_MAX:
                return {"failed": "no hello"}
            data += more
        document = json.loads(data[_LENGTH.size :])
        return document if isinstance(document, dict) else {"failed": "no hello"}

    def _gone(self) -> None:
        """The control socket is readable: after its hello a worker says nothing, so it has ended."""
        self.kill()

    # ------------------------------------------------------------------ channels

    async def open_channel(self) -> Channel:
        """A new channel.

        Raises:
            OSError: the worker is gone.
        """
        if self._control is None or self.retired:
            raise OSError("the worker is gone")
        self._channel_numbers += 1
        number = self._channel_numbers
        mine, theirs = socket.socketpair()
        for sock in (mine, theirs):
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SOCKET_BUFFER_BYTES)
        with theirs:
            socket.send_fds(self._control, [CONTROL.pack(Control.OPEN, number, 0)], [theirs.fileno()])
        mine.setblocking(False)
        loop = asyncio.get_running_loop()
        _, channel = await loop.create_unix_connection(
            lambda: Channel(number, self._channel_ended, mine.dup()), sock=mine
        )
        self._channels.add(channel)
        return channel

    def _channel_ended(self, channel: Channel) -> None:
        self._channels.discard(channel)
        if channel in self.idle:
            self.idle.remove(channel)

    def interrupt(self, channel: Channel, statement: int) -> None:
        """Ask DuckDB to stop a statement."""
        if self._control is not None and not self.retired:
            with contextlib.suppress(OSError):
                self._control.send(CONTROL.pack(Control.INTERRUPT, channel.number, statement))

    # ------------------------------------------------------------------ snapshots the worker knows

    def acquaint(self, ids: list[str]) -> tuple[list[str], tuple[str, ...]]:
        """Count a statement on `ids`; (ids to describe to the worker, ids it may forget)."""
        new = [i for i in ids if i not in self.known]
        for i in ids:
            self.known[i] = self.known.pop(i, 0) + 1
        forget = []
        for i, users in list(self.known.items()):
            if len(self.known) <= _SNAPSHOTS_KNOWN_MAX:
                break
            if users == 0:
                del self.known[i]
                forget.append(i)
        return new, tuple(forget)

    def unknow(self, ids: list[str]) -> None:
        """A request that would have brought `ids` was never sent: the next one brings them."""
        for i in ids:
            self.known.pop(i, None)

    def part(self, ids: list[str]) -> None:
        """A statement on `ids` has ended."""
        for i in ids:
            if i in self.known:
                self.known[i] -= 1

    # ------------------------------------------------------------------ the end

    def kill(self) -> None:
        """End the process now; its channels end with it."""
        if self.retired:
            return
        self.retired = True
        loop = asyncio.get_running_loop()
        if self._process is not None and self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGKILL)
        if self._control is not None:
            loop.remove_reader(self._control.fileno())
            self._control.close()
            self._control = None
        if self.door is not None:
            self.door.close()
        for channel in tuple(self._channels):
            channel.close()
        self._reaping = loop.create_task(self._reap())
        self._on_exit(self)

    async def _reap(self) -> None:
        process, loop = self._process, asyncio.get_running_loop()
        if process is not None:
            await loop.run_in_executor(None, process.wait)
        await loop.run_in_executor(None, lambda: shutil.rmtree(self._spill, ignore_errors=True))
        self._exited.set()

    async def exited(self) -> None:
        """End it, and wait until the process is gone and its spill folder removed."""
        if self.ready is not None and not self.ready.done():
            self.ready.cancel()
            await asyncio.gather(self.ready, return_exceptions=True)
        self.kill()
        await self._exited.wait()


def _not_started(reason: str) -> EngineFailed:
    return EngineFailed(
        "The query process could not start.",
        kind="startup",
        advice="Retry; if it persists, report it to your administrator.",
        reason=reason,
    )
