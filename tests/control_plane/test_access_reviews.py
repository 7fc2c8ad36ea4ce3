"""Access reviews over the API: a line for each user, signed by somebody else, due within the quarter (H15.6)."""

from __future__ import annotations

import base64
import hashlib
import re
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from governance.access_review import AccessReview, period_of
from governance.chain import canonical
from governance.signatures import verifier
from lambdas.access_review.task import run
from local.signing import HomeSigner
from tests.control_plane.conftest import Api

REVIEWS = "/v1/access-reviews"


def auditor(api: Api, email: str = "aud@acme.example", organization: str = "1") -> str:
    return str(api.key_for(api.user(email, "auditor", organization), "audit:read")["key"])


def lines(api: Api, review: str, **more: Any) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = api.ok("GET", f"{REVIEWS}/{review}/lines", limit="1000", **more)["items"]
    return items


def test_h15_6_the_report_says_who_holds_what_and_when_it_was_last_used(api: Api) -> None:
    ana = api.key_for(api.user("ana@acme.example", "analyst"), "read_only", "policies:manage")
    api.node("PUT", "/v1/nodes/figures", {
        "environment": "production", "figures": {}, "keys_used": {ana["id"]: "2026-11-22T02:59:00Z"},
    })  # fmt: skip
    assert run(api.store, api.clock).opened == ["2026-Q4.1"]
    (review,) = api.ok("GET", REVIEWS)["items"]
    assert (review["status"], review["lines"], review["signed"]) == ("open", 2, 0)
    assert review["due_at"] == "2026-12-22T03:00:00.000000Z"
    held = {line["held"]["user_id"]: line["held"] for line in lines(api, review["id"])}
    assert held["olga@acme.example"]["privileges"] == ["audit", "billing", "policies", "query", "users"]
    mine = held["ana@acme.example"]
    assert (mine["role"], mine["privileges"], mine["last_used_at"]) == (
        "analyst", ["query"], "2026-11-22T02:59:00.000000Z"
    )  # fmt: skip
    assert "policies:manage" not in mine["keys"][0]["scopes"]  # granted, but not permitted to his role


def test_h15_6_each_line_is_signed_off_by_somebody_else_and_the_signature_holds(api: Api) -> None:
    api.user("ana@acme.example", "analyst")
    aud = auditor(api)
    review = api.ok("POST", REVIEWS, {})["id"]
    assert api.refused(409, "POST", REVIEWS, {}) == "conflict"
    numbers = {line["held"]["user_id"]: line["number"] for line in lines(api, review, key=aud)}
    sign = f"{REVIEWS}/{review}/lines"
    own, hers = numbers["aud@acme.example"], numbers["ana@acme.example"]
    assert api.refused(403, "POST", f"{sign}/{own}", {"decision": "keep"}, key=aud) == "permission_denied"
    done = api.ok("POST", f"{sign}/{hers}", {"decision": "revoke", "note": "left the desk"}, key=aud)
    said = done["signed"]
    assert (said["reviewer_id"], said["decision"], done["outstanding"]) == ("aud@acme.example", "revoke", True)
    check = verifier(HomeSigner(api.folder).public_key())
    assert check(said["statement"].encode(), base64.b64decode(said["signature"]))
    assert done["digest"] in said["statement"]
    assert api.refused(409, "POST", f"{sign}/{hers}", {"decision": "keep"}) == "conflict"
    api.ok("PATCH", "/v1/users/ana@acme.example", {"status": "suspended"})
    assert not next(line for line in lines(api, review) if line["number"] == hers)["outstanding"]
    api.ok("POST", f"{sign}/{own}", {"decision": "keep"})
    api.ok("POST", f"{sign}/{numbers['olga@acme.example']}", {"decision": "keep"}, key=aud)
    assert api.ok("GET", REVIEWS)["items"][0]["status"] == "done"
    events = [e for e in api.events() if e["type"] == "access.reviewed"]
    assert [(e["after"]["user_id"], e["after"]["decision"]) for e in events] == [
        ("ana@acme.example", "revoke"), ("aud@acme.example", "keep"), ("olga@acme.example", "keep")
    ]  # fmt: skip
    assert api.refused(404, "POST", f"{sign}/99", {"decision": "keep"}) == "not_found"
    assert api.refused(422, "POST", f"{sign}/1", {"decision": "perhaps"}) == "invalid_request"


