"""The audit through its public door, on real files."""

import asyncio
import dataclasses
import gzip
from datetime import timedelta
from pathlib import Path

import pytest

from engine.audit import QueryAudit
from engine.audit.event_gate import COMMANDS_BURST, EventGate
from governance.audit_record import chain_genesis, line_digest
from governance.errors import AuditUnavailable
from tests.engine.audit.records import (
    MemoryStore,
    SteppedClock,
    audit_on,
    event,
    intent,
    lines,
    outcome,
    settings,
)
from tests.support.waiting import until_async


def test_w5_1_allowed_denied_and_failed_statements_are_each_one_record(tmp_path: Path) -> None:
    store = MemoryStore()

    async def run() -> None:
        audit = audit_on(tmp_path, store)
        await audit.start()
        for status in ("succeeded", "denied", "failed", "cancelled", "timed_out", "client_gone"):
            await audit.intent(intent(status))
            audit.outcome(outcome(status, status))
            audit.outcome(outcome(status, "failed"))
        assert await audit.stop()

    asyncio.run(run())
    records = lines(store.objects)
    assert [(r["query_id"], r["status"]) for r in records] == [(r["query_id"], r["query_id"]) for r in records]
    assert len(records) == 6


def test_w5_3_objects_are_json_lines_by_day(tmp_path: Path) -> None:
    store = MemoryStore()

    async def run() -> None:
        audit = audit_on(tmp_path, store)
        await audit.start()
        await audit.intent(intent("q1"))
        audit.outcome(outcome("q1"))
        await audit.stop()

    asyncio.run(run())
    (name,) = store.objects
    assert name.startswith("queries/2026/11/22/20261122T0300")
    assert name.endswith(".jsonl.gz")


def test_w5_4_a_record_holds_every_promised_field(tmp_path: Path) -> None:
    store = MemoryStore()

    async def run() -> None:
        audit = audit_on(tmp_path, store)
        await audit.start()
        await audit.intent(intent("q1", "SELECT ssn FROM sales.customers"))
        audit.outcome(outcome("q1"))
        await audit.stop()

    asyncio.run(run())
    (record,) = lines(store.objects)
    assert record["query_id"] == "q1"
    assert record["user"] == "ana@acme.example"
    assert record["source_ip"] == "127.0.0.1"
    assert record["sql"] == "SELECT ssn FROM sales.customers"
    assert record["tables"] == ["sales.customers"]
    assert record["rows_returned"] == 5
    assert record["columns_masked"] == ["sales.customers.ssn"]
    assert record["execution_ms"] == 1.5
    assert record["cache_status"] == "hit"
    assert record["verdicts"][0] == {
        "policy": "own-rows",
        "kind": "row_filter",
        "effect": "applied",
        "reason": "applies to everyone",
        "table": "sales.customers",
    }
    assert (record["agent_id"], record["agent_framework"]) == ("bot-7", "langchain")


def test_w5_1_a_query_whose_outcome_never_came_is_interrupted(tmp_path: Path) -> None:
    store = MemoryStore()

    async def run() -> None:
        audit = audit_on(tmp_path, store)
        await audit.start()
        await audit.intent(intent("q1"))
        assert await audit.stop()
        assert store.objects == {}
        again = audit_on(tmp_path, store)
        await again.start()
        assert again.interrupted == 1
        await again.stop()
        third = audit_on(tmp_path, store)
        await third.start()
        assert third.interrupted == 0
        await third.stop()

    asyncio.run(run())
    assert [(r["query_id"], r["status"]) for r in lines(store.objects)] == [("q1", "interrupted")]


def test_one_sync_serves_many_writers(tmp_path: Path) -> None:
    store = MemoryStore()

    async def run() -> None:
        audit = audit_on(tmp_path, store)
        await audit.start()
        before = audit.syncs

        async def client(number: int) -> None:
            for turn in range(10):
                await audit.intent(intent(f"{number}-{turn}"))
                audit.outcome(outcome(f"{number}-{turn}"))

        await asyncio.gather(*(client(number) for number in range(32)))
        assert audit.syncs - before < 160
        await audit.stop()

    asyncio.run(run())
    assert len({r["query_id"] for r in lines(store.objects)}) == len(lines(store.objects)) == 320


def test_records_form_a_chain_across_objects_and_restarts(tmp_path: Path) -> None:
    store = MemoryStore()

    async def run() -> None:
        for turn in range(3):
            audit = audit_on(tmp_path, store)
            await audit.start()
            for number in range(3):
                await audit.intent(intent(f"{turn}-{number}"))
                audit.outcome(outcome(f"{turn}-{number}"))
            audit.event(event(f"e{turn}"))
            await audit.stop()

    asyncio.run(run())
    for prefix, count in (("queries/", 9), ("sessions/", 3)):
        raw = [
            line
            for name in sorted(store.objects)
            if name.startswith(prefix)
            for line in gzip.decompress(store.objects[name]).splitlines()
        ]
        records = lines(store.objects, prefix)
        assert [r["chain_seq"] for r in records] == list(range(1, count + 1))
        head = chain_genesis(records[0]["chain_id"])
        for line, record in zip(raw, records, strict=True):
            assert record["chain_prev"] == head
            head = line_digest(line)


