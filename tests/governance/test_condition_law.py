# ruff: noqa: E501
"""Time windows by their slow definition, and of what a condition speaks (found by mutation)."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from governance.conditions import EXPORT, QUERY, in_window, judge, speaks_of, turns_with_time
from governance.policies import Audience, Condition, Effect, MinimumGroup, TimeWindow
from governance.roles import Role
from governance.tables import TableName
from tests.support.governed_lab import agent, principal

T = TableName("sales", "T")
NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
_minutes = st.integers(0, 1440)
_days = st.frozensets(st.integers(0, 6), max_size=7)
_moments = st.datetimes(datetime(2026, 1, 1), datetime(2026, 2, 1))  # noqa: DTZ001 - the zone is UTC below


@given(_minutes, _minutes, _days, _moments)
@example(540, 1020, frozenset({0}), datetime(2026, 1, 5, 9, 0))  # noqa: DTZ001 - the first minute
@example(540, 1020, frozenset({0}), datetime(2026, 1, 5, 16, 59, 59))  # noqa: DTZ001 - the last one
@example(540, 1020, frozenset({0}), datetime(2026, 1, 5, 17, 0))  # noqa: DTZ001 - the first one after it
@example(1320, 360, frozenset({0}), datetime(2026, 1, 6, 5, 59))  # noqa: DTZ001 - past midnight, Monday's
@example(1320, 360, frozenset({0}), datetime(2026, 1, 6, 6, 0))  # noqa: DTZ001
@example(1320, 360, frozenset({1}), datetime(2026, 1, 6, 5, 59))  # noqa: DTZ001 - Tuesday's has not begun
@example(1320, 360, frozenset({0}), datetime(2026, 1, 5, 22, 0))  # noqa: DTZ001
@example(1320, 360, frozenset({0}), datetime(2026, 1, 5, 5, 0))  # noqa: DTZ001 - Sunday's
def test_a_window_belongs_to_the_day_it_began_on(start: int, end: int, days: frozenset[int], moment: datetime) -> None:
    def inside(day: datetime) -> bool:
        begun = day + timedelta(minutes=start)
        ended = day + timedelta(minutes=end, days=0 if start <= end else 1)
        return day.weekday() in days and begun <= moment < ended

    midnight = datetime.combine(moment.date(), time())
    slow = any(inside(midnight - timedelta(days=back)) for back in (0, 1))
    assert in_window(TimeWindow("UTC", start, end, days), moment.replace(tzinfo=UTC)) is slow


@pytest.mark.parametrize(
    ("parts", "table", "action", "spoken"),
    [
        ({}, T, "query", True), ({}, None, "query", True), ({"tables": ("sales.t",)}, T, "query", True), ({"tables": ("sales.t",)}, None, "query", False), ({"tables": ("sales.*",)}, None, "query", False),
        ({"tables": ("SALES.*",)}, T, "query", True), ({"tables": ("sales",)}, T, "query", False), ({"tables": ("t.*",)}, T, "query", False), ({"tables": ("other.t", "sales.T")}, T, "query", True),
        ({"actions": ("query",)}, T, "query", True), ({"actions": ("export",)}, T, "query", False), ({"actions": ("query", "export")}, T, "export", True), ({"actions": ("export",), "tables": ("sales.t",)}, None, "export", False),
    ],
)  # fmt: skip
@pytest.mark.parametrize("effect", Effect)
def test_a_condition_speaks_of_its_tables_and_actions(
    effect: Effect, parts: dict[str, Any], table: TableName | None, action: str, spoken: bool
) -> None:
    assert speaks_of(Condition("c", "c", effect, **parts), table, action) is spoken


@pytest.mark.parametrize("actions", [("dance",), ("query", "dance")])
def test_of_an_action_that_is_not_known_only_denials_speak(actions: tuple[str, ...]) -> None:
    deny, allow = Condition("d", "d", Effect.DENY, actions=actions), Condition("a", "a", Effect.ALLOW, actions=actions)
    assert speaks_of(deny, T, "export")
    assert not speaks_of(allow, T, "export")
    assert not speaks_of(Condition("d", "d", Effect.DENY, actions=actions, tables=("other.*",)), T, "export")


def test_a_statement_without_tables_is_judged_too() -> None:
    (verdict,) = judge((Condition("d", "closed", Effect.DENY),), principal(), None, QUERY, NOON)
    assert (verdict.policy, verdict.kind, verdict.effect, verdict.table) == ("closed", "condition", "denied", "")
    assert judge((Condition("d", "closed", Effect.DENY, tables=("sales.*",)),), principal(), None, QUERY, NOON) == []


@pytest.mark.parametrize(
    ("parts", "misfit"),
    [
        ({"roles": frozenset({Role.OWNER})}, "role analyst"), ({"audience": Audience.PEOPLE}, "not for people"), ({"agent_ids": ("x",)}, "agent bot-7"), ({"frameworks": ("x",)}, "framework langchain"),
        ({"trust": ("x",)}, "trust low"), ({"networks": ("192.0.2.0/24",)}, "from 10.1.2.3"), ({"window": TimeWindow("UTC", 0, 60)}, "outside 00:00 to 01:00 UTC"),
        ({"window": TimeWindow("UTC", 0, 1440), "outside_window": True}, "inside 00:00 to 24:00 UTC"), ({"networks": ("no network",)}, "from 10.1.2.3"), ({"window": TimeWindow("No/Where", 0, 1)}, "outside 00:00 to 00:01 No/Where"),
    ],
)  # fmt: skip
def test_a_permission_that_does_not_fit_says_which_part(parts: dict[str, Any], misfit: str) -> None:
    bot = principal(source_ip="10.1.2.3", agent=agent().agent.__class__("bot-7", "langchain", "low"))
    (verdict,) = judge((Condition("a", "a", Effect.ALLOW, **parts),), bot, T, QUERY, NOON)
    assert (verdict.effect, verdict.reason, verdict.table) == (
        "denied",
        f"no permission to query matches (a: {misfit})",
        "sales.T",
    )
    person = principal(source_ip="10.1.2.3")
    for part in ("agent_ids", "frameworks", "trust"):
        if part in parts:
            (alone,) = judge((Condition("a", "a", Effect.ALLOW, **parts),), person, T, QUERY, NOON)
            assert alone.reason == f"no permission to query matches (a: {misfit.split()[0]} none)"


def test_a_verdict_names_the_circumstances_that_the_condition_gives_and_no_others() -> None:
    bot = principal(source_ip="10.1.2.3", agent=agent().agent.__class__("bot-7", "langchain", "low"))
    for parts, told in (
        ({"agent_ids": ("bot-7",)}, "agent bot-7"), ({"frameworks": ("langchain",)}, "framework langchain"), ({"trust": ("low",)}, "trust low"),
        ({"audience": Audience.AGENTS, "trust": ("low",), "actions": ("query",)}, "agents, trust low, on query"),
    ):  # fmt: skip
        (verdict,) = judge((Condition("d", "d", Effect.DENY, **parts),), bot, T, EXPORT, NOON)  # type: ignore[arg-type]
        assert verdict.reason == f"the condition matches: {told}"


def test_only_windows_turn_with_the_time() -> None:
    window = Condition("w", "w", Effect.DENY, window=TimeWindow("UTC", 0, 1))
    assert turns_with_time([Condition("a", "a", Effect.DENY), window])
    assert not turns_with_time([Condition("a", "a", Effect.DENY), MinimumGroup("g", "g", T, 2)])
    assert not turns_with_time([])
