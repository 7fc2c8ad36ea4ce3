"""Figures of the functions as lines of their logs, which CloudWatch turns into metrics (embedded metric format)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime

NAMESPACE = "HatiData"


def metrics_line(figures: Mapping[str, float], environment: str, now: datetime) -> str:
    """One line of the log that holds these counts of a deployment's environment, under `NAMESPACE`.

    Source: "Specification: Embedded metric format", Amazon CloudWatch User Guide.
    """
    return json.dumps(
        {
            "_aws": {
                "Timestamp": int(now.timestamp() * 1000),
                "CloudWatchMetrics": [
                    {
                        "Namespace": NAMESPACE,
                        "Dimensions": [["Environment"]],
                        "Metrics": [{"Name": name, "Unit": "Count"} for name in figures],
                    }
                ],
            },
            "Environment": environment,
            **figures,
        },
        separators=(",", ":"),
    )
