"""One rig for the room: workers take a second to start."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engine.executor.rig import Rig, rig


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """Running parts over an empty lake."""
    root: Path = tmp_path_factory.mktemp("house")
    with rig(root, memory_bytes=1 << 30, kill_grace_s=0.5) as made:
        yield made
