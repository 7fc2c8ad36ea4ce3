"""The pytest plugin of `tests.mutants`: one collection, then a fork for each mutant."""

from __future__ import annotations

import gc
import json
import os
import resource
import signal
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest
from _pytest.runner import runtestprotocol
from mutmut.mutation import trampoline

SECONDS_MORE = 10
"""Of CPU, past three times what the tests take unmutated; a mutant that takes longer is killed."""
WALL_FACTOR = 20


def _fork(work: Callable[[], int], cpu_s: float) -> int:
    """A child that does `work` within `cpu_s` seconds of CPU and ends with its answer."""
    child = os.fork()
    if child:
        return child
    try:
        null = os.open(os.devnull, os.O_RDWR)
        for stream in (1, 2):
            os.dup2(null, stream)
        resource.setrlimit(resource.RLIMIT_CPU, (int(cpu_s) + 1, int(cpu_s) + 2))
        os._exit(work())
    finally:
        os._exit(3)


def _all_pass(items: Sequence[pytest.Item], each: Callable[[pytest.Item, float], None] | None = None) -> bool:
    for i, item in enumerate(items):
        began = time.process_time()
        reports = runtestprotocol(item, log=False, nextitem=items[i + 1] if i + 1 < len(items) else None)
        if any(report.failed for report in reports):
            return False
        if each:
            each(item, time.process_time() - began)
    return True


def _reached(items: Sequence[pytest.Item], answer: Path) -> tuple[dict[str, float], dict[str, list[str]]]:
    """CPU seconds of each test, and the tests that call each function of the module; all of them must pass."""
    seconds: dict[str, float] = {}
    reached: dict[str, list[str]] = {}
    hits: set[str] = set()

    def note(item: pytest.Item, taken: float) -> None:
        seconds[item.nodeid] = taken
        for hit in hits:
            reached.setdefault(hit, []).append(item.nodeid)
        hits.clear()

    def work() -> int:
        setattr(trampoline, "record_trampoline_hit", lambda name, **_: hits.add(name))  # noqa: B010 - of another module
        trampoline.set_mutant_under_test("stats")
        passed = _all_pass(items, note)
        answer.write_text(json.dumps([seconds, reached]))
        return 0 if passed else 1

    child = _fork(work, 3600)
    ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    found = json.loads(answer.read_text())
    if ended != 0:
        raise pytest.UsageError(f"not passed unmutated: {items[len(found[0])].nodeid}")
    return found[0], found[1]


def _ordered(items: Iterable[pytest.Item], seconds: dict[str, float]) -> list[pytest.Item]:
    """By file, so that a file's fixtures are made once, the quickest first."""
    files: dict[str, list[pytest.Item]] = {}
    for item in items:
        files.setdefault(item.nodeid.split("::")[0], []).append(item)
    cost = {file: sum(seconds[i.nodeid] for i in found) for file, found in files.items()}
    return [item for file in sorted(files, key=cost.__getitem__) for item in files[file]]


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool:
    """Instead of the tests themselves: the verdict on every mutant."""
    task: dict[str, Any] = json.loads(Path(os.environ["HATIDATA_MUTANTS"]).read_text())
    if session.testsfailed:
        raise pytest.UsageError("the tests were not collected")
    items = session.items
    gc.collect()
    gc.freeze()
    seconds, reached = _reached(items, Path(task["answer"]).with_suffix(".reached"))
    verdicts: dict[str, str] = {}
    running: dict[int, tuple[str, float]] = {}

    def reap(*, block: bool) -> None:
        while running:
            now = time.monotonic()
            for pid in [pid for pid, (_, until) in running.items() if now > until]:
                os.kill(pid, signal.SIGKILL)
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid in running:
                name, _ = running.pop(pid)
                code = os.waitstatus_to_exitcode(status)
                verdicts[name] = "survived" if code == 0 else "killed" if code > 0 else "too long"
                Path(task["answer"]).with_suffix(".progress").write_text(json.dumps(verdicts))
            if not block or len(running) < task["children"]:
                return
            time.sleep(0.005)

    for mutant in task["mutants"]:
        function = f"{task['module']}.{mutant.rpartition('__mutmut_')[0]}"
        asked = set(reached.get(function, ()))
        chosen = _ordered((i for i in items if i.nodeid in asked), seconds)
        if not chosen:
            verdicts[mutant] = "no test reaches it"
            continue
        cost = sum(seconds[i.nodeid] for i in chosen)

        def work(name: str = f"{task['module']}.{mutant}", chosen: list[pytest.Item] = chosen) -> int:
            trampoline.set_mutant_under_test(name)
            return 0 if _all_pass(chosen) else 1

        cpu_s = 3 * cost + SECONDS_MORE
        running[_fork(work, cpu_s)] = (mutant, time.monotonic() + WALL_FACTOR * cpu_s)
        reap(block=True)
    task["children"] = 1
    reap(block=True)
    Path(task["answer"]).write_text(json.dumps(verdicts))
    return True
