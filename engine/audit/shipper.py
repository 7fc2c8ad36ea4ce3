"""Two threads behind the writer: one lays batches into the outbox, one brings parcels to the store.

Exactly once: (1) the batch's parcels are laid down durably, (2) a cut in the spool says so, durably, (3) only then may
the store see them, under names made of their content, retried without end. Before the cut, recovery throws the
parcels away and makes the batch anew; after it, it sends the very same bytes again, which the store ignores.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future as ThreadFuture
from contextlib import suppress
from pathlib import Path

from engine.audit.frames import FrameKind
from engine.audit.ledger import Batch, Ledger
from engine.audit.outbox import Outbox, Parcel, object_name, pack
from engine.audit.segment import segment_path
from engine.audit.settings import AuditSettings
from engine.audit.waiters import Waiters
from engine.audit.writer import Item, SpoolWriter
from governance.ports import AuditStore, Clock

_LOG = logging.getLogger("hatidata.audit")
STATE_FILE = "shipped.json"
RETRY_S_MIN = 0.1
LOOK_S = 0.2


class Shipper:
    """See the module."""

    def __init__(
        self,
        settings: AuditSettings,
        ledger: Ledger,
        writer: SpoolWriter,
        outbox: Outbox,
        store: AuditStore,
        clock: Clock,
        waiting: list[Parcel],
    ) -> None:
        self._settings = settings
        self._ledger = ledger
        self._writer = writer
        self._outbox = outbox
        self._store = store
        self._clock = clock
        self._changed = threading.Condition()
        self._parcels = list(waiting)
        self._cut_state = ledger.state
        """The last cut whose parcels are among `_parcels`, or were."""
        self._waiters = Waiters()
        self._stopping = False
        self._drained = threading.Event()
        self._abandoned = threading.Event()
        self._hurry_through = 0
        """Frames up to here are asked for now. A number and no flag: a flag set anew while a batch was being cut would
        send the first record after it on its own."""
        self._cutter = threading.Thread(target=self._cut_loop, name="audit-cutter", daemon=True)
        self._putter = threading.Thread(target=self._put_loop, name="audit-shipper", daemon=True)
        self._carried = time.monotonic()
        self._waiting_since = time.monotonic()
        self.records_shipped = 0
        self.ship_failures = 0
        self.last_failure = ""
        """The class of the last failure of the store or the spool; empty when the last try went well."""
        self._account()

    def start(self) -> None:
        """Begin to ship."""
        self._cutter.start()
        self._putter.start()

    def stop(self, deadline_s: float) -> bool:
        """Ship what is left; whether all of it went out in time."""
        deadline = time.monotonic() + deadline_s
        with self._ledger.changed:
            self._stopping = True
            self._ledger.changed.notify_all()
        self._cutter.join(max(0.0, deadline - time.monotonic()))
        with self._changed:
            self._changed.notify_all()
        self._drained.wait(max(0.0, deadline - time.monotonic()))
        with self._changed:
            drained = not self._parcels and not self._cutter.is_alive()
            self._abandoned.set()
            self._waiters.give_up()
            self._changed.notify_all()
        with self._ledger.changed:
            self._ledger.changed.notify_all()
        return drained and self._ledger.finished_count == 0

    def ended(self, timeout_s: float) -> bool:
        """Whether, after `stop`, both threads are at their end: before that the spool is nobody else's."""
        deadline = time.monotonic() + timeout_s
        for thread in (self._cutter, self._putter):
            thread.join(max(0.0, deadline - time.monotonic()))
        return not (self._cutter.is_alive() or self._putter.is_alive())

    def _hurry(self, goal: int) -> None:
        """Ship what is finished up to the frame `goal` without waiting for more; what finishes later waits its time."""
        with self._ledger.changed:
            self._hurry_through = max(self._hurry_through, goal)
            self._ledger.changed.notify_all()

    def when_stored(self) -> ThreadFuture[bool]:
        """True once everything finished by now has been taken by the store, False when shipping is given up."""
        with self._ledger.changed:
            goal = self._ledger.last_finished_seq
        with self._changed:
            done = self._waiters.add(goal)
            if self._abandoned.is_set():
                self._waiters.give_up()
            self._look()
        if not done.done():
            self._hurry(goal)
        return done

    def forget(self, done: ThreadFuture[bool]) -> None:
        """Whoever `when_stored` answered waits no more."""
        with self._changed:
            self._waiters.forget(done)

    def _look(self) -> None:
        """Under the lock: see who has waited long enough."""
        self._waiters.look(self._cut_state, (parcel.batch for parcel in self._parcels))

    @property
    def lag_s(self) -> float:
        """For how long the oldest record that is not in the store has been waiting to be."""
        now = time.monotonic()
        if self._parcels:
            return now - self._waiting_since
        return now - self._ledger.oldest if self._ledger.finished_count else 0.0

    # ------------------------------------------------------------ cutting

    def _cut_loop(self) -> None:
        ledger, settings = self._ledger, self._settings
        while True:
            with ledger.changed:
                while not self._due():
                    if self._stopping:
                        return
                    ledger.changed.wait(self._patience())
            if self._abandoned.is_set():
                return
            batch = ledger.next_batch(settings.ship_bytes)
            if batch is None or not self._cut(batch):
                continue
            self._tidy()

    def _due(self) -> bool:
        ledger = self._ledger
        if not ledger.finished_count:
            return False
        hurried = ledger.state.through < self._hurry_through
        if self._stopping or hurried or ledger.finished_bytes >= self._settings.ship_bytes:
            return True
        return not self._parcels and time.monotonic() - ledger.oldest >= self._settings.ship_age_s

    def _patience(self) -> float | None:
        if not self._ledger.finished_count:
            return None
        if self._parcels:
            return 0.1
        return max(0.001, self._ledger.oldest + self._settings.ship_age_s - time.monotonic())

    def _cut(self, batch: Batch) -> bool:
        """Lay the parcels, then write the cut, each until it succeeds; False when told to stop before that."""
        number = batch.state.batch
        moment = self._clock.now()
        objects = []
        for prefix, suffix, lines in (("queries", ".q", batch.queries), ("sessions", ".s", batch.sessions)):
            if lines:
                data = pack(lines)
                objects.append((object_name(prefix, moment, batch.state.chain + suffix, number, data), data))
        parcels: list[Parcel] = []
        for name, data in objects:
            if not self._insistently(lambda name=name, data=data: parcels.append(self._outbox.lay(number, name, data))):  # type: ignore[misc]
                return False
        # The parcels stay whatever becomes of the cut: a cut that failed may still be on the disk.
        if not self._insistently(lambda: self._write_cut(batch)):
            return False
        # A second copy of the cut, so that damage to one byte of the spool never sends a record twice.
        with suppress(OSError):
            temporary = self._settings.spool / "tmp-shipped"
            temporary.write_bytes(batch.state.encode())
            temporary.replace(self._settings.spool / STATE_FILE)
        self._ledger.confirm(batch)
        with self._changed:
            if not self._parcels:
                self._waiting_since = time.monotonic()
            self._parcels += parcels
            self._cut_state = batch.state
            self._look()
            self._account()
            self._changed.notify_all()
        self.records_shipped += batch.taken
        return True

    def _insistently(self, act: Callable[[], None]) -> bool:
        """Do it until the disk lets us; False when told to stop meanwhile."""
        retry_s = RETRY_S_MIN
        while not self._abandoned.is_set():
            try:
                act()
            except OSError as error:
                self._failed(error)
                with self._ledger.changed:
                    if self._stopping:
                        return False
                    self._ledger.changed.wait(retry_s)
                retry_s = min(self._settings.retry_s_max, retry_s * 2)
            else:
                return True
        return False

    def _write_cut(self, batch: Batch) -> None:
        done: ThreadFuture[None] = ThreadFuture()
        self._writer.put(Item(FrameKind.CUT, body=batch.state.encode(), waiter=done))
        while True:
            try:
                return done.result(LOOK_S)
            except TimeoutError:
                if done.done():  # the disk timed out, not we
                    raise
                if self._abandoned.is_set():
                    # Whether the cut is on the disk decides at the next start; the parcels stay for both.
                    raise OSError("abandoned") from None

    def _tidy(self) -> None:
        """Remove segments that nothing needs; write anew the intents that alone keep an old one."""
        current = self._writer.current
        for number in self._ledger.free_segments(current):
            try:
                segment_path(self._settings.spool, number).unlink(missing_ok=True)
            except OSError as error:
                self._failed(error)
                return
            self._ledger.forget_segment(number)
        if time.monotonic() - self._carried >= self._settings.carry_after_s:
            self._carried = time.monotonic()
            for record_id, body in self._ledger.stragglers(current):
                self._writer.put(Item(FrameKind.INTENT, record_id, body, carry=True))

    # ------------------------------------------------------------ storing

    def _put_loop(self) -> None:
        retry_s = RETRY_S_MIN
        while True:
            with self._changed:
                while not self._parcels:
                    if self._stopping and not self._cutter.is_alive():
                        self._drained.set()
                        return
                    if self._abandoned.is_set():
                        return
                    self._changed.wait(0.5 if self._stopping else None)
                if self._abandoned.is_set():
                    return
                parcel = self._parcels[0]
            try:
                self._store.put_new(parcel.name, parcel.read())
                parcel.path.unlink()
            except Exception as error:  # whatever a store raises, the parcel stays and is tried again
                with self._changed:
                    self.ship_failures += 1
                    self._failed(error)
                    if self._abandoned.is_set():
                        return
                    self._changed.wait(retry_s * random.uniform(0.5, 1.0))  # noqa: S311 -- jitter
                    if self._abandoned.is_set():
                        return
                retry_s = min(self._settings.retry_s_max, retry_s * 2)
                continue
            retry_s = RETRY_S_MIN
            with self._changed:
                self._parcels.pop(0)
                self._look()
                self._went_well()
                self._waiting_since = time.monotonic()
                self._account()
                self._changed.notify_all()

    def _failed(self, error: Exception) -> None:
        """Say it once for each kind of failure, not for each try; the class only, never a store's words."""
        kind = type(error).__name__
        if kind != self.last_failure:
            _LOG.warning("audit records wait, nothing is lost: %s; trying again", kind)
        self.last_failure = kind

    def _went_well(self) -> None:
        if self.last_failure:
            _LOG.warning("audit records are shipped again")
        self.last_failure = ""

    def _account(self) -> None:
        total = 0
        for parcel in self._parcels:
            with suppress(OSError):
                total += parcel.path.stat().st_size
        self._ledger.outbox_bytes = total


def read_state_copy(spool: Path) -> bytes:
    """The second copy of the last cut, or nothing."""
    try:
        return (spool / STATE_FILE).read_bytes()
    except OSError:
        return b""
