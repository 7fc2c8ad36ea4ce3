"""The worker's end of the block socket: open descriptors, least recently used out, one request per missing part."""

from __future__ import annotations

import array
import itertools
import os
import socket
import threading
import time
from collections import OrderedDict

from engine.cache.block_wire import ANSWER, ASK, BLOCKS_MAX, USED, Outcome
from engine.cache.objects import BLOCK_BYTES, HEADER_BYTES, PARTS, blocks_of, parts_of, parts_within, runs

_BLOCKS_OPEN_MAX = 1024
_USE_TOLD_S = 2.5
"""How often the node hears that a block is still used which a worker holds: else it would seem forgotten. More than
`block_index.SAME_USE_S`, and less than the cache takes to turn over (`benchmarks.cache_traces`, held by workers)."""
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


class _Request:
    """Parts [first, end) of an object, asked for."""

    __slots__ = ("answered", "blocks", "end", "first", "number", "outcome")

    def __init__(self, number: int, first: int, end: int) -> None:
        self.number, self.first, self.end = number, first, end
        self.outcome = Outcome.FAILED
        self.blocks: dict[int, Block] = {}
        self.answered = threading.Lock()
        """Held until the answer is here."""
        self.answered.acquire()

    def wait(self) -> Outcome:
        """How it ended."""
        if self.answered.acquire(timeout=_WAIT_S):
            self.answered.release()
        return self.outcome


