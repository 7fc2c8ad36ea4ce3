"""What is asked under each key: counted for the control plane, and held to its quota (claim W7.3).

A day's quota counts this node's statements and, as the control plane told at the last report, those of all other nodes;
a minute's counts this node's alone. Both go by the node's clock, UTC.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from governance.errors import QuotaExceeded
from governance.quota import Quota
from governance.rulebook import Key, Rulebook
from governance.usage import BINS, bin_of

ENTRIES_MAX = 1000
"""In one report; the rest goes with the next."""
_GROUPS_MAX = 100_000
_MINUTE = timedelta(minutes=1)


def utc_now() -> datetime:
    """The present moment."""
    return datetime.now(UTC)


@dataclass(slots=True)
class _Counted:
    """One key on one day."""

    statements: dict[str, int] = field(default_factory=dict)
    latency: list[int] = field(default_factory=lambda: [0] * BINS)


class UsageLedger:
    """Counts from the node's start; nothing in it outlives the process but what was told."""

    def __init__(self, now: Callable[[], datetime] = utc_now) -> None:
        self._now = now
        self._counted: dict[tuple[str, str], _Counted] = {}
        self._untold: set[tuple[str, str]] = set()
        self._day = ""
        self._minute = datetime.min.replace(tzinfo=UTC)
        self._today: dict[tuple[str, str], int] = {}
        """(key or organization, id) -> statements begun today."""
        self._this_minute: dict[tuple[str, str], int] = {}
        self._elsewhere: Mapping[tuple[str, str], int] = {}

    # ------------------------------------------------------------ quotas

    def begin(self, key: Key, organization: str, rulebook: Rulebook) -> None:
        """Count a statement that is about to run.

        Raises:
            QuotaExceeded: it would be one too many; nothing is counted then.
        """
        self._turn()
        subjects = (("key", key.id, key.quota), ("organization", organization, _quota(rulebook, organization)))
        for subject, id_, quota in subjects:
            name = (subject, id_)
            if quota.queries_per_minute and self._this_minute.get(name, 0) >= quota.queries_per_minute:
                raise _exceeded(subject, "minute", quota.queries_per_minute)
            begun = self._today.get(name, 0) + self._elsewhere.get(name, 0)
            if quota.queries_per_day and begun >= quota.queries_per_day:
                raise _exceeded(subject, "day", quota.queries_per_day)
        for subject, id_, _ in subjects:
            name = (subject, id_)
            self._this_minute[name] = self._this_minute.get(name, 0) + 1
            self._today[name] = self._today.get(name, 0) + 1

    @property
    def today(self) -> str:
        """The day that is counted now."""
        self._turn()
        return self._day

    def _turn(self) -> None:
        """Begin the counts of a new minute or day."""
        now = self._now()
        if self._minute <= now < self._minute + _MINUTE:
            return
        self._minute, self._this_minute = now.replace(second=0, microsecond=0), {}
        day = now.date().isoformat()
        if day != self._day:
            self._day, self._today, self._elsewhere = day, {}, {}

    # ------------------------------------------------------------ figures

    def ended(self, key_id: str, status: str, seconds: float) -> None:
        """Count a statement that has ended, however it did."""
        self._turn()
        name = (self._day, key_id)
        counted = self._counted.get(name)
        if counted is None:
            if len(self._counted) >= _GROUPS_MAX:
                return
            counted = self._counted[name] = _Counted()
        counted.statements[status] = counted.statements.get(status, 0) + 1
        counted.latency[bin_of(seconds * 1000)] += 1
        self._untold.add(name)

    def report(self) -> list[dict[str, Any]]:
        """What has changed since it was told, at most ENTRIES_MAX entries, the oldest days first."""
        return [
            {
                "day": day,
                "key_id": key_id,
                "statements": dict(self._counted[day, key_id].statements),
                "latency": list(self._counted[day, key_id].latency),
            }
            for day, key_id in sorted(self._untold)[:ENTRIES_MAX]
        ]

    def told(self, entries: Iterable[Mapping[str, Any]], day: str, elsewhere: Mapping[str, Mapping[str, int]]) -> None:
        """The control plane has taken these entries, and said what other nodes counted on `day`.

        Args:
            entries: as `report` gave them.
            day: the day that `elsewhere` speaks of.
            elsewhere: `keys` and `organizations`: id -> statements.
        """
        for entry in entries:
            name = (entry["day"], entry["key_id"])
            counted = self._counted.get(name)
            if counted is not None and counted.statements == entry["statements"]:
                self._untold.discard(name)
        self._turn()
        if day == self._day:
            self._elsewhere = {
                (subject, id_): number
                for subject, plural in (("key", "keys"), ("organization", "organizations"))
                for id_, number in elsewhere.get(plural, {}).items()
            }
        for name in [name for name in self._counted if name[0] < self._day and name not in self._untold]:
            del self._counted[name]


def _quota(rulebook: Rulebook, organization: str) -> Quota:
    return next((quota for each, quota in rulebook.quotas if each == organization), Quota())


def _exceeded(subject: str, span: str, most: int) -> QuotaExceeded:
    return QuotaExceeded(
        f"The {subject}'s quota of {most} statements a {span} is used up.",
        advice="Wait for the next " + span + " (UTC), or ask an administrator for more.",
    )
