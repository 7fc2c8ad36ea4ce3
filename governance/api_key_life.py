"""The life of an API key: issued, warned of its end, rotated with grace, ended (claims W3.6, W3.7). Pure; ADR 11.

A key that rotates by itself gets a successor that *waits*: a name and settings without a secret. Its secret is made
when it is fetched, once, with the old key while that is still valid; so no plaintext ever waits anywhere.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from governance.admin_event import AdminEvent, AdminEventType
from governance.register import KeyRecord
from governance.timestamp import parse, stamp

GRACE = timedelta(hours=72)
"""How long the old key of a rotation stays valid (claim W3.6)."""
WARNING_DAYS = (30, 7, 1)
"""Before its end a key's webhooks are told, once at each of these stages (claim W3.7)."""
ROTATE_AFTER_DAYS_MIN = 4
"""More than the grace, or a rotation would cut short the grace of the one before."""
ROTATE_AFTER_DAYS_MAX = 3650


@dataclass(frozen=True, slots=True)
class Rotation:
    """What one rotation makes of a line of keys."""

    old: KeyRecord
    """The key that was, valid until its grace is over."""
    successor: KeyRecord
    ended: tuple[tuple[KeyRecord, KeyRecord], ...]
    """Keys of the same line that were still in grace, before and after: they end now."""


def rotation_due(key: KeyRecord, now: str) -> bool:
    """Whether an active key is past the age at which it asked to be rotated."""
    if key.status != "active" or not key.rotate_after_days or not key.valid_at(now):
        return False
    return stamp(parse(key.created_at) + timedelta(days=key.rotate_after_days)) <= now


def rotate(old: KeyRecord, line: Iterable[KeyRecord], *, successor: KeyRecord, grace_until: str) -> Rotation:
    """`old` gives way to `successor`; whatever was in grace before `old` ends.

    Args:
        old: an active key.
        line: keys among which its predecessors are, in any order.
        successor: made by `waiting_successor` or `issued`.
        grace_until: until when the old key stays valid.
    """
    given_way = dataclasses.replace(old, status="rotated", grace_until=grace_until, rotated_to=successor.id)
    ended = tuple(
        (key, dataclasses.replace(key, status="revoked"))
        for key in line
        if key.rotated_to == old.id and key.status == "rotated"
    )
    return Rotation(given_way, successor, ended)


def waiting_successor(old: KeyRecord, *, key_id: str, now: str, maker: str) -> KeyRecord:
    """The key that will follow `old`: its settings, and no secret yet."""
    return dataclasses.replace(
        old, id=key_id, prefix="", hash="", status="waiting", created_at=now, created_by=maker, grace_until="",
        rotated_to="",
    )  # fmt: skip


def issued(waiting: KeyRecord, *, prefix: str, key_hash: str, now: str) -> KeyRecord:
    """A waiting key that has got its secret."""
    return dataclasses.replace(waiting, prefix=prefix, hash=key_hash, status="active", created_at=now)


def ended(key: KeyRecord, now: str) -> KeyRecord | None:
    """The key as it is once its time is over, or None while it is not (or has ended before)."""
    if key.status in ("revoked", "expired"):
        return None
    if key.expires_at and key.expires_at <= now:
        return dataclasses.replace(key, status="expired")
    if key.status == "rotated" and key.grace_until <= now:
        return dataclasses.replace(key, status="revoked")
    return None


def orphaned(key: KeyRecord, line: Iterable[KeyRecord]) -> bool:
    """Whether a waiting key can no longer be fetched: no key in grace leads to it."""
    return key.status == "waiting" and not any(old.rotated_to == key.id and old.status == "rotated" for old in line)


def warning_stage(key: KeyRecord, now: str) -> int | None:
    """The nearest of `WARNING_DAYS` that an active key's expiry has come within, or None."""
    if key.status != "active" or not key.expires_at or key.expires_at <= now:
        return None
    left = parse(key.expires_at) - parse(now)
    return min((days for days in WARNING_DAYS if left <= timedelta(days=days)), default=None)


def key_event(kind: AdminEventType, old: KeyRecord | None, new: KeyRecord) -> AdminEvent:
    """What the chain says of a key's change."""
    return AdminEvent(kind, new.environment, new.organization, new.id, old.fact() if old else None, new.fact())


def revocations(gone: Iterable[tuple[KeyRecord, KeyRecord]]) -> tuple[AdminEvent, ...]:
    """The events of keys that end, given before and after."""
    return tuple(key_event(AdminEventType.KEY_REVOKED, before, after) for before, after in gone)
