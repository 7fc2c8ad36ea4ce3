"""What every audit object should be: encrypted by the audit key, locked for its time, in the tier of its age. Pure.

Claims W2.3, W5.2, W5.9, W5.10. Records move: Standard to 90 days, Glacier to a year, Deep Archive after. Their proofs
(manifests, checkpoints, reports, ends of nodes) are small and stay at hand, so that records can be proved and found
without waiting for an archive.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from governance.audit_shelf import ShelfFacts, ShelfItem, Tier

MOVING_PREFIXES = ("queries/", "sessions/")
"""Streams whose objects move through the tiers; the bucket's lifecycle names the same."""
GLACIER_AFTER_DAYS = 90
DEEP_ARCHIVE_AFTER_DAYS = 365
GRACE = timedelta(days=3)
"""S3 moves objects at the next midnight and not at once (S3 User Guide, lifecycle configuration elements)."""
_LOCKS = frozenset({"GOVERNANCE", "COMPLIANCE"})
_ENCRYPTIONS = frozenset({"aws:kms", "aws:kms:dsse"})


@dataclass(frozen=True, slots=True)
class AuditPlan:
    """The plan of one bucket."""

    key: str
    """ARN of the audit key."""
    retention_days: int = 7 * 365
    """At least; seven calendar years are one or two days more."""


@dataclass(frozen=True, slots=True)
class Deviation:
    """One thing that is not as planned."""

    kind: str
    """not_encrypted, other_key, not_locked, retained_too_short, tier_too_early, tier_late, tier_unknown, vanished,
    check_unfinished."""
    name: str
    detail: str


def tiers_due(name: str, age: timedelta) -> frozenset[Tier]:
    """The tiers in which an object of this name may lie at this age."""
    if not name.startswith(MOVING_PREFIXES):
        return frozenset({Tier.STANDARD})
    due = set()
    if age < timedelta(days=GLACIER_AFTER_DAYS) + GRACE:
        due.add(Tier.STANDARD)
    if timedelta(days=GLACIER_AFTER_DAYS) <= age < timedelta(days=DEEP_ARCHIVE_AFTER_DAYS) + GRACE:
        due.add(Tier.GLACIER)
    if age >= timedelta(days=DEEP_ARCHIVE_AFTER_DAYS):
        due.add(Tier.DEEP_ARCHIVE)
    return frozenset(due)


def tier_deviations(item: ShelfItem, now: datetime) -> Iterator[Deviation]:
    """What a listing alone tells."""
    if item.tier is Tier.OTHER:
        yield Deviation("tier_unknown", item.name, "lies in a storage class that the plan does not know")
        return
    age = now - item.stored_at
    due = tiers_due(item.name, age)
    if item.tier not in due:
        order = list(Tier)
        early = all(order.index(item.tier) > order.index(tier) for tier in due)
        wanted = " or ".join(sorted(tier.value for tier in due))
        yield Deviation(
            "tier_too_early" if early else "tier_late",
            item.name,
            f"in {item.tier.value} after {age.days} days, where {wanted} is planned",
        )


def deviations(facts: ShelfFacts, plan: AuditPlan, now: datetime) -> Iterator[Deviation]:
    """Everything that is not as planned about one object."""
    name = facts.item.name
    yield from tier_deviations(facts.item, now)
    if facts.encryption not in _ENCRYPTIONS:
        yield Deviation("not_encrypted", name, "not under a key of KMS")
    elif facts.key != plan.key:
        yield Deviation("other_key", name, "under another key than the audit key")
    if facts.lock not in _LOCKS or facts.retained_until is None:
        yield Deviation("not_locked", name, "no object lock holds it")
    elif facts.retained_until - facts.item.stored_at < timedelta(days=plan.retention_days):
        kept = (facts.retained_until - facts.item.stored_at).days
        yield Deviation("retained_too_short", name, f"held for {kept} days, where {plan.retention_days} are promised")
