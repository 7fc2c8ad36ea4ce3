"""What the index keeps of a line is the same whether the line is cut or understood, and no line breaks it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from governance.audit_record import (
    ChainLink,
    PolicyVerdict,
    QueryIntent,
    QueryOutcome,
    SessionFacts,
    encode_intent,
    encode_outcome,
    join_query,
)
from local.audit_words import RecordReader, micros, query_number

LINK = ChainLink("node.q", 1, "0" * 64)
NASTY = st.one_of(
    st.text(max_size=30),
    st.sampled_from(
        [
            '","tables":["x"],"columns_masked":[',
            ',"verdicts":[',
            ',"statement_kind":"',
            '"status":"denied"',
            "\\",
            '\\"',
            '],"columns_masked":[',
            ',"execution_ms":9,',
            "é\U0001f600",
            "\ud800",
            "\n",
            "\x00",
        ]
    ),
)
MOMENTS = st.sampled_from(
    [
        "2026-11-22T03:00:00.000001Z",
        "2026-11-22T03:00:00.999999Z",
        "1970-01-01T00:00:00.000000Z",
        "",
        "2026-11-22",
        "9999-12-31T23:59:59.999999Z",
        "2026-13-22T03:00:00.000001Z",
        "2026-11-22T03:00:00.00000xZ",
    ]
)


def reader() -> tuple[RecordReader, dict[str, int]]:
    words: dict[str, int] = {}
    return RecordReader(lambda text: words.setdefault(text, len(words) + 1)), words


@given(
    session=st.builds(SessionFacts, *[NASTY] * 12),
    began=MOMENTS,
    texts=st.lists(NASTY, min_size=5, max_size=5),
    tables=st.lists(NASTY, max_size=3),
    verdicts=st.lists(st.builds(PolicyVerdict, NASTY, NASTY, NASTY, NASTY, NASTY, NASTY), max_size=3),
    status=NASTY,
    cache=NASTY,
    duration=st.floats(0, 1e15),
    query_id=st.from_regex(r"\A[0-9A-Za-z_.:-]{1,64}\Z"),
)
def test_a_line_that_is_cut_tells_what_the_whole_line_tells(
    session: SessionFacts,
    began: str,
    texts: list[str],
    tables: list[str],
    verdicts: list[Any],
    status: str,
    cache: str,
    duration: float,
    query_id: str,
) -> None:
    kind, sql, masked, digest, parameter = texts
    intent = QueryIntent(
        query_id, session, began, kind, sql, tuple(tables), (masked,), tuple(verdicts), 7, digest, (parameter,)
    )
    outcome = QueryOutcome(query_id, "", status, 1, 2, duration, cache_status=cache, error_reason=texts[0])
    line = join_query(query_id, encode_intent(intent), encode_outcome(outcome), LINK)
    reading, _ = reader()
    understood = reading._slowly(json.loads(line))
    assert reading.told(line) == understood
    assert reading.told(line) == understood, "as remembered, too"
    try:
        assert reading._quickly(line) == understood
    except ValueError:
        # What does not stand in our order, or is escaped, is left to the slow way.
        assert not began or any(not text.isascii() or not text.isprintable() or '"' in text or "\\" in text
                                for text in (status, cache)) or len(began) != 27  # fmt: skip


@given(line=st.binary(max_size=200))
def test_any_line_is_read_or_left_out(line: bytes) -> None:
    reading, _ = reader()
    reading.told(line)
    reading.told(b'{"schema_version":1,"query_id":"' + line)


@pytest.mark.parametrize(
    "change",
    [
        {"execution_ms": "fast"}, {"execution_ms": float("1e300")}, {"tables": 7}, {"verdicts": ["x"]}, {"query_id": 7},
        {"verdicts": [{"policy": []}]},
    ],
)  # fmt: skip
def test_a_record_of_another_shape_is_left_out(change: dict[str, Any]) -> None:
    intent = encode_intent(QueryIntent("q", SessionFacts(*[""] * 8), "", "", ""))
    record = json.loads(join_query("q", intent, encode_outcome(QueryOutcome("q", "", "")), LINK))
    reading, _ = reader()
    assert reading.told(json.dumps(record).encode()) is not None
    assert reading.told(json.dumps(record | change).encode()) is None
    assert reading.told(json.dumps(record | change, separators=(",", ":")).encode()) is None


def test_keys_are_in_order_of_time() -> None:
    moments = ["", "1970-01-01T00:00:00.000001Z", "2026-11-22T03:00:00.000000Z", "2026-11-22T03:00:00.000001Z"]
    numbers = [micros(text) for text in [*moments, "9999-12-31T23:59:59.999999Z"]]
    assert numbers == sorted(set(numbers))
    assert numbers[-1] << 10 < 1 << 63
    ids = ["019abbb0-0000-7000-8000-000000000000", "019abbb0-0001-7000-8000-000000000000", "019bbbb0-0000-7000-8000-0"]
    assert query_number(ids[0]) < query_number(ids[1])
    assert all(0 <= query_number(each) < 1 << 63 for each in [*ids, "q", "f" * 32, "\ud800"])
