"""The audit: searches among many records of a home, and what auditing costs a node, with it and without."""

from __future__ import annotations

import asyncio
import random
import shutil
import statistics
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import audit_records, processes
from benchmarks.report import Report
from benchmarks.wire import Client, Door
from engine.audit import AuditSettings, QueryAudit
from engine.audit.texts import AuditTexts, audit_texts
from governance.audit_choice import AuditChoice
from governance.audit_record import PolicyVerdict, QueryIntent, QueryOutcome, SessionFacts
from governance.errors import AuditUnavailable
from governance.ports import QueryAuditFilters
from local.audit_files import AuditFiles
from local.audit_search import AuditSearch
from local.clock import SystemClock
from tests.support.stack import running_stack

RECORDS = 20_000
"""In the default run; `--audit-records 10000000` takes about half an hour and 4 GB."""
SEARCHES = 30
PAGE = 100
CLIENTS = 8
ROUNDS = 10
ROUND_S = 2.0
ALONE = 4000
"""Statements that go through the audit alone, without a node."""
_KEY_COLUMN = "l_orderkey"


# ---------------------------------------------------------------- searching


def search(report: Report, scratch: Path, count: int) -> None:
    """Pages by day and user, by user alone, and by several filters, among `count` records."""
    root = scratch / "audit"
    began = time.perf_counter()
    audit_records.fill(root, count)
    print(f"  {count:,} records laid in {time.perf_counter() - began:.0f} s", flush=True)
    searching = AuditSearch(root)
    try:
        _index(report, searching, root, count)
        chance = random.Random(11)
        kinds = {
            "by day and user": lambda: _of_day(chance, user=audit_records.user(chance.randrange(audit_records.USERS))),
            "by day and table": lambda: _of_day(chance, table=f"sales.table_{chance.randrange(50):02}"),
            "by day, user, table and status": lambda: _of_day(
                chance, user=audit_records.user(chance.randrange(audit_records.USERS)),
                table=f"sales.table_{chance.randrange(50):02}", status="denied",
            ),
            "by user of any day": lambda: QueryAuditFilters(user=audit_records.user(chance.randrange(200))),
        }  # fmt: skip
        for name, filters in kinds.items():
            spent = []
            for _ in range(SEARCHES):
                asked = filters()
                began = time.perf_counter()
                searching.search(asked, "", PAGE)
                spent.append((time.perf_counter() - began) * 1000)
            detail = f"worst {max(spent):.0f} ms of {SEARCHES}; pages of {PAGE}"
            report.add(f"audit search among {count:,}, {name}, median", statistics.median(spent), "ms", 1000, detail)
    finally:
        searching.close()
        shutil.rmtree(root)
        for left in scratch.glob("audit-index*"):
            left.unlink()


def _of_day(chance: random.Random, **filters: str) -> QueryAuditFilters:
    since, until = audit_records.day(chance.randrange(audit_records.DAYS))
    return QueryAuditFilters(since=since, until=until, **filters)


def _index(report: Report, searching: AuditSearch, root: Path, count: int) -> None:
    began, cpu = time.perf_counter(), time.process_time()
    while True:
        try:
            searching.search(QueryAuditFilters(), "", 1)
            break
        except AuditUnavailable:
            continue
    wall, cpu = time.perf_counter() - began, time.process_time() - cpu
    size = sum(file.stat().st_size for file in root.parent.glob("audit-index*"))
    detail = f"{wall:.0f} s, CPU {cpu:.0f} s; {size / count:.0f} bytes a record"
    report.add(f"audit index of {count:,} records made anew, CPU of each", cpu / count * 1e6, "us", None, detail)


# ---------------------------------------------------------------- what it costs


@dataclass
class _Node:
    """One of the two nodes, and what was measured on it."""

    name: str
    door: Door
    pid: int
    per_s: list[float] = field(default_factory=list)
    median_ms: list[float] = field(default_factory=list)
    cpu_ms: list[float] = field(default_factory=list)


@contextmanager
def _node(name: str, lake: Path, scratch: Path, command: tuple[str, ...]) -> Iterator[_Node]:
    scratch.mkdir(mode=0o755)
    with running_stack(scratch, lake, command=command) as stack:
        assert stack.process is not None
        yield _Node(name, Door("127.0.0.1", stack.port, "bench", stack.owner_key, "production"), stack.process.pid)


