"""API keys through the API: shown once, never wider than their maker, rotated with grace, revoked at once."""

from __future__ import annotations

from typing import Any

from tests.control_plane.conftest import Api

KEYS = "/v1/environments/production/keys"


def refuse_key(api: Api, status: int, maker: str | None = None, **body: Any) -> str:
    whole = {"name": "k", "user": "olga@acme.example", "scopes": ["read_only"]} | body
    return api.refused(status, "POST", KEYS, whole, key=maker)


def test_w3_3_the_key_is_shown_at_creation_and_never_again_or_elsewhere(api: Api) -> None:
    made = api.key_for("olga@acme.example", "read_only", name="ana")
    secret = made.pop("key")
    assert secret.startswith("hd_live_")
    shown = api.answers.pop()
    rotated = api.ok("POST", f"{KEYS}/{made['id']}/rotate")
    api.answers.pop()
    api.ok("GET", KEYS)
    api.ok("GET", f"{KEYS}/{made['id']}")
    api.events()
    api.node("GET", "/v1/nodes/rulebook")
    api.ok("DELETE", f"{KEYS}/{made['id']}")
    everything = "".join(answer.text for answer in api.answers)
    assert secret in shown.text
    assert secret not in everything
    assert rotated["key"] not in everything
    with api.store.read() as reader:
        assert secret not in "".join(reader.events("production", after=0, limit=1000))
    outside_the_rulebook = "".join(a.text for a in api.answers if '"policies"' not in a.text)
    assert "argon2" not in outside_the_rulebook


def test_w3_3_each_stored_hash_is_argon2id_with_a_salt_of_its_own(api: Api) -> None:
    for name in ("a", "b"):
        api.key_for("olga@acme.example", "read_only", name=name)
    hashes = [key["hash"] for key in api.node("GET", "/v1/nodes/rulebook").body["keys"]]
    assert len(hashes) == 3
    assert len({text.split("$")[4] for text in hashes}) == 3
    assert all(text.startswith("$argon2id$v=19$m=19456,t=2,p=1$") for text in hashes)


def test_w3_2_w3_4_a_key_has_its_environments_brand_and_opens_only_that(api: Api) -> None:
    with_scopes = api.key_for("olga@acme.example", "read_only", "agent", name="x")
    assert set(with_scopes["scopes"]) >= {"query:read", "cot:write"}
    assert with_scopes["environment"] == "production"
    ana = api.user("ana@acme.example", "analyst")
    key = api.key_for(ana, "read_only")["key"]
    assert api.refused(404, "GET", "/v1/environments/staging/tables", key=key) == "not_found"
    assert api.refused(404, "GET", "/v1/environments/none/tables") == "not_found"


MALFORMED: list[dict[str, Any]] = [
    {"scopes": ["everything"]},
    {"scopes": []},
    {"networks": ["10.0.0.1/8"]},
    {"networks": ["localhost"]},
    {"expires_at": "2020-01-01T00:00:00Z"},
    {"expires_at": "2027-01-01"},
    {"expires_at": "tomorrow"},
    {"allowed_tables": ["sales"]},
    {"allowed_tables": ["a.b.c"]},
    {"dialect": "klingon"},
    {"agent": {"framework": "x"}},
    {"name": ""},
    {"name": "a\nb"},
    {"key": "hd_live_mine"},
]


def test_a_key_that_is_not_well_formed_is_refused(api: Api) -> None:
    for body in MALFORMED:
        assert refuse_key(api, 422, **body) == "invalid_request"


def test_names_are_unique_among_an_organizations_active_keys(api: Api) -> None:
    made = api.key_for("olga@acme.example", "read_only", name="ana")
    assert refuse_key(api, 409, name="ana") == "conflict"
    api.ok("DELETE", f"{KEYS}/{made['id']}")
    api.key_for("olga@acme.example", "read_only", name="ana")


def test_w3_5_a_key_is_refused_from_outside_its_networks(api: Api) -> None:
    made = api.key_for("olga@acme.example", "read_only", networks=["10.0.0.0/8", "2001:db8::/32"])["key"]
    for inside in ("10.1.2.3", "2001:db8::5", "::ffff:10.1.2.3"):
        assert api.call("GET", "/v1/whoami", key=made, source=inside).status == 200
    for outside in ("127.0.0.1", "2001:db9::1", "", "x", "10.1.2.3, 11.0.0.1"):
        assert api.refused(401, "GET", "/v1/whoami", key=made, source=outside) == "authentication_failed"


def test_an_expired_key_is_refused_and_shown_as_expired(api: Api) -> None:
    made = api.key_for("olga@acme.example", "read_only", expires_at="2026-11-22T05:00:00+01:00")
    assert made["expires_at"] == "2026-11-22T04:00:00.000000Z"
    api.clock.forward(minutes=59)
    assert api.call("GET", "/v1/whoami", key=made["key"]).status == 200
    api.clock.forward(minutes=1)
    assert api.refused(401, "GET", "/v1/whoami", key=made["key"]) == "authentication_failed"
    assert api.ok("GET", f"{KEYS}/{made['id']}")["status"] == "expired"


