"""Random catalog queries answered as a real PostgreSQL 15 with the same tables answers them."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings

from tests.engine.catalog.postgres import Twins
from tests.engine.catalog.random_queries import queries

_SLACK = settings(deadline=None, suppress_health_check=list(HealthCheck), print_blob=True)


def _alike(twins: Twins, text: str) -> None:
    """Both refuse with the same SQLSTATE, or both give the same columns and the same rows."""
    real, ours = twins.real(text), twins.emulated(text)
    assert ours.error == real.error, text
    assert ours.columns == real.columns, text
    assert ours.bag == real.bag, text


@given(text=queries())
@settings(_SLACK, max_examples=80)
def test_random_queries_are_answered_alike(twins: Twins, text: str):
    _alike(twins, text)


@pytest.mark.slow
@given(text=queries())
@settings(_SLACK, max_examples=5000)
def test_many_random_queries_are_answered_alike(twins: Twins, text: str):
    _alike(twins, text)
