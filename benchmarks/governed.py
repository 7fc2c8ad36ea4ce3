"""What the law costs while DuckDB runs: governed TPC-H against the same policies written by hand, and a point look-up.

In process, over the same Parquet files. The hand-written side is a view per table with the filter and the masks, on a
DuckDB as it comes; the governed side is the pipeline's text on a DuckDB set up as a worker's.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import duckdb

from benchmarks import data
from benchmarks.pipeline import Law, law
from governance.policies import Mask, RowFilter
from governance.redaction import redact
from governance.sql_literals import identifier
from governance.sql_types import is_text, normal
from governance.tables import Table, TableName


@dataclass(frozen=True)
class Ratio:
    """Times of ours over times of theirs, best of several in turn."""

    geometric_mean: float
    worst: float
    ours_ms: float
    theirs_ms: float


def _file(lake: Path, name: TableName) -> str:
    return f"read_parquet('{lake / name.schema / name.name}.parquet')"


def _view(lake: Path, table: Table, rules: Law) -> str:
    own = [p for p in rules.policies if isinstance(p, RowFilter | Mask) and p.table.key == table.name.key]
    masked = {p.column for p in own if isinstance(p, Mask)}
    items = []
    for column in table.columns:
        name = identifier(column.name)
        hidden = (
            f"CASE WHEN {name} IS NOT NULL THEN '***' END" if is_text(normal(column.type)) else f"NULL::{column.type}"
        )
        items.append(f"{hidden} AS {name}" if column.name in masked else name)
    where = " AND ".join(f"({p.filter})" for p in own if isinstance(p, RowFilter))
    return (
        f"CREATE VIEW {table.name} AS SELECT {', '.join(items)} FROM {_file(lake, table.name)} WHERE {where or 'TRUE'}"
    )


def _best(run: Callable[[], object], other: Callable[[], object], repeat: int) -> tuple[float, float]:
    """Best wall milliseconds of both, measured in turn."""
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(repeat):
        for kept, work in zip(times, (run, other), strict=True):
            began = time.perf_counter()
            work()
            kept.append((time.perf_counter() - began) * 1000)
    return min(times[0]), min(times[1])


def tpch(lake: Path, repeat: int = 5) -> Ratio:
    """The 22 queries, a row filter and two masks on every table."""
    rules = law(lake)
    ours, theirs = duckdb.connect(), duckdb.connect()
    ours.execute("SET disabled_optimizers = 'statistics_propagation'")
    for table in rules.tables:
        if any(p.table.key == table.name.key for p in rules.policies if isinstance(p, RowFilter)):
            theirs.execute(_view(lake, table, rules))
    pairs = []
    for text in data.queries():
        governed = rules.govern(text).sql(lambda name: _file(lake, name))
        pairs.append(
            _best(lambda g=governed: ours.execute(g).fetchall(), lambda t=text: theirs.execute(t).fetchall(), repeat)
        )  # type: ignore[misc]
    ratios = [mine / other for mine, other in pairs]
    mean = math.exp(statistics.fmean(map(math.log, ratios)))
    return Ratio(mean, max(ratios), sum(p[0] for p in pairs), sum(p[1] for p in pairs))


def look_up(lake: Path, repeat: int = 15) -> Ratio:
    """One order by its key: governed against the same statement on the bare file."""
    rules = law(lake)
    db = duckdb.connect()
    db.execute("SET disabled_optimizers = 'statistics_propagation'")
    (key,) = db.execute(
        f"SELECT max(l_orderkey) // 2 FROM {_file(lake, TableName(data.SCHEMA, 'lineitem'))}"
    ).fetchone() or (1,)
    text = f"SELECT l_partkey, l_quantity, l_comment FROM {data.SCHEMA}.lineitem WHERE l_orderkey = {key}"
    governed = rules.govern(text).sql(lambda name: _file(lake, name))
    bare = text.replace(f"{data.SCHEMA}.lineitem", _file(lake, TableName(data.SCHEMA, "lineitem")))
    mine, other = _best(lambda: db.execute(governed).fetchall(), lambda: db.execute(bare).fetchall(), repeat)
    return Ratio(mine / other, mine / other, mine, other)


def redaction_us(rounds: int = 2000) -> tuple[float, float]:
    """Median microseconds of CPU for a statement of 1 kB: with an e-mail address and a card number, and without."""
    many = " AND ".join(f"column_{i} <> 'value {i}'" for i in range(60))
    start = "SELECT id, amount FROM sales.orders WHERE mail = {} AND card = {} AND "
    texts = (start.format("'ana@bank.example'", "'4111 1111 1111 1111'"), start.format("'given'", "'golden'"))
    personal, ordinary = ([_cpu_ns((text + many)[:1024]) for _ in range(rounds)] for text in texts)
    return statistics.median(personal) / 1000, statistics.median(ordinary) / 1000


def _cpu_ns(text: str) -> int:
    began = time.thread_time_ns()
    redact(text)
    return time.thread_time_ns() - began
