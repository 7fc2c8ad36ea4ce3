"""The door of key rotation in AWS: woken by a schedule, by KMS's own events, or invoked with `{"rotate": ["data"]}`."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from aws.clients import client
from aws.control_table import DynamoControlStore
from aws.key_service import KmsKeyService
from lambdas.figures import metrics_line
from lambdas.key_rotation.event import asked_keys
from lambdas.key_rotation.settings import KeyRotationSettings
from lambdas.key_rotation.task import run
from local.clock import SystemClock


def handler(event: Mapping[str, Any], _context: Any) -> dict[str, Any]:
    """Rotate what is due; answers with what was done, by ids."""
    settings, clock, asked = KeyRotationSettings.from_environment(os.environ), SystemClock(), asked_keys(event)
    store = DynamoControlStore(client("dynamodb", settings.region), settings.table, clock)
    keys = KmsKeyService(client("kms", settings.region), dict(settings.encryption_keys))
    report = run(store, keys, clock, asked=asked)
    sys.stdout.write(metrics_line(report.figures(), settings.environment_name, clock.now()) + "\n")
    return asdict(report)
