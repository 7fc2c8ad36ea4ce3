"""How much was asked: counts and how long it took, per environment, key and day. Nothing that names data (claim W7.3).

A node tells what it has counted since it started; the same day and key of one node are told again and again, with
larger numbers, so that telling twice counts once. Days are UTC. Pure.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, ClassVar

LATENCY_BOUNDS_MS = (1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000, 60_000, 300_000)
"""Upper bounds of the histogram's bins, each included; one more bin holds what took longer."""
BINS = len(LATENCY_BOUNDS_MS) + 1
STATUSES = ("succeeded", "denied", "failed", "cancelled", "timed_out", "client_gone")
KEPT_DAYS = 400


@dataclass(frozen=True, slots=True)
class UsageFigures:
    """An observation: what one node counted for one key on one day."""

    kind: ClassVar[str] = "usage"
    organization: ClassVar[str] = ""
    lookup: ClassVar[str] = ""
    unique: ClassVar[str] = ""

    environment: str
    day: str
    """2026-11-22"""
    key_id: str
    node: str
    statements: tuple[tuple[str, int], ...]
    """(status, how many), sorted."""
    latency: tuple[int, ...]
    """How many statements fell into each bin."""

    @property
    def id(self) -> str:
        """Day, key and node, so that a day's figures stand together, and a key's within it."""
        return f"{self.group}.{self.node}"

    @property
    def group(self) -> str:
        """Day and key."""
        return f"{self.day}.{self.key_id}"

    @property
    def expires_at(self) -> str:
        """Until when it is kept."""
        return f"{date.fromisoformat(self.day) + timedelta(days=KEPT_DAYS)}T00:00:00.000000Z"

    @property
    def count(self) -> int:
        """All statements."""
        return sum(number for _, number in self.statements)

    def stored(self) -> dict[str, Any]:
        """The stored form."""
        return {
            "environment": self.environment,
            "day": self.day,
            "key_id": self.key_id,
            "node": self.node,
            "statements": dict(self.statements),
            "latency": list(self.latency),
        }

    @classmethod
    def restored(cls, body: dict[str, Any]) -> UsageFigures:
        """The inverse of `stored`; KeyError or TypeError when it is none."""
        statements = tuple(sorted(body["statements"].items()))
        return cls(**{**body, "statements": statements, "latency": tuple(body["latency"])})


def bin_of(milliseconds: float) -> int:
    """The bin that a duration falls into."""
    return bisect_left(LATENCY_BOUNDS_MS, milliseconds)


def together(figures: Iterable[UsageFigures]) -> tuple[dict[str, int], tuple[int, ...]]:
    """Statements by status and the histogram of several nodes."""
    statements: dict[str, int] = {}
    latency = [0] * BINS
    for each in figures:
        for status, number in each.statements:
            statements[status] = statements.get(status, 0) + number
        latency = [mine + theirs for mine, theirs in zip(latency, each.latency, strict=True)]
    return dict(sorted(statements.items())), tuple(latency)


def quantile_ms(latency: tuple[int, ...], share: float) -> int | None:
    """The upper bound of the bin in which this share of the statements had ended; None when none did or none knows."""
    wanted, seen = share * sum(latency), 0
    for bound, number in zip(LATENCY_BOUNDS_MS, latency, strict=False):
        seen += number
        if seen and seen >= wanted:
            return bound
    return None
