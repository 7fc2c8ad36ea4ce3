"""Webhooks through the API: secrets shown once, URLs that can be delivered to, what is queued and for whom."""

from __future__ import annotations

import json
from typing import Any

import pytest

from governance.webhook import QUEUE_MAX, Webhook, WebhookDelivery, WebhookLog, delivery
from tests.control_plane.conftest import Api

E_ = "/v1/environments/production"
HOOKS = f"{E_}/webhooks"
URL = "https://hooks.example.com/T0/token?x=1"


def make(api: Api, *event_types: str, key: str | None = None, **more: Any) -> dict[str, Any]:
    body = {"url": URL, "event_types": list(event_types or ("key.created",)), **more}
    made: dict[str, Any] = api.ok("POST", HOOKS, body, key=key)
    return made


def waiting(api: Api) -> list[WebhookDelivery]:
    with api.store.read() as reader:
        return reader.every(WebhookDelivery, "production")


def test_the_signing_secret_is_shown_once_and_stored_sealed(api: Api, tmp_path: Any) -> None:
    made = make(api)
    secret = made["secret"]
    assert secret.startswith("whsec_")
    api.answers.pop()
    again = api.ok("POST", f"{HOOKS}/{made['id']}/secret")
    api.answers.pop()
    assert again["key_generation"] == 2
    api.ok("GET", HOOKS)
    api.ok("GET", f"{HOOKS}/{made['id']}")
    api.ok("PATCH", f"{HOOKS}/{made['id']}", {"status": "paused"})
    api.events()
    api.ok("DELETE", f"{HOOKS}/{made['id']}")
    everything = "".join(answer.text for answer in api.answers)
    stored = b"".join(path.read_bytes() for path in tmp_path.glob("store.sqlite*"))
    for each in (secret, again["secret"]):
        assert each not in everything
        assert each.removeprefix("whsec_").encode() not in stored
    assert "token" not in json.dumps(api.events())


def test_h8_a_sealed_secret_opens_for_its_own_webhook_only(api: Api) -> None:
    make(api)
    make(api)
    with api.store.read() as reader:
        one, two = reader.every(Webhook, "production")
    box = api.secrets
    assert box is not None
    assert box.open(one.sealed, one.sealing_context).startswith(b"whsec_")
    with pytest.raises(Exception, match="cannot be opened"):
        box.open(one.sealed, two.sealing_context)


@pytest.mark.parametrize(
    "body",
    [
        {"url": "http://hooks.example.com/"},
        {"url": "https://user:pw@hooks.example.com/"},
        {"url": "https://hooks.example.com/#a"},
        {"url": "ftp://hooks.example.com/"},
        {"url": ""},
        {"event_types": []},
        {"event_types": ["everything"]},
        {"event_types": ["webhook.test"]},
        {"secret": "whsec_mine"},
        {"organization": "x" * 65},
    ],
)
def test_a_webhook_that_is_not_well_formed_is_refused(api: Api, body: dict[str, Any]) -> None:
    whole = {"url": URL, "event_types": ["key.created"]} | body
    assert api.refused(422, "POST", HOOKS, whole) == "invalid_request"


def test_a_change_and_what_webhooks_are_told_of_it_are_one(api: Api) -> None:
    make(api, "key.created", "user.created")
    made = api.key_for("olga@acme.example", "read_only", name="etl")
    (told,) = waiting(api)
    body = json.loads(told.body)
    event = api.events()[-1]
    assert (body["type"], body["data"]["target"]) == ("key.created", made["id"])
    assert body["data"]["after"] == event["after"]
    assert body["data"]["actor"] == event["actor"]
    assert body["timestamp"] == event["at"]
    assert made["key"] not in told.body
    assert "argon2" not in told.body
    before = len(waiting(api))
    assert api.refused(409, "POST", f"{E_}/keys", {"name": "etl", "user": "olga@acme.example", "scopes": ["read_only"]})
    assert len(waiting(api)) == before


def test_a_paused_webhook_and_other_types_are_told_nothing(api: Api) -> None:
    made = make(api, "key.revoked")
    api.key_for("olga@acme.example", "read_only")
    assert waiting(api) == []
    other = make(api, "key.created")
    api.ok("PATCH", f"{HOOKS}/{other['id']}", {"status": "paused"})
    api.key_for("olga@acme.example", "read_only")
    assert waiting(api) == []
    changed = api.ok("PATCH", f"{HOOKS}/{made['id']}", {"event_types": ["key.created"], "url": "https://b.example/x"})
    assert (changed["event_types"], changed["url"]) == (["key.created"], "https://b.example/x")
    api.key_for("olga@acme.example", "read_only")
    assert [each.webhook_id for each in waiting(api)] == [made["id"]]


def test_h14_webhooks_of_another_organization_answer_like_missing_ones_and_hear_nothing(api: Api) -> None:
    api.ok("POST", "/v1/organizations", {"id": "2", "name": "Globex"})
    gus = api.key_for(api.user("gus@globex.example", "owner", "2"), "admin")["key"]
    ours, theirs = make(api, "key.created"), make(api, "key.created", key=gus)
    for method, tail, body in (
        ("GET", "", None), ("PATCH", "", {}), ("DELETE", "", None), ("POST", "/secret", None), ("POST", "/test", None),
        ("GET", "/deliveries", None),
    ):  # fmt: skip
        foreign = api.call(method, f"{HOOKS}/{ours['id']}{tail}", body, key=gus)
        missing = api.call(method, f"{HOOKS}/hook-none{tail}", body, key=gus)
        assert foreign.status == missing.status == 404
        assert foreign.body["error"]["message"] == missing.body["error"]["message"]
    assert api.refused(404, "POST", HOOKS, {"url": URL, "event_types": ["key.created"], "organization": "1"}, key=gus)
    assert [each["id"] for each in api.ok("GET", HOOKS, key=gus)["items"]] == [theirs["id"]]
    api.key_for("olga@acme.example", "read_only")
    assert {each.webhook_id for each in waiting(api)} == {ours["id"]}
    api.key_for("gus@globex.example", "read_only", maker=gus)
    assert {each.webhook_id for each in waiting(api)} == {ours["id"], theirs["id"]}


