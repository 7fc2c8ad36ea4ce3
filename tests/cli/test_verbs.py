"""The administering verbs against a real control plane, and how they end."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest

from governance.api_key import is_well_formed
from tests.cli.conftest import Run
from tests.support.stack import Stack, hatidata


@pytest.fixture
def user(owner: Run) -> str:
    """An analyst to do things to; made once."""
    owner("users", "create", "vera@acme.example", "--role", "analyst", "--attribute", "region=emea")
    return "vera@acme.example"


# ------------------------------------------------------------------ users


def test_users_are_made_changed_suspended_restored_and_removed(owner: Run) -> None:
    made = owner("users", "create", "tim@acme.example", "--role", "analyst", "--attribute", "region=emea", "--json")
    assert made.json["attributes"] == {"region": "emea"}
    changed = owner(
        "users", "update", "tim@acme.example", "--role", "developer",
        "--attribute", "department=risk", "--remove-attribute", "region", "--json",
    )  # fmt: skip
    assert (changed.json["role"], changed.json["attributes"]) == ("developer", {"department": "risk"})
    assert owner("users", "suspend", "tim@acme.example", "--json").json["status"] == "suspended"
    assert owner("users", "restore", "tim@acme.example", "--json").json["status"] == "active"
    assert owner("users", "show", "tim@acme.example", "--json").json["email"] == "tim@acme.example"
    assert owner("users", "delete", "tim@acme.example").code == 0
    gone = owner("users", "show", "tim@acme.example")
    assert (gone.code, gone.err.startswith("hatidata: not_found:")) == (1, True)


def test_an_update_of_nothing_and_a_wrong_attribute_are_usage_errors(owner: Run, user: str) -> None:
    assert owner("users", "update", user).code == 2
    assert owner("users", "update", user, "--attribute", "region").code == 2


# ------------------------------------------------------------------ keys


def test_w3_3_a_key_is_printed_once_and_listed_without_itself(owner: Run, user: str) -> None:
    made = owner("keys", "create", "listed", "--user", user, "--scope", "read_only", "--json").json
    assert is_well_formed(made["key"])
    shown = owner("keys", "list", "--json").out + owner("keys", "show", "listed").out
    assert made["id"] in shown
    assert made["key"][16:] not in shown


def test_w3_5_a_key_carries_its_agent_networks_and_tables(owner: Run, user: str) -> None:
    made = owner(
        "keys", "create", "bound", "--user", user, "--scope", "agent", "--scope", "query:read",
        "--agent-id", "bot-7", "--agent-framework", "langchain",
        "--network", "10.0.0.0/8", "--allowed-table", "sales.*", "--json",
    ).json  # fmt: skip
    assert made["agent"] == {"id": "bot-7", "framework": "langchain", "trust": ""}
    assert (made["networks"], made["allowed_tables"]) == (["10.0.0.0/8"], ["sales.*"])


def test_w3_6_a_rotated_key_and_its_successor_are_both_valid(owner: Run, plane: Stack, user: str) -> None:
    owner("users", "create", "rot@acme.example", "--role", "admin")
    first = owner("keys", "create", "turning", "--user", "rot@acme.example", "--scope", "admin", "--json").json
    second = owner("keys", "rotate", "turning", "--json").json
    assert first["key"] != second["key"]
    for key in (first["key"], second["key"]):
        assert owner("whoami", "--json", key=key).json["email"] == "rot@acme.example"


def test_a_revoked_key_is_refused_at_once(owner: Run, user: str) -> None:
    made = owner("keys", "create", "ending", "--user", user, "--scope", "read_only", "--json").json
    assert owner("whoami", key=made["key"]).code == 0
    assert owner("keys", "revoke", "ending", "--json").json["status"] == "revoked"
    refused = owner("whoami", key=made["key"])
    assert refused.code == 1
    assert "authentication_failed" in refused.err
    assert made["key"] not in refused.err


def test_an_agents_framework_without_its_id_is_a_usage_error(owner: Run, user: str) -> None:
    ended = owner("keys", "create", "x", "--user", user, "--scope", "agent", "--agent-framework", "langchain")
    assert ended.code == 2


# ------------------------------------------------------------------ policies, views, schemas, organizations


def test_a_policy_is_written_shown_replaced_and_deleted(owner: Run, tmp_path: Path) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text("{name: cut, type: mask, table: sales.people, column: ssn, function: partial, visible: 4}")
    made = owner("policies", "create", "-f", str(file), "--json").json
    assert made["policy"]["visible"] == 4
    listed = owner("policies", "list").out
    assert "ssn: partial" in listed
    file.write_text("{name: cut, type: mask, table: sales.people, column: ssn, function: hash}")
    assert owner("policies", "replace", "cut", "-f", str(file), "--json").json["policy"]["function"] == "hash"
    assert owner("policies", "show", "cut", "--json").json["id"] == made["id"]
    assert owner("policies", "delete", "cut").code == 0
    assert owner("policies", "show", "cut").code == 1


def test_a_wrong_policy_is_refused_with_its_place(owner: Run, tmp_path: Path) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text("{name: cut, type: mask, table: sales.people, column: ssn, function: rot13}")
    ended = owner("policies", "create", "-f", str(file))
    assert ended.code == 1
    assert "function: is not one of" in ended.err


def test_a_view_is_stored_replaced_and_deleted(owner: Run) -> None:
    made = owner("views", "create", "sales.grown", "SELECT id FROM sales.people", "--json")
    assert made.code == 0, made.err
    assert (
        owner("views", "replace", "sales.grown", "SELECT name FROM sales.people", "--json")
        .json["sql"]
        .endswith("name FROM sales.people")
    )
    assert "sales.grown" in owner("views", "list").out
    assert owner("views", "show", "sales.grown", "--json").json["id"] == made.json["id"]
    assert owner("views", "delete", "sales.grown").code == 0


def test_organizations_and_schemas_are_declared(owner: Run) -> None:
    made = owner("organizations", "create", "Umbrella", "--id", "u", "--json").json
    assert made["id"] == "u"
    assert owner("organizations", "rename", "u", "Umbrella AG", "--json").json["name"] == "Umbrella AG"
    assert owner("organizations", "suspend", "u", "--json").json["status"] == "suspended"
    assert owner("organizations", "restore", "u", "--json").json["status"] == "active"
    assert "Umbrella AG" in owner("organizations", "list").out
    assert owner("schemas", "assign", "lab", "u", "--json").json == {"name": "lab", "organization": "u"}
    assert {"name": "lab", "organization": "u"} in owner("schemas", "list", "--json").json["items"]
    taken = owner("organizations", "create", "Again", "--id", "u")
    assert (taken.code, taken.err.split(":")[1].strip()) == (1, "conflict")


# ------------------------------------------------------------------ audit, cache


def test_w5_8_the_chain_is_verified_online_and_from_a_file(owner: Run, verb: Run, tmp_path: Path) -> None:
    online = owner("audit", "verify-chain", "--json").json
    assert online["holds"]
    file = tmp_path / "chain.jsonl"
    assert owner("audit", "export-chain", str(file)).code == 0
    offline = verb("audit", "verify-chain", str(file), "--json")
    assert offline.code == 0
    assert (offline.json["count"], offline.json["head"]) == (online["count"], online["head"])
    assert verb("audit", "verify-chain", str(file), "--expect-head", online["head"]).code == 0


@pytest.mark.parametrize("damage", ["edit", "drop", "swap", "repeat"])
def test_w5_6_a_damaged_chain_is_named_by_its_first_broken_line(
    owner: Run, verb: Run, tmp_path: Path, damage: str
) -> None:
    file = tmp_path / "chain.jsonl"
    owner("audit", "export-chain", str(file))
    lines = file.read_text().splitlines()
    if damage == "edit":
        event = json.loads(lines[2])
        event["source_ip"] = "192.0.2.1"
        lines[2] = json.dumps(event, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    elif damage == "drop":
        del lines[2]
    elif damage == "swap":
        lines[2], lines[3] = lines[3], lines[2]
    else:
        lines.insert(2, lines[1])
    file.write_text("\n".join(lines) + "\n")
    ended = verb("audit", "verify-chain", str(file))
    assert ended.code == 1
    assert "BREAKS at line 3" in ended.out


def test_a_chain_cut_off_at_its_end_is_told_by_its_head(owner: Run, verb: Run, tmp_path: Path) -> None:
    file = tmp_path / "chain.jsonl"
    owner("audit", "export-chain", str(file))
    head = owner("audit", "verify-chain", "--json").json["head"]
    file.write_text("".join(file.read_text().splitlines(keepends=True)[:-1]))
    assert verb("audit", "verify-chain", str(file)).code == 0
    assert verb("audit", "verify-chain", str(file), "--expect-head", head).code == 1


def test_an_export_never_overwrites(owner: Run, tmp_path: Path) -> None:
    file = tmp_path / "chain.jsonl"
    file.write_text("precious")
    assert owner("audit", "export-chain", str(file)).code == 1
    assert file.read_text() == "precious"


def test_w5_5_administrative_events_are_listed_with_their_actor(owner: Run, user: str) -> None:
    events = owner("audit", "admin", "--json", "--limit", "500").json["items"]
    assert {"user.created", "organization.created"} <= {event["type"] for event in events}
    assert [event["sequence"] for event in events] == sorted((e["sequence"] for e in events), reverse=True)
    assert "user.created" in owner("audit", "admin", "--type", "user.created").out


def test_the_cache_is_cleared_by_raising_its_generation(owner: Run) -> None:
    first = owner("cache", "clear", "--json").json["cache_generation"]
    assert owner("cache", "clear", "--json").json["cache_generation"] == first + 1
    assert owner("cache", "status").code == 0


# ------------------------------------------------------------------ how a verb ends


def test_a_refusal_has_code_sentence_and_advice_and_no_trace(owner: Run, user: str) -> None:
    key = owner("keys", "create", "small", "--user", user, "--scope", "read_only", "--json").json["key"]
    ended = owner("users", "list", key=key)
    assert ended.code == 1
    first, *rest = ended.err.splitlines()
    assert first.startswith("hatidata: permission_denied: ")
    assert all(line.startswith("  ") for line in rest)
    assert "Traceback" not in ended.err


def test_without_a_key_or_an_address_the_usage_is_wrong(verb: Run, plane: Stack) -> None:
    home = {"HATIDATA_HOME": str(plane.home)}
    key = {"HATIDATA_API_KEY": plane.owner_key}
    assert verb("whoami", env=home).code == 2
    assert verb("whoami", env=home | {"HATIDATA_API_KEY": "hd_live_nonsense"}).code == 2
    assert verb("whoami", env=key).code == 2
    assert verb("whoami", env=key | {"HATIDATA_URL": "http://localhost:1"}).code == 2
    assert verb("whoami", env=key | {"HATIDATA_URL": "https://localhost:1", "HATIDATA_CA": "/nowhere"}).code == 2
    assert verb("frobnicate").code == 2


def test_an_address_and_an_authority_do_without_a_home(verb: Run, plane: Stack) -> None:
    env = {"HATIDATA_URL": plane.control_url, "HATIDATA_CA": str(plane.ca), "HATIDATA_API_KEY": plane.owner_key}
    assert verb("whoami", "--json", env=env).json["role"] == "owner"
    assert verb("keys", "list", "--json", env=env).code == 0


def test_nobody_there_is_unreachable(verb: Run, plane: Stack, tmp_path: Path) -> None:
    env = {"HATIDATA_URL": "https://127.0.0.1:1", "HATIDATA_API_KEY": plane.owner_key}
    ended = verb("whoami", env=env)
    assert ended.code == 3
    assert "does not answer" in ended.err


def test_a_server_of_another_authority_is_not_spoken_to(verb: Run, plane: Stack, tmp_path: Path) -> None:
    hatidata("init", "--home", str(tmp_path / "other"), "--org", "Other")
    env = {
        "HATIDATA_URL": plane.control_url,
        "HATIDATA_CA": str(tmp_path / "other" / "tls" / "ca.crt"),
        "HATIDATA_API_KEY": plane.owner_key,
    }
    assert verb("whoami", env=env).code == 3


def test_a_home_in_which_nothing_runs_says_so(verb: Run, plane: Stack, tmp_path: Path) -> None:
    hatidata("init", "--home", str(tmp_path / "idle"), "--org", "Idle")
    ended = verb("whoami", env={"HATIDATA_HOME": str(tmp_path / "idle"), "HATIDATA_API_KEY": plane.owner_key})
    assert ended.code == 1
    assert "No control plane runs in this home" in ended.err


def test_values_are_shown_as_they_are_never_as_markup(owner: Run) -> None:
    owner("organizations", "create", "[red]Bold[/red] [link=x]", "--id", "markup")
    assert "[red]Bold[/red] [link=x]" in owner("organizations", "list").out


# ------------------------------------------------------------------ init


def test_init_prints_the_owners_key_once_and_keeps_it_nowhere(tmp_path: Path) -> None:
    done = hatidata("init", "--home", str(tmp_path / "home"), "--org", "Acme", "--org-id", "7", "--json")
    assert done.returncode == 0
    key = json.loads(done.stdout)["owner_key"]
    assert is_well_formed(key)
    content = b"".join(path.read_bytes() for path in (tmp_path / "home").rglob("*") if path.is_file())
    assert key[16:].encode() not in content
    again = hatidata("init", "--home", str(tmp_path / "home"), "--org", "Acme")
    assert (again.returncode, "conflict" in again.stderr) == (1, True)


def test_a_refused_init_leaves_nothing_behind(verb: Run, tmp_path: Path) -> None:
    ended = verb("init", "--home", str(tmp_path / "home"), "--org", "Acme", "--org-id", "shared")
    assert ended.code == 1
    assert not (tmp_path / "home").exists()


def test_w2_8_the_control_plane_refuses_tls_1_2(plane: Stack) -> None:
    import ssl

    context = ssl.create_default_context(cafile=str(plane.ca))
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with httpx.Client(verify=context, trust_env=False) as client, pytest.raises(httpx.ConnectError):
        client.get(plane.control_url + "/v1/health")
