"""The register: organizations, schemas, users, keys, policies and views as the control plane keeps them.

Each record names its `kind`, its `environment` (empty when it belongs to all), its `id`, the `organization` it belongs
to, and what no other record of its kind may share: `unique` and `lookup` (empty for none). `fact()` is what the API and
the chain may tell of it. How records are stored: `governance.stored_record`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from governance.access_review import AccessReview, ReviewLine
from governance.audit_choice import AS_USUAL, AuditChoice
from governance.elevation import Elevation
from governance.encryption_key import EncryptionKey
from governance.idempotency import IdempotentAnswer
from governance.invitation import Invitation
from governance.policies import View
from governance.policy_record import PolicyRecord
from governance.policy_versions import PolicyDraft, PolicyVersion
from governance.principals import Agent
from governance.quota import NO_QUOTA, OrganizationQuota, Quota
from governance.roles import Role
from governance.rulebook import Key, Limits, User
from governance.scopes import Scope
from governance.table_report import TableReportPart
from governance.tables import Table, TableName, fold
from governance.usage import UsageFigures
from governance.webhook import KeyWarning, Webhook, WebhookDelivery, WebhookLog


@dataclass(frozen=True, slots=True)
class Organization:
    """A firm. Exactly one is the operator's."""

    kind: ClassVar[str] = "organization"
    environment: ClassVar[str] = ""
    lookup: ClassVar[str] = ""
    unique: ClassVar[str] = ""

    id: str
    name: str
    created_at: str
    operator: bool = False
    status: str = "active"

    @property
    def organization(self) -> str:
        """Its own id."""
        return self.id

    def fact(self) -> dict[str, Any]:
        """Id, name, status."""
        return {"id": self.id, "name": self.name, "status": self.status}


@dataclass(frozen=True, slots=True)
class Environment:
    """One environment's settings; `name` is also the database name on the wire."""

    kind: ClassVar[str] = "environment"
    environment: ClassVar[str] = ""
    lookup: ClassVar[str] = ""
    unique: ClassVar[str] = ""
    organization: ClassVar[str] = ""

    name: str
    limits: Limits = field(default_factory=Limits)
    mask_key_id: str = ""
    retention_days: int = 2557
    """Seven years of audit."""
    webhook_networks: tuple[str, ...] = ()
    """Special networks that webhooks may be delivered into."""
    encryption_keys: tuple[EncryptionKey, ...] = ()
    """The installation's, kept with `production`."""
    audit: AuditChoice = AS_USUAL

    @property
    def id(self) -> str:
        """Its name."""
        return self.name

    def fact(self) -> dict[str, Any]:
        """The settings; durations in whole milliseconds, for the chain knows no fractions."""
        return {
            "name": self.name,
            "mask_key_id": self.mask_key_id,
            "statement_timeout_ms": round(self.limits.statement_timeout_s * 1000),
            "rulebook_age_max_ms": round(self.limits.rulebook_age_max_s * 1000),
            "result_rows_max": self.limits.result_rows_max,
            "cache_generation": self.limits.cache_generation,
            "retention_days": self.retention_days,
            "quota": None,
            "webhook_networks": list(self.webhook_networks),
            "encryption_keys": [key.fact() for key in self.encryption_keys],
            **self.audit.fact(),
        }


@dataclass(frozen=True, slots=True)
class SchemaOwner:
    """Which organization a schema belongs to, or `shared`."""

    kind: ClassVar[str] = "schema"
    lookup: ClassVar[str] = ""
    unique: ClassVar[str] = ""

    environment: str
    name: str
    organization: str

    @property
    def id(self) -> str:
        """The folded name."""
        return fold(self.name)

    def fact(self) -> dict[str, Any]:
        """Name and owner."""
        return {"name": self.id, "organization": self.organization}


@dataclass(frozen=True, slots=True)
class UserRecord:
    """A user. The e-mail address is his alone within the organization."""

    kind: ClassVar[str] = "user"
    environment: ClassVar[str] = ""
    lookup: ClassVar[str] = ""

    id: str
    email: str
    organization: str
    role: Role
    created_at: str
    attributes: tuple[tuple[str, str], ...] = ()
    status: str = "active"
    """active or suspended."""

    @property
    def unique(self) -> str:
        """The organization and the folded e-mail address."""
        return email_name(self.organization, self.email)

    def fact(self) -> dict[str, Any]:
        """Who he is and what he may do."""
        return {
            "id": self.id,
            "email": self.email,
            "organization": self.organization,
            "role": self.role.value,
            "attributes": dict(self.attributes),
            "status": self.status,
        }

    def for_node(self) -> User:
        """The user as the rulebook holds him."""
        return User(self.id, self.email, self.organization, self.role, self.attributes, self.status == "active")


