"""Restoring archived audit objects: by name, by day, once, with their state told."""

from __future__ import annotations

from typing import Any

import pytest

from governance.audit_shelf import Restore, Tier
from governance.errors import InvalidRequest
from lambdas.audit_tiering import restoring
from lambdas.audit_tiering.restoring import restore
from tests.lambdas.test_audit_tiering import Shelf, facts

DAYS = {"first_day": "2026-01-05", "last_day": "2026-01-06"}


def old(name: str, state: Restore = Restore.NONE) -> Any:
    return facts(name, days=300, tier=Tier.GLACIER, restore=state)


def test_w5_9_restores_are_asked_for_once_and_their_state_is_told() -> None:
    shelf = Shelf()
    shelf.add(facts("queries/old", days=500, tier=Tier.DEEP_ARCHIVE))
    shelf.add(facts("queries/new"))
    request = {"hatidata": "restore", "names": ["queries/old", "queries/new", "queries/none"], "days": 3}
    assert restore(shelf, request).objects == {
        "queries/old": "ongoing",
        "queries/new": "at_hand",
        "queries/none": "missing",
    }
    assert restore(shelf, request).objects["queries/old"] == "ongoing"
    assert shelf.asked == ["queries/old 3 bulk"]
    shelf.add(old("queries/old", Restore.READY))
    status = {"hatidata": "restore_status", "names": ["queries/old"]}
    assert restore(shelf, status).objects == {"queries/old": "ready"}


def test_asking_for_a_status_restores_nothing() -> None:
    shelf = Shelf()
    shelf.add(old("queries/2026/01/05/a"))
    for asked in ({"names": ["queries/2026/01/05/a"]}, DAYS):
        found = restore(shelf, {"hatidata": "restore_status", **asked})
        assert found.objects == {"queries/2026/01/05/a": "none"}
    assert shelf.asked == []


def test_w5_9_whole_days_are_restored_with_what_proves_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restoring, "PAGE_MAX", 3)
    shelf = Shelf()
    wanted = [
        "manifests/2026-01-05.json", "manifests/2026-01-05.sig", "manifests/2026-01-06.json",
        "queries/2026/01/05/a", "queries/2026/01/05/b", "queries/2026/01/06/a", "sessions/2026/01/06/a",
    ]  # fmt: skip
    for name in wanted:
        shelf.add(old(name))
    shelf.add(facts("queries/2026/01/06/b"))
    for name in ("queries/2026/01/04/a", "queries/2026/01/07/a", "manifests/2026-01-07.json", "reports/x"):
        shelf.add(old(name))
    told: dict[str, str] = {}
    at_hand, after, answers = 0, "", 0
    while not answers or after:
        found = restore(shelf, {"hatidata": "restore", **DAYS, "after": after})
        assert len(found.objects) <= 3
        assert not told.keys() & found.objects.keys()
        told |= found.objects
        at_hand, after, answers = at_hand + found.at_hand, found.next, answers + 1
    assert sorted(told) == wanted
    assert set(told.values()) == {"ongoing"}
    assert at_hand == 1
    assert sorted(line.split()[0] for line in shelf.asked) == wanted


@pytest.mark.parametrize(
    "changes",
    [
        {"names": []},
        {"names": ["x"] * 1001},
        {"names": "queries/old"},
        {"names": [1]},
        {"names": ["bad name"]},
        {"days": "7"},
        {"days": True},
        {"speed": "now"},
        {"speed": ["bulk"]},
        {"surprise": 1},
        {**DAYS},
        {"names": None, **DAYS},
    ],
)
def test_a_request_that_is_none_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest):
        restore(Shelf(), {"hatidata": "restore", "names": ["queries/x"], **changes})


@pytest.mark.parametrize(
    "days",
    [
        {"first_day": "2026-01-05"},
        {"first_day": "2026-01-06", "last_day": "2026-01-05"},
        {"first_day": "2024-01-06", "last_day": "2026-01-05"},
        {"first_day": "20260105..", "last_day": "2026-01-06"},
        {"first_day": 1, "last_day": "2026-01-06"},
        {**DAYS, "after": 7},
        {**DAYS, "after": "x" * 1025},
    ],
)
def test_days_that_are_none_are_refused(days: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest):
        restore(Shelf(), {"hatidata": "restore", **days})
