"""Who may run now: a fixed number of statements at once, a fair queue behind them, a wait limit (claim W1.11)."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass

from engine.settings import QueryLimits
from governance.errors import TooManyQueries

_ADVICE = "Try again in a moment, or run fewer statements at once."


@dataclass(slots=True, eq=False)
class _Waiter:
    organization: str
    key_id: str
    granted: asyncio.Future[None]


class Slot:
    """Leave to run one statement; `release` gives it back, once."""

    __slots__ = ("_admission", "_key_id", "_organization", "_released", "_resting")

    def __init__(self, admission: Admission, organization: str, key_id: str) -> None:
        self._admission = admission
        self._organization = organization
        self._key_id = key_id
        self._released = False
        self._resting = False

    def release(self) -> None:
        """Give the slot back; a second call does nothing."""
        if self._released:
            return
        self._released = True
        if self._resting:
            self._admission._resting_ended(self._key_id)
        else:
            self._admission._give_back(self._organization, self._key_id)

    def rest(self) -> None:
        """Let others run while the statement waits for its client to ask for more rows.

        When too many statements rest already, the slot is kept: what rests holds memory, and must be bounded.
        """
        if not (self._released or self._resting) and self._admission._may_rest(self._key_id):
            self._resting = True
            self._admission._give_back(self._organization, self._key_id)

    async def resume(self) -> None:
        """Have the slot again, in turn.

        Raises:
            TooManyQueries: as `Admission.acquire`.
        """
        if self._released or not self._resting:
            return
        self._take_over(await self._admission.acquire(self._organization, self._key_id))

    def _take_over(self, granted: Slot) -> None:
        if self._released:  # while it waited
            granted.release()
        else:
            self._resting = False
            self._admission._resting_ended(self._key_id)


class Admission:
    """The slots and the queue. Keys take turns in the queue, so one that asks a thousand times delays no other."""

    def __init__(self, limits: QueryLimits) -> None:
        self._limits = limits
        self.running = 0
        self.queued = 0
        self.resting = 0
        """Statements between two requests for rows, without a slot."""
        self._resting_per_key: dict[str, int] = {}
        self._per_key: dict[str, int] = {}
        self._per_organization: dict[str, int] = {}
        self._queues: dict[str, deque[_Waiter]] = {}
        """By key id, in the order of whose turn it is."""

    def _fits(self, organization: str, key_id: str) -> bool:
        limits = self._limits
        return (
            self.running < limits.running_max
            and not (limits.per_key_max and self._per_key.get(key_id, 0) >= limits.per_key_max)
            and not (
                limits.per_organization_max
                and self._per_organization.get(organization, 0) >= limits.per_organization_max
            )
        )

    def _take(self, organization: str, key_id: str) -> None:
        self.running += 1
        self._per_key[key_id] = self._per_key.get(key_id, 0) + 1
        self._per_organization[organization] = self._per_organization.get(organization, 0) + 1

    def try_acquire(self, organization: str, key_id: str) -> Slot | None:
        """A slot when one is free and nobody waits for it."""
        if self.queued and self.running >= self._limits.running_max:
            return None
        if not self._fits(organization, key_id) or key_id in self._queues:
            return None
        self._take(organization, key_id)
        return Slot(self, organization, key_id)

    async def acquire(self, organization: str, key_id: str, wait_s: float | None = None) -> Slot:
        """A slot, now or in turn.

        Raises:
            TooManyQueries: the queue is full, or the wait limit passed.
        """
        slot = self.try_acquire(organization, key_id)
        if slot is not None:
            return slot
        if self.queued >= self._limits.queued_max:
            raise TooManyQueries("Too many statements are waiting to run.", advice=_ADVICE)
        waiter = _Waiter(organization, key_id, asyncio.get_running_loop().create_future())
        self._queues.setdefault(key_id, deque()).append(waiter)
        self.queued += 1
        try:
            async with asyncio.timeout(self._limits.wait_s if wait_s is None else min(wait_s, self._limits.wait_s)):
                await waiter.granted
        except TimeoutError:
            self._forget(waiter)
            raise TooManyQueries("No slot became free within the wait limit.", advice=_ADVICE) from None
        except asyncio.CancelledError:
            self._forget(waiter)
            raise
        return Slot(self, organization, key_id)

    def _forget(self, waiter: _Waiter) -> None:
        """A waiter that gave up: leave the queue, or give back what was granted in the same moment."""
        if waiter.granted.done() and not waiter.granted.cancelled():
            self._give_back(waiter.organization, waiter.key_id)
            return
        queue = self._queues.get(waiter.key_id)
        if queue is not None and waiter in queue:
            queue.remove(waiter)
            self.queued -= 1
            if not queue:
                del self._queues[waiter.key_id]

    def _may_rest(self, key_id: str) -> bool:
        limits, own = self._limits, self._resting_per_key.get(key_id, 0)
        if self.resting >= limits.resting_max or own >= limits.resting_per_key_max:
            return False
        self.resting += 1
        self._resting_per_key[key_id] = own + 1
        return True

    def _resting_ended(self, key_id: str) -> None:
        self.resting -= 1
        self._resting_per_key[key_id] -= 1
        if not self._resting_per_key[key_id]:
            del self._resting_per_key[key_id]

    def _give_back(self, organization: str, key_id: str) -> None:
        self.running -= 1
        for counts, name in ((self._per_key, key_id), (self._per_organization, organization)):
            counts[name] -= 1
            if not counts[name]:
                del counts[name]
        self._grant()

    def _grant(self) -> None:
        """Hand free slots to whoever's turn it is and whose own limits allow it."""
        for key_id in list(self._queues):
            if self.running >= self._limits.running_max:
                return
            queue = self._queues[key_id]
            waiter = queue[0]
            if not self._fits(waiter.organization, key_id):
                continue
            queue.popleft()
            self.queued -= 1
            del self._queues[key_id]
            if queue:
                self._queues[key_id] = queue  # behind the others: its turn is over
            if not waiter.granted.done():
                self._take(waiter.organization, key_id)
                waiter.granted.set_result(None)
