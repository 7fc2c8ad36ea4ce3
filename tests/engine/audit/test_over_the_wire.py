"""The audit of a whole warehouse over its real ports: what a client does is found, redacted, once."""

import contextlib
import itertools
import json
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.engine.audit.records import files, lines
from tests.support.stack import Stack, hatidata, running_stack

_NUMBERS = itertools.count()
STATE = {
    "version": 1,
    "organizations": [{"id": "1", "name": "Acme"}, {"id": "2", "name": "Globex"}],
    "users": [{"email": "ana@acme.example", "organization": "1", "role": "analyst"}],
    "keys": [
        {"name": "ana", "user": "ana@acme.example", "scopes": ["read_only"]},
        {
            "name": "bot",
            "user": "ana@acme.example",
            "scopes": ["agent"],
            "agent": {"id": "bot-7", "framework": "langchain"},
        },
        {
            "name": "narrow",
            "user": "ana@acme.example",
            "scopes": ["read_only"],
            "allowed_tables": ["sales.customers"],
        },
    ],
    "schemas": [{"name": "sales", "organization": "1"}, {"name": "other", "organization": "2"}],
    "policies": [
        {
            "name": "ssn",
            "type": "mask",
            "table": "sales.customers",
            "column": "ssn",
            "function": "partial",
            "visible": 4,
            "exempt_roles": [],
        },
        {
            "name": "no-agents-on-salaries",
            "type": "condition",
            "effect": "deny",
            "audience": "agents",
            "tables": ["sales.salaries"],
        },
    ],
}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("warehouse")
    (folder / "data" / "sales").mkdir(parents=True)
    table = pa.table({"id": list(range(100)), "ssn": [f"123-45-{n:04d}" for n in range(100)]})
    for name in ("customers", "salaries", "plans"):
        pq.write_table(table, folder / "data" / "sales" / f"{name}.parquet")
    (folder / "data" / "other").mkdir()
    pq.write_table(table, folder / "data" / "other" / "secrets.parquet")
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
    assert record["cache_status"] in {"hit", "partial", "miss"}
    assert record["cache_bytes"] + record["store_bytes"] > 0 or record["cache_status"] == "hit"
    assert any(verdict["policy"] == "ssn" and verdict["reason"] for verdict in record["verdicts"])
    assert (record["agent_id"], record["agent_framework"]) == ("bot-7", "langchain")
    assert record["status"] == "succeeded"


def _choose(stack: Stack, **choice: Any) -> None:
    """Set what the audit keeps, and wait until the node decides by that."""
    with stack.api() as api:
        api.put("/v1/environments/production", json=choice).raise_for_status()
    stack.settle()


def _kept_of(stack: Stack, statements: list[tuple[bytes, tuple[str, ...]]]) -> list[dict[str, Any]]:
    """The records of these statements, in order, found by the name that their connection gave itself."""
    name = f"kept-{next(_NUMBERS)}"  # no clock's digits: one time in ten they are a card's, and redacted
    with stack.connect(stack.keys["ana"], application_name=name) as connection:
        for sql, parameters in statements:
            with contextlib.suppress(psycopg.Error):
                connection.execute(sql, parameters or None).fetchall()
    deadline = time.monotonic() + 15
    while True:
        found = [r for r in lines(files(stack.home / "audit")) if r["application_name"] == name]
        if len(found) >= len(statements) or time.monotonic() > deadline:
            return sorted(found, key=lambda record: str(record["started_at"]))
        time.sleep(0.1)


def test_h13_what_is_kept_of_sql_is_the_environments_choice(stack: Stack) -> None:
    statements: list[tuple[bytes, tuple[str, ...]]] = [
        (b"SELECT '123-45' || '-6789' AS secret_alias, MRN FROM (SELECT 'MRN-123456' AS MRN) -- a note", ()),
        (b"SELECT '123-45' AS other", ()),
        (b"SELECT count(*) FROM sales.customers WHERE ssn = %s", ("123-45",)),
        (b"SELEKT bob smith 'unclosed", ()),
    ]
    raw = ("123-45", "6789", "MRN-123456", "bob", "unclosed", "a note", "secret_alias")
    pattern = {"name": "PATIENT", "expression": "MRN-[0-9]{6}"}
    try:
        _choose(stack, audit_sql_form="fingerprint", redaction_patterns=[pattern])
        shapes = _kept_of(stack, statements)
        _choose(stack, audit_sql_form="none")
        nothing = _kept_of(stack, statements)
    finally:
        _choose(stack, audit_sql_form="redacted")
    texts = _kept_of(stack, statements)
    _choose(stack, redaction_patterns=[])
    assert [len(kept) for kept in (shapes, nothing, texts)] == [4, 4, 4]

    assert {record["sql_form"] for record in shapes} == {"fingerprint"}
    shown = json.dumps([[r["sql"], r["parameters"], r["error_reason"], r["verdicts"]] for r in shapes])
    assert not [value for value in raw if value in shown]
    digest = shapes[1]["sql"].split("<string:")[1][:16]
    assert f"<string:{digest}>" in shapes[0]["sql"], "equal literals are found by their keyed digest"
    told = hatidata("audit", "literal", "--home", str(stack.home), given="123-45\n")
    assert told.stdout.strip() == digest
    assert shapes[2]["parameters"] == [f"<parameter:{digest}>"]
    assert "sales . customers" in shapes[2]["sql"]

    assert {(r["sql"], r["sql_form"], tuple(r["parameters"])) for r in nothing} == {("", "none", ())}
    assert nothing[2]["tables"] == ["sales.customers"]
    assert "[REDACTED:PATIENT]" in texts[0]["sql"]
    assert "MRN-123456" not in json.dumps(texts)
    digests = {kept[2]["fingerprint"] for kept in (shapes, texts)}
    assert len(digests) == 1, "the same governed statement, whatever is kept of its text"
    assert digests != {""}


