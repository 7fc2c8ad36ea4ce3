"""What the spool holds, in memory: intents that wait for an outcome, records that wait to be shipped.

One lock; the writer thread applies what it has made durable, the shipping thread takes batches.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from dataclasses import dataclass

from engine.audit.frames import FrameKind, ShipState
from governance.audit_record import ChainLink, join_event, join_query, join_waiting, line_digest

LOST_INTENT = (
    b'{"started_at":"","user":"","user_id":"","role":"","key_id":"","organization":"","environment":"","session_id":"",'
    b'"source_ip":"","application_name":"","agent_id":"","agent_framework":"","node":"","statement_kind":"unknown",'
    b'"sql":"","sql_form":"lost","parameters":[],"dialect":"","tables":[],"columns_masked":[],"verdicts":[],'
    b'"policy_version":0,"fingerprint":""}'
)
"""Stands in for an intent that damage to the spool destroyed while its outcome survived."""


@dataclass(frozen=True, slots=True)
class OpenIntent:
    """An intent without an outcome so far, and the segment that holds it."""

    body: bytes
    segment: int


@dataclass(frozen=True, slots=True)
class Finished:
    """A record that can be shipped: a query (both halves) or a session event (`outcome` is None)."""

    seq: int
    id: str
    body: bytes
    outcome: bytes | None
    segments: tuple[int, ...]
    """Segments that must stay until this is in a batch."""

    @property
    def size(self) -> int:
        """Bytes of the two halves."""
        return len(self.body) + len(self.outcome or b"") + 200


@dataclass(frozen=True, slots=True)
class Batch:
    """Lines of the next two objects, and the state once they are laid down."""

    taken: int
    queries: tuple[bytes, ...]
    sessions: tuple[bytes, ...]
    state: ShipState


class Ledger:
    """See the module."""

    def __init__(self, state: ShipState, notify_bytes: int = 8 << 20) -> None:
        self._lock = threading.Lock()
        self.changed = threading.Condition(self._lock)
        self.open: dict[str, OpenIntent] = {}
        self._finished: deque[Finished] = deque()
        self._finished_bytes = 0
        self._oldest = 0.0
        self._live: Counter[int] = Counter()
        self.state = state
        self.used: dict[int, int] = {}
        """Bytes used by each segment that still exists."""
        self.outbox_bytes = 0
        self.notify_bytes = notify_bytes
        """A batch is due at once when this many bytes wait."""

    def apply(self, kind: FrameKind, seq: int, record_id: str, body: bytes, segment: int) -> None:
        """Take over one durable frame; the caller holds `changed`."""
        if kind is FrameKind.INTENT:
            before = self.open.get(record_id)
            if before is not None:
                self._live[before.segment] -= 1
            self.open[record_id] = OpenIntent(body, segment)
            self._live[segment] += 1
            return
        if kind is FrameKind.OUTCOME:
            intent = self.open.pop(record_id, None)
            if intent is None:
                finished = Finished(seq, record_id, LOST_INTENT, body, (segment,))
            else:
                finished = Finished(seq, record_id, intent.body, body, (intent.segment, segment))
        else:
            finished = Finished(seq, record_id, body, None, (segment,))
        self._live[segment] += 1
        if not self._finished:
            self._oldest = time.monotonic()
        self._finished.append(finished)
        self._finished_bytes += finished.size

    def drop_shipped(self) -> None:
        """Forget finished records that the state says are in batches already (recovery)."""
        with self.changed:
            while self._finished and self._finished[0].seq <= self.state.through:
                self._release(self._finished.popleft())

    def _release(self, finished: Finished) -> None:
        self._finished_bytes -= finished.size
        for segment in finished.segments:
            self._live[segment] -= 1

    def waiting_lines(self) -> dict[str, bytes]:
        """Finished queries that no batch holds, by id."""
        with self.changed:
            finished = [each for each in self._finished if each.outcome is not None]
        return {each.id: join_waiting(each.id, each.body, each.outcome or b"") for each in finished}

    @property
    def finished_bytes(self) -> int:
        """Bytes of records that wait for a batch."""
        return self._finished_bytes

    @property
    def finished_count(self) -> int:
        """Records that wait for a batch."""
        return len(self._finished)

    @property
    def last_finished_seq(self) -> int:
        """Sequence up to which batches must go for everything finished now to be in one."""
        return self._finished[-1].seq if self._finished else self.state.through

    @property
    def oldest(self) -> float:
        """Monotonic moment since which the oldest finished record waits."""
        return self._oldest

    @property
    def spool_bytes(self) -> int:
        """What lies in segments and outbox."""
        return sum(self.used.values()) + self.outbox_bytes

    def next_batch(self, bytes_max: int) -> Batch | None:
        """The oldest finished records as lines, up to `bytes_max`; they stay until `confirm`."""
        with self.changed:
            taken: list[Finished] = []
            size = 0
            for finished in self._finished:
                if taken and size + finished.size > bytes_max:
                    break
                taken.append(finished)
                size += finished.size
            state = self.state
        if not taken:
            return None
        lines: tuple[list[bytes], list[bytes]] = ([], [])
        places = [state.queries, state.sessions]
        for finished in taken:
            stream = 1 if finished.outcome is None else 0
            place = places[stream]
            link = ChainLink(f"{state.chain}.{'qs'[stream]}", place.seq + 1, place.head)
            if finished.outcome is None:
                line = join_event(finished.id, finished.body, link)
            else:
                line = join_query(finished.id, finished.body, finished.outcome, link)
            lines[stream].append(line)
            places[stream] = type(place)(link.seq, line_digest(line))
        after = ShipState(state.chain, taken[-1].seq, state.batch + 1, places[0], places[1])
        return Batch(len(taken), tuple(lines[0]), tuple(lines[1]), after)

    def confirm(self, batch: Batch) -> None:
        """The batch lies in the outbox and its cut is durable: its records need the segments no more."""
        with self.changed:
            for _ in range(batch.taken):
                self._release(self._finished.popleft())
            self.state = batch.state
            self._oldest = time.monotonic()

    def free_segments(self, current: int) -> list[int]:
        """The oldest segments before `current` that nothing needs, in order."""
        with self.changed:
            free = []
            for number in sorted(self.used):
                if number >= current or self._live[number] > 0:
                    break
                free.append(number)
            return free

    def forget_segment(self, number: int) -> None:
        """The segment's file is gone."""
        with self.changed:
            self.used.pop(number, None)
            self._live.pop(number, None)

    def stragglers(self, current: int) -> list[tuple[str, bytes]]:
        """Intents that alone keep the oldest sealed segment, when that is so."""
        with self.changed:
            oldest = min(self.used, default=current)
            if oldest >= current:
                return []
            held = [(key, intent.body) for key, intent in self.open.items() if intent.segment == oldest]
            return held if held and len(held) == self._live[oldest] else []
