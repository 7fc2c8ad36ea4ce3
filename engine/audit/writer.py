"""The one thread that writes the spool: many records, one fdatasync (group commit).

Intents and cuts are acknowledged when they are on the disk. Outcomes and events wake nobody: they are written with the
next intent or `LATER_S` later, which bounds what the end of the process may take, and synced with the next intent or
`LINGER_S` after that, which bounds what a power cut may take. A statement whose outcome is lost is told as interrupted.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future as ThreadFuture
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue

from engine.audit.frames import FrameKind, SegmentHeader, encode
from engine.audit.ledger import Ledger
from engine.audit.segment import Segment

LATER_S = 0.01
LINGER_S = 0.02
RETRY_S = 0.25
GROUP_MAX = 4096
GROUP_BYTES_MAX = 2 << 20
BACKLOG_EVENTS_MAX = 10_000

OpenSegment = Callable[[Path, SegmentHeader, int, int], Segment]
"""Makes a segment; tests give one whose disk fails."""


@dataclass(frozen=True, slots=True)
class Gate:
    """Something that may begin once a record is durable; exactly one of the two is called."""

    open: Callable[[], None]
    """Called at once, on the writer's thread: no turn of the event loop lies between the disk and the beginning."""
    refuse: Callable[[OSError], None]
    """Called on the loop."""


Waiter = asyncio.Future[None] | ThreadFuture[None] | Gate


@dataclass(frozen=True, slots=True)
class Item:
    """Something to be written; a kind of None only asks for what came before to be durable."""

    kind: FrameKind | None
    id: str = ""
    body: bytes = b""
    waiter: Waiter | None = None
    carry: bool = False
    """An intent written anew because its old segment is to be freed."""

    @property
    def payload(self) -> bytes:
        """As it stands in a frame."""
        return self.body if self.kind is FrameKind.CUT else b"%s\n%s" % (self.id.encode("ascii"), self.body)


_NUDGE = Item(None, "nudge")
"""Wakes the writer for what was put later."""


@dataclass(frozen=True, slots=True)
class SpoolEnd:
    """Where the spool ended when it was recovered, for the next header."""

    number: int
    end: int
    digest: str
    seq: int


