# ruff: noqa: E501
"""Policies written badly or cleverly: they hold more often than was meant, never less."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from governance.conditions import QUERY, judge
from governance.errors import PermissionRefused
from governance.policies import (
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
from governance.principals import Principal
from governance.tables import TableName
from tests.support.governed_lab import Lab, agent, principal, rulebook

T, V, W = TableName("s", "t"), TableName("s", "v"), TableName("s", "w")
VIEWS = [View("v", V, "SELECT id, grp, ssn FROM s.t"), View("w", W, "SELECT id FROM s.v")]
PEOPLE, AGENTS = AppliesTo(Audience.PEOPLE), AppliesTo(Audience.AGENTS)


@pytest.fixture(scope="module")
def lab() -> Lab:
    return Lab(
        [
            "CREATE SCHEMA s",
            "CREATE TABLE s.t AS SELECT i AS id, i % 2 AS org_id, 'g' || (i % 3) AS grp, 'v' AS ssn FROM range(12) r(i)",
        ]
    )


def _ids(lab: Lab, who: Principal, *policies: Policy) -> list[int]:
    found = lab.run("SELECT id FROM s.t ORDER BY id", who, rulebook(policies, [("s", "1")], VIEWS))
    assert found.status == "ok", found.error
    return [row[0] for row in found.rows]


def test_w4_6_an_agent_never_sees_more_rows_than_its_person(lab: Lab) -> None:
    own = RowFilter("p", "p", T, "org_id = {org_id}", applies_to=PEOPLE)
    assert _ids(lab, agent(), own) == _ids(lab, principal(), own) == [1, 3, 5, 7, 9, 11]
    ours = RowFilter("a", "a", T, "grp = 'g0'", applies_to=AGENTS, permissive=True)
    theirs = RowFilter("b", "b", T, "org_id = 1", applies_to=PEOPLE, permissive=True)
    both = RowFilter("c", "c", T, "id = 4", permissive=True)
    assert _ids(lab, agent(), ours, theirs) == [3, 9]
    assert _ids(lab, agent(), ours, theirs, both) == [3, 4, 9]
    assert _ids(lab, principal(), ours, theirs, both) == [1, 3, 4, 5, 7, 9, 11]
    assert _ids(lab, agent(), ours) == [0, 3, 6, 9]


@pytest.mark.parametrize("framework", ["langchain", "LangChain", " LANGCHAIN ", "ｌａｎｇｃｈａｉｎ"])
def test_w4_6_a_frameworks_name_is_the_same_however_it_is_written(lab: Lab, framework: str) -> None:
    rule = RowFilter("f", "f", T, "id = 3", applies_to=AppliesTo(Audience.AGENTS, frameworks=("Langchain",)))
    by_id = RowFilter("f", "f", T, "id = 3", applies_to=AppliesTo(Audience.AGENTS, agent_ids=("BOT-7",)))
    assert _ids(lab, agent(framework=framework), rule) == _ids(lab, agent(framework="x"), by_id) == [3]


NOON = datetime(2026, 3, 29, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("denial", "who"),
    [
        ({"audience": Audience.PEOPLE}, agent()),
        ({"frameworks": ("LangChain",)}, agent()),
        ({"trust": ("Low",)}, agent()),
        ({"networks": ("10.0.0.0/8",)}, principal(source_ip="::ffff:10.1.2.3")),
        ({"networks": ("10.0.0.0/8",)}, principal(source_ip="")),
        ({"tables": ("S.T",)}, principal()),
        ({"window": TimeWindow("Europe/Berlin", 120, 900)}, principal()),  # 13:00 there, and 02:30 does not exist
    ],
)
def test_a_denial_is_not_slipped_by_the_way_a_thing_is_written(denial: dict[str, object], who: Principal) -> None:
    if who.agent is not None:
        who = replace(who, agent=replace(who.agent, trust="low"))
    (verdict,) = judge((Condition("d", "d", Effect.DENY, **denial),), who, T, QUERY, NOON)  # type: ignore[arg-type]
    assert verdict.effect == "denied"


def test_a_permission_for_people_is_none_for_agents() -> None:
    allow = (Condition("a", "a", Effect.ALLOW, audience=Audience.PEOPLE),)
    assert [v.effect for v in judge(allow, agent(), T, QUERY, NOON)] == ["denied"]
    assert [v.effect for v in judge(allow, principal(), T, QUERY, NOON)] == ["allowed"]


@pytest.mark.parametrize(
    "sql", ["SELECT id FROM s.v", "SELECT * FROM (FROM s.w) q", "WITH x AS (FROM s.v) SELECT 1 FROM x"]
)
def test_a_condition_may_speak_of_a_view(lab: Lab, sql: str) -> None:
    book = rulebook([Condition("d", "d", Effect.DENY, tables=("s.V",))], [("s", "1")], VIEWS)
    for _ in range(2):  # from the kept plan too
        with pytest.raises(PermissionRefused, match="does not admit"):
            lab.govern(sql, principal(), book)
    assert lab.run("SELECT count(*) FROM s.t", principal(), book).rows == [(12,)]


@pytest.mark.parametrize(
    "rule",
    [
        RowFilter("r", "r", V, "id = 1"),
        Mask("r", "r", TableName("S", "V"), "ssn", MaskFunction.FULL),
        MinimumGroup("r", "r", V, 5),
    ],
)
def test_a_rule_that_names_a_view_refuses_it(lab: Lab, rule: Policy) -> None:
    book = rulebook([rule], [("s", "1")], VIEWS)
    for name in ("s.v", "s.w"):
        with pytest.raises(PermissionRefused) as caught:
            lab.govern(f"SELECT id FROM {name}", principal(), book)
        assert "rule r names a view" in caught.value.reason
