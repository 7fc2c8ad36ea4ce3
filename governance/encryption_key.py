"""The installation's encryption keys as administrators see them: rotation by itself and on demand (claims W2.5, W2.6).

KMS allows a key 25 rotations on demand in its life (RotateKeyOnDemand); the next is refused here, and alarmed, before
it is tried. ADR 11.
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
    """steady, asked, rotating, refused (none is left), failed (the key service did not do it)."""
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

    def seen(self, facts: KeyRotationFacts) -> EncryptionKey:
        """The key as the service describes it; a rotation that is no longer in progress is done."""
        done = self.status == "rotating" and not facts.in_progress
        return dataclasses.replace(
            self,
            automatic=0 < facts.period_days <= AUTOMATIC_DAYS_MAX,
            on_demand=facts.on_demand,
            status="steady" if done else self.status,
        )

    @property
    def alarming(self) -> bool:
        """Whether somebody has to look at it."""
        return not self.automatic or self.status in ("refused", "failed")
