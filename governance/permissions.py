"""Who may call what: role x scope x endpoint, and how far a caller's hand reaches (claims W3.1, W3.4, H14). Pure.

A key's scopes count only as far as its user's role permits them, decided anew at each request, so a demoted user's key
shrinks with him. An endpoint that is not on the list is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import cache

from governance.roles import Privilege, Role, may
from governance.scopes import Scope

_PRIVILEGE_OF: dict[Scope, Privilege] = {
    Scope.AUDIT_READ: Privilege.AUDIT,
    Scope.USERS_MANAGE: Privilege.USERS,
    Scope.KEYS_MANAGE: Privilege.USERS,
    Scope.WEBHOOKS_MANAGE: Privilege.USERS,
    Scope.POLICIES_MANAGE: Privilege.POLICIES,
    Scope.BILLING_MANAGE: Privilege.BILLING,
}
"""The privilege behind each administrative scope; every other scope is about data and needs QUERY."""


@cache
def permitted_scopes(role: Role) -> frozenset[Scope]:
    """The scopes that mean something in the hands of `role`; `orgs:manage` is an Owner's."""
    return frozenset(
        scope
        for scope in Scope
        if (role is Role.OWNER if scope is Scope.ORGS_MANAGE else may(role, _PRIVILEGE_OF.get(scope, Privilege.QUERY)))
    )


def effective_scopes(role: Role, granted: frozenset[Scope]) -> frozenset[Scope]:
    """What a key with `granted` scopes may do for a user of `role`."""
    return granted & permitted_scopes(role)


class Entry(StrEnum):
    """What an endpoint asks of its caller before anything else."""

    ANYONE = "anyone"
    KEY = "key"
    NODE = "node"
    """A client certificate issued for a node."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One method on one path (`{name}` stands for one segment)."""

    method: str
    path: str
    entry: Entry = Entry.KEY
    scope: Scope | None = None
    """The scope that must be effective; None asks for no more than a valid key."""
    operator: bool = False
    """Whether only the operator organization's users may call it."""

    @property
    def name(self) -> str:
        """`METHOD path`."""
        return f"{self.method} {self.path}"

    def match(self, method: str, path: str) -> dict[str, str] | None:
        """The named segments when the request is for this endpoint, else None."""
        if method != self.method:
            return None
        pattern, given = self.path.split("/"), path.split("/")
        if len(pattern) != len(given):
            return None
        named: dict[str, str] = {}
        for want, have in zip(pattern, given, strict=True):
            if want.startswith("{"):
                if not have:
                    return None
                named[want[1:-1]] = have
            elif want != have:
                return None
        return named


