"""The edges of the API: what every answer bears, what no request gets past, and what failures say."""

from __future__ import annotations

import base64
import logging
import threading
import time
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openapi_spec_validator import validate

from governance.api_key import new_key
from governance.permissions import ENDPOINTS, Entry
from lambdas.control_plane import authenticate
from tests.control_plane.conftest import Api

FIXTURE_OK = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def test_h7_no_answer_may_be_cached_and_each_has_a_request_id(api: Api) -> None:
    answers = [
        api.call("GET", "/v1/health"),
        api.call("GET", "/v1/whoami"),
        api.call("GET", "/v1/whoami", key=""),
        api.call("GET", "/v1/none"),
        api.call("POST", "/v1/users", raw="{"),
        api.node("GET", "/v1/nodes/rulebook"),
    ]
    assert {answer.headers["cache-control"] for answer in answers} == {"no-store"}
    assert len({answer.headers["x-request-id"] for answer in answers}) == len(answers)
    assert answers[2].headers["www-authenticate"] == "Bearer"
    for answer in answers[2:5]:
        assert set(answer.body["error"]) == {"code", "message", "advice", "request_id"}
        assert answer.body["error"]["request_id"] == answer.headers["x-request-id"]


def test_the_openapi_document_is_valid_and_names_exactly_the_endpoints(api: Api) -> None:
    document = api.ok("GET", "/v1/openapi.json", key="")
    validate(document)
    assert document["openapi"].startswith("3.1")
    named = {f"{method.upper()} {path}" for path, item in document["paths"].items() for method in item}
    assert named == {endpoint.name for endpoint in ENDPOINTS}
    for endpoint in ENDPOINTS:
        operation = document["paths"][endpoint.path][endpoint.method.lower()]
        assert operation["summary"]
        assert operation["responses"]["default"]
        assert (endpoint.entry is Entry.ANYONE) == ("security" not in operation)


def test_a_wrong_key_an_unknown_key_and_no_key_are_answered_alike(api: Api) -> None:
    known = api.key
    other = new_key("production")
    wrong = new_key("production")
    texts = set()
    for key in (other, wrong, known[:-1], "x", "hd_live_" + "0" * 32, known + " ", "Bearer"):
        answer = api.call("GET", "/v1/whoami", key=key)
        if key != known + " ":
            assert answer.status == 401
            error = answer.body["error"]
            texts.add((error["code"], error["message"], error["advice"]))
    assert api.refused(401, "GET", "/v1/whoami", key="", headers={"authorization": f"Basic {known}"})
    assert len(texts) == 1


