"""A client that costs as little as it can: enough of protocol 3 over TLS 1.3 to log in, ask and read to the end."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import socket
import ssl
import struct
from dataclasses import dataclass
from functools import cache
from time import perf_counter

_SSL_REQUEST = struct.pack("!ii", 8, 80877103)
_BUFFER = 1 << 20


@cache
def _context() -> ssl.SSLContext:
    """One for all connections: making one reads files, which is not what is measured."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    return context


@dataclass(frozen=True)
class Door:
    """Where and as whom to log in."""

    host: str
    port: int
    user: str
    password: str
    database: str


@dataclass(frozen=True)
class Drained:
    """What a whole answer was: bytes, seconds to the first of them, and the rows its command tag tells."""

    size: int
    first_s: float
    rows: int


class Client:
    """One connection."""

    def __init__(self, door: Door) -> None:
        """Connect and log in."""
        plain = socket.create_connection((door.host, door.port), timeout=120)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        plain.sendall(_SSL_REQUEST)
        if plain.recv(1) != b"S":
            raise RuntimeError("the server does not offer TLS")
        self._socket = _context().wrap_socket(plain)
        self._buffer = bytearray(_BUFFER)
        names = f"user\0{door.user}\0database\0{door.database}\0\0".encode()
        self._socket.sendall(struct.pack("!ii", len(names) + 8, 196608) + names)
        self._log_in(door)

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def simple(self, sql: str) -> bytes:
        """A simple query as bytes."""
        return _message(b"Q", sql.encode() + b"\0")

    def extended(self, sql: str, format_: int) -> bytes:
        """Parse, Bind, Describe, Execute, Sync in one go, all results in `format_`."""
        return (
            _message(b"P", b"\0" + sql.encode() + b"\0" + struct.pack("!h", 0))
            + _message(b"B", b"\0\0" + struct.pack("!hhhh", 0, 0, 1, format_))
            + _message(b"D", b"P\0")
            + _message(b"E", b"\0" + struct.pack("!i", 0))
            + _message(b"S", b"")
        )

    def drain(self, request: bytes) -> Drained:
        """Send and read until ReadyForQuery, keeping nothing.

        Raises:
            RuntimeError: the server answered with an error.
        """
        began = perf_counter()
        self._socket.sendall(request)
        view, tail, size, first = memoryview(self._buffer), b"", 0, 0.0
        while True:
            count = self._socket.recv_into(view)
            if not count:
                raise EOFError
            if not size:
                first = perf_counter() - began
            size += count
            tail = (tail + bytes(view[max(0, count - 128) : count]))[-128:]
            if tail[-6:-1] == b"Z\0\0\0\5" and tail[-1:] in (b"I", b"T", b"E"):
                break
        at = max(tail.rfind(b"SELECT "), tail.rfind(b"COPY "))
        if at < 0:
            raise RuntimeError(f"no command tag: {tail!r}")
        return Drained(size, first, int(tail[at:].split(b"\0")[0].split()[1]))

    def answer(self, request: bytes) -> bytes:
        """Send and keep the whole answer."""
        self._socket.sendall(request)
        out = bytearray()
        while out[-6:-1] != b"Z\0\0\0\5":
            data = self._socket.recv(_BUFFER)
            if not data:
                raise EOFError
            out += data
        return bytes(out)

    def _log_in(self, door: Door) -> None:
        stream = self._socket.makefile("rb", buffering=0)
        nonce, first_bare, password = secrets.token_hex(12), "", door.password.encode()
        while True:
            kind, body = _read(stream)
            if kind == b"E":
                raise RuntimeError(body)
            if kind == b"Z":
                return
            if kind != b"R":
                continue
            (method,) = struct.unpack("!i", body[:4])
            if method == 3:
                self._socket.sendall(_message(b"p", password + b"\0"))
            elif method == 10:
                first_bare = f"n=,r={nonce}"
                first = f"n,,{first_bare}".encode()
                self._socket.sendall(_message(b"p", b"SCRAM-SHA-256\0" + struct.pack("!i", len(first)) + first))
            elif method == 11:
                self._socket.sendall(_message(b"p", _scram_final(body[4:], first_bare, password)))


def _scram_final(challenge: bytes, first_bare: str, password: bytes) -> bytes:
    fields = dict(part.split(b"=", 1) for part in challenge.split(b","))
    salted = hashlib.pbkdf2_hmac("sha256", password, base64.b64decode(fields[b"s"]), int(fields[b"i"]))
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    without_proof = b"c=biws,r=" + fields[b"r"]
    signed = first_bare.encode() + b"," + challenge + b"," + without_proof
    signature = hmac.digest(hashlib.sha256(client_key).digest(), signed, "sha256")
    proof = bytes(a ^ b for a, b in zip(client_key, signature, strict=True))
    return without_proof + b",p=" + base64.b64encode(proof)


def _message(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("!i", len(body) + 4) + body


def _read(stream: socket.SocketIO) -> tuple[bytes, bytes]:
    head = _exactly(stream, 5)
    return head[:1], _exactly(stream, struct.unpack("!i", head[1:])[0] - 4)


def _exactly(stream: socket.SocketIO, size: int) -> bytes:
    out = b""
    while len(out) < size:
        part = stream.read(size - len(out))
        if not part:
            raise EOFError
        out += part
    return out
