"""Keeps a home's control plane alive: a child process, watched, asked for its health, restarted with back-off."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
import sys
from collections.abc import Callable
from dataclasses import dataclass

import httpx

from cli.exits import NotStarted
from local.home import Home

START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 10.0
HEALTH_EVERY_S = 5.0
HEALTH_TIMEOUT_S = 5.0
HEALTH_FAILURES_MAX = 3
BACKOFF_FIRST_S = 0.2
BACKOFF_MAX_S = 10.0
_LINE_BYTES_MAX = 4096


@dataclass(frozen=True, slots=True)
class Listening:
    """A control plane that has begun to listen."""

    port: int
    pid: int


class ControlPlaneSupervisor:
    """Starts the child, tells `on_start` of every start, and starts it again when it dies or falls silent.

    Restarts use the port of the first start, so whoever knows the URL keeps it.
    """

    def __init__(self, home: Home, host: str, port: int, on_start: Callable[[Listening], None]) -> None:
        self._home = home
        self._host = host
        self._port = port
        self._on_start = on_start
        self._child: asyncio.subprocess.Process | None = None
        self._watching: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int:
        """The child's process id, 0 while there is none."""
        return self._child.pid if self._child else 0

    async def start(self) -> Listening:
        """Start the child and its watch.

        Raises:
            NotStarted: it ended or did not begin to listen in time; it has said why on stderr.
        """
        listening = await self._launch()
        self._port = listening.port
        self._watching = asyncio.create_task(self._watch())
        return listening

    async def stop(self) -> None:
        """End the watch and the child: politely, then by force."""
        if self._watching:
            self._watching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watching
        await self._end()

    async def _launch(self) -> Listening:
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "cli.control_process", str(self._home.path), self._host, str(self._port),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            start_new_session=True, limit=_LINE_BYTES_MAX,
        )  # fmt: skip
        self._child = child
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                line = await child.stdout.readline() if child.stdout else b""
            listening = Listening(int(json.loads(line)["port"]), child.pid)
        except (TimeoutError, ValueError, KeyError):
            await self._end()
            raise NotStarted(
                f"The control plane did not start on port {self._port}.", advice="Its reason stands above."
            ) from None
        self._on_start(listening)
        return listening

    async def _watch(self) -> None:
        wait_s = BACKOFF_FIRST_S
        while True:
            healthy = await self._until_ill()
            await self._end()
            wait_s = BACKOFF_FIRST_S if healthy else min(wait_s * 2, BACKOFF_MAX_S)
            print("hatidata: the control plane ended; starting it again", file=sys.stderr)
            await asyncio.sleep(wait_s)
            with contextlib.suppress(NotStarted):
                await self._launch()

    async def _until_ill(self) -> bool:
        """Return when the child has died or was silent too often; whether it was ever healthy."""
        child = self._child
        if child is None:
            return False
        died = asyncio.ensure_future(child.wait())
        healthy, failures = False, 0
        context = ssl.create_default_context(cafile=str(self._home.tls_path / "ca.crt"))
        try:
            async with httpx.AsyncClient(verify=context, timeout=HEALTH_TIMEOUT_S, trust_env=False) as client:
                while not died.done() and failures < HEALTH_FAILURES_MAX:
                    try:
                        answer = await client.get(f"https://localhost:{self._port}/v1/health")
                        answer.raise_for_status()
                        healthy, failures = True, 0
                    except httpx.HTTPError:
                        failures += 1
                    await asyncio.wait({died}, timeout=HEALTH_EVERY_S)
        finally:
            died.cancel()
        return healthy

    async def _end(self) -> None:
        child, self._child = self._child, None
        if child is None or child.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            child.terminate()
        try:
            async with asyncio.timeout(STOP_TIMEOUT_S):
                await child.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                child.kill()
            await child.wait()