def test_w3_6_after_rotation_old_and_new_are_both_valid_for_72_hours(api: Api) -> None:
    old = api.key_for("olga@acme.example", "read_only", name="ana", networks=["127.0.0.0/8"])
    new = api.ok("POST", f"{KEYS}/{old['id']}/rotate")
    assert new["name"] == "ana"
    assert (new["networks"], new["scopes"]) == (old["networks"], old["scopes"])
    api.clock.forward(hours=71, minutes=59)
    for each in (old, new):
        assert api.call("GET", "/v1/whoami", key=each["key"]).status == 200
    api.clock.forward(minutes=1)
    assert api.refused(401, "GET", "/v1/whoami", key=old["key"]) == "authentication_failed"
    assert api.call("GET", "/v1/whoami", key=new["key"]).status == 200
    assert api.refused(409, "POST", f"{KEYS}/{old['id']}/rotate") == "conflict"


def test_a_second_rotation_ends_the_oldest_and_never_stretches_an_expiry(api: Api) -> None:
    first = api.key_for("olga@acme.example", "read_only", name="ana", expires_at="2026-11-23T00:00:00Z")
    second = api.ok("POST", f"{KEYS}/{first['id']}/rotate")
    third = api.ok("POST", f"{KEYS}/{second['id']}/rotate")
    assert api.refused(401, "GET", "/v1/whoami", key=first["key"]) == "authentication_failed"
    assert api.call("GET", "/v1/whoami", key=second["key"]).status == 200
    assert third["expires_at"] == first["expires_at"]
    api.clock.forward(hours=21)
    for each in (second, third):
        assert api.refused(401, "GET", "/v1/whoami", key=each["key"]) == "authentication_failed"


def test_a_rotation_without_grace_ends_the_old_key_at_once(api: Api) -> None:
    old = api.key_for("olga@acme.example", "read_only")
    api.ok("POST", f"{KEYS}/{old['id']}/rotate", {"grace_hours": 0})
    assert api.refused(401, "GET", "/v1/whoami", key=old["key"]) == "authentication_failed"
    assert api.refused(422, "POST", f"{KEYS}/{old['id']}/rotate", {"grace_hours": 73}) == "invalid_request"


def test_a_revoked_key_ends_at_once_though_it_was_just_verified(api: Api) -> None:
    made = api.key_for("olga@acme.example", "read_only")
    assert api.call("GET", "/v1/whoami", key=made["key"]).status == 200
    assert api.ok("DELETE", f"{KEYS}/{made['id']}")["status"] == "revoked"
    assert api.refused(401, "GET", "/v1/whoami", key=made["key"]) == "authentication_failed"
    before = len(api.events())
    assert api.ok("DELETE", f"{KEYS}/{made['id']}")["status"] == "revoked"
    assert len(api.events()) == before
    assert made["id"] not in {key["id"] for key in api.node("GET", "/v1/nodes/rulebook").body["keys"]}


def test_a_key_may_not_do_more_than_its_maker(api: Api) -> None:
    adam = api.user("adam@acme.example", "admin")
    narrow = api.key_for(
        adam,
        "keys:manage",
        "query:read",
        networks=["127.0.0.0/8"],
        allowed_tables=["sales.*"],
        agent={"id": "bot"},
        expires_at="2026-12-01T00:00:00Z",
    )["key"]
    good: dict[str, Any] = {
        "user": adam,
        "scopes": ["query:read"],
        "networks": ["127.0.0.0/16"],
        "allowed_tables": ["sales.orders"],
        "agent": {"id": "bot"},
        "expires_at": "2026-11-30T00:00:00Z",
    }
    api.ok("POST", KEYS, good | {"name": "child"}, key=narrow)
    wider: list[dict[str, Any]] = [
        {"scopes": ["users:manage"]},
        {"scopes": ["admin"]},
        {"networks": []},
        {"networks": ["0.0.0.0/0"]},
        {"networks": ["::/0"]},
        {"allowed_tables": []},
        {"allowed_tables": ["hr.people"]},
        {"agent": None},
        {"agent": {"id": "other"}},
        {"expires_at": ""},
        {"expires_at": "2026-12-02T00:00:00Z"},
    ]
    for change in wider:
        assert refuse_key(api, 403, narrow, **(good | change)) == "permission_denied"


def test_an_admin_has_no_hand_on_the_keys_of_owners_and_other_admins(api: Api) -> None:
    adam, eve = api.user("adam@acme.example", "admin"), api.user("eve@acme.example", "admin")
    key = api.key_for(adam, "admin")["key"]
    others = [api.key_for(eve, "read_only"), api.key_for("olga@acme.example", "read_only")]
    for user in (eve, "olga@acme.example"):
        assert refuse_key(api, 403, key, user=user) == "permission_denied"
    for other in others:
        assert api.refused(403, "DELETE", f"{KEYS}/{other['id']}", key=key) == "permission_denied"
        assert api.refused(403, "POST", f"{KEYS}/{other['id']}/rotate", key=key) == "permission_denied"
    api.key_for(adam, "read_only", maker=key)


