"""The files of `hatidata_audit.queries`: each record of one organization once, shipped or not, and nobody else's."""

from __future__ import annotations

import asyncio
import dataclasses
import gzip
import json
import os
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from engine.audit import QueryAudit
from governance.audit_record import PolicyVerdict, encode_intent, encode_outcome, join_waiting
from governance.audit_table import TABLE, TableFile, WaitingRecords
from governance.errors import SourceUnavailable
from local import audit_table
from local.audit_files import AuditFiles
from local.audit_table import HomeAuditTable
from local.clock import SystemClock
from tests.engine.audit.records import SESSION, intent, outcome, settings

NOTHING = WaitingRecords()


def asked(number: int, **session: Any) -> Any:
    verdict = PolicyVerdict("table_unknown", "access", "denied", "cross_organization", "", "")
    return dataclasses.replace(
        intent(f"q{number}", f"SELECT {number}"),
        session=dataclasses.replace(SESSION, **{"organization": str(1 + number % 2), **session}),
        verdicts=(verdict, PolicyVerdict("own-rows", "row_filter", "applied", "rows filtered", "sales.t")),
    )


def fill(folder: Path, numbers: Sequence[int], **session: Any) -> None:
    async def run() -> None:
        audit = QueryAudit(settings(folder, ship_bytes=3000), AuditFiles(folder / "audit"), SystemClock())
        await audit.start()
        for number in numbers:
            await audit.intent(asked(number, **session))
            done = outcome(f"q{number}", "denied")
            audit.outcome(dataclasses.replace(done, error_reason="view globex.peek: cross_organization"))
        assert await audit.stop()

    asyncio.run(run())


def made(folder: Path) -> HomeAuditTable:
    return HomeAuditTable(folder / "audit", folder / "table", "production")


def rows(files: Sequence[TableFile]) -> list[dict[str, Any]]:
    assert all(Path(file.path).stat().st_size == file.size for file in files)
    found: list[dict[str, Any]] = pa.concat_tables([pq.read_table(file.path) for file in files]).to_pylist()
    return found


def ids(files: Sequence[TableFile]) -> list[str]:
    return sorted(row["query_id"] for row in rows(files))


def line(number: int, **session: Any) -> bytes:
    return join_waiting(f"q{number}", encode_intent(asked(number, **session)), encode_outcome(outcome(f"q{number}")))


def test_an_organization_has_its_own_records_and_is_not_told_of_foreign_tables(tmp_path: Path) -> None:
    fill(tmp_path, range(20))
    fill(tmp_path, range(20, 22), environment="staging")
    table = made(tmp_path)
    assert ids(table.files("1", NOTHING)) == sorted(f"q{n}" for n in range(0, 20, 2))
    assert ids(table.files("2", NOTHING)) == sorted(f"q{n}" for n in range(1, 20, 2))
    assert rows(table.files("3", NOTHING)) == []
    assert rows(table.files("", NOTHING)) == []
    record = next(row for row in rows(table.files("1", NOTHING)) if row["query_id"] == "q4")
    assert (record["sql"], record["status"], record["organization"]) == ("SELECT 4", "denied", "1")
    assert record["error_reason"] == "view globex.peek: missing"
    assert [verdict["reason"] for verdict in record["verdicts"]] == ["missing", "rows filtered"]
    assert "cross_organization" not in json.dumps(rows(table.files("1", NOTHING)), default=str)
    assert record["chain_seq"] == 5


def test_the_columns_are_those_that_the_law_tells_of(tmp_path: Path) -> None:
    fill(tmp_path, range(2))
    table = made(tmp_path)
    for organization in ("1", "nobody"):
        for file in table.files(organization, NOTHING):
            found = duckdb.sql(f"DESCRIBE SELECT * FROM read_parquet('{file.path}')").fetchall()
            assert [(name, kind) for name, kind, *_ in found] == [(c.name, c.type) for c in TABLE.columns]


