"""One warehouse with two organizations, masks and views, at which clients look around over the real port."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pytest

from tests.support.stack import Stack, running_stack

STATE = {
    "version": 1,
    "organizations": [{"id": "1", "name": "Acme"}, {"id": "2", "name": "Globex"}],
    "schemas": [{"name": "globex", "organization": "2"}],
    "users": [
        {"email": "ana@acme.example", "organization": "1", "role": "analyst"},
        {"email": "gil@globex.example", "organization": "2", "role": "analyst"},
        {"email": "adm@acme.example", "organization": "1", "role": "admin"},
        {"email": "aud@acme.example", "organization": "1", "role": "auditor"},
    ],
    "keys": [
        {"name": "ana", "user": "ana@acme.example", "scopes": ["read_only"]},
        {"name": "gil", "user": "gil@globex.example", "scopes": ["read_only"]},
        {"name": "aud", "user": "aud@acme.example", "scopes": ["audit:read", "query:read"]},
        {"name": "adm", "user": "adm@acme.example", "scopes": ["admin"]},
        {"name": "narrow", "user": "ana@acme.example", "scopes": ["read_only"], "allowed_tables": ["sales.v_orders"]},
        {"name": "mem", "user": "ana@acme.example", "scopes": ["memory:read"]},
    ],
    "views": [
        {"name": "sales.v_orders", "sql": "SELECT id, amount FROM sales.orders"},
        {
            "name": "sales.v_totals",
            "sql": "SELECT c.name, sum(v.amount) AS total FROM sales.v_orders v"
            " JOIN sales.customers c ON c.id = v.id GROUP BY ALL",
        },
    ],
    "policies": [
        {
            "name": "ssn",
            "type": "mask",
            "table": "sales.customers",
            "column": "ssn",
            "function": "partial",
            "visible": 4,
        },
        {
            "name": "pay",
            "type": "mask",
            "table": "sales.customers",
            "column": "pay",
            "function": "full",
            "as_text": True,
        },
    ],
}


@contextmanager
def running_warehouse(folder: Path) -> Iterator[Stack]:
    """A control plane and a node over it, in `folder`."""
    data = folder / "data"
    for schema in ("main", "sales", "globex"):
        (data / schema).mkdir(parents=True)
    with duckdb.connect() as made:
        made.execute(
            "copy (select 1::int id, 'Ada' as name, '123-45-6789' ssn, 100::int pay union all"
            f" select 2, 'Bob', '987-65-4321', 200 order by 1) to '{data}/sales/customers.parquet'"
        )
        made.execute(
            "copy (select 1::bigint id, 1::int customer_id, 12.50::decimal(12,2) amount, ['a','b'] tags,"
            f" date '2024-01-01' d, timestamp '2024-01-01 10:00:00' ts, true ok) to '{data}/sales/orders.parquet'"
        )
        made.execute(f"copy (select 1::int a) to '{data}/main/t.parquet'")
        made.execute(f"copy (select 1::int zz_secret) to '{data}/globex/zz_hidden.parquet'")
    with running_stack(folder, data, state=STATE) as running:
        yield running


def environment(stack: Stack, key: str = "ana") -> dict[str, str]:
    return {
        **os.environ,
        "PGHOST": "localhost",
        "PGPORT": str(stack.port),
        "PGUSER": "x",
        "PGPASSWORD": stack.keys[key],
        "PGDATABASE": "production",
        "PGSSLMODE": "verify-full",
        "PGSSLROOTCERT": str(stack.ca),
    }


def psql(stack: Stack, *commands: str, key: str = "ana") -> str:
    if shutil.which("psql") is None:
        pytest.skip("psql is not installed")
    arguments = ["psql", "-X", "-A", "-t", "-v", "ON_ERROR_STOP=1"]
    for command in commands:
        arguments += ["-c", command]
    done = subprocess.run(arguments, env=environment(stack, key), capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout
