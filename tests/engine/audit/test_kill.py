"""`kill -9` at random moments under load: what was accepted is audited, once."""

import asyncio
import os
import random
import select
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from engine.audit import AuditSettings, QueryAudit
from local.audit_files import AuditFiles
from local.audit_verify import verify_records
from local.clock import SystemClock
from tests.engine.audit.records import files, lines


def _killed_round(folder: Path, turn: int, life_s: float) -> list[str]:
    """Ids that a process said were accepted before it was killed `life_s` after its first."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.engine.audit.loaded_node", str(folder), str(turn)], stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    out = process.stdout.fileno()
    said = b""
    try:
        deadline = time.monotonic() + 60
        end = None
        while end is None or time.monotonic() < end:
            assert time.monotonic() < deadline
            if select.select([out], [], [], 0.005)[0]:
                piece = os.read(out, 1 << 20)
                assert piece, "the process ended by itself"
                said += piece
                end = end or time.monotonic() + life_s
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        while piece := os.read(out, 1 << 20):
            said += piece
        process.stdout.close()
    return said.decode().split()


@pytest.mark.parametrize("rounds", [10, pytest.param(200, marks=[pytest.mark.slow, pytest.mark.timeout(1200)])])
def test_w5_1_nothing_accepted_is_lost_or_doubled_by_kill_9(tmp_path: Path, rounds: int) -> None:
    accepted: list[str] = []
    for turn in range(rounds):
        accepted += _killed_round(tmp_path, turn, random.uniform(0.005, 0.25))

    async def finish() -> None:
        audit = QueryAudit(AuditSettings(tmp_path / "spool", "node-1"), AuditFiles(tmp_path / "audit"), SystemClock())
        await audit.start()
        assert await audit.stop()

    asyncio.run(finish())
    records = lines(files(tmp_path / "audit"))
    audited = Counter(record["query_id"] for record in records)
    assert len(accepted) > rounds
    assert max(audited.values()) == 1
    assert set(accepted) <= set(audited)
    # Beyond what was said to be accepted there are at most the intents each of 8 clients waited for when it was killed.
    assert len(set(audited) - set(accepted)) <= 8 * rounds
    assert {record["status"] for record in records} <= {"succeeded", "interrupted"}
    assert verify_records(tmp_path / "audit") == []
