"""Full reads as people's own clients do them: psql, psycopg 3 and asyncpg, each in a process of its own.

python -m benchmarks.readers psycopg|asyncpg TABLE   (where and as whom in the environment; prints rows and seconds)
"""

from __future__ import annotations

import asyncio
import gc
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.wire import Door

TIMEOUT_S = 300.0
READERS = ("psql", "psycopg", "asyncpg")
_DISCARD = "/dev/null"


def missing(reader: str) -> str:
    """Why a reader cannot run here, or an empty string."""
    if reader == "psql":
        return "" if shutil.which("psql") else "psql is not installed"
    try:
        __import__(reader)
    except ImportError:
        return f"{reader} is not installed"
    return ""


def read(reader: str, door: Door, table: str, rows: int) -> float:
    """Seconds of a full read of `table` by `psql`, `psycopg` or `asyncpg`; of psql its start too.

    Raises:
        RuntimeError: it failed, or read another number of rows.
    """
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("PG")},
        "PGHOST": door.host, "PGPORT": str(door.port), "PGUSER": door.user, "PGPASSWORD": door.password,
        "PGDATABASE": door.database, "PGSSLMODE": "require", "PGGSSENCMODE": "disable",
    }  # fmt: skip
    if reader == "psql":
        command = ["psql", "-X", "-q", "-A", "-t", "-o", _DISCARD, "-c", f"SELECT * FROM {table}"]
    else:
        command = [sys.executable, "-m", "benchmarks.readers", reader, table]
    began = time.perf_counter()
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, timeout=TIMEOUT_S,
        stdin=subprocess.DEVNULL, cwd=Path(__file__).resolve().parents[1],
    )  # fmt: skip
    took = time.perf_counter() - began
    if done.returncode or "ERROR" in done.stderr:
        raise RuntimeError(f"{reader}: {done.stderr[-300:]}")
    if reader == "psql":
        return took
    found, seconds = done.stdout.split()
    if int(found) != rows:
        raise RuntimeError(f"{reader} read {found} rows")
    return float(seconds)


def _psycopg(table: str) -> tuple[int, float]:
    import psycopg

    with psycopg.connect(autocommit=True) as connection, connection.cursor(binary=True) as cursor:
        began = time.perf_counter()
        cursor.execute(f"SELECT * FROM {table}".encode(), prepare=False)
        rows = len(cursor.fetchall())
        return rows, time.perf_counter() - began


async def _asyncpg(table: str) -> tuple[int, float]:
    import asyncpg

    connection = await asyncpg.connect(ssl="require")
    began = time.perf_counter()
    rows = len(await connection.fetch(f"SELECT * FROM {table}"))
    took = time.perf_counter() - began
    connection.terminate()
    return rows, took


def main(reader: str, table: str) -> None:
    """Read once, and say how many rows in how many seconds."""
    gc.disable()  # the collector looks at sixteen million values again and again: no server's work
    rows, took = _psycopg(table) if reader == "psycopg" else asyncio.run(_asyncpg(table))
    print(rows, took)


if __name__ == "__main__":
    main(*sys.argv[1:3])
