"""Users, roles and organizations: nobody raises himself, nobody reaches into another organization."""

from __future__ import annotations

from governance.principals import local_id
from tests.control_plane.conftest import Api

ALL = ["query:read", "users:manage", "keys:manage", "policies:manage", "audit:read", "schemas:read", "tables:list"]


def admin_key(api: Api, email: str = "adam@acme.example", organization: str = "1") -> str:
    user = api.user(email, "admin", organization)
    return str(api.key_for(user, "admin")["key"])


def globex_owner(api: Api) -> str:
    api.ok("POST", "/v1/organizations", {"id": "2", "name": "Globex"})
    user = api.user("gus@globex.example", "owner", "2")
    return str(api.key_for(user, "admin", "orgs:manage")["key"])


def test_a_user_is_made_with_his_address_as_id_unless_another_is_given(api: Api) -> None:
    assert api.user("ana@acme.example", "analyst") == "ana@acme.example"
    assert api.user("bob@acme.example", "analyst", id="emp-7") == "emp-7"
    found = api.ok("GET", "/v1/users", email="BOB@acme.example")["items"]
    assert [user["id"] for user in found] == ["emp-7"]


def test_making_the_same_user_twice_is_a_conflict(api: Api) -> None:
    api.user("ana@acme.example", "analyst")
    again = {"email": "ANA@acme.example", "role": "analyst"}
    assert api.refused(409, "POST", "/v1/users", again) == "conflict"
    taken = {"email": "new@acme.example", "role": "analyst", "id": "ana@acme.example"}
    assert api.refused(409, "POST", "/v1/users", taken) == "conflict"


MALFORMED: list[object] = [
    {"email": "nobody", "role": "analyst"},
    {"email": "a b@acme.example", "role": "analyst"},
    {"email": "a/b@acme.example", "role": "analyst"},
    {"email": "a@acme.example", "role": "king"},
    {"email": "a@acme.example", "role": "analyst", "admin": True},
    {"email": "a@acme.example", "role": "analyst", "attributes": {"org_id": "2"}},
    {"email": "a@acme.example", "role": "analyst", "attributes": {"user_id": "2"}},
    {"email": "a@acme.example", "role": "analyst", "attributes": {"Region": "x"}},
    {"email": "a@acme.example", "role": "analyst", "attributes": {"region": "x\u0000"}},
    {"email": "a@acme.example", "role": "analyst", "attributes": {"region": 5}},
    {"email": "a@acme.example\n", "role": "analyst"},
    {"email": "a" * 300 + "@acme.example", "role": "analyst"},
    {"email": "a@acme.example", "role": "analyst", "id": "../x"},
    [],
    "x",
]


def test_a_user_that_is_not_well_formed_is_refused(api: Api) -> None:
    for body in MALFORMED:
        assert api.refused(422, "POST", "/v1/users", body) == "invalid_request"


def test_w3_1_only_an_owner_makes_an_admin_and_nobody_a_second_owner(api: Api) -> None:
    adam = admin_key(api)
    assert api.refused(403, "POST", "/v1/users", {"email": "e@acme.example", "role": "admin"}, key=adam)
    assert api.refused(403, "POST", "/v1/users", {"email": "e@acme.example", "role": "owner"}, key=adam)
    assert api.refused(403, "POST", "/v1/users", {"email": "e@acme.example", "role": "owner"})
    made = api.ok("POST", "/v1/users", {"email": "e@acme.example", "role": "analyst"}, key=adam)["id"]
    assert api.refused(403, "PATCH", f"/v1/users/{made}", {"role": "admin"}, key=adam)
    api.ok("PATCH", f"/v1/users/{made}", {"role": "admin"})
    assert api.refused(403, "DELETE", f"/v1/users/{made}", key=adam)
    globex_owner(api)
    second = {"email": "two@globex.example", "role": "owner", "organization": "2"}
    assert api.refused(409, "POST", "/v1/users", second) == "conflict"


def test_nobody_raises_or_removes_himself(api: Api) -> None:
    adam = admin_key(api)
    for change in ({"role": "owner"}, {"role": "analyst"}, {"status": "suspended"}, {"attributes": {"region": "all"}}):
        assert api.refused(403, "PATCH", "/v1/users/adam@acme.example", change, key=adam) == "permission_denied"
    assert api.refused(403, "DELETE", "/v1/users/adam@acme.example", key=adam) == "permission_denied"
    assert api.refused(403, "DELETE", "/v1/users/olga@acme.example", key=adam) == "permission_denied"
    assert api.refused(403, "PATCH", "/v1/users/olga@acme.example", {"status": "suspended"}) == "permission_denied"
    assert api.refused(403, "DELETE", "/v1/users/olga@acme.example") == "permission_denied"
    api.ok("PATCH", "/v1/users/olga@acme.example", {"attributes": {"region": "emea"}})


