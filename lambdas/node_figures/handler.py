"""The door of nodes' figures in AWS: woken each minute; what it writes to its log becomes metrics."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Any

from aws.clients import client
from aws.control_table import DynamoControlStore
from lambdas.figures import metrics_line
from lambdas.node_figures.settings import NodeFiguresSettings
from lambdas.node_figures.task import read_figures
from local.clock import SystemClock


def handler(_event: Mapping[str, Any], _context: Any) -> dict[str, int]:
    """Publish what nodes told in the last minutes; answers with how many did."""
    settings, clock = NodeFiguresSettings.from_environment(os.environ), SystemClock()
    told = read_figures(DynamoControlStore(client("dynamodb", settings.region), settings.table, clock), clock)
    for each in told:
        sys.stdout.write(metrics_line(each.figures, each.environment, clock.now()) + "\n")
    return {"nodes": sum(each.node != "" for each in told)}
