"""The verbs of a policy's life, and that `apply` puts policies in force together."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.cli.conftest import Run


def policy(name: str, text: str = "org_id = {org_id}", table: str = "life.t") -> dict[str, Any]:
    return {"name": name, "type": "row_filter", "table": table, "filter": text}


def write(folder: Path, *policies: dict[str, Any]) -> str:
    file = folder / "state.yaml"
    file.write_text(json.dumps({"version": 1, "policies": list(policies)}))
    return str(file)


def names(owner: Run) -> set[str]:
    return {item["name"] for item in owner("policies", "list", "--json").json["items"]}


def test_a_draft_is_written_listed_activated_and_gone_back_on(owner: Run, tmp_path: Path) -> None:
    drafted = owner("policies", "draft", "-f", write(tmp_path, policy("v-one")), "--note", "first", "--json").json
    number = str(drafted["number"])
    assert drafted["changes"][0]["action"] == "created"
    assert "v-one" not in names(owner)
    assert "v-one created" in owner("policies", "drafts").out
    assert "org_id = {org_id}" in owner("policies", "show-draft", number).out
    assert owner("policies", "activate", number).code == 0
    assert "v-one" in names(owner)
    assert owner("policies", "activate", number).code == 1
    history = owner("policies", "history", "--limit", "1", "--json").json["items"]
    assert (history[0]["cause"], history[0]["note"]) == ("draft", "first")
    removal = owner("policies", "draft", "--remove", "v-one", "--json").json
    owner("policies", "discard", str(removal["number"]))
    assert "v-one" in names(owner)
    back = owner("policies", "roll-back", str(history[0]["version"] - 1), "--note", "no", "--json").json
    assert (back["cause"], back["note"]) == ("roll_back", "no")
    assert "v-one" not in names(owner)


def test_wrong_usage_is_told_apart_from_a_refusal(owner: Run, tmp_path: Path) -> None:
    assert owner("policies", "draft").code == 2
    assert owner("policies", "draft", "-f", write(tmp_path, policy("v-bad", "no such thing ("))).code == 1
    assert owner("policies", "impact", "neither-a-number-nor-a-file").code == 2
    assert owner("policies", "impact", "1", "--since", "yesterday").code == 2
    assert owner("policies", "activate", "999999").code == 1


def test_apply_puts_the_policies_of_a_file_in_force_together_or_not_at_all(owner: Run, tmp_path: Path) -> None:
    done = owner("apply", "-f", write(tmp_path, policy("v-a"), policy("v-b")), "--json")
    assert [d["name"] for d in done.json["done"]] == ["v-a", "v-b"]
    newest = owner("policies", "history", "--limit", "1", "--json").json["items"][0]
    assert (newest["cause"], newest["note"], len(newest["changes"])) == ("draft", "hatidata apply", 2)
    refused = owner("apply", "-f", write(tmp_path, policy("v-a", "id = 1"), policy("v-c", "read_blob('x') = 'y'")))
    assert refused.code == 1
    assert "v-c" in refused.err
    assert owner("policies", "drafts", "--json").json["items"] == []
    assert {"v-a", "v-b"} <= names(owner)
    assert "v-c" not in names(owner)
    shown = owner("policies", "show", "v-a", "--json").json
    assert shown["policy"]["filter"] == "org_id = {org_id}"
    again = owner("apply", "-f", write(tmp_path, policy("v-a"), policy("v-b")), "--json")
    assert again.json["done"] == []
    for name in ("v-a", "v-b"):
        owner("policies", "delete", name)
