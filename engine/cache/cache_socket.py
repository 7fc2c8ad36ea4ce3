"""The administrative socket of a node's cache, in its home: status, warm, clear; one JSON line each way.

Only the node's own user (and root) may ask: the socket lies in a folder of mode 0700, is of mode 0600, and the kernel
is asked who is at the other end. A request is `{"verb": "status" | "warm" | "clear", "table": "schema.table"}`, an
answer `{"figures": {...}}` or `{"refused": code, "message": ..., "advice": ...}`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import struct
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

from governance.errors import InvalidRequest, Refusal, SourceUnavailable
from governance.tables import TableName

NAME = "cache.sock"
_LINE_BYTES_MAX = 4096
_REQUEST_S = 5.0
_WORK_S = 3600.0
_CONNECTIONS_MAX = 8
_ADDRESS_CHARS_MAX = 100
"""A socket's address holds 108 bytes, less elsewhere than on Linux."""
_CREDENTIALS = struct.Struct("3i")


class NodeRefused(Refusal):
    """A refusal that came through the socket, with the code it was given there."""

    def __init__(self, code: str, message: str, *, advice: str) -> None:
        super().__init__(message, advice=advice)
        self.code = code


class Cache(Protocol):
    """What the socket asks of the block cache."""

    def status(self) -> Any: ...  # noqa: D102
    async def warm(self, snapshot: Any) -> int: ...  # noqa: D102
    async def clear(self) -> None: ...  # noqa: D102


class Lake(Protocol):
    """What it asks of the lake."""

    async def snapshot(self, table: TableName) -> Any:
        """Raises SourceUnavailable."""


class CacheSocket:
    """Listens at `folder`/cache.sock."""

    def __init__(self, folder: Path, cache: Cache, lake: Lake) -> None:
        self._folder = folder
        self._cache = cache
        self._lake = lake
        self._warming = asyncio.Lock()
        self._asking: set[asyncio.Task[Any]] = set()

    async def start(self) -> None:
        """Listen.

        Raises:
            OSError: the socket cannot be made.
        """
        path = self._folder / NAME
        path.unlink(missing_ok=True)
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            with _address(path) as address:
                listening.bind(address)
            path.chmod(0o600)
            listening.setblocking(False)
            self._server = await asyncio.start_unix_server(self._met, sock=listening, limit=_LINE_BYTES_MAX)
        except BaseException:
            listening.close()
            raise

    async def stop(self) -> None:
        """Stop listening; a table that is being warmed stays as far as it got."""
        self._server.close()
        for task in tuple(self._asking):
            task.cancel()
        await asyncio.gather(*self._asking, return_exceptions=True)
        (self._folder / NAME).unlink(missing_ok=True)

    async def _met(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a coroutine of a server runs in a task
        self._asking.add(task)
        try:
            if len(self._asking) <= _CONNECTIONS_MAX and _is_own(writer.get_extra_info("socket")):
                async with asyncio.timeout(_REQUEST_S):
                    line = await reader.readline()
                async with asyncio.timeout(_WORK_S):
                    answer = await self._answer(line)
                writer.write(json.dumps(answer).encode() + b"\n")
                async with asyncio.timeout(_REQUEST_S):
                    await writer.drain()
        except (OSError, ValueError, asyncio.CancelledError):
            pass  # the other end left, or sent no line, or the node ends
        finally:
            self._asking.discard(task)
            writer.close()

    async def _answer(self, line: bytes) -> dict[str, Any]:
        # Imported here: the command's end of this module needs neither the store nor the volume.
        from engine.cache.object_store import ObjectGone, StoreFailed

        try:
            return {"figures": await self._obey(_read(line))}
        except Refusal as refused:
            return {"refused": refused.code, "message": refused.message, "advice": refused.advice}
        except (ObjectGone, StoreFailed, OSError):
            failed = SourceUnavailable("The table's files cannot be read now.", advice="Retry.")
            return {"refused": failed.code, "message": failed.message, "advice": failed.advice}

    async def _obey(self, request: dict[str, Any]) -> dict[str, Any]:
        verb = request.get("verb")
        if verb == "status":
            return asdict(self._cache.status())
        if verb == "clear":
            before = self._cache.status()
            await self._cache.clear()
            return {"blocks": before.blocks, "bytes": before.bytes_held}
        if verb != "warm":
            raise InvalidRequest("There is no such verb.", advice="status, warm or clear.")
        try:
            table = TableName.parse(str(request.get("table", "")))
        except (ValueError, Refusal):
            raise InvalidRequest("That is no table's name.", advice="Write schema.table.") from None
        if self._warming.locked():
            raise InvalidRequest("Another table is being warmed.", advice="Wait for it.")
        async with self._warming:
            snapshot = await self._lake.snapshot(table)
            return {"table": str(table), "files": len(snapshot.objects), "bytes": await self._cache.warm(snapshot)}


def ask(folder: Path, verb: str, table: str = "", *, timeout_s: float = _WORK_S) -> dict[str, Any]:
    """Ask the node whose state lies in `folder`; the figures it answers with.

    Raises:
        NodeRefused: the node refuses.
        OSError: no node listens there, or it left.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(timeout_s)
        with _address(folder / NAME) as address:
            sock.connect(address)
        sock.sendall(json.dumps({"verb": verb, "table": table}).encode() + b"\n")
        with sock.makefile("rb") as lines:
            line = lines.readline(1 << 20)
    if not line:
        raise ConnectionResetError("the node hung up")
    answer = json.loads(line)
    if "refused" in answer:
        raise NodeRefused(answer["refused"], answer["message"], advice=answer["advice"])
    figures: dict[str, Any] = answer["figures"]
    return figures


def _read(line: bytes) -> dict[str, Any]:
    try:
        request = json.loads(line)
    except (ValueError, RecursionError):
        request = None
    if not isinstance(request, dict):
        raise InvalidRequest("A request is one line of JSON.")
    return request


def _is_own(sock: socket.socket) -> bool:
    """Whether the user at the other end is the node's own, or root; where no kernel says it, the folder's mode does."""
    if not hasattr(socket, "SO_PEERCRED"):
        return True
    _, uid, _ = _CREDENTIALS.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    return uid in (0, os.geteuid())


@contextlib.contextmanager
def _address(path: Path) -> Iterator[str]:
    """`path` as a socket's address; a long one by way of a descriptor of its folder."""
    if len(os.fsencode(path)) <= _ADDRESS_CHARS_MAX:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)
