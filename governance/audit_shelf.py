"""What audit objects are besides their bytes, where they lie in tiers (claims W5.9, W5.10), and the port that asks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol


class Tier(StrEnum):
    """Where an object lies: at hand, in Glacier (hours), in Deep Archive (half a day and more)."""

    STANDARD = "standard"
    GLACIER = "glacier"
    DEEP_ARCHIVE = "deep_archive"
    OTHER = "other"
    """A storage class that the plan does not know."""


class Restore(StrEnum):
    """How far the restoring of an archived object is."""

    NONE = "none"
    """Nobody asked, or the copy is gone again."""
    ONGOING = "ongoing"
    READY = "ready"
    """A copy can be read for some days."""


class Speed(StrEnum):
    """How soon a restored copy is wanted; the sooner the dearer. Deep Archive knows no `expedited`."""

    BULK = "bulk"
    STANDARD = "standard"
    EXPEDITED = "expedited"


@dataclass(frozen=True, slots=True)
class ShelfItem:
    """One object as a listing tells of it."""

    name: str
    size: int
    stored_at: datetime
    tier: Tier
    restore: Restore = Restore.NONE

    @property
    def readable(self) -> bool:
        """Whether its bytes can be had now."""
        return self.tier in (Tier.STANDARD, Tier.OTHER) or self.restore is Restore.READY


@dataclass(frozen=True, slots=True)
class ShelfFacts:
    """One object as it says itself."""

    item: ShelfItem
    encryption: str
    """`aws:kms` and the like; empty: none."""
    key: str
    """ARN of the key, or empty."""
    lock: str
    """`GOVERNANCE`, `COMPLIANCE`, or empty: not locked."""
    retained_until: datetime | None


class ObjectArchived(OSError):
    """The object lies in an archive tier and no copy of it is restored."""


class AuditShelf(Protocol):
    """The audit store as one who looks after it sees it. Names are those of `governance.ports.AuditStore`."""

    def items(self, prefix: str, *, after: str = "") -> Iterator[ShelfItem]:
        """Objects under `prefix` whose names come past `after`, by name.

        Raises:
            OSError: the store refuses or does not answer.
        """

    def facts(self, name: str) -> ShelfFacts:
        """Encryption, lock and tier of an object.

        Raises:
            FileNotFoundError: no such object.
            OSError: as above.
        """

    def restore(self, name: str, *, days: int, speed: Speed) -> Restore:
        """Ask for a copy that can be read for `days`; how far it is. Asking again is no fault.

        Raises:
            FileNotFoundError, OSError: as above.
        """
