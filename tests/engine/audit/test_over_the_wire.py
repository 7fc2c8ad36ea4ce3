"""The audit of a whole warehouse over its real ports: what a client does is found, redacted, once."""

import contextlib
import json
import signal
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.engine.audit.records import files, lines
from tests.support.stack import Stack, running_stack

STATE = {
    "version": 1,
    "users": [{"email": "ana@acme.example", "organization": "1", "role": "analyst"}],
    "keys": [
        {"name": "ana", "user": "ana@acme.example", "scopes": ["read_only"]},
        {
            "name": "bot",
            "user": "ana@acme.example",
            "scopes": ["agent"],
            "agent": {"id": "bot-7", "framework": "langchain"},
        },
    ],
    "schemas": [{"name": "sales", "organization": "1"}],
    "policies": [
        {
            "name": "ssn",
            "type": "mask",
            "table": "sales.customers",
            "column": "ssn",
            "function": "partial",
            "visible": 4,
            "exempt_roles": [],
        }
    ],
}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("warehouse")
    (folder / "data" / "sales").mkdir(parents=True)
    table = pa.table({"id": list(range(100)), "ssn": [f"123-45-{n:04d}" for n in range(100)]})
    pq.write_table(table, folder / "data" / "sales" / "customers.parquet")
    with running_stack(folder, folder / "data", state=STATE) as running:
        yield running


def _find(stack: Stack, deadline_s: float = 15.0, **filters: str) -> list[dict[str, Any]]:
    """Records that the REST API finds, once there is one."""
    deadline = time.monotonic() + deadline_s
    with stack.api() as api:
        while True:
            items = (
                api.get("/v1/environments/production/audit/queries", params=filters).raise_for_status().json()["items"]
            )
            if items or time.monotonic() > deadline:
                return list(items)
            time.sleep(0.1)


def test_w4_13_a_value_in_literal_comment_or_parameter_is_redacted_in_the_audit(stack: Stack) -> None:
    with stack.connect(stack.keys["ana"]) as connection:
        connection.execute(
            "SELECT count(*) AS tag_redacted FROM sales.customers /* for bob@acme.example */"
            " WHERE ssn = '987-65-4321' OR ssn = %s",
            ("4111 1111 1111 1111",),
        ).fetchall()
    (record,) = _find(stack, text="tag_redacted")
    assert "[REDACTED:SSN]" in record["sql"]
    assert "[REDACTED:EMAIL]" in record["sql"]
    assert record["parameters"] == ["[REDACTED:CARD]"]
    everything = b"".join(files(stack.home / "audit").values())
    shown = json.dumps(lines(files(stack.home / "audit"))) + json.dumps(lines(files(stack.home / "audit"), "sessions/"))
    assert everything
    for value in ("987-65-4321", "bob@acme.example", "4111 1111"):
        assert value not in shown


def test_w4_15_results_are_never_redacted(stack: Stack) -> None:
    assert stack.query(stack.keys["ana"], "SELECT '987-65-4321' AS kept") == [("987-65-4321",)]


def test_w5_4_the_record_of_a_real_query_holds_every_promised_field(stack: Stack) -> None:
    rows = stack.query(stack.keys["bot"], "SELECT id, ssn AS tag_fields FROM sales.customers WHERE id < 5")
    assert len(rows) == 5
    (record,) = _find(stack, text="tag_fields")
    assert record["user"] == "ana@acme.example"
    assert record["source_ip"] == "127.0.0.1"
    assert record["tables"] == ["sales.customers"]
    assert record["rows_returned"] == 5
    assert record["columns_masked"] == ["sales.customers.ssn"]
    assert record["execution_ms"] > 0
    assert record["cache_status"] in {"hit", "partial", "miss", "none"}
    assert any(verdict["policy"] == "ssn" and verdict["reason"] for verdict in record["verdicts"])
    assert (record["agent_id"], record["agent_framework"]) == ("bot-7", "langchain")
    assert record["status"] == "succeeded"


def test_w5_1_denied_and_failed_statements_are_audited_too(stack: Stack) -> None:
    with stack.connect(stack.keys["ana"]) as connection:
        for sql in (
            "SELECT tag_missing FROM sales.nothing_here",
            "SELECT tag_failed, CAST(ssn AS INTEGER) FROM (SELECT 1 AS tag_failed, ssn FROM sales.customers)",
            "SELECT tag_syntax FROM FROM",
            "COPY sales.customers TO 'tag_copy'",
        ):
            with contextlib.suppress(psycopg.Error):
                connection.execute(sql.encode()).fetchall()
    for tag in ("tag_missing", "tag_failed", "tag_syntax", "tag_copy"):
        (record,) = _find(stack, text=tag)
        assert record["status"] in {"denied", "failed"}, tag
        assert record["error_code"], tag
        assert record["sqlstate"], tag


def test_w5_1_a_query_on_a_killed_node_is_interrupted_and_the_audit_stays_sound(stack: Stack) -> None:
    with stack.connect(stack.keys["ana"]) as connection:
        for number in range(20):
            connection.execute(f"SELECT {number} AS tag_before_kill").fetchall()
        with connection.cursor("held") as cursor:
            connection.execute("BEGIN")
            with contextlib.suppress(psycopg.Error):
                cursor.execute("SELECT a.id AS tag_killed FROM sales.customers a, sales.customers b, sales.customers c")
                cursor.fetchmany(1)
            stack.stop(signal.SIGKILL)
            with contextlib.suppress(psycopg.Error):
                connection.close()
    stack.start()
    before = _find(stack, text="tag_before_kill", limit="100")
    assert len(before) == 20
    for record in _find(stack, deadline_s=3, text="tag_killed"):
        assert record["status"] in {"interrupted", "failed", "denied"}
    ids = Counter(record["query_id"] for record in lines(files(stack.home / "audit")))
    assert max(ids.values()) == 1
    report = json.loads(stack.run("audit", "verify", "--home", str(stack.home), "--json").stdout)
    assert report["sound"], report["faults"]