def email_name(organization: str, email: str) -> str:
    """What no other user of that organization shares with the one of this address."""
    return f"{organization}\n{email.casefold()}"


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """An API key: everything but the key itself."""

    kind: ClassVar[str] = "key"

    environment: str
    id: str
    name: str
    prefix: str
    hash: str = field(repr=False)
    user_id: str
    organization: str
    scopes: frozenset[Scope]
    created_at: str
    created_by: str
    agent: Agent | None = None
    networks: tuple[str, ...] = ()
    allowed_tables: tuple[str, ...] = ()
    expires_at: str = ""
    dialect: str = "duckdb"
    status: str = "active"
    """active, waiting (a successor without a secret yet), rotated (valid until `grace_until`), revoked, expired."""
    grace_until: str = ""
    rotated_to: str = ""
    role: Role | None = None
    """The role lent to its user through this key alone; None is the user's own."""
    elevation: str = ""
    """The grant that it, or the key that made it, came from; it ends with that grant."""
    quota: Quota = NO_QUOTA
    rotate_after_days: int = 0
    """The age at which it is rotated by itself; 0 is never."""

    @property
    def lookup(self) -> str:
        """The public prefix; a revoked key is still found by it, and refused."""
        return self.prefix

    @property
    def unique(self) -> str:
        """Active keys of an organization, and those that wait to be, have different names."""
        return f"{self.organization}\n{self.name}" if self.status in ("active", "waiting") else ""

    @property
    def opens(self) -> bool:
        """Whether it opens anything until its time is over: what nodes are handed."""
        return self.status in ("active", "rotated")

    @property
    def ends_at(self) -> str:
        """The earlier of expiry and the end of grace, or empty. RFC 3339 UTC in one spelling compares as text."""
        return min((t for t in (self.expires_at, self.grace_until) if t), default="")

    def valid_at(self, now: str) -> bool:
        """Whether the key may be used at `now`."""
        return self.opens and (not self.ends_at or now < self.ends_at)

    def fact(self) -> dict[str, Any]:
        """Everything but the hash."""
        agent = self.agent
        return {
            "id": self.id,
            "name": self.name,
            "prefix": self.prefix,
            "user_id": self.user_id,
            "organization": self.organization,
            "scopes": sorted(scope.value for scope in self.scopes),
            "agent": {"id": agent.id, "framework": agent.framework, "trust": agent.trust} if agent else None,
            "networks": list(self.networks),
            "allowed_tables": list(self.allowed_tables),
            "expires_at": self.expires_at,
            "dialect": self.dialect,
            "status": self.status,
            "grace_until": self.grace_until,
            "rotated_to": self.rotated_to,
            "role": self.role.value if self.role else "",
            "elevation": self.elevation,
            "quota": self.quota.fact(),
            "rotate_after_days": self.rotate_after_days,
        }

    def for_node(self) -> Key:
        """The key as the rulebook holds it."""
        return Key(
            id=self.id,
            name=self.name,
            prefix=self.prefix,
            hash=self.hash,
            user_id=self.user_id,
            scopes=self.scopes,
            agent=self.agent,
            networks=self.networks,
            allowed_tables=self.allowed_tables,
            expires_at=self.ends_at,
            dialect=self.dialect,
            role=self.role,
            quota=self.quota,
        )


@dataclass(frozen=True, slots=True)
class ViewRecord:
    """A stored SELECT and whose schema it stands in."""

    kind: ClassVar[str] = "view"
    lookup: ClassVar[str] = ""

    environment: str
    view: View
    organization: str
    created_at: str

    @property
    def id(self) -> str:
        """The view's id."""
        return self.view.id

    @property
    def unique(self) -> str:
        """One view of a name."""
        return "\n".join(self.view.name.key)

    def fact(self) -> dict[str, Any]:
        """Name, text, owner."""
        return {
            "id": self.id,
            "name": str(self.view.name),
            "organization": self.organization,
            "sql": self.view.sql,
        }


@dataclass(frozen=True, slots=True)
class TableReport:
    """The tables a node sees in its lake. An observation: it changes nothing that is law, so the chain holds none."""

    kind: ClassVar[str] = "tables"
    id: ClassVar[str] = "lake"
    organization: ClassVar[str] = ""
    lookup: ClassVar[str] = ""
    unique: ClassVar[str] = ""
    expires_at: ClassVar[str] = ""

    environment: str
    tables: tuple[Table, ...]
    at: str

    def table(self, name: TableName) -> Table | None:
        """The table of that name, or None."""
        return next((table for table in self.tables if table.name.key == name.key), None)


@dataclass(frozen=True, slots=True)
class NodeFigures:
    """The last figures one node gave: counts and sizes, nothing that names data."""

    kind: ClassVar[str] = "node"
    organization: ClassVar[str] = ""
    lookup: ClassVar[str] = ""
    unique: ClassVar[str] = ""
    expires_at: ClassVar[str] = ""

    environment: str
    node: str
    figures: tuple[tuple[str, int | float], ...]
    at: str

    @property
    def id(self) -> str:
        """The node's name, as its certificate says it."""
        return self.node


@dataclass(frozen=True, slots=True)
class KeyUse:
    """When a key was last used; an observation."""

    kind: ClassVar[str] = "key_use"
    organization: ClassVar[str] = ""
    lookup: ClassVar[str] = ""
    unique: ClassVar[str] = ""
    expires_at: ClassVar[str] = ""

    environment: str
    id: str
    at: str


Record = (
    Organization | Environment | SchemaOwner | UserRecord | KeyRecord | PolicyRecord | PolicyVersion | PolicyDraft
    | ViewRecord | Webhook | OrganizationQuota
)  # fmt: skip
"""What the law is made of; each change of one is an event in the chain."""

Observation = (
    TableReport | NodeFigures | KeyUse | IdempotentAnswer | WebhookDelivery | WebhookLog | KeyWarning
    | Elevation | Invitation | TableReportPart | UsageFigures
    | AccessReview | ReviewLine
)  # fmt: skip
"""What was seen; kept without an event. One that has `expires_at` need not be kept past that moment."""
