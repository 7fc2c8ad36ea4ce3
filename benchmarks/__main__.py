"""Run the benchmarks: `python -m benchmarks [--only drain,latency,...] [--repeat N] [--record]`."""

from __future__ import annotations

import argparse
import signal
import statistics
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psycopg

from benchmarks import audit, cache_traces, data, governed, measures, pipeline
from benchmarks.measures import Runs, Server
from benchmarks.replay import recorded, replaying
from benchmarks.report import Report, machine, record
from benchmarks.wire import Client, Door
from tests.support import postgres15
from tests.support.stack import running_stack

PARTS = ("pipeline", "cache", "search", "audit", "latency", "sessions", "drain", "memory")
IDLE_SESSIONS = 2000
FOLDER = Path(__file__).resolve().parents[1] / ".bench"
NODE, POSTGRES, FLOOR = "HatiData", "PostgreSQL 15", "replay floor"


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


def compare_drains(report: Report, servers: list[Server], scratch: Path, repeat: int) -> None:
    """A full read in text and binary."""
    ours = servers[0]
    for name, format_ in (("text", 0), ("binary", 1)):
        with ExitStack() as stack:
            with Client(ours.door) as client:
                answer = client.answer(client.extended(f"SELECT * FROM {ours.table}", format_))
            recording = scratch / f"{name}.recording"
            recording.write_bytes(recorded(answer))
            tls = scratch / "home" / "tls"
            port, pid = stack.enter_context(replaying(tls / "server.crt", tls / "server.key", recording))
            floor = Server(FLOOR, Door("127.0.0.1", port, "x", "x", "x"), pid, ours.table)
            del answer
            runs = measures.drains(
                [*servers, floor], lambda c, s, f=format_: c.extended(f"SELECT * FROM {s.table}", f), repeat
            )
        tell_drain(report, name, runs)


def tell_drain(report: Report, name: str, runs: Mapping[str, Runs]) -> None:
    """Ratios of one format."""
    ours, floor, read = runs[NODE], runs[FLOOR], f"full read 1M x 16, {name}"
    seconds = "; ".join(
        f"{server} best {found.best_s:.2f} median {found.median_s:.2f} s, CPU {statistics.median(found.cpu_s):.2f} s"
        for server, found in runs.items()
    )
    if POSTGRES in runs:
        theirs = runs[POSTGRES]
        report.add(f"{read}, best, against PostgreSQL 15", ours.best_s / theirs.best_s, "x", 1.5, seconds)
        report.add(f"{read}, median, against PostgreSQL 15", ours.median_s / theirs.median_s, "x")
        cpu = statistics.median(ours.cpu_s) / max(statistics.median(theirs.cpu_s), 0.01)
        report.add(f"{read}, server CPU, against PostgreSQL 15", cpu, "x")
    detail = "" if POSTGRES in runs else seconds
    report.add(f"{read}, best, against the replay floor", ours.best_s / floor.best_s, "x", None, detail)
    report.add(f"time to first byte, {name}, median", statistics.median(ours.first_ms), "ms", 50)


def compare_latency(report: Report, servers: list[Server], count: int) -> None:
    """`SELECT 1`."""
    for name, found in measures.latencies(servers, count).items():
        limit = 1.0 if name == NODE else None
        detail = f"p99 {found.p99_ms:.2f}, least {found.ms[0]:.2f}, server CPU {found.cpu_ms:.2f} ms, n {len(found.ms)}"
        report.add(f"SELECT 1, {name}, p50", found.p50_ms, "ms", limit, detail)


def idle_cost(report: Report, ours: Server) -> None:
    """Idle sessions and coming in."""
    found = measures.idle_sessions(ours, IDLE_SESSIONS)
    report.add(f"{IDLE_SESSIONS:,} idle sessions, resident memory, each", found.each_kb, "kB", 100)
    detail = f"least {found.connect_ms[0]:.1f}, server CPU {found.cpu_ms:.1f} ms"
    report.add("connect, TLS and a key verified before, p50", statistics.median(found.connect_ms), "ms", 10, detail)


def pipeline_costs(report: Report, lake: Path) -> None:
    """The pipeline alone."""
    costs = pipeline.measure(lake)
    detail = f"22 TPC-H queries, a row filter and two masks on every table; refused: {costs.refused}"
    report.add("pipeline, first-seen TPC-H query, median CPU", costs.first_median_ms, "ms", 5.0, detail)
    report.add("pipeline, repeated TPC-H query, median CPU", costs.repeated_median_ms, "ms", 0.2)
    report.add("pipeline, first-seen TPC-H query, slowest CPU", max(costs.first_ms), "ms")


