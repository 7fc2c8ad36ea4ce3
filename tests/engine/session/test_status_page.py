"""The status page behind a load balancer that says with every connection, health checks included, who is there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import uvloop

from engine.metrics import NodeMetrics
from engine.status_page import StatusPage
from engine.wire.proxy import SIGNATURE

LOCAL = SIGNATURE + b"\x20\x00\x00\x00"
PROXIED = SIGNATURE + b"\x21\x11\x00\x0c" + bytes([10, 0, 0, 7, 10, 80, 0, 9]) + b"\x30\x39\x23\x82"
ASK = b"GET /readyz HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n"


@asynccontextmanager
async def serving(*networks: str) -> AsyncIterator[int]:
    page = StatusPage(NodeMetrics(), refresh=lambda: None, faults=list, host="127.0.0.1", port=0, proxy_from=networks)
    await page.start()
    try:
        yield page.port
    finally:
        await page.stop()


async def said(port: int, *pieces: bytes) -> bytes:
    """What the page answers to these pieces, sent one by one."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
        async with asyncio.timeout(10):
            return await reader.read()
    except ConnectionResetError:
        return b""
    finally:
        writer.close()


def ask(networks: tuple[str, ...], *pieces: bytes) -> bytes:
    async def run() -> bytes:
        async with serving(*networks) as port:
            return await said(port, *pieces)

    return uvloop.run(run())


@pytest.mark.parametrize("header", [b"", LOCAL, PROXIED], ids=["none", "local", "proxied"])
@pytest.mark.parametrize("cut", [0, 1, 13, 17])
def test_w7_1_a_health_check_is_answered_with_and_without_a_header(header: bytes, cut: int) -> None:
    whole = header + ASK
    answer = ask(("127.0.0.0/8",), whole[:cut], whole[cut:]) if cut else ask(("127.0.0.0/8",), whole)
    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert b'"ready"' in answer


def test_a_header_from_elsewhere_closes_the_connection() -> None:
    assert ask(("10.0.0.0/8",), LOCAL + ASK) == b""
    assert ask(("10.0.0.0/8",), ASK).startswith(b"HTTP/1.1 200 OK")


def test_without_a_load_balancer_a_header_is_no_http() -> None:
    assert b"200 OK" not in ask((), LOCAL + ASK)


def test_a_header_that_is_none_closes_the_connection() -> None:
    assert ask(("127.0.0.0/8",), SIGNATURE + b"\x11\x00\x00\x00" + ASK) == b""
    assert ask(("127.0.0.0/8",), SIGNATURE + b"\x20\x00\xff\xff" + ASK) == b""