def test_rotating_another_users_key_needs_the_scopes_that_it_carries(api: Api) -> None:
    ana, adam = api.user("ana@acme.example", "analyst"), api.user("adam@acme.example", "admin")
    target = api.key_for(ana, "query:read")
    keys_only = api.key_for(adam, "keys:manage")["key"]
    assert api.refused(403, "POST", f"{KEYS}/{target['id']}/rotate", key=keys_only) == "permission_denied"
    api.ok("DELETE", f"{KEYS}/{target['id']}", key=keys_only)


def test_w3_4_a_demoted_users_key_shrinks_with_him(api: Api) -> None:
    adam = api.user("adam@acme.example", "admin")
    key = api.key_for(adam, "admin")["key"]
    assert api.call("GET", "/v1/users", key=key).status == 200
    api.ok("PATCH", f"/v1/users/{adam}", {"role": "analyst"})
    assert api.refused(403, "GET", "/v1/users", key=key) == "permission_denied"
    who = api.ok("GET", "/v1/whoami", key=key)
    assert "users:manage" not in who["scopes"]
    assert "users:manage" in who["granted_scopes"]


def test_h14_another_organizations_keys_answer_like_missing_ones(api: Api) -> None:
    api.ok("POST", "/v1/organizations", {"id": "2", "name": "Globex"})
    gus = api.key_for(api.user("gus@globex.example", "owner", "2"), "admin")["key"]
    ours = api.key_for("olga@acme.example", "read_only")
    for method, tail in (("GET", ""), ("DELETE", ""), ("POST", "/rotate")):
        foreign = api.call(method, f"{KEYS}/{ours['id']}{tail}", key=gus)
        missing = api.call(method, f"{KEYS}/key-none{tail}", key=gus)
        assert foreign.status == missing.status == 404
        assert foreign.body["error"]["message"] == missing.body["error"]["message"]
    assert {key["organization"] for key in api.ok("GET", KEYS, key=gus)["items"]} == {"2"}
    foreign = api.call("POST", KEYS, {"name": "k", "user": "olga@acme.example", "scopes": ["read_only"]}, key=gus)
    missing = api.call("POST", KEYS, {"name": "k", "user": "none@acme.example", "scopes": ["read_only"]}, key=gus)
    assert foreign.body["error"]["message"] == missing.body["error"]["message"]
    api.key_for("gus@globex.example", "read_only", name="owner")  # a name of ours is no secret of theirs


def test_last_use_is_told_by_nodes_and_never_moves_back(api: Api) -> None:
    made = api.key_for("olga@acme.example", "read_only")
    report: dict[str, Any] = {"environment": "production", "figures": {}}
    for at in ("2026-11-22T02:00:00Z", "2026-11-22T01:00:00Z", "nonsense"):
        assert (
            api.node("PUT", "/v1/nodes/figures", report | {"keys_used": {made["id"]: at, "key-none": at}}).status == 200
        )
    assert api.ok("GET", f"{KEYS}/{made['id']}")["last_used_at"] == "2026-11-22T02:00:00.000000Z"
    api.node("PUT", "/v1/nodes/figures", report | {"keys_used": {made["id"]: "2036-01-01T00:00:00Z"}})
    assert api.ok("GET", f"{KEYS}/{made['id']}")["last_used_at"] == "2026-11-22T03:00:00.000000Z"


def test_last_use_is_noted_by_the_api_too_once_a_minute(api: Api) -> None:
    made = api.key_for("olga@acme.example", "read_only")
    assert made["last_used_at"] == ""
    seen = []
    for _ in range(3):
        api.call("GET", "/v1/whoami", key=made["key"])
        seen.append(api.ok("GET", f"{KEYS}/{made['id']}")["last_used_at"])
        api.clock.forward(seconds=40)
    assert seen == [f"2026-11-22T03:0{at}.000000Z" for at in ("0:00", "0:00", "1:20")]


def test_a_key_rotates_by_itself_after_four_days_or_more(api: Api) -> None:
    for days in (1, 3, -1, 3651):
        assert refuse_key(api, 422, rotate_after_days=days) == "invalid_request"
    assert api.key_for("olga@acme.example", "read_only", rotate_after_days=4)["rotate_after_days"] == 4


def test_w5_5_rotation_and_revocation_are_in_the_chain(api: Api) -> None:
    made = api.key_for("olga@acme.example", "read_only")
    successor = api.ok("POST", f"{KEYS}/{made['id']}/rotate")
    api.ok("DELETE", f"{KEYS}/{made['id']}")
    kinds = [(event["type"], event["target"]) for event in api.events()[-4:]]
    assert kinds == [
        ("key.created", made["id"]),
        ("key.created", successor["id"]),
        ("key.rotated", made["id"]),
        ("key.revoked", made["id"]),
    ]
    rotated = api.events()[-2]
    assert rotated["after"]["grace_until"] == "2026-11-25T03:00:00.000000Z"
    assert rotated["after"]["rotated_to"] == successor["id"]
