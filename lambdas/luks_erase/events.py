"""What may ring: the group's event, a change of a command's status, and the clock. Anything else is refused.

Both events of AWS are sent on a best-effort basis, so neither is relied on: the clock comes each minute.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from governance.errors import InvalidRequest
from governance.termination import LifecycleAction

TICK = {"hatidata": "tick"}
"""What the schedule sends."""
TERMINATING = ("aws.autoscaling", "EC2 Instance-terminate Lifecycle Action")
COMMAND = ("aws.ssm", "EC2 Command Invocation Status-change Notification")
_TRANSITION = "autoscaling:EC2_INSTANCE_TERMINATING"
_INSTANCE = re.compile(r"\Ai-[0-9a-f]{8,17}\Z")
_TOKEN = re.compile(r"\A[0-9A-Za-z-]{1,64}\Z")


@dataclass(frozen=True, slots=True)
class Terminating:
    """A node is to end."""

    action: LifecycleAction


@dataclass(frozen=True, slots=True)
class CommandChanged:
    """Something became of a command."""

    command_id: str


@dataclass(frozen=True, slots=True)
class Tick:
    """A minute went by."""


NodeEvent = Terminating | CommandChanged | Tick


def parse_event(event: Mapping[str, Any], group: str, hook: str) -> NodeEvent:
    """The event of `group` and `hook`.

    Raises:
        InvalidRequest: not an event of this function's.
    """
    if event == TICK:
        return Tick()
    kind, detail = (event.get("source"), event.get("detail-type")), event.get("detail")
    if isinstance(detail, Mapping):
        if kind == COMMAND:
            return CommandChanged(_text(detail.get("command-id"), _TOKEN))
        if kind == TERMINATING and detail.get("LifecycleTransition") == _TRANSITION:
            if (detail.get("AutoScalingGroupName"), detail.get("LifecycleHookName")) != (group, hook):
                raise InvalidRequest("The event is of another group or hook.")
            destination = detail.get("Destination", "")
            return Terminating(
                LifecycleAction(
                    group,
                    hook,
                    _text(detail.get("EC2InstanceId"), _INSTANCE),
                    _text(detail.get("LifecycleActionToken"), _TOKEN),
                    destination if destination in ("EC2", "WarmPool", "AutoScalingGroup") else "",
                )
            )
    raise InvalidRequest("The event is none that ends a node.")


def _text(value: Any, pattern: re.Pattern[str]) -> str:
    if not isinstance(value, str) or not pattern.match(value):
        raise InvalidRequest("The event is not what it should be.")
    return value
