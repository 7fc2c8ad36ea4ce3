"""The door of access reviews in AWS: woken by a schedule."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from aws.clients import client
from aws.control_table import DynamoControlStore
from lambdas.access_review.task import run
from lambdas.figures import metrics_line
from lambdas.register_settings import RegisterSettings
from local.clock import SystemClock


def handler(_event: Mapping[str, Any], _context: Any) -> dict[str, Any]:
    """Open what a new quarter asks for, and end what is over; answers with what was done, by ids."""
    settings, clock = RegisterSettings.from_environment(os.environ), SystemClock()
    store = DynamoControlStore(client("dynamodb", settings.region), settings.table, clock)
    report = run(store, clock)
    sys.stdout.write(metrics_line(report.figures(), settings.environment_name, clock.now()) + "\n")
    return asdict(report)
