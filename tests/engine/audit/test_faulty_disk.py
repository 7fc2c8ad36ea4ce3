"""A disk that is slow, full, or fails: statements are refused, what was accepted is kept."""

import asyncio
import contextlib
import gzip
import resource
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.audit import QueryAudit
from engine.audit.frames import SegmentHeader
from engine.audit.segment import Segment
from governance.errors import AuditUnavailable
from tests.engine.audit.records import (
    MemoryStore,
    SteppedClock,
    audit_on,
    fill,
    intent,
    lines,
    outcome,
    settings,
)
from tests.support.waiting import until_async


def test_a_slow_disk_does_not_send_records_on_their_own(tmp_path: Path) -> None:
    """Each wait for the store makes one batch, however long the cut of the batch before it took."""
    store = MemoryStore()
    rounds, each = 3, 4

    class Slow(Segment):
        def sync(self) -> None:
            threading.Event().wait(0.12)  # longer than a waiting caller looks again
            super().sync()

    async def run() -> None:
        audit = QueryAudit(settings(tmp_path), store, SteppedClock(), open_segment=Slow)
        await audit.start()
        for turn in range(rounds):
            for number in range(each):
                await audit.intent(intent(f"q{turn}-{number}"))
                audit.outcome(outcome(f"q{turn}-{number}"))
            assert await audit.stored(10)
        assert await audit.stop()

    asyncio.run(run())
    assert [len(gzip.decompress(store.objects[name]).splitlines()) for name in store.puts] == [each] * rounds


def test_a_full_spool_refuses_and_recovers_when_shipped(tmp_path: Path) -> None:
    store = MemoryStore()
    down = True

    def before(name: str) -> None:
        if down:
            raise ConnectionError

    async def run() -> list[str]:
        nonlocal down
        store.before = before
        audit = audit_on(tmp_path, store, spool_bytes_max=20_000, segment_bytes=4096, ship_bytes=2000, retry_s_max=0.05)
        await audit.start()
        accepted: list[str] = []
        with pytest.raises(AuditUnavailable) as refused:
            await fill(audit, accepted, 200, finish=True)
        assert refused.value.reason == "spool full"
        down = False
        assert await audit.stored(10)
        await until_async(lambda: audit.spool_bytes < 10_000)
        await audit.intent(intent("after"))
        audit.outcome(outcome("after"))
        await audit.stop()
        return [*accepted, "after"]

    accepted = asyncio.run(run())
    assert [r["query_id"] for r in lines(store.objects)] == accepted


@contextlib.contextmanager
def _small_files(limit: int) -> Iterator[None]:
    """No file of this process may grow past `limit`: a disk that is full, as the kernel tells it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_disk_that_refuses_refuses_statements_and_keeps_outcomes(tmp_path: Path) -> None:
    store = MemoryStore()

    async def run() -> list[str]:
        audit = audit_on(tmp_path, store, segment_bytes=4096)
        await audit.start()
        await audit.intent(intent("running"))
        accepted = ["running"]
        with _small_files(1024):
            with pytest.raises(AuditUnavailable) as refused:
                await fill(audit, accepted, 20, finish=False)
            assert refused.value.reason == "spool not writable: OSError"
            for name in accepted:
                audit.outcome(outcome(name))
            with pytest.raises(AuditUnavailable):
                await audit.settled()
            assert not audit.available
        await until_async(lambda: audit.available and audit.open_intents == 0)
        await audit.intent(intent("after"))
        audit.outcome(outcome("after"))
        await audit.stop()
        return [*accepted, "after"]

    accepted = asyncio.run(run())
    records = lines(store.objects)
    assert sorted(r["query_id"] for r in records) == sorted(accepted)
    assert {r["status"] for r in records} == {"succeeded"}


class _FailingDisk:
    """Segments whose sync fails while `failing`; once it failed, a segment never works again."""

    def __init__(self) -> None:
        self.failing = False

    def __call__(self, spool: Path, header: SegmentHeader, size: int, seq: int) -> Segment:
        disk = self
        if disk.failing:
            raise OSError(5, "Input/output error")

        class _Segment(Segment):
            def sync(self) -> None:
                if disk.failing:
                    raise OSError(5, "Input/output error")
                super().sync()

        return _Segment(spool, header, size, seq)


def test_a_failing_sync_is_never_trusted_again(tmp_path: Path) -> None:
    store = MemoryStore()
    disk = _FailingDisk()

    async def run() -> None:
        audit = QueryAudit(settings(tmp_path), store, SteppedClock(), open_segment=disk)
        await audit.start()
        await audit.intent(intent("before"))
        disk.failing = True
        audit.outcome(outcome("before"))
        with pytest.raises(AuditUnavailable):
            await audit.intent(intent("refused"))
        disk.failing = False
        await audit.intent(intent("after"))
        audit.outcome(outcome("after"))
        await audit.settled()
        assert len(list((tmp_path / "spool").glob("segment-*.log"))) == 2
        await audit.stop()
        again = audit_on(tmp_path, store)
        await again.start()
        assert again.interrupted == 0
        assert again.findings == ()
        await again.stop()

    asyncio.run(run())
    assert sorted((r["query_id"], r["status"]) for r in lines(store.objects)) == [
        ("after", "succeeded"),
        ("before", "succeeded"),
    ]


def test_statements_refused_for_want_of_an_audit_are_said_when_it_is_back(tmp_path: Path) -> None:
    store = MemoryStore()
    disk = _FailingDisk()

    async def run() -> None:
        audit = QueryAudit(settings(tmp_path), store, SteppedClock(), open_segment=disk)
        await audit.start()
        disk.failing = True
        for number in range(3):
            with pytest.raises(AuditUnavailable):
                await audit.intent(intent(f"q{number}"))
        disk.failing = False
        await audit.intent(intent("after"))
        audit.outcome(outcome("after"))
        await audit.stop()

    asyncio.run(run())
    assert [r["query_id"] for r in lines(store.objects)] == ["after"]
    (said,) = lines(store.objects, "sessions/")
    assert (said["kind"], said["extra"]["count"]) == ("statements_refused_unaudited", 3)
