"""What a review of access shows: a line for each user, made from the register as it is and the review before. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from governance.access_review import AccessReview, ReviewLine, period_of, review_id
from governance.elevation import Elevation
from governance.permissions import effective_scopes
from governance.register import KeyRecord, UserRecord
from governance.roles import ROLE_MATRIX
from governance.timestamp import stamp

DUE = timedelta(days=30)
"""How long after its opening a review shall be signed off."""
KEYS_SHOWN_MAX = 200
"""Of one user; the line tells how many there are."""


@dataclass(frozen=True, slots=True)
class Holdings:
    """The register as a review looks at it."""

    users: Sequence[UserRecord]
    keys: Sequence[KeyRecord]
    used: Mapping[tuple[str, str], str]
    """(environment, key id) -> when it was last used."""
    elevations: Sequence[Elevation]


def opened(
    organization: str,
    now: datetime,
    holdings: Holdings,
    before: AccessReview | None,
    lines_before: Sequence[ReviewLine],
) -> tuple[AccessReview, list[ReviewLine]]:
    """The review of the present quarter: a line for each user, by id.

    Args:
        organization: whose.
        now: the moment it opens.
        holdings: of that organization alone.
        before: the review before, or None.
        lines_before: its lines.
    """
    then = {line.user_id: line.held for line in lines_before}
    at, since = stamp(now), before.opened_at if before else ""
    name = review_id(period_of(now), organization)
    lines = []
    for number, user in enumerate(sorted(holdings.users, key=lambda user: user.id), start=1):
        held = _held(user, holdings, then.get(user.id), since, known=before is not None)
        lines.append(ReviewLine(name, number, organization, held))
    gone = tuple(sorted(then.keys() - {user.id for user in holdings.users}))
    return AccessReview(organization, period_of(now), at, stamp(now + DUE), since, len(lines), gone), lines


def _held(
    user: UserRecord, holdings: Holdings, then: Mapping[str, Any] | None, since: str, *, known: bool
) -> dict[str, Any]:
    keys = [_key(key, user, holdings) for key in holdings.keys if key.user_id == user.id and key.opens]
    keys.sort(key=lambda key: (key["environment"], key["id"]))
    held: dict[str, Any] = {
        **{name: value for name, value in user.fact().items() if name not in ("id", "organization")},
        "user_id": user.id,
        "privileges": sorted(privilege.value for privilege in ROLE_MATRIX[user.role]),
        "keys": keys[:KEYS_SHOWN_MAX],
        "key_count": len(keys),
        "lent": sorted(
            (
                {"id": e.id, "role": e.role.value, "starts_at": e.starts_at, "ends_at": e.ends_at}
                for e in holdings.elevations
                if e.user_id == user.id and e.starts_at > since
            ),
            key=lambda each: str(each["starts_at"]),
        ),
        "last_used_at": max((key["last_used_at"] for key in keys), default=""),
    }
    return held | {"changes": _changes(held, then) if known else []}


def _key(key: KeyRecord, user: UserRecord, holdings: Holdings) -> dict[str, Any]:
    return {
        "id": key.id,
        "name": key.name,
        "environment": key.environment,
        "role": (key.role or user.role).value,
        "scopes": sorted(scope.value for scope in effective_scopes(key.role or user.role, key.scopes)),
        "agent": key.agent.id if key.agent else "",
        "expires_at": key.ends_at,
        "last_used_at": holdings.used.get((key.environment, key.id), ""),
    }


def _changes(held: Mapping[str, Any], then: Mapping[str, Any] | None) -> list[str]:
    """What differs from the review before, in words that hold ids and roles, no attribute's value."""
    if then is None:
        return ["new user"]
    changes = [
        f"{name}: {then[name]} -> {held[name]}" for name in ("email", "role", "status") if then[name] != held[name]
    ]
    if then["attributes"] != held["attributes"]:
        changes.append("attributes changed")
    old, new = ({key["id"]: key for key in each["keys"]} for each in (then, held))
    changes += [f"key added: {new[name]['name']} ({name})" for name in sorted(new.keys() - old.keys())]
    changes += [f"key gone: {old[name]['name']} ({name})" for name in sorted(old.keys() - new.keys())]
    changes += [
        f"key's scopes changed: {new[name]['name']} ({name})"
        for name in sorted(new.keys() & old.keys())
        if new[name]["scopes"] != old[name]["scopes"]
    ]
    return changes
