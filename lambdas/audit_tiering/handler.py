"""The door of the audit's caretaker in AWS: the clock, and requests to restore."""

import os
import sys
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from aws.alarm_topic import AlarmTopic
from aws.audit_bucket import AuditBucket
from aws.clients import client
from aws.signing_key import KmsSigner
from governance.errors import InvalidRequest, Refusal
from lambdas.audit_tiering.restoring import RESTORE, RESTORE_STATUS, restore
from lambdas.audit_tiering.settings import AuditTieringSettings
from lambdas.audit_tiering.task import TICK, AuditTiering
from lambdas.figures import metrics_line
from local.clock import SystemClock


def handler(event: Mapping[str, Any], _context: Any) -> dict[str, Any]:
    """Do what rang; anything else is refused."""
    told, clock = AuditTieringSettings.from_environment(os.environ), SystemClock()
    bucket = AuditBucket(client("s3", told.region), told.audit_bucket)
    if event.get("hatidata") in (RESTORE, RESTORE_STATUS):
        try:
            return asdict(restore(bucket, event))
        except Refusal as refusal:
            return {"error": {"code": refusal.code, "message": refusal.message, "advice": refusal.advice}}
    signer, alarms = (
        KmsSigner(client("kms", told.region), told.signing_key),
        AlarmTopic(client("sns", told.region), told.topic),
    )
    tiering = AuditTiering(told, bucket, bucket, signer, alarms, clock)
    if event != TICK:
        raise InvalidRequest("The event is none that looks after the audit.")
    summary = tiering.tend()
    sys.stdout.write(metrics_line(summary.figures(), told.environment_name, clock.now()) + "\n")
    return {**summary.figures(), "finished": summary.finished}
