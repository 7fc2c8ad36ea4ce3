"""The node's end of one worker's block socket: gives blocks of objects that the worker's running statements hold.

Object numbers are the node's own (`ObjectNumbers`); a worker that asks for a number no running statement of its own
resolved to is refused, whatever it knows or guesses. Bytes are charged to every statement that had the object open.
"""

from __future__ import annotations

import array
import asyncio
import socket
from collections import Counter, deque
from collections.abc import Callable, Iterable

from engine.cache.block_cache import BlockCache
from engine.cache.block_index import BlockKey
from engine.cache.block_volume import OpenBlock
from engine.cache.block_wire import ANSWER, ASK, BLOCKS_MAX, USED, Outcome
from engine.cache.object_store import WHY, ObjectGone, StoreFailed
from engine.cache.objects import Snapshot, StoredObject, blocks_of

_REQUESTS_MAX = 256
"""Requests of one worker in work at once; more wait in its socket."""
_OUTCOMES = {word: Outcome[word.upper()] for word in WHY}


class ObjectNumbers:
    """Numbers for object versions, the same number for the same version as long as the node runs."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def number(self, stored: StoredObject) -> int:
        """The number of `stored`, from 1."""
        return self._numbers.setdefault(stored.key, len(self._numbers) + 1)

    def known(self, key: str) -> int:
        """The number of the version with this key; 0 when it has none."""
        return self._numbers.get(key, 0)


class BlockUse:
    """What one statement took, counted by the door."""

    __slots__ = ("cache_bytes", "store_bytes")

    def __init__(self) -> None:
        self.cache_bytes = 0
        self.store_bytes = 0

    @property
    def status(self) -> str:
        """hit, partial or miss; hit also when nothing had to be handed over (the worker still had it)."""
        if not self.store_bytes:
            return "hit"
        return "partial" if self.cache_bytes else "miss"


class BlockDoor:
    """Serves one worker until the socket closes. All methods run on the event loop."""

    def __init__(self, sock: socket.socket, cache: BlockCache, numbers: ObjectNumbers) -> None:
        self._socket = sock
        self._cache = cache
        self._numbers = numbers
        self._loop = asyncio.get_running_loop()
        self._objects: dict[int, StoredObject] = {}
        self._holders: Counter[int] = Counter()
        self._uses: dict[BlockUse, frozenset[int]] = {}
        self._given: set[int] = set()
        """Objects that the worker was ever given blocks of."""
        self._unread = b""
        self._unsent: deque[tuple[bytes, tuple[OpenBlock, ...]]] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._paused = False
        self._closed = False
        self.refused = 0
        sock.setblocking(False)
        cache.listeners.add(self._left)
        self._loop.add_reader(sock.fileno(), self._readable)

    def close(self) -> None:
        """End the service; requests in work are abandoned."""
        if self._closed:
            return
        self._closed = True
        self._cache.listeners.discard(self._left)
        self._loop.remove_reader(self._socket.fileno())
        self._loop.remove_writer(self._socket.fileno())
        for task in self._tasks:
            task.cancel()
        self._unsent.clear()
        self._socket.close()

    def hold(self, snapshots: Iterable[Snapshot]) -> BlockUse:
        """A statement begins: its snapshots' objects may be asked for until `release`."""
        held = set()
        for snapshot in snapshots:
            for stored in snapshot.objects:
                number = self._numbers.number(stored)
                self._objects[number] = stored
                held.add(number)
        self._holders.update(held)
        use = BlockUse()
        self._uses[use] = frozenset(held)
        return use

    def release(self, use: BlockUse) -> None:
        """The statement has ended."""
        for number in self._uses.pop(use, frozenset()):
            self._holders[number] -= 1
            if self._holders[number] <= 0:
                del self._holders[number]
                del self._objects[number]

    # ------------------------------------------------------------------ requests

    def _readable(self) -> None:
        try:
            data = self._socket.recv(ASK.size * 64)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        if not data:
            self.close()
            return
        self._unread += data
        whole = len(self._unread) - len(self._unread) % ASK.size
        for request, number, first, end in ASK.iter_unpack(self._unread[:whole]):
            stored = self._objects.get(number)
            if stored is None or not first < end <= stored.parts or len(blocks_of(first, end)) > BLOCKS_MAX:
                self.refused += 1
                self._answer(request, Outcome.REFUSED, ())
            elif request == USED:
                self._cache.used(stored, first, end)
            else:
                task = self._loop.create_task(self._serve(request, number, stored, first, end))
                self._tasks.add(task)
                task.add_done_callback(self._served)
        self._unread = self._unread[whole:]
        if len(self._tasks) >= _REQUESTS_MAX and not self._paused:
            self._paused = True
            self._loop.remove_reader(self._socket.fileno())

    def _served(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if self._paused and not self._closed and len(self._tasks) < _REQUESTS_MAX // 2:
            self._paused = False
            self._loop.add_reader(self._socket.fileno(), self._readable)

    async def _serve(self, request: int, number: int, stored: StoredObject, first: int, end: int) -> None:
        blocks: tuple[OpenBlock, ...] = ()
        try:
            given = await self._cache.blocks(stored, first, end)
        except ObjectGone:
            outcome = Outcome.GONE
        except StoreFailed as error:
            outcome = _OUTCOMES.get(str(error), Outcome.FAILED)
        except (OSError, IndexError):
            outcome = Outcome.FAILED
        else:
            outcome, blocks = Outcome.GIVEN, given.blocks
            self._given.add(number)
            for use in (use for use, held in self._uses.items() if number in held):
                use.cache_bytes += given.cache_bytes
                use.store_bytes += given.store_bytes
        if not self._closed:
            self._answer(request, outcome, blocks)

    # ------------------------------------------------------------------ answers

    def _answer(self, request: int, outcome: Outcome, blocks: tuple[OpenBlock, ...]) -> None:
        self._queue(request, outcome, [block.parts for block in blocks], blocks)

    def _left(self, keys: list[BlockKey]) -> None:
        """Blocks have left the volume: have the worker let go of those it may hold."""
        pairs = [(self._numbers.known(name), block) for name, block in keys]
        words = [word for number, block in pairs if number in self._given for word in (number, block)]
        for at in range(0, len(words), BLOCKS_MAX):
            self._queue(0, Outcome.FORGET, words[at : at + BLOCKS_MAX], ())

    def _queue(self, request: int, outcome: Outcome, words: list[int], blocks: tuple[OpenBlock, ...]) -> None:
        filled = words + [0] * (BLOCKS_MAX - len(words))
        self._unsent.append((ANSWER.pack(request, outcome, len(blocks), *filled), blocks))
        if len(self._unsent) == 1:
            self._send()

    def _send(self) -> None:
        while self._unsent and not self._closed:
            message, blocks = self._unsent[0]
            rights = array.array("i", [block.descriptor for block in blocks])
            ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)] if blocks else []
            try:
                sent = self._socket.sendmsg([message], ancillary)
            except (BlockingIOError, InterruptedError):
                self._loop.add_writer(self._socket.fileno(), self._writable)
                return
            except OSError:
                self.close()
                return
            if sent < len(message):  # the descriptors went with the first byte
                self._unsent[0] = (message[sent:], ())
                continue
            self._unsent.popleft()

    def _writable(self) -> None:
        self._loop.remove_writer(self._socket.fileno())
        self._send()


DoorMaker = Callable[[socket.socket], BlockDoor]
