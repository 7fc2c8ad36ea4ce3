"""The installation's encryption keys as administrators see them: rotation by itself and on demand (claims W2.5, W2.6).

KMS allows a key 25 rotations on demand in its life (RotateKeyOnDemand); the next is refused here, and alarmed, before
it is tried. ADR 16.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

ON_DEMAND_MAX = 25
AUTOMATIC_DAYS_MAX = 366
"""A key that rotates more seldom than about yearly counts as not rotating by itself."""


@dataclass(frozen=True, slots=True)
class KeyRotationFacts:
    """What the key service says of a key now."""

    period_days: int
    """0 when it does not rotate by itself."""
    on_demand: int
    """Rotations on demand so far."""
    in_progress: bool = False


@dataclass(frozen=True, slots=True)
class EncryptionKey:
    """What is known and asked of one key; each change is an event of its environment."""

    name: str
    status: str = "steady"
    """steady, asked, rotating, refused (none is left)."""
    automatic: bool = True
    """Whether it rotates by itself at least yearly, as last seen."""
    on_demand: int = 0
    asked_at: str = ""
    rotated_at: str = ""

    def fact(self) -> dict[str, Any]:
        """All of it."""
        return dataclasses.asdict(self)

    def asked(self, now: str) -> EncryptionKey:
        """The key with a rotation asked for."""
        return dataclasses.replace(self, status="asked", asked_at=now)

    def seen(self, facts: KeyRotationFacts, now: str) -> EncryptionKey:
        """The key as the service describes it.

        A rotation that is asked for and shows in the count, or is in progress, has begun: so whoever crashed after
        beginning one does not begin another. One that is no longer in progress is done.
        """
        status, rotated_at = self.status, self.rotated_at
        if status == "asked" and (facts.in_progress or facts.on_demand > self.on_demand):
            status, rotated_at = "rotating", now
        if status == "rotating" and not facts.in_progress:
            status = "steady"
        return dataclasses.replace(
            self,
            automatic=0 < facts.period_days <= AUTOMATIC_DAYS_MAX,
            on_demand=facts.on_demand,
            status=status,
            rotated_at=rotated_at,
        )

    @property
    def left(self) -> int:
        """Rotations on demand that the key service still allows."""
        return max(0, ON_DEMAND_MAX - self.on_demand)

    def begun(self, now: str) -> EncryptionKey:
        """The key with the asked rotation begun."""
        return dataclasses.replace(self, status="rotating", rotated_at=now, on_demand=self.on_demand + 1)

    def refused(self) -> EncryptionKey:
        """The key with the asked rotation refused."""
        return dataclasses.replace(self, status="refused")

    @property
    def alarming(self) -> bool:
        """Whether somebody has to look at it."""
        return not self.automatic or self.status == "refused"
