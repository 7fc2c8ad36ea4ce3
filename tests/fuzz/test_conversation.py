"""A session without sockets: chance speaks, and where the stream is cut changes nothing that is answered."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.settings import QueryLimits
from tests.fuzz.talk import Chance, Hall, cut, message


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    made = asyncio.new_event_loop()
    yield made
    made.close()


def after_welcome(heard: bytes) -> bytes:
    """Without the random key to cancel with."""
    return heard[heard.index(b"Z\0\0\0\5I") :]


@given(st.randoms(use_true_random=False))
def test_whatever_is_said_is_answered_or_ends(loop: asyncio.AbstractEventLoop, dice: random.Random) -> None:
    hall = Hall()
    for greeted in (True, False):
        loop.run_until_complete(hall.talk(cut(Chance(dice)), greeted=greeted))


@given(st.randoms(use_true_random=False))
def test_where_the_stream_is_cut_changes_no_answer(loop: asyncio.AbstractEventLoop, dice: random.Random) -> None:
    hall = Hall(QueryLimits(running_max=100))
    whole = b"".join(cut(Chance(dice)))
    at_once = loop.run_until_complete(hall.talk([whole]))
    by_bytes = loop.run_until_complete(hall.talk([whole[at : at + 1] for at in range(len(whole))]))
    assert after_welcome(by_bytes) == after_welcome(at_once)


@pytest.mark.parametrize("kind", b"QPBdDECHSpFfXc")
def test_a_message_that_never_ends_takes_no_more_memory_than_its_limit(
    loop: asyncio.AbstractEventLoop, kind: int
) -> None:
    head = bytes([kind]) + (2_000_000_000).to_bytes(4, "big")
    heard = loop.run_until_complete(Hall().talk([head, *[b"x" * 50_000] * 20]))
    assert after_welcome(heard)[6:7] == b"E"


def test_a_client_that_only_talks_is_read_no_faster_than_it_is_answered(loop: asyncio.AbstractEventLoop) -> None:
    asked = message(ord("Q"), b"rows 150\0") * 3000
    heard = loop.run_until_complete(Hall().talk([asked[at : at + 9000] for at in range(0, len(asked), 9000)]))
    assert heard.count(b"SELECT 150\0") == 3000
