"""The auto scaling group's side of a node's end: heartbeats, release or retention, how it sees an instance."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from governance.node_ports import HookFailed, Standing
from governance.termination import LifecycleAction

_WAIT = "Terminating:Wait"
_LEAVING = frozenset({"Terminating:Proceed", "Terminated", "Detached"})


class GroupHook:
    """Implements `governance.node_ports.TerminationHook` and `NodeGroup`."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def heartbeat(self, action: LifecycleAction) -> None:
        """See the port."""
        self._tell("record_lifecycle_action_heartbeat", action)

    def complete(self, action: LifecycleAction, *, release: bool) -> None:
        """See the port: ABANDON means retained, for so the group's lifecycle policy says."""
        self._tell("complete_lifecycle_action", action, LifecycleActionResult="CONTINUE" if release else "ABANDON")

    def standing(self, instance_id: str) -> Standing:
        """See the port."""
        try:
            answer = self._client.describe_auto_scaling_instances(InstanceIds=[instance_id])
        except (ClientError, BotoCoreError):
            return Standing.UNSEEN
        found = answer.get("AutoScalingInstances", [])
        if not found:
            return Standing.LEAVING
        state = str(found[0].get("LifecycleState", "")).removeprefix("Warmed:")
        if state.endswith(":Retained"):
            return Standing.RETAINED
        return Standing.LEAVING if state in _LEAVING else Standing.WAITING

    def waiting(self, group: str) -> list[str]:
        """See the port."""
        return self._instances(group, _WAIT)

    def serving(self, group: str) -> list[str]:
        """See the port."""
        return self._instances(group, "InService")

    def _instances(self, group: str, state: str) -> list[str]:
        try:
            answer = self._client.describe_auto_scaling_groups(AutoScalingGroupNames=[group])
        except (ClientError, BotoCoreError) as error:
            raise _failed(error) from None
        return [
            str(instance["InstanceId"])
            for found in answer.get("AutoScalingGroups", [])
            for instance in found.get("Instances", [])
            if str(instance.get("LifecycleState", "")).removeprefix("Warmed:") == state
        ]

    def _tell(self, operation: str, action: LifecycleAction, **more: str) -> None:
        which = {"LifecycleActionToken": action.token} if action.token else {"InstanceId": action.instance_id}
        try:
            getattr(self._client, operation)(
                AutoScalingGroupName=action.group, LifecycleHookName=action.hook, **which, **more
            )
        except (ClientError, BotoCoreError) as error:
            raise _failed(error) from None


def _failed(error: Exception) -> HookFailed:
    code = error.response.get("Error", {}).get("Code", "unknown") if isinstance(error, ClientError) else ""
    return HookFailed("The auto scaling group did not take it.", reason=str(code or type(error).__name__)[:64])
