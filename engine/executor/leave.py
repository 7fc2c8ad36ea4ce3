"""A request that waits for leave: the audit's, which comes on the audit's own thread once the intent is durable."""

from __future__ import annotations

import threading
from collections.abc import Callable

from engine.executor.channel import Channel
from governance.errors import Refusal

Gate = Callable[[Callable[[], None], Callable[[Refusal], None]], None]
"""Given (may_run, refused): calls one of them; `may_run` on any thread, `refused` on the loop. May raise a Refusal."""


class Leave:
    """Holds what is to be sent until it may be. One lock: either the request goes out, or it never does."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._given = False
        self._held: tuple[Channel, bytes] | None = None

    def offer(self, channel: Channel, request: bytes) -> None:
        """Send with leave; hold without."""
        with self._lock:
            if not self._given:
                self._held = (channel, request)
                return
        channel.send(request)

    def give(self) -> None:
        """It may run now. From any thread; a second time does nothing."""
        with self._lock:
            self._given = True
            held, self._held = self._held, None
        if held is not None:
            held[0].send(held[1])

    def withdraw(self) -> bool:
        """Never send what is held; whether something was."""
        with self._lock:
            held, self._held = self._held, None
        return held is not None
