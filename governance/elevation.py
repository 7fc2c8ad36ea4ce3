"""Just-in-time access: a role asked for, lent by somebody else for minutes, through one key (claim H15.4; ADR 15).

    requested --approved--> granted --its time is over--> ended
        |  |                   +-----taken back---------> revoked
        |  +--refused--> denied
        +--withdrawn or too old--> canceled

What is lent lives in a key that expires with the grant, so nodes end it by their own clock. Pure.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, ClassVar

from governance.admin_event import AdminEvent, AdminEventType
from governance.errors import Conflict
from governance.roles import Role
from governance.scopes import BUNDLES, Scope
from governance.timestamp import parse, stamp

MINUTES_MAX = 8 * 60
REQUEST_LIVES = timedelta(hours=24)
"""A request that nobody answers within this time is too old to be approved."""
KEPT = timedelta(days=400)
"""How long it can be looked up; the chain remembers it for good."""

LENT_SCOPES: dict[Role, frozenset[Scope]] = {
    Role.ADMIN: BUNDLES["admin"],
    Role.ANALYST: BUNDLES["read_only"],
    Role.AUDITOR: frozenset({Scope.AUDIT_READ}),
    Role.DEVELOPER: BUNDLES["developer"],
}
"""The roles that may be lent, and the scopes that are when none are named. An Owner there is but one."""


@dataclass(frozen=True, slots=True)
class Elevation:
    """A request for a role and what became of it. What is law is the key; this says where the key comes from."""

    kind: ClassVar[str] = "elevation"
    lookup: ClassVar[str] = ""

    environment: str
    id: str
    user_id: str
    user_role: Role
    """The user's own role when he asked; the grant ends when that changes."""
    organization: str
    role: Role
    scopes: frozenset[Scope]
    minutes: int
    reason: str
    requested_at: str
    key_id: str
    """The key it was asked with; the lent key is no wider in networks, tables and quota."""
    status: str = "requested"
    """requested, granted, denied, canceled, revoked, ended."""
    approver_id: str = ""
    starts_at: str = ""
    ends_at: str = ""

    @property
    def unique(self) -> str:
        """A user has one open request in an environment."""
        return self.user_id if self.status == "requested" else ""

    @property
    def expires_at(self) -> str:
        """Until when it is kept."""
        return stamp(parse(self.requested_at) + KEPT)

    def fact(self) -> dict[str, Any]:
        """As the chain tells it."""
        return {
            "id": self.id,
            "user_id": self.user_id,
            "role": self.role.value,
            "scopes": sorted(scope.value for scope in self.scopes),
            "minutes": self.minutes,
            "reason": self.reason,
            "approver_id": self.approver_id,
            "starts_at": self.starts_at,
            "ends_at": self.ends_at,
            "status": self.status,
        }

    def stored(self) -> dict[str, Any]:
        """The stored form."""
        return {
            **self.fact(),
            "environment": self.environment,
            "organization": self.organization,
            "user_role": self.user_role.value,
            "requested_at": self.requested_at,
            "key_id": self.key_id,
        }

    @classmethod
    def restored(cls, body: dict[str, Any]) -> Elevation:
        """The inverse of `stored`; KeyError, TypeError or ValueError when it is none."""
        scopes = frozenset(Scope(name) for name in body["scopes"])
        return cls(**{**body, "role": Role(body["role"]), "user_role": Role(body["user_role"]), "scopes": scopes})

    # ------------------------------------------------------------ its life

    def running(self, now: str) -> bool:
        """Whether the role is lent at `now`."""
        return self.status == "granted" and now < self.ends_at

    def standing(self, now: str) -> str:
        """The status as the clock has it, whether or not that was written down yet."""
        if self.status == "granted" and not self.running(now):
            return "ended"
        if self.status == "requested" and stamp(parse(self.requested_at) + REQUEST_LIVES) <= now:
            return "canceled"
        return self.status

    def granted(self, approver_id: str, minutes: int, now: str) -> Elevation:
        """Lent from now on, for at most the minutes asked for.

        Raises:
            Conflict: it is not open any more.
        """
        self._need("requested", now)
        minutes = min(minutes, self.minutes)
        ends_at = stamp(parse(now) + timedelta(minutes=minutes))
        return dataclasses.replace(
            self, status="granted", approver_id=approver_id, minutes=minutes, starts_at=now, ends_at=ends_at
        )

    def denied(self, approver_id: str, now: str) -> Elevation:
        """Refused by somebody; raises as `granted` does."""
        self._need("requested", now)
        return dataclasses.replace(self, status="denied", approver_id=approver_id)

    def over(self, now: str) -> Elevation | None:
        """As it is when it has to end before its time: withdrawn or taken back. None when it was over before."""
        if self.status == "requested":
            return dataclasses.replace(self, status="canceled")
        if self.running(now):
            return dataclasses.replace(self, status="revoked", ends_at=now)
        return self.elapsed(now)

    def elapsed(self, now: str) -> Elevation | None:
        """As the clock has made it, when that was not written down yet."""
        standing = self.standing(now)
        return None if standing == self.status else dataclasses.replace(self, status=standing)

    def _need(self, status: str, now: str) -> None:
        if self.standing(now) != status:
            raise Conflict(f"This request is {self.standing(now)}.", advice="Ask for access anew.")


def elevation_event(old: Elevation | None, new: Elevation) -> AdminEvent:
    """What the chain says of one step."""
    kind = AdminEventType.ACCESS_CHANGED if old else AdminEventType.ACCESS_REQUESTED
    return AdminEvent(kind, new.environment, new.organization, new.id, old.fact() if old else None, new.fact())
