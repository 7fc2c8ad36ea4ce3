"""A lake, a cache and an executor on an event loop of their own, for tests; and a mint for Governed."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import duckdb

from engine.cache.block_cache import BlockCache, CacheSettings
from engine.cache.object_store import ObjectStore
from engine.catalog.lake import Lake, LakeSettings
from engine.encoder.parameters import ParameterValue
from engine.executor.execution import ExecutionFacts
from engine.executor.executor import Executor
from engine.executor.pool import ExecutorSettings
from engine.pipeline import governed as pipeline_governed
from engine.pipeline.governed import Governed, Parameter
from governance.tables import TableName

T = TypeVar("T")
WAIT_S = 60.0


def mint(*segments: str | TableName, organization: str = "1", **facts: Any) -> Governed:
    """A Governed made without the pipeline, as no product code can."""
    tables = tuple(dict.fromkeys(s for s in segments if isinstance(s, TableName)))
    filled: dict[str, Any] = {
        "kind": "select",
        "parameters": (),
        "columns_masked": (),
        "verdicts": (),
        "policy_version": 1,
    } | facts
    return Governed(
        segments=segments, tables=tables, organization=organization, _mint=pipeline_governed._MINT, **filled
    )


@dataclass
class Answer:
    """A result read to its end."""

    columns: tuple[Any, ...]
    rows: list[tuple[str | None, ...]]
    facts: ExecutionFacts


def rows_of(data: bytes | memoryview) -> list[tuple[str | None, ...]]:
    """The fields of whole DataRow messages, as text."""
    view, at, rows = bytes(data), 0, []
    while at < len(view):
        assert view[at : at + 1] == b"D"
        end = at + 1 + int.from_bytes(view[at + 1 : at + 5])
        count, at = int.from_bytes(view[at + 5 : at + 7]), at + 7
        row: list[str | None] = []
        for _ in range(count):
            length = int.from_bytes(view[at : at + 4], signed=True)
            at += 4
            row.append(None if length < 0 else view[at : at + length].decode())
            at += max(length, 0)
        assert at == end
        rows.append(tuple(row))
    return rows


class Rig:
    """The running parts; `run` executes a coroutine on their loop."""

    def __init__(
        self,
        root: Path,
        settings: dict[str, Any],
        lake: LakeSettings,
        cache_bytes: int,
        url: str = "",
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self.data = root / "data"
        self.data.mkdir(exist_ok=True)
        self.url = url or str(self.data)
        self.root = root
        self._settings = settings
        self._lake_settings = lake
        self._cache_bytes = cache_bytes
        self.loop = loop or asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(WAIT_S)

    async def start(self) -> None:
        store = ObjectStore(self.url)
        self.cache = BlockCache(CacheSettings(self.root / "cache", self._cache_bytes), store)
        await self.cache.start()
        self.executor = Executor(ExecutorSettings(self.root / "spill", **self._settings), None, self.cache)
        await self.executor.start()
        self.lake = Lake(store, self.executor, self._lake_settings)
        self.executor.lake = self.lake
        await self.lake.start()

    async def stop(self) -> None:
        for part in ("lake", "executor", "cache"):
            if hasattr(self, part):
                await getattr(self, part).stop()

    def close(self) -> None:
        try:
            self.run(self.stop())
        finally:
            self.loop.call_soon_threadsafe(self.loop.stop)
            self._thread.join(WAIT_S)
            self.loop.close()

    # ------------------------------------------------------------------ what tests do

    def write(self, path: str, query: str) -> Path:
        """A Parquet file below the data, from a DuckDB query."""
        target = self.data / path
        target.parent.mkdir(parents=True, exist_ok=True)
        with duckdb.connect() as connection:
            quoted = str(target).replace("'", "''")
            connection.execute(f"COPY ({query}) TO '{quoted}' (FORMAT parquet)")
        return target

    def seen(self) -> None:
        """Until the lake has looked at the data as it is now."""
        self.run(self.lake.seen())

    async def ask_async(
        self,
        *segments: str | TableName,
        parameters: Sequence[ParameterValue] = (),
        types: Sequence[str] = (),
        deadline_s: float = 30.0,
        formats: Sequence[int] = (),
        **facts: Any,
    ) -> Answer:
        governed = mint(*segments, parameters=tuple(Parameter(t) for t in types), **facts)
        async with await self.executor.run(
            governed, parameters=parameters, formats=formats, deadline_s=deadline_s
        ) as execution:
            rows = []
            async for frame in execution.frames():
                found = rows_of(frame.data)
                assert len(found) == frame.rows
                rows += found
            return Answer(execution.columns, rows, execution.facts)

    def ask(self, *segments: str | TableName, **options: Any) -> Answer:
        return self.run(self.ask_async(*segments, **options))


@contextmanager
def rig(
    root: Path,
    *,
    refresh_s: float = 0.05,
    cache_bytes: int = 1 << 30,
    url: str = "",
    loop: asyncio.AbstractEventLoop | None = None,
    **settings: Any,
) -> Iterator[Rig]:
    """A started rig over `root`/data, or `url`; put files there before or after."""
    looks = LakeSettings(refresh_s=refresh_s, s3_refresh_s=refresh_s, retry_fault_s=0.2, retry_store_s=0.2)
    made = Rig(root, settings, looks, cache_bytes, url, loop)
    try:
        made.run(made.start())
        yield made
    finally:
        made.close()
