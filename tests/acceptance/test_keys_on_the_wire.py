"""Keys and webhooks over the real ports: a revocation is felt at once, a webhook arrives, a rotation goes round."""

from __future__ import annotations

import http.server
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import pytest

from governance.webhook_signature import verify
from tests.support.stack import Stack, running_stack

E_ = "/v1/environments/production"
FELT_WITHIN_S = 5.0


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("keys")
    (folder / "lake" / "sales").mkdir(parents=True)
    duckdb.sql(f"COPY (SELECT 1 AS id) TO '{folder}/lake/sales/orders.parquet'")
    with running_stack(folder, folder / "lake") as running:
        yield running


def made(stack: Stack, name: str, **more: Any) -> dict[str, Any]:
    body = {"name": name, "user": "owner@1.invalid", "scopes": ["read_only"], **more}
    with stack.api() as api:
        answer = api.post(f"{E_}/keys", json=body)
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_a_revocation_is_felt_within_five_seconds_by_sessions_and_by_new_ones(stack: Stack) -> None:
    idle, busy = made(stack, "idle"), made(stack, "busy")
    stack.settle()
    with stack.connect(idle["key"]) as quiet, stack.connect(busy["key"]) as loud, stack.api() as api:
        assert quiet.execute("SELECT 1").fetchone() == loud.execute("SELECT 1").fetchone() == (1,)
        for each in (idle, busy):
            assert api.delete(f"{E_}/keys/{each['id']}").status_code == 200
        revoked = time.monotonic()
        while time.monotonic() < revoked + FELT_WITHIN_S and not refused(loud):
            pass
        assert time.monotonic() - revoked < FELT_WITHIN_S
        with pytest.raises(psycopg.OperationalError, match=r"(?i)authentication failed"):
            stack.connect(idle["key"])
        assert refused(quiet)


def refused(connection: psycopg.Connection[Any]) -> bool:
    """Whether the session is over."""
    try:
        connection.execute("SELECT 1")
    except psycopg.Error:
        return True
    return False


def test_w3_5_w3_6_networks_and_rotation_hold_on_the_wire(stack: Stack) -> None:
    near, far = made(stack, "near", networks=["127.0.0.0/8", "::1/128"]), made(stack, "far", networks=["10.0.0.0/8"])
    with stack.api() as api:
        new = api.post(f"{E_}/keys/{near['id']}/rotate", json={}).json()
    stack.settle()
    for key in (near["key"], new["key"]):
        assert stack.query(key, "SELECT id FROM sales.orders") == [(1,)]
    with pytest.raises(psycopg.OperationalError, match=r"(?i)authentication failed"):
        stack.connect(far["key"])


@dataclass
class Received:
    headers: dict[str, str]
    body: bytes


@dataclass
class Receiver:
    port: int = 0
    received: list[Received] = field(default_factory=list)
    came: threading.Condition = field(default_factory=threading.Condition)

    def wait_for(self, count: int, timeout_s: float = 30.0) -> None:
        with self.came:
            assert self.came.wait_for(lambda: len(self.received) >= count, timeout_s)


@contextmanager
def receiving() -> Iterator[Receiver]:
    receiver = Receiver()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            with receiver.came:
                receiver.received.append(Received({k.lower(): v for k, v in self.headers.items()}, body))
                receiver.came.notify_all()
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        receiver.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield receiver
        finally:
            server.shutdown()
            thread.join(10)


def test_w3_7_a_served_home_tells_a_webhook_signed_and_only_where_it_may(stack: Stack, tmp_path: Path) -> None:
    with receiving() as receiver, stack.api() as api:
        url = f"http://127.0.0.1:{receiver.port}/hook"
        body = {"url": url, "event_types": ["key.created"]}
        assert api.post(f"{E_}/webhooks", json=body).status_code == 422  # plain HTTP into no allowed network
        shut = api.post(f"{E_}/webhooks", json=body | {"url": f"https://127.0.0.1:{receiver.port}/"}).json()
        made(stack, "unheard")
        deadline = time.monotonic() + 30
        while True:
            (entry,) = api.get(f"{E_}/webhooks/{shut['id']}/deliveries").json()["items"]
            if entry["attempts"] or time.monotonic() > deadline:
                break
            time.sleep(0.1)
        assert (entry["status"], entry["failure"]) == ("waiting", "address not allowed")
        assert api.put(f"{E_}/webhook-networks", json={"networks": ["127.0.0.0/8"]}).status_code == 200
        hook = api.post(f"{E_}/webhooks", json=body).json()
        key = made(stack, "heard")
        receiver.wait_for(1)
        (got,) = receiver.received
        assert verify(hook["secret"], got.headers, got.body, int(time.time()))
        assert key["id"].encode() in got.body
        assert key["key"].encode() not in got.body
        for each in (hook, shut):
            assert api.delete(f"{E_}/webhooks/{each['id']}").status_code == 200
        assert api.put(f"{E_}/webhook-networks", json={"networks": []}).status_code == 200
    store = b"".join(path.read_bytes() for path in (stack.home / "control").glob("store.sqlite*"))
    assert hook["secret"].removeprefix("whsec_").encode() not in store


def test_w2_6_the_homes_own_key_rotates_when_asked(stack: Stack) -> None:
    with stack.api() as api:
        (key,) = api.get("/v1/encryption-keys").json()["items"]
        assert (key["name"], key["automatic"]) == ("secrets", True)
        assert api.post("/v1/encryption-keys/secrets/rotate").json()["status"] == "asked"
