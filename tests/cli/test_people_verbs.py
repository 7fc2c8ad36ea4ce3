"""The verbs around people: invitations, access, reviews, environments, usage and quotas."""

from __future__ import annotations

import re
from pathlib import Path

from governance.api_key import is_well_formed
from tests.cli.conftest import Run
from tests.support.stack import Stack


def test_an_invitation_is_made_accepted_and_listed(owner: Run, verb: Run, plane: Stack) -> None:
    made = owner(
        "invitations", "create", "ivy@acme.example", "--role", "analyst", "--attribute", "region=emea", "--json"
    )
    assert made.json["token"].startswith("hd_invite_")
    assert made.json["id"] in owner("invitations", "list").out
    assert "token" not in owner("invitations", "list", "--json").out
    env = {"HATIDATA_HOME": str(plane.home), "HATIDATA_INVITATION": made.json["token"]}
    accepted = verb("invitations", "accept", "ivy@acme.example", "--json", env=env)
    assert is_well_formed(accepted.json["key"])
    assert owner("whoami", "--json", key=accepted.json["key"]).json["role"] == "analyst"
    again = verb("invitations", "accept", "ivy@acme.example", env=env)
    assert (again.code, again.err.startswith("hatidata: not_found:")) == (1, True)
    other = owner("invitations", "create", "joe@acme.example", "--role", "analyst", "--json").json
    assert owner("invitations", "cancel", other["id"]).code == 0
    assert other["id"] not in owner("invitations", "list").out
    shown = owner("invitations", "create", "kim@acme.example", "--role", "analyst").out
    assert "hd_invite_" in shown


def test_h15_4_a_role_is_asked_for_lent_used_and_taken_back(owner: Run) -> None:
    owner("users", "create", "lea@acme.example", "--role", "analyst")
    lea = owner("keys", "create", "lea", "--user", "lea@acme.example", "--scope", "read_only", "--json").json["key"]
    asked = owner("access", "ask", "auditor", "--minutes", "20", "--reason", "Who read it?", "--json", key=lea).json
    assert asked["status"] == "requested"
    refused = owner("access", "approve", asked["id"], key=lea)
    assert (refused.code, "permission_denied" in refused.err) == (1, True)
    assert owner("access", "approve", asked["id"], "--minutes", "5", "--json").json["minutes"] == 5
    key = owner("access", "key", asked["id"], "--json", key=lea).json
    assert owner("whoami", "--json", key=key["key"]).json["role"] == "auditor"
    assert "granted" in owner("access", "list", "--status", "granted").out
    assert owner("access", "revoke", asked["id"], "--json").json["status"] == "revoked"
    assert owner("whoami", key=key["key"]).code == 1
    second = owner("access", "ask", "developer", "--minutes", "5", "--reason", "Hot fix", "--json", key=lea).json
    assert owner("access", "deny", second["id"], "--json").json["status"] == "denied"
    third = owner("access", "ask", "developer", "--minutes", "5", "--reason", "Hot fix", "--json", key=lea).json
    assert owner("access", "withdraw", third["id"], "--json", key=lea).json["status"] == "canceled"
    assert owner("access", "ask", "developer", "--minutes", "0", "--reason", "x", key=lea).code == 2


def test_h15_6_a_review_is_opened_by_the_schedule_shown_and_signed(owner: Run) -> None:
    owner("users", "create", "max@acme.example", "--role", "analyst")
    owner("reviews", "open")  # or the housekeeping was first
    reviews = owner("reviews", "list", "--json").json["items"]  # another test's organization may have one too
    (review,) = (item for item in reviews if item["organization"] == "1")
    lines = owner("reviews", "show", review["id"], "--json").json["items"]
    assert "privileges" in owner("reviews", "show", review["id"]).out
    other = next((line for line in lines if line["held"]["role"] != "owner"), None)
    own = next(line for line in lines if line["held"]["role"] == "owner")
    assert owner("reviews", "sign", review["id"], str(own["number"]), "keep").code == 1
    if other is not None:
        signed = owner("reviews", "sign", review["id"], str(other["number"]), "keep", "--note", "needed", "--json")
        assert signed.json["signed"]["signature"]


def test_environments_quotas_and_usage_are_set_and_shown(owner: Run) -> None:
    assert (
        owner("environments", "set", "production", "--result-rows-max", "1000", "--json").json["result_rows_max"]
        == 1000
    )
    assert owner("environments", "set", "production", "--result-rows-max", "0").code == 0
    assert "production" in owner("environments", "list").out
    assert owner("environments", "set", "lab").code == 1
    owner("users", "create", "quentin@acme.example", "--role", "analyst")
    owner("keys", "create", "measured", "--user", "quentin@acme.example", "--scope", "read_only")
    assert owner("quotas", "key", "measured", "--per-day", "10", "--json").json["queries_per_day"] == 10
    assert owner("quotas", "organization", "1", "--per-minute", "600", "--json").json["queries_per_minute"] == 600
    listed = owner("quotas", "list", "--json").json["items"]
    assert {(q["subject"], q["queries_per_day"], q["queries_per_minute"]) for q in listed} == {
        ("key", 10, 0), ("organization", 0, 600)
    }  # fmt: skip
    assert owner("quotas", "organization", "1").code == 0
    assert owner("usage", "--key", "measured", "--json").json == {"items": []}
    assert owner("usage").code == 0


def test_an_organization_is_handed_over(owner: Run) -> None:
    owner("organizations", "create", "Initech", "--id", "9")
    owner("users", "create", "ira@initech.example", "--role", "owner", "--organization", "9")
    owner("users", "create", "jan@initech.example", "--role", "analyst", "--organization", "9")
    done = owner("organizations", "transfer", "9", "jan@initech.example", "--json")
    assert (done.json["owner"], done.json["former_owner"]) == ("jan@initech.example", "ira@initech.example")


def test_the_page_about_people_names_verbs_that_exist(verb: Run) -> None:
    page = (Path(__file__).parents[2] / "docs" / "people.md").read_text("utf-8")
    named: set[tuple[str, ...]] = set()
    for row in re.findall(r"^\| (`hatidata .*?) \|", page, re.MULTILINE):
        group = ""
        for words in re.findall(r"`([^`]+)`", row):
            parts = words.split()
            if parts[0] == "hatidata":
                group = parts[1]
                named.add(tuple(parts[1:]))
            else:
                named.add((group, *parts))
    assert len(named) > 25
    for words in sorted(named):
        assert verb(*words, "--help").code == 0, words
