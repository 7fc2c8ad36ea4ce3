"""Which blocks the volume holds and which go first: least recently used, in two segments. Pure and not thread-safe.

A block that was brought and not asked for again later is on trial; one that was is kept. The least recently used on
trial go first, so a scan pushes out other scans' blocks and not what statements come back to. What is kept never takes
more than `KEPT_SHARE`; beyond that its least recently used go back on trial.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Iterator

BlockKey = tuple[str, int]
"""(object key, block number)."""
KEPT_SHARE = 0.8
SAME_USE_S = 2.0
"""A use this soon after the block came is the use it came for: read-ahead, then the read; two readers of one scan."""


class BlockIndex:
    """Bytes per block in order of use."""

    def __init__(self, bytes_max: int) -> None:
        self.bytes_max = bytes_max
        self.bytes_held = 0
        self._trial: OrderedDict[BlockKey, tuple[int, float]] = OrderedDict()
        """Block to (bytes, when it came)."""
        self._kept: OrderedDict[BlockKey, int] = OrderedDict()
        self._kept_bytes = 0

    def __contains__(self, key: BlockKey) -> bool:
        return key in self._trial or key in self._kept

    def __len__(self) -> int:
        return len(self._trial) + len(self._kept)

    def add(self, key: BlockKey, size: int, at: float = -math.inf) -> None:
        """A block of `size` bytes is on the volume now, since `at` (seconds of any steady clock)."""
        self.remove(key)
        self._trial[key] = size, at
        self.bytes_held += size

    def grow(self, key: BlockKey, size: int) -> bool:
        """`size` more bytes of a block are on the volume; False when it is not held (any more)."""
        if key in self._kept:
            self._kept[key] += size
            self._kept_bytes += size
            self._demote()
        elif key in self._trial:
            held, came = self._trial[key]
            self._trial[key] = held + size, came
        else:
            return False
        self.bytes_held += size
        return True

    def touch(self, key: BlockKey, at: float = math.inf) -> bool:
        """Note a use at the time `at`; False when the block is not held."""
        if key in self._kept:
            self._kept.move_to_end(key)
            return True
        found = self._trial.get(key)
        if found is None:
            return False
        size, came = found
        if at - came < SAME_USE_S:
            self._trial.move_to_end(key)
            return True
        del self._trial[key]
        self._kept[key] = size
        self._kept_bytes += size
        self._demote()
        return True

    def _demote(self) -> None:
        while self._kept_bytes > self.bytes_max * KEPT_SHARE:
            back, its = self._kept.popitem(last=False)
            self._kept_bytes -= its
            self._trial[back] = its, -math.inf

    def remove(self, key: BlockKey) -> None:
        """The block is gone, or bad."""
        if key in self._kept:
            size = self._kept.pop(key)
            self._kept_bytes -= size
        else:
            size, _ = self._trial.pop(key, (0, 0.0))
        self.bytes_held -= size

    def victims(self, also_free: int = 0) -> list[BlockKey]:
        """Take out and return the blocks to delete so that the rest fits, with `also_free` bytes freed beyond that."""
        target = min(self.bytes_max, self.bytes_held - also_free)
        gone = []
        while self.bytes_held > target and (key := next(self.keys(), None)) is not None:
            self.remove(key)
            gone.append(key)
        return gone

    def keys(self) -> Iterator[BlockKey]:
        """Every block, the first to go first."""
        yield from self._trial
        yield from self._kept
