"""The door of access reviews in AWS: the real handler over DynamoDB on moto, woken by the schedule's own event."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from aws import clients
from governance.access_review import AccessReview
from lambdas.access_review import handler as door
from lambdas.control_plane.bootstrap import bootstrap
from lambdas.register_settings import RegisterSettings
from local.clock import SystemClock
from tests.support.aws import TABLE, control_stores

EVENT = Path(__file__).parents[1] / "lambdas" / "events" / "scheduler.json"


def test_h15_6_the_schedule_opens_a_review_for_each_organization_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with control_stores() as opened:
        clients.client.cache_clear()
        store = opened()
        bootstrap(
            store, environment="production", organization_id="1", organization_name="Acme",
            owner_email="olga@acme.example", clock=SystemClock(),
        )  # fmt: skip
        for name, value in RegisterSettings(TABLE).environment().items():
            monkeypatch.setenv(name, value)
        event = json.loads(EVENT.read_text())
        report = door.handler(event, None)
        with store.read() as reader:
            reviews = [review.id for review in reader.every(AccessReview, "")]
        assert (report["opened"], len(reviews)) == (reviews, 1)
        assert door.handler(event, None)["opened"] == []
        assert '"AccessReviewsOverdue":0' in capsys.readouterr().out
        clients.client.cache_clear()
