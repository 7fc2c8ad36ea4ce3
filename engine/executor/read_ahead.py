"""DuckDB makes the next batch while the last one is encoded and sent: a thread, one batch ahead, for long results."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator, Iterator
from typing import TypeVar

Item = TypeVar("Item")
_ITEMS_BEFORE = 2
"""A result of one batch never pays for a thread."""


def read_ahead(source: Iterator[Item], abandon: Callable[[], None]) -> Generator[Item, None, None]:
    """The items of `source`, each read while the one before is worked on.

    At most one item waits. Errors of `source` are raised here, in their place. When the reader of this generator
    leaves early, `abandon` is called (it must make `source` stop soon) and the thread has ended on return.
    """
    for at, item in enumerate(source, 1):
        yield item
        if at == _ITEMS_BEFORE:
            break
    else:
        return
    yield from _threaded(source, abandon)


def _threaded(source: Iterator[Item], abandon: Callable[[], None]) -> Generator[Item, None, None]:
    made: queue.SimpleQueue[tuple[Item] | BaseException | None] = queue.SimpleQueue()
    room = threading.Semaphore(1)
    left = threading.Event()

    def read() -> None:
        end: BaseException | None = None
        try:
            for item in source:
                room.acquire()
                if left.is_set():
                    return
                made.put((item,))
        except BaseException as error:
            end = error
        made.put(end)

    thread = threading.Thread(target=read, name="read-ahead", daemon=True)
    thread.start()
    try:
        while True:
            got = made.get()
            if got is None:
                return
            if isinstance(got, BaseException):
                raise got
            room.release()
            yield got[0]
    finally:
        left.set()
        room.release()
        if thread.is_alive():
            abandon()
        thread.join()
