"""The 27 kinds of administrative event (claim W5.5), a closed list, and what each holds before and after (W5.7).

An event that is not on the list, or that holds a field its kind does not name, cannot be made: so no hash and no
secret can reach the chain by accident.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

ORGANIZATION_CHAIN = "production"
"""The chain that events of organizations and users go to, which belong to no environment."""


class AdminEventType(StrEnum):
    """What happened. The list is closed: an id never changes meaning."""

    ORGANIZATION_CREATED = "organization.created"
    ORGANIZATION_UPDATED = "organization.updated"
    ENVIRONMENT_UPDATED = "environment.updated"
    SCHEMA_ASSIGNED = "schema.assigned"
    USER_INVITED = "user.invited"
    USER_CREATED = "user.created"
    USER_UPDATED = "user.updated"
    USER_ROLE_CHANGED = "user.role_changed"
    USER_SUSPENDED = "user.suspended"
    USER_REACTIVATED = "user.reactivated"
    USER_REMOVED = "user.removed"
    KEY_CREATED = "key.created"
    KEY_ROTATED = "key.rotated"
    KEY_REVOKED = "key.revoked"
    POLICY_CREATED = "policy.created"
    POLICY_UPDATED = "policy.updated"
    POLICY_ACTIVATED = "policy.activated"
    POLICY_DELETED = "policy.deleted"
    VIEW_CREATED = "view.created"
    VIEW_UPDATED = "view.updated"
    VIEW_DELETED = "view.deleted"
    SSO_CONFIGURED = "sso.configured"
    ACCESS_REQUESTED = "access.requested"
    ACCESS_CHANGED = "access.changed"
    ACCESS_REVIEWED = "access.reviewed"
    WEBHOOK_CONFIGURED = "webhook.configured"
    CACHE_CLEARED = "cache.cleared"


@dataclass(frozen=True, slots=True)
class Shape:
    """Which fields an event's two sides hold; `None` means that the side is null."""

    before: frozenset[str] | None
    after: frozenset[str] | None
    before_optional: bool = False
    """Whether `before` may also be null (the first setting of something)."""
    after_optional: bool = False


_ORGANIZATION = frozenset({"id", "name", "status"})
_ENVIRONMENT = frozenset(
    {
        "name",
        "mask_key_id",
        "statement_timeout_ms",
        "rulebook_age_max_ms",
        "result_rows_max",
        "cache_generation",
        "retention_days",
        "quota",
        "webhook_networks",
        "encryption_keys",
        "audit_sql_form",
        "redaction_patterns",
    }
)
_SCHEMA = frozenset({"name", "organization"})
_USER = frozenset({"id", "email", "organization", "role", "attributes", "status"})
_KEY = frozenset(
    {
        "id",
        "name",
        "prefix",
        "user_id",
        "organization",
        "scopes",
        "agent",
        "networks",
        "allowed_tables",
        "expires_at",
        "dialect",
        "status",
        "grace_until",
        "rotated_to",
        "role",
        "elevation",
        "quota",
        "rotate_after_days",
    }
)
_POLICY = frozenset({"id", "name", "organization", "status", "revision", "policy"})
_VIEW = frozenset({"id", "name", "organization", "sql"})
_SSO = frozenset({"organization", "provider", "protocol", "domain", "mfa_required", "status"})
_ACCESS = frozenset(
    {"id", "user_id", "role", "scopes", "minutes", "reason", "approver_id", "starts_at", "ends_at", "status"}
)
_REVIEW = frozenset({"id", "period", "user_id", "reviewer_id", "decision", "note"})
_WEBHOOK = frozenset({"id", "organization", "url", "event_types", "status", "key_generation"})
_CACHE = frozenset({"cache_generation"})