def cost(report: Report, lake: Path, scratch: Path) -> None:
    """The mixed benchmark on a node with the audit and on one with none, in turn, under `CLIENTS` clients."""
    with ExitStack() as stack:
        audited = stack.enter_context(_node("audited", lake, scratch / "audited", (sys.executable, "-m", "cli.main")))
        unaudited = stack.enter_context(
            _node("unaudited", lake, scratch / "unaudited", (sys.executable, "-m", "benchmarks.unaudited"))
        )
        pair = (audited, unaudited)
        for turn in range(ROUNDS + 1):
            for node in pair if turn % 2 else reversed(pair):
                _round(node, counts=turn > 0)
    loss = [100 * (1 - mine / theirs) for mine, theirs in zip(audited.per_s, unaudited.per_s, strict=True)]
    added = [mine - theirs for mine, theirs in zip(audited.median_ms, unaudited.median_ms, strict=True)]
    detail = "; ".join(
        f"{node.name} {statistics.median(node.per_s):.0f}/s, median {statistics.median(node.median_ms):.2f} ms, "
        f"CPU {statistics.median(node.cpu_ms):.2f} ms each"
        for node in pair
    )
    rounds = f"{ROUNDS} rounds of {ROUND_S:g} s, from {min(loss):.1f} to {max(loss):.1f}"
    report.add("audit, throughput lost on the mixed benchmark, median", statistics.median(loss), "%", 3, detail)
    report.add(f"audit, median latency added with {CLIENTS} clients", statistics.median(added), "ms", 1, rounds)
    more = [100 * (mine / theirs - 1) for mine, theirs in zip(audited.cpu_ms, unaudited.cpu_ms, strict=True)]
    report.add("audit, server CPU added on the mixed benchmark, median", statistics.median(more), "%", 3)
    alone(report, scratch, statistics.median(unaudited.cpu_ms))


def alone(report: Report, scratch: Path, statement_ms: float) -> None:
    """The audit without a node: CPU of a record from its intent to the store, and the wait for the disk."""
    waits: list[float] = []

    async def run() -> float:
        audit = QueryAudit(
            AuditSettings(scratch / "spool", "node-1", ship_age_s=1.0), AuditFiles(scratch / "store"), SystemClock()
        )
        await audit.start()
        texts = audit_texts(b"k" * 32)(AuditChoice())

        async def client(first: int) -> None:
            for number in range(first, ALONE, CLIENTS):
                intent = _intent(number, texts)
                began = time.perf_counter()
                await audit.intent(intent)
                waits.append((time.perf_counter() - began) * 1000)
                audit.outcome(QueryOutcome(intent.query_id, intent.started_at, "succeeded", 1, 100, 1.0))

        cpu = time.process_time()
        await asyncio.gather(*(client(first) for first in range(CLIENTS)))
        assert await audit.stop()
        return (time.process_time() - cpu) * 1000 / ALONE

    each_ms = asyncio.run(run())
    detail = (
        f"{each_ms * 1000:.0f} us, redaction and shipping included, of {statement_ms:.2f} ms for a statement without it"
    )
    report.add("audit alone, CPU of a record against a mixed statement's", 100 * each_ms / statement_ms, "%", 3, detail)
    detail = f"{ALONE} intents of {CLIENTS} clients, worst {max(waits):.1f} ms"
    report.add("audit alone, wait for a durable intent, median", statistics.median(waits), "ms", 1, detail)


def _intent(number: int, texts: AuditTexts) -> QueryIntent:
    """As a session makes it, of a statement not seen before."""
    session = SessionFacts(f"{number % CLIENTS:016x}", "production", "1", "u-1", "ana@acme.example", "owner", "k-1", "")
    return QueryIntent(
        query_id=f"q-{number}",
        session=session,
        started_at="2026-11-22T03:00:00.000000Z",
        statement_kind="select",
        sql=texts.sql(f"SELECT l_returnflag, sum(l_quantity) FROM lineitem WHERE l_orderkey < {number} GROUP BY 1"),
        tables=("main.lineitem",),
        verdicts=(PolicyVerdict("role", "access", "allowed", "role analyst may query"),),
        policy_version=7,
        fingerprint=texts.digest("a" * 64),
    )


def _statements(number: int) -> Iterator[str]:
    """The mix of one client: look-ups, sums over a part, a join, and `SELECT 1`."""
    chance = random.Random(number)
    while True:
        key = chance.randrange(200_000)
        yield "SELECT 1"
        yield f"SELECT * FROM lineitem WHERE {_KEY_COLUMN} = {key}"
        yield f"SELECT l_returnflag, sum(l_quantity) FROM lineitem WHERE {_KEY_COLUMN} < {key % 5000} GROUP BY 1"
        yield f"SELECT count(*) FROM orders JOIN customer ON c_custkey = o_custkey WHERE o_orderkey < {key % 2000}"


def _round(node: _Node, *, counts: bool) -> None:
    spent: list[list[float]] = [[] for _ in range(CLIENTS)]
    failures: list[BaseException] = []
    begin = threading.Barrier(CLIENTS + 1)

    def work(number: int) -> None:
        try:
            with Client(node.door) as client:
                begin.wait(60)
                end = time.perf_counter() + ROUND_S
                for sql in _statements(number):
                    before = time.perf_counter()
                    if before >= end:
                        return
                    client.drain(client.simple(sql))
                    spent[number].append((time.perf_counter() - before) * 1000)
        except BaseException as error:
            failures.append(error)
            begin.abort()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    begin.wait(60)
    cpu, began = processes.cpu_s(node.pid), time.perf_counter()
    for thread in threads:
        thread.join()
    wall = time.perf_counter() - began
    if failures:
        raise failures[0]
    times = [each for one in spent for each in one]
    if counts:
        node.per_s.append(len(times) / wall)
        node.median_ms.append(statistics.median(times))
        node.cpu_ms.append((processes.cpu_s(node.pid) - cpu) * 1000 / len(times))