def test_a_test_delivery_waits_and_stands_in_the_log(api: Api) -> None:
    made = make(api)
    answer = api.call("POST", f"{HOOKS}/{made['id']}/test")
    assert answer.status == 202
    (told,) = waiting(api)
    assert json.loads(told.body)["type"] == "webhook.test"
    (entry,) = api.ok("GET", f"{HOOKS}/{made['id']}/deliveries")["items"]
    assert (entry["status"], entry["event_id"], entry["attempts"]) == ("waiting", answer.body["event_id"], 0)
    for _ in range(9):
        assert api.call("POST", f"{HOOKS}/{made['id']}/test").status == 202
    assert api.refused(409, "POST", f"{HOOKS}/{made['id']}/test") == "conflict"


def test_the_log_is_paged_newest_first_and_is_the_webhooks_own(api: Api) -> None:
    made, other = make(api, "user.created"), make(api, "user.created")
    for number in range(5):
        api.clock.forward(seconds=1)
        api.user(f"u{number}@acme.example", "analyst")
    seen: list[dict[str, Any]] = []
    cursor = ""
    while True:
        page = api.ok("GET", f"{HOOKS}/{made['id']}/deliveries", limit="2", cursor=cursor)
        seen += page["items"]
        cursor = page["next"] or ""
        if not cursor:
            break
    assert [each["at"] for each in seen] == sorted((each["at"] for each in seen), reverse=True)
    assert len({each["id"] for each in seen}) == 5
    foreign = api.ok("GET", f"{HOOKS}/{other['id']}/deliveries", limit="2")["next"]
    assert api.refused(422, "GET", f"{HOOKS}/{made['id']}/deliveries", cursor=foreign) == "invalid_request"


def test_a_full_queue_drops_what_comes_and_says_so(api: Api) -> None:
    made = make(api)
    with api.store.read() as reader:
        (webhook,) = reader.every(Webhook, "production")
    filler = [
        delivery(webhook, event_id=f"{number:012x}{0:020x}", event_type="key.created", data={}, at=webhook.created_at)
        for number in range(QUEUE_MAX)
    ]
    for start in range(0, QUEUE_MAX, 100):
        api.store.observe(*filler[start : start + 100])
    api.clock.forward(seconds=1)
    api.key_for("olga@acme.example", "read_only")
    assert len(waiting(api)) == QUEUE_MAX
    newest = api.ok("GET", f"{HOOKS}/{made['id']}/deliveries", limit="1")["items"][0]
    assert (newest["status"], newest["attempts"]) == ("dropped", 0)


def test_w5_7_configuring_is_an_event_with_the_origin_only(api: Api) -> None:
    made = make(api)
    api.ok("PATCH", f"{HOOKS}/{made['id']}", {"status": "paused"})
    api.ok("PATCH", f"{HOOKS}/{made['id']}", {"status": "paused"})
    api.ok("POST", f"{HOOKS}/{made['id']}/secret")
    api.ok("DELETE", f"{HOOKS}/{made['id']}")
    events = [event for event in api.events() if event["type"] == "webhook.configured"]
    sides = [(e["before"] and e["before"]["status"], e["after"] and e["after"]["status"]) for e in events]
    assert sides == [(None, "active"), ("active", "paused"), ("paused", "paused"), ("paused", None)]
    assert events[2]["after"]["key_generation"] == 2
    assert {e["after"]["url"] for e in events if e["after"]} == {"https://hooks.example.com"}


def test_networks_are_opened_by_the_operators_owner_and_are_an_event(api: Api) -> None:
    assert api.ok("GET", f"{E_}/webhook-networks") == {"networks": []}
    for bad in (["10.0.0.1/8"], ["all"], ["10.0.0.0/8"] * 33):
        assert api.refused(422, "PUT", f"{E_}/webhook-networks", {"networks": bad}) == "invalid_request"
    api.ok("PUT", f"{E_}/webhook-networks", {"networks": ["fd00::/8", "10.0.0.0/8"]})
    assert api.ok("GET", f"{E_}/webhook-networks") == {"networks": ["10.0.0.0/8", "fd00::/8"]}
    event = api.events()[-1]
    assert event["type"] == "environment.updated"
    assert (event["before"]["webhook_networks"], event["after"]["webhook_networks"]) == ([], ["10.0.0.0/8", "fd00::/8"])
    count = len(api.events())
    api.ok("PUT", f"{E_}/webhook-networks", {"networks": ["10.0.0.0/8", "fd00::/8"]})
    assert len(api.events()) == count
    make(api, url="http://10.0.0.1:8080/x")


def test_there_are_at_most_32_webhooks(api: Api) -> None:
    for _ in range(32):
        make(api)
    assert api.refused(409, "POST", HOOKS, {"url": URL, "event_types": ["key.created"]}) == "conflict"


def test_records_of_the_log_hold_no_body(api: Api) -> None:
    make(api)
    api.key_for("olga@acme.example", "read_only", name="etl")
    with api.store.read() as reader:
        (entry,) = reader.every(WebhookLog, "production")
    assert "etl" not in repr(entry)
