"""The worker's end of the block socket: open descriptors, least recently used out, one request per missing block."""

from __future__ import annotations

import array
import itertools
import os
import socket
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass, field

from engine.cache.block_wire import ANSWER, ASK, BLOCKS_MAX, Outcome
from engine.cache.objects import BLOCK_BYTES, HEADER_BYTES, PARTS, parts_of, parts_within

_BLOCKS_OPEN_MAX = 1024
_USE_TOLD_S = 10.0
"""How often the node hears that a block is still used which a worker holds: else it would seem forgotten."""
_WAIT_S = 120.0
"""How long a read waits for the node; the statement's own deadline comes first as a rule."""


class BlocksRefused(OSError):
    """The node did not give the blocks; `outcome` says why."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__("blocks not given")
        self.outcome = outcome


class Block:
    """A block's file, closed when neither the table nor a reader holds it; `parts` has a bit for each part to read."""

    __slots__ = ("descriptor", "parts", "told")

    def __init__(self, descriptor: int, parts: int) -> None:
        self.descriptor = descriptor
        self.parts = parts
        self.told = time.monotonic()
        """When the node last heard of a use."""

    def __del__(self) -> None:
        os.close(self.descriptor)


@dataclass(slots=True)
class _Waiting:
    first: int
    """The first block."""
    parts: tuple[int, int]
    """What was asked for: parts [first, end)."""
    done: threading.Event = field(default_factory=threading.Event)
    outcome: Outcome = Outcome.FAILED
    blocks: list[Block] = field(default_factory=list)


class BlockClient:
    """Asks for blocks; safe to use from every DuckDB thread."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._lock = threading.Lock()
        self._sending = threading.Lock()
        self._numbers = itertools.count(1)
        self._waiting: dict[int, _Waiting] = {}
        self._asked: dict[tuple[int, int], _Waiting] = {}
        """Blocks on their way, by (object, block): the last request that asked for some of their parts."""
        self._open: OrderedDict[tuple[int, int], Block] = OrderedDict()
        self._ended = False

    def start(self) -> None:
        """Begin to listen for answers."""
        threading.Thread(target=self._listen, name="blocks", daemon=True).start()

    def get(self, number: int, start: int, end: int) -> tuple[list[Block], bool]:
        """The blocks that hold bytes [start, end) of object `number`, in order, and whether any had to be asked for.

        Raises:
            BlocksRefused: the node did not give them.
        """
        first_part, end_part = parts_of(start, end)
        blocks = range(start // BLOCK_BYTES, (end - 1) // BLOCK_BYTES + 1)
        found: dict[int, Block] = {}
        waits: dict[int, _Waiting] = {}
        asks: list[tuple[int, _Waiting]] = []
        now = time.monotonic()
        with self._lock:
            missing = []
            for block in blocks:
                key, needed = (number, block), parts_within(block, first_part, end_part)
                held, asked = self._open.get(key), self._asked.get(key)
                if held is not None and not needed & ~held.parts:
                    self._open.move_to_end(key)
                    found[block] = held
                    if now - held.told > _USE_TOLD_S:
                        held.told = now
                        asks.append(
                            (0, _Waiting(block, (max(first_part, block * PARTS), min(end_part, (block + 1) * PARTS))))
                        )
                elif asked is not None and not needed & ~parts_within(block, *asked.parts):
                    waits[block] = asked
                else:
                    missing.append(block)
            for run in _runs(missing):
                parts = max(first_part, run[0] * PARTS), min(end_part, (run[-1] + 1) * PARTS)
                request = next(self._numbers)
                waiting = self._waiting[request] = _Waiting(run[0], parts)
                for block in run:
                    self._asked[number, block] = waits[block] = waiting
                asks.append((request, waiting))
        for request, waiting in asks:
            with self._sending:
                self._socket.sendall(ASK.pack(request, number, *waiting.parts))
        for block, waiting in waits.items():
            if not waiting.done.wait(_WAIT_S) or waiting.outcome is not Outcome.GIVEN:
                raise BlocksRefused(waiting.outcome)
            found[block] = waiting.blocks[block - waiting.first]
        return [found[block] for block in blocks], bool(waits)

    def read(self, number: int, start: int, end: int) -> tuple[bytes, bool]:
        """Bytes [start, end) of object `number`, end > start, and whether they had to be asked for. Raises as `get`."""
        blocks, waited = self.get(number, start, end)
        pieces = []
        for at, block in zip(range(start - start % BLOCK_BYTES, end, BLOCK_BYTES), blocks, strict=True):
            low, high = max(start, at), min(end, at + BLOCK_BYTES)
            pieces.append(os.pread(block.descriptor, high - low, HEADER_BYTES + low - at))
        return pieces[0] if len(pieces) == 1 else b"".join(pieces), waited

    def ask(self, number: int, start: int, end: int) -> None:
        """Have the node bring bytes [start, end) of object `number` to the cache volume; no answer comes.

        Raises:
            OSError: the node is gone.
        """
        first, last = parts_of(start, end)
        for at in range(first, last, PARTS):
            with self._sending:
                self._socket.sendall(ASK.pack(0, number, at, min(at + PARTS, last)))

    def _listen(self) -> None:
        room = socket.CMSG_SPACE(BLOCKS_MAX * 4)
        while True:
            try:
                message, ancillary, _, _ = self._socket.recvmsg(ANSWER.size, room)
                while message and len(message) < ANSWER.size:
                    more = self._socket.recv(ANSWER.size - len(message))
                    if not more:
                        break
                    message += more
            except OSError:
                message, ancillary = b"", []
            if len(message) < ANSWER.size:
                self._end()
                return
            descriptors = array.array("i")
            for level, kind, data in ancillary:
                if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                    descriptors.frombytes(data[: len(data) - len(data) % descriptors.itemsize])
            request, outcome, count, *parts = ANSWER.unpack(message)
            if outcome == Outcome.FORGET:
                with self._lock:
                    for key in zip(parts[::2], parts[1::2], strict=True):
                        self._open.pop(key, None)
                continue
            blocks = [Block(descriptor, its) for descriptor, its in zip(descriptors, parts, strict=False)]
            self._settle(request, Outcome(outcome) if len(blocks) == count else Outcome.FAILED, blocks)

    def _settle(self, request: int, outcome: Outcome, blocks: list[Block]) -> None:
        with self._lock:
            waiting = self._waiting.pop(request, None)
            if waiting is None:
                return
            waiting.outcome, waiting.blocks = outcome, blocks
            for key in [key for key, asked in self._asked.items() if asked is waiting]:
                del self._asked[key]
                if outcome is Outcome.GIVEN:
                    self._open[key] = blocks[key[1] - waiting.first]
            while len(self._open) > _BLOCKS_OPEN_MAX:
                self._open.popitem(last=False)
        waiting.done.set()

    def _end(self) -> None:
        with self._lock:
            self._ended = True
            waiting = list(self._waiting.values())
            self._waiting.clear()
            self._asked.clear()
        for one in waiting:
            one.done.set()


def _runs(blocks: list[int]) -> list[list[int]]:
    runs: list[list[int]] = []
    for block in blocks:
        if runs and runs[-1][-1] + 1 == block and len(runs[-1]) < BLOCKS_MAX:
            runs[-1].append(block)
        else:
            runs.append([block])
    return runs