def test_a_store_that_is_down_loses_and_doubles_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = MemoryStore()

    def down(name: str) -> None:
        raise ConnectionError("down")

    async def run() -> None:
        store.before = down
        audit = audit_on(tmp_path, store, ship_bytes=2000, drain_timeout_s=0.3, retry_s_max=0.05)
        await audit.start()
        for number in range(20):
            await audit.intent(intent(f"q{number}"))
            audit.outcome(outcome(f"q{number}"))
        await until_async(lambda: audit.ship_failures >= 2)
        assert audit.lag_s > 0
        assert not await audit.stop()
        assert store.objects == {}
        store.before = lambda name: None
        again = audit_on(tmp_path, store)
        await again.start()
        assert await again.stored(10)
        assert again.lag_s == 0.0
        await again.stop()

    asyncio.run(run())
    records = sorted(lines(store.objects), key=lambda record: int(record["chain_seq"]))  # the second clock began anew
    assert [r["query_id"] for r in records] == [f"q{n}" for n in range(20)]
    said = [r.getMessage() for r in caplog.records if r.name == "hatidata.audit"]
    assert said == ["audit records wait, nothing is lost: ConnectionError; trying again"]


def test_a_store_that_fails_after_having_stored_gets_the_same_object_again(tmp_path: Path) -> None:
    store = MemoryStore()
    failures = iter([True, True, False])

    def after(name: str) -> None:
        if next(failures, False):
            raise OSError("503 after having stored")

    async def run() -> None:
        store.after = after
        audit = audit_on(tmp_path, store, retry_s_max=0.05)
        await audit.start()
        await audit.intent(intent("q1"))
        audit.outcome(outcome("q1"))
        assert await audit.stop()

    asyncio.run(run())
    assert len(store.puts) == 3
    assert len(store.objects) == 1
    assert len(lines(store.objects)) == 1


def test_clock_steps_lose_nothing(tmp_path: Path) -> None:
    store = MemoryStore()

    async def run() -> None:
        clock = SteppedClock(timedelta(days=-40))
        audit = QueryAudit(settings(tmp_path), store, clock)
        await audit.start()
        for number in range(5):
            clock.step = -clock.step
            await audit.intent(intent(f"q{number}"))
            audit.outcome(outcome(f"q{number}"))
            assert await audit.stored(5)
        await audit.stop()

    asyncio.run(run())
    assert {r["query_id"] for r in lines(store.objects)} == {f"q{n}" for n in range(5)}
    assert len(store.objects) == 5


def test_a_caller_that_is_cancelled_while_waiting_leaves_a_closed_record(tmp_path: Path) -> None:
    store = MemoryStore()

    async def run() -> None:
        audit = audit_on(tmp_path, store)
        await audit.start()
        task = asyncio.create_task(audit.intent(intent("q1")))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await audit.settled()
        assert audit.open_intents == 0
        await audit.stop()

    asyncio.run(run())
    assert [(r["query_id"], r["status"]) for r in lines(store.objects)] == [("q1", "cancelled")]


def test_two_processes_cannot_share_a_spool(tmp_path: Path) -> None:
    async def run() -> None:
        first, second = audit_on(tmp_path, MemoryStore()), audit_on(tmp_path, MemoryStore())
        await first.start()
        with pytest.raises(AuditUnavailable):
            await second.start()
        await first.stop()
        await second.start()
        await second.stop()

    asyncio.run(run())


def test_segments_are_freed_and_a_long_query_does_not_hold_them(tmp_path: Path) -> None:
    store = MemoryStore()

    async def run() -> None:
        audit = audit_on(tmp_path, store, segment_bytes=4096, ship_bytes=1000, carry_after_s=0.0)
        await audit.start()
        await audit.intent(intent("long"))
        for number in range(60):
            await audit.intent(intent(f"q{number}"))
            audit.outcome(outcome(f"q{number}"))
            if number % 10 == 9:
                assert await audit.stored(5)
        await until_async(lambda: len(list((tmp_path / "spool").glob("segment-*.log"))) < 8)
        audit.outcome(outcome("long"))
        await audit.stop()

    asyncio.run(run())
    ids = [r["query_id"] for r in lines(store.objects)]
    assert sorted(ids) == sorted(["long", *(f"q{n}" for n in range(60))])


def test_what_is_not_a_record_is_refused(tmp_path: Path) -> None:
    async def run() -> None:
        audit = audit_on(tmp_path, MemoryStore(), record_bytes_max=5000)
        with pytest.raises(AuditUnavailable):
            await audit.intent(intent("early"))
        await audit.start()
        with pytest.raises(AuditUnavailable) as refused:
            await audit.intent(intent("q1", "x" * 6000))
        assert refused.value.reason == "record too long"
        with pytest.raises(ValueError, match="audit id"):
            await audit.intent(intent('"}'))
        await audit.stop()

    asyncio.run(run())


def test_a_flood_of_strangers_is_counted_and_not_written_one_by_one(tmp_path: Path) -> None:
    store = MemoryStore()

    async def run() -> None:
        audit = audit_on(tmp_path, store)
        await audit.start()
        for number in range(5000):
            audit.event(dataclasses.replace(event(f"x{number}", "connection_refused"), session=None))
        for number in range(2000):
            audit.event(event(f"y{number}"))
        await audit.stop()

    asyncio.run(run())
    records = lines(store.objects, "sessions/")
    written = sum(record["kind"] == "connection_refused" for record in records)
    counted = sum(record["extra"]["connection_refused"] for record in records if record["kind"] == "events_summarized")
    assert written < 1000
    assert written + counted == 5000
    assert sum(record["kind"] == "login" for record in records) == 2000


def test_a_flood_of_commands_of_one_session_cannot_fill_the_spool() -> None:
    gate = EventGate(0.0)
    commands = [event(f"c{number}", "command") for number in range(COMMANDS_BURST + 500)]
    assert sum(gate.admits(each, 0.0) for each in commands) == COMMANDS_BURST
    assert gate.admits(event("login"), 0.0), "what happens to a session otherwise is always said"
    assert gate.take_held_back() == {"command": 500}
    assert gate.admits(commands[0], 1.0)