_ENV = "/v1/environments/{env}"

ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint("GET", "/v1/health", Entry.ANYONE),
    Endpoint("GET", "/v1/openapi.json", Entry.ANYONE),
    Endpoint("GET", "/v1/whoami"),
    Endpoint("GET", "/v1/organizations", scope=Scope.ORGS_MANAGE),
    Endpoint("POST", "/v1/organizations", scope=Scope.ORGS_MANAGE, operator=True),
    Endpoint("PATCH", "/v1/organizations/{id}", scope=Scope.ORGS_MANAGE, operator=True),
    Endpoint("POST", "/v1/organizations/{id}/owner", scope=Scope.ORGS_MANAGE),
    Endpoint("GET", "/v1/environments"),
    Endpoint("PUT", _ENV, scope=Scope.ORGS_MANAGE, operator=True),
    Endpoint("GET", "/v1/users", scope=Scope.USERS_MANAGE),
    Endpoint("POST", "/v1/users", scope=Scope.USERS_MANAGE),
    Endpoint("GET", "/v1/users/{id}", scope=Scope.USERS_MANAGE),
    Endpoint("PATCH", "/v1/users/{id}", scope=Scope.USERS_MANAGE),
    Endpoint("DELETE", "/v1/users/{id}", scope=Scope.USERS_MANAGE),
    Endpoint("GET", "/v1/invitations", scope=Scope.USERS_MANAGE),
    Endpoint("POST", "/v1/invitations", scope=Scope.USERS_MANAGE),
    Endpoint("DELETE", "/v1/invitations/{id}", scope=Scope.USERS_MANAGE),
    Endpoint("POST", "/v1/invitations/accept", Entry.ANYONE),
    Endpoint("GET", "/v1/access-reviews", scope=Scope.AUDIT_READ),
    Endpoint("POST", "/v1/access-reviews", scope=Scope.USERS_MANAGE),
    Endpoint("GET", "/v1/access-reviews/{id}/lines", scope=Scope.AUDIT_READ),
    Endpoint("POST", "/v1/access-reviews/{id}/lines/{number}", scope=Scope.AUDIT_READ),
    Endpoint("GET", f"{_ENV}/schemas", scope=Scope.SCHEMAS_READ),
    Endpoint("PUT", f"{_ENV}/schemas/{{name}}", scope=Scope.ORGS_MANAGE, operator=True),
    Endpoint("GET", f"{_ENV}/tables", scope=Scope.TABLES_LIST),
    Endpoint("GET", f"{_ENV}/keys", scope=Scope.KEYS_MANAGE),
    Endpoint("POST", f"{_ENV}/keys", scope=Scope.KEYS_MANAGE),
    Endpoint("GET", f"{_ENV}/keys/{{id}}", scope=Scope.KEYS_MANAGE),
    Endpoint("DELETE", f"{_ENV}/keys/{{id}}", scope=Scope.KEYS_MANAGE),
    Endpoint("POST", f"{_ENV}/keys/{{id}}/rotate", scope=Scope.KEYS_MANAGE),
    Endpoint("POST", "/v1/successor"),
    Endpoint("GET", f"{_ENV}/webhooks", scope=Scope.WEBHOOKS_MANAGE),
    Endpoint("POST", f"{_ENV}/webhooks", scope=Scope.WEBHOOKS_MANAGE),
    Endpoint("GET", f"{_ENV}/webhooks/{{id}}", scope=Scope.WEBHOOKS_MANAGE),
    Endpoint("PATCH", f"{_ENV}/webhooks/{{id}}", scope=Scope.WEBHOOKS_MANAGE),
    Endpoint("DELETE", f"{_ENV}/webhooks/{{id}}", scope=Scope.WEBHOOKS_MANAGE),
    Endpoint("POST", f"{_ENV}/webhooks/{{id}}/secret", scope=Scope.WEBHOOKS_MANAGE),
    Endpoint("POST", f"{_ENV}/webhooks/{{id}}/test", scope=Scope.WEBHOOKS_MANAGE),
    Endpoint("GET", f"{_ENV}/webhooks/{{id}}/deliveries", scope=Scope.WEBHOOKS_MANAGE),
    Endpoint("GET", f"{_ENV}/webhook-networks", scope=Scope.WEBHOOKS_MANAGE),
    Endpoint("PUT", f"{_ENV}/webhook-networks", scope=Scope.ORGS_MANAGE, operator=True),
    Endpoint("GET", "/v1/encryption-keys", scope=Scope.ORGS_MANAGE, operator=True),
    Endpoint("POST", "/v1/encryption-keys/{name}/rotate", scope=Scope.ORGS_MANAGE, operator=True),
    Endpoint("GET", f"{_ENV}/access-requests"),
    Endpoint("POST", f"{_ENV}/access-requests"),
    Endpoint("DELETE", f"{_ENV}/access-requests/{{id}}"),
    Endpoint("POST", f"{_ENV}/access-requests/{{id}}/key"),
    Endpoint("POST", f"{_ENV}/access-requests/{{id}}/approve", scope=Scope.USERS_MANAGE),
    Endpoint("POST", f"{_ENV}/access-requests/{{id}}/deny", scope=Scope.USERS_MANAGE),
    Endpoint("POST", f"{_ENV}/access-requests/{{id}}/revoke", scope=Scope.USERS_MANAGE),
    Endpoint("GET", f"{_ENV}/policies", scope=Scope.POLICIES_MANAGE),
    Endpoint("POST", f"{_ENV}/policies", scope=Scope.POLICIES_MANAGE),
    Endpoint("GET", f"{_ENV}/policies/{{id}}", scope=Scope.POLICIES_MANAGE),
    Endpoint("PUT", f"{_ENV}/policies/{{id}}", scope=Scope.POLICIES_MANAGE),
    Endpoint("DELETE", f"{_ENV}/policies/{{id}}", scope=Scope.POLICIES_MANAGE),
    Endpoint("GET", f"{_ENV}/policy-drafts", scope=Scope.POLICIES_MANAGE),
    Endpoint("POST", f"{_ENV}/policy-drafts", scope=Scope.POLICIES_MANAGE),
    Endpoint("GET", f"{_ENV}/policy-drafts/{{number}}", scope=Scope.POLICIES_MANAGE),
    Endpoint("DELETE", f"{_ENV}/policy-drafts/{{number}}", scope=Scope.POLICIES_MANAGE),
    Endpoint("POST", f"{_ENV}/policy-drafts/{{number}}/activate", scope=Scope.POLICIES_MANAGE),
    Endpoint("GET", f"{_ENV}/policy-versions", scope=Scope.POLICIES_MANAGE),
    Endpoint("GET", f"{_ENV}/policy-versions/{{version}}", scope=Scope.POLICIES_MANAGE),
    Endpoint("POST", f"{_ENV}/policy-versions/{{version}}/roll-back", scope=Scope.POLICIES_MANAGE),
    Endpoint("GET", f"{_ENV}/views", scope=Scope.POLICIES_MANAGE),
    Endpoint("POST", f"{_ENV}/views", scope=Scope.POLICIES_MANAGE),
    Endpoint("GET", f"{_ENV}/views/{{id}}", scope=Scope.POLICIES_MANAGE),
    Endpoint("PUT", f"{_ENV}/views/{{id}}", scope=Scope.POLICIES_MANAGE),
    Endpoint("DELETE", f"{_ENV}/views/{{id}}", scope=Scope.POLICIES_MANAGE),
    Endpoint("GET", f"{_ENV}/quotas", scope=Scope.KEYS_MANAGE),
    Endpoint("PUT", f"{_ENV}/quotas/keys/{{id}}", scope=Scope.KEYS_MANAGE),
    Endpoint("PUT", f"{_ENV}/quotas/organizations/{{id}}", scope=Scope.ORGS_MANAGE, operator=True),
    Endpoint("GET", f"{_ENV}/usage", scope=Scope.AUDIT_READ),
    Endpoint("GET", f"{_ENV}/audit/queries", scope=Scope.AUDIT_READ),
    Endpoint("GET", f"{_ENV}/audit/admin", scope=Scope.AUDIT_READ),
    Endpoint("GET", f"{_ENV}/audit/admin/verify-chain", scope=Scope.AUDIT_READ),
    Endpoint("GET", f"{_ENV}/nodes", scope=Scope.AUDIT_READ, operator=True),
    Endpoint("POST", f"{_ENV}/cache/clear", scope=Scope.POLICIES_MANAGE, operator=True),
    Endpoint("GET", "/v1/nodes/rulebook", Entry.NODE),
    Endpoint("GET", "/v1/nodes/policy-drafts", Entry.NODE),
    Endpoint("PUT", "/v1/nodes/tables", Entry.NODE),
    Endpoint("PUT", "/v1/nodes/figures", Entry.NODE),
    Endpoint("PUT", "/v1/nodes/usage", Entry.NODE),
)
"""Every endpoint there is; the API serves exactly these."""