def test_h14_an_owner_manages_only_his_own_organization(api: Api) -> None:
    gus = globex_owner(api)
    api.user("ana@acme.example", "analyst")
    assert [user["id"] for user in api.ok("GET", "/v1/users", key=gus)["items"]] == ["gus@globex.example"]
    assert [org["id"] for org in api.ok("GET", "/v1/organizations", key=gus)["items"]] == ["2"]
    for method in ("GET", "DELETE"):
        foreign = api.call(method, "/v1/users/ana@acme.example", key=gus)
        missing = api.call(method, "/v1/users/none@acme.example", key=gus)
        assert (foreign.status, foreign.body["error"]["message"]) == (404, missing.body["error"]["message"])
    assert api.refused(404, "PATCH", "/v1/users/ana@acme.example", {"role": "developer"}, key=gus) == "not_found"
    user = {"email": "x@acme.example", "role": "analyst", "organization": "1"}
    assert api.refused(404, "POST", "/v1/users", user, key=gus) == "not_found"
    assert api.refused(404, "POST", "/v1/users", user | {"organization": "none"}, key=gus) == "not_found"
    assert api.refused(403, "POST", "/v1/organizations", {"name": "Evil"}, key=gus) == "permission_denied"
    assert api.refused(403, "PATCH", "/v1/organizations/1", {"name": "Evil"}, key=gus) == "permission_denied"
    assert (
        api.refused(403, "PUT", "/v1/environments/production/schemas/hr", {"organization": "2"}, key=gus)
        == "permission_denied"
    )


def test_the_operators_owner_without_the_scope_reaches_only_his_own(api: Api) -> None:
    globex_owner(api)
    narrow = api.key_for("olga@acme.example", "admin")["key"]
    assert [user["organization"] for user in api.ok("GET", "/v1/users", key=narrow)["items"]] == ["1"]
    assert api.refused(404, "GET", "/v1/users/gus@globex.example", key=narrow) == "not_found"


def test_organizations_are_declared_once_renamed_and_never_called_shared(api: Api) -> None:
    made = api.ok("POST", "/v1/organizations", {"name": "Umbrella"})
    assert made["id"].startswith("org-")
    assert api.refused(409, "POST", "/v1/organizations", {"id": made["id"], "name": "x"}) == "conflict"
    assert api.refused(422, "POST", "/v1/organizations", {"id": "shared", "name": "x"}) == "invalid_request"
    assert api.ok("PATCH", f"/v1/organizations/{made['id']}", {"name": "Umbra"})["name"] == "Umbra"
    assert api.refused(403, "PATCH", "/v1/organizations/1", {"status": "suspended"}) == "permission_denied"
    assert api.refused(404, "PATCH", "/v1/organizations/none", {"name": "x"}) == "not_found"


def test_h15_5_suspension_and_removal_end_every_key_at_once(api: Api) -> None:
    ana = api.user("ana@acme.example", "analyst")
    key, second = api.key_for(ana, "query:read"), api.key_for(ana, "query:read")
    assert api.call("GET", "/v1/whoami", key=key["key"]).status == 200
    api.ok("PATCH", f"/v1/users/{ana}", {"status": "suspended"})
    assert api.refused(401, "GET", "/v1/whoami", key=key["key"]) == "authentication_failed"
    api.ok("PATCH", f"/v1/users/{ana}", {"status": "active"})
    assert api.call("GET", "/v1/whoami", key=key["key"]).status == 200
    api.ok("DELETE", f"/v1/users/{ana}")
    for each in (key, second):
        assert api.refused(401, "GET", "/v1/whoami", key=each["key"]) == "authentication_failed"
        assert api.ok("GET", f"/v1/environments/production/keys/{each['id']}")["status"] == "revoked"
    api.user("ana@acme.example", "analyst")
    assert api.refused(401, "GET", "/v1/whoami", key=key["key"]) == "authentication_failed"


def test_suspending_an_organization_ends_its_keys(api: Api) -> None:
    gus = globex_owner(api)
    api.ok("PATCH", "/v1/organizations/2", {"status": "suspended"})
    assert api.refused(401, "GET", "/v1/whoami", key=gus) == "authentication_failed"
    api.ok("PATCH", "/v1/organizations/2", {"status": "active"})
    assert api.call("GET", "/v1/whoami", key=gus).status == 200


