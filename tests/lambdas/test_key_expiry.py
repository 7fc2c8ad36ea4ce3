"""Whoever holds a key that ends is told in time, once per stage; and it ends on time."""

from __future__ import annotations

import json
import threading
from typing import Any

from governance.webhook import WebhookDelivery
from lambdas.key_expiry.task import Report, run
from lambdas.register_settings import RegisterSettings
from tests.control_plane.conftest import Api

E_ = "/v1/environments/production"


def hook(api: Api, *event_types: str, key: str | None = None) -> dict[str, Any]:
    body = {"url": "https://hooks.example.com/T0/token", "event_types": list(event_types)}
    made: dict[str, Any] = api.ok("POST", f"{E_}/webhooks", body, key=key)
    return made


def told(api: Api, webhook_id: str = "") -> list[dict[str, Any]]:
    """What waits to be delivered, oldest first."""
    with api.store.read() as reader:
        found = reader.every(WebhookDelivery, "production")
    mine = [each for each in found if webhook_id in ("", each.webhook_id)]
    return [json.loads(each.body) for each in sorted(mine, key=lambda each: each.at)]


def test_w3_7_a_key_is_warned_of_30_7_and_1_days_before_it_ends_once_each(api: Api) -> None:
    hook(api, "key.expiring")
    made = api.key_for("olga@acme.example", "read_only", name="etl", expires_at="2027-01-31T03:00:00Z")  # 70 days
    for days, wanted in ((39.9, []), (0.1, [30]), (22.9, []), (0.1, [7]), (5.9, []), (0.1, [1]), (0.9, [])):
        api.clock.forward(days=days)
        for again in (False, True):
            assert run(api.store, api.clock).warned == ([] if again else [(made["id"], each) for each in wanted])
    assert [each["data"]["days"] for each in told(api)] == [30, 7, 1]
    first = told(api)[0]
    assert first["type"] == "key.expiring"
    assert first["data"]["key"] == {name: made[name] for name in ("id", "name", "prefix", "user_id", "expires_at")}


def test_a_stage_that_passed_unseen_is_not_told_late(api: Api) -> None:
    hook(api, "key.expiring")
    made = api.key_for("olga@acme.example", "read_only", expires_at="2027-01-31T03:00:00Z")
    api.clock.forward(days=64)  # nobody ran for long: 6 days are left
    assert run(api.store, api.clock).warned == [(made["id"], 7)]
    assert run(api.store, api.clock) == Report()


def test_a_key_ends_on_time_with_an_event_and_its_webhook_is_told(api: Api) -> None:
    hook(api, "key.revoked")
    made = api.key_for("olga@acme.example", "read_only", name="etl", expires_at="2026-11-22T04:00:00Z")
    api.clock.forward(hours=1, seconds=-1)
    assert run(api.store, api.clock).expired == []
    assert api.call("GET", "/v1/whoami", key=made["key"]).status == 200
    api.clock.forward(seconds=1)
    assert api.refused(401, "GET", "/v1/whoami", key=made["key"]) == "authentication_failed"
    assert run(api.store, api.clock).expired == [made["id"]]
    assert run(api.store, api.clock).expired == []
    last = api.events()[-1]
    assert (last["type"], last["target"], last["after"]["status"]) == ("key.revoked", made["id"], "expired")
    assert (last["actor"]["user_id"], last["actor"]["key_id"]) == ("hatidata", "")
    (sent,) = told(api)
    assert sent["data"]["after"]["status"] == "expired"
    assert api.ok("GET", f"{E_}/keys/{made['id']}")["status"] == "expired"
    api.key_for("olga@acme.example", "read_only", name="etl")
    assert api.ok("DELETE", f"{E_}/keys/{made['id']}")["status"] == "expired"


def test_warnings_go_to_the_keys_own_organization(api: Api) -> None:
    ours = hook(api, "key.expiring")
    api.ok("POST", "/v1/organizations", {"id": "2", "name": "Globex"})
    gus = api.key_for(api.user("gus@globex.example", "owner", "2"), "admin")["key"]
    theirs = hook(api, "key.expiring", key=gus)
    api.key_for("gus@globex.example", "read_only", maker=gus, expires_at="2026-11-23T03:00:00Z")
    assert len(run(api.store, api.clock).warned) == 1
    assert told(api, ours["id"]) == []
    assert len(told(api, theirs["id"])) == 1


def test_what_is_no_longer_in_use_is_not_warned_of(api: Api) -> None:
    hook(api, "key.expiring")
    soon = "2026-11-22T13:00:00Z"
    revoked = api.key_for("olga@acme.example", "read_only", expires_at=soon)
    rotated = api.key_for("olga@acme.example", "read_only", expires_at=soon)
    api.ok("DELETE", f"{E_}/keys/{revoked['id']}")
    successor = api.ok("POST", f"{E_}/keys/{rotated['id']}/rotate")
    report = run(api.store, api.clock)
    assert report.warned == [(successor["id"], 1)]
    assert report.figures() == {"KeysExpiring": 1, "KeysExpired": 0, "ExpiryFailed": 0}


def test_of_many_runs_at_once_one_warns(api: Api) -> None:
    hook(api, "key.expiring")
    for _ in range(3):
        api.key_for("olga@acme.example", "read_only", expires_at="2026-11-22T13:00:00Z")
    reports: list[Report] = []
    start = threading.Barrier(5)

    def go() -> None:
        start.wait(10)
        reports.append(run(api.store, api.clock))

    threads = [threading.Thread(target=go) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len([each for report in reports for each in report.warned]) == 3
    assert len(told(api)) == 3


def test_settings_are_told_as_they_are_read() -> None:
    settings = RegisterSettings("t", "staging")
    assert RegisterSettings.from_environment(settings.environment()) == settings
