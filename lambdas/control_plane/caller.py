"""Who calls: a user through an API key, or a node through its certificate."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from governance.admin_event import INSTALLATION, Actor, Attribution
from governance.errors import NotFound, PermissionRefused
from governance.permissions import effective_scopes, outranks, reaches_all
from governance.policies import SHARED
from governance.register import KeyRecord, Organization, UserRecord
from governance.roles import Role
from governance.scopes import Scope

HOME_ENVIRONMENT = "production"
"""Organizations and users, which belong to no environment, are administered with keys of this one."""


@dataclass(frozen=True, slots=True)
class Caller:
    """An authenticated user for the length of one request."""

    user: UserRecord
    key: KeyRecord
    organization: Organization
    attribution: Attribution

    @classmethod
    def again(cls, user: UserRecord, key: KeyRecord, organization: Organization) -> Caller:
        """Who called earlier, as he would stand now: to look anew at what he set going. He changes nothing."""
        key = dataclasses.replace(key, grace_until="")  # a key that gave way to its successor is looked at as before
        return cls(as_lent(user, key), key, organization, Attribution(INSTALLATION, ""))

    @property
    def scopes(self) -> frozenset[Scope]:
        """What the key may do in the hands of this user's role."""
        return effective_scopes(self.user.role, self.key.scopes)

    @property
    def operator(self) -> bool:
        """Whether he belongs to the operator organization."""
        return self.organization.operator

    @property
    def reaches_all(self) -> bool:
        """Whether he administers every organization."""
        return reaches_all(self.user.role, self.scopes, operator=self.operator)

    def reaches(self, organization: str) -> bool:
        """Whether objects of `organization` (or `shared`) are his to see and administer."""
        if organization == SHARED:
            return self.operator
        return self.reaches_all or organization == self.user.organization

    def rules_over(self, organization: str, role: Role) -> bool:
        """Whether he may make, change or remove a user of `role` there.

        In his own organization by rank; in another's, which only the operator's Owner reaches, whoever it is.
        """
        if organization != self.user.organization:
            return self.reaches(organization)
        return outranks(self.user.role, role)

    def in_environment(self, environment: str) -> bool:
        """Whether his key admits him to the environment: its own, or any for an Owner with a production key."""
        return environment == self.key.environment or (
            self.user.role is Role.OWNER and self.key.environment == HOME_ENVIRONMENT
        )


def actor_of(user: UserRecord, key: KeyRecord) -> Actor:
    """The user and key as the chain names them."""
    return Actor(user_id=user.id, organization=user.organization, role=user.role.value, key_id=key.id)


def as_lent(user: UserRecord, key: KeyRecord) -> UserRecord:
    """The user in the role that he has through this key."""
    return user if key.role is None else dataclasses.replace(user, role=key.role)


@dataclass(frozen=True, slots=True)
class Guest:
    """Somebody without a key, at an endpoint that is open to anyone. He changes nothing in his own name."""

    attribution: Attribution


@dataclass(frozen=True, slots=True)
class NodeIdentity:
    """A node, as its certificate says."""

    name: str
    attribution: Attribution


NODE_NAME = "hatidata-node"
"""The common name of a node's certificate, or its beginning up to a dot."""


def node_name(subject: str) -> str:
    """The common name in a certificate subject when it is a node's.

    Raises:
        PermissionRefused: no certificate, or somebody else's.
    """
    parts = dict(part.strip().partition("=")[::2] for part in subject.split(","))
    name = parts.get("CN", "")
    if name != NODE_NAME and not name.startswith(f"{NODE_NAME}."):
        raise PermissionRefused(
            "This route is for query nodes.", advice="Connect with a node's client certificate.", reason="no node"
        )
    return name


def hidden(what: str) -> NotFound:
    """The one answer to an object that does not exist and to one that the caller may not see."""
    return NotFound(f"There is no such {what}.", advice="Check the name or id; it may also belong to someone else.")
