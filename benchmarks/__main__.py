"""Run the benchmarks: `python -m benchmarks [--only drain,latency,...] [--repeat N] [--record]`."""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from pathlib import Path

from benchmarks import audit, cache_traces, data, governed, object_cache, pipeline, side_by_side
from benchmarks.history import regressions
from benchmarks.report import Report, machine, record

PARTS = ("pipeline", "cache", "objects", "search", "audit", *side_by_side.PARTS)
FOLDER = Path(__file__).resolve().parents[1] / ".bench"


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
    personal, ordinary = governed.redaction_us()
    report.add("redaction of a statement of 1 kB with nothing in it, median CPU", ordinary, "us", 20)
    report.add("redaction of a statement of 1 kB, median CPU", personal, "us", 20)


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
    if "objects" in parts:
        object_cache.run(report, FOLDER)
    if parts & {"search", "audit"}:
        audit_costs(report, lake, parts, chosen.audit_records)
    if parts & set(side_by_side.PARTS):
        side_by_side.run(report, FOLDER, lake, parts, chosen.repeat)
    for told in regressions(report.lines):
        print(f"half as much again worse than recorded: {told}")
    if chosen.record:
        record(report)
    missed = [line.name for line in report.lines if not line.holds]
    print(f"targets missed: {'; '.join(missed) or 'none'}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
