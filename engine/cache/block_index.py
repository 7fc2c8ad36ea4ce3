"""Which blocks the volume holds and which go first: least recently used, by bytes. Pure and not thread-safe."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

BlockKey = tuple[str, int]
"""(object key, block number)."""


class BlockIndex:
    """Bytes per block in order of use; the least recently used first."""

    def __init__(self, bytes_max: int) -> None:
        self.bytes_max = bytes_max
        self.bytes_held = 0
        self._blocks: OrderedDict[BlockKey, int] = OrderedDict()

    def __contains__(self, key: BlockKey) -> bool:
        return key in self._blocks

    def __len__(self) -> int:
        return len(self._blocks)

    def add(self, key: BlockKey, size: int) -> None:
        """A block of `size` bytes is on the volume now, most recently used."""
        self.remove(key)
        self._blocks[key] = size
        self.bytes_held += size

    def touch(self, key: BlockKey) -> bool:
        """Note a use; False when the block is not held."""
        if key not in self._blocks:
            return False
        self._blocks.move_to_end(key)
        return True

    def remove(self, key: BlockKey) -> None:
        """The block is gone, or bad."""
        self.bytes_held -= self._blocks.pop(key, 0)

    def victims(self, also_free: int = 0) -> list[BlockKey]:
        """Take out and return the blocks to delete so that the rest fits, with `also_free` bytes freed beyond that."""
        target = min(self.bytes_max, self.bytes_held - also_free)
        gone = []
        while self._blocks and self.bytes_held > target:
            key, size = self._blocks.popitem(last=False)
            self.bytes_held -= size
            gone.append(key)
        return gone

    def keys(self) -> Iterable[BlockKey]:
        """Every block, least recently used first."""
        return self._blocks.keys()
