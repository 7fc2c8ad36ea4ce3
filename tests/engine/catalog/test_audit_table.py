"""The audit's table on a node: one statement's files at a time, and a bound on every wait."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from pathlib import Path, PurePath

import pytest

from engine.audit import QueryAudit
from engine.catalog import audit_table
from engine.catalog.audit_table import AuditTable
from governance.audit_table import TableFile, WaitingRecords
from governance.errors import SourceUnavailable
from tests.engine.audit.records import MemoryStore, SteppedClock, intent, outcome, settings


class Files:
    def __init__(self) -> None:
        self.asked: list[tuple[str, list[str]]] = []
        self.inside = 0
        self.let = threading.Event()
        self.let.set()

    def files(self, organization: str, waiting: WaitingRecords) -> Sequence[TableFile]:
        self.inside += 1
        assert self.inside == 1
        try:
            assert self.let.wait(20)
            self.asked.append((organization, sorted(waiting.lines)))
            return (TableFile(PurePath("/nowhere/a.parquet"), 7),)
        finally:
            self.inside -= 1


def test_a_snapshot_is_of_one_organization_and_knows_what_is_not_shipped(tmp_path: Path) -> None:
    async def run() -> None:
        store, files = MemoryStore(), Files()
        audit = QueryAudit(settings(tmp_path), store, SteppedClock())
        await audit.start()
        table = AuditTable(files, audit)
        for name in ("q1", "q2", "q3"):
            await audit.intent(intent(name))
        audit.outcome(outcome("q1"))
        audit.outcome(outcome("q2"))
        snapshots = await asyncio.gather(*(table.snapshot(each) for each in ("1", "2", "1")))
        assert {snapshot.table for snapshot in snapshots} == {"hatidata_audit.queries"}
        assert snapshots[0].objects[0].local == "/nowhere/a.parquet"
        assert sorted(files.asked) == [("1", ["q1", "q2"])] * 2 + [("2", ["q1", "q2"])]
        assert await audit.stored(10)
        await table.snapshot("1")
        assert files.asked[-1] == ("1", []), "what is shipped waits no more"
        table.close()
        with pytest.raises(SourceUnavailable):
            await table.snapshot("1")
        await audit.stop()

    asyncio.run(run())


def test_no_statement_waits_forever_and_one_that_gives_up_disturbs_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_table, "WAIT_S", 0.2)

    async def run() -> None:
        files = Files()
        audit = QueryAudit(settings(tmp_path), MemoryStore(), SteppedClock())
        await audit.start()
        table = AuditTable(files, audit)
        files.let.clear()
        with pytest.raises(SourceUnavailable) as error:
            await asyncio.gather(table.snapshot("1"), table.snapshot("2"))
        assert "TimeoutError" in error.value.reason
        files.let.set()
        monkeypatch.setattr(audit_table, "WAIT_S", 20.0)
        await table.snapshot("3")
        assert files.asked[-1][0] == "3"
        table.close()
        await audit.stop()

    asyncio.run(run())


def test_a_table_that_would_not_be_whole_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_table, "WAITING_BYTES_MAX", 10)

    async def run() -> None:
        audit = QueryAudit(settings(tmp_path), MemoryStore(), SteppedClock())
        await audit.start()
        await audit.intent(intent("q1"))
        audit.outcome(outcome("q1"))
        await audit.settled()
        table = AuditTable(Files(), audit)
        with pytest.raises(SourceUnavailable, match="not be whole"):
            await table.snapshot("1")
        table.close()
        await audit.stop()

    asyncio.run(run())
