"""ETag and If-Match: nobody changes what he has not seen, and nobody learns what exists by trying."""

from __future__ import annotations

from typing import Any

import pytest

from tests.control_plane.conftest import Api

ENV = "/v1/environments/production"


def objects(api: Api) -> dict[str, tuple[str, str, dict[str, Any]]]:
    """What to call -> (path, method, a change of it)."""
    api.user("ana@acme.example", "analyst")
    api.ok("POST", "/v1/organizations", {"name": "Beta", "id": "beta"})
    key = api.key_for("ana@acme.example", "read_only")
    api.ok("PUT", f"{ENV}/schemas/sales", {"organization": "1"})
    return {
        "user": ("/v1/users/ana@acme.example", "PATCH", {"role": "auditor"}),
        "organization": ("/v1/organizations/beta", "PATCH", {"name": "Beta 2"}),
        "schema": (f"{ENV}/schemas/sales", "PUT", {"organization": "beta"}),
        "key": (f"{ENV}/keys/{key['id']}", "DELETE", None),
    }


def test_a_change_of_what_was_read_goes_through_and_of_something_older_does_not(api: Api) -> None:
    for path, method, body in objects(api).values():
        seen = api.call("GET", path) if method != "PUT" and "organizations" not in path else None
        if seen is not None:
            assert seen.headers["etag"].strip('"')
            assert api.call("GET", path).headers["etag"] == seen.headers["etag"]
            stale = api.call(method, path, body, headers={"if-match": '"0123"'})
            assert (stale.status, stale.code) == (412, "precondition_failed")
            assert api.call("GET", path).headers["etag"] == seen.headers["etag"]
            done = api.call(method, path, body, headers={"if-match": f'"x", {seen.headers["etag"]}'})
            assert done.status == 200
            if method != "DELETE":
                assert done.headers["etag"] != seen.headers["etag"]
                assert api.call("GET", path).headers["etag"] == done.headers["etag"]
            assert api.call(method, path, body, headers={"if-match": seen.headers["etag"]}).status == 412
        else:
            assert api.call(method, path, body, headers={"if-match": '"0123"'}).status == 412
            done = api.call(method, path, body, headers={"if-match": "*"})
            assert done.status == 200
            assert api.call(method, path, body, headers={"if-match": done.headers["etag"]}).status == 200


def test_a_creation_tells_the_etag_of_what_it_made(api: Api) -> None:
    made = api.call("POST", "/v1/users", {"email": "ana@acme.example", "role": "analyst"})
    assert made.headers["etag"] == api.call("GET", "/v1/users/ana@acme.example").headers["etag"]


def test_of_two_who_read_the_same_the_second_is_refused(api: Api) -> None:
    api.user("ana@acme.example", "analyst")
    seen = api.call("GET", "/v1/users/ana@acme.example").headers["etag"]
    path = "/v1/users/ana@acme.example"
    assert api.call("PATCH", path, {"role": "auditor"}, headers={"if-match": seen}).status == 200
    assert api.call("PATCH", path, {"role": "developer"}, headers={"if-match": seen}).status == 412
    assert api.ok("GET", path)["role"] == "auditor"


@pytest.mark.parametrize("tag", ['"x"', "*"])
def test_if_match_tells_nobody_what_exists(api: Api, tag: str) -> None:
    api.ok("POST", "/v1/organizations", {"name": "Beta", "id": "beta"})
    api.user("bea@beta.example", "owner", "beta")
    bea = api.key_for("bea@beta.example", "admin")["key"]
    answers = [
        api.call("PATCH", f"/v1/users/{who}", {"role": "analyst"}, key=bea, headers={"if-match": tag})
        for who in ("olga@acme.example", "nobody@acme.example")
    ]
    assert [(a.status, a.body["error"]["message"]) for a in answers] == [(404, "There is no such user.")] * 2


def test_if_match_where_it_means_nothing_is_refused_not_ignored(api: Api) -> None:
    answer = api.call("POST", "/v1/users", {"email": "a@acme.example", "role": "analyst"}, headers={"if-match": '"x"'})
    assert (answer.status, answer.code) == (422, "invalid_request")


def test_when_a_key_was_last_used_is_no_part_of_its_etag(api: Api) -> None:
    key = api.key_for("olga@acme.example", "read_only")
    path = f"{ENV}/keys/{key['id']}"
    before = api.call("GET", path)
    report = {"environment": "production", "figures": {}, "keys_used": {key["id"]: "2026-11-22T02:00:00Z"}}
    assert api.node("PUT", "/v1/nodes/figures", report).status == 200
    after = api.call("GET", path)
    assert after.body["last_used_at"] != before.body["last_used_at"]
    assert after.headers["etag"] == before.headers["etag"]
