"""The hash chain: canonical bytes, sealing, and naming the first place where a chain does not hold."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from governance import chain

WHOLE = st.integers(min_value=-chain.INTEGER_MAX, max_value=chain.INTEGER_MAX)
TEXT = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=20)
VALUES = st.recursive(
    st.none() | st.booleans() | WHOLE | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)


def event(**changes: Any) -> dict[str, Any]:
    return {
        "environment": "production",
        "at": "2026-11-22T03:00:00.000000Z",
        "type": "organization.created",
        "actor": {"user_id": "o@acme.example", "organization": "1", "role": "owner", "key_id": "key-1"},
        "organization": "1",
        "target": "1",
        "source_ip": "127.0.0.1",
        "request_id": "r1",
        "before": None,
        "after": {"id": "1", "name": "Acme", "status": "active"},
    } | changes


def lines(count: int, *, after: Any = None) -> list[str]:
    out: list[str] = []
    previous = chain.genesis("production")
    for sequence in range(1, count + 1):
        link = chain.seal(event(target=str(sequence), after=after), sequence=sequence, previous=previous)
        out.append(link.line)
        previous = link.hash
    return out


CHAIN = lines(8)


@given(VALUES)
def test_canonical_is_json_that_reads_back_the_same_and_is_its_own_canonical_form(value: Any) -> None:
    text = chain.canonical(value)
    assert json.loads(text) == value
    assert chain.canonical(json.loads(text)) == text


@given(st.dictionaries(TEXT, WHOLE, max_size=8))
def test_canonical_orders_keys_by_utf16_units_whatever_the_order_given(value: dict[str, int]) -> None:
    assert chain.canonical(dict(reversed(value.items()))) == chain.canonical(value)
    keys = [key.encode("utf-16-be") for key, _ in json.loads(chain.canonical(value), object_pairs_hook=list)]
    assert keys == sorted(keys)


def test_canonical_spells_the_vector_of_rfc_8785_section_3_2_3() -> None:
    names = ["\u20ac", "\r", "\ufb33", "1", "\U0001f600", "\u0080", "\u00f6"]
    ordered = json.loads(chain.canonical(dict.fromkeys(names, 0)), object_pairs_hook=list)
    assert [name for name, _ in ordered] == ["\r", "1", "\u0080", "\u00f6", "\u20ac", "\U0001f600", "\ufb33"]
    assert chain.canonical('\u20ac$\x0f\nA\'B"\\\\"/') == '"\u20ac$\\u000f\\nA\'B\\"\\\\\\\\\\"/"'.encode()


@pytest.mark.parametrize("value", [1.5, float("nan"), 2**53, "\ud800", {1: 2}, b"x", object()])
def test_canonical_refuses_what_has_no_one_spelling(value: object) -> None:
    with pytest.raises(ValueError, match=r".+"):
        chain.canonical([value])


def test_canonical_refuses_what_is_nested_past_its_depth() -> None:
    value: Any = 0
    for _ in range(chain.DEPTH_MAX + 2):
        value = [value]
    with pytest.raises(ValueError, match="deep"):
        chain.canonical(value)


@given(st.lists(VALUES, max_size=6))
def test_w5_6_every_chain_that_was_sealed_holds(afters: list[Any]) -> None:
    previous, out = chain.genesis("production"), []
    for sequence, after in enumerate(afters, start=1):
        link = chain.seal(event(after=after), sequence=sequence, previous=previous)
        out.append(link.line + "\n")
        previous = link.hash
    found = chain.verify(out, "production")
    assert found.holds
    assert (found.count, found.head) == (len(afters), previous)


def test_w5_6_each_event_holds_the_sha256_of_the_one_before() -> None:
    events = [json.loads(line) for line in CHAIN]
    assert events[0]["previous"] == chain.genesis("production")
    for before, after in pairwise(events):
        assert after["previous"] == before["hash"] == chain.digest(before)


@given(st.data())
def test_w5_8_any_edit_of_any_line_is_named(data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(CHAIN) - 1))
    line = CHAIN[index]
    at = data.draw(st.integers(0, len(line)))
    end = data.draw(st.integers(at, min(at + 8, len(line))))
    edited = line[:at] + data.draw(st.text(alphabet='0a9f{}[]",:\\ é\n', max_size=6)) + line[end:]
    if edited.rstrip("\n") == line:
        return
    found = chain.verify([*CHAIN[:index], edited, *CHAIN[index + 1 :]], "production")
    assert found.first_break is not None
    assert found.first_break.line == found.count + 1 == index + 1
    assert found.head == (json.loads(CHAIN[index - 1])["hash"] if index else chain.genesis("production"))


@given(st.data())
def test_w5_8_a_line_edited_and_hashed_anew_breaks_the_chain_at_the_next(data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(CHAIN) - 2))
    forged = json.loads(CHAIN[index]) | {"target": "forged"}
    forged["hash"] = chain.digest(forged)
    found = chain.verify(
        [*CHAIN[:index], chain.canonical(forged).decode(), *CHAIN[index + 1 :]],
        "production",
    )
    assert found.first_break == chain.Break(index + 2, index + 2, "previous")


@given(st.integers(0, 6))
def test_w5_8_a_dropped_line_is_named(index: int) -> None:
    found = chain.verify(CHAIN[:index] + CHAIN[index + 1 :], "production")
    assert found.first_break == chain.Break(index + 1, index + 2, "sequence")


@given(st.integers(0, 7), st.integers(0, 7))
def test_w5_8_swapped_and_repeated_lines_are_named(one: int, other: int) -> None:
    swapped = list(CHAIN)
    swapped[one], swapped[other] = swapped[other], swapped[one]
    found = chain.verify(swapped, "production")
    assert found.holds == (one == other)
    repeated = [*CHAIN[: one + 1], CHAIN[one], *CHAIN[one + 1 :]]
    found = chain.verify(repeated, "production")
    assert found.first_break == chain.Break(one + 2, one + 1, "sequence")


def test_a_chain_cut_at_its_end_still_holds_so_count_and_head_must_be_compared() -> None:
    found = chain.verify(CHAIN[:5], "production")
    assert found.holds
    assert found.count == 5
    assert found.head != json.loads(CHAIN[-1])["hash"]


def test_another_environments_chain_is_named() -> None:
    assert chain.verify(CHAIN, "staging").first_break == chain.Break(1, 1, "environment")
    assert chain.verify(CHAIN).environment == "production"


def test_an_empty_chain_holds_with_the_genesis_as_head() -> None:
    assert chain.verify([], "production") == chain.Verification("production", 0, chain.genesis("production"), None)


@given(
    st.lists(
        st.text(max_size=60) | st.sampled_from(["[" * 5000, "1" * 9000, '{"sequence":1}', "null", "{}"]), max_size=3
    )
)
def test_garbage_is_named_and_never_raises(garbage: list[str]) -> None:
    found = chain.verify(garbage, "production")
    assert found.holds == (not garbage)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"v": 2}, "version"),
        ({"v": True}, "version"),
        ({"sequence": 2}, "sequence"),
        ({"sequence": True}, "sequence"),
        ({"previous": "0" * 64}, "previous"),
        ({"hash": "0" * 64}, "hash"),
        ({"note": "x"}, "fields"),
        ({"environment": 1}, "fields"),
    ],
)
def test_each_fault_has_its_name(change: dict[str, Any], reason: str) -> None:
    forged = json.loads(CHAIN[0]) | change
    if "hash" not in change:
        forged["hash"] = chain.digest(forged)
    found = chain.verify([chain.canonical(forged).decode()], "production")
    assert found.first_break is not None
    assert found.first_break.reason == reason


def test_sealing_refuses_missing_and_unknown_fields_and_events_past_the_line_limit() -> None:
    with pytest.raises(ValueError, match="missing or unknown"):
        chain.seal({"type": "x"}, sequence=1, previous="")
    with pytest.raises(ValueError, match="missing or unknown"):
        chain.seal(event(extra=1), sequence=1, previous="")
    with pytest.raises(ValueError, match="too long"):
        chain.seal(event(after="x" * chain.LINE_CHARS_MAX), sequence=1, previous="")
