"""The administrative chain and the query audit through the API."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest

from governance import chain
from lambdas.control_plane.audit import without_foreign
from tests.control_plane.conftest import Api

ADMIN = "/v1/environments/production/audit/admin"
QUERIES = "/v1/environments/production/audit/queries"


def tamper(path: Path, sql: str) -> None:
    """What somebody with the database file in hand may do."""
    raw = sqlite3.connect(path)
    raw.execute("DROP TRIGGER chain_no_update")
    raw.execute("DROP TRIGGER chain_no_delete")
    raw.execute(sql)
    raw.commit()
    raw.close()


def test_w5_8_the_chain_of_a_store_verifies_with_count_and_head(api: Api) -> None:
    for number in range(3):
        api.user(f"u{number}@acme.example", "analyst")
    found = api.ok("GET", f"{ADMIN}/verify-chain")
    events = api.events()
    assert found == {
        "environment": "production",
        "holds": True,
        "count": len(events),
        "head": events[-1]["hash"],
        "first_break": None,
    }
    assert len(events) == 7  # environment, organization, owner, key, three users


@pytest.mark.parametrize(
    ("sql", "line", "reason"),
    [
        ("UPDATE chain SET line = replace(line, 'u1@acme', 'u9@acme') WHERE sequence = 6", 6, "hash"),
        ("DELETE FROM chain WHERE sequence = 3", 3, "sequence"),
        ("UPDATE chain SET line = (SELECT c.line FROM chain c WHERE c.sequence = 4) WHERE sequence = 5", 5, "sequence"),
        ("UPDATE chain SET line = 'x' WHERE sequence = 2", 2, "unreadable"),
    ],
)
def test_w5_8_the_first_broken_link_is_named(api: Api, tmp_path: Path, sql: str, line: int, reason: str) -> None:
    for number in range(3):
        api.user(f"u{number}@acme.example", "analyst")
    tamper(tmp_path / "store.sqlite", sql)
    found = api.ok("GET", f"{ADMIN}/verify-chain")
    assert not found["holds"]
    assert (found["count"], found["first_break"]["line"], found["first_break"]["reason"]) == (line - 1, line, reason)


def test_w5_6_exported_events_verify_offline_line_by_line(api: Api) -> None:
    api.user("é'\"\\ana@acme.example".replace("'\"\\", ""), "analyst", attributes={"region": 'Ω \\ " é'})
    lines = [chain.canonical(event).decode() for event in api.events()]
    found = chain.verify(lines, "production")
    assert found.holds
    assert found.head == api.ok("GET", f"{ADMIN}/verify-chain")["head"]


def test_events_are_listed_from_either_end_filtered_and_paged(api: Api) -> None:
    for number in range(4):
        api.user(f"u{number}@acme.example", "analyst")
        api.clock.forward(minutes=1)
    newest = api.ok("GET", ADMIN, limit="2", type="user.created")
    assert [event["target"] for event in newest["items"]] == ["u3@acme.example", "u2@acme.example"]
    rest = api.ok("GET", ADMIN, limit="9", type="user.created", cursor=newest["next"])
    assert [event["target"] for event in rest["items"]] == ["u1@acme.example", "u0@acme.example", "olga@acme.example"]
    assert rest["next"] is None
    window = api.ok("GET", ADMIN, since="2026-11-22T03:01:00Z", until="2026-11-22T03:03:00Z")["items"]
    assert [event["target"] for event in window] == ["u2@acme.example", "u1@acme.example"]
    assert len(api.ok("GET", ADMIN, target="u1@acme.example")["items"]) == 1
    assert api.ok("GET", ADMIN, user="nobody")["items"] == []
    assert api.refused(422, "GET", ADMIN, type="user.exploded") == "invalid_request"
    assert api.refused(422, "GET", ADMIN, since="yesterday") == "invalid_request"
    assert api.refused(422, "GET", ADMIN, cursor="eA") == "invalid_request"


def test_h14_an_organization_reads_only_its_own_events(api: Api) -> None:
    api.ok("POST", "/v1/organizations", {"id": "2", "name": "Globex"})
    gus = api.key_for(api.user("gus@globex.example", "owner", "2"), "admin")["key"]
    api.user("ana@acme.example", "analyst")
    events = api.ok("GET", ADMIN, key=gus)["items"]
    assert {event["organization"] for event in events} == {"2"}
    assert "acme" not in json.dumps([event["after"] for event in events])
    assert api.ok("GET", f"{ADMIN}/verify-chain", key=gus)["holds"]


def test_the_query_audit_is_searched_within_environment_and_organization(api: Api) -> None:
    page = api.ok("GET", QUERIES, user="ana", table="sales.t", status="denied", text="ssn", limit="5")
    assert page == {"items": [{"query_id": "q1", "execution_ms": 1.5}], "next": "after-5", "archived": []}
    asked = api.search.asked[-1]
    assert (asked.environment, asked.organization, asked.user, asked.table) == ("production", "", "ana", "sales.t")
    assert (asked.status, asked.text) == ("denied", "ssn")
    api.ok("GET", QUERIES, organization="2", since="2026-11-22T04:00:00+01:00")
    assert (api.search.asked[-1].organization, api.search.asked[-1].since) == ("2", "2026-11-22T03:00:00.000000Z")
    auditor = api.key_for(api.user("aud@acme.example", "auditor"), "audit:read")["key"]
    for wanted in ("", "2"):
        api.ok("GET", QUERIES, organization=wanted, key=auditor)
        assert api.search.asked[-1].organization == "1"
    assert api.refused(422, "GET", QUERIES, since="x") == "invalid_request"


def test_h14_an_auditor_of_another_organization_is_not_told_of_foreign_tables() -> None:
    record = {
        "sql": "SELECT 'cross_organization'",
        "error_reason": "view globex.peek: cross_organization",
        "verdicts": [{"policy": "table_unknown", "reason": "cross_organization"}],
    }
    missing = {
        **record,
        "error_reason": "view globex.peek: missing",
        "verdicts": [{"policy": "table_unknown", "reason": "missing"}],
    }
    assert without_foreign(record) == without_foreign(missing) == missing
