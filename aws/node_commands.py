"""Commands to nodes by Systems Manager Run Command: one document, three words, every answer of the service mapped."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from governance.node_ports import CommandNotTaken
from governance.node_report import NodeStep
from governance.termination import CommandState, Outcome

_OUTCOMES = {
    "Pending": Outcome.RUNNING,
    "InProgress": Outcome.RUNNING,
    "Delayed": Outcome.RUNNING,
    "Cancelling": Outcome.RUNNING,
    "Success": Outcome.SUCCEEDED,
    "Failed": Outcome.FAILED,
    "DeliveryTimedOut": Outcome.NOT_DELIVERED,
    "Undeliverable": Outcome.NOT_DELIVERED,
    "ExecutionTimedOut": Outcome.TIMED_OUT,
    "TimedOut": Outcome.TIMED_OUT,
    "Cancelled": Outcome.CANCELLED,
    "Terminated": Outcome.CANCELLED,
}
"""`StatusDetails` and `Status` of GetCommandInvocation (Systems Manager, Understanding command statuses)."""
_GONE = frozenset({"InvalidCommandId", "InvalidInstanceId", "InvalidPluginName"})


class SsmNodeCommands:
    """Implements `governance.node_ports.NodeCommands`."""

    def __init__(self, client: Any, document: str, *, delivery_s: int = 60) -> None:
        """`document`: name or ARN of `cdk_app.boot.run_document`; a command not begun in `delivery_s` never runs."""
        self._client = client
        self._document = document
        self._delivery_s = max(30, delivery_s)  # less is not taken by the service

    def send(self, instance_id: str, step: NodeStep, timeout_s: int) -> str:
        """See the port."""
        try:
            answer = self._client.send_command(
                InstanceIds=[instance_id],
                DocumentName=self._document,
                Parameters={"step": [step.value], "timeoutSeconds": [str(timeout_s)]},
                TimeoutSeconds=self._delivery_s,
                Comment=f"HatiData end of node: {step.value}",
            )
            return str(answer["Command"]["CommandId"])
        except ClientError as error:
            raise _not_taken(_code(error)) from None
        except (BotoCoreError, KeyError) as error:
            raise _not_taken(type(error).__name__) from None

    def state(self, instance_id: str, command_id: str) -> CommandState:
        """See the port."""
        try:
            answer = self._client.get_command_invocation(CommandId=command_id, InstanceId=instance_id)
        except ClientError as error:
            code = _code(error)
            if code == "InvocationDoesNotExist":  # for some moments after it was sent
                return CommandState(Outcome.RUNNING, said=code)
            return CommandState(Outcome.NOT_DELIVERED if code in _GONE else Outcome.UNSEEN, said=code)
        except BotoCoreError as error:
            return CommandState(Outcome.UNSEEN, said=type(error).__name__)
        said = str(answer.get("StatusDetails") or answer.get("Status", "")).replace(" ", "")
        outcome = _OUTCOMES.get(said, Outcome.NOT_UNDERSTOOD)
        return CommandState(outcome, str(answer.get("StandardOutputContent", "")), said[:64])


def _not_taken(code: str) -> CommandNotTaken:
    return CommandNotTaken("The node's command was not taken.", reason=code)


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", "unknown"))[:64]
