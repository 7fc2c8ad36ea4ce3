"""Deadlines, cancels, runaways that no interrupt stops, and workers that die: the rest goes on."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from governance.errors import DeadlineExceeded, EngineFailed, ResourceExceeded, TooManyQueries, WorkerLost
from tests.engine.executor.rig import Rig, mint, rig

CROSS_JOIN = "SELECT count(*) FROM range(10000000) a(i), range(10000000) b(i) WHERE a.i + b.i = -1"
UNINTERRUPTIBLE = "SELECT length(repeat('x', 1000000000) || i) FROM range(200) t(i)"
NESTED_LAMBDAS = (
    "SELECT list_sum(list_transform(range(100000), lambda x: list_sum(list_transform(range(100000), lambda y: x * y))))"
)
RECURSION = "WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM r) SELECT count(*) FROM r"


@pytest.fixture(scope="module")
def arena(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """A rig whose organizations have one worker each, so that neighbors are hit by a kill."""
    with rig(
        tmp_path_factory.mktemp("arena"), memory_bytes=1 << 30, workers_per_organization_max=1, kill_grace_s=0.5
    ) as made:
        yield made


@pytest.mark.parametrize("text", [CROSS_JOIN, NESTED_LAMBDAS, RECURSION, UNINTERRUPTIBLE])
def test_a_runaway_ends_at_its_deadline_and_others_go_on(arena: Rig, text: str) -> None:
    arena.ask("SELECT 1 + 0", organization="runaway")
    began = time.monotonic()
    with pytest.raises((DeadlineExceeded, ResourceExceeded)):
        arena.ask(text, organization="runaway", deadline_s=0.7)
    assert time.monotonic() - began < 10
    assert arena.ask("SELECT 2 + 0", organization="runaway").rows == [("2",)]


def test_cancel_ends_a_statement_with_57014(arena: Rig) -> None:
    async def cancelled() -> None:
        async with await arena.executor.run(mint("SELECT * FROM range(100000000000)"), deadline_s=60) as execution:
            frames = execution.frames()
            await anext(frames)
            await execution.cancel()
            async for _ in frames:
                pass

    with pytest.raises(DeadlineExceeded) as caught:
        arena.run(cancelled())
    assert "cancelled" in caught.value.message


def test_a_client_that_never_reads_is_stopped_at_the_deadline(arena: Rig) -> None:
    async def never_reads() -> int:
        async with await arena.executor.run(mint("SELECT * FROM range(100000000000)"), deadline_s=0.5) as execution:
            frames = execution.frames()
            await anext(frames)
            worker = execution._lease.worker
            until = asyncio.get_running_loop().time() + 10
            while not execution._lease.channel.final_at and asyncio.get_running_loop().time() < until:  # noqa: ASYNC110 - no event tells of it
                await asyncio.sleep(0.01)
            with pytest.raises(DeadlineExceeded):
                async for _ in frames:
                    pass
            return int(worker.pid)

    arena.ask("SELECT 1 + 0")  # a worker that has started: the deadline is short
    pid = arena.run(never_reads())
    assert any(w.pid == pid for w in arena.executor.pool.workers), "an interrupt was enough, no kill was needed"


def test_leaving_early_frees_the_channel_without_killing(arena: Rig) -> None:
    async def leave() -> set[int]:
        for _ in range(5):
            async with await arena.executor.run(
                mint("SELECT * FROM range(100000000000)", organization="leaver"), deadline_s=60
            ) as execution:
                await anext(execution.frames())
        return {w.pid for w in arena.executor.pool.workers if w.organization == "leaver"}

    assert len(arena.run(leave())) == 1
    assert arena.ask("SELECT 3 + 0", organization="leaver").rows == [("3",)]


def test_neighbors_of_a_killed_worker_run_again_when_nothing_was_sent(arena: Rig) -> None:
    async def scene() -> tuple[list[tuple[str | None, ...]], BaseException]:
        await arena.ask_async("SELECT 1 + 0", organization="crowd")
        slow = "SELECT count(*) FROM range(40000000) t(i) WHERE hash(i) % 7 = 1"
        neighbor = asyncio.create_task(arena.ask_async(slow, organization="crowd", deadline_s=60))
        runaway = asyncio.create_task(arena.ask_async(UNINTERRUPTIBLE, organization="crowd", deadline_s=0.3))
        results = await asyncio.gather(neighbor, runaway, return_exceptions=True)
        return results[0].rows, results[1]  # type: ignore[union-attr,return-value]

    rows, error = arena.run(scene())
    assert isinstance(error, (DeadlineExceeded, ResourceExceeded))
    assert len(rows) == 1


def test_a_worker_that_dies_before_rows_means_a_rerun(arena: Rig) -> None:
    async def scene() -> list[tuple[str | None, ...]]:
        await arena.ask_async("SELECT 1 + 0", organization="mortal")
        before = arena.executor.reruns
        slow = "SELECT count(*) FROM range(60000000) t(i) WHERE hash(i) % 7 = 8"
        task = asyncio.create_task(arena.ask_async(slow, organization="mortal", deadline_s=60))
        worker = next(w for w in arena.executor.pool.workers if w.organization == "mortal")
        while not worker.leases:  # noqa: ASYNC110 - no event tells of it
            await asyncio.sleep(0.001)
        os.kill(worker.pid, signal.SIGKILL)
        answer = await task
        assert arena.executor.reruns == before + 1
        return answer.rows

    assert arena.run(scene()) == [("0",)]


def test_a_worker_that_dies_after_rows_means_57p01(arena: Rig) -> None:
    async def scene() -> None:
        async with await arena.executor.run(
            mint("SELECT * FROM range(100000000000)", organization="mortal"), deadline_s=60
        ) as execution:
            frames = execution.frames()
            await anext(frames)
            os.kill(execution._lease.worker.pid, signal.SIGKILL)
            async for _ in frames:
                pass

    with pytest.raises(WorkerLost):
        arena.run(scene())
    assert arena.ask("SELECT 4 + 0", organization="mortal").rows == [("4",)]


def test_a_statement_that_kills_every_worker_ends_as_lost(arena: Rig) -> None:
    async def scene() -> None:
        slow = "SELECT count(*) FROM range(100000000000) t(i) WHERE hash(i) % 7 = 8"
        task = asyncio.create_task(arena.ask_async(slow, organization="poison", deadline_s=60))
        killed: set[int] = set()
        while not task.done():
            for worker in arena.executor.pool.workers:
                if (
                    worker.organization == "poison"
                    and worker.leases
                    and worker.ready.done()
                    and worker.pid not in killed
                ):
                    killed.add(worker.pid)
                    os.kill(worker.pid, signal.SIGKILL)
            await asyncio.sleep(0.01)
        assert len(killed) == 3
        await task

    with pytest.raises(WorkerLost):
        arena.run(scene())


def test_when_all_channels_are_taken_a_newcomer_waits_and_is_told(tmp_path: Path) -> None:
    with rig(
        tmp_path, workers_max=1, workers_per_organization_max=1, channels_per_worker_max=1, lease_wait_s=0.3,
        memory_bytes=512 << 20,
    ) as narrow:  # fmt: skip

        async def scene() -> None:
            async with await narrow.executor.run(mint("SELECT * FROM range(100000000000)"), deadline_s=60) as execution:
                await anext(execution.frames())
                with pytest.raises(TooManyQueries):
                    await narrow.ask_async("SELECT 1 + 0", organization="2")
                waiting = asyncio.create_task(narrow.ask_async("SELECT 5 + 0", organization="1"))
                await asyncio.sleep(0)
                await execution.cancel()
                with pytest.raises(DeadlineExceeded):
                    async for _ in execution.frames():
                        pass
                assert (await waiting).rows == [("5",)]

        narrow.run(scene())


def test_stopping_leaves_no_process_and_no_folder(tmp_path: Path) -> None:
    with rig(tmp_path, memory_bytes=512 << 20) as brief:
        brief.ask("SELECT 1 + 0")
        pids = [w.pid for w in brief.executor.pool.workers]
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    assert list((tmp_path / "spill").iterdir()) == []


def test_processes_that_cannot_start_are_told_and_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with rig(tmp_path, memory_bytes=512 << 20, standby=False) as broken:
        broken.ask("SELECT 1 + 0", organization="1")
        monkeypatch.setattr("engine.executor.worker_process.sys.executable", "/nonexistent/python")
        with pytest.raises((EngineFailed, WorkerLost)):
            broken.ask("SELECT 1 + 0", organization="2")
        monkeypatch.undo()
        assert broken.ask("SELECT 2 + 0", organization="2").rows == [("2",)]
        assert len(broken.executor.pool.workers) == 2


def test_spill_of_a_node_that_was_killed_is_swept(tmp_path: Path) -> None:
    (tmp_path / "spill/worker-1-1/spill-x").mkdir(parents=True)
    with rig(tmp_path, memory_bytes=512 << 20, standby=False):
        assert not (tmp_path / "spill/worker-1-1").exists()


_NODE = """
import asyncio, pathlib, sys
from engine.cache.block_cache import BlockCache, CacheSettings
from engine.cache.object_store import ObjectStore
from engine.executor.executor import Executor
from engine.executor.pool import ExecutorSettings
async def main(root):
    cache = BlockCache(CacheSettings(root / "cache", 1 << 20), ObjectStore(str(root)))
    await cache.start()
    executor = Executor(ExecutorSettings(root / "spill", memory_bytes=512 << 20, standby=False), None, cache)
    await executor.start()
    print(executor.pool.workers[0].pid, flush=True)
    await asyncio.sleep(600)
asyncio.run(main(pathlib.Path(sys.argv[1])))
"""


def test_workers_end_with_a_node_that_was_killed(tmp_path: Path) -> None:
    node = subprocess.Popen([sys.executable, "-c", _NODE, str(tmp_path)], stdout=subprocess.PIPE)
    try:
        assert node.stdout is not None
        pid = int(node.stdout.readline())
        os.kill(pid, 0)
    finally:
        node.kill()
        node.wait()
        node.stdout.close()
    until = time.monotonic() + 20
    while _lives(pid) and time.monotonic() < until:
        time.sleep(0.02)
    assert not _lives(pid)


def _lives(pid: int) -> bool:
    """Whether the process runs; one that only waits to be reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False
