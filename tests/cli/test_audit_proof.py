"""`hatidata audit verify` and `seal` on a home."""

import asyncio
import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from engine.audit import AuditSettings, QueryAudit
from local.audit_files import AuditFiles
from tests.engine.audit.records import SteppedClock, intent, outcome


def _hatidata(*arguments: str) -> tuple[int, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "cli.main", *arguments, "--json"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, json.loads(done.stdout) if done.stdout else done.stderr


async def _fill(home: Path) -> None:
    clock = SteppedClock()
    clock.moment = datetime.now(UTC) - timedelta(days=3)
    audit = QueryAudit(AuditSettings(home / "node" / "spool", "node-1"), AuditFiles(home / "audit"), clock)
    await audit.start()
    for name in ("one", "two", "three"):
        await audit.intent(intent(name))
        audit.outcome(outcome(name))
    assert await audit.stop()


def test_a_home_is_sealed_and_verified_from_the_command_line(tmp_path: Path) -> None:
    home = tmp_path / "home"
    code, _ = _hatidata("init", "--home", str(home), "--org", "Acme")
    assert code == 0
    asyncio.run(_fill(home))
    code, sealed = _hatidata("audit", "seal", "--home", str(home))
    assert code == 0
    assert len(sealed["sealed"]) in {2, 3}  # today is not finished; just after midnight neither is yesterday
    code, report = _hatidata("audit", "verify", "--home", str(home))
    assert code == 0
    assert (report["sound"], report["signed"], report["records"], report["unsealed_objects"]) == (True, True, 3, 0)
    (path,) = (home / "audit" / "queries").rglob("*.jsonl.gz")
    path.unlink()
    code, report = _hatidata("audit", "verify", "--home", str(home))
    assert code == 1
    assert {fault["kind"] for fault in report["faults"]} >= {"missing_object"}
    assert _hatidata("audit", "verify", "--home", str(tmp_path / "nowhere"))[0] == 1
