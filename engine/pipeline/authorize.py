"""May this principal touch these tables at all: role, scope, organization, the key's tables, conditions."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from engine.catalog.view import PrincipalCatalog
from engine.pipeline.survey import TableRef
from governance.audit_record import Judged, PolicyVerdict
from governance.conditions import judge
from governance.errors import CrossOrganization, PermissionRefused, TableUnknown
from governance.policies import Condition, Policy, View
from governance.principals import Principal
from governance.roles import Privilege, Role, may
from governance.scopes import Scope
from governance.tables import Table, TableName, fold

_NAME_CHARS_MAX = 128


def check_role(principal: Principal, scopes: tuple[Scope, ...] = (Scope.QUERY_READ,)) -> tuple[PolicyVerdict, ...]:
    """Role and scope admit queries; any of `scopes` is enough, the first that the key carries is the reason.

    Raises:
        PermissionRefused: they do not.
    """
    if not may(principal.role, Privilege.QUERY):
        raise PermissionRefused(
            f"The role {principal.role.value} may not query data.",
            advice="Use a key of another user; auditors read the audit through the control plane.",
        )
    scope = next((scope for scope in scopes if scope in principal.scopes), None)
    if scope is None:
        raise PermissionRefused("This key lacks the scope query:read.", advice="Create a key with the scope.")
    return (
        PolicyVerdict("role", "access", "allowed", f"role {principal.role.value} may query"),
        PolicyVerdict("scope", "access", "allowed", f"the key carries {scope.value}"),
    )


def manages_policies(principal: Principal) -> bool:
    """Whether the principal may see how policies are applied."""
    return may(principal.role, Privilege.POLICIES) and Scope.POLICIES_MANAGE in principal.scopes


def unknown_table(ref: TableRef, *, reason: str, position: int | None) -> TableUnknown:
    """The one answer to a missing, forbidden or foreign table; `reason` is for the audit."""
    written = ".".join(part for part in (ref.catalog, ref.schema, ref.name) if part)
    safe = "".join(c if c.isprintable() else "?" for c in written[:_NAME_CHARS_MAX])
    return TableUnknown(
        f'relation "{safe}" does not exist',
        advice="Name tables as schema.table; the catalog lists those you may read.",
        reason=reason,
        position=position,
    )


def resolve(ref: TableRef, catalog: PrincipalCatalog, principal: Principal, position: int | None) -> Table | View:
    """The table or view a reference names.

    Raises:
        TableUnknown: there is none for this principal.
        CrossOrganization: it is another organization's, told only to an operator who manages organizations.
    """
    if ref.catalog and (fold(ref.catalog) != fold(catalog.environment) or not ref.schema):
        raise unknown_table(ref, reason="missing", position=position)
    schema = ref.schema or None
    found = catalog.resolve(schema, ref.name)
    if found is not None:
        return found
    reason = catalog.hidden_reason(schema, ref.name)
    entitled = principal.operator and principal.role is Role.OWNER and Scope.ORGS_MANAGE in principal.scopes
    if reason == "cross_organization" and entitled:
        owner = catalog.foreign(schema, ref.name)
        raise CrossOrganization(
            f"The table belongs to the organization {owner}: nobody reads another organization's tables.",
            advice="Use a key of a user of that organization.",
            reason=reason,
            position=position,
        )
    raise unknown_table(ref, reason=reason, position=position)


def check_conditions(
    policies: Iterable[Policy],
    principal: Principal,
    tables: tuple[TableName, ...],
    actions: frozenset[str],
    now: datetime,
) -> tuple[PolicyVerdict, ...]:
    """The verdicts of all conditions on the statement's tables.

    Raises:
        PermissionRefused: one of them denies; its `reason` names it, its `judged` holds every verdict.
    """
    conditions = tuple(p for p in policies if isinstance(p, Condition))
    if not conditions:
        return ()
    verdicts = [v for t in (tables or (None,)) for v in judge(conditions, principal, t, actions, now)]
    denied = [v for v in verdicts if v.effect == "denied"]
    if denied:
        refusal = PermissionRefused(
            "A policy does not admit this statement.",
            advice="Ask an administrator which conditions apply.",
            reason="; ".join(f"condition {v.policy}: {v.reason}" for v in denied),
        )
        refusal.judged = Judged(tuple(map(str, tables)), tuple(verdicts))
        raise refusal
    return tuple(verdicts)
