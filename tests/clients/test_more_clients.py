"""The same list of queries through clients of other kinds; one that is not installed is skipped by name."""

from __future__ import annotations

import datetime
import json
import os
import shutil
import subprocess
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.clients.test_clients import QUERIES, expected
from tests.support.stack import Stack

NODE = shutil.which("node")
MODULES = Path(__file__).parent / "node"
PGBENCH = shutil.which("pgbench") or next(
    (str(path) for path in sorted(Path("/usr/lib/postgresql").glob("*/bin/pgbench"))), None
)


def as_text(value: Any) -> str | None:
    """A value as PostgreSQL's text format spells it."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "t" if value else "f"
    if isinstance(value, float):
        return repr(value).removesuffix(".0")
    if isinstance(value, datetime.datetime):
        return value.isoformat(" ")
    if isinstance(value, list | tuple):
        return "{" + ",".join(str(as_text(item)) for item in value) + "}"
    return format(value, "f") if isinstance(value, Decimal) else str(value)


@pytest.mark.client("node")
@pytest.mark.parametrize("client", ["pg", "postgres"])
def test_node_clients_get_what_duckdb_holds(stack: Stack, client: str) -> None:
    if NODE is None or not (MODULES / "node_modules" / client).exists():
        pytest.skip(f"node and its module {client} are not installed (`npm ci` in tests/clients/node)")
    job = {"client": client, "port": stack.port, "key": stack.keys["ana"], "ca": stack.ca.read_text()}
    done = subprocess.run(
        [NODE, "ask.js"], input=json.dumps(job | {"queries": QUERIES}), capture_output=True, text=True, timeout=120,
        cwd=MODULES, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    for name, sql in QUERIES.items():
        assert [tuple(row) for row in found[name]] == [tuple(map(as_text, row)) for row in expected(sql)], name


@pytest.mark.client("adbc")
def test_adbc_gets_what_duckdb_holds(stack: Stack) -> None:
    dbapi = pytest.importorskip("adbc_driver_postgresql.dbapi")
    uri = (
        f"postgresql://x:{stack.keys['ana']}@localhost:{stack.port}/production?sslmode=verify-full"
        f"&sslrootcert={stack.ca}"
    )
    with dbapi.connect(uri, autocommit=True) as connection, connection.cursor() as cursor:
        for name, sql in QUERIES.items():
            cursor.execute(sql)
            rows = [tuple(row) for row in cursor.fetchall()]
            wanted = expected(sql)
            # ADBC hands numeric over as text; NaN-free columns otherwise have their own types.
            shown = [
                tuple(as_text(v) if isinstance(w, Decimal) else v for v, w in zip(row, want, strict=True))
                for row, want in zip(rows, wanted, strict=True)
            ]
            assert shown == [tuple(as_text(w) if isinstance(w, Decimal) else w for w in want) for want in wanted], name
        objects = connection.adbc_get_objects(depth="tables").read_all().to_pylist()
        named = {t["table_name"] for c in objects for s in c["catalog_db_schemas"] for t in s["db_schema_tables"]}
        assert {"customers", "numbers"} <= named
        assert "secrets" not in named


@pytest.mark.client("pgbench")
@pytest.mark.parametrize("protocol", ["simple", "extended", "prepared"])
def test_pgbench_runs(stack: Stack, tmp_path: Path, protocol: str) -> None:
    if PGBENCH is None:
        pytest.skip("pgbench is not installed")
    script = tmp_path / "script.sql"
    script.write_text("\\set id random(0, 998)\nSELECT count(*) FROM sales.customers WHERE id >= :id;\nSELECT 1;\n")
    environment = {
        "PATH": os.environ["PATH"], "PGPASSWORD": stack.keys["ana"], "PGSSLMODE": "verify-full",
        "PGSSLROOTCERT": str(stack.ca),
    }  # fmt: skip
    done = subprocess.run(
        [
            PGBENCH, "-n", "-M", protocol, "-c", "4", "-t", "5", "-f", str(script), "-h", "localhost",
            "-p", str(stack.port), "-U", "x", "production",
        ],
        capture_output=True, text=True, timeout=120, env=environment, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "number of transactions actually processed: 20/20" in done.stdout


@pytest.mark.client("pgbench")
def test_pgbench_pipelines_of_libpq(stack: Stack, tmp_path: Path) -> None:
    if PGBENCH is None:
        pytest.skip("pgbench is not installed")
    script = tmp_path / "pipeline.sql"
    script.write_text("\\startpipeline\nSELECT 1;\nSELECT max(id) FROM sales.customers;\nSELECT 2;\n\\endpipeline\n")
    environment = {
        "PATH": os.environ["PATH"], "PGPASSWORD": stack.keys["ana"], "PGSSLMODE": "verify-full",
        "PGSSLROOTCERT": str(stack.ca),
    }  # fmt: skip
    done = subprocess.run(
        [
            PGBENCH, "-n", "-M", "extended", "-c", "2", "-t", "5", "-f", str(script), "-h", "localhost",
            "-p", str(stack.port), "-U", "x", "production",
        ],
        capture_output=True, text=True, timeout=120, env=environment, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "number of transactions actually processed: 10/10" in done.stdout
