"""The pip-installable DuckDB server that is fastest here, in an environment of its own: skipped by name when absent.

    python -m venv .bench/buenavista
    .bench/buenavista/bin/pip install buenavista==0.5.0 duckdb==1.5.5 pyarrow python-dateutil

riffq and teleduck (built on riffq) need glibc 2.38; gizmosql and qod fetch binaries when they start.
"""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

NAME = "buenavista 0.5"
_FOLDER = Path(__file__).resolve().parents[1] / ".bench"
_PYTHON = _FOLDER / "buenavista" / "bin" / "python"
_START_S = 30.0


def missing() -> str:
    """Why it cannot run here, or an empty string."""
    return "" if _PYTHON.exists() else "not installed in .bench/buenavista (benchmarks/peers.py says how)"


@contextmanager
def running(lake: Path) -> Iterator[tuple[int, int]]:
    """Port and pid of the server over the bench's tables, in the clear and without a password: all it offers."""
    database = _FOLDER / "buenavista.duckdb"
    if not database.exists():
        with duckdb.connect(str(database)) as made:
            made.execute(f"CREATE TABLE lineitem AS FROM '{lake}/main/lineitem.parquet'")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = int(probe.getsockname()[1])
    process = subprocess.Popen(
        [_PYTHON, "-m", "buenavista.examples.duckdb_postgres", str(database)],
        env={**os.environ, "BUENAVISTA_HOST": "127.0.0.1", "BUENAVISTA_PORT": str(port)},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        _await(port, process)
        yield port, process.pid
    finally:
        process.kill()
        process.wait()


def _await(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError("buenavista did not start")