def _denied(stack: Stack, key: str, sql: str, tag: str) -> tuple[list[str], dict[str, tuple[str, str]]]:
    """Tables and verdicts (policy -> effect, reason) in the record of a statement that is refused."""
    with stack.connect(stack.keys[key]) as connection, pytest.raises(psycopg.Error):
        connection.execute(sql.encode()).fetchall()
    (record,) = _find(stack, text=tag)
    assert record["status"] == "denied"
    assert all(verdict["reason"] for verdict in record["verdicts"])
    return record["tables"], {v["policy"]: (v["effect"], v.get("table", "")) for v in record["verdicts"]}


def test_w5_4_a_denied_statement_holds_its_tables_and_every_verdict(stack: Stack) -> None:
    join = "SELECT 1 AS {} FROM sales.customers c JOIN {} s USING (id)"
    tables, verdicts = _denied(stack, "bot", join.format("tag_condition", "sales.salaries"), "tag_condition")
    assert sorted(tables) == ["sales.customers", "sales.salaries"]
    assert verdicts["no-agents-on-salaries"] == ("denied", "sales.salaries")
    assert verdicts["ssn"] == ("applied", "sales.customers")
    assert verdicts["role"][0] == verdicts["scope"][0] == verdicts["organization_wall"][0] == "allowed"
    assert verdicts["permission_denied"][0] == "denied"

    tables, verdicts = _denied(stack, "narrow", join.format("tag_narrow", "sales.plans"), "tag_narrow")
    assert sorted(tables) == ["sales.customers", "sales.plans"]
    assert verdicts["allowed_tables"] == ("denied", "sales.plans")
    assert verdicts["role"][0] == "allowed"

    tables, verdicts = _denied(stack, "ana", join.format("tag_foreign", "other.secrets"), "tag_foreign")
    assert tables == ["sales.customers"], "another organization's table is named nowhere but in the text"
    assert verdicts["table_unknown"][0] == "denied"


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


def test_w5_1_what_changes_a_session_is_an_event_with_its_values_redacted(stack: Stack) -> None:
    with stack.connect(stack.keys["bot"]) as connection:
        connection.execute("SET hatidata.dialect = 'snowflake'")
        connection.execute("SET application_name = 'of bob@example.com'")
        connection.execute("RESET hatidata.dialect")
        connection.execute("DISCARD ALL")
        for refused in ("SET hatidata.agent_id = 'another'", "SET \"me 123-45-6789\" = 'x'"):
            with pytest.raises(psycopg.Error):
                connection.execute(refused.encode())
    deadline = time.monotonic() + 15
    events: list[dict[str, Any]] = []
    while len(events) < 6 and time.monotonic() < deadline:
        time.sleep(0.1)
        found = lines(files(stack.home / "audit"), "sessions/")
        events = [event for event in found if event["kind"].startswith("command") and event["agent_id"] == "bot-7"]
    told = [(event["kind"], event["detail"], event["extra"]["parameters"]) for event in events]
    assert told[:4] == [
        ("command", "set", ["hatidata.dialect = snowflake"]),
        ("command", "set", ["application_name = of [REDACTED:EMAIL]"]),
        ("command", "reset", ["hatidata.dialect = DEFAULT"]),
        ("command", "discard_all", []),
    ]
    assert told[4] == ("command_refused", "claim_mismatch", ["hatidata.agent_id = another"])
    assert told[5][0] == "command_refused"
    assert told[5][2] == ["a parameter of the client's own"]
    assert {event["user"] for event in events} == {"ana@acme.example"}


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


def test_w5_1_with_durability_in_the_store_a_record_is_there_when_its_statement_is_complete(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    stored = ("--audit-durability", "store")
    with running_stack(tmp_path, tmp_path / "data", extra=stored) as careful, careful.connect(careful.owner_key) as one:
        for number in range(5):
            one.execute(f"SELECT {number} AS careful").fetchall()
            assert f"SELECT {number} AS careful" in [r["sql"] for r in lines(files(careful.home / "audit"))]
        with contextlib.suppress(psycopg.Error):
            one.execute("SELECT careful FROM nowhere.at_all")
        assert "SELECT careful FROM nowhere.at_all" in [r["sql"] for r in lines(files(careful.home / "audit"))]
    wrong = hatidata("serve", "--home", str(careful.home), "--data", str(tmp_path), "--audit-durability", "x")
    assert wrong.returncode == 1
