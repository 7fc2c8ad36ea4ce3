"""What nodes learn and tell: the rulebook with its ETag, tables, figures, the cache's generation."""

from __future__ import annotations

import base64
import gzip
import json
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from engine.control_link import table_parts
from governance.bundle import MANIFEST_HEADER, SIGNATURE_HEADER, Manifest, from_header
from governance.register import TableReport
from governance.rulebook import decode
from governance.signatures import verifier
from governance.table_report import TableReportPart
from governance.tables import Column, Table, TableName
from lambdas.control_plane.handler import make_handler
from tests.control_plane.conftest import Answer, Api

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
        {"environment": "production", "tables": [], "report": "XYZ"},
        {"environment": "production", "tables": [], "part": 2, "parts": 2},
    ):
        assert api.node("PUT", "/v1/nodes/tables", body).status == 422
    for figures in ({"Bad Name": 1}, {"x": "text"}, {"x": None}, {f"f{n}": n for n in range(300)}):
        body = {"environment": "production", "figures": figures}
        assert api.node("PUT", "/v1/nodes/figures", body).status == 422
    nan = json.dumps({"environment": "production", "figures": {"x": float("nan")}})
    assert api.node("PUT", "/v1/nodes/figures", raw=nan).status == 422
    assert api.node("PUT", "/v1/nodes/tables", {"environment": "none", "tables": []}).status == 404
    assert api.node("GET", BOOK, environment="none").status == 404


def _table(name: str) -> dict[str, Any]:
    return {"schema": "s", "name": name, "columns": [{"name": "a", "type": "INTEGER"}]}


def _names(api: Api) -> list[str]:
    items = api.ok("GET", "/v1/environments/production/tables", limit="1000")["items"]
    return [item["name"] for item in items]


def test_a_report_in_parts_counts_once_it_is_whole_in_whatever_order_it_comes(api: Api) -> None:
    head = {"environment": "production", "report": "ab12", "parts": 3}
    api.node("PUT", "/v1/nodes/tables", {"environment": "production", "tables": [_table("before")]})
    for number in (2, 0):
        part = {**head, "part": number, "tables": [_table(f"t{number}")]}
        assert api.node("PUT", "/v1/nodes/tables", part).status == 200
        assert _names(api) == ["before"]
    assert api.node("PUT", "/v1/nodes/tables", {**head, "part": 1, "tables": [_table("t1")]}).status == 200
    assert _names(api) == ["t0", "t1", "t2"]
    with api.store.read() as reader:
        assert reader.every(TableReportPart, "production") == []


def test_parts_of_two_reports_do_not_mix_and_waiting_ones_are_forgotten(api: Api) -> None:
    def part(report: str, number: int) -> None:
        body = {"environment": "production", "report": report, "part": number, "parts": 2}
        assert api.node("PUT", "/v1/nodes/tables", {**body, "tables": [_table(f"{report}{number}")]}).status == 200

    part("a", 0)
    part("b", 1)
    assert _names(api) == []
    api.clock.forward(hours=2)
    part("a", 1)
    assert _names(api) == [], "the first part is too old"
    part("a", 0)
    assert _names(api) == ["a0", "a1"]


def test_a_report_may_come_as_gzip_and_no_bomb_gets_through(api: Api) -> None:
    def put(data: bytes, encoding: str = "gzip") -> int:
        event = {
            "httpMethod": "PUT",
            "path": "/v1/nodes/tables",
            "multiValueHeaders": {
                "content-type": ["application/json"],
                "content-encoding": [encoding],
                "x-amzn-mtls-clientcert-subject": ["CN=hatidata-node"],
            },
            "body": base64.b64encode(data).decode(),
            "isBase64Encoded": True,
        }
        return int(api.handler(event, None)["statusCode"])

    report = json.dumps({"environment": "production", "tables": [_table("t")]}).encode()
    assert put(gzip.compress(report)) == 200
    assert _names(api) == ["t"]
    assert put(gzip.compress(b" " * 5_000_000)) == 413
    assert put(gzip.compress(report)[:-4]) == 422
    assert put(gzip.compress(report) + b"x") == 422
    assert put(b"nonsense") == 422
    assert put(report, "br") == 422


