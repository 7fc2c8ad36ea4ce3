"""What is decided about people reaches open sessions over the real port: within 5 seconds, or by the clock alone."""

from __future__ import annotations

import select
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import httpx
import psycopg
import pytest

from tests.support.stack import Stack, running_stack

STATE = {
    "version": 1,
    "schemas": [{"name": "sales", "organization": "1"}],
    "users": [
        {"email": f"{name}@acme.example", "organization": "1", "role": "analyst"}
        for name in ("ana", "bob", "cleo", "dan")
    ],
    "keys": [
        {"name": name, "user": f"{name}@acme.example", "scopes": ["read_only"]}
        for name in ("ana", "bob", "cleo", "dan")
    ],
    "policies": [
        {
            "name": "ssn", "type": "mask", "table": "sales.people", "column": "ssn", "function": "full",
            "exempt_roles": ["developer"],
        },
    ],
}  # fmt: skip
READ = b"SELECT ssn FROM sales.people"
WITHIN_S = 5.0


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("people")
    path: Path = folder / "data" / "sales" / "people.parquet"
    path.parent.mkdir(parents=True)
    with duckdb.connect(":memory:") as connection:
        connection.execute(f"COPY (SELECT '123-45-6789' AS ssn) TO '{path}' (FORMAT parquet)")
    with running_stack(folder, folder / "data", state=STATE) as running:
        yield running


def ok(api: httpx.Client, method: str, path: str, body: Any = None) -> Any:
    answer = api.request(method, path, json=body)
    assert answer.is_success, answer.text
    return answer.json()


def ended_within(connection: psycopg.Connection[Any], seconds: float) -> float:
    """Seconds until the node ends an idle session, which is asked nothing meanwhile."""
    began = time.monotonic()
    told, _, _ = select.select([connection.fileno()], [], [], seconds)
    assert told, f"the session is still open after {seconds} s"
    with pytest.raises(psycopg.OperationalError):
        connection.execute(b"SELECT 1")
    return time.monotonic() - began


@pytest.mark.parametrize(("who", "how"), [("ana", "suspended"), ("bob", "removed")])
def test_h15_5_suspension_and_removal_end_open_sessions_within_five_seconds(stack: Stack, who: str, how: str) -> None:
    with stack.connect(stack.keys[who]) as first, stack.connect(stack.keys[who]) as second, stack.api() as api:
        assert first.execute(READ).fetchall() == second.execute(READ).fetchall()
        if how == "suspended":
            ok(api, "PATCH", f"/v1/users/{who}@acme.example", {"status": "suspended"})
        else:
            ok(api, "DELETE", f"/v1/users/{who}@acme.example")
        assert ended_within(first, WITHIN_S) + ended_within(second, WITHIN_S) < WITHIN_S
    with pytest.raises(psycopg.OperationalError, match=r"[Aa]uthentication failed"):
        stack.connect(stack.keys[who])


def test_h15_4_a_lent_role_is_what_the_law_sees_and_is_taken_back_within_five_seconds(stack: Stack) -> None:
    requests = "/v1/environments/production/access-requests"
    with stack.api(stack.keys["cleo"]) as cleo, stack.api() as owner:
        wish = {"role": "developer", "minutes": 5, "reason": "Incident 4711", "scopes": ["read_only"]}
        asked = ok(cleo, "POST", requests, wish)["id"]
        ok(owner, "POST", f"{requests}/{asked}/approve", {})
        lent = ok(cleo, "POST", f"{requests}/{asked}/key")["key"]
        stack.settle()
        with stack.connect(lent) as session:
            assert session.execute(READ).fetchall() == [("123-45-6789",)]
            assert stack.query(stack.keys["cleo"], READ.decode()) != [("123-45-6789",)]
            ok(owner, "POST", f"{requests}/{asked}/revoke")
            assert ended_within(session, WITHIN_S) < WITHIN_S
        assert stack.query(stack.keys["cleo"], "SELECT 1") == [(1,)]


def test_h15_4_the_node_ends_a_lent_role_by_its_own_clock(stack: Stack) -> None:
    """The rulebook carries the end: nobody has to tell the node when it has come."""
    requests = "/v1/environments/production/access-requests"
    keys = "/v1/environments/production/keys"
    soon = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 6))
    with stack.api() as owner:
        body = {"name": "short", "user": "dan@acme.example", "scopes": ["read_only"], "expires_at": soon}
        short = ok(owner, "POST", keys, body)["key"]
        with stack.api(short) as dan:
            wish = {"role": "developer", "minutes": 5, "reason": "Incident 4711", "scopes": ["read_only"]}
            asked = ok(dan, "POST", requests, wish)["id"]
            ok(owner, "POST", f"{requests}/{asked}/approve", {})
            made = ok(dan, "POST", f"{requests}/{asked}/key")
        assert made["expires_at"] <= soon.replace("Z", ".999999Z")
        stack.settle()
        version = stack.rulebook_version()
        with stack.connect(made["key"]) as session:
            assert session.execute(READ).fetchall() == [("123-45-6789",)]
            assert ended_within(session, 6 + WITHIN_S) < 6 + WITHIN_S
        assert stack.rulebook_version() == version


def test_w7_3_a_quota_refuses_clearly_and_usage_is_told_without_a_name_of_data(stack: Stack) -> None:
    with stack.api() as owner:
        key = next(k for k in ok(owner, "GET", "/v1/environments/production/keys?name=dan")["items"])
        ok(owner, "PUT", f"/v1/environments/production/quotas/keys/{key['id']}", {"queries_per_day": 3})
        stack.settle()
        with stack.connect(stack.keys["dan"]) as session:
            deadline = time.monotonic() + 20
            refused: psycopg.Error | None = None
            ran = 0
            while refused is None and time.monotonic() < deadline:
                try:
                    session.execute(READ)
                    ran += 1
                except psycopg.Error as error:
                    refused = error
            assert refused is not None
            assert (ran, refused.sqlstate) == (3, "53400")
            assert "quota of 3 statements a day" in str(refused)
            ok(owner, "PUT", f"/v1/environments/production/quotas/keys/{key['id']}", {})
            stack.settle()
            assert session.execute(b"SELECT 1").fetchall() == [(1,)]
        deadline = time.monotonic() + 30
        while True:
            items = ok(owner, "GET", f"/v1/environments/production/usage?key_id={key['id']}")["items"]
            if items and items[0]["count"] >= 5:
                break
            assert time.monotonic() < deadline, items
            time.sleep(0.5)
        assert items[0]["statements"] == {"failed": 1, "succeeded": items[0]["count"] - 1}
        assert "ssn" not in str(items)
        assert "sales" not in str(items)
