"""The doors of key rotation, key expiry and webhook delivery in AWS: real handlers over DynamoDB and KMS on moto."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from aws import clients
from aws.control_table import DynamoControlStore
from aws.key_service import KmsSecretBox
from governance.register import KeyRecord
from governance.webhook import WebhookLog
from lambdas.control_plane.bootstrap import bootstrap
from lambdas.control_plane.handler import make_handler
from lambdas.key_expiry import handler as expiry_door
from lambdas.key_rotation import handler as rotation_door
from lambdas.key_rotation.settings import KeyRotationSettings
from lambdas.register_settings import RegisterSettings
from lambdas.webhook_delivery import handler as delivery_door
from lambdas.webhook_delivery.sender import Sent
from lambdas.webhook_delivery.settings import WebhookDeliverySettings
from local.clock import SystemClock
from tests.control_plane.conftest import Api, RecordedSearch, StoppedClock
from tests.support.aws import REGION, TABLE, control_stores

EVENTS = Path(__file__).parents[1] / "lambdas" / "events"
E_ = "/v1/environments/production"


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[Api]:
    """A control plane on DynamoDB whose clock stands a year back, so that what is made there is old by now."""
    with control_stores() as opened:
        clients.client.cache_clear()
        store, clock = opened(), StoppedClock()
        clock.moment = SystemClock().now()
        clock.forward(days=-365)
        owner = bootstrap(
            store, environment="production", organization_id="1", organization_name="Acme",
            owner_email="olga@acme.example", clock=clock,
        )  # fmt: skip
        kms = boto3.client("kms", region_name=REGION)
        key = kms.create_key()["KeyMetadata"]["Arn"]
        kms.enable_key_rotation(KeyId=key)
        for settings in (
            KeyRotationSettings(TABLE, (("data", key),)), RegisterSettings(TABLE), WebhookDeliverySettings(TABLE, key),
        ):  # fmt: skip
            for name, value in settings.environment().items():
                monkeypatch.setenv(name, value)
        search: Any = RecordedSearch()
        handler = make_handler(store, clock, queries=search, secrets=KmsSecretBox(kms, key))
        assert isinstance(store, DynamoControlStore)
        holder: Any = store
        yield Api(handler, owner, holder, clock, search)
        clients.client.cache_clear()


def figures(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """The metrics in the log."""
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
    document: dict[str, Any] = json.loads(line)
    assert document["_aws"]["CloudWatchMetrics"][0]["Namespace"] == "HatiData"
    assert document["_aws"]["CloudWatchMetrics"][0]["Dimensions"] == [["Environment"]]
    return document


def scheduled() -> dict[str, Any]:
    document: dict[str, Any] = json.loads((EVENTS / "scheduler.json").read_text())
    return document


def test_w3_6_the_rotation_door_lets_old_keys_give_way(api: Api, capsys: pytest.CaptureFixture[str]) -> None:
    made = api.key_for("olga@acme.example", "read_only", rotate_after_days=90)
    report = rotation_door.handler(scheduled(), None)
    assert report["rotated"] == [made["id"]]
    assert figures(capsys)["KeysRotated"] == 1
    with api.store.read() as reader:
        old = reader.get(KeyRecord, "production", made["id"])
        assert old is not None
        heir = reader.get(KeyRecord, "production", old.rotated_to)
        assert heir is not None
        assert (old.status, heir.status) == ("rotated", "waiting")
    assert rotation_door.handler(scheduled(), None)["rotated"] == []


def test_a_failed_rotation_is_a_figure_that_alarms(api: Api, capsys: pytest.CaptureFixture[str]) -> None:
    assert rotation_door.handler({"rotate": ["none"]}, None)["failed"][-1] == "none"
    assert figures(capsys)["RotationFailed"] >= 1


def test_w3_7_the_expiry_door_warns_and_ends_and_the_delivery_door_tells(
    api: Api, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    hook = api.ok("POST", f"{E_}/webhooks", {"url": "https://hooks.example.com/x", "event_types": ["key.revoked"]})
    soon = api.clock.moment.replace(microsecond=0).isoformat().replace("+00:00", "Z")
    api.clock.forward(days=-1)
    made = api.key_for("olga@acme.example", "read_only", expires_at=soon)
    assert expiry_door.handler(scheduled(), None)["expired"] == [made["id"]]
    assert figures(capsys)["KeysExpired"] == 1
    sent: list[str] = []

    async def send(self: Any, url: str, *_: Any) -> Sent:
        sent.append(url)
        return Sent(204)

    monkeypatch.setattr("lambdas.webhook_delivery.sender.HttpSender.send", send)
    assert delivery_door.handler(scheduled(), None) == {"delivered": 1}
    assert sent == ["https://hooks.example.com/x"]
    assert figures(capsys)["WebhooksDelivered"] == 1
    with api.store.read() as reader:
        (entry,) = reader.every(WebhookLog, "production")
    assert (entry.webhook_id, entry.status) == (hook["id"], "delivered")
