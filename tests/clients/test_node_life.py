"""A node's life: a control plane that dies is survived, figures are told, SIGTERM lets a running statement finish."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import threading
import time
from pathlib import Path

import duckdb
import httpx
import psycopg
import pytest

from tests.clients.conftest import STATE, TABLES
from tests.support.stack import running_stack


def test_the_node_outlives_its_control_plane_and_drains_on_sigterm(tmp_path: Path) -> None:
    data = tmp_path / "data"
    for name, sql in TABLES.items():
        path = data / f"{name}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        with duckdb.connect(":memory:") as connection:
            connection.execute(f"COPY ({sql}) TO '{path}' (FORMAT parquet)")
    with running_stack(tmp_path, data, state=STATE) as stack, contextlib.ExitStack() as closing:
        key = stack.keys["ana"]
        ready = httpx.get(f"{stack.metrics_url}/readyz", trust_env=False)
        assert (ready.status_code, ready.json()["faults"]) == (200, [])
        with stack.connect(key) as held:
            control = json.loads((stack.home / "run" / "control.json").read_text())["pid"]
            os.kill(control, signal.SIGKILL)
            assert held.execute("SELECT count(*) FROM sales.customers").fetchall() == [(500,)]
            assert stack.query(key, "SELECT count(*) FROM sales.customers") == [(500,)]
        figures = httpx.get(f"{stack.metrics_url}/metrics", trust_env=False).text
        assert 'hatidata_statements_total{outcome="succeeded"}' in figures
        assert "ssn" not in figures
        assert "sales" not in figures

        rows: list[int] = []
        busy, idle = stack.connect(key), stack.connect(key)
        closing.callback(busy.close)
        closing.callback(idle.close)

        def read() -> None:
            sql = "SELECT count(*) FROM range(12000) a(x), range(12000) b(y) WHERE x * 3 < y * 2 + 7"
            rows.extend(row[0] for row in busy.execute(sql).fetchall())

        reading = threading.Thread(target=read)
        reading.start()
        deadline = time.monotonic() + 10
        while "hatidata_statements_running 1.0" not in httpx.get(f"{stack.metrics_url}/metrics", trust_env=False).text:
            assert time.monotonic() < deadline or rows
            if rows:
                break
        assert stack.stop() == 0
        reading.join(30)
        assert len(rows) == 1
        with pytest.raises(psycopg.OperationalError) as ended:
            idle.execute("SELECT 1")
        assert ended.value.sqlstate in ("57P01", None)
