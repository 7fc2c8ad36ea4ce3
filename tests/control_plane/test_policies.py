"""Policies, views and schema ownership: checked when written, each organization's its own."""

from __future__ import annotations

from typing import Any

import pytest

from governance.rulebook import decode, decode_policy
from tests.control_plane.conftest import Api

AT = "/v1/environments/production"
POLICIES = f"{AT}/policies"
FILTER = {"type": "row_filter", "name": "own-rows", "table": "sales.customers", "filter": "org_id = {org_id}"}
MASK = {
    "type": "mask",
    "name": "ssn",
    "table": "sales.customers",
    "column": "ssn",
    "function": "partial",
    "visible": 4,
    "exempt_roles": ["owner"],
}
CONDITION = {
    "type": "condition",
    "name": "hours",
    "effect": "deny",
    "tables": ["sales.*"],
    "networks": ["10.0.0.0/8"],
    "window": {"zone": "Europe/Lisbon", "start_minute": 480, "end_minute": 1080, "weekdays": [0, 1, 2, 3, 4]},
    "outside_window": True,
    "audience": "agents",
}
GROUP = {"type": "minimum_group", "name": "five", "table": "sales.customers", "size": 5}
COLUMNS = [{"name": "id", "type": "INTEGER"}, {"name": "org_id", "type": "VARCHAR"}, {"name": "ssn", "type": "VARCHAR"}]


def report(api: Api) -> None:
    tables = [{"schema": "sales", "name": "customers", "columns": COLUMNS}]
    answer = api.node("PUT", "/v1/nodes/tables", {"environment": "production", "tables": tables})
    assert answer.body == {"noted": 1}


def globex_owner(api: Api) -> str:
    api.ok("POST", "/v1/organizations", {"id": "2", "name": "Globex"})
    return str(api.key_for(api.user("gus@globex.example", "owner", "2"), "admin")["key"])


@pytest.mark.parametrize("body", [FILTER, MASK, CONDITION, GROUP], ids=lambda body: str(body["type"]))
def test_each_kind_reaches_the_node_as_it_was_written_and_goes_again(api: Api, body: dict[str, Any]) -> None:
    made = api.ok("POST", POLICIES, body)
    assert (made["name"], made["type"], made["organization"], made["revision"]) == (body["name"], body["type"], "1", 1)
    book = decode(api.node("GET", "/v1/nodes/rulebook").text.encode())
    assert book.policies == (decode_policy({**body, "id": made["id"]}),)
    again = api.ok("PUT", f"{POLICIES}/{made['id']}", made["policy"])
    assert again["revision"] == 1
    assert api.ok("GET", f"{POLICIES}/{made['id']}") == again
    renamed = api.ok("PUT", f"{POLICIES}/{made['id']}", made["policy"] | {"name": "other"})
    assert (renamed["revision"], renamed["name"]) == (2, "other")
    api.ok("DELETE", f"{POLICIES}/{made['id']}")
    assert api.refused(404, "GET", f"{POLICIES}/{made['id']}") == "not_found"
    assert decode(api.node("GET", "/v1/nodes/rulebook").text.encode()).policies == ()
    assert [event["type"] for event in api.events()[-3:]] == ["policy.created", "policy.updated", "policy.deleted"]


MALFORMED: list[dict[str, Any]] = [
    FILTER | {"filter": "org_id = {org_id} OR (SELECT 1)"},
    FILTER | {"filter": "org_id = "},
    FILTER | {"filter": "read_blob('/etc/passwd') = ''"},
    FILTER | {"filter": "1; DROP TABLE x"},
    FILTER | {"filter": ""},
    FILTER | {"filter": "x" * 9000},
    FILTER | {"table": "customers"},
    FILTER | {"table": "a.b.c"},
    FILTER | {"table": "sales.*"},
    FILTER | {"id": "pol-mine"},
    FILTER | {"exempt_roles": ["king"]},
    FILTER | {"applies_to": {"audience": "martians"}},
    MASK | {"function": "rot13"},
    MASK | {"visible": -1},
    GROUP | {"size": 1},
    CONDITION | {"networks": ["10.0.0.1/8"]},
    CONDITION | {"window": {"zone": "Mars/Base", "start_minute": 0, "end_minute": 5}},
    CONDITION | {"window": {"zone": "../../etc/passwd", "start_minute": 0, "end_minute": 5}},
    CONDITION | {"window": None},
    {"type": "sermon", "name": "x"},
    {"name": "x"},
]


