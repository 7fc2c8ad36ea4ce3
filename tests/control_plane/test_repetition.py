"""Idempotency-Key: repeated requests do nothing twice, whoever competes and whatever crashes; no secret is kept."""

from __future__ import annotations

import re
import sqlite3
import threading
from pathlib import Path
from typing import Any

import pytest

from governance.idempotency import IdempotentAnswer
from lambdas.control_plane import once
from tests.control_plane.conftest import Answer, Api

USERS = "/v1/users"
KEYS = "/v1/environments/production/keys"
ANA = {"email": "ana@acme.example", "role": "analyst"}


def post(api: Api, path: str, body: Any, idempotency: str, **more: Any) -> Answer:
    return api.call("POST", path, body, headers={"idempotency-key": idempotency}, **more)


def test_a_repeated_creation_is_answered_as_the_first_time_and_done_once(api: Api) -> None:
    first, second = post(api, USERS, ANA, "k1"), post(api, USERS, ANA, "k1")
    assert (first.status, second.status) == (201, 201)
    assert first.body == second.body
    assert "idempotency-replayed" not in first.headers
    assert second.headers["idempotency-replayed"] == "true"
    assert second.headers["x-request-id"] != first.headers["x-request-id"]
    assert len([e for e in api.events() if e["target"] == "ana@acme.example"]) == 1


def test_without_the_key_the_same_request_conflicts(api: Api) -> None:
    assert api.call("POST", USERS, ANA).status == 201
    assert api.refused(409, "POST", USERS, ANA) == "conflict"


def test_the_same_key_with_another_request_is_refused(api: Api) -> None:
    assert post(api, USERS, ANA, "k1").status == 201
    other = post(api, USERS, {**ANA, "email": "ben@acme.example"}, "k1")
    assert (other.status, other.code) == (422, "idempotency_key_reused")
    elsewhere = post(api, "/v1/organizations", {"name": "Beta"}, "k1")
    assert (elsewhere.status, elsewhere.code) == (422, "idempotency_key_reused")


@pytest.mark.parametrize("key", ["two words", "é", "x" * 129])
def test_a_key_that_is_not_well_formed_is_refused(api: Api, key: str) -> None:
    assert post(api, USERS, ANA, key).code == "invalid_request"


def test_what_is_shown_once_is_neither_stored_nor_repeated(api: Api, tmp_path: Path) -> None:
    body = {"name": "etl", "user": "olga@acme.example", "scopes": ["read_only"]}
    first, second = post(api, KEYS, body, "k1"), post(api, KEYS, body, "k1")
    secret = first.body["key"]
    assert secret.startswith("hd_live_")
    assert second.body == {**first.body, "key": ""}
    raw = sqlite3.connect(tmp_path / "store.sqlite")
    stored = "\n".join(str(row) for table in ("item", "chain") for row in raw.execute(f"SELECT * FROM {table}"))
    raw.close()
    assert secret not in stored
    assert secret[20:] not in stored


def test_every_answer_that_shows_something_once_is_known(api: Api) -> None:
    """A new answer model with a secret must name it as `SHOWN_ONCE` knows it."""
    schemas = api.ok("GET", "/v1/openapi.json", key="")["components"]["schemas"]
    told = {
        field
        for name, schema in schemas.items()
        for field, described in schema.get("properties", {}).items()
        if "Answer" in name
        and re.search("shown (once|again)|again shown|never again", str(described.get("description", "")))
    }
    assert told
    assert told <= once.SHOWN_ONCE


def test_keys_of_two_users_do_not_meet_and_a_rotated_key_is_still_the_same_user(api: Api) -> None:
    api.user("adam@acme.example", "admin")
    adam = api.key_for("adam@acme.example", "admin")["key"]
    assert post(api, USERS, ANA, "k1").status == 201
    assert post(api, USERS, ANA, "k1", key=adam).code == "conflict"
    again = api.key_for("olga@acme.example", "admin")["key"]
    assert post(api, USERS, ANA, "k1", key=again).headers["idempotency-replayed"] == "true"


def test_a_refused_request_is_not_remembered(api: Api) -> None:
    body = {"name": "etl", "user": "ana@acme.example", "scopes": ["read_only"]}
    assert post(api, KEYS, body, "k1").status == 404
    api.user("ana@acme.example", "analyst")
    assert post(api, KEYS, body, "k1").status == 201


def test_after_a_day_the_key_is_free_again(api: Api) -> None:
    assert post(api, USERS, ANA, "k1").status == 201
    api.clock.forward(hours=24, seconds=1)
    assert post(api, USERS, ANA, "k1").code == "conflict"


def test_a_crash_before_the_answer_was_noted_makes_nothing_twice(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    real = api.store.observe

    def crash(*observations: Any) -> None:
        if any(isinstance(observation, IdempotentAnswer) for observation in observations):
            raise RuntimeError("the process is gone")
        real(*observations)

    with monkeypatch.context() as patched:
        patched.setattr(api.store, "observe", crash)
        assert post(api, USERS, ANA, "k1").status == 500
    repeated = post(api, USERS, ANA, "k1")
    assert (repeated.status, repeated.code) == (409, "conflict")
    assert "carried out" in repeated.body["error"]["message"]
    assert len([e for e in api.events() if e["target"] == "ana@acme.example"]) == 1


def test_of_eight_at_once_one_alone_is_carried_out(api: Api) -> None:
    assert api.call("GET", "/v1/whoami").status == 200
    answers: list[Answer] = []
    begin = threading.Barrier(8)

    def ask() -> None:
        begin.wait(30)
        answers.append(post(api, "/v1/organizations", {"name": "Beta"}, "k1"))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert {answer.status for answer in answers} <= {201, 409}
    made = {answer.body["id"] for answer in answers if answer.status == 201}
    assert len(made) == 1
    assert len([e for e in api.events() if e["type"] == "organization.created"]) == 2  # the operator's and this


def test_the_marker_expires_and_names_nobody(api: Api) -> None:
    post(api, USERS, ANA, "my-key")
    with api.store.read() as reader:
        (kept,) = reader.every(IdempotentAnswer, "")
    assert kept.expires_at > api.clock.now().isoformat()
    assert "my-key" not in kept.id
    assert "olga" not in kept.id
