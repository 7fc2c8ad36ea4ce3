"""Each part of an entitlement counts: tests that fail when an `and` of access becomes an `or` (found by mutation)."""

from __future__ import annotations

from typing import Any

import pytest

from engine.catalog.view import PrincipalCatalog
from governance import errors
from governance.policies import Condition, Effect, MinimumGroup
from governance.principals import Principal
from governance.roles import Role
from governance.scopes import BUNDLES, Scope
from governance.tables import TableName
from tests.support.governed_lab import Lab, principal, rulebook

SCHEMAS = [("sales", "1"), ("globex", "2")]
SETUP = ["CREATE SCHEMA sales", "CREATE SCHEMA globex", "CREATE TABLE sales.c AS SELECT 1 AS id, 'x' AS region",
         "CREATE TABLE globex.secret AS SELECT 1 AS id"]  # fmt: skip
READ = BUNDLES["read_only"]


@pytest.fixture(scope="module")
def lab() -> Lab:
    return Lab(SETUP)


def refusal(lab: Lab, sql: str, who: Principal, *policies: Any) -> errors.Refusal:
    book = rulebook(policies, SCHEMAS)
    with pytest.raises(errors.Refusal) as found:
        lab.pipeline.govern(sql, who, PrincipalCatalog(lab.lake, book, who), book)
    return found.value


@pytest.mark.parametrize(
    ("role", "scopes", "manages"),
    [
        (Role.ADMIN, READ | {Scope.POLICIES_MANAGE}, True),
        (Role.OWNER, READ | {Scope.POLICIES_MANAGE}, True),
        (Role.ADMIN, READ, False),
        (Role.ANALYST, READ | {Scope.POLICIES_MANAGE}, False),
        (Role.DEVELOPER, frozenset(Scope), False),
        (Role.SERVICE_ACCOUNT, frozenset(Scope), False),
    ],
)
def test_policies_are_told_to_a_role_that_manages_them_with_a_key_that_may(
    lab: Lab, role: Role, scopes: frozenset[Scope], manages: bool
) -> None:
    who = principal(role, scopes=scopes)
    told = lab.run("EXPLAIN POLICY SELECT id FROM sales.c", who, rulebook([], SCHEMAS))
    assert ("governed_sql" in {row[0] for row in told.rows}) is manages


@pytest.mark.parametrize(
    ("facts", "told"),
    [
        ({"role": Role.OWNER, "operator": True, "scopes": frozenset(Scope)}, True),
        ({"role": Role.OWNER, "operator": False, "scopes": frozenset(Scope)}, False),
        ({"role": Role.ADMIN, "operator": True, "scopes": frozenset(Scope)}, False),
        ({"role": Role.ANALYST, "operator": True, "scopes": frozenset(Scope)}, False),
        ({"role": Role.OWNER, "operator": True, "scopes": READ}, False),
    ],
)
def test_h14_only_the_operators_owner_with_the_scope_learns_that_a_foreign_table_exists(
    lab: Lab, facts: dict[str, Any], told: bool
) -> None:
    foreign = refusal(lab, "SELECT id FROM globex.secret", principal(**facts))
    missing = refusal(lab, "SELECT id FROM globex.nothing", principal(**facts))
    assert isinstance(foreign, errors.CrossOrganization) is told
    assert isinstance(missing, errors.TableUnknown)
    if not told:
        assert (foreign.message.replace("secret", "x"), foreign.advice, foreign.position) == (
            missing.message.replace("nothing", "x"), missing.advice, missing.position)  # fmt: skip
    assert foreign.reason == "cross_organization"


def test_a_condition_on_an_action_speaks_of_that_action(lab: Lab) -> None:
    deny = Condition("d", "no reading", Effect.DENY, actions=("read",))
    found = refusal(lab, "SELECT id FROM sales.c", principal(), deny)
    assert isinstance(found, errors.PermissionRefused)
    assert "no reading" in found.reason
    assert "no reading" not in found.message + found.advice


def test_an_unprintable_character_of_a_table_name_comes_back_as_a_question_mark(lab: Lab) -> None:
    found = refusal(lab, 'SELECT id FROM sales."a\tb\x7fc"', principal())
    assert "\t" not in found.message
    assert "\x7f" not in found.message


@pytest.mark.parametrize("sample", ["USING SAMPLE 1 ROWS", "TABLESAMPLE 50 PERCENT"])
def test_a_table_with_a_minimum_group_is_not_sampled(lab: Lab, sample: str) -> None:
    rule = MinimumGroup("g", "groups of two", TableName("sales", "c"), 2)
    assert refusal(lab, f"SELECT count(*) FROM sales.c {sample}", principal(), rule).code == "permission_denied"


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1 FROM sales.c",
        "SELECT region, count(*) FROM sales.c GROUP BY region QUALIFY row_number() OVER () = 1",
        "SELECT count(*) FROM sales.c HAVING count(*) FILTER (WHERE id = 1) > 0",
        "SELECT count(*) FROM sales.c GROUP BY region ORDER BY count(*) FILTER (WHERE id = 1)",
        "SELECT count(*) + #1 FROM sales.c GROUP BY ALL",
        "SELECT count(*), COLUMNS(*) FROM sales.c",
        "SELECT count(*) + (SELECT max(id) FROM sales.c) FROM sales.c",
        "SELECT list_transform([count(*)], lambda x: x + id) FROM sales.c",
        "SELECT count(*) OVER () FROM sales.c GROUP BY region",
        "SELECT count(*) FROM sales.c GROUP BY id % 2",
        "SELECT region || 'x', count(*) FROM sales.c GROUP BY region",
    ],
)
def test_only_plain_aggregates_read_a_table_with_a_minimum_group(lab: Lab, sql: str) -> None:
    rule = MinimumGroup("g", "groups of two", TableName("sales", "c"), 2)
    found = refusal(lab, sql, principal(), rule)
    assert found.code in ("permission_denied", "statement_refused"), found.code
    assert "sales.c" in found.message or found.code == "statement_refused"
