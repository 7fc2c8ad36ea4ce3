"""A client that says exactly what a test wants, byte by byte."""

from __future__ import annotations

import asyncio
import ssl
import struct
from collections.abc import Coroutine
from typing import Any

import uvloop

from tests.engine.session.front import Front

SSL_REQUEST = struct.pack("!II", 8, 80877103)
GSS_REQUEST = struct.pack("!II", 8, 80877104)


def message(kind: str, body: bytes = b"") -> bytes:
    return kind.encode() + struct.pack("!I", len(body) + 4) + body


def startup(**parameters: str) -> bytes:
    body = struct.pack("!HH", 3, 0)
    for name, value in parameters.items():
        body += name.replace("__", ".").encode() + b"\0" + value.encode() + b"\0"
    body += b"\0"
    return struct.pack("!I", len(body) + 4) + body


def cancel(process_id: int, secret: bytes) -> bytes:
    return struct.pack("!III", 12 + len(secret), 80877102, process_id) + secret


def fields(body: bytes) -> dict[str, str]:
    return {part[:1].decode("latin-1"): part[1:].decode("latin-1") for part in body.split(b"\0") if part}


class Raw:
    """A connection past or before TLS."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.process_id = 0
        self.secret = b""
        self.parameters: dict[str, str] = {}

    @classmethod
    async def plain(cls, front: Front) -> Raw:
        return cls(*await asyncio.open_connection("127.0.0.1", front.port))

    @classmethod
    async def secure(cls, front: Front, first: bytes = SSL_REQUEST, context: ssl.SSLContext | None = None) -> Raw:
        raw = await cls.plain(front)
        raw.say(first)
        if first:
            assert await raw.reader.readexactly(1) == b"S"
        await raw.writer.start_tls(context or front.client_context(), server_hostname="localhost")
        return raw

    @classmethod
    async def login(cls, front: Front, key: str = "", **parameters: str) -> Raw:
        raw = await cls.secure(front)
        await raw.authenticate(key or front.key, **parameters)
        return raw

    async def authenticate(self, key: str, **parameters: str) -> None:
        """Log in; raises Told with the error's fields."""
        self.say(startup(**{"user": "anyone", "database": "production", **parameters}))
        kind, body = await self.hear()
        if kind == "E":
            raise Told(fields(body))
        assert (kind, body) == ("R", b"\0\0\0\3")
        self.say(message("p", key.encode() + b"\0"))
        while True:
            kind, body = await self.hear()
            if kind == "E":
                raise Told(fields(body))
            if kind == "K":
                self.process_id, self.secret = int.from_bytes(body[:4], "big"), body[4:]
            if kind == "S":
                name, value = body.split(b"\0")[:2]
                self.parameters[name.decode()] = value.decode()
            if kind == "Z":
                return

    def say(self, data: bytes) -> None:
        self.writer.write(data)

    async def hear(self) -> tuple[str, bytes]:
        async with asyncio.timeout(10):
            head = await self.reader.readexactly(5)
            body = await self.reader.readexactly(int.from_bytes(head[1:], "big") - 4)
        return chr(head[0]), body

    async def until_ready(self) -> list[tuple[str, bytes]]:
        heard = [await self.hear()]
        while heard[-1][0] != "Z":
            heard.append(await self.hear())
        return heard

    async def query(self, text: str) -> list[tuple[str, bytes]]:
        self.say(message("Q", text.encode() + b"\0"))
        return await self.until_ready()

    async def error(self, text: str) -> dict[str, str]:
        heard = dict(await self.query(text))
        return fields(heard["E"])

    async def ended(self) -> bytes:
        """Everything up to the end of the connection."""
        async with asyncio.timeout(10):
            try:
                return await self.reader.read(1 << 20)
            except (ConnectionError, ssl.SSLError):
                return b""

    async def close(self) -> None:
        self.writer.transport.abort()


class Told(Exception):
    """The server's error."""

    def __init__(self, told: dict[str, str]) -> None:
        super().__init__(told)
        self.told = told


def kinds(heard: list[tuple[str, bytes]]) -> str:
    return "".join(kind for kind, _ in heard)


def parse(text: str, name: str = "", oids: tuple[int, ...] = ()) -> bytes:
    return message(
        "P", name.encode() + b"\0" + text.encode() + b"\0" + struct.pack(f"!H{len(oids)}I", len(oids), *oids)
    )


def bind(portal: str = "", name: str = "", formats: tuple[int, ...] = ()) -> bytes:
    body = portal.encode() + b"\0" + name.encode() + b"\0" + struct.pack("!HH", 0, 0)
    return message("B", body + struct.pack(f"!H{len(formats)}h", len(formats), *formats))


def describe(kind: str, name: str = "") -> bytes:
    return message("D", kind.encode() + name.encode() + b"\0")


def execute(portal: str = "", rows: int = 0) -> bytes:
    return message("E", portal.encode() + b"\0" + struct.pack("!i", rows))


SYNC = message("S")


def run(coroutine: Coroutine[Any, Any, None]) -> None:
    uvloop.run(coroutine)