def governed_costs(report: Report, lake: Path) -> None:
    """What the policies cost while DuckDB runs, and what redaction costs."""
    found = governed.tpch(lake)
    detail = f"22 queries: governed {found.ours_ms:.0f} ms, by hand {found.theirs_ms:.0f} ms; worst {found.worst:.2f} x"
    report.add(
        "governed TPC-H against the same policies by hand, geometric mean", found.geometric_mean, "x", 1.15, detail
    )
    found = governed.look_up(lake)
    detail = f"governed {found.ours_ms:.2f} ms, bare {found.theirs_ms:.2f} ms"
    report.add("point look-up by an unmasked column against the bare file", found.geometric_mean, "x", 1.5, detail)
    report.add("redaction of a statement of 1 kB, median CPU", governed.redaction_us(), "us", 20)


def eviction(report: Report) -> None:
    """What the block cache misses at a tenth of the blocks, against plain LRU."""
    for name, ratios in cache_traces.measure().items():
        missed = (1 - ratios["ours"]) / (1 - ratios["LRU"])
        detail = "hit ratios: " + ", ".join(f"{policy} {ratio:.3f}" for policy, ratio in ratios.items())
        report.add(f"cache misses against plain LRU, {name}", missed, "x", 1.0, detail)


def audit_costs(report: Report, lake: Path, parts: set[str], count: int) -> None:
    """Searches of the audit, and what auditing costs."""
    with tempfile.TemporaryDirectory(prefix="hd-bench-") as name:
        scratch = Path(name)
        scratch.chmod(0o755)
        if "search" in parts:
            audit.search(report, scratch, count)
        if "audit" in parts:
            audit.cost(report, lake, scratch)


def memory_growth(report: Report, ours: Server) -> None:
    """Ten million rows streaming."""
    found = measures.streaming_memory(ours, "ten")
    detail = (
        f"{found.rows:,} rows in {found.wall_s:.1f} s; before {found.before_mb:.0f} MB, "
        f"first fifth {found.early_mb:.0f} MB, peak {found.peak_mb:.0f} MB"
    )
    report.add("memory while 10M rows stream, growth", found.peak_mb - found.before_mb, "MB", 150, detail)


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, and say by the exit code whether every target was met (0) or not (1)."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", default=",".join(PARTS), help=f"parts, of {', '.join(PARTS)}")
    parser.add_argument("--repeat", type=int, default=5, help="drains of each server")
    parser.add_argument(
        "--audit-records", type=int, default=audit.RECORDS, help="records that audit searches are measured among"
    )
    parser.add_argument("--record", action="store_true", help="append the run to docs/benchmarks.md")
    chosen = parser.parse_args(arguments)
    parts = set(chosen.only.split(","))
    if not parts <= set(PARTS):
        parser.error(f"parts are {', '.join(PARTS)}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that servers are stopped, not left behind
    report = Report()
    print(machine(), flush=True)
    FOLDER.mkdir(exist_ok=True)
    lake = data.prepare(FOLDER)
    if "pipeline" in parts:
        pipeline_costs(report, lake)
        governed_costs(report, lake)
    if "cache" in parts:
        eviction(report)
    if parts & {"search", "audit"}:
        audit_costs(report, lake, parts, chosen.audit_records)
    if parts & {"latency", "sessions", "drain", "memory"}:
        with ExitStack() as stack:
            scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hd-bench-")))
            scratch.chmod(0o755)
            servers = [stack.enter_context(node(lake, scratch))]
            if postgres15.missing():
                report.skip(POSTGRES, postgres15.missing())
            elif parts & {"latency", "drain"}:
                servers.append(stack.enter_context(postgres(FOLDER / "lineitem.csv")))
            if "latency" in parts:
                compare_latency(report, servers, 1000)
            if "sessions" in parts:
                idle_cost(report, servers[0])
            if "drain" in parts:
                compare_drains(report, servers, scratch, chosen.repeat)
            if "memory" in parts:
                memory_growth(report, servers[0])
    if chosen.record:
        record(report)
    missed = [line.name for line in report.lines if not line.holds]
    print(f"targets missed: {'; '.join(missed) or 'none'}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