def test_w5_5_each_kind_of_change_is_an_event_of_its_own_and_no_change_is_none(api: Api) -> None:
    api.user("ana@acme.example", "analyst", attributes={"region": "emea"})
    before = len(api.events())
    api.ok("PATCH", "/v1/users/ana@acme.example", {})
    api.ok("PATCH", "/v1/users/ana@acme.example", {"role": "analyst", "attributes": {"region": "emea"}})
    assert len(api.events()) == before
    api.ok("PATCH", "/v1/users/ana@acme.example", {"role": "developer", "status": "suspended", "attributes": {}})
    role, status, rest = api.events()[before:]
    assert [role["type"], status["type"], rest["type"]] == ["user.role_changed", "user.suspended", "user.updated"]
    assert (role["before"]["role"], role["after"]["role"]) == ("analyst", "developer")
    assert role["after"] == status["before"]
    assert rest["after"]["attributes"] == {}
    assert role["actor"]["user_id"] == "olga@acme.example"
    assert (role["source_ip"], role["at"]) == ("127.0.0.1", "2026-11-22T03:00:00.000000Z")


def test_a_list_is_paged_to_its_end_without_gap_or_repeat(api: Api) -> None:
    for number in range(7):
        api.user(f"u{number}@acme.example", "analyst")
    seen: list[str] = []
    cursor = ""
    while True:
        page = api.ok("GET", "/v1/users", limit="3", cursor=cursor)
        seen += [user["id"] for user in page["items"]]
        if page["next"] is None:
            break
        cursor = page["next"]
    assert seen == sorted([*(f"u{number}@acme.example" for number in range(7)), "olga@acme.example"])
    assert api.refused(422, "GET", "/v1/users", cursor="%%%") == "invalid_request"
    assert api.refused(422, "GET", "/v1/users", limit="0") == "invalid_request"
    assert api.refused(422, "GET", "/v1/users", limit="1001") == "invalid_request"


def test_h14_whether_an_address_is_known_elsewhere_cannot_be_learned(api: Api) -> None:
    gus = globex_owner(api)
    api.user("ana@acme.example", "analyst")
    known = api.call("POST", "/v1/users", {"email": "ana@acme.example", "role": "analyst"}, key=gus)
    unknown = api.call("POST", "/v1/users", {"email": "zoe@acme.example", "role": "analyst"}, key=gus)
    assert (known.status, unknown.status) == (201, 201)
    assert known.body["id"] == "2:ana@acme.example"
    assert unknown.body["id"] == "2:zoe@acme.example"
    api.ok("PATCH", "/v1/users/2:zoe@acme.example", {"email": "olga@acme.example"}, key=gus)
    for name in ("ana@acme.example", "emp-7", "1:x"):
        body = {"email": f"new{len(api.answers)}@x.example", "role": "analyst", "id": name}
        assert api.refused(403, "POST", "/v1/users", body, key=gus) == "permission_denied"
    own = {"email": "emp@globex.example", "role": "analyst", "id": "2:emp-7"}
    assert api.ok("POST", "/v1/users", own, key=gus)["id"] == "2:emp-7"
    again = {"email": "ANA@acme.example", "role": "developer"}
    assert api.refused(409, "POST", "/v1/users", again, key=gus) == "conflict"
    keys = "/v1/environments/production/keys"
    made = api.ok("POST", keys, {"name": "a", "user": "ana@acme.example", "scopes": ["read_only"]}, key=gus)
    assert made["user_id"] == "2:ana@acme.example"


def test_w3_1_an_organization_is_handed_over_in_one_step_and_has_one_owner_before_and_after(api: Api) -> None:
    gus = globex_owner(api)
    body = {"email": "hana@globex.example", "role": "analyst"}
    hana = api.ok("POST", "/v1/users", body, key=gus)["id"]
    eve = str(api.key_for(api.user("eve@globex.example", "admin", "2"), "admin", "orgs:manage")["key"])
    owner = "/v1/organizations/2/owner"
    assert api.refused(403, "POST", owner, {"user": hana}, key=eve) == "permission_denied"
    assert api.refused(404, "POST", owner, {"user": "olga@acme.example"}, key=gus) == "not_found"
    assert api.refused(404, "POST", "/v1/organizations/1/owner", {"user": hana}, key=gus) == "not_found"
    assert api.refused(409, "POST", owner, {"user": "gus@globex.example"}, key=gus) == "conflict"
    before = len(api.events())
    done = api.ok("POST", owner, {"user": "HANA@globex.example"}, key=gus)
    assert done == {"organization": "2", "owner": hana, "former_owner": "gus@globex.example"}
    roles = {u["id"]: u["role"] for u in api.ok("GET", "/v1/users", organization="2")["items"]}
    assert (roles[hana], roles["gus@globex.example"]) == ("owner", "admin")
    assert [e["type"] for e in api.events()[before:]] == ["user.role_changed"] * 2
    assert api.refused(403, "POST", owner, {"user": "gus@globex.example"}, key=gus) == "permission_denied"
    robot = api.user("robot@globex.example", "service_account", "2")
    api.ok("PATCH", f"/v1/users/{robot}", {"status": "suspended"})
    assert api.refused(409, "POST", owner, {"user": robot}) == "conflict"
    assert api.ok("POST", owner, {"user": "eve@globex.example"})["former_owner"] == hana


