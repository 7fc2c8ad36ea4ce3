"""Checkpoints catch what a chain cannot tell of itself: rewritten whole, forked, cut off at its end."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from governance import chain
from governance.checkpoints import Checkpoint, Finding, compare, longest_silence

BASE = {
    "environment": "production", "at": "2026-11-22T03:00:00.000000Z", "type": "user.created", "organization": "1",
    "actor": {}, "target": "x", "source_ip": "", "request_id": "", "before": None, "after": None,
}  # fmt: skip


def make_chain(targets: list[str]) -> list[str]:
    lines, head = [], chain.genesis("production")
    for number, target in enumerate(targets, 1):
        link = chain.seal({**BASE, "target": target}, sequence=number, previous=head)
        lines.append(link.line)
        head = link.hash
    return lines


def checkpoint_of(lines: list[str], minute: int) -> tuple[str, Checkpoint]:
    found = chain.verify(lines, "production")
    assert found.holds
    made = Checkpoint(
        "production", found.count, found.head, f"2026-11-22T{minute // 60:02}:{minute % 60:02}:00.000000Z"
    )
    return made.name, made


def judge(lines: list[str], checkpoints: list[tuple[str, Checkpoint]]) -> list[Finding]:
    found = chain.verify(lines, "production", marks={c.sequence for _, c in checkpoints})
    assert found.holds, "every attack here leaves a chain that is whole in itself"
    return compare("production", found.count, found.marked, checkpoints)


TARGETS = st.lists(st.text("abc", min_size=1, max_size=2), min_size=1, max_size=9)


@given(TARGETS, st.data())
def test_an_honest_chain_agrees_with_every_checkpoint_of_its_past(targets: list[str], data: st.DataObject) -> None:
    lines = make_chain(targets)
    lengths = sorted(data.draw(st.lists(st.integers(0, len(lines)), max_size=5)))
    assert judge(lines, [checkpoint_of(lines[:length], at) for at, length in enumerate(lengths)]) == []


@given(TARGETS, st.data())
def test_a_chain_cut_off_at_its_end_is_caught(targets: list[str], data: st.DataObject) -> None:
    lines = make_chain(targets)
    kept = data.draw(st.integers(0, len(lines) - 1))
    (finding,) = judge(lines[:kept], [checkpoint_of(lines, 0)])
    assert finding.kind == "truncated"


@given(TARGETS, st.data())
def test_a_chain_rewritten_from_any_event_on_is_caught(targets: list[str], data: st.DataObject) -> None:
    lines = make_chain(targets)
    at = data.draw(st.integers(0, len(targets) - 1))
    forged = make_chain([*targets[:at], "forged", *targets[at + 1 :], *data.draw(TARGETS)])
    kinds = {finding.kind for finding in judge(forged, [checkpoint_of(lines[:at], 0), checkpoint_of(lines, 1)])}
    assert kinds == {"rewritten"}


def test_two_chains_told_to_two_readers_are_caught_by_their_checkpoints_alone() -> None:
    one, other = make_chain(["a", "b"]), make_chain(["a", "c"])
    kinds = [finding.kind for finding in judge(other, [checkpoint_of(one, 0), checkpoint_of(other, 1)])]
    assert sorted(kinds) == ["forked", "rewritten"]


def test_a_register_set_back_and_grown_again_is_caught() -> None:
    lines = make_chain(["a", "b", "c", "d"])
    findings = judge(lines, [checkpoint_of(lines[:3], 0), checkpoint_of(lines[:2], 1), checkpoint_of(lines, 2)])
    assert [finding.kind for finding in findings] == ["rolled_back"]


def test_a_checkpoint_of_an_empty_chain_is_its_genesis() -> None:
    lines = make_chain(["a"])
    assert judge(lines, [checkpoint_of([], 0)]) == []
    foreign = Checkpoint("production", 0, "0" * 64, "2026-11-22T00:00:00.000000Z")
    assert [finding.kind for finding in judge(lines, [(foreign.name, foreign)])] == ["forked"]


def test_another_environments_checkpoint_is_named() -> None:
    foreign = Checkpoint("staging", 1, "0" * 64, "2026-11-22T00:00:00.000000Z")
    assert [finding.kind for finding in judge(make_chain(["a"]), [(foreign.name, foreign)])] == ["environment"]


def test_the_bytes_are_as_documented() -> None:
    made = Checkpoint("production", 3, "ab" * 32, "2026-11-22T03:00:00.000000Z")
    assert made.encode() == (
        b'{"at":"2026-11-22T03:00:00.000000Z","environment":"production","head":"'
        + b"ab" * 32
        + b'","kind":"checkpoint"'
        b',"sequence":3,"v":1}'
    )
    assert made.name == "checkpoints/production/2026/11/22/20261122T030000.000000Z-0000000003.json"
    assert Checkpoint.decode(made.encode()) == made


@pytest.mark.parametrize(
    "data",
    [
        b"", b"{}", b"null", b"[" * 5000, b"\xff", Checkpoint("p", 1, "zz", "2026-11-22T03:00:00Z").encode(),
        Checkpoint("p", 1, "ab" * 32, "yesterday").encode(),
        Checkpoint("p", -1, "ab" * 32, "2026-11-22T03:00:00Z").encode(),
        Checkpoint("p", 1, "ab" * 32, "2026-11-22T03:00:00Z").encode() + b"\n",
        Checkpoint("p", 1, "ab" * 32, "2026-11-22T03:00:00Z").encode().replace(b"checkpoint", b"rulebook"),
    ],
)  # fmt: skip
def test_what_is_no_checkpoint_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="not a checkpoint"):
        Checkpoint.decode(data)


def test_the_longest_silence_is_told() -> None:
    made = [Checkpoint("p", 0, "ab" * 32, f"2026-11-22T{hour:02}:00:00Z") for hour in (5, 1, 2)]
    assert longest_silence(made) == timedelta(hours=3)
    assert longest_silence(made[:1]) == timedelta()
