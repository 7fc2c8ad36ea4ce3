"""EXPLAIN and EXPLAIN POLICY: to whom they tell what."""

from __future__ import annotations

import pytest

from governance.policies import (
    MaskFunction,
    RowFilter,
)
from governance.roles import Role
from governance.rulebook import User
from governance.scopes import BUNDLES
from governance.tables import TableName
from tests.engine.pipeline.sales import OWN, SETUP, C, book, mask, refused, rows
from tests.support.governed_lab import OWNER_SCOPES, Lab, principal


@pytest.fixture(scope="module")
def lab() -> Lab:
    return Lab(SETUP)


def test_explain_policy_tells_oneself_verdicts_and_managers_everything(lab: Lab) -> None:
    rules = (OWN, mask(MaskFunction.FULL))
    text = "EXPLAIN POLICY SELECT ssn FROM sales.c WHERE id = 1"
    mine = rows(lab, text, principal(), *rules)
    assert {r[0] for r in mine} == {"verdict", "masked_column"}
    assert "org_id" not in repr(mine)
    manager = principal(Role.ADMIN, scopes=BUNDLES["admin"])
    told = rows(lab, text, manager, *rules)
    assert {"row_filter", "governed_sql"} <= {r[0] for r in told}
    people = (User("bo", "bo@acme.example", "1", Role.ANALYST, (("region", "amer"),)),)
    other = "EXPLAIN POLICY FOR USER 'bo@acme.example' SELECT ssn FROM sales.c"
    mine_only = RowFilter("r", "region", C, "region = {region}")
    assert any("'amer'" in r[7] for r in rows(lab, other, manager, mine_only, users=people))
    assert refused(lab, other, principal(), mine_only, users=people).code == "permission_denied"
    assert rows(lab, "EXPLAIN POLICY SELECT * FROM globex.secret", principal())[-1][2] == "table_unknown"


def test_h14_explain_policy_tells_only_the_operators_owner_that_a_foreign_table_exists(lab: Lab) -> None:
    text = "EXPLAIN POLICY SELECT * FROM {}"
    told = {}
    owner = principal(Role.OWNER, "1", scopes=OWNER_SCOPES, operator=True)
    for organization, manager in (("1", owner), ("2", principal(Role.ADMIN, "2", scopes=BUNDLES["admin"]))):
        foreign = "globex.secret" if organization == "1" else "acme.secret"
        told[organization] = [
            repr(rows(lab, text.format(name), manager)).replace(name, "T") for name in (foreign, foreign + "s")
        ]
    assert "cross_organization" in told["1"][0]
    assert "cross_organization" not in repr(told["2"])


def test_h14_the_plan_of_a_shared_filtered_table_is_for_the_operator(lab: Lab) -> None:
    manager = principal(Role.ADMIN, "2", scopes=BUNDLES["admin"])
    rule = RowFilter("f", "own", TableName("shared", "r"), "{org_id} = '2'")
    assert refused(lab, "EXPLAIN SELECT * FROM shared.r", manager, rule).code == "permission_denied"
    assert lab.govern("EXPLAIN SELECT * FROM shared.r", manager, book()).kind == "explain"
