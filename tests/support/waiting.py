"""Waiting for what another process brings about, with a deadline."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def until(look: Callable[[], T], deadline_s: float = 30.0) -> T:
    """What `look` gives, asked again and again until it is true of something.

    Raises:
        AssertionError: it never was in time.
    """
    deadline = time.monotonic() + deadline_s
    while not (found := look()):
        assert time.monotonic() < deadline, "it never came true"
        threading.Event().wait(0.05)
    return found


async def until_async(condition: Callable[[], object], deadline_s: float = 10.0) -> None:
    """As `until`, for what this event loop brings about.

    Raises:
        TimeoutError: it never was in time.
    """
    async with asyncio.timeout(deadline_s):
        while not condition():  # noqa: ASYNC110 - nothing to wait on but the world
            await asyncio.sleep(0.005)
