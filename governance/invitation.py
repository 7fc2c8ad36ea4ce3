"""Invitations: an address may become a user with a role, once, within days, by whoever holds the token. Pure.

The token is `hd_invite_`, 12 characters by which the invitation is found, `_`, and 32 random Base62 characters (190
bits). It is shown once; the store keeps a SHA-256 of it, which at that length nobody reverses.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, ClassVar

from governance.admin_event import ORGANIZATION_CHAIN, AdminEvent, AdminEventType
from governance.api_key import ALPHABET
from governance.roles import Role
from governance.scopes import Scope

LIVES_MAX = timedelta(days=7)
_SHAPE = re.compile(r"\Ahd_invite_([0-9A-Za-z]{12})_[0-9A-Za-z]{32}\Z")


@dataclass(frozen=True, slots=True)
class Invitation:
    """An open invitation. One that is accepted, canceled or past its time is no more; the chain remembers it."""

    kind: ClassVar[str] = "invitation"
    environment: ClassVar[str] = ""

    id: str
    email: str
    organization: str
    role: Role
    user_id: str
    """The id the user will have."""
    invited_by: str
    key_id: str
    """The production key it was made with: the invitation ends when that does, and the first key is no wider."""
    key_environment: str
    scopes: frozenset[Scope]
    """Of the first key."""
    token_name: str
    token_hash: str = field(repr=False)
    created_at: str
    expires_at: str
    attributes: tuple[tuple[str, str], ...] = ()

    @property
    def lookup(self) -> str:
        """What the token is found by."""
        return self.token_name

    @property
    def unique(self) -> str:
        """An address is invited once at a time by an organization."""
        return f"{self.organization}\n{self.email.casefold()}"

    def opens_with(self, token: str) -> bool:
        """Whether this is its token; compared in constant time."""
        return hmac.compare_digest(self.token_hash, hashed(token))

    def fact(self) -> dict[str, Any]:
        """The user to be, as the chain tells of users."""
        return {
            "id": self.user_id,
            "email": self.email,
            "organization": self.organization,
            "role": self.role.value,
            "attributes": dict(self.attributes),
            "status": "invited",
        }

    def stored(self) -> dict[str, Any]:
        """The stored form."""
        return {
            "id": self.id,
            "email": self.email,
            "organization": self.organization,
            "role": self.role.value,
            "user_id": self.user_id,
            "invited_by": self.invited_by,
            "key_id": self.key_id,
            "key_environment": self.key_environment,
            "scopes": sorted(scope.value for scope in self.scopes),
            "token_name": self.token_name,
            "token_hash": self.token_hash,
            "created_at": self.created_at,
            "expires_at": self.expires_at,
            "attributes": dict(self.attributes),
        }

    @classmethod
    def restored(cls, body: dict[str, Any]) -> Invitation:
        """The inverse of `stored`; KeyError, TypeError or ValueError when it is none."""
        return cls(
            **{
                **body,
                "role": Role(body["role"]),
                "scopes": frozenset(Scope(name) for name in body["scopes"]),
                "attributes": tuple(sorted(body["attributes"].items())),
            }
        )


def new_token() -> str:
    """A fresh token; shown once, never stored."""
    return f"hd_invite_{_characters(12)}_{_characters(32)}"


def token_name(token: str) -> str:
    """The part of a token that an invitation is found by; empty when it is no token."""
    found = _SHAPE.match(token)
    return found[1] if found else ""


def hashed(token: str) -> str:
    """What is kept of a token."""
    return hashlib.sha256(f"hatidata invitation 1 {token}".encode()).hexdigest()


def invited(invitation: Invitation) -> AdminEvent:
    """What the chain says when it is made."""
    return _event(AdminEventType.USER_INVITED, None, invitation)


def canceled(invitation: Invitation) -> AdminEvent:
    """What the chain says when it is taken back: the user to be is removed."""
    return _event(AdminEventType.USER_REMOVED, invitation, None)


def _event(kind: AdminEventType, old: Invitation | None, new: Invitation | None) -> AdminEvent:
    one = new or old
    assert one is not None  # noqa: S101  an event has one side at least
    before, after = (old.fact() if old else None), (new.fact() if new else None)
    return AdminEvent(kind, ORGANIZATION_CHAIN, one.organization, one.user_id, before, after)


def _characters(count: int) -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(count))