def test_staging_is_set_up_by_the_operators_owner_and_has_keys_of_its_own(api: Api) -> None:
    gus = globex_owner(api)
    staging = "/v1/environments/staging"
    assert api.refused(403, "PUT", staging, {}, key=gus) == "permission_denied"
    assert api.refused(422, "PUT", "/v1/environments/lab", {}) == "invalid_request"
    assert api.refused(422, "PUT", staging, {"statement_timeout_ms": 1}) == "invalid_request"
    made = api.ok("PUT", staging, {"statement_timeout_ms": 60_000, "retention_days": 30})
    assert (made["statement_timeout_ms"], made["retention_days"], made["result_rows_max"]) == (60_000, 30, 0)
    assert api.ok("PUT", staging, {"result_rows_max": 5})["statement_timeout_ms"] == 60_000
    assert [e["name"] for e in api.ok("GET", "/v1/environments")["items"]] == ["production", "staging"]
    key = api.ok("POST", f"{staging}/keys", {"name": "s", "user": "olga@acme.example", "scopes": ["admin"]})["key"]
    assert key.startswith("hd_test_")
    assert [e["name"] for e in api.ok("GET", "/v1/environments", key=key)["items"]] == ["staging"]
    events = api.ok("GET", f"{staging}/audit/admin", order="oldest")["items"]
    assert [e["type"] for e in events] == ["environment.updated", "environment.updated", "key.created"]
    assert events[0]["before"] is None
    book = api.node("GET", "/v1/nodes/rulebook", environment="staging").body
    assert book.get("rulebook", book)["environment"] == "staging"


def test_h13_an_environment_chooses_what_the_audit_keeps_and_never_shortens_it(api: Api) -> None:
    production = "/v1/environments/production"
    pattern = {"name": "PATIENT", "expression": "MRN-[0-9]{6}"}
    made = api.ok("PUT", production, {"audit_sql_form": "fingerprint", "redaction_patterns": [pattern]})
    assert (made["audit_sql_form"], made["redaction_patterns"]) == ("fingerprint", [pattern])
    assert api.ok("PUT", production, {"result_rows_max": 5})["redaction_patterns"] == [pattern]
    (event,) = api.ok("GET", f"{production}/audit/admin", type="environment.updated", limit="1")["items"][:1]
    assert event["after"]["redaction_patterns"] == [pattern]
    book = api.node("GET", "/v1/nodes/rulebook").body
    audit = {"audit_sql_form": "fingerprint", "redaction_patterns": [pattern]}
    assert book.get("rulebook", book)["audit"] == audit
    for wrong in (
        {"audit_sql_form": "raw"},
        {"redaction_patterns": [{"name": "lower", "expression": "x"}]},
        {"redaction_patterns": [{"name": "A", "expression": "("}]},
        {"redaction_patterns": [{"name": "A", "expression": "x*"}]},
        {"redaction_patterns": [pattern, pattern]},
        {"redaction_patterns": [{"name": f"P{n}", "expression": "x"} for n in range(65)]},
        {"retention_days": 30},
    ):
        assert api.refused(422, "PUT", production, wrong) == "invalid_request", wrong
    assert api.ok("PUT", production, {"retention_days": 5000})["retention_days"] == 5000


def test_two_users_of_an_organization_are_never_called_the_same_in_its_data(api: Api) -> None:
    gus = globex_owner(api)
    api.user("emp7@globex.example", "analyst", "2", id="emp-7")
    clash = {"email": "other@globex.example", "role": "analyst", "id": "2:emp-7"}
    assert api.refused(409, "POST", "/v1/users", clash, key=gus) == "conflict"
    api.ok("POST", "/v1/users", {**clash, "id": "2:emp-8"}, key=gus)
    theirs = {"email": "third@globex.example", "role": "analyst", "id": "emp-8", "organization": "2"}
    assert api.refused(409, "POST", "/v1/users", theirs) == "conflict"
    assert local_id("2:emp-8", "2") == "emp-8"
    assert local_id("2:emp-8", "1") == "2:emp-8"
