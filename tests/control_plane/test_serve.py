"""The door at home over real TLS: 1.3 only, mutual for nodes, nothing believed that a client says of itself."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from governance.errors import StoreUnavailable
from governance.rulebook import decode
from lambdas.control_plane.bootstrap import bootstrap
from lambdas.control_plane.serve import RunningControlPlane, start_control_plane
from local.certificates import ensure_certificates
from local.clock import SystemClock
from local.control_store import SqliteControlStore

BOOK = "/v1/nodes/rulebook"


@dataclass
class Home:
    folder: Path
    key: str
    plane: RunningControlPlane

    @property
    def tls(self) -> Path:
        return self.folder / "tls"

    @property
    def url(self) -> str:
        return f"https://localhost:{self.plane.port}"

    def trust(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.tls / "ca.crt"))

    def person(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            verify=self.trust(), base_url=self.url, headers={"authorization": f"Bearer {self.key}"}, timeout=20
        )

    def node(self, stem: str = "node") -> httpx.AsyncClient:
        context = self.trust()
        context.load_cert_chain(self.tls / f"{stem}.crt", self.tls / f"{stem}.key")
        return httpx.AsyncClient(verify=context, base_url=self.url, timeout=20)


@contextlib.asynccontextmanager
async def serving(folder: Path) -> AsyncIterator[Home]:
    tls = folder / "tls"
    tls.mkdir()
    ensure_certificates(tls, now=datetime.now(UTC))
    store = SqliteControlStore(folder / "store.sqlite")
    key = bootstrap(
        store,
        environment="production",
        organization_id="1",
        organization_name="Acme",
        owner_email="olga@acme.example",
        clock=SystemClock(),
    )
    store.close()
    (folder / "audit").mkdir()
    plane = await start_control_plane(
        store_path=folder / "store.sqlite", audit_path=folder / "audit", tls_dir=tls, port=0, environment="production"
    )
    try:
        yield Home(folder, key, plane)
    finally:
        await plane.stop()


def run(folder: Path, story: Callable[[Home], Coroutine[Any, Any, None]]) -> None:
    async def whole() -> None:
        async with serving(folder) as home:
            await story(home)

    asyncio.run(asyncio.wait_for(whole(), 60))


def test_people_come_with_keys_and_nodes_with_certificates(tmp_path: Path) -> None:
    async def story(home: Home) -> None:
        async with home.person() as person, home.node() as node:
            who = await person.get("/v1/whoami")
            assert (who.status_code, who.json()["user_id"]) == (200, "olga@acme.example")
            book = await node.get(BOOK)
            assert decode(book.content).environment == "production"
            assert book.headers["content-encoding"] == "gzip"
            assert book.headers["cache-control"] == "no-store"
            again = await node.get(BOOK, headers={"if-none-match": book.headers["etag"]})
            assert (again.status_code, again.content) == (304, b"")
            assert (await node.get("/v1/whoami")).status_code == 401
            searched = await person.get("/v1/environments/production/audit/queries")
            assert searched.json() == {"items": [], "next": None, "archived": []}
            assert (await person.get("/v1/users", params={"email": "olga@acme.example"})).json()["items"]
            assert (await person.get("/v1/users/olga%40acme.example")).status_code == 200

    run(tmp_path, story)


def test_w2_10_a_claimed_certificate_is_not_a_certificate(tmp_path: Path) -> None:
    async def story(home: Home) -> None:
        claims = {
            "x-amzn-mtls-clientcert-subject": "CN=hatidata-node,O=HatiData",
            "X-AMZN-MTLS-CLIENTCERT-SUBJECT": "CN=hatidata-node",
            "x-amzn-mtls-clientcert": "anything",
        }
        async with home.person() as person:
            for name, value in claims.items():
                answer = await person.get(BOOK, headers={name: value})
                assert (answer.status_code, answer.json()["error"]["code"]) == (403, "permission_denied")
        other = home.folder / "other"
        other.mkdir()
        ensure_certificates(other, now=datetime.now(UTC))
        for folder, stem in (
            (other, "node"),
            (home.tls, "server"),
        ):  # another CA's node; our server, which is no client
            context = home.trust()
            context.load_cert_chain(folder / f"{stem}.crt", folder / f"{stem}.key")
            async with httpx.AsyncClient(verify=context, base_url=home.url) as stranger:
                with pytest.raises((httpx.TransportError, ssl.SSLError)):
                    await stranger.get(BOOK)

    run(tmp_path, story)


def test_the_source_address_is_the_connections_not_a_headers(tmp_path: Path) -> None:
    async def story(home: Home) -> None:
        async with home.person() as person:
            made = await person.post(
                "/v1/environments/production/keys",
                json={"name": "n", "user": "olga@acme.example", "scopes": ["read_only"], "networks": ["10.0.0.0/8"]},
            )
            lie = {"authorization": f"Bearer {made.json()['key']}", "x-forwarded-for": "10.0.0.1"}
            assert (await person.get("/v1/whoami", headers=lie)).status_code == 401

    run(tmp_path, story)


def test_w2_8_tls_1_2_and_plain_http_are_refused(tmp_path: Path) -> None:
    async def story(home: Home) -> None:
        old = home.trust()
        old.minimum_version = ssl.TLSVersion.TLSv1_2
        old.maximum_version = ssl.TLSVersion.TLSv1_2
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await asyncio.open_connection("127.0.0.1", home.plane.port, ssl=old, server_hostname="localhost")
        reader, writer = await asyncio.open_connection("127.0.0.1", home.plane.port)
        writer.write(b"GET /v1/health HTTP/1.1\r\nHost: x\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            assert b"HTTP/" not in await asyncio.wait_for(reader.read(), 10)
        writer.close()
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", home.plane.port, ssl=home.trust(), server_hostname="localhost"
        )
        tls: ssl.SSLObject = writer.get_extra_info("ssl_object")
        assert tls.version() == "TLSv1.3"
        writer.close()
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            await writer.wait_closed()

    run(tmp_path, story)


def test_a_waiting_node_hears_of_a_revocation_at_once(tmp_path: Path) -> None:
    async def story(home: Home) -> None:
        loop = asyncio.get_running_loop()
        async with home.person() as person, home.node() as node:
            etag = (await node.get(BOOK)).headers["etag"]
            waiting = asyncio.create_task(node.get(BOOK, params={"wait_s": "15"}, headers={"if-none-match": etag}))
            started = loop.time()
            await person.post("/v1/environments/production/cache/clear")
            answer = await waiting
            assert answer.status_code == 200
            assert loop.time() - started < 5
            short = await node.get(BOOK, params={"wait_s": "0.2"}, headers={"if-none-match": answer.headers["etag"]})
            assert short.status_code == 304

    run(tmp_path, story)


def test_bodies_past_the_limit_and_odd_requests_are_refused_in_our_words(tmp_path: Path) -> None:
    async def story(home: Home) -> None:
        async with home.person() as person:
            big = await person.post("/v1/users", content=b"x" * 1_100_000)
            assert (big.status_code, big.json()["error"]["code"]) == (413, "body_too_large")
            for method, path, status in (
                ("GET", "/", 404),
                ("GET", "/v1/%2e%2e/x", 404),
                ("TRACE", "/v1/whoami", 404),
                ("GET", "/v1/users/a%2fb", 422),
                ("OPTIONS", "/v1/whoami", 404),
            ):
                answer = await person.request(method, path)
                assert answer.status_code == status, path
                assert answer.headers["server"] == "hatidata"

    run(tmp_path, story)


def test_a_port_that_is_taken_and_a_store_that_is_none_are_told_and_leave_nothing_open(tmp_path: Path) -> None:
    async def story(home: Home) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError, match="address"):
            await start_control_plane(
                store_path=home.folder / "store.sqlite",
                audit_path=None,
                tls_dir=home.tls,
                port=taken.getsockname()[1],
            )
        (home.folder / "bad.sqlite").write_bytes(b"x" * 5000)
        with pytest.raises(StoreUnavailable):
            await start_control_plane(store_path=home.folder / "bad.sqlite", audit_path=None, tls_dir=home.tls, port=0)

    run(tmp_path, story)
