"""The Python client against a real control plane over TLS, and against one that is slow, busy or loses answers."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from cli.init import prepare_home
from hatidata_client import Client, Lost, Refused, Unreachable
from lambdas.control_plane.serve import start_control_plane
from local.home import Home


@dataclass
class Running:
    url: str
    key: str
    ca: Path

    def client(self) -> Client:
        return Client(self.url, self.key, ca=self.ca)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("client") / "home"
    key = prepare_home(folder, organization_name="Acme")
    home = Home.open(folder)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    plane = asyncio.run_coroutine_threadsafe(
        start_control_plane(store_path=home.store_path, audit_path=None, tls_dir=home.tls_path, port=0), loop
    ).result(60)
    try:
        yield Running(f"https://localhost:{plane.port}", key, home.tls_path / "ca.crt")
    finally:
        asyncio.run_coroutine_threadsafe(plane.stop(), loop).result(60)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(30)
        loop.close()


def test_it_reads_changes_and_is_refused_by_name(running: Running) -> None:
    with running.client() as client:
        assert client.environment == "production"
        made = client.post("/v1/users", {"email": "ana@acme.example", "role": "analyst"})
        where = f"/v1/users/{made['id']}"
        user = client.get(where)
        assert (user["role"], user.etag) == ("analyst", made.etag)
        changed = client.patch(where, {"role": "auditor"}, if_match=user.etag)
        assert changed["role"] == "auditor"
        with pytest.raises(Refused) as refused:
            client.patch(where, {"role": "developer"}, if_match=user.etag)
        assert (refused.value.code, refused.value.status) == ("precondition_failed", 412)
        assert refused.value.request_id
        assert refused.value.advice
        assert "ana@acme.example" in [item["email"] for item in client.items("/v1/users")]
        assert len(list(client.items("/v1/users", most=1))) == 1
        client.delete(where, if_match=changed.etag)
        with pytest.raises(Refused, match="no such user"):
            client.get(where)


def test_a_strangers_authority_is_not_believed(running: Running) -> None:
    with Client(running.url, running.key) as client, pytest.raises(Unreachable):
        client.get("/v1/whoami")


def test_it_speaks_https_alone(running: Running) -> None:
    with pytest.raises(ValueError, match="https"):
        Client(running.url.replace("https", "http"), running.key, ca=running.ca)


@contextmanager
def scripted(
    running: Running, answer: Callable[[httpx.Request], httpx.Response]
) -> Iterator[tuple[Client, list[float]]]:
    """A client whose requests go to `answer`, and what it slept."""
    slept: list[float] = []
    client = Client(running.url, running.key, ca=running.ca, sleep=slept.append)
    client._client.close()
    client._client = httpx.Client(base_url=running.url, transport=httpx.MockTransport(answer))
    with client:
        yield client, slept


def test_a_post_whose_answer_was_lost_is_sent_again_with_the_same_key(running: Running) -> None:
    keys: list[str] = []
    real = running.client()

    def lossy(request: httpx.Request) -> httpx.Response:
        keys.append(request.headers["Idempotency-Key"])
        answer = real._client.request(
            request.method,
            request.url.path,
            content=request.content,
            headers={"Idempotency-Key": keys[-1], "Content-Type": "application/json"},
        )
        if len(keys) == 1:
            raise httpx.ReadTimeout("lost on the way")
        return httpx.Response(answer.status_code, headers=answer.headers, json=answer.json())

    with real, scripted(running, lossy) as (client, _):
        made = client.post("/v1/organizations", {"name": "Beta"})
        assert len(set(keys)) == 1
        assert len(keys) == 2
        with running.client() as other:
            named = [item["id"] for item in other.items("/v1/organizations") if item["name"] == "Beta"]
        assert named == [made["id"]], "made once"


def test_a_key_whose_showing_was_lost_is_not_passed_off_as_an_empty_one(running: Running) -> None:
    def replayed(_: httpx.Request) -> httpx.Response:
        return httpx.Response(201, headers={"Idempotency-Replayed": "true"}, json={"id": "key-1", "key": ""})

    with scripted(running, replayed) as (client, _), pytest.raises(Lost):
        client.post("/v1/environments/production/keys", {})


def test_asked_to_come_again_it_does_but_not_for_ever(running: Running) -> None:
    left = [2]

    def busy(_: httpx.Request) -> httpx.Response:
        left[0] -= 1
        if left[0] >= 0:
            return httpx.Response(429, headers={"Retry-After": "3"}, json={"error": {"code": "too_many_requests"}})
        return httpx.Response(200, json={"ok": True})

    with scripted(running, busy) as (client, slept):
        assert client.get("/v1/whoami") == {"ok": True}
        assert slept == [3.0, 3.0]
        left[0] = 99
        with pytest.raises(Refused):
            client.get("/v1/whoami")
        assert len(slept) == 4


@pytest.mark.parametrize("method", ["put", "patch"])
def test_a_change_without_a_key_is_not_sent_twice(running: Running, method: str) -> None:
    sent: list[str] = []

    def broken(request: httpx.Request) -> httpx.Response:
        sent.append(request.method)
        raise httpx.ReadTimeout("lost")

    with scripted(running, broken) as (client, _), pytest.raises(Unreachable):
        getattr(client, method)("/v1/users/x", {})
    assert len(sent) == 1


@pytest.mark.parametrize("body", [b"<html>", b"[]", json.dumps("x").encode()])
def test_what_is_no_control_plane_is_called_so(running: Running, body: bytes) -> None:
    with scripted(running, lambda _: httpx.Response(200, content=body)) as (client, _), pytest.raises(Unreachable):
        client.get("/v1/whoami")
