"""The door of checkpoints in AWS: woken by a schedule."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from aws.audit_bucket import AuditBucket
from aws.clients import client
from aws.control_table import DynamoControlStore
from aws.signing_key import KmsSigner
from lambdas.chain_checkpoint.settings import ChainCheckpointSettings
from lambdas.chain_checkpoint.task import run
from lambdas.figures import metrics_line
from local.clock import SystemClock


def handler(_event: Mapping[str, Any], _context: Any) -> dict[str, Any]:
    """Lay a checkpoint of every chain down; answers with their names."""
    settings, clock = ChainCheckpointSettings.from_environment(os.environ), SystemClock()
    report = run(
        DynamoControlStore(client("dynamodb", settings.region), settings.table, clock),
        AuditBucket(client("s3", settings.region), settings.audit_bucket),
        KmsSigner(client("kms", settings.region), settings.signing_key),
        clock,
    )
    sys.stdout.write(metrics_line(report.figures(), settings.environment_name, clock.now()) + "\n")
    return asdict(report)
