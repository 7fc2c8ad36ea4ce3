"""A policy's life over the real ports: drafted, explained, measured, activated, gone back to; dialects of a session."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import pytest

from tests.support.stack import Stack, running_stack

STATE: dict[str, Any] = {
    "version": 1,
    "users": [
        {"email": "ana@acme.example", "organization": "1", "role": "analyst", "attributes": {"region": "emea"}},
        {"email": "adam@acme.example", "organization": "1", "role": "admin"},
    ],
    "keys": [
        {"name": "ana", "user": "ana@acme.example", "scopes": ["read_only"]},
        {"name": "snow", "user": "ana@acme.example", "scopes": ["read_only"], "dialect": "snowflake"},
        {"name": "adam", "user": "adam@acme.example", "scopes": ["admin"]},
    ],
    "policies": [
        {
            "name": "region",
            "type": "row_filter",
            "table": "s.t",
            "filter": "region = {region}",
            "exempt_roles": ["admin"],
        },
    ],
}
FOR_ANALYSTS = {"table": "s.t", "exempt_roles": ["admin"]}
STRICTER = [
    {"name": "region", "type": "row_filter", "filter": "region = {region} AND id < 3", **FOR_ANALYSTS},
    {"name": "ssn", "type": "mask", "column": "ssn", "function": "full", **FOR_ANALYSTS},
    {"name": "no-export", "type": "condition", "effect": "deny", "actions": ["export"], "roles": ["analyst"]},
]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("life")
    (folder / "lake" / "s").mkdir(parents=True)
    rows = "(1, 'emea', '111-11-1111'), (2, 'amer', '222-22-2222'), (3, 'emea', '333-33-3333')"
    with duckdb.connect() as connection:
        connection.execute(
            f"COPY (SELECT * FROM (VALUES {rows}) v(id, region, ssn)) TO "
            f"'{folder / 'lake' / 's' / 't.parquet'}' (FORMAT parquet)"
        )
    with running_stack(folder, folder / "lake", state=STATE) as running:
        yield running


def explained(stack: Stack, key: str, text: str) -> list[dict[str, Any]]:
    with stack.connect(stack.keys[key]) as connection:
        cursor = connection.execute(text.encode())
        names = [c.name for c in cursor.description or ()]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def audited(stack: Stack, count: int) -> None:
    """Wait until so many of ana's statements can be found in the query audit."""
    deadline = time.monotonic() + 30
    with stack.api(stack.keys["adam"]) as client:
        while time.monotonic() < deadline:
            found = client.get("/v1/environments/production/audit/queries", params={"user": "ana@acme.example"}).json()
            if len(found["items"]) >= count:
                return
            time.sleep(0.1)
    raise AssertionError("the audit does not tell of the queries")


