"""Waiting for what another process brings about, with a deadline."""

from __future__ import annotations

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
