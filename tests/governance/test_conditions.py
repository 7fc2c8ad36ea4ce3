"""Conditions: every given part must fit, denial overrides permission, and each verdict tells why."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from governance.conditions import ACTIONS, EXPLAIN, EXPORT, QUERY, judge
from governance.policies import Audience, Condition, Effect, TimeWindow
from governance.roles import Role
from governance.tables import TableName
from tests.support.governed_lab import agent, principal

T = TableName("sales", "T")
MONDAY_NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
BOT = agent(source_ip="10.1.2.3")
ANA = principal(source_ip="10.1.2.3")


def deny(**parts: object) -> Condition:
    return Condition("d", "d", Effect.DENY, **parts)  # type: ignore[arg-type]


def allow(name: str = "a", **parts: object) -> Condition:
    return Condition(name, name, Effect.ALLOW, **parts)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("parts", "who", "told"),
    [
        ({}, ANA, "the condition matches always"),
        ({"roles": frozenset({Role.ANALYST})}, ANA, "role analyst"),
        ({"roles": frozenset({Role.OWNER})}, ANA, ""),
        ({"agent_ids": ("bot-7",)}, BOT, "agent bot-7"),
        ({"agent_ids": ("bot-7",)}, ANA, ""),
        ({"frameworks": ("langchain",)}, BOT, "framework langchain"),
        ({"frameworks": ("other",)}, BOT, ""),
        ({"trust": ("",)}, BOT, "trust "),
        ({"trust": ("high",)}, BOT, ""),
        ({"audience": Audience.AGENTS}, BOT, "agents"),
        ({"audience": Audience.AGENTS}, ANA, ""),
        ({"audience": Audience.PEOPLE}, ANA, "people"),
        ({"networks": ("10.0.0.0/8",)}, ANA, "from 10.1.2.3"),
        ({"networks": ("192.0.2.0/24",)}, ANA, ""),
        ({"networks": ("192.0.2.0/24",)}, principal(), "from an unknown address"),
        ({"tables": ("SALES.t",)}, ANA, "the condition matches always"),
        ({"tables": ("sales.*",)}, ANA, "the condition matches always"),
        ({"tables": ("other.*",)}, ANA, ""),
        ({"window": TimeWindow("Europe/Berlin", 540, 1020)}, ANA, "inside 09:00 to 17:00 Europe/Berlin"),
        ({"window": TimeWindow("Asia/Tokyo", 540, 1020)}, ANA, ""),
        ({"window": TimeWindow("UTC", 0, 600), "outside_window": True}, ANA, "outside 00:00 to 10:00 UTC"),
        ({"window": TimeWindow("UTC", 0, 1440, frozenset({0, 4}))}, ANA, "inside 00:00 to 24:00 UTC on mon, fri"),
        ({"window": TimeWindow("UTC", 0, 1440, frozenset({5}))}, ANA, ""),
        ({"window": TimeWindow("No/Where", 0, 1)}, ANA, "inside"),
        ({"actions": ("export",)}, ANA, ""),
        ({"actions": ("query",)}, ANA, "on query"),
        ({"actions": ("a word of another time",)}, ANA, "on a word of another time"),
    ],
)
def test_a_denial_matches_by_every_given_part_and_says_which(parts: dict[str, object], who: object, told: str) -> None:
    verdicts = judge((deny(**parts),), who, T, QUERY, MONDAY_NOON)  # type: ignore[arg-type]
    assert bool(verdicts) is bool(told)
    assert all(v.effect == "denied" and told in v.reason and v.table == "sales.T" for v in verdicts)


def test_denial_overrides_permission() -> None:
    verdicts = judge((allow(), deny(roles=frozenset({Role.ANALYST}))), ANA, T, QUERY, MONDAY_NOON)
    assert [(v.effect, v.policy) for v in verdicts] == [("denied", "d"), ("allowed", "a")]


def test_where_permissions_speak_one_must_match_and_the_reason_names_what_does_not_fit() -> None:
    office = allow("office", window=TimeWindow("UTC", 540, 600))
    vpn = allow("vpn", networks=("192.0.2.0/24",))
    (verdict,) = judge((office, vpn), ANA, T, QUERY, MONDAY_NOON)
    assert (verdict.effect, verdict.policy) == ("denied", "office, vpn")
    assert verdict.reason == ("no permission to query matches (office: outside 09:00 to 10:00 UTC; vpn: from 10.1.2.3)")
    assert [v.effect for v in judge((office, vpn, allow()), ANA, T, QUERY, MONDAY_NOON)] == ["allowed"]


def test_each_action_needs_its_own_permission_and_a_reading_is_always_one() -> None:
    export = allow("may export", actions=("export",), roles=frozenset({Role.ADMIN}))
    assert judge((export,), ANA, T, QUERY, MONDAY_NOON) == []
    (refused,) = judge((export,), ANA, T, EXPORT, MONDAY_NOON)
    assert "no permission to export" in refused.reason
    assert [v.effect for v in judge((export, allow()), ANA, T, EXPORT, MONDAY_NOON)] == ["allowed"]
    for actions in (QUERY, EXPORT, EXPLAIN):
        assert [v.effect for v in judge((deny(actions=("query",)),), ANA, T, actions, MONDAY_NOON)] == ["denied"]
    assert judge((deny(actions=("write",)),), ANA, T, EXPORT, MONDAY_NOON) == []
    assert set(ACTIONS) >= QUERY | EXPORT | EXPLAIN


def test_an_unknown_action_is_meant_by_a_denial_and_not_by_a_permission() -> None:
    assert judge((allow(actions=("dance",)),), ANA, T, QUERY, MONDAY_NOON) == []
    assert judge((deny(actions=("dance",)),), ANA, T, QUERY, MONDAY_NOON)[0].effect == "denied"
