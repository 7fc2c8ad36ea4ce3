"""`hatidata_audit.queries` over a real port: governed like any table, and nobody reads what a search would not show."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.support.stack import Stack, running_stack
from tests.support.waiting import until

TABLE = "hatidata_audit.queries"
STATE = {
    "version": 1,
    "organizations": [{"id": "1", "name": "Acme"}, {"id": "2", "name": "Globex"}],
    "users": [
        {"email": "ana@acme.example", "organization": "1", "role": "analyst"},
        {"email": "adm@acme.example", "organization": "1", "role": "admin"},
        {"email": "aud@acme.example", "organization": "1", "role": "auditor"},
        {"email": "gus@globex.example", "organization": "2", "role": "admin"},
    ],
    "keys": [
        {"name": "ana", "user": "ana@acme.example", "scopes": ["read_only", "audit:read"]},
        {"name": "adm", "user": "adm@acme.example", "scopes": ["admin"]},
        {"name": "no-audit", "user": "adm@acme.example", "scopes": ["read_only"]},
        {"name": "no-query", "user": "adm@acme.example", "scopes": ["audit:read"]},
        {"name": "narrow", "user": "adm@acme.example", "scopes": ["admin"], "allowed_tables": ["sales.*"]},
        {"name": "aud", "user": "aud@acme.example", "scopes": ["read_only", "audit:read"]},
        {"name": "gus", "user": "gus@globex.example", "scopes": ["admin"]},
    ],
    "schemas": [{"name": "sales", "organization": "1"}, {"name": "other", "organization": "2"}],
    "views": [{"name": "sales.asked", "sql": f"SELECT query_id FROM {TABLE}"}],
}
READ = f'SELECT "user", sql, tables, status, error_reason, chain_seq FROM {TABLE}'


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("warehouse")
    for schema in ("sales", "other", "hatidata_audit"):
        (folder / "data" / schema).mkdir(parents=True)
        name = "queries" if schema == "hatidata_audit" else "t"
        pq.write_table(pa.table({"id": list(range(10))}), folder / "data" / schema / f"{name}.parquet")
    with running_stack(folder, folder / "data", state=STATE) as running:
        running.query(running.keys["ana"], "SELECT count(*) AS of_ana FROM sales.t")
        running.query(running.keys["gus"], "SELECT count(*) AS of_gus FROM other.t")
        with pytest.raises(psycopg.Error):
            running.query(running.keys["ana"], "SELECT id AS reaching FROM other.t")
        yield running


def refusal(stack: Stack, key: str, sql: str) -> psycopg.Error:
    with pytest.raises(psycopg.Error) as error:
        stack.query(stack.keys[key], sql)
    return error.value


def test_w5_1_shipped_and_unshipped_records_of_ones_own_organization(stack: Stack) -> None:
    of_ana = stack.query(stack.keys["adm"], f"{READ} WHERE sql LIKE '%AS of_ana%' AND statement_kind = 'select'")
    asked = ("ana@acme.example", "SELECT count(*) AS of_ana FROM sales.t", ["sales.t"], "succeeded")
    assert of_ana[0][:4] == asked
    assert stack.query(stack.keys["adm"], f"{READ} WHERE sql LIKE '%AS of_gus%' AND tables <> []") == []
    assert stack.query(stack.keys["gus"], f"{READ} WHERE sql LIKE '%AS of_ana%' AND tables <> []") == []
    assert (
        len(stack.query(stack.keys["gus"], f"{READ} WHERE sql LIKE '%AS of_gus FROM%' AND tables = ['other.t']")) == 1
    )
    # A record that has just ended is not in the store yet, and is here once all the same, then and later.
    stack.query(stack.keys["ana"], "SELECT 1 AS just_now")
    just_now = f"{READ} WHERE sql = 'SELECT 1 AS just_now'"
    (first,) = stack.query(stack.keys["adm"], just_now)
    shipped = until(lambda: [row for row in stack.query(stack.keys["adm"], just_now) if row[-1] is not None])
    assert [row[:-1] for row in shipped] == [first[:-1]]


def test_h14_the_operators_owner_reads_his_own_organization_only(stack: Stack) -> None:
    rows = stack.query(stack.owner_key, f"SELECT DISTINCT organization, environment FROM {TABLE}")
    assert rows == [("1", "production")]


def test_h14_a_reason_that_tells_of_a_foreign_table_is_rewritten(stack: Stack) -> None:
    rows = stack.query(stack.keys["adm"], f"{READ} WHERE sql LIKE '%AS reaching%' AND status = 'denied'")
    assert rows
    assert {row[4] for row in rows} == {"missing"}
    telling = "CAST(verdicts AS VARCHAR) LIKE '%cross_org' || 'anization%'"
    found = stack.query(stack.keys["adm"], f"SELECT count(*) FROM {TABLE} WHERE {telling}")
    assert found == [(0,)]


@pytest.mark.parametrize("key", ["ana", "no-audit", "narrow"])
def test_w3_1_without_both_rights_there_is_no_such_table(stack: Stack, key: str) -> None:
    known, unknown = (
        refusal(stack, key, f"SELECT 1 FROM {TABLE}"),
        refusal(stack, key, "SELECT 1 FROM hatidata_audit.nones"),
    )
    assert (known.sqlstate, unknown.sqlstate) == ("42P01", "42P01")
    assert str(known).replace("queries", "nones") == str(unknown)
    listed = "SELECT 1 FROM information_schema.tables WHERE table_schema = 'hatidata_audit'"
    assert stack.query(stack.keys[key], listed) == []
    assert stack.query(stack.keys["adm"], listed) == [(1,)]
    with stack.api(stack.keys[key]) as api:
        tables = api.get("/v1/environments/production/tables").raise_for_status().json()["items"]
    assert [t for t in tables if t["schema"] == "hatidata_audit"] == []


@pytest.mark.parametrize("key", ["aud", "no-query"])
def test_w3_1_who_may_not_query_reads_the_audit_by_search_alone(stack: Stack, key: str) -> None:
    assert refusal(stack, key, f"SELECT 1 FROM {TABLE}").sqlstate == "42501"


def test_a_view_gives_nobody_the_audit(stack: Stack) -> None:
    assert refusal(stack, "ana", "SELECT count(*) FROM sales.asked").sqlstate == "42501"
    assert stack.query(stack.keys["adm"], "SELECT count(*) > 0 FROM sales.asked") == [(True,)]


def test_reading_the_audit_is_audited_explained_and_governed(stack: Stack) -> None:
    stack.query(stack.keys["adm"], f"SELECT count(*) AS looked FROM {TABLE}")
    (row,) = until(lambda: stack.query(stack.keys["adm"], f"{READ} WHERE sql LIKE 'SELECT count(*) AS looked%'"))
    assert row[2] == [TABLE]
    told = str(stack.query(stack.keys["adm"], f"EXPLAIN POLICY SELECT * FROM {TABLE}"))
    assert "organization_wall" in told
    mask: dict[str, Any] = {"name": "hide-sql", "type": "mask", "table": TABLE, "column": "sql", "function": "full"}
    mask |= {"exempt_roles": ["owner"]}
    with stack.api() as api:
        made = api.post("/v1/environments/production/policies", json=mask)
        assert made.status_code == 201, made.text
        try:
            stack.settle()
            assert stack.query(stack.keys["adm"], f"SELECT DISTINCT sql FROM {TABLE}") == [("***",)]
            assert len(stack.query(stack.owner_key, f"SELECT DISTINCT sql FROM {TABLE}")) > 1
        finally:
            api.delete(f"/v1/environments/production/policies/{made.json()['id']}").raise_for_status()
    stack.settle()


def test_the_name_is_reserved(stack: Stack) -> None:
    # The lake's own hatidata_audit/queries.parquet is not it.
    columns = stack.query(stack.owner_key, f"SELECT * FROM (DESCRIBE {TABLE})")
    assert len(columns) > 30
    with stack.api() as api:
        answer = api.put("/v1/environments/production/schemas/Hatidata_Audit", json={"organization": "2"})
        assert answer.status_code == 422, answer.text
        answer = api.put("/v1/environments/production/schemas/hatidata_audit", json={"organization": "2"})
        assert answer.status_code == 422
        view = {"name": "hatidata_audit.mine", "sql": "SELECT 1 AS x"}
        assert api.post("/v1/environments/production/views", json=view).status_code == 422
    for sql in (f"DELETE FROM {TABLE}", f"INSERT INTO {TABLE} (query_id) VALUES ('x')", f"DROP TABLE {TABLE}"):
        assert refusal(stack, "adm", sql).sqlstate is not None


def ask_some(stack: Stack, count: int) -> None:
    """So many records of the reader's organization stand in the audit, whichever tests ran before."""
    for number in range(count):
        stack.query(stack.keys["ana"], f"SELECT {number} AS asked")


def test_every_column_reaches_a_client_in_text_and_binary(stack: Stack) -> None:
    ask_some(stack, 5)
    for binary in (False, True):
        with stack.connect(stack.keys["adm"]) as connection:
            cursor = connection.cursor(binary=binary)
            rows = cursor.execute(f"SELECT * FROM {TABLE} ORDER BY started_at DESC LIMIT 5").fetchall()
        assert len(rows) == 5
        assert re.fullmatch(r"[0-9a-f-]{36}", rows[0][1])


def test_prepared_and_paged_reads_have_one_state_of_the_table_each(stack: Stack) -> None:
    ask_some(stack, 6)
    with stack.connect(stack.keys["adm"], autocommit=False) as connection:
        count = f"SELECT count(*) FROM {TABLE} WHERE status = %s"
        counts = [connection.execute(count, ("succeeded",), prepare=True).fetchone() for _ in range(4)]
        assert [count[0] for count in counts if count] == sorted(count[0] for count in counts if count)
        with connection.cursor("pages") as cursor:
            cursor.execute(f"SELECT query_id FROM {TABLE}")
            found = [row for _ in range(3) for row in cursor.fetchmany(2)]
    assert len(found) == len(set(found)) == 6
