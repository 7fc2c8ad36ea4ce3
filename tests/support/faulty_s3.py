"""An HTTP proxy on loopback in front of an S3 server that injects one fault: see `Fault`.

with running_s3() as endpoint, FaultyS3(endpoint) as proxy:
    proxy.fault = Fault.SLOW_DOWN; proxy.times = 2      # the next two matching requests
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import struct
import threading
from collections.abc import Iterator
from enum import Enum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

import boto3
from moto.server import ThreadedMotoServer

BUCKET = "lake"
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "AKIDLOOPBACK",
    "AWS_SECRET_ACCESS_KEY": "loopback-secret-material",
    "AWS_REGION": "eu-central-1",
}
FOREVER = 1 << 30
_DROPPED = {"transfer-encoding", "connection", "content-length"}


class Fault(Enum):
    """What is done to a request; the pair is status and S3's code, for answers made here."""

    NONE = (0, "")
    SLOW_DOWN = (503, "SlowDown")
    DENIED = (403, "AccessDenied")
    EXPIRED = (400, "ExpiredToken")
    KMS_DENIED = (403, "KMS.AccessDenied")
    RESET = (-1, "cut off in the middle of the body")
    SHORT = (-2, "a body that is shorter than it should be, and says so")
    LONG = (-3, "a body that is longer than what was asked for")
    SILENT = (-4, "no answer at all")


class FaultyS3:
    """The proxy. Set `fault`, `times` and `path` at any moment; counts what it `refused` and what it `passed`."""

    def __init__(self, endpoint: str) -> None:
        self._target = urlsplit(endpoint).netloc
        self.fault = Fault.NONE
        self.times = FOREVER
        self.path = ""
        """Only requests whose path contains this, and objects' reads only: listings when it is `?`."""
        self.passed: list[str] = []
        """Paths of reads that went through, ranges behind them."""
        self.hurt = 0
        self.closing = threading.Event()
        self._lock = threading.Lock()
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                proxy._serve(self)

            do_HEAD = do_GET

            def log_message(self, *_: Any) -> None:
                """Nothing."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 64

            def handle_error(self, request: Any, client_address: Any) -> None:
                """Clients and faults cut connections on purpose."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    def __enter__(self) -> FaultyS3:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)

    def heal(self) -> None:
        """No faults from now on."""
        self.fault, self.times, self.path, self.hurt = Fault.NONE, FOREVER, "", 0
        self.passed.clear()

    def inject(self, fault: Fault, *, path: str = "", times: int = FOREVER) -> None:
        """From now on, `times` requests with `path` in their path fare as `fault` says."""
        with self._lock:
            self.path, self.times, self.hurt, self.fault = path, times, 0, fault

    def _taken(self, path: str) -> Fault:
        with self._lock:
            if self.fault is Fault.NONE or self.path not in path or self.times <= 0:
                return Fault.NONE
            self.times -= 1
            self.hurt += 1
            return self.fault

    def _serve(self, handler: BaseHTTPRequestHandler) -> None:
        fault = self._taken(handler.path)
        status, code = fault.value
        if fault is Fault.SILENT:
            self.closing.wait(120)
            handler.close_connection = True
            return
        if status > 0:
            text = (
                f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>told by the store: "
                f"{ENVIRONMENT['AWS_ACCESS_KEY_ID']}</Message></Error>"
            ).encode()
            handler.send_response(status)
            handler.send_header("Content-Length", str(len(text)))
            handler.send_header("Content-Type", "application/xml")
            handler.end_headers()
            handler.wfile.write(text)
            return
        answer, body = self._ask(handler)
        if fault is Fault.NONE and "?" not in handler.path:
            self.passed.append(f"{handler.path} {handler.headers.get('Range', '')}")
        told = len(body)
        if fault is Fault.SHORT:
            body = body[: len(body) // 2]
            told = len(body)
        elif fault is Fault.LONG:
            body += b"x" * 100
            told = len(body)
        elif fault is Fault.RESET:
            body = body[: len(body) // 2]
        handler.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in _DROPPED:
                handler.send_header(name, value)
        handler.send_header("Content-Length", str(told))
        handler.end_headers()
        if handler.command != "HEAD":
            handler.wfile.write(body)
        if fault is Fault.RESET:
            handler.wfile.flush()
            handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            handler.connection.close()
            handler.close_connection = True

    def _ask(self, handler: BaseHTTPRequestHandler) -> tuple[http.client.HTTPResponse, bytes]:
        connection = http.client.HTTPConnection(self._target, timeout=30)
        try:
            connection.request(handler.command, handler.path, headers=dict(handler.headers.items()))
            answer = connection.getresponse()
            return answer, answer.read()
        finally:
            connection.close()


@contextlib.contextmanager
def running_s3() -> Iterator[str]:
    """A real S3-speaking server (moto's) with an empty `BUCKET`; its address."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        endpoint = f"http://{host}:{port}"
        make_bucket(endpoint)
        yield endpoint
    finally:
        server.stop()


def make_bucket(endpoint: str) -> None:
    """An empty `BUCKET`."""
    region = ENVIRONMENT["AWS_REGION"]
    client(endpoint).create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": region})


def client(endpoint: str) -> Any:
    """boto3's, for putting objects behind the proxy."""
    return boto3.client(
        "s3", endpoint_url=endpoint, region_name=ENVIRONMENT["AWS_REGION"],
        aws_access_key_id=ENVIRONMENT["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=ENVIRONMENT["AWS_SECRET_ACCESS_KEY"],
    )  # fmt: skip