def test_a_policy_is_drafted_tried_measured_activated_and_gone_back_to(stack: Stack, tmp_path: Path) -> None:
    ana, adam = stack.keys["ana"], stack.keys["adam"]
    everything = "SELECT id, ssn FROM s.t ORDER BY id"
    rows = stack.query(ana, everything)
    assert rows == [(1, "111-11-1111"), (3, "333-33-3333")]
    with stack.connect(ana) as connection, connection.cursor().copy("COPY (SELECT id FROM s.t) TO STDOUT") as copy:
        assert b"".join(copy) == b"1\n3\n"
    stack.query(ana, "SELECT id FROM s.t WHERE id = 4111111111111111")

    file = tmp_path / "stricter.yaml"
    file.write_text(json.dumps({"version": 1, "policies": STRICTER}))
    draft = json.loads(stack.run("policies", "draft", "-f", str(file), "--note", "try it", "--json", key=adam).stdout)
    number = draft["number"]
    assert stack.query(ana, everything) == rows  # not in force

    told = explained(stack, "adam", f"EXPLAIN POLICY FOR KEY 'ana' USING DRAFT {number} {everything}")
    assert [r["column"] for r in told if r["section"] == "masked_column"] == ["ssn"]
    assert any(' hd."id" <' in r["detail"].replace("(", " ") for r in told if r["section"] == "row_filter")
    now = explained(stack, "adam", f"EXPLAIN POLICY FOR KEY 'ana' {everything}")
    assert [r for r in now if r["section"] == "masked_column"] == []
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        stack.query(ana, f"EXPLAIN POLICY USING DRAFT {number} {everything}")
    with pytest.raises(psycopg.Error, match="no such draft"):
        stack.query(adam, f"EXPLAIN POLICY USING DRAFT {number + 1000} {everything}")

    audited(stack, 4)
    for new in (str(number), str(file)):
        report = json.loads(stack.run("policies", "impact", new, "--since", "1h", "--json", key=adam).stdout)
        by_ana = [c for c in report["changes"] if c["principal"].startswith("ana@acme.example (key ana")]
        changes = {(c["table"], c["aspect"]): c for c in by_ana}
        assert changes["s.t", "mask ssn"]["after"] == "full"
        assert changes["s.t", "filter region"]["after"].endswith("id < 3")
        assert changes["", "verdict"]["before"] == "allowed"
        assert "no-export" in changes["", "verdict"]["after"]
        reasons = {n["reason"] for n in report["not_replayed"]}
        assert reasons <= {"redacted literal", "EXPLAIN POLICY, which reads nothing"}
        assert "redacted literal" in reasons
        assert report["queries"] == report["replayed"] + sum(n["queries"] for n in report["not_replayed"])

    stack.run("policies", "activate", str(number), key=adam)
    stack.settle()
    assert stack.query(ana, everything) == [(1, "***")]
    with (
        stack.connect(ana) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
        connection.cursor().copy("COPY (SELECT id FROM s.t) TO STDOUT") as copy,
    ):
        list(copy)
    history = json.loads(stack.run("policies", "history", "--json", key=adam).stdout)["items"]
    assert [(v["cause"], v["note"]) for v in history[:1]] == [("draft", "try it")]
    stack.run("policies", "roll-back", str(history[1]["version"]), key=adam)
    stack.settle()
    assert stack.query(ana, everything) == rows
    assert "region changed" in stack.run("policies", "history", key=adam).stdout


def test_a_session_chooses_its_dialect_and_goes_back_to_its_keys(stack: Stack) -> None:
    with stack.connect(stack.keys["ana"]) as connection:
        assert connection.execute("SHOW hatidata.dialect").fetchone() == ("duckdb",)
        assert connection.execute("FROM s.t SELECT count(*)").fetchone() == (2,)
        connection.execute("SET hatidata.dialect = 'postgres'")
        assert connection.execute("SHOW hatidata.dialect").fetchone() == ("postgres",)
        assert connection.execute("SELECT upper(region)::text FROM s.t WHERE id = 1").fetchone() == ("EMEA",)
        with pytest.raises(psycopg.Error, match="cannot be translated exactly"):
            connection.execute("SELECT 5 / 2")
        with pytest.raises(psycopg.errors.InvalidParameterValue):
            connection.execute("SET hatidata.dialect = 'oracle'")
        connection.execute("RESET hatidata.dialect")
        assert connection.execute("FROM s.t SELECT count(*)").fetchone() == (2,)
    with stack.connect(stack.keys["snow"]) as connection:
        assert connection.execute("SHOW hatidata.dialect").fetchone() == ("snowflake",)
        assert connection.execute("SELECT IFF(id = 1, 'one', 'more') FROM s.t ORDER BY id").fetchall() == [
            ("one",),
            ("more",),
        ]
    with stack.connect(stack.keys["ana"], options="-c hatidata.dialect=snowflake") as connection:
        assert connection.execute("SELECT NVL(region, 'x') FROM s.t WHERE id = 1").fetchone() == ("emea",)


def test_a_prepared_statement_keeps_the_dialect_it_was_written_in(stack: Stack) -> None:
    with stack.connect(stack.keys["ana"]) as connection:
        query = "FROM s.t SELECT id WHERE id = %s"
        assert connection.execute(query, (1,), prepare=True).fetchall() == [(1,)]
        connection.execute("SET hatidata.dialect = 'postgres'")
        assert connection.execute(query, (3,), prepare=True).fetchall() == [(3,)]


def test_a_long_statement_is_governed_as_a_short_one(stack: Stack) -> None:
    terms = " + ".join(["id"] * 200)
    sql = f"SELECT {', '.join(f'({terms}) AS c{i}' for i in range(20))} FROM s.t ORDER BY 1 LIMIT 1"
    assert len(sql) > 2000
    assert stack.query(stack.keys["ana"], sql) == [(200,) * 20]
    with pytest.raises(psycopg.errors.UndefinedTable):
        stack.query(stack.keys["ana"], sql.replace("s.t", "s.nothing"))
