"""The adapters of the port ControlStore; each test of the suite runs on every one of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from governance.ports import ControlStore
from local.control_store import SqliteControlStore
from tests.support.aws import control_stores

OpenStore = Callable[[], ControlStore]
"""Opens the same storage once more, as another process would."""


def _sqlite(tmp_path: Path) -> Iterator[OpenStore]:
    yield lambda: SqliteControlStore(tmp_path / "store.sqlite")


def _dynamodb(_: Path) -> Iterator[OpenStore]:
    with control_stores() as open_:
        yield open_


ADAPTERS: dict[str, Callable[[Path], Iterator[OpenStore]]] = {"sqlite": _sqlite, "dynamodb": _dynamodb}
"""Name of an adapter -> a generator that yields how to open its storage, and clears up afterwards."""


@pytest.fixture(params=sorted(ADAPTERS))
def open_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OpenStore]:
    opened: list[ControlStore] = []
    adapter = ADAPTERS[request.param](tmp_path)
    make = next(adapter)

    def open_() -> ControlStore:
        opened.append(make())
        return opened[-1]

    yield open_
    for store in opened:
        store.close()
    next(adapter, None)


@pytest.fixture
def store(open_store: OpenStore) -> ControlStore:
    return open_store()
