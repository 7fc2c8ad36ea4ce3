"""The verbs of webhooks, encryption keys and successors against a real control plane."""

from __future__ import annotations

from tests.cli.conftest import Run

URL = "https://hooks.example.com/T0/token"


def test_a_webhook_is_made_changed_paused_resumed_tested_and_removed(owner: Run) -> None:
    made = owner("webhooks", "create", URL, "--event", "key.expiring", "--event", "key.rotated", "--json").json
    assert made["secret"].startswith("whsec_")
    shown = owner("webhooks", "list", "--json").out
    assert made["id"] in shown
    assert made["secret"] not in shown
    again = owner("webhooks", "secret", URL)
    assert "whsec_" in again.out
    changed = owner("webhooks", "update", made["id"], "--event", "key.created", "--json").json
    assert changed["event_types"] == ["key.created"]
    assert owner("webhooks", "pause", URL, "--json").json["status"] == "paused"
    assert owner("webhooks", "resume", URL, "--json").json["status"] == "active"
    assert owner("webhooks", "test", URL).code == 0
    (entry,) = owner("webhooks", "deliveries", URL, "--json").json["items"]
    assert entry["event_type"] == "webhook.test"
    assert owner("webhooks", "delete", URL).code == 0
    assert owner("webhooks", "deliveries", URL).err.startswith("hatidata: not_found:")


def test_networks_are_shown_and_set(owner: Run) -> None:
    assert owner("webhooks", "networks", "--json").json == {"networks": []}
    assert owner("webhooks", "networks", "--allow", "10.20.0.0/16", "--json").json == {"networks": ["10.20.0.0/16"]}
    assert owner("webhooks", "networks", "--none", "--json").json == {"networks": []}
    assert owner("webhooks", "networks", "--none", "--allow", "10.0.0.0/8").code == 2


def test_a_webhook_without_event_types_or_a_change_of_nothing_is_a_usage_error(owner: Run) -> None:
    assert owner("webhooks", "create", URL).code == 2
    assert owner("webhooks", "update", URL).code == 2


def test_a_key_without_a_waiting_successor_has_none_to_fetch(owner: Run) -> None:
    made = owner("keys", "create", "ageing", "--user", "owner@1.invalid", "--scope", "read_only",
                 "--rotate-after-days", "90", "--json").json  # fmt: skip
    assert made["rotate_after_days"] == 90
    refused = owner("keys", "successor", key=made["key"])
    assert (refused.code, refused.err.startswith("hatidata: not_found:")) == (1, True)


def test_encryption_keys_are_listed_and_asked_to_rotate(owner: Run) -> None:
    (key,) = owner("encryption-keys", "list", "--json").json["items"]
    assert (key["name"], key["automatic"]) == ("secrets", True)
    assert owner("encryption-keys", "rotate", "secrets", "--json").json["status"] in ("asked", "rotating", "steady")
    assert owner("encryption-keys", "rotate", "none").code == 1
