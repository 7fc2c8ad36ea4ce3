"""The 22 scopes an API key may carry, and the bundles they are granted in (claim W3.4)."""

from __future__ import annotations

from enum import StrEnum

from governance.errors import InvalidRequest


class Scope(StrEnum):
    """One permission of a key; a scope whose feature does not exist yet grants nothing."""

    QUERY_READ = "query:read"
    QUERY_WRITE = "query:write"
    TABLES_LIST = "tables:list"
    TABLES_DESCRIBE = "tables:describe"
    TABLES_CREATE = "tables:create"
    TABLES_ALTER = "tables:alter"
    SCHEMAS_READ = "schemas:read"
    FUNCTIONS_EXECUTE = "functions:execute"
    MEMORY_READ = "memory:read"
    MEMORY_WRITE = "memory:write"
    COT_WRITE = "cot:write"
    TRIGGERS_READ = "triggers:read"
    TRIGGERS_MANAGE = "triggers:manage"
    BRANCHES_CREATE = "branches:create"
    BRANCHES_MERGE = "branches:merge"
    AUDIT_READ = "audit:read"
    USERS_MANAGE = "users:manage"
    KEYS_MANAGE = "keys:manage"
    POLICIES_MANAGE = "policies:manage"
    ORGS_MANAGE = "orgs:manage"
    BILLING_MANAGE = "billing:manage"
    WEBHOOKS_MANAGE = "webhooks:manage"


_READ = frozenset(
    {Scope.QUERY_READ, Scope.TABLES_LIST, Scope.TABLES_DESCRIBE, Scope.SCHEMAS_READ, Scope.FUNCTIONS_EXECUTE}
)

BUNDLES: dict[str, frozenset[Scope]] = {
    "read_only": _READ,
    "developer": _READ
    | {
        Scope.QUERY_WRITE,
        Scope.TABLES_CREATE,
        Scope.TABLES_ALTER,
        Scope.TRIGGERS_READ,
        Scope.BRANCHES_CREATE,
        Scope.MEMORY_READ,
        Scope.MEMORY_WRITE,
    },
    "agent": _READ | {Scope.MEMORY_READ, Scope.MEMORY_WRITE, Scope.COT_WRITE},
    "admin": frozenset(Scope) - {Scope.ORGS_MANAGE, Scope.BILLING_MANAGE},
}


def expand(names: tuple[str, ...]) -> frozenset[Scope]:
    """Scopes and bundle names, as the set of scopes they mean.

    Raises:
        InvalidRequest: a name is neither a scope nor a bundle.
    """
    scopes: set[Scope] = set()
    for name in names:
        if name in BUNDLES:
            scopes |= BUNDLES[name]
            continue
        try:
            scopes.add(Scope(name))
        except ValueError:
            raise InvalidRequest(
                f"{name[:64]!r} is neither a scope nor a bundle of scopes.",
                advice="Use one of the 22 scopes, or a bundle: " + ", ".join(sorted(BUNDLES)) + ".",
            ) from None
    return frozenset(scopes)
