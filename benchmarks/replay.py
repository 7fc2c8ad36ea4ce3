"""The floor: a server that answers every query with prerecorded bytes from memory, over the same TLS.

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
from pathlib import Path

_WELCOME = b"R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I"


def serve(certificate: str, key: str, recording: str) -> None:
    """Listen on an ephemeral loopback port until stdin ends."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(certificate, key)
    answer = memoryview(Path(recording).read_bytes())
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)

    def accept() -> None:
        while True:
            client, _ = listener.accept()
            threading.Thread(target=_session, args=(client, context, answer), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    sys.stdin.read()


def _session(plain: socket.socket, context: ssl.SSLContext, answer: memoryview) -> None:
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    plain.recv(8)
    plain.sendall(b"S")
    with context.wrap_socket(plain, server_side=True) as client:
        client.recv(4096)
        client.sendall(_WELCOME)
        while request := client.recv(65536):
            if request[:1] == b"X":
                return
            for at in range(0, len(answer), 1 << 20):
                client.sendall(answer[at : at + (1 << 20)])


@contextmanager
def replaying(certificate: Path, key: Path, recording: Path) -> Iterator[tuple[int, int]]:
    """Port and pid of a replay server in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.replay", str(certificate), str(key), str(recording)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline()), process.pid
        finally:
            process.communicate(timeout=20)


def recorded(payload: bytes) -> bytes:
    """Check that a recording ends as an answer does."""
    if payload[-6:-1] != b"Z" + struct.pack("!i", 5):
        raise ValueError("a recording ends with ReadyForQuery")
    return payload


if __name__ == "__main__":
    serve(*sys.argv[1:4])
