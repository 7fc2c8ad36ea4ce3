"""What the end of a node asks of the world: Protocols that `aws` implements (at home no node is ended by a group)."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Protocol

from governance.errors import Refusal
from governance.node_report import NodeStep
from governance.termination import CommandState, LifecycleAction, Termination


class CommandNotTaken(Refusal):
    """The service did not take a command; `reason` is its code."""

    code = "command_not_taken"


class HookFailed(Refusal):
    """The group could not be told; `reason` is its code."""

    code = "hook_failed"


class NodeCommands(Protocol):
    """Runs one of three fixed steps on a node."""

    def send(self, instance_id: str, step: NodeStep, timeout_s: int) -> str:
        """Have the node do `step` within `timeout_s` of its beginning; the command's id.

        Raises:
            CommandNotTaken: the service refuses, or cannot be reached.
        """

    def state(self, instance_id: str, command_id: str) -> CommandState:
        """What has become of it; never raises."""


class Standing(StrEnum):
    """How the group sees an instance."""

    WAITING = "waiting"
    """It waits for the hook, or has not come to it yet."""
    LEAVING = "leaving"
    """It was let go, or the group knows it no more."""
    RETAINED = "retained"
    UNSEEN = "unseen"
    """The group cannot be asked just now."""


class NodeGroup(Protocol):
    """The group as it stands."""

    def serving(self, group: str) -> list[str]:
        """Instances in service.

        Raises:
            HookFailed: the group cannot be asked.
        """


class TerminationHook(Protocol):
    """The group's side of a termination."""

    def heartbeat(self, action: LifecycleAction) -> None:
        """Ask for more time.

        Raises:
            HookFailed: it was not granted.
        """

    def complete(self, action: LifecycleAction, *, release: bool) -> None:
        """Let the node die, or have it retained.

        Raises:
            HookFailed: the group did not take it.
        """

    def standing(self, instance_id: str) -> Standing:
        """How the group sees the instance now; never raises."""

    def waiting(self, group: str) -> list[str]:
        """Instances of the group that wait for a termination hook.

        Raises:
            HookFailed: the group cannot be asked.
        """


class TerminationJournal(Protocol):
    """Where ends of nodes are kept while they go on, and for a while after."""

    def get(self, key: str) -> Termination | None:
        """The one of that key."""

    def put(self, termination: Termination) -> Termination:
        """Keep it, if `termination.version` is the version kept (0: none); the same with its new version.

        Raises:
            Conflict: somebody else changed it meanwhile.
            StoreUnavailable: it cannot be kept.
        """

    def unfinished(self) -> list[Termination]:
        """Every one that is not closed.

        Raises:
            StoreUnavailable: they cannot be read.
        """


class Alarms(Protocol):
    """Tells people."""

    def alarm(self, subject: str, facts: Mapping[str, str]) -> None:
        """Say `subject` (at most 100 ASCII characters) with a few facts, none of them secret.

        Raises:
            StoreUnavailable: nobody could be told; the caller tries again.
        """
