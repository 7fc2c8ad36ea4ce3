"""What earlier runs measured, read back from docs/benchmarks.md, and whether a run is half as much again worse."""

from __future__ import annotations

import re
import statistics
from collections.abc import Iterable

from benchmarks.report import HISTORY, Line

RUNS = 5
"""A figure is compared with the median of so many of its last recorded runs."""
WORSE = 1.5
_ROW = re.compile(r"^\| (?P<name>[^|]+) \| (?P<value>[0-9.e+-]+) (?P<unit>\S+) \|", re.MULTILINE)


def kept(text: str) -> dict[str, list[float]]:
    """Every figure's recorded values by name, newest first."""
    found: dict[str, list[float]] = {}
    for row in _ROW.finditer(text):
        found.setdefault(row["name"].strip(), []).append(float(row["value"]))
    return found


def regressions(lines: Iterable[Line], text: str | None = None) -> list[str]:
    """Ratios that are half as much again worse than recorded, in words. Times are not compared: machines differ."""
    before = kept(HISTORY.read_text() if text is None else text)
    told = []
    for line in lines:
        values = before.get(line.name, [])[:RUNS]
        if line.unit == "x" and values and line.value > WORSE * statistics.median(values):
            told.append(f"{line.name}: {line.value:.3g} x, recorded {statistics.median(values):.3g} x")
    return told
