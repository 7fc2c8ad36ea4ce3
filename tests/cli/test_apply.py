"""`hatidata apply`: brings a state about through the REST API, once; a second run changes nothing."""

from __future__ import annotations

import copy
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from governance.api_key import is_well_formed
from tests.cli.conftest import Ended, Run
from tests.support.stack import Stack, running_control_plane

STATE: dict[str, Any] = {
    "version": 1,
    "organizations": [{"id": "1", "name": "Acme"}, {"id": "2", "name": "Globex"}],
    "schemas": [{"name": "sales", "organization": "shared"}, {"name": "hr", "organization": "2"}],
    "users": [
        {
            "email": "ana@acme.example",
            "organization": "1",
            "role": "analyst",
            "attributes": {"department": "risk", "region": "emea"},
        },
        {"email": "gil@globex.example", "id": "gil", "organization": "2", "role": "owner"},
        {"email": "sam@globex.example", "organization": "2", "role": "analyst", "status": "suspended"},
    ],
    "keys": [
        {"name": "ana", "user": "ana@acme.example", "scopes": ["read_only"]},
        {
            "name": "bot",
            "user": "ana@acme.example",
            "scopes": ["agent"],
            "agent": {"id": "bot-7", "framework": "langchain", "trust": "low"},
            "networks": ["127.0.0.0/8", "10.0.0.0/8"],
            "allowed_tables": ["Sales.Customers", "sales.*"],
            "expires_at": "2040-01-01T00:00:00+01:00",
            "dialect": "postgres",
        },
        {"name": "gil", "user": "gil@globex.example", "scopes": ["admin"]},
    ],
    "views": [{"name": "sales.adults", "sql": "SELECT id FROM sales.customers WHERE age > 17"}],
    "policies": [
        {"name": "own-rows", "type": "row_filter", "table": "sales.customers", "filter": "org_id = {org_id}"},
        {
            "name": "ssn",
            "type": "mask",
            "table": "sales.customers",
            "column": "ssn",
            "function": "partial",
            "visible": 4,
            "exempt_roles": ["owner"],
        },
        {
            "name": "mail",
            "type": "mask",
            "table": "sales.customers",
            "column": "mail",
            "function": "hmac",
            "on_predicate": "deny",
            "applies_to": {"audience": "agents", "frameworks": ["langchain"]},
        },
        {
            "name": "age",
            "type": "mask",
            "table": "sales.customers",
            "column": "age",
            "function": "full",
            "as_text": True,
            "applies_to": "people",
        },
        {
            "name": "office",
            "type": "condition",
            "effect": "deny",
            "tables": ["sales.*"],
            "roles": ["analyst"],
            "audience": "agents",
            "window": {"zone": "Europe/Berlin", "start": "08:30", "end": "18:00", "weekdays": ["mon", "fri"]},
            "outside_window": True,
        },
        {"name": "crowd", "type": "minimum_group", "table": "sales.customers", "size": 5},
    ],
}


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A control plane that only this module changes."""
    with running_control_plane(tmp_path_factory.mktemp("apply")) as stack:
        yield stack


@pytest.fixture
def apply(verb: Run, own: Stack, tmp_path: Path) -> Run:
    """Apply a state as the Owner of `own`."""

    def run(state: object, *, key: str = "") -> Ended:
        file = tmp_path / f"{uuid.uuid4()}.yaml"
        file.write_text(state if isinstance(state, str) else yaml.safe_dump(state))
        env = {"HATIDATA_API_KEY": key or own.owner_key, "HATIDATA_HOME": str(own.home)}
        return verb("apply", "-f", str(file), "--json", env=env)

    return run


def _everything(own: Stack) -> dict[str, Any]:
    base = "/v1/environments/production"
    places = ["/v1/organizations", "/v1/users", *(f"{base}/{p}" for p in ("schemas", "keys", "policies", "views"))]
    with own.api() as api:
        return {place: api.get(place, params={"limit": 1000}).json()["items"] for place in places}


def _chain_length(own: Stack) -> int:
    with own.api() as api:
        found = api.get("/v1/environments/production/audit/admin/verify-chain").json()
    assert found["holds"]
    return int(found["count"])


def test_a_second_apply_changes_nothing_and_makes_nothing(apply: Run, own: Stack) -> None:
    first = apply(STATE)
    assert first.code == 0, first.err
    before, length = _everything(own), _chain_length(own)
    second = apply(STATE)
    assert (second.code, second.json) == (0, {"keys": [], "done": []})
    assert _everything(own) == before
    assert _chain_length(own) == length


def test_what_is_declared_stands_afterwards(apply: Run, own: Stack) -> None:
    apply(STATE)
    there = _everything(own)
    users = {user["email"]: user for user in there["/v1/users"]}
    assert users["ana@acme.example"]["attributes"] == {"department": "risk", "region": "emea"}
    assert users["gil@globex.example"]["id"] == "gil"
    assert users["sam@globex.example"]["status"] == "suspended"
    keys = {key["name"]: key for key in there["/v1/environments/production/keys"] if key["status"] == "active"}
    assert keys["bot"]["agent"] == {"id": "bot-7", "framework": "langchain", "trust": "low"}
    assert keys["bot"]["allowed_tables"] == ["sales.*", "sales.customers"]
    policies = {p["name"]: p["policy"] for p in there["/v1/environments/production/policies"]}
    assert policies["mail"]["deny_predicate"] is True
    assert policies["mail"]["applies_to"] == {"audience": "agents", "agent_ids": [], "frameworks": ["langchain"]}
    assert policies["age"]["as_text"] is True
    assert policies["office"]["window"]["start_minute"] == 510
    assert {s["name"]: s["organization"] for s in there["/v1/environments/production/schemas"]} == {
        "sales": "shared",
        "hr": "2",
    }


def test_w3_3_a_key_is_shown_once_and_never_again(apply: Run, own: Stack) -> None:
    state = copy.deepcopy(STATE)
    state["keys"].append({"name": "once", "user": "ana@acme.example", "scopes": ["read_only"]})
    made = apply(state).json["keys"]
    secret = next(entry["key"] for entry in made if entry["name"] == "once")
    assert is_well_formed(secret)
    assert secret not in apply(state).out
    assert secret[16:] not in str(_everything(own))
    store = b"".join(path.read_bytes() for path in own.home.rglob("*") if path.is_file())
    assert secret[16:].encode() not in store


def test_a_change_changes_that_and_nothing_else(apply: Run, own: Stack) -> None:
    apply(STATE)
    state = copy.deepcopy(STATE)
    state["users"][0]["attributes"]["region"] = "apac"
    state["policies"][1]["visible"] = 2
    state["organizations"][1]["name"] = "Globex AG"
    state["schemas"][1]["organization"] = "1"
    state["views"][0]["sql"] = "SELECT id FROM sales.customers WHERE age > 20"
    ended = apply(state)
    assert {(done["action"], done["kind"], done["name"]) for done in ended.json["done"]} == {
        ("changed", "user", "ana@acme.example"),
        ("changed", "mask", "ssn"),
        ("changed", "organization", "2"),
        ("assigned", "schema", "hr"),
        ("changed", "view", "sales.adults"),
    }
    assert ended.json["keys"] == []
    assert apply(state).json["done"] == []
    assert apply(STATE).code == 0


def test_a_key_that_changes_is_replaced_and_the_old_one_ends(apply: Run, own: Stack) -> None:
    state = copy.deepcopy(STATE)
    state["keys"].append({"name": "narrowed", "user": "ana@acme.example", "scopes": ["developer"]})
    old = {entry["name"]: entry["key"] for entry in apply(state).json["keys"]}["narrowed"]
    state["keys"][-1]["scopes"] = ["read_only"]
    again = apply(state).json
    assert [entry["name"] for entry in again["keys"]] == ["narrowed"]
    assert again["done"] == [{"action": "replaced", "kind": "key", "name": "narrowed"}]
    with own.api(old) as api:
        assert api.get("/v1/whoami").status_code == 401
    with own.api(again["keys"][0]["key"]) as api:
        assert api.get("/v1/whoami").status_code == 200


def test_nothing_undeclared_is_removed(apply: Run, own: Stack) -> None:
    apply(STATE)
    before = _everything(own)
    assert apply({"version": 1}).json["done"] == []
    assert _everything(own) == before


def test_a_wrong_file_is_refused_before_anything_is_asked(apply: Run, own: Stack) -> None:
    length = _chain_length(own)
    state = copy.deepcopy(STATE)
    state["organizations"].append({"id": "3", "name": "Initech"})
    state["policies"][1]["function"] = "md5"
    ended = apply(state)
    assert ended.code == 1
    assert ended.err.startswith("hatidata: invalid_request: policies[1].function: is not one of")
    assert "Traceback" not in ended.err
    assert _chain_length(own) == length


def test_keys_made_before_a_refusal_are_still_shown(apply: Run) -> None:
    state = copy.deepcopy(STATE)
    state["keys"] += [
        {"name": "early", "user": "ana@acme.example", "scopes": ["read_only"]},
        {"name": "late", "user": "nobody@acme.example", "scopes": ["read_only"]},
    ]
    ended = apply(state)
    assert ended.code == 1
    assert "not_found: The key late is for a user who is not there." in ended.err
    assert [entry["name"] for entry in ended.json["keys"]][-1:] == ["early"]


def test_a_filter_outside_the_policy_language_is_refused_and_no_key_is_made(apply: Run) -> None:
    state = copy.deepcopy(STATE)
    state["keys"].append({"name": "unmade", "user": "ana@acme.example", "scopes": ["read_only"]})
    state["policies"].append(
        {"name": "oracle", "type": "row_filter", "table": "sales.orders", "filter": "id IN (SELECT 1)"}
    )
    ended = apply(state)
    assert ended.code == 1
    assert ended.json["keys"] == []


def test_h14_another_organizations_owner_manages_only_his_own(apply: Run, own: Stack) -> None:
    state = copy.deepcopy(STATE)
    state["keys"].append({"name": "gil-2", "user": "gil@globex.example", "scopes": ["admin"]})
    made = {entry["name"]: entry["key"] for entry in apply(state).json["keys"]}
    mine = {"email": "new@globex.example", "organization": "2", "role": "analyst"}
    theirs = {"email": "new@acme.example", "organization": "1", "role": "analyst"}
    assert apply({"version": 1, "users": [mine]}, key=made["gil-2"]).code == 0
    refused = apply({"version": 1, "users": [theirs]}, key=made["gil-2"])
    assert refused.code == 1
    assert "new@acme.example" not in str(_everything(own))


def test_the_issue_s_own_example_applies(apply: Run) -> None:
    ended = apply(
        """
version: 1
organizations: [{id: "1", name: Acme}, {id: "2", name: Globex}]
schemas: [{name: sales, organization: shared}]        # or one organisation's id
users: [{email: ana@acme.example, organization: "1", role: analyst, attributes: {department: risk, region: emea}}]
keys: [{name: ana, user: ana@acme.example, scopes: [read_only]},
       {name: bot2, user: ana@acme.example, scopes: [agent], agent: {id: bot-7, framework: langchain},
        networks: [127.0.0.0/8]}]
policies:
  - {name: own-rows, type: row_filter, table: sales.customers, filter: "org_id = {org_id}", exempt_roles: []}
  - {name: ssn, type: mask, table: sales.customers, column: ssn, function: partial, visible: 4, exempt_roles: [owner]}
"""
    )
    assert ended.code == 0, ended.err
    assert "bot2" in [entry["name"] for entry in ended.json["keys"]]
