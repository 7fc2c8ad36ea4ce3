"""Keys give way at their age, graces end, encryption keys rotate when asked: once each, however often it is tried."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest

from governance import chain
from governance.encryption_key import ON_DEMAND_MAX, KeyRotationFacts
from governance.errors import InvalidRequest, KeyServiceUnavailable, ResourceExceeded
from governance.register import Environment
from lambdas.control_plane.rulebook import build_rulebook
from lambdas.key_rotation.event import asked_keys
from lambdas.key_rotation.settings import KeyRotationSettings
from lambdas.key_rotation.task import Report, run
from tests.control_plane.conftest import Api

KEYS = "/v1/environments/production/keys"
EVENTS = Path(__file__).parent / "events"


class Kms:
    """A key service with a memory; `down` makes it fail, `slow` leaves rotations in progress."""

    def __init__(self, *names: str, period_days: int = 365) -> None:
        self.used = dict.fromkeys(names, 0)
        self.period_days = period_days
        self.in_progress: set[str] = set()
        self.down: set[str] = set()
        self.slow = False

    def names(self) -> tuple[str, ...]:
        return tuple(self.used)

    def facts(self, name: str) -> KeyRotationFacts:
        if name in self.down:
            raise KeyServiceUnavailable("down")
        return KeyRotationFacts(self.period_days, self.used[name], name in self.in_progress)

    def rotate(self, name: str) -> None:
        if self.used[name] >= ON_DEMAND_MAX:
            raise ResourceExceeded("none left")
        self.used[name] += 1
        if self.slow:
            self.in_progress.add(name)


def turn(api: Api, kms: Kms | None = None, *asked: str) -> Report:
    return run(api.store, kms or Kms(), api.clock, asked=asked)


def whoami(api: Api, key: str) -> Any:
    return api.call("GET", "/v1/whoami", key=key)


def status_of(api: Api, key_id: str) -> str:
    return str(api.ok("GET", f"{KEYS}/{key_id}")["status"])


# ---------------------------------------------------------------- API keys


def test_w3_6_a_key_past_its_age_gets_a_successor_and_stays_valid_for_72_hours(api: Api) -> None:
    old = api.key_for("olga@acme.example", "read_only", name="etl", rotate_after_days=30)
    api.clock.forward(days=30, seconds=-1)
    assert turn(api).rotated == []
    api.clock.forward(seconds=1)
    assert turn(api).rotated == [old["id"]]
    assert whoami(api, old["key"]).body["successor"] == "waiting"
    new = api.ok("POST", "/v1/successor", key=old["key"])
    assert (new["name"], new["scopes"], new["rotate_after_days"]) == ("etl", old["scopes"], 30)
    api.clock.forward(hours=71, minutes=59)
    assert turn(api).ended == []
    assert whoami(api, old["key"]).body["successor"] == "fetched"
    assert whoami(api, new["key"]).status == 200
    api.clock.forward(minutes=1)
    assert api.refused(401, "GET", "/v1/whoami", key=old["key"]) == "authentication_failed"
    assert turn(api).ended == [old["id"]]
    assert status_of(api, old["id"]) == "revoked"
    assert whoami(api, new["key"]).status == 200


def test_a_successor_is_shown_once_and_a_second_fetch_is_an_alarm(api: Api) -> None:
    old = api.key_for("olga@acme.example", "read_only", rotate_after_days=7)
    assert api.refused(404, "POST", "/v1/successor", key=old["key"]) == "not_found"
    api.clock.forward(days=7)
    turn(api)
    new = api.ok("POST", "/v1/successor", key=old["key"])
    api.answers.pop()
    assert api.refused(409, "POST", "/v1/successor", key=old["key"]) == "conflict"
    assert api.refused(404, "POST", "/v1/successor", key=new["key"]) == "not_found"
    api.ok("GET", KEYS)
    api.events()
    assert new["key"] not in "".join(answer.text for answer in api.answers)


def test_what_nobody_fetched_ends_with_the_grace(api: Api) -> None:
    old = api.key_for("olga@acme.example", "read_only", name="etl", rotate_after_days=7)
    api.clock.forward(days=7)
    turn(api)
    heir = api.ok("GET", f"{KEYS}/{old['id']}")["rotated_to"]
    assert status_of(api, heir) == "waiting"
    api.clock.forward(hours=72)
    assert api.refused(401, "POST", "/v1/successor", key=old["key"]) == "authentication_failed"
    assert turn(api).ended == [old["id"]]
    assert [status_of(api, each) for each in (old["id"], heir)] == ["revoked", "revoked"]
    assert turn(api) == Report()
    api.key_for("olga@acme.example", "read_only", name="etl")  # the name is free again


def test_an_administrator_may_fetch_a_waiting_successor_by_rotating_it(api: Api) -> None:
    old = api.key_for("olga@acme.example", "read_only", rotate_after_days=7)
    api.clock.forward(days=7)
    turn(api)
    heir = api.ok("GET", f"{KEYS}/{old['id']}")["rotated_to"]
    new = api.ok("POST", f"{KEYS}/{heir}/rotate")
    assert new["id"] == heir
    assert whoami(api, new["key"]).status == 200
    assert api.refused(409, "POST", "/v1/successor", key=old["key"]) == "conflict"


def test_revoking_the_old_key_takes_its_waiting_successor_along(api: Api) -> None:
    old = api.key_for("olga@acme.example", "read_only", rotate_after_days=7)
    api.clock.forward(days=7)
    turn(api)
    heir = api.ok("GET", f"{KEYS}/{old['id']}")["rotated_to"]
    api.ok("DELETE", f"{KEYS}/{old['id']}")
    assert status_of(api, heir) == "revoked"
    assert api.refused(409, "POST", f"{KEYS}/{heir}/rotate") == "conflict"


def test_a_waiting_key_opens_nothing_and_no_node_hears_of_it(api: Api) -> None:
    old = api.key_for("olga@acme.example", "read_only", rotate_after_days=7)
    api.clock.forward(days=7)
    turn(api)
    heir = api.ok("GET", f"{KEYS}/{old['id']}")["rotated_to"]
    with api.store.read() as reader:
        ids = {key.id for key in build_rulebook(reader, "production", "2026-12-01T00:00:00.000000Z").keys}
    assert old["id"] in ids
    assert heir not in ids


def test_a_suspended_users_key_waits_until_he_is_back(api: Api) -> None:
    ana = api.user("ana@acme.example", "analyst")
    made = api.key_for(ana, "query:read", rotate_after_days=7)
    api.clock.forward(days=7)
    api.ok("PATCH", f"/v1/users/{ana}", {"status": "suspended"})
    assert turn(api).rotated == []
    assert made["id"]


def test_every_step_is_an_event_of_the_installation(api: Api) -> None:
    old = api.key_for("olga@acme.example", "read_only", rotate_after_days=7)
    api.clock.forward(days=7)
    turn(api)
    new = api.ok("POST", "/v1/successor", key=old["key"])
    api.clock.forward(hours=72)
    turn(api)
    steps = [(e["type"], e["target"], e["actor"]["user_id"], e["after"]["status"]) for e in api.events()[-4:]]
    assert steps == [
        ("key.created", new["id"], "hatidata", "waiting"),
        ("key.rotated", old["id"], "hatidata", "rotated"),
        ("key.rotated", new["id"], "olga@acme.example", "active"),
        ("key.revoked", old["id"], "hatidata", "revoked"),
    ]
    with api.store.read() as reader:
        assert chain.verify(reader.events("production", after=0, limit=1000), "production").holds


def test_of_many_rotations_at_once_one_happens(api: Api) -> None:
    made = [api.key_for("olga@acme.example", "read_only", rotate_after_days=7) for _ in range(3)]
    api.clock.forward(days=7)
    reports: list[Report] = []
    start = threading.Barrier(6)

    def go() -> None:
        start.wait(10)
        reports.append(turn(api))

    threads = [threading.Thread(target=go) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(each for report in reports for each in report.rotated) == sorted(key["id"] for key in made)
    assert not any(report.failed for report in reports)
    heirs = {api.ok("GET", f"{KEYS}/{key['id']}")["rotated_to"] for key in made}
    assert len(heirs) == 3
    assert sum(key["status"] == "waiting" for key in api.ok("GET", KEYS)["items"]) == 3


def test_of_two_rotations_by_hand_at_once_one_is_refused(api: Api) -> None:
    made = api.key_for("olga@acme.example", "read_only")
    answers = _both(lambda: api.call("POST", f"{KEYS}/{made['id']}/rotate"))
    assert sorted(answer.status for answer in answers) == [201, 409]
    assert sum(e["type"] == "key.rotated" for e in api.events()) == 1


def test_of_two_fetches_at_once_one_is_refused(api: Api) -> None:
    made = api.key_for("olga@acme.example", "read_only", rotate_after_days=7)
    api.clock.forward(days=7)
    turn(api)
    answers = _both(lambda: api.call("POST", "/v1/successor", key=made["key"]))
    assert sorted(answer.status for answer in answers) == [201, 409]
    new = next(answer.body["key"] for answer in answers if answer.status == 201)
    assert whoami(api, new).status == 200


def _both(call: Any) -> list[Any]:
    answers: list[Any] = []
    start = threading.Barrier(2)

    def go() -> None:
        start.wait(10)
        answers.append(call())

    threads = [threading.Thread(target=go) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return answers


# ---------------------------------------------------------------- encryption keys


def listed(api: Api) -> dict[str, dict[str, Any]]:
    return {key["name"]: key for key in api.ok("GET", "/v1/encryption-keys")["items"]}


def test_w2_6_a_rotation_asked_for_is_done_once_and_each_step_is_an_event(api: Api) -> None:
    kms = Kms("data", "audit")
    turn(api, kms)
    assert set(listed(api)) == {"data", "audit"}
    assert api.call("POST", "/v1/encryption-keys/data/rotate").body["status"] == "asked"
    kms.slow = True
    assert turn(api, kms).begun == ["data"]
    assert listed(api)["data"]["status"] == "rotating"
    assert turn(api, kms).begun == []
    kms.in_progress.clear()
    assert turn(api, kms).begun == []
    assert (listed(api)["data"]["status"], listed(api)["data"]["on_demand"]) == ("steady", 1)
    assert kms.used == {"data": 1, "audit": 0}
    states = [
        next(key["status"] for key in event["after"]["encryption_keys"] if key["name"] == "data")
        for event in api.events()
        if event["type"] == "environment.updated" and event["before"]
    ]
    assert states == ["steady", "asked", "rotating", "steady"]


def test_a_crash_after_the_rotation_began_does_not_begin_another(api: Api) -> None:
    kms = Kms("data")
    turn(api, kms)
    api.call("POST", "/v1/encryption-keys/data/rotate")
    kms.rotate("data")  # by a run that died before it could note it
    assert turn(api, kms).begun == []
    assert kms.used == {"data": 1}
    assert listed(api)["data"]["status"] == "steady"


def test_the_twenty_sixth_rotation_on_demand_is_refused_and_alarmed(api: Api) -> None:
    kms = Kms("data")
    kms.used["data"] = ON_DEMAND_MAX - 1
    turn(api, kms)
    api.call("POST", "/v1/encryption-keys/data/rotate")
    assert turn(api, kms).begun == ["data"]
    turn(api, kms)
    assert api.refused(409, "POST", "/v1/encryption-keys/data/rotate") == "conflict"
    report = turn(api, kms, "data")
    assert (report.begun, report.alarming) == ([], ["data"])
    assert report.figures()["RotationFailed"] == 1
    assert kms.used["data"] == ON_DEMAND_MAX
    assert listed(api)["data"]["status"] == "refused"


def test_w2_5_a_key_that_does_not_rotate_by_itself_is_alarmed(api: Api) -> None:
    for period_days, alarmed in ((365, False), (90, False), (0, True), (2560, True)):
        assert bool(turn(api, Kms("data", period_days=period_days)).alarming) is alarmed
        assert listed(api)["data"]["automatic"] is not alarmed


def test_a_key_service_that_is_down_fails_its_key_only_and_is_asked_again(api: Api) -> None:
    kms = Kms("data", "audit")
    turn(api, kms)
    for name in ("data", "audit"):
        api.call("POST", f"/v1/encryption-keys/{name}/rotate")
    kms.down.add("audit")
    report = turn(api, kms)
    assert (report.begun, report.failed) == (["data"], ["audit"])
    kms.down.clear()
    assert turn(api, kms).begun == ["audit"]


def test_unknown_keys_are_refused_wherever_they_are_named(api: Api) -> None:
    assert turn(api, Kms("data"), "none").failed == ["none"]
    assert api.refused(404, "POST", "/v1/encryption-keys/none/rotate") == "not_found"


def test_an_ask_that_comes_during_a_run_is_not_lost(api: Api) -> None:
    class Asking(Kms):
        def facts(self, name: str) -> KeyRotationFacts:
            if not self.period_days:
                api.call("POST", f"/v1/encryption-keys/{name}/rotate")
            return super().facts(name)

    kms = Asking("data")
    turn(api, kms)
    kms.period_days = 0  # something to note, while somebody asks
    turn(api, kms)
    assert listed(api)["data"]["status"] == "asked"


# ---------------------------------------------------------------- events and settings


@pytest.mark.parametrize(
    ("name", "asked"),
    [("kms-cmk-rotation", ()), ("scheduler", ()), ("rotate-on-demand", ("data", "audit"))],
)
def test_each_event_is_understood(name: str, asked: tuple[str, ...]) -> None:
    assert asked_keys(json.loads((EVENTS / f"{name}.json").read_text())) == asked


@pytest.mark.parametrize(
    "event",
    [{}, {"rotate": []}, {"rotate": "data"}, {"rotate": ["a b"]}, {"rotate": [1]}, {"rotate": ["x"], "and": 1},
     {"source": "aws.kms", "detail-type": "KMS CMK Deletion"}, {"rotate": ["x"] * 33}],
)  # fmt: skip
def test_what_is_not_understood_is_refused(event: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest):
        asked_keys(event)


def test_settings_are_told_as_they_are_read() -> None:
    settings = KeyRotationSettings("t", (("data", "arn:aws:kms:eu-central-1:1:key/a"), ("audit", "b")), "staging")
    assert KeyRotationSettings.from_environment(settings.environment()) == settings
    for bad in ({}, {"HATIDATA_CONTROL_TABLE": "t", "HATIDATA_ENCRYPTION_KEYS": "data"}):
        with pytest.raises(InvalidRequest):
            KeyRotationSettings.from_environment(bad)


def test_a_fresh_environment_knows_no_encryption_keys(api: Api) -> None:
    with api.store.read() as reader:
        environment = reader.get(Environment, "", "production")
    assert environment is not None
    assert environment.encryption_keys == ()