def test_a_policy_that_is_not_understood_is_refused_when_it_is_written(api: Api) -> None:
    for body in MALFORMED:
        assert api.call("POST", POLICIES, body).status == 422
        assert api.ok("GET", POLICIES)["items"] == []


def test_policies_are_checked_against_the_tables_that_nodes_report(api: Api) -> None:
    report(api)
    api.ok("POST", POLICIES, FILTER)
    assert api.call("POST", POLICIES, FILTER | {"name": "n", "filter": "nothing = {org_id}"}).status == 422
    assert api.call("POST", POLICIES, FILTER | {"name": "n", "filter": "id = DATE '2026-01-01'"}).status == 422
    api.ok("POST", POLICIES, MASK | {"column": "SSN"})
    assert api.call("POST", POLICIES, MASK | {"name": "n", "column": "iban"}).status == 422
    api.ok("POST", POLICIES, MASK | {"name": "m", "table": "sales.unknown", "column": "iban"})


def test_names_are_unique_per_organization_and_types_do_not_change(api: Api) -> None:
    made = api.ok("POST", POLICIES, FILTER)
    assert api.refused(409, "POST", POLICIES, FILTER) == "conflict"
    other = api.ok("POST", POLICIES, FILTER | {"name": "other"})
    assert api.refused(409, "PUT", f"{POLICIES}/{other['id']}", FILTER) == "conflict"
    assert api.refused(409, "PUT", f"{POLICIES}/{made['id']}", GROUP) == "conflict"


def test_a_writer_who_read_an_old_revision_is_told(api: Api) -> None:
    made = api.ok("POST", POLICIES, MASK)
    where = f"{POLICIES}/{made['id']}"
    api.ok("PUT", where, MASK | {"visible": 2}, headers={"if-match": '"1"'})
    assert api.refused(412, "PUT", where, MASK | {"visible": 3}, headers={"if-match": '"1"'}) == "precondition_failed"
    api.ok("PUT", where, MASK | {"visible": 3}, headers={"if-match": "2"})


def test_h14_an_owner_writes_policies_only_on_schemas_of_his_organization(api: Api) -> None:
    gus = globex_owner(api)
    api.ok("PUT", f"{AT}/schemas/gl", {"organization": "2"})
    api.ok("PUT", f"{AT}/schemas/common", {"organization": "shared"})
    ours = api.ok("POST", POLICIES, FILTER)
    shared = api.ok("POST", POLICIES, FILTER | {"name": "s", "table": "common.t"})
    assert shared["organization"] == "shared"
    theirs = api.ok("POST", POLICIES, FILTER | {"table": "GL.customers"}, key=gus)
    assert theirs["organization"] == "2"
    for table in ("sales.customers", "common.t", "undeclared.t"):
        assert api.refused(403, "POST", POLICIES, FILTER | {"name": "x", "table": table}, key=gus)
    for tables in ([], ["gl.*", "sales.*"], ["common.*"]):
        assert api.refused(403, "POST", POLICIES, CONDITION | {"tables": tables}, key=gus)
    assert api.refused(403, "PUT", f"{POLICIES}/{theirs['id']}", FILTER, key=gus)
    for policy in (ours, shared):
        assert api.refused(404, "GET", f"{POLICIES}/{policy['id']}", key=gus) == "not_found"
        assert api.refused(404, "PUT", f"{POLICIES}/{policy['id']}", FILTER, key=gus) == "not_found"
        assert api.refused(404, "DELETE", f"{POLICIES}/{policy['id']}", key=gus) == "not_found"
    assert [policy["id"] for policy in api.ok("GET", POLICIES, key=gus)["items"]] == [theirs["id"]]


def test_the_policies_and_views_of_a_schema_go_with_it(api: Api) -> None:
    gus = globex_owner(api)
    made = api.ok("POST", POLICIES, FILTER)
    view = api.ok("POST", f"{AT}/views", {"name": "sales.v", "sql": "SELECT 1 AS a"})
    api.ok("PUT", f"{AT}/schemas/SALES", {"organization": "2"})
    assert api.ok("GET", f"{POLICIES}/{made['id']}", key=gus)["organization"] == "2"
    assert api.ok("GET", f"{AT}/views/{view['id']}", key=gus)["organization"] == "2"
    adam = api.key_for(api.user("adam@acme.example", "admin"), "admin")["key"]
    assert api.refused(404, "GET", f"{POLICIES}/{made['id']}", key=adam) == "not_found"


def test_schemas_are_assigned_folded_seen_by_their_own_and_recorded_once(api: Api) -> None:
    gus = globex_owner(api)
    for name, organization in (("Sales", "1"), ("gl", "2"), ("common", "shared")):
        api.ok("PUT", f"{AT}/schemas/{name}", {"organization": organization})
    before = len(api.events())
    assert api.ok("PUT", f"{AT}/schemas/sales", {"organization": "1"}) == {"name": "sales", "organization": "1"}
    assert len(api.events()) == before
    assert [s["name"] for s in api.ok("GET", f"{AT}/schemas")["items"]] == ["common", "gl", "sales"]
    assert [s["name"] for s in api.ok("GET", f"{AT}/schemas", key=gus)["items"]] == ["common", "gl"]
    assert api.refused(404, "PUT", f"{AT}/schemas/x", {"organization": "none"}) == "not_found"
    book = decode(api.node("GET", "/v1/nodes/rulebook").text.encode())
    assert book.schemas == (("common", "shared"), ("gl", "2"), ("sales", "1"))


def test_h14_tables_of_other_organizations_and_outside_the_keys_tables_are_not_listed(api: Api) -> None:
    gus = globex_owner(api)
    api.ok("PUT", f"{AT}/schemas/gl", {"organization": "2"})
    api.ok("PUT", f"{AT}/schemas/common", {"organization": "shared"})
    tables = [{"schema": schema, "name": "t", "columns": COLUMNS} for schema in ("Sales", "gl", "common")]
    api.node("PUT", "/v1/nodes/tables", {"environment": "production", "tables": tables})

    def names(key: str | None = None) -> list[str]:
        return [f"{table['schema']}.{table['name']}" for table in api.ok("GET", f"{AT}/tables", key=key)["items"]]

    assert names() == ["common.t", "Sales.t"]  # the operator too sees no table of another organization
    assert names(gus) == ["common.t", "gl.t"]
    limited = api.key_for("olga@acme.example", "read_only", allowed_tables=["SALES.*"])["key"]
    assert names(limited) == ["Sales.t"]


NO_VIEWS = ["DROP TABLE x", "SELECT 1; SELECT 2", "SELECT", "", "COPY (SELECT 1) TO 'x'", "(" * 500, "x" * 70_000]


def test_a_view_is_one_select(api: Api) -> None:
    for sql in NO_VIEWS:
        assert api.call("POST", f"{AT}/views", {"name": "sales.v", "sql": sql}).status == 422


def test_views_are_stored_replaced_and_deleted_and_hide_no_table(api: Api) -> None:
    report(api)
    body = {"name": "sales.v", "sql": "SELECT id FROM sales.customers"}
    made = api.ok("POST", f"{AT}/views", body)
    assert api.refused(409, "POST", f"{AT}/views", body | {"name": "SALES.V"}) == "conflict"
    assert api.refused(409, "POST", f"{AT}/views", body | {"name": "sales.Customers"}) == "conflict"
    api.ok("PUT", f"{AT}/views/{made['id']}", body | {"sql": "SELECT 2 AS b"})
    (view,) = decode(api.node("GET", "/v1/nodes/rulebook").text.encode()).views
    assert (str(view.name), view.sql) == ("sales.v", "SELECT 2 AS b")
    gus = globex_owner(api)
    assert api.refused(403, "POST", f"{AT}/views", body | {"name": "sales.w"}, key=gus) == "permission_denied"
    assert api.refused(404, "DELETE", f"{AT}/views/{made['id']}", key=gus) == "not_found"
    api.ok("DELETE", f"{AT}/views/{made['id']}")
    assert [event["type"] for event in api.events() if event["type"].startswith("view")] == [
        "view.created",
        "view.updated",
        "view.deleted",
    ]
