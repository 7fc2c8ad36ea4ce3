"""Just-in-time access over the API: asked for, lent by somebody else, through one key, for minutes (H15.4)."""

from __future__ import annotations

from typing import Any

from governance.register import KeyRecord
from lambdas.access_review.task import run
from tests.control_plane.conftest import Api

REQUESTS = "/v1/environments/production/access-requests"
WISH = {"role": "auditor", "minutes": 30, "reason": "Incident 4711: who read the ledger?"}


def analyst(api: Api, email: str = "ana@acme.example") -> str:
    return str(api.key_for(api.user(email, "analyst"), "read_only")["key"])


def admin(api: Api, email: str = "adam@acme.example") -> str:
    return str(api.key_for(api.user(email, "admin"), "admin")["key"])


def granted(api: Api, key: str, by: str | None = None, **wish: Any) -> dict[str, Any]:
    asked = api.ok("POST", REQUESTS, {**WISH, **wish}, key=key)
    lent: dict[str, Any] = api.ok("POST", f"{REQUESTS}/{asked['id']}/approve", {}, key=by)
    return lent


def lent_key(api: Api, key: str, grant: dict[str, Any]) -> str:
    return str(api.ok("POST", f"{REQUESTS}/{grant['id']}/key", key=key)["key"])


def test_h15_4_a_lent_role_counts_through_its_key_alone_and_ends_by_itself(api: Api) -> None:
    ana, adam = analyst(api), admin(api)
    grant = granted(api, ana, adam)
    assert (grant["status"], grant["approver_id"]) == ("granted", "adam@acme.example")
    assert (grant["starts_at"], grant["ends_at"]) == ("2026-11-22T03:00:00.000000Z", "2026-11-22T03:30:00.000000Z")
    key = lent_key(api, ana, grant)
    assert api.ok("GET", "/v1/whoami", key=key)["role"] == "auditor"
    assert api.ok("GET", "/v1/whoami", key=ana)["role"] == "analyst"
    audit = "/v1/environments/production/audit/admin"
    assert api.call("GET", audit, key=key).status == 200
    assert api.refused(403, "GET", audit, key=ana) == "permission_denied"
    api.clock.forward(minutes=29)
    assert api.call("GET", audit, key=key).status == 200
    api.clock.forward(minutes=1)
    assert api.refused(401, "GET", audit, key=key) == "authentication_failed"
    assert api.ok("GET", REQUESTS, key=ana)["items"][0]["status"] == "ended"


def test_h15_4_every_step_is_an_event_of_the_closed_list(api: Api) -> None:
    ana, adam = analyst(api), admin(api)
    lent_key(api, ana, granted(api, ana, adam))
    api.clock.forward(hours=1)
    assert len(run(api.store, api.clock).ended) == 1
    assert run(api.store, api.clock).ended == []
    denied = api.ok("POST", REQUESTS, WISH, key=ana)
    api.ok("POST", f"{REQUESTS}/{denied['id']}/deny", key=adam)
    withdrawn = api.ok("POST", REQUESTS, WISH, key=ana)
    api.ok("DELETE", f"{REQUESTS}/{withdrawn['id']}", key=ana)
    steps = [
        (e["type"], e["after"]["status"], e["actor"]["user_id"]) for e in api.events() if e["type"].startswith("access")
    ]
    assert steps == [
        ("access.requested", "requested", "ana@acme.example"),
        ("access.changed", "granted", "adam@acme.example"),
        ("access.changed", "ended", "hatidata"),
        ("access.requested", "requested", "ana@acme.example"),
        ("access.changed", "denied", "adam@acme.example"),
        ("access.requested", "requested", "ana@acme.example"),
        ("access.changed", "canceled", "ana@acme.example"),
    ]
    made = next(e for e in api.events() if e["type"] == "key.created" and e["after"]["role"])
    assert (made["after"]["role"], made["actor"]["user_id"]) == ("auditor", "ana@acme.example")
    assert api.ok("GET", "/v1/environments/production/audit/admin/verify-chain")["holds"]