SHAPES: dict[AdminEventType, Shape] = {
    AdminEventType.ORGANIZATION_CREATED: Shape(None, _ORGANIZATION),
    AdminEventType.ORGANIZATION_UPDATED: Shape(_ORGANIZATION, _ORGANIZATION),
    AdminEventType.ENVIRONMENT_UPDATED: Shape(_ENVIRONMENT, _ENVIRONMENT, before_optional=True),
    AdminEventType.SCHEMA_ASSIGNED: Shape(_SCHEMA, _SCHEMA, before_optional=True),
    AdminEventType.USER_INVITED: Shape(None, _USER),
    AdminEventType.USER_CREATED: Shape(None, _USER),
    AdminEventType.USER_UPDATED: Shape(_USER, _USER),
    AdminEventType.USER_ROLE_CHANGED: Shape(_USER, _USER),
    AdminEventType.USER_SUSPENDED: Shape(_USER, _USER),
    AdminEventType.USER_REACTIVATED: Shape(_USER, _USER),
    AdminEventType.USER_REMOVED: Shape(_USER, None),
    AdminEventType.KEY_CREATED: Shape(None, _KEY),
    AdminEventType.KEY_ROTATED: Shape(_KEY, _KEY),
    AdminEventType.KEY_REVOKED: Shape(_KEY, _KEY),
    AdminEventType.POLICY_CREATED: Shape(None, _POLICY),
    AdminEventType.POLICY_UPDATED: Shape(_POLICY, _POLICY),
    AdminEventType.POLICY_ACTIVATED: Shape(_POLICY, _POLICY),
    AdminEventType.POLICY_DELETED: Shape(_POLICY, None),
    AdminEventType.VIEW_CREATED: Shape(None, _VIEW),
    AdminEventType.VIEW_UPDATED: Shape(_VIEW, _VIEW),
    AdminEventType.VIEW_DELETED: Shape(_VIEW, None),
    AdminEventType.SSO_CONFIGURED: Shape(_SSO, _SSO, before_optional=True, after_optional=True),
    AdminEventType.ACCESS_REQUESTED: Shape(None, _ACCESS),
    AdminEventType.ACCESS_CHANGED: Shape(_ACCESS, _ACCESS),
    AdminEventType.ACCESS_REVIEWED: Shape(None, _REVIEW),
    AdminEventType.WEBHOOK_CONFIGURED: Shape(_WEBHOOK, _WEBHOOK, before_optional=True, after_optional=True),
    AdminEventType.CACHE_CLEARED: Shape(_CACHE, _CACHE),
}


@dataclass(frozen=True, slots=True)
class Actor:
    """Who did it: the user and key of the request, or the installation itself."""

    user_id: str
    organization: str
    role: str
    key_id: str


INSTALLATION = Actor(user_id="hatidata", organization="", role="", key_id="")
"""The actor of what nobody asked for: the first set-up, and what ends by itself."""


@dataclass(frozen=True, slots=True)
class Attribution:
    """What an event says of the request that caused it."""

    actor: Actor
    at: str
    """RFC 3339 UTC with microseconds."""
    source_ip: str = ""
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class AdminEvent:
    """One change, before it is sealed into the chain of `environment`.

    Raises:
        ValueError: a side holds a field that its type does not name, or lacks one.
    """

    type: AdminEventType
    environment: str
    organization: str
    """Whose object it is; only that organization and the operator see the event."""
    target: str
    """The object's id."""
    before: Mapping[str, Any] | None
    after: Mapping[str, Any] | None

    def __post_init__(self) -> None:
        shape = SHAPES[self.type]
        for side, holds, optional in (
            (self.before, shape.before, shape.before_optional),
            (self.after, shape.after, shape.after_optional),
        ):
            if side is None and (holds is None or optional):
                continue
            if side is None or holds is None or set(side) != holds:
                raise ValueError(f"{self.type} does not hold what its shape names")

    def document(self, attribution: Attribution) -> dict[str, Any]:
        """The event as `governance.chain.seal` takes it."""
        actor = attribution.actor
        return {
            "type": self.type.value,
            "environment": self.environment,
            "organization": self.organization,
            "target": self.target,
            "before": self.before,
            "after": self.after,
            "at": attribution.at,
            "source_ip": attribution.source_ip,
            "request_id": attribution.request_id,
            "actor": {
                "user_id": actor.user_id,
                "organization": actor.organization,
                "role": actor.role,
                "key_id": actor.key_id,
            },
        }