def test_h15_6_the_next_quarter_opens_by_schedule_and_says_what_has_changed(api: Api) -> None:
    ana = api.key_for(api.user("ana@acme.example", "analyst"), "read_only")
    api.user("bob@acme.example", "analyst")
    assert run(api.store, api.clock).opened == ["2026-Q4.1"]
    assert run(api.store, api.clock).opened == []
    api.clock.forward(days=31)
    assert run(api.store, api.clock).overdue == ["2026-Q4.1"]
    assert api.ok("GET", REVIEWS)["items"][0]["status"] == "overdue"
    api.ok("PATCH", "/v1/users/ana@acme.example", {"role": "developer", "attributes": {"region": "secret place"}})
    api.ok("DELETE", f"/v1/environments/production/keys/{ana['id']}")
    api.ok("DELETE", "/v1/users/bob@acme.example")
    api.user("cleo@acme.example", "auditor")
    api.clock.forward(days=60)
    assert run(api.store, api.clock).opened == ["2027-Q1.1"]
    review = next(r for r in api.ok("GET", REVIEWS)["items"] if r["period"] == "2027-Q1")
    assert (review["since"], review["gone"]) == ("2026-11-22T03:00:00.000000Z", ["bob@acme.example"])
    changes = {line["held"]["user_id"]: line["held"]["changes"] for line in lines(api, review["id"])}
    assert changes == {
        "ana@acme.example": [
            "role: analyst -> developer", "attributes changed", f"key gone: {ana['name']} ({ana['id']})"
        ],
        "cleo@acme.example": ["new user"],
        "olga@acme.example": [],
    }  # fmt: skip


def test_h14_a_review_of_another_organization_does_not_exist(api: Api) -> None:
    api.ok("POST", "/v1/organizations", {"id": "2", "name": "Globex"})
    gus = auditor(api, "gus@globex.example", "2")
    run(api.store, api.clock)
    assert [r["id"] for r in api.ok("GET", REVIEWS, key=gus)["items"]] == ["2026-Q4.2"]
    assert api.refused(404, "GET", f"{REVIEWS}/2026-Q4.1/lines", key=gus) == "not_found"
    body = {"decision": "keep"}
    assert api.refused(404, "POST", f"{REVIEWS}/2026-Q4.1/lines/1", body, key=gus) == "not_found"
    assert len(lines(api, "2026-Q4.1")) == 1


def test_an_agent_or_a_lent_role_vouches_for_nobody(api: Api) -> None:
    api.user("zoe@acme.example", "analyst")
    review = api.ok("POST", REVIEWS, {})["id"]
    agent = str(api.key_for("olga@acme.example", "audit:read", agent={"id": "bot"})["key"])
    number = next(li["number"] for li in lines(api, review) if li["held"]["user_id"] == "zoe@acme.example")
    body = {"decision": "keep"}
    assert api.refused(403, "POST", f"{REVIEWS}/{review}/lines/{number}", body, key=agent) == "permission_denied"


def test_quarters() -> None:
    moments = [datetime(2026, month, 1, tzinfo=UTC) for month in (1, 3, 4, 6, 7, 9, 10, 12)]
    assert [period_of(m)[-2:] for m in moments] == ["Q1", "Q1", "Q2", "Q2", "Q3", "Q3", "Q4", "Q4"]
    nobody = AccessReview("1", "2026-Q4", "a", "b", "", 0)
    assert nobody.status("c") == "done"


def test_h15_6_an_auditor_checks_a_sign_off_with_openssl(api: Api, tmp_path: Path) -> None:
    api.user("ana@acme.example", "analyst")
    review = api.ok("POST", REVIEWS, {})["id"]
    number = next(li["number"] for li in lines(api, review) if li["held"]["user_id"] == "ana@acme.example")
    done = api.ok("POST", f"{REVIEWS}/{review}/lines/{number}", {"decision": "keep"})
    held = {"held": done["held"], "number": done["number"], "review": done["review"]}
    assert hashlib.sha256(canonical(held)).hexdigest() == done["digest"]
    (tmp_path / "signing.pub").write_bytes(HomeSigner(api.folder).public_key())
    (tmp_path / "signature").write_bytes(base64.b64decode(done["signed"]["signature"]))
    page = (Path(__file__).parents[2] / "docs" / "people.md").read_text("utf-8")
    command = re.findall(r"```sh\n(openssl .*)\n```", page)[0].split()
    for statement, code in ((done["signed"]["statement"], 0), (done["signed"]["statement"].replace("keep", "kept"), 1)):
        (tmp_path / "statement").write_text(statement)
        checked = subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=30, check=False)
        assert checked.returncode == code