def test_h15_4_nobody_answers_his_own_request_and_only_an_owner_lends_an_admins_role(api: Api) -> None:
    adam, eve = admin(api), admin(api, "eve@acme.example")
    own = api.ok("POST", REQUESTS, WISH, key=adam)
    assert api.refused(403, "POST", f"{REQUESTS}/{own['id']}/approve", key=adam) == "permission_denied"
    assert api.refused(403, "POST", f"{REQUESTS}/{own['id']}/approve", key=eve) == "permission_denied"
    assert api.refused(403, "POST", f"{REQUESTS}/{own['id']}/deny", key=eve) == "permission_denied"
    ana = analyst(api)
    high = api.ok("POST", REQUESTS, {**WISH, "role": "admin"}, key=ana)
    assert api.refused(403, "POST", f"{REQUESTS}/{high['id']}/approve", key=adam) == "permission_denied"
    assert api.refused(403, "POST", f"{REQUESTS}/{high['id']}/approve", key=ana) == "permission_denied"
    assert api.ok("POST", f"{REQUESTS}/{high['id']}/approve")["status"] == "granted"


def test_what_may_not_be_asked_for(api: Api) -> None:
    ana = analyst(api)
    for wish in (
        {"role": "owner"}, {"role": "service_account"}, {"role": "analyst"}, {"minutes": 0}, {"minutes": 481},
        {"reason": ""}, {"reason": "a\nb c"}, {"scopes": ["keys:manage"]}, {"scopes": ["everything"]},
    ):  # fmt: skip
        assert api.refused(422, "POST", REQUESTS, {**WISH, **wish}, key=ana) == "invalid_request"
    assert api.refused(422, "POST", REQUESTS, WISH) == "invalid_request"  # an Owner
    robot = str(api.key_for(api.user("etl@acme.example", "service_account"), "read_only")["key"])
    assert api.refused(403, "POST", REQUESTS, WISH, key=robot) == "permission_denied"
    agent = str(api.key_for("ana@acme.example", "agent", agent={"id": "bot-7"})["key"])
    assert api.refused(403, "POST", REQUESTS, WISH, key=agent) == "permission_denied"
    api.ok("POST", REQUESTS, WISH, key=ana)
    assert api.refused(409, "POST", REQUESTS, WISH, key=ana) == "conflict"


def test_a_request_that_nobody_answers_for_a_day_is_too_old_and_makes_room(api: Api) -> None:
    ana = analyst(api)
    first = api.ok("POST", REQUESTS, WISH, key=ana)
    api.clock.forward(hours=24)
    assert api.refused(409, "POST", f"{REQUESTS}/{first['id']}/approve") == "conflict"
    second = api.ok("POST", REQUESTS, WISH, key=ana)
    assert [r["status"] for r in api.ok("GET", REQUESTS, key=ana)["items"] if r["id"] == first["id"]] == ["canceled"]
    assert api.ok("POST", f"{REQUESTS}/{second['id']}/approve")["status"] == "granted"


def test_what_is_lent_cannot_be_lent_on_nor_kept(api: Api) -> None:
    ana, bob = analyst(api), analyst(api, "bob@acme.example")
    key = lent_key(api, ana, granted(api, ana, role="admin"))
    asked = api.ok("POST", REQUESTS, WISH, key=bob)
    assert api.refused(403, "POST", f"{REQUESTS}/{asked['id']}/approve", key=key) == "permission_denied"
    assert api.refused(403, "POST", REQUESTS, WISH, key=key) == "permission_denied"
    for change in ({"role": "developer"}, {"attributes": {"region": "all"}}):
        assert api.refused(403, "PATCH", "/v1/users/ana@acme.example", change, key=key) == "permission_denied"
    keys = "/v1/environments/production/keys"
    forever = {"name": "forever", "user": "ana@acme.example", "scopes": ["read_only"]}
    assert api.refused(403, "POST", keys, forever, key=key) == "permission_denied"
    short = api.ok("POST", keys, {**forever, "expires_at": "2026-11-22T03:10:00Z"}, key=key)
    assert (short["role"], short["elevation"] != "") == ("", True)
    lent = next(k for k in api.ok("GET", keys)["items"] if k["role"] == "admin")
    assert api.refused(409, "POST", f"{keys}/{lent['id']}/rotate") == "conflict"


