"""CPU seconds and resident memory of a process and all its children, from /proc."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


def family(pid: int) -> list[int]:
    """`pid` and all its descendants that live now."""
    found = [pid]
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        children = [int(child) for task in tasks for child in (task / "children").read_text().split()]
    except OSError:
        return found
    for child in children:
        found += family(child)
    return found


def cpu_s(pid: int) -> float:
    """User and system seconds of the family, ended children included."""
    total = 0
    for member in family(pid):
        try:
            fields = Path(f"/proc/{member}/stat").read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        total += sum(int(ticks) for ticks in fields[11:15])
    return total / _TICKS


def resident_mb(pid: int, *, alone: bool = False) -> float:
    """Proportional resident memory of the family, or of the process `alone`, in MB (shared pages counted once)."""
    total = 0
    for member in [pid] if alone else family(pid):
        try:
            lines = Path(f"/proc/{member}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total / 1024


@dataclass
class Watched:
    """Samples of resident memory, in MB."""

    samples: list[float] = field(default_factory=list)


@contextmanager
def watched_memory(pid: int, every_s: float = 0.2) -> Iterator[Watched]:
    """Sample the family's resident memory while the block runs."""
    watched, ended = Watched(), threading.Event()

    def sample() -> None:
        while not ended.is_set():
            watched.samples.append(resident_mb(pid))
            ended.wait(every_s)

    thread = threading.Thread(target=sample, daemon=True)
    thread.start()
    try:
        yield watched
    finally:
        ended.set()
        thread.join()
