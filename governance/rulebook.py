"""The rulebook: one versioned snapshot per environment of who may do what, as the node holds it.

The control plane builds it, the node polls it (ETag = `etag`), swaps it atomically and refuses queries when it has
none or an old one. Format version 1; JSON by `encode` and `decode`.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from functools import cached_property
from ipaddress import ip_network
from typing import Any

from governance.audit_choice import AS_USUAL, AuditChoice
from governance.errors import InvalidRequest
from governance.policies import (
    SHARED,
    AppliesTo,
    Audience,
    Condition,
    Effect,
    Mask,
    MaskFunction,
    MinimumGroup,
    Policy,
    RowFilter,
    TimeWindow,
    View,
)
from governance.principals import Agent, Principal
from governance.quota import NO_QUOTA, Quota
from governance.roles import Role
from governance.scopes import Scope
from governance.tables import TableName, fold

FORMAT = 1


@dataclass(frozen=True, slots=True)
class User:
    """A user as the node needs it."""

    id: str
    email: str
    organization: str
    role: Role
    attributes: tuple[tuple[str, str], ...] = ()
    active: bool = True


@dataclass(frozen=True, slots=True)
class Key:
    """An API key as the node needs it: looked up by `prefix`, verified against `hash` (Argon2id PHC string)."""

    id: str
    name: str
    prefix: str
    hash: str = field(repr=False)
    user_id: str
    scopes: frozenset[Scope]
    agent: Agent | None = None
    networks: tuple[str, ...] = ()
    allowed_tables: tuple[str, ...] = ()
    expires_at: str = ""
    """RFC 3339 UTC, or empty for never."""
    dialect: str = "duckdb"
    role: Role | None = None
    """The role lent to its user for as long as the key lives; None is the user's own."""
    quota: Quota = NO_QUOTA


@dataclass(frozen=True, slots=True)
class Limits:
    """What the environment allows a node and its sessions."""

    statement_timeout_s: float = 300.0
    rulebook_age_max_s: float = 300.0
    result_rows_max: int = 0
    """0 is unlimited."""
    cache_generation: int = 0
    """Grows when an administrator clears the caches; a node clears its own when it sees a new number."""


@dataclass(frozen=True)
class Rulebook:
    """Everything a node decides with."""

    environment: str
    version: int
    issued_at: str
    operator_organization: str
    organizations: tuple[tuple[str, str], ...]
    """(id, name), sorted."""
    schemas: tuple[tuple[str, str], ...]
    """(folded schema name, owning organization id or "shared"), sorted; others are the operator's."""
    users: tuple[User, ...] = ()
    keys: tuple[Key, ...] = ()
    policies: tuple[Policy, ...] = ()
    views: tuple[View, ...] = ()
    limits: Limits = field(default_factory=Limits)
    mask_key_id: str = ""
    """Names the environment key of `hmac` masks; the key itself never stands in the rulebook."""
    quotas: tuple[tuple[str, Quota], ...] = ()
    """(organization id, what its keys may ask together), sorted."""
    audit: AuditChoice = AS_USUAL
    """What nodes keep of statements' texts."""

    @cached_property
    def etag(self) -> str:
        """A digest of everything but the time of issue, quoted as HTTP wants it."""
        document = _plain(self)
        document.pop("issued_at")
        text = json.dumps(document, sort_keys=True, separators=(",", ":"))
        return f'"{hashlib.sha256(text.encode()).hexdigest()[:32]}"'

    def owner_of(self, schema: str) -> str:
        """The organization that owns `schema`, or "shared"."""
        return dict(self.schemas).get(fold(schema), self.operator_organization)

    def visible(self, schema: str, organization: str) -> bool:
        """Whether `organization` sees `schema` at all (claim H14)."""
        return self.owner_of(schema) in (organization, SHARED)

    def user(self, user_id: str) -> User | None:
        """The user of that id, or None."""
        return next((user for user in self.users if user.id == user_id), None)

    def principal(self, key: Key, *, source_ip: str = "") -> Principal | None:
        """Who acts with `key`, or None when its user is gone or suspended (expiry is the caller's to check)."""
        user = self.user(key.user_id)
        if user is None or not user.active:
            return None
        return Principal(
            user_id=user.id,
            email=user.email,
            organization=user.organization,
            role=key.role or user.role,
            scopes=key.scopes,
            environment=self.environment,
            key_id=key.id,
            key_name=key.name,
            attributes=user.attributes,
            agent=key.agent,
            networks=tuple(ip_network(n) for n in key.networks),
            allowed_tables=key.allowed_tables,
            dialect=key.dialect,
            operator=user.organization == self.operator_organization,
            source_ip=source_ip,
        )

    def age_s(self, now: datetime) -> float:
        """Seconds since this snapshot was issued or last confirmed by the control plane."""
        return (now - datetime.fromisoformat(self.issued_at).astimezone(UTC)).total_seconds()


