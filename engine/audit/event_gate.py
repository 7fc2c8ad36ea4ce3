"""How many events of strangers are written one by one: a flood of refused connections must not fill the spool.

What is over the limit is counted and said in one event later. Of authenticated sessions only commands are limited, and
far higher: they cost nothing, and queries wait for their turn.
"""

from __future__ import annotations

from collections import Counter

from governance.audit_record import SessionEvent

BURST = 500
PER_S = 20.0
KINDS_MAX = 64
COMMANDS = frozenset({"command", "command_refused"})
COMMANDS_BURST = 20_000
COMMANDS_PER_S = 1000.0


class _Bucket:
    def __init__(self, now: float, burst: int, per_s: float) -> None:
        self._tokens = float(burst)
        self._burst = burst
        self._per_s = per_s
        self._at = now

    def take(self, now: float) -> bool:
        """Whether there is a token left; it is taken."""
        self._tokens = min(float(self._burst), self._tokens + (now - self._at) * self._per_s)
        self._at = now
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True


class EventGate:
    """Two token buckets and what they held back. Moments are monotonic seconds, passed in."""

    def __init__(self, now: float, burst: int = BURST, per_s: float = PER_S) -> None:
        self._strangers = _Bucket(now, burst, per_s)
        self._commands = _Bucket(now, COMMANDS_BURST, COMMANDS_PER_S)
        self._held_back: Counter[str] = Counter()

    def admits(self, event: SessionEvent, now: float) -> bool:
        """Whether the event is written; if not, it is counted."""
        if event.session is not None and event.kind not in COMMANDS:
            return True
        bucket = self._strangers if event.session is None else self._commands
        if bucket.take(now):
            return True
        known = event.kind in self._held_back or len(self._held_back) < KINDS_MAX
        self._held_back[event.kind if known else "other"] += 1
        return False

    def take_held_back(self) -> dict[str, int]:
        """Counts by kind since the last call."""
        counts = dict(self._held_back)
        self._held_back.clear()
        return counts
