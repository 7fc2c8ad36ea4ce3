"""The cache against plain files and against DuckDB's own httpfs, over one S3 server on loopback.

Ours is what a node runs: lake, cache, a confined worker, its file system. Theirs is DuckDB in this process with a
worker's settings. All three read the same text, table for table, from the same Parquet files.
"""

from __future__ import annotations

import importlib.resources
import math
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import duckdb
import sqlglot
from sqlglot import exp

from benchmarks import data
from benchmarks.s3_server import BUCKET, ENVIRONMENT, RunningS3, serving
from governance.tables import TableName
from tests.engine.executor.rig import Rig, rig

WIDE = TableName(data.SCHEMA, "wide")
_SETTINGS = ("SET disabled_optimizers='statistics_propagation'", "SET parquet_metadata_cache=true")
Segments = tuple[str | TableName, ...]


@dataclass(frozen=True)
class Times:
    """Milliseconds of ours and theirs, query by query, best of several."""

    ours: list[float]
    theirs: list[float]

    @property
    def ratios(self) -> list[float]:
        """Ours over theirs."""
        return [mine / other for mine, other in zip(self.ours, self.theirs, strict=True)]

    @property
    def geometric_mean(self) -> float:
        """Of the ratios."""
        return math.exp(statistics.fmean(map(math.log, self.ratios)))

    @property
    def detail(self) -> str:
        """For the report."""
        return f"ours {sum(self.ours):.0f} ms, theirs {sum(self.theirs):.0f} ms; worst {max(self.ratios):.2f} x"


def segments(text: str) -> Segments:
    """A query's text, cut at its tables."""
    tree = sqlglot.parse_one(text, dialect="duckdb")
    names = {cte.alias_or_name for cte in tree.find_all(exp.CTE)}
    for table in tree.find_all(exp.Table):
        if table.name not in names:
            if not table.alias:
                table.set("alias", exp.TableAlias(this=exp.to_identifier(table.name)))
            table.set("this", exp.to_identifier(f"__{table.name}__", quoted=False))
    parts = tree.sql(dialect="duckdb").split("__")
    return tuple(TableName(data.SCHEMA, part) if at % 2 else part for at, part in enumerate(parts))


def _text(parts: Segments, root: str) -> str:
    files = (f"read_parquet('{root}/{p.schema}/{p.name}.parquet')" if isinstance(p, TableName) else p for p in parts)
    return "".join(files)


@contextmanager
def node(store: RunningS3, folder: Path, **settings: Any) -> Iterator[Rig]:
    """Our parts over the bucket."""
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hd-bench-", dir=folder)))
        scratch.chmod(0o755)  # workers are users of their own
        old = dict(os.environ)
        os.environ |= {**ENVIRONMENT, "AWS_ENDPOINT_URL": store.endpoint}
        stack.callback(os.environ.update, old)
        limits = {"memory_bytes": 4 << 30, "standby": False, "workers_max": 2, "workers_per_organization_max": 1}
        yield stack.enter_context(
            rig(scratch, url=f"s3://{BUCKET}/lake", refresh_s=3600, cache_bytes=16 << 30, **{**limits, **settings})
        )


def plain() -> duckdb.DuckDBPyConnection:
    """DuckDB over local files."""
    opened = duckdb.connect()
    for setting in _SETTINGS:
        opened.execute(setting)
    return opened


def httpfs(store: RunningS3) -> duckdb.DuckDBPyConnection:
    """A fresh DuckDB with its own S3 client."""
    folder = importlib.resources.files("duckdb_extension_httpfs") / "extensions"
    (extension,) = [file for version in folder.iterdir() for file in version.iterdir()]
    opened = duckdb.connect()
    opened.execute(f"LOAD '{extension}'")
    for setting in _SETTINGS:
        opened.execute(setting)
    opened.execute(
        f"CREATE SECRET (TYPE s3, KEY_ID 'bench', SECRET 'bench', REGION 'eu-central-1', USE_SSL false, "
        f"URL_STYLE 'path', ENDPOINT '{urlsplit(store.endpoint).netloc}')"
    )
    return opened


def _ms(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * 1000


def warm(folder: Path, repeat: int = 5) -> Times:
    """TPC-H with every block on the volume, against the same files read by DuckDB."""
    queries = [segments(text) for text in data.queries()]
    lake = folder / "lake"
    ours, theirs = [], []
    with serving(folder) as store, node(store, folder) as running, plain() as local:
        for parts in queries:
            mine, other = [], []
            for turn in range(repeat + 1):
                a = _ms(lambda p=parts: running.ask(*p))
                b = _ms(lambda p=parts: local.execute(_text(p, str(lake))).fetchall())
                if turn:
                    mine.append(a)
                    other.append(b)
            ours.append(min(mine))
            theirs.append(min(other))
    return Times(ours, theirs)


@dataclass(frozen=True)
class Cold:
    """A cold comparison: times, and bytes that the server sent."""

    times: Times
    ours_bytes: int
    theirs_bytes: int
    ours_requests: int
    theirs_requests: int


_ORGANIZATIONS = iter(range(100, 1 << 30))


def cold(folder: Path, queries: list[Segments], repeat: int = 3, delay_ms: int = 0) -> Cold:
    """Every query with an empty cache and a worker that has read nothing, against httpfs that has read nothing."""
    ours, theirs = [], []
    counts = [0, 0, 0, 0]
    with serving(folder, delay_ms=delay_ms) as store, node(store, folder) as running:
        for parts in queries:
            mine, other = [], []
            for _ in range(repeat):
                organization = str(next(_ORGANIZATIONS))
                running.run(running.cache.clear())
                running.ask("SELECT 1", organization=organization)
                store.sent()
                mine.append(_ms(lambda p=parts, o=organization: running.ask(*p, organization=o)))
                sent_ours = store.sent()
                with httpfs(store) as peer:
                    text = _text(parts, f"s3://{BUCKET}/lake")
                    other.append(_ms(lambda t=text, p=peer: p.execute(t).fetchall()))
                sent_theirs = store.sent()
            counts[0] += sent_ours.bytes
            counts[1] += sent_theirs.bytes
            counts[2] += sent_ours.requests
            counts[3] += sent_theirs.requests
            ours.append(min(mine))
            theirs.append(min(other))
    return Cold(Times(ours, theirs), *counts)


def look_ups(folder: Path) -> list[Segments]:
    """Single orders of a large table by their key: a few columns, all of them, one."""
    some = "l_partkey, l_quantity, l_extendedprice, l_shipdate"
    with plain() as local:
        file = f"read_parquet('{folder}/lake/{WIDE.schema}/{WIDE.name}.parquet')"
        rows = local.execute(f"SELECT l_orderkey FROM {file} WHERE hash(l_orderkey) % 1000000 = 7 LIMIT 60").fetchall()
    keys = [key for (key,) in rows[:: len(rows) // 6]][:6]
    columns = (some, "*", some, "*", some, "l_comment")
    return [(f"SELECT {c} FROM ", WIDE, f" WHERE l_orderkey = {key}") for c, key in zip(columns, keys, strict=True)]
