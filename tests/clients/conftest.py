"""One warehouse for all clients: two organizations, a filter, masks, and a table large enough to stream."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from tests.support.stack import Stack, running_stack

STATE = {
    "version": 1,
    "organizations": [{"id": "1", "name": "Acme"}, {"id": "2", "name": "Globex"}],
    "schemas": [{"name": "sales", "organization": "shared"}, {"name": "globex", "organization": "2"}],
    "users": [
        {"email": "ana@acme.example", "organization": "1", "role": "analyst"},
        {"email": "guy@globex.example", "organization": "2", "role": "analyst"},
        {"email": "eve@acme.example", "organization": "1", "role": "analyst"},
    ],
    "keys": [
        {"name": "ana", "user": "ana@acme.example", "scopes": ["read_only"]},
        {
            "name": "bot",
            "user": "ana@acme.example",
            "scopes": ["agent"],
            "agent": {"id": "bot-7", "framework": "langchain"},
            "networks": ["127.0.0.0/8"],
        },
        {"name": "far", "user": "ana@acme.example", "scopes": ["read_only"], "networks": ["10.0.0.0/8"]},
        {"name": "guy", "user": "guy@globex.example", "scopes": ["read_only"]},
        {"name": "eve", "user": "eve@acme.example", "scopes": ["read_only"]},
    ],
    "policies": [
        {"name": "own", "type": "row_filter", "table": "sales.customers", "filter": "org_id = {org_id}"},
        {
            "name": "ssn",
            "type": "mask",
            "table": "sales.customers",
            "column": "ssn",
            "function": "partial",
            "visible": 4,
        },
    ],
}

TABLES = {
    "sales/customers": """
        SELECT i::INTEGER AS id, (1 + i % 2)::INTEGER AS org_id, 'name ' || i AS name,
               (i * 1.25)::DECIMAL(12,2) AS balance, lpad(i::VARCHAR, 3, '0') || '-12-' || (1000 + i) AS ssn,
               DATE '2024-01-01' + i::INTEGER AS born, TIMESTAMP '2024-01-01 10:00:00' + INTERVAL (i) MINUTE AS seen,
               CASE WHEN i % 7 = 0 THEN NULL ELSE i % 3 = 0 END AS active, (i / 8)::DOUBLE AS score,
               [i, i + 1]::INTEGER[] AS pair
        FROM range(1000) t(i)""",
    "sales/numbers": "SELECT i::BIGINT AS n, 'text of number ' || i AS words FROM range(300000) t(i)",
    "globex/secrets": "SELECT 'globex' AS word",
}


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("clients")
    data: Path = folder / "data"
    for name, sql in TABLES.items():
        path = data / f"{name}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        with duckdb.connect(":memory:") as connection:
            connection.execute(f"COPY ({sql}) TO '{path}' (FORMAT parquet)")
    with running_stack(folder, data, state=STATE) as running:
        yield running
