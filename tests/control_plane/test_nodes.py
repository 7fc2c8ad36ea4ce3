"""What nodes learn and tell: the rulebook with its ETag, tables, figures, the cache's generation."""

from __future__ import annotations

import base64
import gzip
import json
from typing import Any

from governance.rulebook import decode
from tests.control_plane.conftest import Api

BOOK = "/v1/nodes/rulebook"


def test_the_rulebook_is_the_register_as_it_stands(api: Api) -> None:
    api.ok("POST", "/v1/organizations", {"id": "2", "name": "Globex"})
    ana = api.user("ana@globex.example", "analyst", "2", attributes={"region": "emea"})
    made = api.key_for(ana, "agent", agent={"id": "bot-7", "framework": "langchain"}, networks=["127.0.0.0/8"])
    book = decode(api.node("GET", BOOK).text.encode())
    assert (book.environment, book.operator_organization) == ("production", "1")
    assert book.organizations == (("1", "Acme"), ("2", "Globex"))
    key = next(key for key in book.keys if key.id == made["id"])
    principal = book.principal(key)
    assert principal is not None
    assert (principal.user_id, principal.organization, principal.operator) == (ana, "2", False)
    assert principal.agent is not None
    assert (principal.agent.id, principal.agent.framework) == ("bot-7", "langchain")
    assert principal.attribute("region") == "emea"
    assert book.issued_at == "2026-11-22T03:00:00.000000Z"


def test_h15_5_suspension_reaches_the_node_in_the_next_rulebook(api: Api) -> None:
    ana = api.user("ana@acme.example", "analyst")
    made = api.key_for(ana, "read_only")

    def principal() -> Any:
        book = decode(api.node("GET", BOOK).text.encode())
        key = next((key for key in book.keys if key.id == made["id"]), None)
        return book.principal(key) if key else None

    assert principal() is not None
    api.ok("PATCH", f"/v1/users/{ana}", {"status": "suspended"})
    assert principal() is None
    api.ok("PATCH", f"/v1/users/{ana}", {"status": "active"})
    assert principal() is not None
    api.ok("DELETE", f"/v1/environments/production/keys/{made['id']}")
    assert principal() is None


def test_a_304_confirms_an_unchanged_rulebook_and_any_change_of_law_moves_the_etag(api: Api) -> None:
    etag = api.node("GET", BOOK).headers["etag"]
    api.clock.forward(hours=1)
    api.node("PUT", "/v1/nodes/figures", {"environment": "production", "figures": {"queries": 1}})
    for sent in (etag, f'"other", {etag}'):
        again = api.node("GET", BOOK, headers={"if-none-match": sent})
        assert (again.status, again.text, again.headers["etag"]) == (304, "", etag)
    api.user("ana@acme.example", "analyst")
    moved = api.node("GET", BOOK, headers={"if-none-match": etag})
    assert moved.status == 200
    assert moved.headers["etag"] != etag
    assert decode(moved.text.encode()).issued_at == "2026-11-22T04:00:00.000000Z"
    assert decode(moved.text.encode()).etag == moved.headers["etag"]


def test_versions_grow(api: Api) -> None:
    versions = []
    for number in range(3):
        api.user(f"u{number}@acme.example", "analyst")
        versions.append(decode(api.node("GET", BOOK).text.encode()).version)
    assert versions == sorted(set(versions))


def test_the_rulebook_is_compressed_for_who_accepts_it(api: Api) -> None:
    plain = api.node("GET", BOOK)
    packed = api.node("GET", BOOK, headers={"accept-encoding": "gzip"})
    assert packed.headers["content-encoding"] == "gzip"
    assert gzip.decompress(base64.b64decode(packed.text)) == plain.text.encode()


def test_clearing_the_cache_moves_its_generation_and_is_recorded(api: Api) -> None:
    assert api.ok("POST", "/v1/environments/production/cache/clear") == {"cache_generation": 1}
    assert api.ok("POST", "/v1/environments/production/cache/clear") == {"cache_generation": 2}
    assert decode(api.node("GET", BOOK).text.encode()).limits.cache_generation == 2
    event = api.events()[-1]
    assert (event["type"], event["before"], event["after"]) == (
        "cache.cleared",
        {"cache_generation": 1},
        {"cache_generation": 2},
    )


def test_figures_are_kept_per_node_and_shown_to_the_operator(api: Api) -> None:
    for node in ("a", "b", "a"):
        body = {"environment": "production", "node": node, "figures": {"queries": len(api.answers), "p95_ms": 1.5}}
        assert api.node("PUT", "/v1/nodes/figures", body).status == 200
    items = api.ok("GET", "/v1/environments/production/nodes")["items"]
    assert [(item["node"], item["figures"]["queries"]) for item in items] == [("a", 2), ("b", 1)]


def test_reports_that_are_not_well_formed_are_refused(api: Api) -> None:
    table = {"schema": "s", "name": "t", "columns": [{"name": "a", "type": "INTEGER"}]}
    for body in (
        {},
        {"environment": "production"},
        {"environment": "production", "tables": [table | {"rows": 5}]},
        {"environment": "production", "tables": [{"table_schema": "s", "name": "t", "columns": []}]},
    ):
        assert api.node("PUT", "/v1/nodes/tables", body).status == 422
    for figures in ({"Bad Name": 1}, {"x": "text"}, {"x": None}, {f"f{n}": n for n in range(300)}):
        body = {"environment": "production", "figures": figures}
        assert api.node("PUT", "/v1/nodes/figures", body).status == 422
    nan = json.dumps({"environment": "production", "figures": {"x": float("nan")}})
    assert api.node("PUT", "/v1/nodes/figures", raw=nan).status == 422
    assert api.node("PUT", "/v1/nodes/tables", {"environment": "none", "tables": []}).status == 404
    assert api.node("GET", BOOK, environment="none").status == 404
