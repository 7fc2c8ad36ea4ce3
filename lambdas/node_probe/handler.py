"""The door of the node probe in AWS: woken each minute; what it writes to its log becomes metrics."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Any

from aws.clients import client
from aws.termination_hook import GroupHook
from lambdas.figures import metrics_line
from lambdas.node_probe.page import address, fetch
from lambdas.node_probe.settings import NodeProbeSettings
from lambdas.node_probe.task import probe
from local.clock import SystemClock


def handler(_event: Mapping[str, Any], _context: Any) -> dict[str, int]:
    """Publish what nodes say now; answers with how many did."""
    told, now = NodeProbeSettings.from_environment(os.environ), SystemClock().now()
    group = GroupHook(client("autoscaling", told.region))
    found = probe(group, told.group, lambda instance: fetch(address(instance, told.region)))
    for figures in found:
        sys.stdout.write(metrics_line(figures, told.environment_name, now) + "\n")
    return {"nodes": len(found) - 1}
