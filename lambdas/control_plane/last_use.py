"""When a key last called this API, noted once a minute; nodes tell of the sessions they open. No reason to refuse."""

from __future__ import annotations

import threading
from collections import OrderedDict
from datetime import datetime, timedelta

from governance.errors import Refusal
from governance.ports import ControlStore
from governance.register import KeyRecord, KeyUse
from governance.timestamp import stamp

EVERY = timedelta(seconds=60)
KEYS_MAX = 10_000


class LastUse:
    """One per process; safe for threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._noted: OrderedDict[tuple[str, str], datetime] = OrderedDict()

    def note(self, store: ControlStore, key: KeyRecord, now: datetime) -> None:
        """The key was used at `now`; kept in the register unless that was said within the last minute."""
        name = (key.environment, key.id)
        with self._lock:
            before = self._noted.get(name)
            if before is not None and now - before < EVERY:
                return
            self._noted[name] = now
            self._noted.move_to_end(name)
            if len(self._noted) > KEYS_MAX:
                self._noted.popitem(last=False)
        try:
            store.observe(KeyUse(key.environment, key.id, stamp(now)))
        except Refusal:  # the store is busy: the next request tells
            with self._lock:
                self._noted.pop(name, None)
