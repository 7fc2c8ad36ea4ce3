"""Many connections at once, by pgbench: statements a second, and server CPU for each."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from benchmarks import processes
from benchmarks.wire import Door
from tests.support.postgres15 import BINARIES

CONNECTIONS = 32
_PGBENCH = BINARIES / "pgbench"


@dataclass(frozen=True)
class Rate:
    """What a crowd got through."""

    per_s: float
    cpu_ms: float
    """Server CPU of a statement."""


def missing() -> str:
    """Why it cannot run here, or an empty string."""
    return "" if _PGBENCH.exists() else "pgbench is not installed"


def rate(door: Door, pid: int, sql: str, seconds: int, *, tls: bool = True) -> Rate:
    """`sql` as simple queries on `CONNECTIONS` connections for `seconds`.

    Raises:
        RuntimeError: pgbench failed, or statements did.
    """
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("PG")},
        "PGHOST": door.host, "PGPORT": str(door.port), "PGUSER": door.user, "PGPASSWORD": door.password,
        "PGDATABASE": door.database, "PGSSLMODE": "require" if tls else "disable", "PGGSSENCMODE": "disable",
    }  # fmt: skip
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as script:
        script.write(sql + ";\n")
        script.flush()
        command = [
            _PGBENCH,
            "-n",
            "-M",
            "simple",
            "-f",
            script.name,
            "-c",
            str(CONNECTIONS),
            "-j",
            "2",
            "-T",
            str(seconds),
        ]
        before = processes.cpu_s(pid)
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False, timeout=seconds + 60, cwd=Path("/")
        )
        cpu = processes.cpu_s(pid) - before
    made = re.search(r"transactions actually processed: (\d+)", done.stdout)
    speed = re.search(r"tps = ([\d.]+)", done.stdout)
    if done.returncode or made is None or speed is None or not int(made[1]):
        raise RuntimeError(f"pgbench: {done.stderr[-300:]}")
    return Rate(float(speed[1]), cpu * 1000 / int(made[1]))
