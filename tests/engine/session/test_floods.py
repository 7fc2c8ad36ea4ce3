"""Crowds at the door: half-open handshakes, clients that dribble or take nothing. Others are answered (W1.10)."""

from __future__ import annotations

import asyncio
import resource
import socket
import ssl
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import uvloop

from engine.hello import Turnstile
from engine.settings import ConnectionLimits
from tests.engine.session.front import Front, front
from tests.engine.session.raw import SSL_REQUEST, Raw, kinds, message, startup
from tests.support.waiting import until_async

ANSWER_S = 5.0
"""In which somebody honest must come in and be answered, whatever the crowd does."""


def run(coroutine: Coroutine[Any, Any, None]) -> None:
    uvloop.run(coroutine)


def hello() -> bytes:
    """A whole ClientHello."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with pytest.raises(ssl.SSLWantReadError):
        context.wrap_bio(incoming, outgoing).do_handshake()
    return outgoing.read()


HELLO = hello()
FIRST_WORDS: dict[str, bytes] = {
    "nothing": b"",
    "half a request": SSL_REQUEST[:5],
    "a request and no hello": SSL_REQUEST,
    "half a hello": SSL_REQUEST + HELLO[: len(HELLO) // 2],
    "a hello and no more": SSL_REQUEST + HELLO,
    "a hello and then noise": SSL_REQUEST + HELLO + b"\x17\x03\x03\x00\x10" + b"x" * 16,
    "half a start-up packet in the clear": startup(user="x")[:9],
}


async def one(port: int, words: bytes) -> socket.socket:
    made = socket.socket()
    made.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(made, ("127.0.0.1", port))
    if words:
        await loop.sock_sendall(made, words)
    return made


@asynccontextmanager
async def crowd(f: Front, count: int, words: bytes) -> AsyncIterator[list[socket.socket]]:
    """`count` connections that say `words` and then nothing."""
    made: list[socket.socket] = []
    try:
        for at in range(0, count, 50):
            made += await asyncio.gather(*(one(f.port, words) for _ in range(min(50, count - at))))
        yield made
    finally:
        for each in made:
            each.close()


async def answered(f: Front, limit_s: float = ANSWER_S) -> float:
    """Seconds in which somebody honest came in and had a statement answered."""
    began = time.perf_counter()
    async with asyncio.timeout(limit_s):
        raw = await Raw.login(f)
        assert kinds(await raw.query("select 1")) == "TDCZ"
        await raw.close()
    return time.perf_counter() - began


@pytest.mark.parametrize("words", FIRST_WORDS.values(), ids=FIRST_WORDS.keys())
def test_w1_10_half_open_connections_leave_the_node_answering(tmp_path: Path, words: bytes) -> None:
    limits = ConnectionLimits(half_open_max=20, handshake_timeout_s=60.0, authentication_timeout_s=60.0)

    async def story() -> None:
        async with front(tmp_path, limits=limits) as f:
            async with crowd(f, 60, words):
                await answered(f)
                assert f.server._half_open_count <= limits.half_open_max
            await until_async(lambda: f.server._half_open_count == 0)

    run(story())


def test_w1_10_clients_that_dribble_leave_the_node_answering_and_end_in_time(tmp_path: Path) -> None:
    limits = ConnectionLimits(handshake_timeout_s=0.5, authentication_timeout_s=1.0)

    async def story() -> None:
        async with front(tmp_path, limits=limits) as f:
            ended: list[float] = []

            async def dribble(words: Callable[[], bytes], secure: bool) -> None:
                raw = await (Raw.secure(f) if secure else Raw.plain(f))
                began = time.perf_counter()
                try:
                    for byte in words():
                        raw.say(bytes([byte]))
                        await raw.writer.drain()
                        await asyncio.sleep(0.02)
                    await raw.ended()
                except (ConnectionError, ssl.SSLError, RuntimeError):  # uvloop's word for a closed one
                    pass
                ended.append(time.perf_counter() - began)
                await raw.close()

            asleep = [dribble(lambda: SSL_REQUEST + HELLO[:200], False) for _ in range(15)]
            asleep += [dribble(lambda: startup(user="x" * 300), True) for _ in range(15)]
            slow = asyncio.gather(*asleep)
            for _ in range(3):
                await answered(f)
            await slow
            assert len(ended) == 30
            assert max(ended) < 10
            await until_async(lambda: f.server._half_open_count == 0)

    run(story())


def test_clients_that_take_nothing_leave_the_node_answering_and_hold_bounded_memory(tmp_path: Path) -> None:
    limits = ConnectionLimits(write_buffer_bytes_max=64 * 1024, write_timeout_s=1.0)

    async def story() -> None:
        async with front(tmp_path, limits=limits) as f:
            greedy = [await Raw.login(f) for _ in range(10)]
            for raw in greedy:
                raw.writer.transport.pause_reading()
                raw.say(message("Q", b"rows 40000 wide\0"))  # 40 MB each, of which nothing is taken
            await until_async(lambda: f.executor.running == 10)
            await answered(f)
            most = 10 * 40_000 / 100
            assert f.executor.frames_made < most / 2  # no more is made than is taken
            await until_async(lambda: f.executor.running == 0)  # closed: they took nothing for a second
            assert {outcome.status for outcome in f.audit.outcomes} == {"client_gone", "succeeded"}
            for raw in greedy:
                await raw.close()

    run(story())


def test_handshakes_begin_one_in_a_turn_of_the_loop_the_newest_first() -> None:
    async def story() -> None:
        loop, turnstile = asyncio.get_running_loop(), Turnstile()
        order: list[tuple[int, int]] = []
        turns = 0

        def count() -> None:
            nonlocal turns
            turns += 1
            loop.call_soon(count)

        async def come(number: int) -> None:
            await turnstile.enter()
            order.append((number, turns))

        tasks = [loop.create_task(come(number)) for number in range(6)]
        await asyncio.sleep(0)
        tasks[3].cancel()
        loop.call_soon(count)
        await asyncio.gather(*tasks, return_exceptions=True)
        assert [number for number, _ in order] == [5, 4, 2, 1, 0]
        assert len({turn for _, turn in order}) == 5
        await come(7)

    run(story())


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("words", FIRST_WORDS.values(), ids=FIRST_WORDS.keys())
def test_w1_10_thousands_of_half_open_connections(tmp_path: Path, words: bytes) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    async def story() -> None:
        async with front(tmp_path, limits=ConnectionLimits(handshake_timeout_s=60.0)) as f:
            for _ in range(3):
                async with crowd(f, 3000, words):
                    print(f"answered in {await answered(f, 10):.3f} s")
                    assert f.server._half_open_count <= ConnectionLimits().half_open_max
                await until_async(lambda: f.server._half_open_count == 0, 30)

    run(story())
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(f"resident memory grew by {grown:.0f} MB, the crowd's own sockets included")
    assert grown < 400
