"""The door of webhook deliveries in AWS: woken by a schedule each minute."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Mapping
from typing import Any

from aws.clients import client
from aws.control_table import DynamoControlStore
from aws.key_service import KmsSecretBox
from lambdas.figures import metrics_line
from lambdas.webhook_delivery.sender import HttpSender
from lambdas.webhook_delivery.settings import WebhookDeliverySettings
from lambdas.webhook_delivery.task import deliver_due
from local.clock import SystemClock


def handler(_event: Mapping[str, Any], _context: Any) -> dict[str, Any]:
    """Try every delivery that is due; answers with how many ended how."""
    settings, clock = WebhookDeliverySettings.from_environment(os.environ), SystemClock()
    store = DynamoControlStore(client("dynamodb", settings.region), settings.table, clock)
    box = KmsSecretBox(client("kms", settings.region), settings.secrets_key)
    report = asyncio.run(deliver_due(store, box, HttpSender(), clock))
    sys.stdout.write(metrics_line(report.figures(), settings.environment_name, clock.now()) + "\n")
    return dict(report.counts)