class BlockClient:
    """Asks for blocks; safe to use from every DuckDB thread."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._lock = threading.Lock()
        self._sending = threading.Lock()
        self._ids = itertools.count(USED + 1)
        self._requests: dict[int, _Request] = {}
        self._coming: dict[tuple[int, int], list[_Request]] = {}
        """Requests on their way for parts of a block, by (object, block)."""
        self._open: OrderedDict[tuple[int, int], Block] = OrderedDict()
        self._ended = False

    def start(self) -> None:
        """Begin to listen for answers."""
        threading.Thread(target=self._listen, name="blocks", daemon=True).start()

    def get(self, number: int, start: int, end: int) -> tuple[list[Block], bool]:
        """The blocks that hold bytes [start, end) of object `number`, in order, and whether any had to be waited for.

        Raises:
            BlocksRefused: the node did not give them.
        """
        first, last = parts_of(start, end)
        have, asked, joined = self._want(number, first, last)
        for request in (*joined, *asked):
            outcome = request.wait()
            # What was asked for ahead may have come to the node when its statement was over.
            if outcome is not Outcome.GIVEN and not (outcome is Outcome.REFUSED and request in joined):
                raise BlocksRefused(outcome)
        found = []
        for block in blocks_of(first, last):
            needed = parts_within(block, first, last)
            files = [have.get(block), *(request.blocks.get(block) for request in (*joined, *asked))]
            whole = next((one for one in files if one is not None and not needed & ~one.parts), None)
            found.append(whole or self._whole(number, block, max(first, block * PARTS), min(last, (block + 1) * PARTS)))
        return found, bool(asked or joined)

    def read(self, number: int, start: int, end: int) -> tuple[bytes, bool]:
        """Bytes [start, end) of object `number`, end > start, and whether they were waited for. Raises as `get`."""
        blocks, waited = self.get(number, start, end)
        pieces = []
        for at, block in zip(range(start - start % BLOCK_BYTES, end, BLOCK_BYTES), blocks, strict=True):
            low, high = max(start, at), min(end, at + BLOCK_BYTES)
            pieces.append(os.pread(block.descriptor, high - low, HEADER_BYTES + low - at))
        return pieces[0] if len(pieces) == 1 else b"".join(pieces), waited

    def ask(self, number: int, start: int, end: int) -> None:
        """Have bytes [start, end) of object `number` brought, so that a later `get` need not wait.

        Raises:
            OSError: the node is gone.
        """
        self._want(number, *parts_of(start, end))

    # ------------------------------------------------------------------ requests

    def _want(self, number: int, first: int, end: int) -> tuple[dict[int, Block], list[_Request], list[_Request]]:
        """Open blocks with parts in [first, end), and who brings the others: new requests, and those of others."""
        have: dict[int, Block] = {}
        joined: dict[_Request, None] = {}
        blocks = blocks_of(first, end)
        missing = 0
        messages = []
        now = time.monotonic()
        with self._lock:
            for block in blocks:
                key = (number, block)
                lacking = parts_within(block, first, end)
                held = self._open.get(key)
                if held is not None:
                    self._open.move_to_end(key)
                    have[block] = held
                    if now - held.told > _USE_TOLD_S and lacking & held.parts:
                        held.told = now
                        used = max(first, block * PARTS), min(end, (block + 1) * PARTS)
                        messages.append(ASK.pack(USED, number, *used))
                    lacking &= ~held.parts
                for request in self._coming.get(key, ()) if lacking else ():
                    brings = parts_within(block, request.first, request.end) & lacking
                    if brings:
                        joined[request] = None
                        lacking &= ~brings
                missing |= lacking << (block - blocks.start) * PARTS
            asked = []
            for low, high in runs(missing, blocks.start * PARTS, (BLOCKS_MAX - 1) * PARTS):
                request = _Request(number, low, high)
                asked.append(request)
                messages.append(self._register(request))
        if messages:
            with self._sending:
                self._socket.sendall(b"".join(messages))
        return have, asked, list(joined)

    def _register(self, request: _Request) -> bytes:
        """The message that asks; the lock is held."""
        at = next(self._ids)
        self._requests[at] = request
        for block in blocks_of(request.first, request.end):
            self._coming.setdefault((request.number, block), []).append(request)
        if self._ended:
            request.answered.release()
        return ASK.pack(at, request.number, request.first, request.end)

    def _whole(self, number: int, block: int, first: int, end: int) -> Block:
        """Parts of a block that no one file here holds: the volume could not keep them, so the node unites them."""
        request = _Request(number, first, end)
        with self._lock:
            message = self._register(request)
        with self._sending:
            self._socket.sendall(message)
        if request.wait() is not Outcome.GIVEN:
            raise BlocksRefused(request.outcome)
        return request.blocks[block]

    # ------------------------------------------------------------------ answers

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
            at, outcome, count, *parts = ANSWER.unpack(message)
            if outcome == Outcome.FORGET:
                with self._lock:
                    for key in zip(parts[::2], parts[1::2], strict=True):
                        self._open.pop(key, None)
                continue
            blocks = [Block(descriptor, its) for descriptor, its in zip(descriptors, parts, strict=False)]
            self._settle(at, Outcome(outcome) if len(blocks) == count else Outcome.FAILED, blocks)

    def _settle(self, at: int, outcome: Outcome, blocks: list[Block]) -> None:
        with self._lock:
            request = self._requests.pop(at, None)
            if request is None:
                return
            numbers = blocks_of(request.first, request.end)
            for number in numbers:
                coming = self._coming[request.number, number]
                coming.remove(request)
                if not coming:
                    del self._coming[request.number, number]
            if outcome is not Outcome.GIVEN or len(blocks) == len(numbers):
                request.outcome = outcome
            if request.outcome is Outcome.GIVEN:
                request.blocks = dict(zip(numbers, blocks, strict=True))
                for number, block in request.blocks.items():
                    self._open[request.number, number] = block
                    self._open.move_to_end((request.number, number))
                while len(self._open) > _BLOCKS_OPEN_MAX:
                    self._open.popitem(last=False)
        request.answered.release()

    def _end(self) -> None:
        with self._lock:
            self._ended = True
            requests = list(self._requests.values())
            self._requests.clear()
            self._coming.clear()
        for request in requests:
            request.answered.release()
