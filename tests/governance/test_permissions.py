"""Role x scope x endpoint, as a pure function; `tests/control_plane` tries every cell through the handler."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from governance.permissions import (
    ENDPOINTS,
    Entry,
    decide,
    effective_scopes,
    endpoint_for,
    outranks,
    permitted_scopes,
    reaches_all,
)
from governance.roles import Privilege, Role, may
from governance.scopes import BUNDLES, Scope

ROLES = st.sampled_from(Role)
SCOPES = st.frozensets(st.sampled_from(Scope))

MATRIX = {  # claim W3.1: query / policies / users / billing / audit
    Role.OWNER: "YYYYY",
    Role.ADMIN: "YYYNY",
    Role.ANALYST: "YNNNN",
    Role.AUDITOR: "NNNNY",
    Role.DEVELOPER: "YNNNN",
    Role.SERVICE_ACCOUNT: "YNNNN",
}


@pytest.mark.parametrize("role", Role)
def test_w3_1_the_role_matrix_is_exactly_this(role: Role) -> None:
    columns = (Privilege.QUERY, Privilege.POLICIES, Privilege.USERS, Privilege.BILLING, Privilege.AUDIT)
    assert "".join("Y" if may(role, privilege) else "N" for privilege in columns) == MATRIX[role]


@pytest.mark.parametrize("role", Role)
def test_w3_1_scopes_count_only_where_the_matrix_says_yes(role: Role) -> None:
    query, policies, users, billing, audit = (letter == "Y" for letter in MATRIX[role])
    permitted = permitted_scopes(role)
    assert (Scope.QUERY_READ in permitted) == query
    assert (Scope.POLICIES_MANAGE in permitted) == policies
    assert (Scope.USERS_MANAGE in permitted) == (Scope.KEYS_MANAGE in permitted) == users
    assert (Scope.BILLING_MANAGE in permitted) == billing
    assert (Scope.AUDIT_READ in permitted) == audit
    assert (Scope.ORGS_MANAGE in permitted) == (role is Role.OWNER)


def test_w3_4_there_are_22_scopes_and_an_owner_may_use_them_all() -> None:
    assert len(Scope) == 22
    assert permitted_scopes(Role.OWNER) == frozenset(Scope)
    assert set(BUNDLES) == {"read_only", "developer", "admin", "agent"}


@given(ROLES, SCOPES, st.booleans(), st.sampled_from(ENDPOINTS))
def test_more_scopes_never_allow_less_and_no_scope_allows_what_the_role_does_not(
    role: Role, granted: frozenset[Scope], operator: bool, endpoint: object
) -> None:
    assert endpoint in ENDPOINTS
    for each in ENDPOINTS:
        decision = decide(each, role, granted, operator=operator)
        if decision.allowed:
            assert each.entry is Entry.KEY
            assert each.scope is None or each.scope in effective_scopes(role, granted)
            assert decide(each, role, frozenset(Scope), operator=operator).allowed
            assert operator or not each.operator
        assert decision.reason


@given(ROLES, ROLES)
def test_nobody_outranks_himself_and_only_an_owner_outranks_an_admin(actor: Role, other: Role) -> None:
    assert not (outranks(actor, other) and outranks(other, actor))
    assert not outranks(actor, actor) or actor not in (Role.OWNER, Role.ADMIN)
    assert outranks(actor, Role.ADMIN) == (actor is Role.OWNER)
    assert not outranks(actor, Role.OWNER)


def test_only_the_operators_owner_with_the_scope_reaches_every_organization() -> None:
    for role in Role:
        for operator in (False, True):
            for scopes in (frozenset[Scope](), frozenset({Scope.ORGS_MANAGE})):
                expected = role is Role.OWNER and operator and bool(scopes)
                assert reaches_all(role, scopes, operator=operator) == expected


@pytest.mark.parametrize(
    ("method", "path", "found", "named"),
    [
        ("GET", "/v1/users/ana@acme.example", "GET /v1/users/{id}", {"id": "ana@acme.example"}),
        ("GET", "/v1/environments/production/audit/admin/verify-chain", None, {"env": "production"}),
        ("GET", "/v1/nodes/rulebook", "GET /v1/nodes/rulebook", {}),
        ("POST", "/v1/environments/e/keys/k/rotate", None, {"env": "e", "id": "k"}),
    ],
)
def test_a_request_finds_its_endpoint(method: str, path: str, found: str | None, named: dict[str, str]) -> None:
    match = endpoint_for(method, path)
    assert match is not None
    assert match[1] == named
    assert found is None or match[0].name == found


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", "/v1"),
        ("GET", "/v1/users/"),
        ("PUT", "/v1/users"),
        ("get", "/v1/users"),
        ("GET", "/v1/users/a/b"),
    ],
)
def test_what_is_not_on_the_list_has_no_endpoint(method: str, path: str) -> None:
    assert endpoint_for(method, path) is None


def test_every_endpoint_has_a_name_of_its_own() -> None:
    assert len({endpoint.name for endpoint in ENDPOINTS}) == len(ENDPOINTS)
