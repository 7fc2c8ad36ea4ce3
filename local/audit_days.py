"""Which folders of a home's audit hold objects that somebody who derives something from them has not seen."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from pathlib import Path

_GRAIN_NS = 2_000_000_000
"""Within the clock's grain a change of a folder may not show."""
QUERIES = "queries"


def changed_days(root: Path, known: Mapping[str, int]) -> Iterator[tuple[str, int]]:
    """Folders of days of queries (`queries/2026/11/22`), oldest first, that changed since `known`, and when (ns).

    The moment is read before the caller lists the folder: a file that appears in between is seen the next time.

    Raises:
        OSError: the store cannot be read.
    """
    top = root / QUERIES
    if not top.is_dir():
        return
    for folder in sorted(top.glob("[0-9]*/[0-9]*/[0-9]*")):
        changed_ns = folder.stat().st_mtime_ns
        name = folder.relative_to(root).as_posix()
        if known.get(name) != changed_ns or time.time_ns() - changed_ns < _GRAIN_NS:
            yield name, changed_ns


def objects_of(root: Path, day: str) -> list[str]:
    """Names of the objects in a day's folder, sorted: oldest batch first.

    Raises:
        OSError: it cannot be read.
    """
    return sorted(f"{day}/{entry.name}" for entry in (root / day).iterdir() if entry.name.endswith(".jsonl.gz"))
