"""A folder as an S3 bucket on loopback, served by nginx: ranges, ETags and If-Match from the kernel's page cache.

Both sides of a comparison read from it, so it must not be what is measured. The listing is one file, written when the
server starts; signatures are not looked at. What was sent is counted from nginx's own log.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from xml.sax.saxutils import escape

BUCKET = "bench"
ENVIRONMENT = {"AWS_ACCESS_KEY_ID": "bench", "AWS_SECRET_ACCESS_KEY": "bench", "AWS_REGION": "eu-central-1"}
_ECHO = Path("/usr/lib/nginx/modules/ngx_http_echo_module.so")
"""What can wait before it answers (Debian: libnginx-mod-http-echo)."""
_START_S = 10.0


def missing(*, delays: bool = False) -> str:
    """Why there is no such server here, or empty."""
    if _program() is None:
        return "no nginx"
    return "no libnginx-mod-http-echo" if delays and not _ECHO.exists() else ""


def _program() -> str | None:
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")


@dataclass(frozen=True)
class Sent:
    """What the server sent."""

    bodies: tuple[tuple[str, int, int], ...]
    """(object, first byte, end) of every answer with a body that was a range."""
    requests: int
    bytes: int
    """Of bodies."""

    @property
    def twice(self) -> int:
        """Bytes that were sent before."""
        seen: dict[str, list[tuple[int, int]]] = {}
        for name, start, end in self.bodies:
            seen.setdefault(name, []).append((start, end))
        again = 0
        for spans in seen.values():
            upto = 0
            for start, end in sorted(spans):
                again += max(0, min(upto, end) - start)
                upto = max(upto, end)
        return again


@dataclass
class RunningS3:
    """A server in a process of its own."""

    endpoint: str
    pid: int
    log: Path
    _read: int = field(default=0)

    def sent(self) -> Sent:
        """Objects' requests and bytes since the last call; listings do not count."""
        with self.log.open("rb") as log:
            log.seek(self._read)
            found = [line.decode().split() for line in log]
            self._read = log.tell()
        bodies = []
        for method, _, path, wanted in found:
            if method == "GET" and wanted.startswith("bytes="):
                first, last = map(int, wanted.removeprefix("bytes=").split("-")[:2])
                bodies.append((path.removeprefix(f"/{BUCKET}/"), first, last + 1))
        return Sent(tuple(bodies), len(found), sum(int(line[1]) for line in found if line[0] == "GET"))


@contextmanager
def serving(folder: Path, *, delay_ms: int = 0) -> Iterator[RunningS3]:
    """`folder` as the bucket `BUCKET`; every answer about an object waits `delay_ms`.

    Raises:
        RuntimeError: nginx does not start.
    """
    program = _program()
    assert program is not None
    with tempfile.TemporaryDirectory(prefix="hd-s3-") as made:
        home = Path(made)
        (home / "listing.xml").write_text(_listing(folder))
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        (home / "nginx.conf").write_text(_configuration(folder.resolve(), home, port, delay_ms))
        command = [program, "-p", str(home), "-c", str(home / "nginx.conf"), "-e", str(home / "error.log")]
        with subprocess.Popen(command) as process:
            try:
                await_listening(port, process, _START_S)
                yield RunningS3(f"http://127.0.0.1:{port}", process.pid, home / "access.log")
            finally:
                process.terminate()


def await_listening(port: int, process: subprocess.Popen[bytes], within_s: float) -> None:
    """Until `process` listens on loopback.

    Raises:
        RuntimeError: it has ended, or does not in time.
    """
    until = time.monotonic() + within_s
    while process.poll() is None and time.monotonic() < until:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise RuntimeError(f"{process.args!r} does not start")


def _configuration(folder: Path, home: Path, port: int, delay_ms: int) -> str:
    temporary = " ".join(f"{kind}_temp_path {home};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    log = f"access_log {home}/access.log short"
    objects = f"location /{BUCKET}/ {{ alias {folder}/; {log}; }}"
    if delay_ms:
        objects = (
            f"location /{BUCKET}/ {{ echo_sleep {delay_ms / 1000}; echo_exec @object; }} "
            f"location @object {{ rewrite ^/{BUCKET}/(.*)$ /$1 break; root {folder}; {log}; }}"
        )
    return f"""
        {f"load_module {_ECHO};" if delay_ms else ""}
        daemon off; master_process off; pid {home}/pid; worker_processes 1;
        events {{ worker_connections 2048; }}
        http {{
            log_format short "$request_method $body_bytes_sent $request_uri $http_range-"; access_log off; {temporary}
            sendfile on; tcp_nodelay on; keepalive_requests 1000000; open_file_cache max=1000;
            server {{
                listen 127.0.0.1:{port};
                location = /{BUCKET} {{ alias {home}/listing.xml; default_type application/xml; }}
                {objects}
            }}
        }}"""


def _listing(folder: Path) -> str:
    entries = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        status = path.stat()
        tag = f"{int(status.st_mtime):x}-{status.st_size:x}"  # as nginx makes it
        entries.append(
            f"<Contents><Key>{escape(path.relative_to(folder).as_posix())}</Key><Size>{status.st_size}</Size>"
            f"<LastModified>2026-01-01T00:00:00.000Z</LastModified><ETag>&quot;{tag}&quot;</ETag></Contents>"
        )
    return f"<ListBucketResult><IsTruncated>false</IsTruncated>{''.join(entries)}</ListBucketResult>"
