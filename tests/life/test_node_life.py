"""The end of a node: every state reachable by any facts, walked exhaustively, and the laws over all of them."""

from __future__ import annotations

from collections import deque

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from governance.node_life import Fact, NodeLife, Order, Phase, Spool, Step, advance, facts_max

NUDGES = (Fact.STEP_LATE, Fact.OUT_OF_TIME)
"""Facts that time alone makes true."""


def reachable() -> dict[NodeLife, list[tuple[Fact, Step]]]:
    """Every life that some sequence of facts leads to, with its steps."""
    found: dict[NodeLife, list[tuple[Fact, Step]]] = {}
    waiting = deque([NodeLife()])
    while waiting:
        life = waiting.popleft()
        if life in found:
            continue
        found[life] = [(fact, advance(life, fact)) for fact in Fact]
        waiting.extend(step.life for _, step in found[life])
    return found


LIVES = reachable()
STARTED = [life for life in LIVES if life.phase is not Phase.NEW]


def test_the_table_is_finite_and_every_phase_is_reached() -> None:
    assert {life.phase for life in LIVES} == set(Phase)
    assert len(LIVES) < 500


def test_w2_7_w6_1_no_state_releases_a_node_that_is_not_proved_erased_and_shipped() -> None:
    for life, steps in LIVES.items():
        for fact, step in steps:
            if Order.RELEASE in step.orders:
                assert step.life.proved, (life, fact)
                assert step.life.spool is Spool.SHIPPED, (life, fact)
            if step.life.phase is Phase.RELEASED and not life.ended:
                assert life.phase is Phase.RELEASING, "released only after the release was ordered"
                assert step.life.proved
                assert step.life.spool is Spool.SHIPPED


def test_proof_is_only_what_the_node_said_after_the_last_erase() -> None:
    for life, steps in LIVES.items():
        for fact, step in steps:
            if step.life.proved and not life.proved:
                assert fact is Fact.PROVED
                assert life.phase is Phase.PROVING
            if Order.ERASE in step.orders:
                assert not step.life.proved


def test_whatever_is_kept_or_lost_was_alarmed() -> None:
    """Walk with the memory of whether an alarm was ordered: it is part of the state then."""
    seen: set[tuple[NodeLife, bool]] = set()
    waiting = deque([(NodeLife(), False)])
    while waiting:
        life, alarmed = waiting.popleft()
        if (life, alarmed) in seen:
            continue
        seen.add((life, alarmed))
        if life.phase in (Phase.RETAINED, Phase.LOST):
            assert alarmed, life
        for fact in Fact:
            step = advance(life, fact)
            waiting.append((step.life, alarmed or Order.ALARM in step.orders))


@pytest.mark.parametrize("nudge", NUDGES)
def test_never_stuck_time_alone_ends_every_started_node(nudge: Fact) -> None:
    for life in STARTED:
        for _ in range(facts_max()):
            if life.ended:
                break
            life = advance(life, nudge).life
        assert life.ended


def test_lost_only_when_the_world_took_it() -> None:
    for steps in LIVES.values():
        for fact, step in steps:
            if step.life.phase is Phase.LOST and fact is not Fact.GONE:
                assert step.orders == (), "lost already"


def test_an_ended_node_stays_as_it_is() -> None:
    for life, steps in LIVES.items():
        if life.ended:
            assert all(step == Step(life) for _, step in steps)


def test_moves_are_bounded() -> None:
    """The longest way through the table that changes something at each fact is within `facts_max`."""
    longest: dict[NodeLife, int] = {}

    def length(life: NodeLife, above: frozenset[NodeLife]) -> int:
        assert life not in above, "a circle of changes"
        if life not in longest:
            onward = {step.life for _, step in LIVES[life]} - {life}
            longest[life] = 1 + max((length(each, above | {life}) for each in onward), default=-1)
        return longest[life]

    assert length(NodeLife(), frozenset()) <= facts_max()


FACTS = st.lists(st.sampled_from(list(Fact)), max_size=60)


@settings(max_examples=300, deadline=None)
@given(FACTS)
def test_any_sequence_of_facts_then_time_ends_well(facts: list[Fact]) -> None:
    life, orders = advance(NodeLife(), Fact.TERMINATING).life, [Order.DRAIN]
    for fact in [*facts, *[Fact.STEP_LATE] * facts_max()]:
        step = advance(life, fact)
        life, orders = step.life, orders + list(step.orders)
    assert life.ended
    if life.phase is Phase.RELEASED:
        assert Order.RELEASE in orders
        assert orders.index(Order.ERASE) < orders.index(Order.PROVE) < orders.index(Order.RELEASE)
        assert Fact.SHIPPED in facts
        assert Fact.PROVED in facts
    else:
        assert Order.ALARM in orders
        assert life.phase is Phase.RETAINED or Fact.GONE in facts


def walk(*facts: Fact) -> tuple[NodeLife, list[Order]]:
    life = NodeLife()
    orders: list[Order] = []
    for fact in facts:
        step = advance(life, fact)
        life = step.life
        orders += step.orders
    return life, orders


def test_the_good_way() -> None:
    life, orders = walk(Fact.TERMINATING, Fact.SHIPPED, Fact.ERASED, Fact.PROVED, Fact.COMPLETED)
    assert life.phase is Phase.RELEASED
    assert orders == [Order.DRAIN, Order.ERASE, Order.PROVE, Order.RELEASE]


def test_an_unshipped_spool_erases_the_cache_and_keeps_the_node() -> None:
    life, orders = walk(Fact.TERMINATING, Fact.UNSHIPPED, Fact.ERASED, Fact.PROVED, Fact.COMPLETED)
    assert life.phase is Phase.RETAINED
    assert life.proved
    assert orders == [Order.DRAIN, Order.ERASE, Order.PROVE, Order.ALARM, Order.RETAIN]


def test_an_erasure_whose_answer_was_lost_is_believed_when_proved() -> None:
    life, _ = walk(Fact.TERMINATING, Fact.SHIPPED, *[Fact.COMMAND_LOST] * 3, Fact.PROVED, Fact.COMPLETED)
    assert life.phase is Phase.RELEASED


def test_a_key_slot_that_is_left_keeps_the_node() -> None:
    life, orders = walk(
        Fact.TERMINATING, Fact.SHIPPED, *[Fact.ERASED, Fact.UNPROVED] * 3, Fact.COMPLETED,
    )  # fmt: skip
    assert life.phase is Phase.RETAINED
    assert orders.count(Order.ERASE) == 3
    assert Order.RELEASE not in orders


def test_an_event_told_twice_is_one_event() -> None:
    assert walk(Fact.TERMINATING, Fact.TERMINATING) == walk(Fact.TERMINATING)
