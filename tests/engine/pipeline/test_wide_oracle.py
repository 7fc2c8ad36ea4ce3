"""Generated schemas, policies and queries: the governed answer is that of the permitted, masked database (W4.8, W4.11).

DuckDB promises no order among a client's own predicates, so where answers differ the oracle is asked again without its
optimizer. Whether a statement fails at all may follow the plan, and here the plan knows how many rows the tables in
memory hold: those cases are counted, not judged; `test_plan_facts.py` shows that over files it is not so.
The slow profile asks at least 10,000 queries.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, event, given, note, settings
from hypothesis import strategies as st

from governance.policies import Policy
from governance.principals import Principal
from tests.engine.pipeline.wide_oracle import ATTRIBUTES, SCHEMA, WIDE_WORLDS, WideWorld
from tests.engine.pipeline.wide_queries import wide_queries
from tests.support.governed_lab import Lab, Outcome, principal, rulebook

TRUE, PERMITTED = Lab([]), Lab([])
NO_VALUES = "statement_not_supported: PIVOT found no values"
_CHECKS = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example]
SHARED = [(SCHEMA, "shared")]
OPEN = rulebook([], SHARED)


@st.composite
def cases(draw: Any) -> tuple[WideWorld, list[str]]:
    world = draw(WIDE_WORLDS)
    tables = {table.sql_name: table.kinds for table in world.tables}
    return world, draw(st.lists(wide_queries(tables), min_size=3, max_size=6))


def _seen(outcome: Outcome) -> tuple[Any, ...]:
    return outcome.status, outcome.columns, sorted(map(repr, outcome.rows))


def _unoptimized(text: str) -> Outcome:
    PERMITTED.db.execute("PRAGMA disable_optimizer")
    try:
        return PERMITTED.run(text, _me(), OPEN)
    finally:
        PERMITTED.db.execute("PRAGMA enable_optimizer")


def _me() -> Principal:
    return principal(attributes=tuple(sorted(ATTRIBUTES.items())))


def _check(world: WideWorld, texts: list[str]) -> None:
    policies: list[Policy] = world.policies
    book = rulebook(policies, SHARED)
    TRUE.rebuild(world.statements())
    PERMITTED.rebuild(world.permitted())
    for text in texts:
        note(text)
        governed = TRUE.run(text, _me(), book)
        if governed.error.startswith(NO_VALUES):
            assert PERMITTED.run(text, _me(), OPEN).error == governed.error
            continue
        assert governed.status != "deny", governed.error
        plain = PERMITTED.run(text, _me(), OPEN)
        event(plain.status)
        if _seen(governed) != _seen(plain) and {governed.status, plain.status} == {"ok", "error"}:
            event("error depends on plan")
        elif _seen(governed) != _seen(plain):
            assert _seen(governed) == _seen(_unoptimized(text)), TRUE.sql(text, _me(), book)


@settings(max_examples=60, deadline=None, suppress_health_check=_CHECKS, print_blob=True)
@given(cases())
def test_w4_8_governed_equals_the_permitted_masked_database(case: tuple[WideWorld, list[str]]) -> None:
    _check(*case)


@pytest.mark.slow
@pytest.mark.timeout(7200)
@settings(max_examples=3_334, deadline=None, suppress_health_check=_CHECKS, print_blob=True)
@given(cases())
def test_governed_equals_the_permitted_masked_database_at_length(case: tuple[WideWorld, list[str]]) -> None:
    _check(*case)
