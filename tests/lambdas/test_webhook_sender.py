"""One delivery over HTTP, against receivers on loopback that do what receivers should not."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from lambdas.webhook_delivery.sender import Address, HttpSender, Sent
from local.certificates import ensure_certificates

LOOPBACK = ("127.0.0.0/8", "::1/128")
Reader, Writer = asyncio.StreamReader, asyncio.StreamWriter
Behave = Callable[[Reader, Writer], Awaitable[None]]
OK = b"HTTP/1.1 204 No Content\r\n\r\n"


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tls")
    ensure_certificates(folder, names=("localhost", "hooks.test"), now=datetime.now(UTC))
    return folder


def client_context(tls: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(tls / "ca.crt"))


class Receiver:
    """What arrived, head and body."""

    def __init__(self, answer: bytes = OK) -> None:
        self.answer = answer
        self.heads: list[bytes] = []
        self.bodies: list[bytes] = []
        self.connections = 0
        self.port = 0

    async def behave(self, reader: Reader, writer: Writer) -> None:
        self.connections += 1
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if b"content-length" in line)
        self.heads.append(head)
        self.bodies.append(await reader.readexactly(length))
        writer.write(self.answer)


@contextlib.asynccontextmanager
async def listening(behave: Behave, tls: Path | None = None, host: str = "127.0.0.1") -> AsyncIterator[int]:
    context = None
    if tls is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tls / "server.crt", tls / "server.key")
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: Reader, writer: Writer) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await behave(reader, writer)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, host, 0, ssl=context)
    try:
        yield int(server.sockets[0].getsockname()[1])
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()


def named(*addresses: str) -> Callable[[str, int], Awaitable[Sequence[Address]]]:
    async def resolve(host: str, port: int) -> Sequence[Address]:
        return [ipaddress.ip_address(text) for text in addresses]

    return resolve


def send(
    behave: Behave, url: str, sender: HttpSender, *, tls: Path | None = None, networks: tuple[str, ...] = LOOPBACK,
    host: str = "127.0.0.1",
) -> Sent:  # fmt: skip
    async def go() -> Sent:
        async with listening(behave, tls, host) as port:
            return await sender.send(url.format(port=port), b'{"a":1}', {"webhook-id": "e"}, networks)

    return asyncio.run(asyncio.wait_for(go(), 30))


def test_a_delivery_arrives_with_its_headers_and_body_over_tls(tls: Path) -> None:
    receiver = Receiver()
    sender = HttpSender(context=client_context(tls), resolver=named("127.0.0.1"))
    sent = send(receiver.behave, "https://hooks.test:{port}/a/b?c=d", sender, tls=tls)
    assert sent == Sent(204)
    assert receiver.bodies == [b'{"a":1}']
    (head,) = receiver.heads
    assert head.startswith(b"POST /a/b?c=d HTTP/1.1\r\n")
    assert b"\r\nhost: hooks.test:" in head.lower()
    assert b"webhook-id: e" in head.lower()


def test_no_log_line_holds_a_path_or_a_signature(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)

    async def go() -> Sent:
        async with listening(Receiver().behave) as port:
            headers = {"webhook-signature": "v1,mark"}
            return await HttpSender().send(f"http://127.0.0.1:{port}/T0/token?x=y", b"body-mark", headers, LOOPBACK)

    assert asyncio.run(asyncio.wait_for(go(), 30)).delivered
    assert "token" not in caplog.text
    assert "mark" not in caplog.text


def test_ipv6_receivers_are_reached() -> None:
    receiver = Receiver()
    assert send(receiver.behave, "http://[::1]:{port}/x", HttpSender(), host="::1").status == 204
    assert send(receiver.behave, "http://hooks.test:{port}/x", HttpSender(resolver=named("::1")), host="::1").delivered


def test_the_certificate_must_be_the_names_though_an_address_is_connected_to(tls: Path) -> None:
    receiver = Receiver()
    sender = HttpSender(context=client_context(tls), resolver=named("127.0.0.1"))
    assert send(receiver.behave, "https://other.test:{port}/", sender, tls=tls) == Sent(0, "TLS failed")
    stranger = HttpSender(resolver=named("127.0.0.1"))  # the system's authorities do not know ours
    assert send(receiver.behave, "https://hooks.test:{port}/", stranger, tls=tls) == Sent(0, "TLS failed")
    assert receiver.heads == []


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1:{port}/", "https://[::1]:{port}/", "https://[::ffff:127.0.0.1]:{port}/",
        "https://[::ffff:7f00:1]:{port}/", "https://localhost:{port}/", "https://2130706433:{port}/",
        "https://0x7f.1:{port}/", "https://127.1:{port}/", "https://0:{port}/", "https://0.0.0.0:{port}/",
        "https://[::]:{port}/", "https://[64:ff9b::7f00:1]:{port}/", "https://169.254.169.254/latest/meta-data/",
        "https://[fd00:ec2::254]/", "https://10.0.0.1/", "https://[fe80::1%25lo]:{port}/", "http://127.0.0.1:{port}/",
    ],
)  # fmt: skip
def test_no_special_address_is_connected_to_however_it_is_spelled(url: str) -> None:
    receiver = Receiver()
    sent = send(receiver.behave, url, HttpSender(total_s=5), networks=())
    assert sent.status == 0
    assert receiver.connections == 0
    assert sent.failure in ("address not allowed", "the name has no address", "no HTTP answer"), sent


def test_metadata_addresses_stay_closed_in_an_environment_that_allows_everything() -> None:
    sender = HttpSender(resolver=named("169.254.169.254"), total_s=5)
    sent = asyncio.run(sender.send("http://imds.test/latest", b"", {}, ("0.0.0.0/0", "::/0")))
    assert sent == Sent(0, "address not allowed")


def test_one_closed_address_among_many_closes_the_name() -> None:
    sender = HttpSender(resolver=named("8.8.8.8", "127.0.0.1"), total_s=5)
    assert asyncio.run(sender.send("https://both.test/", b"", {}, ())) == Sent(0, "address not allowed")
    nowhere = HttpSender(resolver=named(), total_s=5)
    assert asyncio.run(nowhere.send("https://none.test/", b"", {}, ())) == Sent(0, "address not allowed")


def test_a_name_that_changes_its_meaning_is_connected_to_where_it_was_judged() -> None:
    receiver, asked = Receiver(), []

    async def rebinding(host: str, port: int) -> Sequence[Address]:
        asked.append(host)
        return [ipaddress.ip_address("127.0.0.1" if len(asked) == 1 else "169.254.169.254")]

    sent = send(receiver.behave, "http://rebind.test:{port}/", HttpSender(resolver=rebinding))
    assert sent.delivered
    assert asked == ["rebind.test"]  # resolved once: nothing else resolves it again on the way


def test_plain_http_only_enters_networks_that_are_allowed() -> None:
    sender = HttpSender(resolver=named("8.8.8.8"), total_s=5)
    assert asyncio.run(sender.send("http://public.test/", b"", {}, LOOPBACK)) == Sent(0, "plain HTTP not allowed")


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed(code: int) -> None:
    other = Receiver()

    async def go() -> Sent:
        async with listening(other.behave) as elsewhere:
            answer = f"HTTP/1.1 {code} X\r\nLocation: http://127.0.0.1:{elsewhere}/\r\nContent-Length: 0\r\n\r\n"
            receiver = Receiver(answer.encode())
            async with listening(receiver.behave) as port:
                return await HttpSender().send(f"http://127.0.0.1:{port}/", b"{}", {}, LOOPBACK)

    sent = asyncio.run(asyncio.wait_for(go(), 30))
    assert (sent.status, sent.delivered) == (code, False)
    assert other.connections == 0


async def _silent(reader: Reader, writer: Writer) -> None:
    await asyncio.sleep(60)


async def _dripping(reader: Reader, writer: Writer) -> None:
    for letter in b"HTTP/1.1 200 OK\r\nX-A: " + b"a" * 10_000:
        writer.write(bytes([letter]))
        await writer.drain()
        await asyncio.sleep(0.05)


@pytest.mark.parametrize("behave", [_silent, _dripping])
def test_a_receiver_that_keeps_us_waiting_is_left_at_the_deadline(behave: Behave) -> None:
    assert send(behave, "http://127.0.0.1:{port}/", HttpSender(total_s=0.5)) == Sent(0, "timed out")


def test_an_endless_body_is_not_read() -> None:
    written = 0

    async def endless(reader: Reader, writer: Writer) -> None:
        nonlocal written
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"10000\r\n" + b"a" * 65536 + b"\r\n")
            await writer.drain()
            written += 65536

    assert send(endless, "http://127.0.0.1:{port}/", HttpSender(total_s=5)).status == 200
    assert written < 64 << 20


@pytest.mark.parametrize(
    "answer",
    [b"", b"SSH-2.0-OpenSSH\r\n", b"HTTP/1.1 99 X\r\n\r\n", b"HTTP/1.1 200 OK\r\nX: " + b"a" * 300_000, b"\x00" * 64],
    ids=["nothing", "ssh", "no status", "endless head", "zeros"],
)
def test_what_is_no_http_is_no_delivery(answer: bytes) -> None:
    sent = send(Receiver(answer).behave, "http://127.0.0.1:{port}/", HttpSender(total_s=5))
    assert (sent.status, sent.delivered) == (0, False)


def test_nobody_listening_is_no_connection() -> None:
    sent = asyncio.run(HttpSender(total_s=5).send("http://127.0.0.1:9/", b"", {}, LOOPBACK))
    assert sent == Sent(0, "no connection")
