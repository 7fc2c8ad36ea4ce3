"""Who waits for records to be in the store: each for those that were finished when he came, for no later ones."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import Future as ThreadFuture
from dataclasses import dataclass

from engine.audit.frames import ShipState


@dataclass(slots=True)
class _Waiter:
    goal: int
    """Frames up to here."""
    done: ThreadFuture[bool]
    batch: int | None = None
    """The first batch by which all of them were cut."""


class Waiters:
    """Not for two threads at once: its owner holds a lock."""

    def __init__(self) -> None:
        self._waiting: list[_Waiter] = []

    def add(self, goal: int) -> ThreadFuture[bool]:
        """True once frames up to `goal` are in the store, False when shipping was given up."""
        done: ThreadFuture[bool] = ThreadFuture()
        done.set_running_or_notify_cancel()  # whoever gives up waiting calls `forget`; it is never cancelled under us
        self._waiting.append(_Waiter(goal, done))
        return done

    def forget(self, done: ThreadFuture[bool]) -> None:
        """He waits no more."""
        self._waiting = [waiter for waiter in self._waiting if waiter.done is not done]

    def look(self, cut: ShipState, batches: Iterable[int]) -> None:
        """Tell those who are done: `cut` is the last cut whose parcels are among `batches`, those not yet stored."""
        first = min(batches, default=None)
        left = []
        for waiter in self._waiting:
            if waiter.batch is None and cut.through >= waiter.goal:
                waiter.batch = cut.batch
            if waiter.batch is not None and (first is None or first > waiter.batch):
                waiter.done.set_result(True)
            else:
                left.append(waiter)
        self._waiting = left

    def give_up(self) -> None:
        """Nothing more is shipped."""
        for waiter in self._waiting:
            waiter.done.set_result(False)
        self._waiting = []
