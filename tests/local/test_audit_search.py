"""Searches over a real store, filled through the real audit."""

import asyncio
import dataclasses
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from engine.audit import QueryAudit
from governance.audit_record import PolicyVerdict, QueryIntent
from governance.errors import InvalidRequest
from governance.ports import QueryAuditFilters, QueryAuditPage
from governance.timestamp import stamp
from local.audit_files import AuditFiles
from local.audit_search import AuditSearch
from local.clock import SystemClock
from tests.engine.audit.records import SESSION, intent, outcome, settings

BEGIN = datetime(2026, 11, 20, 12, tzinfo=UTC)


def _intent(number: int) -> QueryIntent:
    who = "ana@acme.example" if number % 2 else "bob@acme.example"
    return dataclasses.replace(
        intent(f"q{number:04d}", f"SELECT {number} AS Number"),
        session=dataclasses.replace(
            SESSION,
            user=who,
            user_id=f"u-{who[:3]}",
            agent_id="bot-7" if number % 5 == 0 else "",
            organization=str(1 + number % 3 // 2),
        ),
        started_at=stamp(BEGIN + timedelta(hours=number)),
        tables=("sales.Orders",) if number % 4 == 0 else ("sales.customers",),
        verdicts=(
            PolicyVerdict("own-rows" if number % 3 else "wall", "access", "denied", "no"),
            PolicyVerdict("role", "access", "allowed", "role analyst may query"),
        ),
    )


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("home")

    async def fill() -> None:
        audit = QueryAudit(settings(folder, ship_bytes=5000), AuditFiles(folder / "audit"), SystemClock())
        await audit.start()
        for number in range(100):
            await audit.intent(_intent(number))
            done = outcome(f"q{number:04d}", "denied" if number % 10 == 3 else "succeeded")
            audit.outcome(dataclasses.replace(done, execution_ms=float(number)))
        assert await audit.stop()

    asyncio.run(fill())
    return folder


@pytest.fixture
def search(home: Path) -> Iterator[AuditSearch]:
    search = AuditSearch(home / "audit")
    yield search
    search.close()


def _numbers(page: QueryAuditPage) -> list[int]:
    return [int(record["query_id"][1:]) for record in page.records]


def _at(hours: int) -> str:
    return stamp(BEGIN + timedelta(hours=hours))


FILTERS: list[tuple[dict[str, Any], Any]] = [
    ({}, lambda n: True),
    ({"user": "ana@acme.example"}, lambda n: n % 2 == 1),
    ({"user": "u-bob"}, lambda n: n % 2 == 0),
    ({"agent": "bot-7"}, lambda n: n % 5 == 0),
    ({"organization": "2"}, lambda n: n % 3 == 2),
    ({"environment": "production"}, lambda n: True),
    ({"environment": "staging"}, lambda n: False),
    ({"table": "SALES.orders"}, lambda n: n % 4 == 0),
    ({"table": "sales.orders", "verdict": "wall"}, lambda n: n % 12 == 0),
    ({"verdict": "denied"}, lambda n: True),
    ({"verdict": "role"}, lambda n: True),
    ({"verdict": "role", "user": "u-ana"}, lambda n: n % 2 == 1),
    ({"verdict": "scope"}, lambda n: False),
    ({"status": "succeeded"}, lambda n: n % 10 != 3),
    ({"user": "u-bob", "query_id": "q0041"}, lambda n: False),
    ({"status": "denied"}, lambda n: n % 10 == 3),
    ({"query_id": "q0042"}, lambda n: n == 42),
    ({"cache_status": "hit"}, lambda n: True),
    ({"duration_ms_min": 90.0}, lambda n: n >= 90),
    ({"duration_ms_min": 10.0, "duration_ms_max": 20.0}, lambda n: 10 <= n <= 20),
    ({"text": "select 4"}, lambda n: str(n).startswith("4")),
    ({"since": _at(12), "until": _at(36)}, lambda n: 12 <= n < 36),
    ({"user": "ana@acme.example", "status": "denied", "since": _at(50)}, lambda n: n in {53, 63, 73, 83, 93}),
    ({"table": "sales.orders", "since": _at(50)}, lambda n: n % 4 == 0 and n >= 50),
]  # fmt: skip


@pytest.mark.parametrize(("given", "wanted"), FILTERS, ids=[" ".join(given) or "all" for given, _ in FILTERS])
def test_a_search_finds_exactly_what_matches_newest_first(search: AuditSearch, given: Any, wanted: Any) -> None:
    found: list[int] = []
    cursor = ""
    for _ in range(30):
        page = search.search(QueryAuditFilters(**given), cursor, 7)
        found += _numbers(page)
        cursor = page.next
        if not cursor:
            break
    assert found == [n for n in range(99, -1, -1) if wanted(n)]


def test_a_lost_or_broken_index_is_made_anew(home: Path, search: AuditSearch) -> None:
    before = search.search(QueryAuditFilters(), "", 50)
    search.close()
    index = home / "audit-index.sqlite"
    index.unlink()
    assert search.search(QueryAuditFilters(), "", 50) == before
    search.close()
    for suffix in ("-wal", "-shm"):
        Path(f"{index}{suffix}").unlink(missing_ok=True)
    index.write_bytes(b"not a database at all" * 100)
    assert search.search(QueryAuditFilters(), "", 50) == before


def test_new_objects_are_seen_and_damaged_ones_do_not_stop_a_search(tmp_path: Path) -> None:
    store = AuditFiles(tmp_path / "audit")
    search = AuditSearch(tmp_path / "audit")
    assert search.search(QueryAuditFilters(), "", 10) == QueryAuditPage((), "")
    store.put_new("queries/2026/11/22/0-bad.jsonl.gz", b"garbage")

    async def fill(name: str) -> None:
        audit = QueryAudit(settings(tmp_path), store, SystemClock())
        await audit.start()
        await audit.intent(intent(name))
        audit.outcome(outcome(name))
        await audit.stop()

    for name in ("one", "two", "three"):
        asyncio.run(fill(name))
        assert name in {record["query_id"] for record in search.search(QueryAuditFilters(), "", 10).records}
    search.close()


def test_records_of_one_microsecond_and_of_none_are_all_found(tmp_path: Path) -> None:
    async def fill() -> None:
        audit = QueryAudit(settings(tmp_path, ship_bytes=5000), AuditFiles(tmp_path / "audit"), SystemClock())
        await audit.start()
        for number in range(300):
            same = dataclasses.replace(intent(f"q{number:04d}"), started_at=stamp(BEGIN) if number % 3 else "")
            await audit.intent(same)
            audit.outcome(outcome(f"q{number:04d}"))
        assert await audit.stop()

    asyncio.run(fill())
    search = AuditSearch(tmp_path / "audit")
    found, cursor = [], ""
    while page := search.search(QueryAuditFilters(since=stamp(BEGIN)), cursor, 7):
        found += [record["query_id"] for record in page.records]
        cursor = page.next
        if not cursor:
            break
    assert sorted(found) == [f"q{n:04d}" for n in range(300) if n % 3]
    lost = search.search(QueryAuditFilters(query_id="q0000"), "", 10).records
    assert len(lost) == 1, "a record without a moment is found when none is asked for"
    search.close()


def test_a_word_that_is_a_name_here_and_an_id_there_finds_both(tmp_path: Path) -> None:
    async def fill() -> None:
        audit = QueryAudit(settings(tmp_path), AuditFiles(tmp_path / "audit"), SystemClock())
        await audit.start()
        for name, who, number in (("a", "twin", "u-1"), ("b", "other", "twin"), ("c", "other", "u-1")):
            session = dataclasses.replace(SESSION, user=who, user_id=number)
            await audit.intent(dataclasses.replace(intent(name), session=session))
            audit.outcome(outcome(name))
        assert await audit.stop()

    asyncio.run(fill())
    search = AuditSearch(tmp_path / "audit")
    found = search.search(QueryAuditFilters(user="twin"), "", 10).records
    assert {record["query_id"] for record in found} == {"a", "b"}
    search.close()


def test_what_the_index_says_is_compared_with_the_record(home: Path, search: AuditSearch) -> None:
    before = search.search(QueryAuditFilters(organization="2"), "", 100).records
    search.close()
    with sqlite3.connect(home / "audit-index.sqlite") as forged:
        forged.execute("UPDATE records SET organization = (SELECT id FROM words WHERE text = '2')")
    forged.close()
    assert search.search(QueryAuditFilters(organization="2"), "", 100).records == before
    search.close()
    (home / "audit-index.sqlite").unlink()


@pytest.mark.parametrize("cursor", ["x", "AAAA", "bnVsbA", "W10", "é", "OTk5OTk5OTk5OTk5OTk5OTk5OQ", "LTE", "4pGg"])
def test_a_cursor_of_someone_else_is_refused(search: AuditSearch, cursor: str) -> None:
    with pytest.raises(InvalidRequest):
        search.search(QueryAuditFilters(), cursor, 10)


def test_a_page_is_bounded(search: AuditSearch) -> None:
    for limit in (0, 1001):
        with pytest.raises(InvalidRequest):
            search.search(QueryAuditFilters(), "", limit)
