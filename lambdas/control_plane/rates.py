"""How often a source and a key may ask: token buckets in this process's memory, told in headers.

A bucket refills evenly; a full one allows a minute's worth at once. In Lambda each process counts for itself, so the
limit of an installation is this times its processes; the web firewall in front of it counts for all.
"""

from __future__ import annotations

import ipaddress
import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from governance.errors import TooManyRequests

WINDOW_S = 60
BUCKETS_MAX = 20_000


@dataclass(frozen=True, slots=True)
class Rates:
    """Requests a minute."""

    per_key: int = 3000
    per_source: int = 6000


@dataclass(frozen=True, slots=True)
class Standing:
    """How a bucket stands after a request."""

    limit: int
    remaining: int
    reset_s: int
    """Until it is full again, or, when nothing remains, until the next request is let in."""

    def headers(self) -> dict[str, list[str]]:
        """As the answer tells it."""
        return {
            "RateLimit-Limit": [str(self.limit)],
            "RateLimit-Remaining": [str(self.remaining)],
            "RateLimit-Reset": [str(self.reset_s)],
        }


class RateExceeded(TooManyRequests):
    """Asked too often; `standing` says when to come again."""

    def __init__(self, standing: Standing) -> None:
        super().__init__(
            "Too many requests.", advice=f"Wait {standing.reset_s} s; RateLimit-* headers say how you stand."
        )
        self.standing = standing


class Meter:
    """Buckets by name, the least recently used given up first. Safe for threads."""

    def __init__(self, limit: int, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._limit = limit
        self._rate = limit / WINDOW_S
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, name: str) -> Standing:
        """Count one request of `name`.

        Raises:
            RateExceeded: its bucket is empty; nothing is counted then.
        """
        now = self._monotonic()
        with self._lock:
            left, since = self._buckets.get(name, (float(self._limit), now))
            left = min(float(self._limit), left + (now - since) * self._rate)
            if left < 1:
                raise RateExceeded(Standing(self._limit, 0, max(1, math.ceil((1 - left) / self._rate))))
            left -= 1
            self._buckets[name] = (left, now)
            self._buckets.move_to_end(name)
            while len(self._buckets) > BUCKETS_MAX:
                self._buckets.popitem(last=False)
        return Standing(self._limit, int(left), math.ceil((self._limit - left) / self._rate))


def source_name(address: str) -> str:
    """What counts as one source: an IPv4 address, a /64 of IPv6, or nobody's."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return ""
    if parsed.version == 4:
        return str(parsed)
    return str(ipaddress.ip_network((int(parsed) >> 64 << 64, 64)))
