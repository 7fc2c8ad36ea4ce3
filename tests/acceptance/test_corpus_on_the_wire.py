"""The open attack corpus through the real port with a real client: whatever the analyst sends, both twins answer alike.

The twins (`../shared/corpus/twin_a.sql`, `twin_b.sql`) differ only in what this client may not see.
Skipped by name when the corpus is absent.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import pytest

from tests.support.stack import Stack, running_stack

CORPUS = Path(__file__).resolve().parents[3] / "shared" / "corpus"
pytestmark = pytest.mark.skipif(not CORPUS.is_dir(), reason="the shared corpus is absent")

MARKS = re.compile(r"HID|@vis\.example|111-11-1|222-22-2|333-33-3|911-19|822-28|733-37|555000|777000")
"""What must never leave the node: hidden values, and the masked parts of visible ones."""

STATE = {
    "version": 1,
    "organizations": [{"id": "1", "name": "Acme"}, {"id": "2", "name": "Globex"}],
    "schemas": [{"name": "sales", "organization": "shared"}, {"name": "app", "organization": "shared"}],
    "users": [{"email": "ana@acme.example", "organization": "1", "role": "analyst"}],
    "keys": [{"name": "ana", "user": "ana@acme.example", "scopes": ["read_only"]}],
    "views": [
        {"name": "sales.v_customers", "sql": "SELECT id, org_id, email AS contact, ssn AS code FROM sales.customers"}
    ],
    "policies": [
        {"name": "own-customers", "type": "row_filter", "table": "sales.customers", "filter": "org_id = {org_id}"},
        {"name": "own-orders", "type": "row_filter", "table": "sales.orders", "filter": "org_id = {org_id}"},
        {"name": "ssn", "type": "mask", "table": "sales.customers", "column": "ssn", "function": "partial"},
        {"name": "phone", "type": "mask", "table": "sales.customers", "column": "phone", "function": "full"},
        {"name": "email", "type": "mask", "table": "sales.customers", "column": "email", "function": "hash"},
    ],
}

BULK = {
    "a": "INSERT INTO sales.customers SELECT 1000 + i, 2, 'HIDa' || i, 'HIDDEN' || i || '@two.example', "
    "'555-55-HID' || i, '+1-HID' || i, 50000 + i FROM range(200000) t(i)",
    "b": "INSERT INTO sales.customers SELECT 700000 + i, 3, 'HIDb' || i, 'HIDDENb' || i || '@two.example', "
    "'155-55-HID' || i, '+9-HID' || i, -90000 - i FROM range(200000) t(i)",
}


@dataclass(frozen=True)
class Seen:
    """Everything a client can observe of one statement."""

    columns: tuple[tuple[str, int], ...]
    rows: tuple[Any, ...]
    tag: str
    error: tuple[Any, ...]


def cases() -> list[dict[str, Any]]:
    if not CORPUS.is_dir():
        return []
    return [json.loads(line) for line in (CORPUS / "bypasses.jsonl").read_text().splitlines()]


def write_twin(folder: Path, twin: str) -> Path:
    connection = duckdb.connect()
    connection.execute((CORPUS / f"twin_{twin}.sql").read_text())
    connection.execute(BULK[twin])
    for schema, table in connection.execute(
        "SELECT schema_name, table_name FROM duckdb_tables() WHERE NOT internal"
    ).fetchall():
        target = folder / schema
        target.mkdir(parents=True, exist_ok=True)
        connection.execute(f"COPY {schema}.{table} TO '{target / table}.parquet' (FORMAT parquet)")
    connection.close()
    return folder


@pytest.fixture(scope="module")
def twins(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, tuple[Stack, str]]]:
    folder = tmp_path_factory.mktemp("twins")
    data = {twin: write_twin(folder / twin, twin) for twin in "ab"}
    with running_stack(folder / "one", data["a"]) as a, running_stack(folder / "two", data["b"]) as b:
        yield {"a": (a, a.apply(STATE)["ana"]), "b": (b, b.apply(STATE)["ana"])}


def observe(connection: psycopg.Connection[Any], sql: str) -> Seen:
    ordered = "ORDER BY" in sql.upper()
    try:
        cursor = connection.execute(sql.encode(), prepare=False)
    except psycopg.Error as error:
        d = error.diag
        facts = (d.sqlstate, d.message_primary, d.message_detail, d.message_hint, d.statement_position)
        return Seen((), (), "", tuple(re.sub(r"[0-9a-f]{8,}", "*", f) if f else f for f in facts))
    columns = tuple((c.name, c.type_code) for c in cursor.description or ())
    rows = [tuple(map(repr, row)) for row in cursor.fetchall()] if cursor.description else []
    return Seen(columns, tuple(rows if ordered else sorted(rows)), cursor.statusmessage or "", ())


def play(stack: Stack, key: str, case: dict[str, Any]) -> tuple[Seen, ...]:
    with stack.connect(key, autocommit=True) as connection:
        connection.execute("SET statement_timeout = '8s'")
        seen = [observe(connection, statement) for statement in case["setup"]]
        return (*seen, observe(connection, case["sql"]))


@pytest.mark.parametrize("case", cases(), ids=lambda case: f"{case['id']}-{case['class']}")
def test_w4_8_twins_answer_alike(twins: dict[str, tuple[Stack, str]], case: dict[str, Any]) -> None:
    """Nothing differs between twins, no mark appears, and the case ends as `accept` says."""
    a = play(*twins["a"], case)
    b = play(*twins["b"], case)
    assert a == b
    assert not MARKS.search(repr(a)), a
    final = a[-1]
    if final.error:
        allowed = {"deny", "error"} & set(case["accept"])
        assert allowed, f"a case that must run was refused: {final.error}"
    else:
        assert set(case["accept"]) & {"masked", "filtered", "allow"}, f"it ran and had to be refused: {final.rows[:5]}"