_POLICY_KINDS: dict[str, type[Policy]] = {
    "row_filter": RowFilter,
    "mask": Mask,
    "condition": Condition,
    "minimum_group": MinimumGroup,
}


def policy_kind(policy: Policy) -> str:
    """The policy's kind as formats spell it: row_filter, mask, condition, minimum_group."""
    return next(kind for kind, cls in _POLICY_KINDS.items() if isinstance(policy, cls))


def _plain(value: Any) -> Any:
    if isinstance(value, TableName):
        return str(value)
    if isinstance(value, AuditChoice):
        return value.fact()
    if hasattr(value, "__dataclass_fields__"):
        out = {name: _plain(getattr(value, name)) for name in value.__dataclass_fields__}
        if isinstance(value, RowFilter | Mask | Condition | MinimumGroup):
            out["type"] = policy_kind(value)
        return out
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, frozenset):
        return sorted(_plain(item) for item in value)
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return value


def encode(rulebook: Rulebook) -> bytes:
    """The rulebook as JSON bytes with its format number inside."""
    return json.dumps({"format": FORMAT, **_plain(rulebook)}, sort_keys=True, separators=(",", ":")).encode()


def encode_policy(policy: Policy) -> dict[str, Any]:
    """One policy as a JSON object (`type` names its kind)."""
    plain: dict[str, Any] = _plain(policy)
    return plain


def decode_policy(document: dict[str, Any]) -> Policy:
    """The inverse of `encode_policy`; absent optional fields take their defaults.

    Raises:
        InvalidRequest: not a policy.
    """
    try:
        return _policy(dict(document))
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise InvalidRequest("This is not a policy.", reason=f"{type(error).__name__} in a policy") from None


def _policy(d: dict[str, Any]) -> Policy:
    kind = d.pop("type")
    if "table" in d:
        d["table"] = TableName.parse(d["table"])
    for name in ("exempt_roles", "roles"):
        if name in d:
            d[name] = frozenset(Role(r) for r in d[name])
    if "applies_to" in d:
        a = d["applies_to"]
        d["applies_to"] = AppliesTo(
            Audience(a.get("audience", "everyone")), tuple(a.get("agent_ids", ())), tuple(a.get("frameworks", ()))
        )
    if kind == "mask":
        d["function"] = MaskFunction(d["function"])
    if kind == "condition":
        d["effect"] = Effect(d["effect"])
        d["audience"] = Audience(d.get("audience", "everyone"))
        for name in ("tables", "actions", "agent_ids", "frameworks", "trust", "networks"):
            d[name] = tuple(d.get(name, ()))
        w = d.get("window")
        d["window"] = (
            TimeWindow(w["zone"], w["start_minute"], w["end_minute"], frozenset(w.get("weekdays", range(7))))
            if w
            else None
        )
    return _POLICY_KINDS[kind](**d)


def decode(data: bytes) -> Rulebook:
    """The inverse of `encode`.

    Raises:
        InvalidRequest: not a rulebook of a format this version understands.
    """
    try:
        d = json.loads(data)
        if d.pop("format") != FORMAT:
            raise InvalidRequest("The rulebook's format is not understood.", advice="Upgrade the node.")
        return Rulebook(
            environment=d["environment"],
            version=d["version"],
            issued_at=d["issued_at"],
            operator_organization=d["operator_organization"],
            organizations=tuple((i, n) for i, n in d["organizations"]),
            schemas=tuple((s, o) for s, o in d["schemas"]),
            users=tuple(
                User(
                    u["id"],
                    u["email"],
                    u["organization"],
                    Role(u["role"]),
                    tuple((k, v) for k, v in u["attributes"]),
                    u["active"],
                )
                for u in d["users"]
            ),
            keys=tuple(
                Key(
                    id=k["id"],
                    name=k["name"],
                    prefix=k["prefix"],
                    hash=k["hash"],
                    user_id=k["user_id"],
                    scopes=frozenset(Scope(s) for s in k["scopes"]),
                    agent=Agent(**k["agent"]) if k["agent"] else None,
                    networks=tuple(k["networks"]),
                    allowed_tables=tuple(k["allowed_tables"]),
                    expires_at=k["expires_at"],
                    dialect=k["dialect"],
                    role=Role(k["role"]) if k.get("role") else None,
                    quota=Quota(**k.get("quota", {})),
                )
                for k in d["keys"]
            ),
            policies=tuple(_policy(p) for p in d["policies"]),
            views=tuple(View(v["id"], TableName.parse(v["name"]), v["sql"]) for v in d["views"]),
            limits=Limits(**d["limits"]),
            mask_key_id=d["mask_key_id"],
            quotas=tuple((organization, Quota(**quota)) for organization, quota in d.get("quotas", ())),
            audit=AuditChoice.read(d.get("audit", {})),
        )
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise InvalidRequest("This is not a rulebook.", reason=f"{type(error).__name__} in the rulebook") from None
