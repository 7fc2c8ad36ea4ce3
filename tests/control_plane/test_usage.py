"""Usage and quotas over the API: counts per key and day from several nodes, nothing that names data (W7.3)."""

from __future__ import annotations

from typing import Any

from governance.rulebook import Quota
from governance.usage import BINS, KEPT_DAYS, LATENCY_BOUNDS_MS, UsageFigures, bin_of
from lambdas.control_plane.rulebook import build_rulebook
from tests.control_plane.conftest import Api

E_ = "/v1/environments/production"
DAY = "2026-11-22"


def entry(key_id: str, count: int, *, day: str = DAY, at: int = 5) -> dict[str, Any]:
    latency = [0] * BINS
    latency[bin_of(at)] = count
    return {"day": day, "key_id": key_id, "statements": {"succeeded": count}, "latency": latency}


def told(api: Api, node: str, *entries: dict[str, Any], day: str = DAY) -> dict[str, Any]:
    body = {"environment": "production", "node": node, "day": day, "entries": list(entries)}
    answer = api.node("PUT", "/v1/nodes/usage", body)
    assert answer.status == 200, answer.text
    answered: dict[str, Any] = answer.body
    return answered


def test_w7_3_counts_of_several_nodes_are_one_and_telling_again_counts_once(api: Api) -> None:
    first, second = (api.key_for(api.user(f"u{n}@acme.example", "analyst"), "read_only") for n in (1, 2))
    for _ in range(2):
        told(api, "node-a", entry(first["id"], 3), entry(second["id"], 1, at=400))
    told(api, "node-b", entry(first["id"], 4, at=999_999))
    told(api, "node-a", entry(first["id"], 5), entry(first["id"], 9, day="2026-11-21"), entry("key-none", 7))
    items = api.ok("GET", f"{E_}/usage")["items"]
    counts = {(item["day"], item["key_id"]): item["count"] for item in items}
    assert counts == {(DAY, first["id"]): 9, (DAY, second["id"]): 1, ("2026-11-21", first["id"]): 9}
    mine = next(item for item in items if item["key_id"] == first["id"] and item["day"] == DAY)
    assert mine["statements"] == {"succeeded": 9}
    assert {b["at_most_ms"]: b["statements"] for b in mine["latency"] if b["statements"]} == {5: 5, None: 4}
    assert (mine["p50_ms"], mine["p99_ms"]) == (5, None)
    assert set(mine) == {
        "day", "key_id", "key_name", "user_id", "organization", "count", "statements", "latency", "p50_ms", "p95_ms",
        "p99_ms",
    }  # fmt: skip
    assert [i["count"] for i in api.ok("GET", f"{E_}/usage", since=DAY, key_id=second["id"])["items"]] == [1]
    assert [i["day"] for i in api.ok("GET", f"{E_}/usage", until="2026-11-21")["items"]] == ["2026-11-21"]


def test_usage_is_paged_and_each_organization_sees_its_own(api: Api) -> None:
    api.ok("POST", "/v1/organizations", {"id": "2", "name": "Globex"})
    gus = api.key_for(api.user("gus@globex.example", "owner", "2"), "admin")
    keys = [api.key_for(api.user(f"u{n}@acme.example", "analyst"), "read_only")["id"] for n in range(3)]
    for node in ("node-a", "node-b"):
        told(api, node, *(entry(key, 2) for key in (*keys, gus["id"])))
    seen: list[str] = []
    cursor = ""
    while True:
        page = api.ok("GET", f"{E_}/usage", limit="2", cursor=cursor)
        seen += [item["key_id"] for item in page["items"]]
        if page["next"] is None:
            break
        cursor = page["next"]
    assert sorted(seen) == sorted([*keys, gus["id"]])
    assert [i["key_id"] for i in api.ok("GET", f"{E_}/usage", key=gus["key"])["items"]] == [gus["id"]]


def test_a_report_that_does_not_hold_together_is_refused(api: Api) -> None:
    key = api.key_for(api.user("u@acme.example", "analyst"), "read_only")["id"]
    good = entry(key, 2)
    for bad in (
        {**good, "latency": [0] * BINS},
        {**good, "latency": [2]},
        {**good, "statements": {"select * from t": 2}},
        {**good, "statements": {"succeeded": -1}},
        {**good, "day": "2026-13-01"},
        {**good, "key_id": "a/b"},
        {**good, "table": "sales"},
    ):
        body = {"environment": "production", "node": "n", "day": DAY, "entries": [bad]}
        assert api.node("PUT", "/v1/nodes/usage", body).status == 422
    body = {"environment": "staging", "node": "n", "day": DAY, "entries": []}
    assert api.node("PUT", "/v1/nodes/usage", body).status == 404