def test_an_unknown_prefix_costs_as_much_as_a_wrong_key(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    verified: list[bool] = []
    real = authenticate.verify_key

    def counted(stored: str | None, key: str) -> bool:
        verified.append(stored is None)
        return real(stored, key)

    monkeypatch.setattr(authenticate, "verify_key", counted)
    assert api.refused(401, "GET", "/v1/whoami", key=new_key("production"))
    assert verified == [True]
    for _ in range(3):
        assert api.call("GET", "/v1/whoami").status == 200
    assert verified == [True, False]  # remembered, so hashed once
    api.clock.forward(seconds=61)
    assert api.call("GET", "/v1/whoami").status == 200
    assert verified == [True, False, False]


def test_failures_of_a_source_are_limited_without_shutting_out_a_known_key(api: Api) -> None:
    assert api.call("GET", "/v1/whoami").status == 200
    for _ in range(authenticate.FAILURES_MAX):
        assert api.refused(401, "GET", "/v1/whoami", key="hd_live_typo") == "authentication_failed"
    assert api.refused(429, "GET", "/v1/whoami", key="hd_live_typo") == "too_many_requests"
    assert api.refused(429, "GET", "/v1/whoami", key=new_key("production")) == "too_many_requests"
    assert api.call("GET", "/v1/whoami").status == 200
    assert api.refused(401, "GET", "/v1/whoami", key="hd_live_typo", source="10.0.0.9")
    api.clock.forward(seconds=61)
    assert api.refused(401, "GET", "/v1/whoami", key="hd_live_typo") == "authentication_failed"


BAD_PATHS = ["/v1/users/%2e%2e%2fx", "/v1/users/a%00b", "/v1/users/%ff", "/" + "x" * 2000, "/v1/users/a%0ab"]


def test_paths_that_are_not_well_formed_are_refused(api: Api) -> None:
    for path in BAD_PATHS:
        assert api.refused(422, "GET", path) == "invalid_request"


BAD_BODIES = ["{", "[" * 100_000, '{"email":"a@b.c","email":"x@y.z","role":"analyst"}', "NaN", '"\\ud800"', "1" * 9000]


def test_bodies_that_are_no_json_of_ours_are_refused(api: Api) -> None:
    for raw in BAD_BODIES:
        assert api.refused(422, "POST", "/v1/users", raw=raw) == "invalid_request"


def test_a_body_past_the_limit_and_one_that_is_no_text_are_refused(api: Api) -> None:
    assert api.refused(413, "POST", "/v1/users", raw="x" * 1_500_000) == "body_too_large"
    event: dict[str, Any] = {
        "httpMethod": "POST",
        "path": "/v1/users",
        "headers": {"authorization": f"Bearer {api.key}", "content-type": "application/json"},
        "body": base64.b64encode(b"\xff\xfe").decode(),
        "isBase64Encoded": True,
    }
    assert api.handler(event, None)["statusCode"] == 422
    event["headers"]["content-type"] = "multipart/form-data; boundary=x"
    event["body"] = base64.b64encode(b"--x--").decode()
    assert api.handler(event, None)["statusCode"] == 422
    twice = {
        "httpMethod": "GET",
        "path": "/v1/whoami",
        "multiValueHeaders": {"authorization": ["Bearer a", "Bearer b"]},
    }
    assert api.handler(twice, None)["statusCode"] == 422


@FIXTURE_OK
@given(
    st.dictionaries(
        st.text(max_size=12),
        st.none() | st.text(max_size=9) | st.integers() | st.lists(st.text(max_size=3), max_size=2),
        max_size=6,
    )
)
def test_no_event_makes_the_handler_raise(api: Api, event: dict[str, Any]) -> None:
    for extra in ({}, {"httpMethod": "GET", "path": "/v1/whoami"}, {"multiValueHeaders": {"a": ["b"]}}):
        assert 400 <= api.handler({**event, **extra}, None)["statusCode"] < 600


@FIXTURE_OK
@given(
    st.sampled_from([e for e in ENDPOINTS if e.method != "GET"]),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    ["name", "email", "role", "type", "table", "filter", "user", "scopes", "id", "sql", "tables"]
                ),
                inner,
                max_size=5,
            )
        ),
        max_leaves=8,
    ),
)
def test_no_body_makes_a_route_fail_inside(api: Api, endpoint: Any, body: Any) -> None:
    path = endpoint.path.replace("{env}", "production").replace("{id}", "x").replace("{name}", "x")
    call = api.node if endpoint.entry is Entry.NODE else api.call
    assert call(endpoint.method, path, body).status < 500


def test_a_failure_inside_says_nothing_of_its_cause(
    api: Api, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("the secret is 123-45-6789")

    monkeypatch.setattr(api.store, "change", broken)
    with caplog.at_level(logging.DEBUG):
        answer = api.call("POST", "/v1/users", {"email": "a@acme.example", "role": "analyst"})
    assert (answer.status, answer.code) == (500, "internal_error")
    assert "123-45" not in answer.text + caplog.text
    assert "RuntimeError" in caplog.text
    assert "RuntimeError" not in answer.text


def test_no_secret_and_no_value_of_a_request_stands_in_a_log(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        key = api.key_for("olga@acme.example", "read_only")["key"]
        api.call("GET", "/v1/whoami", key=key)
        api.call("GET", "/v1/whoami", key=key[:-1] + ("0" if key[-1] != "0" else "1"))
        answer = api.call("POST", "/v1/users", {"email": "123-45-6789", "role": "123-45-6789"})
    assert "123-45" not in caplog.text + answer.text
    assert key[16:] not in caplog.text
    assert "argon2" not in caplog.text


def test_threads_never_see_each_others_requests(api: Api) -> None:
    users = {
        user: api.key_for(user, "users:manage")["key"]
        for user in (api.user(f"a{n}@acme.example", "admin") for n in range(4))
    }
    wrong: list[object] = []
    until = time.monotonic() + 1.5

    def ask(user: str, key: str) -> None:
        while time.monotonic() < until:
            who = api.call("GET", "/v1/whoami", key=key)
            found = api.call("GET", "/v1/users", key=key, email=user)
            missing = api.call("GET", f"/v1/users/{user}x", key=key)
            if who.body["user_id"] != user or [u["id"] for u in found.body["items"]] != [user] or missing.status != 404:
                wrong.append((user, who.text, found.text))

    threads = [threading.Thread(target=ask, args=pair) for pair in [*users.items(), *users.items()]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not wrong


def test_two_concurrent_rotations_make_one_successor(api: Api) -> None:
    made = api.key_for("olga@acme.example", "read_only")
    path = f"/v1/environments/production/keys/{made['id']}/rotate"
    statuses: list[int] = []
    barrier = threading.Barrier(4)

    def rotate() -> None:
        barrier.wait(10)
        statuses.append(api.call("POST", path).status)

    threads = [threading.Thread(target=rotate) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(statuses) == [201, 409, 409, 409]
    assert api.ok("GET", "/v1/environments/production/audit/admin/verify-chain")["holds"]
