"""The life of policies: drafted, tried, activated whole, and gone back to."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from governance.policies import Policy
from governance.register import Environment
from governance.rulebook import decode, decode_policy
from tests.control_plane.conftest import Api
from tests.control_plane.test_policies import AT, CONDITION, FILTER, GROUP, MASK, POLICIES, globex_owner, report

DRAFTS = f"{AT}/policy-drafts"
VERSIONS = f"{AT}/policy-versions"


def in_force(api: Api) -> tuple[Policy, ...]:
    return decode(api.node("GET", "/v1/nodes/rulebook").text.encode()).policies


def names(api: Api) -> dict[str, Any]:
    return {p.name: p for p in in_force(api)}


def version(api: Api) -> int:
    return decode(api.node("GET", "/v1/nodes/rulebook").text.encode()).version


def test_a_draft_is_checked_when_written_and_not_in_force_until_it_is_activated_whole(api: Api) -> None:
    report(api)
    kept = api.ok("POST", POLICIES, FILTER)
    gone = api.ok("POST", POLICIES, GROUP)
    before = in_force(api)
    draft = api.ok(
        "POST",
        DRAFTS,
        {
            "policies": [FILTER | {"filter": "org_id = {org_id} AND id > 0"}, MASK],
            "remove": ["five"],
            "note": "stricter",
        },
    )
    assert {c["name"]: c["action"] for c in draft["changes"]} == {
        "own-rows": "changed",
        "ssn": "created",
        "five": "removed",
    }
    assert in_force(api) == before
    assert [d["number"] for d in api.ok("GET", DRAFTS)["items"]] == [draft["number"]]
    whole = api.ok("GET", f"{DRAFTS}/{draft['number']}")
    assert {p["name"] for p in whole["policies"]} == {"own-rows", "ssn"}
    drafted = api.node("GET", "/v1/nodes/policy-drafts", draft=str(draft["number"])).body
    assert drafted["policies"] == whole["policies"]

    events = len(api.events())
    done = api.ok("POST", f"{DRAFTS}/{draft['number']}/activate")
    assert names(api).keys() == {"own-rows", "ssn"}
    assert names(api)["own-rows"].id == kept["id"]
    assert names(api)["own-rows"].filter == "org_id = {org_id} AND id > 0"
    assert done["version"] == version(api)
    assert (done["cause"], done["source"], done["note"]) == ("draft", draft["number"], "stricter")
    assert in_force(api) == tuple(decode_policy(p) for p in whole["policies"])
    told = api.events()[events:]
    assert sorted(e["type"] for e in told) == ["policy.activated", "policy.activated", "policy.deleted"]
    activated = next(e for e in told if e["target"] == kept["id"])
    assert (activated["before"]["status"], activated["after"]["status"]) == ("draft", "active")
    assert next(e for e in told if e["type"] == "policy.deleted")["target"] == gone["id"]
    assert api.ok("GET", DRAFTS)["items"] == []
    assert api.refused(404, "POST", f"{DRAFTS}/{draft['number']}/activate") == "not_found"


def test_writing_and_discarding_a_draft_are_in_the_chain_and_change_nothing(api: Api) -> None:
    api.ok("POST", POLICIES, FILTER)
    before, events = in_force(api), len(api.events())
    draft = api.ok("POST", DRAFTS, {"policies": [MASK, FILTER | {"filter": "id = 1"}]})
    api.ok("DELETE", f"{DRAFTS}/{draft['number']}")
    assert in_force(api) == before
    told = api.events()[events:]
    assert [e["type"] for e in told] == ["policy.created", "policy.updated", "policy.deleted", "policy.updated"]
    assert told[0]["after"]["status"] == told[1]["after"]["status"] == "draft"
    assert told[3]["after"] == told[1]["before"]
    assert api.ok("GET", f"{AT}/audit/admin/verify-chain")["holds"]
    assert api.refused(404, "GET", f"{DRAFTS}/{draft['number']}") == "not_found"


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"policies": [FILTER]},  # it stands there already
        {"policies": [FILTER | {"filter": "nothing = 1"}]},
        {"policies": [MASK | {"column": "iban"}]},
        {"policies": [CONDITION | {"window": {"zone": "Mars/Base", "start_minute": 0, "end_minute": 5}}]},
        {"policies": [MASK, MASK]},
        {"policies": [FILTER | {"filter": "id = 1"}], "remove": ["own-rows"]},
        {"policies": [GROUP | {"name": "own-rows"}]},  # another type under that name
        {"remove": ["no such policy"]},
        {"policies": [MASK], "surprise": 1},
        {"policies": [{"type": "sermon"}]},
    ],
)
def test_a_draft_that_is_not_understood_or_does_not_fit_is_refused_when_written(api: Api, body: dict[str, Any]) -> None:
    report(api)
    api.ok("POST", POLICIES, FILTER)
    assert api.call("POST", DRAFTS, body).status in (404, 409, 422)
    assert api.ok("GET", DRAFTS)["items"] == []


def test_a_draft_over_what_someone_changed_meanwhile_is_not_activated(api: Api) -> None:
    made = api.ok("POST", POLICIES, FILTER)
    changed = api.ok("POST", DRAFTS, {"policies": [FILTER | {"filter": "id = 1"}, MASK]})
    removed = api.ok("POST", DRAFTS, {"remove": [made["id"]]})
    new = api.ok("POST", DRAFTS, {"policies": [MASK]})
    api.ok("PUT", f"{POLICIES}/{made['id']}", FILTER | {"filter": "id = 2"})
    for draft in (changed, removed):
        assert api.refused(409, "POST", f"{DRAFTS}/{draft['number']}/activate") == "conflict"
    assert list(names(api)) == ["own-rows"]  # and nothing of the draft came into force
    api.ok("POST", POLICIES, MASK)
    assert api.refused(409, "POST", f"{DRAFTS}/{new['number']}/activate") == "conflict"


def test_a_draft_is_checked_again_against_the_tables_of_the_day_it_is_activated(api: Api) -> None:
    draft = api.ok("POST", DRAFTS, {"policies": [FILTER | {"filter": "nothing = {org_id}"}]})
    report(api)
    assert api.call("POST", f"{DRAFTS}/{draft['number']}/activate").status == 422
    assert in_force(api) == ()


def test_every_change_is_a_version_and_one_call_goes_back_to_any_of_them(api: Api) -> None:
    start = version(api)
    made = api.ok("POST", POLICIES, FILTER)
    first = version(api)
    api.ok("PUT", f"{POLICIES}/{made['id']}", FILTER | {"filter": "id = 2"})
    api.ok("POST", POLICIES, MASK)
    second, then = version(api), in_force(api)
    draft = api.ok("POST", DRAFTS, {"policies": [GROUP], "remove": ["own-rows", "ssn"]})
    api.ok("POST", f"{DRAFTS}/{draft['number']}/activate")
    assert list(names(api)) == ["five"]

    history = api.ok("GET", VERSIONS)["items"]
    assert [v["cause"] for v in history] == ["draft", "edit", "edit", "edit"]
    assert [v["version"] for v in history] == sorted((v["version"] for v in history), reverse=True)
    assert {history[-1]["version"], history[1]["version"]} == {first, second}
    assert [p["name"] for p in api.ok("GET", f"{VERSIONS}/{first}")["policies"]] == ["own-rows"]
    assert api.ok("GET", f"{VERSIONS}/{start}")["policies"] == []

    events = len(api.events())
    back = api.ok("POST", f"{VERSIONS}/{second}/roll-back", {"note": "too strict"})
    assert in_force(api) == then
    assert (back["version"], back["cause"], back["source"]) == (version(api), "roll_back", second)
    assert sorted(e["type"] for e in api.events()[events:]) == ["policy.created", "policy.created", "policy.deleted"]
    assert api.ok("GET", f"{POLICIES}/{made['id']}")["revision"] == 3  # revisions go on counting
    assert api.call("POST", f"{VERSIONS}/{second}/roll-back", {}).status == 422  # nothing to do

    api.ok("POST", f"{VERSIONS}/{first}/roll-back", {})
    assert names(api)["own-rows"].filter == FILTER["filter"]
    api.ok("POST", f"{VERSIONS}/{start}/roll-back", {})
    assert in_force(api) == ()
    api.ok("POST", f"{VERSIONS}/{second}/roll-back", {})  # the way back has a way back
    assert in_force(api) == then
    assert api.refused(404, "POST", f"{VERSIONS}/{version(api) + 1}/roll-back", {}) == "not_found"
    assert api.ok("GET", f"{AT}/audit/admin/verify-chain")["holds"]


def test_h14_drafts_and_versions_of_another_organization_are_not_seen_and_not_gone_back(api: Api) -> None:
    gus = globex_owner(api)
    api.ok("PUT", f"{AT}/schemas/gl", {"organization": "2"})
    start = version(api)
    api.ok("POST", POLICIES, FILTER)
    api.ok("POST", POLICIES, FILTER | {"table": "gl.customers"}, key=gus)
    ours = api.ok("POST", DRAFTS, {"policies": [MASK], "note": "secret plans"})
    theirs = api.ok("POST", DRAFTS, {"policies": [MASK | {"table": "gl.customers"}]}, key=gus)
    assert [d["number"] for d in api.ok("GET", DRAFTS, key=gus)["items"]] == [theirs["number"]]
    for method, where in (("GET", ""), ("DELETE", ""), ("POST", "/activate")):
        assert api.refused(404, method, f"{DRAFTS}/{ours['number']}{where}", key=gus) == "not_found"
    assert api.refused(403, "POST", DRAFTS, {"policies": [MASK]}, key=gus) == "permission_denied"
    assert api.refused(404, "POST", DRAFTS, {"remove": ["own-rows", "own-rows-of-acme"]}, key=gus) == "not_found"
    (seen,) = api.ok("GET", VERSIONS, key=gus)["items"]
    assert [c["before"] for c in seen["changes"]] == [None]
    assert "sales.customers" not in str(seen)
    api.ok("POST", f"{VERSIONS}/{start}/roll-back", {}, key=gus)
    assert [p.table.schema for p in in_force(api)] == ["sales"]  # type: ignore[union-attr]


def test_a_crash_between_any_two_writes_activates_nothing(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    draft = api.ok("POST", DRAFTS, {"policies": [FILTER, MASK]})
    events = len(api.events())
    real = api.store.change

    def crash(attribution: Any, decide: Any) -> Any:
        def late(reader: Any) -> Any:
            change = decide(reader)
            broken = dataclasses.replace(change.puts[-1], number="not a number")
            return dataclasses.replace(change, puts=(*change.puts[:-1], broken))

        return real(attribution, late)

    monkeypatch.setattr(api.store, "change", crash)
    assert api.call("POST", f"{DRAFTS}/{draft['number']}/activate").status in (500, 503)
    monkeypatch.undo()
    assert in_force(api) == ()
    assert len(api.events()) == events
    with api.store.read() as reader:
        assert reader.get(Environment, "", "production") is not None
    api.ok("POST", f"{DRAFTS}/{draft['number']}/activate")
    assert len(in_force(api)) == 2
