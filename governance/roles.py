"""The six roles and exactly what each may do (claim W3.1)."""

from __future__ import annotations

from enum import StrEnum


class Role(StrEnum):
    """A user's role in his organization."""

    OWNER = "owner"
    ADMIN = "admin"
    ANALYST = "analyst"
    AUDITOR = "auditor"
    DEVELOPER = "developer"
    SERVICE_ACCOUNT = "service_account"


class Privilege(StrEnum):
    """What the role matrix speaks about."""

    QUERY = "query"
    POLICIES = "policies"
    USERS = "users"
    BILLING = "billing"
    AUDIT = "audit"


ROLE_MATRIX: dict[Role, frozenset[Privilege]] = {
    Role.OWNER: frozenset(Privilege),
    Role.ADMIN: frozenset(Privilege) - {Privilege.BILLING},
    Role.ANALYST: frozenset({Privilege.QUERY}),
    Role.AUDITOR: frozenset({Privilege.AUDIT}),
    Role.DEVELOPER: frozenset({Privilege.QUERY}),
    Role.SERVICE_ACCOUNT: frozenset({Privilege.QUERY}),
}


def may(role: Role, privilege: Privilege) -> bool:
    """Whether `role` holds `privilege` (claim W3.1)."""
    return privilege in ROLE_MATRIX[role]
