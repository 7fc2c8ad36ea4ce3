"""The floor: a server that answers a full read with prerecorded bytes from memory, over the same TLS, to any client.

It knows just enough of the protocol to let psql, psycopg and asyncpg log in and ask, simple or extended.
python -m benchmarks.replay CERTIFICATE KEY RECORDING   (prints its port, serves until stdin ends)
"""

from __future__ import annotations

import socket
import ssl
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_PARAMETERS = {
    "server_version": "15.8", "server_encoding": "UTF8", "client_encoding": "UTF8", "integer_datetimes": "on",
    "standard_conforming_strings": "on", "DateStyle": "ISO, MDY", "IntervalStyle": "postgres", "TimeZone": "UTC",
}  # fmt: skip
_SLICE = 1 << 20


@dataclass(frozen=True)
class Recording:
    """A full read in both formats: RowDescription, and DataRows with their CommandComplete."""

    columns: tuple[bytes, bytes]
    rows: tuple[bytes, bytes]

    @classmethod
    def of(cls, text: bytes, binary: bytes) -> Recording:
        """From two whole answers to an extended query.

        Raises:
            ValueError: one does not end as an answer does.
        """
        parts = [_parts(answer) for answer in (text, binary)]
        return cls((parts[0][0], parts[1][0]), (parts[0][1], parts[1][1]))

    def save(self, folder: Path) -> None:
        """Four files."""
        for name, pair in (("columns", self.columns), ("rows", self.rows)):
            for format_, data in enumerate(pair):
                (folder / f"{name}.{format_}").write_bytes(data)

    @classmethod
    def load(cls, folder: Path) -> Recording:
        """The inverse of `save`."""
        pairs = [
            ((folder / f"{name}.0").read_bytes(), (folder / f"{name}.1").read_bytes()) for name in ("columns", "rows")
        ]
        return cls(pairs[0], pairs[1])


def _message(kind: bytes, body: bytes = b"") -> bytes:
    return kind + struct.pack("!i", len(body) + 4) + body


_READY = _message(b"Z", b"I")


def _parts(answer: bytes) -> tuple[bytes, bytes]:
    if not answer.endswith(_READY):
        raise ValueError("a recording ends with ReadyForQuery")
    at = 0
    while answer[at : at + 1] != b"T":
        at += 1 + int.from_bytes(answer[at + 1 : at + 5], "big")
    end = at + 1 + int.from_bytes(answer[at + 1 : at + 5], "big")
    return answer[at:end], answer[end : -len(_READY)]


def serve(certificate: str, key: str, folder: str) -> None:
    """Listen on an ephemeral loopback port until stdin ends."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(certificate, key)
    recording = Recording.load(Path(folder))
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)

    def accept() -> None:
        while True:
            client, _ = listener.accept()
            threading.Thread(target=_session, args=(client, context, recording), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    sys.stdin.read()


def _session(plain: socket.socket, context: ssl.SSLContext, recording: Recording) -> None:
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        plain.recv(8)
        plain.sendall(b"S")
        with context.wrap_socket(plain, server_side=True) as client:
            client.recv(4096)
            told = b"".join(_message(b"S", f"{k}\0{v}\0".encode()) for k, v in _PARAMETERS.items())
            key_data = _message(b"K", b"\0\0\0\1\0\0\0\1")
            client.sendall(_message(b"R", b"\0\0\0\0") + told + key_data + _READY)
            _converse(client, recording)
    except OSError:
        plain.close()


def _converse(client: ssl.SSLSocket, recording: Recording) -> None:
    pending, format_ = bytearray(), 0
    while more := client.recv(65536):
        pending += more
        out: list[bytes] = []
        while len(pending) >= 5 and len(pending) > int.from_bytes(pending[1:5], "big"):
            kind, length = pending[:1], int.from_bytes(pending[1:5], "big") + 1
            body = bytes(pending[5:length])
            del pending[:length]
            if kind == b"X":
                return
            if kind == b"B":
                format_ = int.from_bytes(body[-2:], "big") if body[-4:-2] != b"\0\0" else 0
            out += _answer(bytes(kind), body, recording, format_)
        for part in out:
            view = memoryview(part)
            for at in range(0, len(view), _SLICE):
                client.sendall(view[at : at + _SLICE])


def _answer(kind: bytes, body: bytes, recording: Recording, format_: int) -> list[bytes]:
    match kind:
        case b"Q":
            return [recording.columns[0], recording.rows[0], _READY]
        case b"P":
            return [_message(b"1")]
        case b"B":
            return [_message(b"2")]
        case b"D" if body[:1] == b"S":
            return [_message(b"t", b"\0\0"), recording.columns[0]]
        case b"D":
            return [recording.columns[format_]]
        case b"E":
            return [recording.rows[format_]]
        case b"C":
            return [_message(b"3")]
        case b"S":
            return [_READY]
        case _:
            return []


@contextmanager
def replaying(certificate: Path, key: Path, folder: Path) -> Iterator[tuple[int, int]]:
    """Port and pid of a replay server in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.replay", str(certificate), str(key), str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline()), process.pid
        finally:
            process.communicate(timeout=20)


if __name__ == "__main__":
    serve(*sys.argv[1:4])