def test_ten_thousand_wide_tables_go_through_the_parts_a_node_makes(api: Api) -> None:
    columns = tuple(Column(f"column_{number}", "DECIMAL(38,10)") for number in range(20))
    tables = [Table(TableName("s", f"t{number:05}"), columns) for number in range(3000)]
    parts = table_parts(tables)
    assert len(parts) > 1
    for number, part in enumerate(parts):
        head = {"environment": "production", "report": "0f", "part": number, "parts": len(parts)}
        raw = json.dumps(head)[:-1] + ', "tables": [' + b",".join(part).decode() + "]}"
        assert len(raw) < 1_048_576
        assert api.node("PUT", "/v1/nodes/tables", raw=raw).status == 200
    with api.store.read() as reader:
        report = reader.get(TableReport, "production", TableReport.id)
    assert report is not None
    assert report.tables == tuple(tables)


# ---------------------------------------------------------------- the signed bundle


class Ed25519Signer:
    def __init__(self, fresh_for_s: float = 0.0) -> None:
        self.key = Ed25519PrivateKey.generate()
        self.fresh_for_s = fresh_for_s
        self.signed = 0

    def sign(self, data: bytes) -> bytes:
        self.signed += 1
        return self.key.sign(data)

    def public_key(self) -> bytes:
        return self.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def _signed(api: Api, signer: Ed25519Signer) -> None:
    api.handler = make_handler(api.store, api.clock, signer=signer)


def _manifest(answer: Answer, signer: Ed25519Signer) -> Manifest:
    data, signature = (from_header(answer.headers[name.lower()]) for name in (MANIFEST_HEADER, SIGNATURE_HEADER))
    assert verifier(signer.public_key())(data, signature)
    return Manifest.decode(data)


def test_every_word_about_the_rulebook_is_signed_with_its_moment(api: Api) -> None:
    signer = Ed25519Signer()
    _signed(api, signer)
    first = api.node("GET", BOOK)
    manifest = _manifest(first, signer)
    assert manifest.describes(first.text.encode())
    assert (manifest.environment, manifest.issued_at) == ("production", "2026-11-22T03:00:00.000000Z")
    api.clock.forward(seconds=90)
    confirmed = api.node("GET", BOOK, headers={"if-none-match": first.headers["etag"]})
    assert confirmed.status == 304
    later = _manifest(confirmed, signer)
    assert (later.sha256, later.version) == (manifest.sha256, manifest.version)
    assert later.issued_at == "2026-11-22T03:01:30.000000Z"


def test_where_signing_costs_one_signature_serves_for_a_while_but_never_for_another_version(api: Api) -> None:
    signer = Ed25519Signer(fresh_for_s=3600)
    _signed(api, signer)
    etag = api.node("GET", BOOK).headers["etag"]
    for _ in range(5):
        assert api.node("GET", BOOK, headers={"if-none-match": etag}).status == 304
    assert signer.signed == 1
    api.user("ana@acme.example", "analyst")
    moved = api.node("GET", BOOK, headers={"if-none-match": etag})
    assert _manifest(moved, signer).describes(moved.text.encode())
    assert signer.signed == 2


def test_two_functions_serve_the_same_bytes(api: Api) -> None:
    first = api.node("GET", BOOK)
    api.clock.forward(seconds=5)
    api.handler = make_handler(api.store, api.clock)
    assert api.node("GET", BOOK).text == first.text


def test_a_long_rulebook_comes_in_parts_under_a_megabyte(api: Api) -> None:
    signer = Ed25519Signer()
    _signed(api, signer)
    sql = "SELECT " + ", ".join(f"{number} AS column_{number}" for number in range(2500))
    for number in range(16):
        api.ok("POST", "/v1/environments/production/views", {"name": f"s.v{number}", "sql": sql})
    first = api.node("GET", BOOK)
    manifest = _manifest(first, signer)
    assert manifest.parts > 1
    answers = [first]
    for number in range(1, manifest.parts):
        answers.append(api.node("GET", BOOK, part=str(number), headers={"if-match": first.headers["etag"]}))
    assert all(len(answer.text) < 1_000_000 for answer in answers)
    body = "".join(answer.text for answer in answers).encode()
    assert manifest.describes(body)
    assert len(decode(body).views) == 16
    assert api.node("GET", BOOK, part=str(manifest.parts)).status == 404
    api.user("ana@acme.example", "analyst")
    assert api.node("GET", BOOK, part="1", headers={"if-match": first.headers["etag"]}).status == 412