def test_h15_4_a_grant_taken_back_ends_its_key_and_every_key_made_with_it(api: Api) -> None:
    ana = analyst(api)
    grant = granted(api, ana, role="admin")
    key = lent_key(api, ana, grant)
    puppet = api.user("puppet@acme.example", "analyst")
    made = api.key_for(puppet, "read_only", maker=key, expires_at="2026-11-22T03:10:00Z")["key"]
    for each in (key, made):
        assert api.call("GET", "/v1/whoami", key=each).status == 200
    assert api.ok("POST", f"{REQUESTS}/{grant['id']}/revoke")["status"] == "revoked"
    for each in (key, made):
        assert api.refused(401, "GET", "/v1/whoami", key=each) == "authentication_failed"
    assert api.refused(409, "POST", f"{REQUESTS}/{grant['id']}/key", key=ana) == "conflict"
    assert api.call("GET", "/v1/whoami", key=ana).status == 200


def test_the_key_is_shown_to_whoever_asked_with_the_key_he_asked_with(api: Api) -> None:
    ana, adam, bob = analyst(api), admin(api), analyst(api, "bob@acme.example")
    grant = granted(api, ana, adam)
    assert api.refused(403, "POST", f"{REQUESTS}/{grant['id']}/approve", key=bob) == "permission_denied"
    for key in (adam, bob):
        assert api.refused(404, "POST", f"{REQUESTS}/{grant['id']}/key", key=key) == "not_found"
    other = str(api.key_for("ana@acme.example", "read_only")["key"])
    assert api.refused(403, "POST", f"{REQUESTS}/{grant['id']}/key", key=other) == "permission_denied"
    first, second = lent_key(api, ana, grant), lent_key(api, ana, grant)
    assert api.refused(401, "GET", "/v1/whoami", key=first) == "authentication_failed"
    assert api.call("GET", "/v1/whoami", key=second).status == 200


def test_the_lent_key_is_no_wider_than_the_key_that_asked(api: Api) -> None:
    user = api.user("ana@acme.example", "analyst")
    narrow = api.key_for(
        user, "read_only", networks=["127.0.0.0/8"], allowed_tables=["sales.*"], expires_at="2026-11-22T03:10:00Z",
        quota={"queries_per_day": 50},
    )  # fmt: skip
    made = api.ok("POST", f"{REQUESTS}/{granted(api, narrow['key'])['id']}/key", key=narrow["key"])
    for field in ("networks", "allowed_tables", "expires_at", "quota"):
        assert made[field] == narrow[field]
    with api.store.read() as reader:
        record = reader.get(KeyRecord, "production", made["id"])
    assert record is not None
    assert record.for_node().role is record.role


def test_h15_5_suspension_demotion_and_removal_end_what_is_lent(api: Api) -> None:
    for number, change in enumerate(({"status": "suspended"}, {"role": "developer"}, None)):
        email = f"u{number}@acme.example"
        ana = analyst(api, email)
        grant = granted(api, ana, role="admin")
        key = lent_key(api, ana, grant)
        api.ok("PATCH", f"/v1/users/{email}", change) if change else api.ok("DELETE", f"/v1/users/{email}")
        assert api.refused(401, "GET", "/v1/whoami", key=key) == "authentication_failed"
        if number == 0:
            api.ok("PATCH", f"/v1/users/{email}", {"status": "active"})
        assert api.refused(401, "GET", "/v1/whoami", key=key) == "authentication_failed"
        found = [r for r in api.ok("GET", REQUESTS)["items"] if r["id"] == grant["id"]]
        assert [r["status"] for r in found] == ["revoked"]


def test_h14_requests_of_another_organization_do_not_exist(api: Api) -> None:
    api.ok("POST", "/v1/organizations", {"id": "2", "name": "Globex"})
    gus = str(api.key_for(api.user("gus@globex.example", "owner", "2"), "admin")["key"])
    asked = api.ok("POST", REQUESTS, WISH, key=analyst(api))
    assert api.ok("GET", REQUESTS, key=gus)["items"] == []
    for step in ("approve", "deny", "revoke"):
        assert api.refused(404, "POST", f"{REQUESTS}/{asked['id']}/{step}", key=gus) == "not_found"