def endpoint_for(method: str, path: str) -> tuple[Endpoint, dict[str, str]] | None:
    """The endpoint of a request and its named segments, or None. A literal segment wins over a named one."""
    found = [(e, named) for e in ENDPOINTS if (named := e.match(method, path)) is not None]
    return min(found, key=lambda pair: len(pair[1]), default=None)


@dataclass(frozen=True, slots=True)
class Decision:
    """Allowed or not, and why."""

    allowed: bool
    reason: str


def decide(endpoint: Endpoint, role: Role, granted: frozenset[Scope], *, operator: bool) -> Decision:
    """Whether a user of `role` with a key of `granted` scopes may call a KEY endpoint.

    Args:
        endpoint: what he calls.
        role: his role now.
        granted: his key's scopes.
        operator: whether his organization is the operator's.
    """
    if endpoint.entry is not Entry.KEY:
        return Decision(allowed=False, reason="not called with an API key")
    if endpoint.scope is not None:
        if endpoint.scope not in granted:
            return Decision(allowed=False, reason=f"the key lacks the scope {endpoint.scope}")
        if endpoint.scope not in permitted_scopes(role):
            return Decision(allowed=False, reason=f"the role {role} does not permit {endpoint.scope}")
    if endpoint.operator and not operator:
        return Decision(allowed=False, reason="only the operator organization may do this")
    return Decision(allowed=True, reason=f"{endpoint.scope or 'any valid key'} as {role}")


def reaches_all(role: Role, effective: frozenset[Scope], *, operator: bool) -> bool:
    """Whether the caller administers every organization: the operator's Owner with `orgs:manage`; else only his own."""
    return operator and role is Role.OWNER and Scope.ORGS_MANAGE in effective


_RANK: dict[Role, int] = {Role.OWNER: 2, Role.ADMIN: 1}


def outranks(actor: Role, other: Role) -> bool:
    """Whether `actor` may make, change or remove a user of role `other`: only an Owner an Admin, nobody an Owner."""
    return _RANK.get(actor, 0) > _RANK.get(other, 0)