class SpoolWriter:
    """See the module. `put` is called from any thread."""

    def __init__(
        self,
        spool: Path,
        segment_bytes: int,
        ledger: Ledger,
        end: SpoolEnd,
        loop: asyncio.AbstractEventLoop,
        open_segment: OpenSegment = Segment,
    ) -> None:
        self._open_segment = open_segment
        self._spool = spool
        self._segment_bytes = segment_bytes
        self._ledger = ledger
        self._loop = loop
        self._queue: SimpleQueue[Item | None] = SimpleQueue()
        self._later: deque[Item] = deque()
        self._nudging = False
        self._segment: Segment | None = None
        self._number = end.number
        self._previous_end = end.end
        self._previous_digest = end.digest
        self._seq = end.seq
        self._unsynced: list[bytes] = []
        """Frames the ledger has, which a failing sync would take back; they are written again then."""
        self._backlog: list[Item] = []
        self._asking: list[Waiter] = []
        self._thread = threading.Thread(target=self._run, name="audit-writer", daemon=True)
        self.syncs = 0
        self.failing = False
        self.failures = 0
        self.outcomes_ignored = 0
        self.events_dropped = 0
        self.broken = False
        """The thread ended by a fault of ours: nothing can be written any more."""

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def stop(self, timeout_s: float = 10.0) -> None:
        """Write what was put, then end; a disk that does not answer is left after `timeout_s`."""
        self._queue.put(None)
        self._thread.join(timeout_s)

    @property
    def ended(self) -> bool:
        """Whether the thread is at its end."""
        return not self._thread.is_alive()

    def put(self, item: Item) -> None:
        """Hand over; never blocks."""
        self._queue.put(item)

    def put_later(self, item: Item) -> None:
        """Hand over without waking the writer; on the loop's thread, after everything this item speaks of was put."""
        self._later.append(item)
        if not self._nudging:
            self._nudging = True
            self._loop.call_later(LATER_S, self._nudge)

    def _nudge(self) -> None:
        self._nudging = False
        if self._later:
            self._queue.put(_NUDGE)

    @property
    def waiting(self) -> int:
        """Items not yet looked at."""
        return self._queue.qsize() + len(self._later)

    @property
    def current(self) -> int:
        """The number of the segment that is written; older ones are sealed."""
        return self._number

    def _run(self) -> None:
        try:
            self._serve()
        except BaseException:
            self.broken = True
            self._refuse_rest()
            raise

    def _refuse_rest(self) -> None:
        """Whoever waits is told; nobody may wait forever for a thread that has ended."""
        error = OSError("the audit writer ended")
        self._answer(self._asking, error)
        with suppress(Empty):
            while True:
                item = self._queue.get_nowait()
                if item is not None and item.waiter is not None:
                    self._answer([item.waiter], error)

    def _serve(self) -> None:
        stopping = False
        while not stopping:
            timeout = RETRY_S if self._backlog else LINGER_S if self._unsynced else None
            try:
                item = self._queue.get(timeout=timeout)
            except Empty:
                self._commit([], sync=True)
                continue
            group: list[Item] = []
            later = self._take_later()
            size = 0
            with suppress(Empty):
                while item is not None:
                    if item is not _NUDGE:
                        if item.kind is None:
                            later += self._take_later()  # it answers for everything given before it
                        group.append(item)
                        size += len(item.body)
                        if len(group) >= GROUP_MAX or size >= GROUP_BYTES_MAX:
                            break
                    item = self._queue.get_nowait()
            if item is None:
                stopping = True
                later += self._take_later()
            elif len(group) >= GROUP_MAX or size >= GROUP_BYTES_MAX:
                # What `later` speaks of may still be in the queue.
                self._later.extendleft(reversed(later))
                later = []
            self._commit(group + later, sync=stopping)
        if self._segment is not None:
            self._segment.close()

    def _take_later(self) -> list[Item]:
        """What came without waking us. Taken before the queue is emptied, so that its intents come with it."""
        taken: list[Item] = []
        with suppress(IndexError):
            while len(taken) < GROUP_MAX:
                taken.append(self._later.popleft())
        return taken

    def _commit(self, group: list[Item], *, sync: bool) -> None:
        self._asking = [item.waiter for item in group if item.waiter is not None]
        if self._backlog:
            group = self._backlog + group
            self._backlog = []
        kept, sync = self._admitted(group, sync=sync)
        frames = [encode(item.kind, self._seq + index, item.payload) for index, item in enumerate(kept, 1) if item.kind]
        try:
            self._write(frames, sync=sync)
        except OSError as error:
            self._failed(kept, error)
            return
        self.failing = False
        for waiter in self._asking:
            if isinstance(waiter, Gate):
                waiter.open()
        self._apply(kept)
        self._seq += len(kept)
        self._answer(self._asking, None)

    def _admitted(self, group: list[Item], *, sync: bool) -> tuple[list[Item], bool]:
        """What is to be written of `group`: outcomes of open intents only, the first of each."""
        kept: list[Item] = []
        opened: set[str] = set()
        closed: set[str] = set()
        known = self._ledger.open
        for item in group:
            if item.kind is None or item.kind is FrameKind.CUT:
                sync = True
            elif item.kind is FrameKind.INTENT:
                if item.carry and (item.id not in known or item.id in closed):
                    continue
                opened.add(item.id)
                sync = True
            elif item.kind is FrameKind.OUTCOME:
                if item.id in closed or not (item.id in opened or item.id in known):
                    self.outcomes_ignored += 1
                    continue
                closed.add(item.id)
            if item.kind is not None:
                kept.append(item)
        return kept, sync

    def _write(self, frames: list[bytes], *, sync: bool) -> None:
        if not frames and not self._unsynced:
            return
        data = b"".join(frames)
        try:
            if self._segment is not None and not self._segment.has_room(len(data)):
                self._seal()
            if self._segment is None:
                self._open(len(data))
            segment = self._segment
            assert segment is not None  # noqa: S101 -- _open made it or raised
            if data:
                segment.write(data)
            if sync:
                segment.sync()
                self.syncs += 1
                self._unsynced.clear()
            else:
                self._unsynced += frames
        except OSError:
            if self._segment is not None:
                broken, self._segment = self._segment, None
                self._previous_end, self._previous_digest = broken.durable, broken.digest
                broken.abandon()
            raise

    def _seal(self) -> None:
        """End the full segment durably."""
        segment = self._segment
        assert segment is not None  # noqa: S101 -- the caller saw it
        segment.sync()
        self._unsynced.clear()
        self._segment = None
        self._previous_end, self._previous_digest = segment.durable, segment.digest
        segment.close()

    def _open(self, room: int) -> None:
        """Begin the next segment, with whatever an abandoned one may have lost."""
        again = b"".join(self._unsynced)
        header = SegmentHeader(self._number + 1, self._previous_end, self._previous_digest, self._ledger.state)
        size = max(self._segment_bytes, len(again) + room + 1024)
        segment = self._open_segment(self._spool, header, size, self._seq)
        self._number += 1
        self._segment = segment
        if again:
            segment.write(again)

    def _apply(self, kept: list[Item]) -> None:
        ledger = self._ledger
        with ledger.changed:
            before = ledger.finished_count
            for index, item in enumerate(kept, 1):
                if item.kind in {FrameKind.INTENT, FrameKind.OUTCOME, FrameKind.EVENT}:
                    ledger.apply(item.kind, self._seq + index, item.id, item.body, self._number)
            if self._segment is not None:
                ledger.used[self._number] = self._segment.used
            if ledger.finished_count and (not before or ledger.finished_bytes >= ledger.notify_bytes):
                ledger.changed.notify_all()

    def _failed(self, kept: list[Item], error: OSError) -> None:
        """Nothing of the group counts. Outcomes and events wait for the disk to come back; the rest is refused."""
        self.failing = True
        self.failures += 1
        self._backlog = [item for item in kept if item.kind is FrameKind.OUTCOME and item.waiter is None]
        open_now = self._ledger.open
        self._backlog = [item for item in self._backlog if item.id in open_now]
        events = [item for item in kept if item.kind is FrameKind.EVENT]
        self.events_dropped += max(0, len(events) - BACKLOG_EVENTS_MAX)
        self._backlog += events[-BACKLOG_EVENTS_MAX:]
        self._answer(self._asking, error)

    def _answer(self, waiters: list[Waiter], error: OSError | None) -> None:
        """Tell those that wait; gates were opened already."""
        of_loop: list[asyncio.Future[None] | Gate] = []
        for waiter in waiters:
            if isinstance(waiter, ThreadFuture):
                if error is None:
                    waiter.set_result(None)
                else:
                    waiter.set_exception(error)
            elif error is not None or not isinstance(waiter, Gate):
                of_loop.append(waiter)
        if of_loop:
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                self._loop.call_soon_threadsafe(_settle, of_loop, error)


def _settle(waiters: list[asyncio.Future[None] | Gate], error: OSError | None) -> None:
    for waiter in waiters:
        if isinstance(waiter, Gate):
            if error is not None:
                waiter.refuse(error)
        elif waiter.done():
            continue
        elif error is None:
            waiter.set_result(None)
        else:
            waiter.set_exception(error)
