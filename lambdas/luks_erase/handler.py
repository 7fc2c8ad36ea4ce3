"""The door of the end of nodes in AWS: the group's event, a command's status, a minute gone by."""

import os
import sys
from collections.abc import Mapping
from typing import Any

from aws.alarm_topic import AlarmTopic
from aws.audit_bucket import AuditBucket
from aws.clients import client
from aws.node_commands import SsmNodeCommands
from aws.termination_hook import GroupHook
from aws.termination_table import TerminationTable
from lambdas.figures import metrics_line
from lambdas.luks_erase.events import parse_event
from lambdas.luks_erase.settings import DELIVERY_S, LuksEraseSettings
from lambdas.luks_erase.task import NodeEnding
from local.clock import SystemClock


def handler(event: Mapping[str, Any], _context: Any) -> dict[str, float]:
    """Take every step that is due; what was seen, in numbers."""
    told, clock = LuksEraseSettings.from_environment(os.environ), SystemClock()
    commands = SsmNodeCommands(client("ssm", told.region), told.document, delivery_s=DELIVERY_S)
    journal = TerminationTable(client("dynamodb", told.region), told.table, clock)
    alarms = AlarmTopic(client("sns", told.region), told.topic)
    evidence = AuditBucket(client("s3", told.region), told.audit_bucket)
    ending = NodeEnding(told, commands, GroupHook(client("autoscaling", told.region)), journal, alarms, evidence, clock)
    figures = ending.handle(parse_event(event, told.group, told.hook)).figures()
    sys.stdout.write(metrics_line(figures, told.environment_name, clock.now()) + "\n")
    return figures
