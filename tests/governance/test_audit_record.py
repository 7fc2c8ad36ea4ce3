import dataclasses
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from governance.audit_record import (
    ChainLink,
    PolicyVerdict,
    QueryIntent,
    QueryOutcome,
    SessionEvent,
    SessionFacts,
    chain_genesis,
    encode_event,
    encode_intent,
    encode_outcome,
    join_event,
    join_query,
)
from governance.audit_schema import EVENT_FIELDS, QUERY_FIELDS, STATUSES, schema

PUBLISHED = Path(__file__).parents[2] / "docs" / "audit-record.schema.json"
LINK = ChainLink("node-1-ab.q", 1, chain_genesis("node-1-ab.q"))
WHEN = "2026-11-22T03:00:00.000000Z"

texts = st.text(max_size=30)
sessions = st.builds(SessionFacts, *[texts for _ in dataclasses.fields(SessionFacts)])
verdicts = st.builds(PolicyVerdict, texts, texts, texts, texts, texts, texts)
intents = st.builds(
    QueryIntent,
    query_id=st.just("q-1"),
    session=sessions,
    started_at=st.just(WHEN),
    statement_kind=texts,
    sql=texts,
    tables=st.lists(texts, max_size=3).map(tuple),
    columns_masked=st.lists(texts, max_size=3).map(tuple),
    verdicts=st.lists(verdicts, max_size=3).map(tuple),
    policy_version=st.integers(0, 2**62),
    parameters=st.lists(texts, max_size=3).map(tuple),
)
outcomes = st.builds(
    QueryOutcome,
    query_id=st.just("q-1"),
    ended_at=st.just(WHEN),
    status=st.sampled_from(STATUSES),
    rows_returned=st.integers(0, 2**62),
    execution_ms=st.floats(0, 1e9),
    cache_status=st.sampled_from(["hit", "partial", "miss", "none"]),
    cache_bytes=st.integers(0, 2**62),
    store_bytes=st.integers(0, 2**62),
    error_reason=texts,
)
events = st.builds(
    SessionEvent,
    event_id=st.just("e-1"),
    at=st.just(WHEN),
    kind=texts,
    source_ip=texts,
    detail=texts,
    session=st.none() | sessions,
    extra=st.lists(st.tuples(texts, texts | st.integers() | st.none()), max_size=3).map(tuple),
)
VALIDATOR = jsonschema.Draft202012Validator(schema())


def _line(intent: QueryIntent, outcome: QueryOutcome) -> bytes:
    return join_query("q-1", encode_intent(intent), encode_outcome(outcome), LINK)


@given(intents, outcomes)
def test_w5_4_every_record_is_one_line_that_the_schema_admits(intent: QueryIntent, outcome: QueryOutcome) -> None:
    line = _line(intent, outcome)
    assert b"\n" not in line
    record = json.loads(line)
    VALIDATOR.validate(record)
    assert record["sql"] == intent.sql
    assert record["user"] == intent.session.user
    assert [v["reason"] for v in record["verdicts"]] == [v.reason for v in intent.verdicts]
    assert record["rows_returned"] == outcome.rows_returned
    assert list(record) == [field.name for field in QUERY_FIELDS]


@given(events)
def test_every_event_is_one_line_that_the_schema_admits(event: SessionEvent) -> None:
    line = join_event("e-1", encode_event(event), LINK)
    assert b"\n" not in line
    record = json.loads(line)
    VALIDATOR.validate(record)
    assert record["source_ip"] == event.source_ip
    assert set(record) <= {field.name for field in EVENT_FIELDS}


def test_the_published_schema_is_the_one_made_of_the_code() -> None:
    assert json.loads(PUBLISHED.read_text(encoding="utf-8")) == schema()
    jsonschema.Draft202012Validator.check_schema(schema())


def test_every_field_is_classified() -> None:
    assert {field.classification for field in (*QUERY_FIELDS, *EVENT_FIELDS)} == {"public", "sensitive", "secret"}
    assert {f.name for f in QUERY_FIELDS if f.classification == "secret"} == {"sql", "parameters", "error_reason"}


@pytest.mark.parametrize("bad", ["", "a" * 65, 'a"b', "a\nb", "é"])
def test_an_id_that_could_break_a_line_is_refused(bad: str) -> None:
    facts = SessionFacts(*[""] * 8)
    calls: list[Any] = [
        lambda: encode_intent(QueryIntent(bad, facts, WHEN, "select", "")),
        lambda: encode_outcome(QueryOutcome(bad, WHEN, "failed")),
        lambda: encode_event(SessionEvent(bad, WHEN, "login", "")),
    ]
    for call in calls:
        with pytest.raises(ValueError, match="audit id"):
            call()


def test_what_is_not_a_number_is_refused() -> None:
    with pytest.raises(ValueError, match="JSON"):
        encode_outcome(QueryOutcome("q", WHEN, "failed", execution_ms=float("nan")))
    with pytest.raises(ValueError, match="JSON"):
        encode_event(SessionEvent("e", WHEN, "login", "", extra=(("x", object()),)))
