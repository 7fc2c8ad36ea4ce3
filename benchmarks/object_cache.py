"""The cache against plain files and against DuckDB's own httpfs, over one S3 server on loopback.

Ours is what a node runs: lake, cache, a confined worker, its file system. Theirs is DuckDB in this process with a
worker's settings. All three read the same text, table for table, from the same Parquet files.
"""

from __future__ import annotations

import asyncio
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
from typing import Protocol
from urllib.parse import urlsplit

import duckdb
import obstore
import sqlglot
import uvloop
from obstore.store import S3Store
from sqlglot import exp

from benchmarks import ceph_server, data
from benchmarks.report import Report
from benchmarks.s3_server import BUCKET, ENVIRONMENT, RunningS3, Sent, missing, serving
from governance.tables import TableName
from tests.engine.executor.rig import Rig, mint, rig

WIDE, MANY = TableName(data.SCHEMA, "wide"), TableName(data.SCHEMA, "many")
_SETTINGS = ("SET disabled_optimizers='statistics_propagation'", "SET parquet_metadata_cache=true")
_S3_DELAY_MS = 20
"""About what S3 takes to begin an answer."""
_BUDGET_S = 45.0
"""Of a comparison: beyond it no query is repeated, so that a busy machine makes the run rougher and not endless."""
_KEYS = {"access_key_id": "bench", "secret_access_key": "bench", "region": "eu-central-1"}
Segments = tuple[str | TableName, ...]


class S3(Protocol):
    """A running server."""

    @property
    def endpoint(self) -> str: ...  # noqa: D102
    def sent(self) -> Sent:
        """What it sent since the last call, if it counts."""
        ...


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
    return "".join(f"read_parquet({_files(p, root)})" if isinstance(p, TableName) else p for p in parts)


def _files(table: TableName, root: str) -> list[str]:
    if table == MANY:
        return [f"{root}/{table.schema}/{table.name}/{number:03}.parquet" for number in range(data.MANY)]
    return [f"{root}/{table.schema}/{table.name}.parquet"]


@contextmanager
def node(store: S3, folder: Path) -> Iterator[Rig]:
    """Our parts over the bucket."""
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hd-bench-", dir=folder)))
        scratch.chmod(0o755)  # workers are users of their own
        old = dict(os.environ)
        os.environ |= {**ENVIRONMENT, "AWS_ENDPOINT_URL": store.endpoint}
        stack.callback(os.environ.update, old)
        limits = {"memory_bytes": 4 << 30, "standby": False, "workers_max": 2, "workers_per_organization_max": 1}
        yield stack.enter_context(
            rig(
                scratch,
                url=f"s3://{BUCKET}/lake",
                refresh_s=3600,
                cache_bytes=16 << 30,
                loop=uvloop.new_event_loop(),
                **limits,
            )
        )


async def drained(running: Rig, parts: Segments, organization: str = "1") -> None:
    """Run a statement and throw its rows away, encoded as a client would get them."""
    governed = mint(*parts, organization=organization)
    async with await running.executor.run(governed, deadline_s=55) as execution:
        async for _ in execution.frames():
            pass


def plain() -> duckdb.DuckDBPyConnection:
    """DuckDB over local files."""
    opened = duckdb.connect()
    for setting in _SETTINGS:
        opened.execute(setting)
    return opened


def httpfs(store: S3) -> duckdb.DuckDBPyConnection:
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


def _turns(most: int, least: int, until: float) -> Iterator[int]:
    """Numbers of turns: `most`, or as many as begin before `until`, but `least`."""
    for turn in range(most):
        if turn >= least and time.monotonic() > until:
            return
        yield turn


def warm(folder: Path, repeat: int = 3) -> Times:
    """TPC-H with every block on the volume, against the same files read by DuckDB."""
    queries = [segments(text) for text in data.queries()]
    lake = folder / "lake"
    ours, theirs = [], []
    until = time.monotonic() + _BUDGET_S
    with serving(folder) as store, node(store, folder) as running, plain() as local:
        for parts in queries:
            mine, other = [], []
            for turn in _turns(repeat + 1, 2, until):
                a = _ms(lambda p=parts: running.run(drained(running, p)))
                b = _ms(lambda p=parts: local.execute(_text(p, str(lake))).fetchall())
                if turn:
                    mine.append(a)
                    other.append(b)
            ours.append(min(mine))
            theirs.append(min(other))
    return Times(ours, theirs)


@dataclass(frozen=True)
class Crowd:
    """Many statements at once on a cold table."""

    sent_bytes: int
    twice_bytes: int
    """Sent more than once."""
    ours_s: float
    alone_s: float
    """What the same ranges take when they are read and thrown away: the server's own limit."""


_CROWD = 32
_CROWD_DELAY_MS = 100
"""Before each answer, so that the server is the limit and not the cores it shares with us."""


