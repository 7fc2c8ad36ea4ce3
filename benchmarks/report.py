"""Lines of a report, targets beside them, and the history in docs/benchmarks.md."""

from __future__ import annotations

import os
import platform
import ssl
import subprocess
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from tests.support.postgres15 import BINARIES

HISTORY = Path(__file__).resolve().parents[1] / "docs" / "benchmarks.md"
_MARK = "<!-- newest run first; written by `python -m benchmarks --record` -->"


@dataclass(frozen=True)
class Line:
    """One measured figure; `limit` is the most it may be, None when there is none."""

    name: str
    value: float
    unit: str
    limit: float | None = None
    detail: str = ""

    @property
    def holds(self) -> bool:
        """Whether the target is met."""
        return self.limit is None or self.value <= self.limit


@dataclass
class Report:
    """All lines of a run."""

    lines: list[Line] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)

    def add(self, name: str, value: float, unit: str, limit: float | None = None, detail: str = "") -> None:
        """Take in a figure and print it at once."""
        line = Line(name, value, unit, limit, detail)
        self.lines.append(line)
        print("  " + " | ".join(_cells(line)), flush=True)

    def skip(self, name: str, why: str) -> None:
        """Take in what could not be measured here."""
        self.skipped.append(f"{name}: {why}")
        print(f"  skipped: {name}: {why}", flush=True)

    def markdown(self) -> str:
        """The run as a section of the history."""
        rows = ["| figure | value | target | detail |", "|---|---|---|---|"]
        rows += ["| " + " | ".join(_cells(line)) + " |" for line in self.lines]
        skipped = [f"- skipped: {text}" for text in self.skipped]
        return "\n".join([f"## {datetime.now(UTC):%Y-%m-%d %H:%M} UTC", "", machine(), "", *rows, *skipped, ""])


def _cells(line: Line) -> tuple[str, str, str, str]:
    target = "" if line.limit is None else f"<= {line.limit:g} {line.unit} {'ok' if line.holds else 'MISSED'}".strip()
    return line.name, f"{line.value:.3g} {line.unit}".strip(), target, line.detail


def machine() -> str:
    """Versions, cores and load, in one sentence."""
    parts = [f"{name} {version(name)}" for name in ("duckdb", "pyarrow", "numpy", "uvloop")]
    postgres = BINARIES / "postgres"
    if postgres.exists():
        told = subprocess.run([postgres, "--version"], capture_output=True, text=True, check=True).stdout.split()
        parts.append(f"PostgreSQL {told[2]}")
    load = ", ".join(f"{value:.2f}" for value in os.getloadavg())
    if os.sched_getscheduler(0) in (os.SCHED_FIFO, os.SCHED_RR):
        load += ", all servers and clients under real-time scheduling"
    return (
        f"Python {platform.python_version()}, {', '.join(parts)}, {ssl.OPENSSL_VERSION}; {os.cpu_count()} cores, "
        f"{platform.machine()}, load {load}; commit {_commit()}."
    )


def _commit() -> str:
    told = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False, cwd=HISTORY.parent
    )
    return told.stdout.strip() or "unknown"


def record(report: Report) -> None:
    """Put the run on top of the history."""
    text = HISTORY.read_text()
    head, mark, tail = text.partition(_MARK)
    if not mark:
        raise RuntimeError("docs/benchmarks.md has lost its mark")
    HISTORY.write_text(f"{head}{mark}\n\n{report.markdown()}{tail}")