def test_each_record_is_there_once_wherever_it_is_on_its_way(tmp_path: Path) -> None:
    fill(tmp_path, range(4))
    table = made(tmp_path)
    assert ids(table.files("1", NOTHING)) == ["q0", "q2"]
    parcel = gzip.compress(line(4) + b"\n" + line(5) + b"\n")
    waiting = WaitingRecords({"q4": line(4), "q6": line(6), "q7": line(7)}, {"queries/2026/11/22/x.jsonl.gz": parcel})
    assert ids(table.files("1", waiting)) == ["q0", "q2", "q4", "q6"], "in a parcel and in the lines"
    fill(tmp_path, [6])
    assert ids(table.files("1", waiting)) == ["q0", "q2", "q4", "q6"], "shipped after it was gathered"
    AuditFiles(tmp_path / "audit").put_new("queries/2026/11/22/x.jsonl.gz", parcel)
    sent = WaitingRecords({}, waiting.parcels)
    assert ids(table.files("1", sent)) == ["q0", "q2", "q4", "q6"], "in the store and still in the outbox"
    assert ids(table.files("1", NOTHING)) == ["q0", "q2", "q4", "q6"]
    (unshipped,) = [row for row in rows(table.files("1", WaitingRecords({"q8": line(8)}))) if row["query_id"] == "q8"]
    assert (unshipped["chain_id"], unshipped["chain_seq"]) == (None, None)


def test_small_files_are_joined_and_kept_for_those_who_read_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = made(tmp_path)
    before: Sequence[TableFile] = ()
    for number in range(0, 24, 2):
        fill(tmp_path, [number])
        before = before or table.files("1", NOTHING)
        after = table.files("1", NOTHING)
    assert len(after) < audit_table.SMALL_FILES_MAX + 1
    assert ids(after) == sorted(f"q{n}" for n in range(0, 24, 2))
    assert ids(before) == ["q0"], "a statement that began before reads on"
    folder = tmp_path / "table"
    long_ago = time.time() - audit_table.KEEP_S - 10
    for path in folder.glob("*.parquet"):
        os.utime(path, (long_ago, long_ago))
    now = {Path(file.path).name for file in table.files("1", NOTHING)}
    assert {path.name for path in folder.glob("*.parquet")} == now
    assert folder.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("harm", ["lost books", "broken books", "lost file", "cut file", "lost folder"])
def test_what_is_lost_or_broken_is_made_anew(tmp_path: Path, harm: str) -> None:
    fill(tmp_path, range(10))
    table = made(tmp_path)
    before = ids(table.files("1", NOTHING))
    folder = tmp_path / "table"
    part = next(path for path in folder.glob("*.parquet") if not path.name.startswith("tail"))
    if harm == "lost books":
        (folder / "books.sqlite").unlink()
    elif harm == "broken books":
        (folder / "books.sqlite").write_bytes(b"no database" * 100)
    elif harm == "lost file":
        part.unlink()
    elif harm == "cut file":
        part.write_bytes(part.read_bytes()[:-1])
    else:
        shutil.rmtree(folder)
    assert ids(table.files("1", NOTHING)) == before


def test_what_is_no_record_is_left_out_and_takes_none_with_it(tmp_path: Path) -> None:
    good = [line(0), line(2), line(4)]
    bad = [b"{", b"[]", b"7", b'{"query_id":7,"organization":"1"}', b"", b"\xff", b'{"query_id":"x"}', good[0] + b"x"]
    half = json.dumps({**json.loads(line(6)), "sql": "\ud800"}).encode()
    store = AuditFiles(tmp_path / "audit")
    store.put_new("queries/2026/11/22/a.jsonl.gz", gzip.compress(b"\n".join([good[0], *bad, good[1], half]) + b"\n"))
    store.put_new("queries/2026/11/22/b.jsonl.gz", b"garbage")
    store.put_new("queries/2026/11/22/c.jsonl.gz", gzip.compress(good[2] + b"\n"))
    moments = {**json.loads(line(8)), "started_at": "2026-13-22T03:00:00.000000Z", "ended_at": "", "rows_returned": 3}
    store.put_new("queries/2026/11/22/d.jsonl.gz", gzip.compress(json.dumps(moments).encode()))
    found = made(tmp_path).files("1", NOTHING)
    assert ids(found) == ["q0", "q2", "q4", "q6", "q8"]
    told = {row["query_id"]: row for row in rows(found)}
    assert told["q6"]["sql"] == "?"
    assert (told["q8"]["started_at"], told["q8"]["ended_at"]) == (None, None)


def test_a_table_that_is_not_whole_yet_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path, range(60))
    monkeypatch.setattr(audit_table, "CATCH_UP_S", 0.0)
    table = made(tmp_path)
    with pytest.raises(SourceUnavailable, match="being made"):
        table.files("1", NOTHING)
    monkeypatch.undo()
    assert len(ids(table.files("1", NOTHING))) == 30
    (tmp_path / "table").rename(tmp_path / "away")
    (tmp_path / "table").write_text("no folder")
    with pytest.raises(SourceUnavailable) as error:
        table.files("1", NOTHING)
    assert str(tmp_path) not in error.value.message + error.value.advice + error.value.reason
