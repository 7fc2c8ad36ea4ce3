"""Seals finished days and checks every object against the plan, a slice at a time."""

from __future__ import annotations

import itertools
import logging
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta

from governance.audit_plan import Deviation, deviations
from governance.audit_proof import seal_finished_days
from governance.audit_shelf import AuditShelf, ShelfItem
from governance.node_ports import Alarms
from governance.ports import AuditStore, Clock, Signer
from governance.signatures import verifier
from lambdas.audit_tiering.progress import DEVIATIONS_MAX, Part, encode, last_part
from lambdas.audit_tiering.settings import AuditTieringSettings

_LOG = logging.getLogger("hatidata.audit_tiering")
TICK = {"hatidata": "tick"}
_AT_ONCE = 8
_BATCH = 400


@dataclass
class Summary:
    """What one invocation did."""

    sealed: list[str] = field(default_factory=list)
    objects: int = 0
    deviations: int = 0
    finished: bool = False
    """Whether the check of the day is done."""

    def figures(self) -> dict[str, float]:
        """By the names of the metrics."""
        return {
            "AuditDaysSealed": len(self.sealed),
            "AuditObjectsChecked": self.objects,
            "AuditDeviations": self.deviations,
        }


@dataclass(frozen=True, slots=True)
class AuditTiering:
    """The task over its ports; `store` and `shelf` are one bucket."""

    settings: AuditTieringSettings
    store: AuditStore
    shelf: AuditShelf
    signer: Signer
    alarms: Alarms
    clock: Clock

    def tend(self) -> Summary:
        """Seal, then check for one slice.

        Raises:
            OSError, StoreUnavailable: the store or the key do not answer; the clock comes again.
            ValueError: the last manifest, or a report, is damaged: somebody must look.
        """
        summary = Summary(
            seal_finished_days(self.store, self.signer.sign, self.clock.now(), verifier(self.signer.public_key()))
        )
        today = self.clock.now().date()
        before = last_part(self.store, today.isoformat())
        if before is not None and before.done:
            summary.finished = True
            return summary
        found: list[Deviation] = []
        if before is None:
            yesterday = (today - timedelta(days=1)).isoformat()
            left = last_part(self.store, yesterday)
            if left is not None and not left.done:
                found.append(Deviation("check_unfinished", left.name, f"stood at {left.after} when the day ended"))
        part = self._check(today.isoformat(), before, found)
        summary.objects = part.objects - (before.objects if before else 0)
        summary.deviations = part.deviations_total - (before.deviations_total if before else 0)
        summary.finished = part.done
        if part.done and part.deviations_total:
            self._tell(part)  # before the day counts as done: told twice is better than never
        if not self.store.put_new(part.name, encode(part)):
            _LOG.info("another invocation laid %s", part.name)
        return summary

    def _check(self, day: str, before: Part | None, found: list[Deviation]) -> Part:
        """Objects past the part before, until the slice is over."""
        until = self.clock.now() + timedelta(seconds=self.settings.slice_s)
        after = before.after if before else ""
        size = before.bytes if before else 0
        count = before.objects if before else 0
        tiers: Counter[str] = Counter(before.tiers if before else {})
        done = False
        items = iter(self.shelf.items("", after=after))
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            while self.clock.now() < until:
                batch = list(itertools.islice(items, _BATCH))
                if not batch:
                    done = True
                    break
                for item, wrong in zip(batch, pool.map(self._deviations, batch), strict=True):
                    found += wrong
                    count, size, after = count + 1, size + item.size, item.name
                    tiers[item.tier.value] += 1
        total = (before.deviations_total if before else 0) + len(found)
        number = before.number + 1 if before else 1
        return Part(day, number, after, done, count, size, dict(tiers), total, tuple(found[:DEVIATIONS_MAX]))

    def _deviations(self, item: ShelfItem) -> list[Deviation]:
        try:
            return list(deviations(self.shelf.facts(item.name), self.settings.plan, self.clock.now()))
        except FileNotFoundError:
            return [Deviation("vanished", item.name, "listed, and gone when it was asked for")]

    def _tell(self, part: Part) -> None:
        self.alarms.alarm(
            "HatiData: audit objects deviate from the plan",
            {"day": part.day, "deviations": str(part.deviations_total), "report": part.name},
        )
