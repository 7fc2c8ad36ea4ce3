"""The start-up canary is quiet on the pinned DuckDB, and sings when what it watches is gone."""

from __future__ import annotations

import pytest

from engine.executor.canary import canary
from engine.pipeline.guard import Guards


def test_the_installed_duckdb_keeps_the_twins_alike() -> None:
    assert canary() == []


def test_it_sings_without_guard_and_barrier(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.pipeline.planner.guards_of", lambda survey, tables: Guards())
    assert canary() != []


def test_it_sings_without_seals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.pipeline.guard.Guards.seals", lambda self, column: False)
    assert canary() != []
