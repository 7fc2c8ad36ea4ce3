"""Catalog queries run in a confined worker process, and the image travels there once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from engine.cache.block_cache import BlockCache, CacheSettings
from engine.cache.object_store import ObjectStore
from engine.catalog.emulation import CatalogImage, build, translate
from engine.encoder.parameters import ParameterValue
from engine.executor.executor import Executor
from engine.executor.pool import ExecutorSettings
from engine.refusals import sqlstate_of
from governance.errors import DeadlineExceeded, Refusal
from tests.engine.catalog.clients import RELATIONS, SESSION, decoded, image


def in_worker(folder: Path, story: Callable[[Executor], Awaitable[None]]) -> None:
    async def main() -> None:
        cache = BlockCache(CacheSettings(folder / "cache", 64 << 20), ObjectStore(str(folder)))
        executor = Executor(ExecutorSettings(folder / "spill", standby=False), None, cache)
        await executor.start()
        try:
            await story(executor)
        finally:
            await executor.stop()

    asyncio.run(main())


async def answer(executor: Executor, text: str, *parameters: str, seen: CatalogImage, deadline_s: float = 20.0) -> list:
    execution = await executor.run_catalog(
        seen,
        translate(text),
        SESSION,
        organization="1",
        parameters=[ParameterValue(p.encode(), 0, 0) for p in parameters],
        deadline_s=deadline_s,
    )
    async with execution:
        return decoded(b"".join([bytes(frame.data) async for frame in execution.frames()]))


def test_catalog_runs_in_a_worker(tmp_path: Path):
    async def story(executor: Executor) -> None:
        seen, other = image(), build(RELATIONS[:1], database="production", user="eve")
        text = "select relname from pg_class where relnamespace = $1::regnamespace order by 1"
        for _ in range(2):
            assert await answer(executor, text, "sales", seen=seen) == [(b"customers",), (b"orders",), (b"v_orders",)]
            assert await answer(executor, text, "sales", seen=other) == [(b"customers",)]
        with pytest.raises(Refusal) as caught:
            await answer(executor, "select $1::regclass", "no.such", seen=seen)
        assert sqlstate_of(caught.value) == "42P01"
        with pytest.raises(Refusal) as caught:
            await answer(executor, "select current_setting($1)", "no_such", seen=seen)
        assert sqlstate_of(caught.value) == "42704"
        with pytest.raises(Refusal) as caught:
            await answer(executor, "select relname::int from pg_class", seen=seen)
        assert "pg_" not in caught.value.message

    in_worker(tmp_path, story)


def test_sleep_ends_when_cancelled_and_leaves_the_worker_alive(tmp_path: Path):
    async def story(executor: Executor) -> None:
        assert await answer(executor, "select pg_sleep(0.01), 1", seen=image()) == [(b"", b"1")]
        workers = executor.pool.workers
        began = asyncio.get_running_loop().time()
        with pytest.raises(DeadlineExceeded):
            await answer(executor, "select pg_sleep(60)", seen=image(), deadline_s=0.5)
        assert asyncio.get_running_loop().time() - began < 30
        assert await answer(executor, "select 1 from pg_am limit 1", seen=image()) == [(b"1",)]
        assert executor.pool.workers == workers

    in_worker(tmp_path, story)


def test_runaway_catalog_query_ends_at_its_deadline(tmp_path: Path):
    async def story(executor: Executor) -> None:
        crossed = "pg_attribute a, pg_attribute b, pg_attribute c, pg_attribute d"
        text = f"select count(*) from {crossed} where a.attname > b.attname"
        with pytest.raises(DeadlineExceeded):
            await answer(executor, text, seen=image(), deadline_s=1.0)
        assert await answer(executor, "select 1 from pg_am limit 1", seen=image()) == [(b"1",)]

    in_worker(tmp_path, story)
