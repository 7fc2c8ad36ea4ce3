"""A real PostgreSQL 15 in a temporary folder, for side-by-side tests and benchmarks; `missing()` tells why it cannot.

    with running_postgres() as server:
        psycopg.connect(server.dsn)

It listens on a Unix socket of its own; with `tls=True` also on loopback with TLS 1.3 and a throw-away certificate.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

BINARIES = Path("/usr/lib/postgresql/15/bin")
START_TIMEOUT_S = 30.0
USER = "bench"
PASSWORD = "bench"  # guards nothing: the server lives for one test on loopback


@dataclass(frozen=True)
class Postgres15:
    """A running server."""

    folder: Path
    port: int
    """0 without TLS: then only the socket in `folder` is open."""
    pid: int
    user: str = USER

    @property
    def dsn(self) -> str:
        """Over the Unix socket."""
        return f"host={self.folder} port={self.port or 5432} user={self.user} dbname=postgres"

    @property
    def tls_dsn(self) -> str:
        """Over loopback with TLS."""
        return (
            f"host=127.0.0.1 port={self.port} user={USER} password={PASSWORD} dbname=postgres sslmode=require"
            " gssencmode=disable"
        )


def missing() -> str:
    """Why no server can be started here, or an empty string."""
    if not (BINARIES / "initdb").exists():
        return "PostgreSQL 15 is not installed"
    if os.geteuid() == 0 and shutil.which("setpriv") is None:
        return "PostgreSQL does not run as root and setpriv is not installed"
    return ""


def _as_nobody(*arguments: str) -> list[str]:
    if os.geteuid() != 0:
        return list(arguments)
    return ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", *arguments]


@contextmanager
def running_postgres(
    *, tls: bool = False, settings: dict[str, str] | None = None, user: str = USER, locale: str = "C"
) -> Iterator[Postgres15]:
    """A fresh cluster, started, yielded, stopped and removed."""
    folder = Path(tempfile.mkdtemp(prefix="hd-pg15-"))
    process: subprocess.Popen[bytes] | None = None
    try:
        _make_cluster(folder, tls, user, locale)
        port = _free_port() if tls else 0
        options = {"fsync": "off", "max_connections": "100", "listen_addresses": "127.0.0.1" if tls else ""}
        options |= {"unix_socket_directories": str(folder), "port": str(port or 5432), "timezone": "UTC"}
        if tls:
            options |= {"ssl": "on", "ssl_min_protocol_version": "TLSv1.3"}
            options |= {"ssl_cert_file": f"{folder}/server.crt", "ssl_key_file": f"{folder}/server.key"}
        arguments = [f"--{name}={value}" for name, value in (options | (settings or {})).items()]
        process = subprocess.Popen(
            _as_nobody(str(BINARIES / "postgres"), "-D", str(folder / "data"), *arguments),
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/",
        )  # fmt: skip
        _wait(folder, port or 5432, process)
        yield Postgres15(folder, port, process.pid, user)
    finally:
        if process is not None:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(20)
        shutil.rmtree(folder, ignore_errors=True)


def _make_cluster(folder: Path, tls: bool, user: str, locale: str) -> None:
    folder.chmod(0o700)
    password = folder / "password"
    password.write_text(PASSWORD)
    if tls:
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
             "-subj", "/CN=localhost", "-keyout", str(folder / "server.key"), "-out", str(folder / "server.crt")],
            check=True, capture_output=True,
        )  # fmt: skip
        (folder / "server.key").chmod(0o600)
    if os.geteuid() == 0:
        for path in (folder, *folder.iterdir()):
            shutil.chown(path, "nobody", "nogroup")
    subprocess.run(
        _as_nobody(
            str(BINARIES / "initdb"), "-D", str(folder / "data"), "-U", user, "-E", "UTF8", f"--locale={locale}", "-N",
            "--auth-local=trust", "--auth-host=scram-sha-256", f"--pwfile={password}",
        ),
        check=True, capture_output=True, cwd="/",
    )  # fmt: skip


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait(folder: Path, port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    command = [str(BINARIES / "pg_isready"), "-q", "-h", str(folder), "-p", str(port)]
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        if subprocess.run(command, check=False).returncode == 0:
            return
        time.sleep(0.05)
    raise RuntimeError("PostgreSQL 15 did not start")
