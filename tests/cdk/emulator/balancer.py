"""The load balancer before the control plane, played: TLS 1.3, mutual for nodes, and each request to its function.

The functions are the deployed ones, invoked in the emulator; the events are those of an application load balancer with
multi-value headers.
"""

from __future__ import annotations

import base64
import http.server
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from lambdas.control_plane.request import CLIENT_CERTIFICATE_SUBJECT
from tests.cdk.emulator.emulator import Emulator

Invoke = Callable[[str, dict[str, Any]], dict[str, Any]]
_SHORT = {"commonName": "CN", "organizationName": "O"}


def invoking(emulator: Emulator) -> Invoke:
    """Calls a deployed function and gives back what it answers; what it failed with is the test's failure."""

    def invoke(function: str, event: dict[str, Any]) -> dict[str, Any]:
        answer = emulator.client("lambda").invoke(FunctionName=function, Payload=json.dumps(event).encode())
        payload = json.loads(answer["Payload"].read() or b"null")
        assert "FunctionError" not in answer, f"{function}: {payload}"
        found: dict[str, Any] = payload
        return found

    return invoke


@contextmanager
def running_balancer(invoke: Invoke, tls: Path, *, nodes: bool) -> Iterator[str]:
    """A listener on a free port of loopback, for nodes or for administrators; its URL."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(tls / "server.crt", tls / "server.key")
    if nodes:
        context.load_verify_locations(tls / "ca.crt")
        context.verify_mode = ssl.CERT_REQUIRED

    class Listener(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            path, _, query = self.path.partition("?")
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            function = "hatidata-control-plane"
            if nodes:
                if not path.startswith("/v1/nodes/"):
                    self._answer(404, {}, b"{}")
                    return
                if path == "/v1/nodes/rulebook" and "wait_s" in query:
                    function = "hatidata-rulebook-poll"
            told = invoke(function, self._event(path, query, body))
            content = base64.b64decode(told["body"]) if told["isBase64Encoded"] else told["body"].encode()
            self._answer(told["statusCode"], told["multiValueHeaders"], content)

        def _event(self, path: str, query: str, body: bytes) -> dict[str, Any]:
            headers: dict[str, list[str]] = {}
            for name, value in self.headers.items():
                if not name.lower().startswith(("x-amzn-", "x-forwarded-")):
                    headers.setdefault(name.lower(), []).append(value)
            headers["x-forwarded-for"] = [self.client_address[0]]
            if nodes and isinstance(self.connection, ssl.SSLSocket):
                subject: Any = (self.connection.getpeercert() or {}).get("subject", ())
                pairs = [f"{_SHORT[kind]}={value}" for part in subject for kind, value in part if kind in _SHORT]
                headers[CLIENT_CERTIFICATE_SUBJECT] = [",".join(reversed(pairs))]
            asked: dict[str, list[str]] = {}
            for name, value in parse_qsl(query, keep_blank_values=True):
                asked.setdefault(name, []).append(value)
            return {
                "requestContext": {"elb": {"targetGroupArn": "emulated"}}, "httpMethod": self.command, "path": path,
                "multiValueHeaders": headers, "multiValueQueryStringParameters": asked,
                "body": base64.b64encode(body).decode(), "isBase64Encoded": True,
            }  # fmt: skip

        def _answer(self, status: int, headers: dict[str, list[str]], content: bytes) -> None:
            self.send_response(status)
            for name, values in headers.items():
                for value in values:
                    self.send_header(name, value)
            if status != 304:
                self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content if status != 304 else b"")

        do_GET = do_PUT = do_POST = do_DELETE = do_PATCH = _serve

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            pass

    server = _Server(("127.0.0.1", 0), Listener)
    server.context = context
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"https://localhost:{server.server_port}"
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()


class _Server(http.server.ThreadingHTTPServer):
    """Shakes hands on the connection's own thread, so that nobody keeps another waiting."""

    daemon_threads = True
    context: ssl.SSLContext

    def finish_request(self, request: Any, client_address: Any) -> None:
        request.settimeout(70)
        try:
            with self.context.wrap_socket(request, server_side=True) as shaken:
                super().finish_request(shaken, client_address)
        except OSError:
            return

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass
