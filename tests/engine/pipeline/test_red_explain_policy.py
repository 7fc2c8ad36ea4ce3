"""EXPLAIN POLICY about somebody else stays inside one's own organization; only who administers all sees further."""

from __future__ import annotations

import pytest

from governance.roles import Role
from governance.rulebook import Key, User
from governance.scopes import BUNDLES
from tests.support.governed_lab import OWNER_SCOPES, Lab, principal, rulebook

BOOK = rulebook(
    [],
    [("globex", "2"), ("acme", "1")],
    users=(
        User("gus", "both@example.com", "2", Role.ANALYST),
        User("ana", "both@example.com", "1", Role.ANALYST),
        User("eve", "eve@globex.example", "2", Role.ANALYST),
    ),
    keys=(
        Key("k2", "bi", "p2", "h", "gus", BUNDLES["read_only"]),
        Key("k1", "bi", "p1", "h", "ana", BUNDLES["read_only"]),
    ),
)
ADMIN = principal(Role.ADMIN, operator=True, scopes=BUNDLES["admin"])
OWNER = principal(Role.OWNER, operator=True, scopes=OWNER_SCOPES)


@pytest.fixture(scope="module")
def lab() -> Lab:
    return Lab(
        [
            "CREATE SCHEMA globex",
            "CREATE TABLE globex.plans AS SELECT 1 AS merger",
            "CREATE SCHEMA acme",
            "CREATE TABLE acme.t AS SELECT 1 AS mine",
        ]
    )


def test_h14_an_operators_admin_learns_no_column_of_another_organization(lab: Lab) -> None:
    for name in ("gus", "eve@globex.example", "k2"):
        kind = "KEY" if name == "k2" else "USER"
        told = lab.run(f"EXPLAIN POLICY FOR {kind} '{name}' SELECT * FROM globex.plans", ADMIN, BOOK)
        assert told.error == f"not_found: There is no such {kind.lower()}. @None"


def test_h14_an_operators_admin_does_not_learn_that_a_foreign_table_exists(lab: Lab) -> None:
    there = lab.run("EXPLAIN POLICY SELECT * FROM globex.plans", ADMIN, BOOK)
    missing = lab.run("EXPLAIN POLICY SELECT * FROM globex.plane", ADMIN, BOOK)
    assert str(there.rows).replace("plans", "plane") == str(missing.rows)


@pytest.mark.parametrize("who", ["FOR KEY 'bi'", "FOR USER 'both@example.com'"])
@pytest.mark.parametrize("operator", [True, False])
def test_a_name_means_ones_own_organizations(lab: Lab, who: str, operator: bool) -> None:
    asking = principal(Role.ADMIN, operator=operator, scopes=BUNDLES["admin"])
    told = lab.run(f"EXPLAIN POLICY {who} SELECT * FROM acme.t", asking, BOOK)
    assert "mine" in str([row for row in told.rows if row[0] == "governed_sql"])


def test_who_administers_all_asks_about_all(lab: Lab) -> None:
    told = lab.run("EXPLAIN POLICY FOR USER 'eve' SELECT * FROM globex.plans", OWNER, BOOK)
    assert "merger" in str(told.rows)