def crowd(folder: Path, repeat: int = 3) -> Crowd:
    """Statements at once, each over its share of a large table's rows, all of them in need of one footer."""
    ours, alone, twice = [], [], 0
    sent = Sent((), 0, 0)
    with plain() as local:
        file = f"read_parquet('{folder}/lake/{WIDE.schema}/{WIDE.name}.parquet')"
        (last,) = local.execute(f"SELECT max(l_orderkey) FROM {file}").fetchone() or (0,)
    step = last // _CROWD + 1
    counted = ", ".join(
        f"count({name})" for name in ("l_partkey", "l_suppkey", "l_extendedprice", "l_shipdate", "l_commitdate")
    )

    async def together(running: Rig, organization: str) -> None:
        async with asyncio.TaskGroup() as tasks:
            for at in range(_CROWD):
                where = f" WHERE l_orderkey >= {step * at} AND l_orderkey < {step * (at + 1)}"
                parts: Segments = (f"SELECT {counted} FROM ", WIDE, where)
                tasks.create_task(drained(running, parts, organization))

    with serving(folder, delay_ms=_CROWD_DELAY_MS) as store, node(store, folder) as running:
        for _ in range(repeat):
            organization = str(next(_ORGANIZATIONS))
            running.run(running.cache.clear())
            running.ask("SELECT 1", organization=organization)
            store.sent()
            ours.append(_ms(lambda o=organization: running.run(together(running, o))) / 1000)
            sent = store.sent()
            twice = max(twice, sent.twice)
            alone.append(_ms(lambda s=sent: asyncio.run(_drain(store, s))) / 1000)
    return Crowd(sent.bytes, twice, min(ours), min(alone))


async def _drain(store: RunningS3, sent: Sent) -> None:
    bucket = S3Store(BUCKET, config={"endpoint": store.endpoint, **_KEYS}, client_options={"allow_http": True})
    limit = asyncio.Semaphore(_CROWD)

    async def read(name: str, start: int, end: int) -> None:
        async with limit:
            await (await obstore.get_async(bucket, name, options={"range": (start, end)})).bytes_async()

    async with asyncio.TaskGroup() as tasks:
        for one in sent.bodies:
            tasks.create_task(read(*one))


@dataclass(frozen=True)
class Cold:
    """A cold comparison: times, and bytes that the server sent."""

    times: Times
    ours_bytes: int
    theirs_bytes: int
    ours_requests: int
    theirs_requests: int

    @property
    def requests(self) -> str:
        """For the report."""
        return f"ours {self.ours_requests} requests, theirs {self.theirs_requests}"


_ORGANIZATIONS = iter(range(100, 1 << 30))


def cold(folder: Path, queries: list[Segments], repeat: int = 2, delay_ms: int = 0) -> Cold:
    """Every query with an empty cache and a worker that has read nothing, against httpfs that has read nothing."""
    with serving(folder, delay_ms=delay_ms) as store:
        return _cold(folder, queries, store, repeat)


def cold_on_ceph(folder: Path, queries: list[Segments], repeat: int = 2) -> Times:
    """The same on a real S3 server, which does not count what it sends."""
    with ceph_server.serving(folder) as store:
        return _cold(folder, queries, store, repeat).times


def _cold(folder: Path, queries: list[Segments], store: S3, repeat: int) -> Cold:
    ours, theirs = [], []
    counts = [0, 0, 0, 0]
    until = time.monotonic() + _BUDGET_S
    with node(store, folder) as running:
        for parts in queries:
            mine, other = [], []
            for _ in _turns(repeat, 1, until):
                organization = str(next(_ORGANIZATIONS))
                running.run(running.cache.clear())
                running.ask("SELECT 1", organization=organization)
                store.sent()
                mine.append(_ms(lambda p=parts, o=organization: running.run(drained(running, p, o))))
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


def run(report: Report, folder: Path) -> None:
    """Every row of the cache's speed table that needs an S3 server."""
    why = missing(delays=True)
    if why:
        report.skip("the cache over S3", why)
        return
    objects = data.prepare_objects(folder)
    times = warm(objects)
    report.add(
        "TPC-H SF 1, warm, against plain local files, geometric mean", times.geometric_mean, "x", 1.05, times.detail
    )
    queries = [segments(text) for text in data.queries()]
    name = "TPC-H SF 1, cold, Ceph's gateway, against httpfs, geometric mean"
    if why := ceph_server.missing():
        report.skip(name, why)
    else:
        times = cold_on_ceph(objects, queries)
        report.add(name, times.geometric_mean, "x", 1.0, times.detail)
    for delay_ms in (_S3_DELAY_MS, 0):
        found = cold(objects, queries, delay_ms=delay_ms)
        name = f"TPC-H SF 1, cold, S3 answers after {delay_ms} ms, against httpfs"
        # A store that costs nothing is no S3: that row says what a node costs (ADR 27).
        most = 1.0 if delay_ms else None
        report.add(f"{name}, geometric mean", found.times.geometric_mean, "x", most, found.times.detail)
        report.add(f"{name}, bytes fetched", found.ours_bytes / found.theirs_bytes, "x", None, found.requests)
    found = cold(objects, look_ups(objects))
    name = "point look-ups in 1 GB, cold, against httpfs"
    report.add(f"{name}, bytes fetched", found.ours_bytes / found.theirs_bytes, "x", 1.3, found.requests)
    report.add(f"{name}, geometric mean of times", found.times.geometric_mean, "x", None, found.times.detail)
    small: Segments = ("SELECT sum(i), count(t) FROM ", MANY, "")
    found = cold(objects, [small], delay_ms=_S3_DELAY_MS)
    name = f"{data.MANY} small files, cold, S3 answers after {_S3_DELAY_MS} ms, against httpfs"
    report.add(f"{name}, time", found.times.geometric_mean, "x", 1.0, f"{found.times.detail}; {found.requests}")
    many = crowd(objects)
    name = f"{_CROWD} queries at once over a cold table, S3 answers after {_CROWD_DELAY_MS} ms"
    detail = (
        f"{many.sent_bytes / 1e6:.0f} MB; ours {many.ours_s:.2f} s, the same ranges thrown away {many.alone_s:.2f} s"
    )
    report.add(f"{name}, time against the server's own limit", many.ours_s / many.alone_s, "x", 1 / 0.9, detail)
    report.add(f"{name}, bytes fetched twice", many.twice_bytes, "B", 0)
