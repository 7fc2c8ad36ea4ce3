"""The node's ledger: quotas by the clock, figures told until they are taken."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import refusals
from engine.usage import ENTRIES_MAX, UsageLedger
from governance.errors import QuotaExceeded
from governance.quota import Quota
from governance.rulebook import Key, Rulebook


class HandClock:
    def __init__(self) -> None:
        self.moment = datetime(2026, 11, 22, 23, 58, 30, tzinfo=UTC)

    def now(self) -> datetime:
        return self.moment


def key(quota: Quota, key_id: str = "key-1") -> Key:
    return Key(key_id, "k", "p", "h", "u", frozenset(), quota=quota)


def book(quota: Quota) -> Rulebook:
    return Rulebook("production", 1, "2026-11-22T00:00:00Z", "1", (), (), quotas=(("1", quota),))


def test_a_quota_of_a_minute_begins_anew_with_the_minute() -> None:
    clock = HandClock()
    ledger = UsageLedger(clock.now)
    mine = key(Quota(queries_per_minute=2))
    for _ in range(2):
        ledger.begin(mine, "1", book(Quota()))
    with pytest.raises(QuotaExceeded) as refused:
        ledger.begin(mine, "1", book(Quota()))
    assert refusals.report(refused.value).sqlstate == "53400"
    ledger.begin(key(Quota(), "key-2"), "1", book(Quota()))
    clock.moment += timedelta(seconds=30)
    ledger.begin(mine, "1", book(Quota()))


def test_an_organizations_quota_of_a_day_counts_all_its_keys_and_other_nodes() -> None:
    clock = HandClock()
    ledger = UsageLedger(clock.now)
    law = book(Quota(queries_per_day=10))
    ledger.begin(key(Quota()), "1", law)
    ledger.told([], "2026-11-22", {"keys": {}, "organizations": {"1": 8}})
    ledger.begin(key(Quota(), "key-2"), "1", law)
    with pytest.raises(QuotaExceeded, match="organization's quota of 10 statements a day"):
        ledger.begin(key(Quota(), "key-3"), "1", law)
    ledger.begin(key(Quota()), "2", law)
    clock.moment += timedelta(minutes=2)
    ledger.begin(key(Quota()), "1", law)
    ledger.told([], "2026-11-22", {"keys": {}, "organizations": {"1": 8}})  # a late word on yesterday
    for _ in range(9):
        ledger.begin(key(Quota()), "1", law)
    with pytest.raises(QuotaExceeded):
        ledger.begin(key(Quota()), "1", law)


@given(st.lists(st.tuples(st.sampled_from(["key-1", "key-2"]), st.sampled_from(["told", "lost", "end"])), max_size=40))
def test_whatever_reports_are_lost_the_last_one_taken_holds_every_statement(steps: list[tuple[str, str]]) -> None:
    ledger = UsageLedger(HandClock().now)
    taken: dict[str, int] = {}
    ended = {"key-1": 0, "key-2": 0}

    def tell() -> None:
        entries = ledger.report()
        for entry in entries:
            assert sum(entry["latency"]) == sum(entry["statements"].values())
            taken[entry["key_id"]] = sum(entry["statements"].values())
        ledger.told(entries, ledger.today, {})

    for key_id, step in steps:
        if step == "end":
            ledger.ended(key_id, "succeeded", 0.004)
            ended[key_id] += 1
        elif step == "told":
            tell()
        else:
            ledger.report()
    tell()
    assert taken == {key_id: number for key_id, number in ended.items() if number}
    assert ledger.report() == []


def test_a_statement_that_ends_while_a_report_is_under_way_is_told_next_time() -> None:
    ledger = UsageLedger(HandClock().now)
    ledger.ended("key-1", "succeeded", 0.001)
    entries = ledger.report()
    ledger.ended("key-1", "failed", 9999.0)
    ledger.told(entries, ledger.today, {})
    (entry,) = ledger.report()
    assert entry["statements"] == {"succeeded": 1, "failed": 1}
    assert entry["latency"][-1] == 1


def test_a_report_is_bounded() -> None:
    ledger = UsageLedger(HandClock().now)
    for number in range(ENTRIES_MAX + 1):
        ledger.ended(f"key-{number}", "succeeded", 0.001)
    first = ledger.report()
    assert len(first) == ENTRIES_MAX
    ledger.told(first, ledger.today, {})
    assert len(ledger.report()) == 1