def test_figures_are_not_kept_for_ever() -> None:
    figures = UsageFigures("production", DAY, "key-1", "n", (), (0,) * BINS)
    assert figures.expires_at[:4] == "2027"
    assert KEPT_DAYS > 366
    assert bin_of(LATENCY_BOUNDS_MS[-1] + 1) == BINS - 1


def test_quotas_are_set_told_to_nodes_and_counted_over_all_of_them(api: Api) -> None:
    api.ok("POST", "/v1/organizations", {"id": "2", "name": "Globex"})
    ana = api.key_for(api.user("ana@acme.example", "analyst"), "read_only")
    bob = api.key_for(api.user("bob@globex.example", "analyst", "2"), "read_only")
    api.ok("PUT", f"{E_}/quotas/keys/{ana['id']}", {"queries_per_day": 10})
    api.ok("PUT", f"{E_}/quotas/organizations/2", {"queries_per_day": 20, "queries_per_minute": 5})
    with api.store.read() as reader:
        book = build_rulebook(reader, "production", api.clock.now().isoformat())
    assert book.quotas == (("2", Quota(20, 5)),)
    assert next(key.quota for key in book.keys if key.id == ana["id"]) == Quota(10, 0)
    told(api, "node-a", entry(ana["id"], 3), entry(bob["id"], 4))
    elsewhere = told(api, "node-b", entry(ana["id"], 1), entry(bob["id"], 1))["elsewhere"]
    assert elsewhere == {"keys": {ana["id"]: 3}, "organizations": {"2": 4}}
    assert told(api, "node-b", day="2026-11-23")["elsewhere"] == {"keys": {}, "organizations": {}}
    listed = {(q["subject"], q["id"]): q["queries_per_day"] for q in api.ok("GET", f"{E_}/quotas")["items"]}
    assert listed == {("key", ana["id"]): 10, ("organization", "2"): 20}
    changes = [e["after"]["quota"] for e in api.events() if e["type"] == "environment.updated" and e["after"]["quota"]]
    assert changes[0] == {"subject": "key", "id": ana["id"], "queries_per_day": 10, "queries_per_minute": 0}
    api.ok("PUT", f"{E_}/quotas/organizations/2", {})
    assert [q["subject"] for q in api.ok("GET", f"{E_}/quotas")["items"]] == ["key"]
    rotated = api.ok("POST", f"{E_}/keys/{ana['id']}/rotate")
    assert rotated["quota"]["queries_per_day"] == 10


def test_nobody_raises_his_own_quota(api: Api) -> None:
    api.ok("POST", "/v1/organizations", {"id": "2", "name": "Globex"})
    gus = api.key_for(api.user("gus@globex.example", "owner", "2"), "admin", "orgs:manage")["key"]
    adam = api.key_for(api.user("adam@acme.example", "admin"), "admin", quota={"queries_per_day": 100})
    eve = api.key_for(api.user("eve@acme.example", "admin"), "admin")
    ana = api.key_for(api.user("ana@acme.example", "analyst"), "read_only")
    for key, target in ((adam, adam), (eve, adam)):
        path = f"{E_}/quotas/keys/{target['id']}"
        assert api.refused(403, "PUT", path, {"queries_per_day": 1000}, key=key["key"]) == "permission_denied"
    path = f"{E_}/quotas/keys/{ana['id']}"
    assert api.refused(403, "PUT", path, {"queries_per_day": 101}, key=adam["key"]) == "permission_denied"
    assert api.refused(403, "PUT", path, {}, key=adam["key"]) == "permission_denied"
    assert api.ok("PUT", path, {"queries_per_day": 99}, key=adam["key"])["queries_per_day"] == 99
    assert api.refused(404, "PUT", path, {}, key=gus) == "not_found"
    assert api.refused(403, "PUT", f"{E_}/quotas/organizations/2", {}, key=gus) == "permission_denied"
    wider = {"name": "wider", "user": "adam@acme.example", "scopes": ["read_only"], "quota": {"queries_per_day": 500}}
    assert api.refused(403, "POST", f"{E_}/keys", wider, key=adam["key"]) == "permission_denied"
    assert api.refused(403, "POST", f"{E_}/keys", {**wider, "quota": {}}, key=adam["key"]) == "permission_denied"
