"""The node beside PostgreSQL 15, the replay floor and the DuckDB server that pip installs, over the wire."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psycopg

from benchmarks import crowd, data, measures, peers, readers
from benchmarks.measures import Runs, Server
from benchmarks.replay import Recording, replaying
from benchmarks.report import Report
from benchmarks.wire import Client, Door
from tests.support import postgres15
from tests.support.stack import running_stack

PARTS = ("latency", "crowd", "sessions", "drain", "clients", "memory")
NODE, POSTGRES, FLOOR = "HatiData", "PostgreSQL 15", "replay floor"
IDLE_SESSIONS = 2000
CROWD_S = 4
POINT = (
    "SELECT count(*), sum(l_extendedprice), max(l_shipdate) FROM lineitem WHERE l_orderkey BETWEEN 100000 AND 100100"
)


@contextmanager
def node(lake: Path, scratch: Path) -> Iterator[Server]:
    """Our node, as a user starts it, over TLS with the audit on."""
    with running_stack(scratch, lake) as stack:
        assert stack.process is not None
        door = Door("127.0.0.1", stack.port, "bench", stack.owner_key, "production")
        yield Server(NODE, door, stack.process.pid, "lineitem")


@contextmanager
def postgres(csv: Path) -> Iterator[Server]:
    """PostgreSQL 15 over TLS 1.3 with the same rows."""
    settings = {"shared_buffers": "512MB", "synchronous_commit": "off", "max_parallel_workers_per_gather": "2"}
    with postgres15.running_postgres(tls=True, settings=settings) as server:
        with psycopg.connect(server.dsn, autocommit=True) as connection:
            connection.execute(data.LINEITEM_DDL)
            with connection.cursor().copy("COPY lineitem FROM STDIN (FORMAT csv)") as copy, csv.open("rb") as rows:
                while part := rows.read(1 << 20):
                    copy.write(part)
            connection.execute("VACUUM (FREEZE, ANALYZE) lineitem")
        door = Door("127.0.0.1", server.port, postgres15.USER, postgres15.PASSWORD, "postgres")
        yield Server(POSTGRES, door, server.pid, "lineitem")


@contextmanager
def floor(ours: Server, scratch: Path) -> Iterator[Server]:
    """A server that sends what ours answers to a full read, from memory."""
    with Client(ours.door) as client:
        text, binary = (client.answer(client.extended(f"SELECT * FROM {ours.table}", f)) for f in (0, 1))
    folder = scratch / "recording"
    folder.mkdir()
    Recording.of(text, binary).save(folder)
    del text, binary
    tls = scratch / "home" / "tls"
    with replaying(tls / "server.crt", tls / "server.key", folder) as (port, pid):
        yield Server(FLOOR, Door("127.0.0.1", port, "x", "x", "x"), pid, ours.table)


def compare_drains(report: Report, servers: list[Server], repeat: int) -> None:
    """A full read in text and binary, drained raw."""
    for name, format_ in (("text", 0), ("binary", 1)):
        runs = measures.drains(servers, lambda c, s, f=format_: c.extended(f"SELECT * FROM {s.table}", f), repeat)
        tell_read(report, name, runs, floor_limit=None)
        report.add(f"time to first byte, {name}, median", statistics.median(runs[NODE].first_ms), "ms", 50)


def compare_clients(report: Report, servers: list[Server], repeat: int) -> None:
    """The same by the clients people use."""
    for reader in readers.READERS:
        if why := readers.missing(reader):
            report.skip(reader, why)
        else:
            tell_read(report, reader, measures.reads(servers, reader, repeat), floor_limit=1.25)


def tell_read(report: Report, name: str, runs: Mapping[str, Runs], *, floor_limit: float | None) -> None:
    """Ratios of one way to read."""
    ours, least, read = runs[NODE], runs[FLOOR], f"full read 1M x 16, {name}"
    seconds = "; ".join(
        f"{server} best {found.best_s:.2f} median {found.median_s:.2f} s, CPU {statistics.median(found.cpu_s):.2f} s"
        for server, found in runs.items()
    )
    if POSTGRES in runs:
        theirs = runs[POSTGRES]
        report.add(f"{read}, best, against PostgreSQL 15", ours.best_s / theirs.best_s, "x", 1.0, seconds)
        report.add(f"{read}, median, against PostgreSQL 15", ours.median_s / theirs.median_s, "x")
        cpu = statistics.median(ours.cpu_s) / max(statistics.median(theirs.cpu_s), 0.01)
        report.add(f"{read}, server CPU, against PostgreSQL 15", cpu, "x")
    detail = "" if POSTGRES in runs else seconds
    report.add(f"{read}, best, against the replay floor", ours.best_s / least.best_s, "x", floor_limit, detail)


def compare_latency(report: Report, servers: list[Server], count: int) -> None:
    """`SELECT 1`, and a statement that a worker computes."""
    for sql in ("SELECT 1", "SELECT 1 + 1"):
        for name, found in measures.latencies(servers, sql, count).items():
            limit = 1.0 if name == NODE and sql == "SELECT 1" else None
            detail = (
                f"p99 {found.p99_ms:.2f}, least {found.ms[0]:.2f}, server CPU {found.cpu_ms:.2f} ms, n {len(found.ms)}"
            )
            report.add(f"{sql}, {name}, p50", found.p50_ms, "ms", limit, detail)


def compare_crowds(report: Report, ours: Server, lake: Path) -> None:
    """Statements a second on 32 connections, against the DuckDB server that pip installs."""
    if why := crowd.missing() or peers.missing():
        report.skip(f"{crowd.CONNECTIONS} connections against {peers.NAME}", why)
        return
    with peers.running(lake) as (port, pid):
        peer = Door("127.0.0.1", port, "x", "x", "x")
        statements = (("SELECT 1", "SELECT 1", 1 / 1.5), ("SELECT 1 + 1", "SELECT 1 + 1", None), ("point", POINT, None))
        for name, sql, limit in statements:
            found = [
                (crowd.rate(ours.door, ours.pid, sql, CROWD_S), crowd.rate(peer, pid, sql, CROWD_S, tls=False))
                for _ in range(3)
            ]
            mine, theirs = (max(pair[at].per_s for pair in found) for at in (0, 1))
            cpu = " and ".join(f"{each.cpu_ms:.2f}" for each in found[0])
            detail = f"{mine:.0f} and {theirs:.0f} a second, server CPU {cpu} ms"
            title = f"{name}, {crowd.CONNECTIONS} connections, a second, {peers.NAME} against us"
            report.add(title, theirs / mine, "x", limit, detail)


def idle_cost(report: Report, ours: Server) -> None:
    """Idle sessions and coming in."""
    found = measures.idle_sessions(ours, IDLE_SESSIONS)
    report.add(f"{IDLE_SESSIONS:,} idle sessions, resident memory, each", found.each_kb, "kB", 100)
    detail = f"least {found.connect_ms[0]:.1f}, server CPU {found.cpu_ms:.1f} ms"
    report.add("connect, TLS and a key verified before, p50", statistics.median(found.connect_ms), "ms", 10, detail)


def memory_growth(report: Report, ours: Server) -> None:
    """Ten million rows streaming."""
    found = measures.streaming_memory(ours, "ten")
    detail = (
        f"{found.rows:,} rows in {found.wall_s:.1f} s; before {found.before_mb:.0f} MB, "
        f"first fifth {found.early_mb:.0f} MB, peak {found.peak_mb:.0f} MB"
    )
    report.add("memory while 10M rows stream, growth", found.peak_mb - found.before_mb, "MB", 150, detail)


def run(report: Report, folder: Path, lake: Path, parts: set[str], repeat: int) -> None:
    """Measure `parts`, of `PARTS`; `folder` holds the data, `lake` the tables."""
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hd-bench-")))
        scratch.chmod(0o755)
        servers = [stack.enter_context(node(lake, scratch))]
        if postgres15.missing():
            report.skip(POSTGRES, postgres15.missing())
        elif parts & {"latency", "drain", "clients"}:
            servers.append(stack.enter_context(postgres(folder / "lineitem.csv")))
        if "latency" in parts:
            compare_latency(report, servers, 1000)
        if "sessions" in parts:
            idle_cost(report, servers[0])
        if "crowd" in parts:
            compare_crowds(report, servers[0], lake)
        if parts & {"drain", "clients"}:
            with floor(servers[0], scratch) as least:
                if "drain" in parts:
                    compare_drains(report, [*servers, least], repeat)
                if "clients" in parts:
                    compare_clients(report, [*servers, least], min(repeat, 3))
        if "memory" in parts:
            memory_growth(report, servers[0])
