"""Invitations over the API: bound to an address, shown once, hashed at rest, over in days, all or nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest

from governance.invitation import Invitation, new_token
from governance.stored_record import encode_record
from tests.control_plane.conftest import Api

INVITATIONS = "/v1/invitations"
ACCEPT = "/v1/invitations/accept"


def admin(api: Api, email: str = "adam@acme.example", organization: str = "1", **more: Any) -> str:
    return str(api.key_for(api.user(email, "admin", organization), "admin", **more)["key"])


def invited(api: Api, key: str | None = None, **more: Any) -> dict[str, Any]:
    body = {"email": "ivy@acme.example", "role": "analyst", **more}
    made: dict[str, Any] = api.ok("POST", INVITATIONS, body, key=key)
    return made


def accepted(api: Api, made: dict[str, Any], email: str = "") -> dict[str, Any]:
    body = {"token": made["token"], "email": email or made["email"]}
    key: dict[str, Any] = api.ok("POST", ACCEPT, body, key="")
    return key


def test_an_invited_address_becomes_a_user_with_his_first_key_once(api: Api) -> None:
    adam = admin(api)
    made = invited(api, adam, attributes={"region": "emea"})
    assert made["token"].startswith("hd_invite_")
    assert made["expires_at"] == "2026-11-25T03:00:00.000000Z"
    assert [item["id"] for item in api.ok("GET", INVITATIONS, key=adam)["items"]] == [made["id"]]
    key = accepted(api, made, "IVY@acme.example")
    who = api.ok("GET", "/v1/whoami", key=key["key"])
    assert (who["role"], who["email"], who["organization"]) == ("analyst", "ivy@acme.example", "1")
    assert api.ok("GET", f"/v1/users/{who['user_id']}")["attributes"] == {"region": "emea"}
    again = {"token": made["token"], "email": made["email"]}
    assert api.refused(404, "POST", ACCEPT, again, key="") == "not_found"
    assert api.ok("GET", INVITATIONS, key=adam)["items"] == []
    steps = [(e["type"], e["actor"]["user_id"]) for e in api.events()][-3:]
    assert steps == [
        ("user.invited", "adam@acme.example"), ("user.created", who["user_id"]), ("key.created", who["user_id"])
    ]  # fmt: skip


def test_w3_3_the_token_is_nowhere_but_in_the_one_answer(api: Api) -> None:
    made = invited(api)
    token = made["token"]
    with api.store.read() as reader:
        (record,) = reader.every(Invitation, "")
        chain = "".join(reader.events("production", after=0, limit=1000))
    assert token not in json.dumps(encode_record(record)) + repr(record) + chain
    assert record.token_hash not in chain + repr(record)
    others = [answer.text for answer in api.answers[:-1]] + [api.call("GET", INVITATIONS).text]
    assert not any(token in text for text in others)


def test_whatever_is_wrong_with_a_token_is_told_alike(api: Api) -> None:
    made = invited(api, hours=1)
    answers = [
        api.call("POST", ACCEPT, {"token": token, "email": email}, key="")
        for token, email in (
            (made["token"], "else@acme.example"),
            (made["token"][:-1] + ("A" if made["token"][-1] != "A" else "B"), made["email"]),
            (new_token(), made["email"]),
            ("x", made["email"]),
            ("hd_invite_", made["email"]),
        )
    ]
    api.clock.forward(hours=1)
    answers.append(api.call("POST", ACCEPT, {"token": made["token"], "email": made["email"]}, key=""))
    assert {(answer.status, answer.body["error"]["message"]) for answer in answers} == {
        (404, "There is no such invitation that is open for you.")
    }


def test_an_invitation_can_be_taken_back(api: Api) -> None:
    adam = admin(api)
    made, high = invited(api), invited(api, role="admin", email="eve@acme.example")
    assert api.refused(403, "DELETE", f"{INVITATIONS}/{high['id']}", key=adam) == "permission_denied"
    api.ok("DELETE", f"{INVITATIONS}/{made['id']}", key=adam)
    assert api.refused(404, "POST", ACCEPT, {"token": made["token"], "email": made["email"]}, key="") == "not_found"
    last = api.events()[-1]
    assert (last["type"], last["before"]["status"], last["after"]) == ("user.removed", "invited", None)


def test_w3_1_nobody_invites_above_himself(api: Api) -> None:
    adam = admin(api)
    for role in ("admin", "owner"):
        body = {"email": "x@acme.example", "role": role}
        assert api.refused(403, "POST", INVITATIONS, body, key=adam) == "permission_denied"
    assert api.refused(403, "POST", INVITATIONS, {"email": "x@acme.example", "role": "owner"}) == "permission_denied"
    for scopes in (["orgs:manage"], ["billing:manage"]):
        body = {"email": "x@acme.example", "role": "analyst", "scopes": scopes}
        assert api.refused(403, "POST", INVITATIONS, body, key=adam) == "permission_denied"
    assert api.refused(422, "POST", INVITATIONS, {"email": "x@acme.example", "role": "analyst", "hours": 169})
    api.ok("POST", "/v1/organizations", {"id": "2", "name": "Globex"})
    foreign = {"email": "x@g.example", "role": "analyst", "organization": "2"}
    assert api.refused(404, "POST", INVITATIONS, foreign, key=adam) == "not_found"
    made = invited(api, email="gus@globex.example", role="owner", organization="2")
    api.user("gina@globex.example", "owner", "2")
    assert api.refused(404, "POST", ACCEPT, {"token": made["token"], "email": made["email"]}, key="") == "not_found"


@pytest.mark.parametrize("how", ["user suspended", "user removed", "user demoted", "key revoked", "key expired"])
def test_an_invitation_ends_with_whoever_made_it_and_with_his_key(api: Api, how: str) -> None:
    keys = "/v1/environments/production/keys"
    adam = api.key_for(api.user("adam@acme.example", "admin"), "admin", expires_at="2026-11-22T05:00:00Z")
    made = invited(api, adam["key"])
    assert made["expires_at"] == "2026-11-22T05:00:00.000000Z"
    if how == "user suspended":
        api.ok("PATCH", "/v1/users/adam@acme.example", {"status": "suspended"})
    elif how == "user removed":
        api.ok("DELETE", "/v1/users/adam@acme.example")
        assert [e["type"] for e in api.events()][-3:].count("user.removed") >= 1
    elif how == "user demoted":
        api.ok("PATCH", "/v1/users/adam@acme.example", {"role": "analyst"})
    elif how == "key revoked":
        api.ok("DELETE", f"{keys}/{adam['id']}")
    else:
        api.clock.forward(hours=2)
    assert api.refused(404, "POST", ACCEPT, {"token": made["token"], "email": made["email"]}, key="") == "not_found"


def test_the_first_key_is_no_wider_than_the_key_that_invited(api: Api) -> None:
    bounds = {"networks": ["127.0.0.0/8"], "allowed_tables": ["sales.*"], "expires_at": "2026-12-01T00:00:00Z"}
    adam = admin(api, **bounds)
    key = accepted(api, invited(api, adam))
    assert {name: key[name] for name in ("networks", "allowed_tables")} == {
        "networks": ["127.0.0.0/8"], "allowed_tables": ["sales.*"]
    }  # fmt: skip
    assert key["expires_at"] == "2026-12-01T00:00:00.000000Z"


def test_an_invitation_outlives_the_rotation_of_its_key_within_the_grace(api: Api) -> None:
    keys = "/v1/environments/production/keys"
    adam = api.key_for(api.user("adam@acme.example", "admin"), "admin")
    made = invited(api, adam["key"])
    api.ok("POST", f"{keys}/{adam['id']}/rotate")
    assert accepted(api, made)["expires_at"] == ""


def test_an_address_is_invited_once_at_a_time_and_a_user_not_again(api: Api) -> None:
    made = invited(api, hours=1)
    again = {"email": "IVY@acme.example", "role": "analyst"}
    assert api.refused(409, "POST", INVITATIONS, again) == "conflict"
    api.clock.forward(hours=1)
    made = api.ok("POST", INVITATIONS, again)
    accepted(api, made)
    assert api.refused(409, "POST", INVITATIONS, again) == "conflict"


def test_h14_inviting_tells_nothing_of_other_organizations_addresses(api: Api) -> None:
    api.ok("POST", "/v1/organizations", {"id": "2", "name": "Globex"})
    gus = str(api.key_for(api.user("gus@globex.example", "owner", "2"), "admin")["key"])
    invited(api)
    api.user("ana@acme.example", "analyst")
    assert api.ok("GET", INVITATIONS, key=gus)["items"] == []
    for email in ("ana@acme.example", "ivy@acme.example", "nobody@acme.example"):
        made = invited(api, gus, email=email)
        assert made["user_id"] == f"2:{email}"
        assert api.ok("GET", "/v1/whoami", key=accepted(api, made)["key"])["organization"] == "2"
