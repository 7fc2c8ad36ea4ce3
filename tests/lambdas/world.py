"""A world for ends of nodes: a group, Run Command and a node with a disk and a spool, all of which may fail.

It is played in memory by what AWS and the boot files promise, so that the task can be driven through any order of
luck. What is true of the node (`erased`, `shipped`) is the world's own knowledge, which no report can change.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from governance.errors import Conflict, StoreUnavailable
from governance.node_life import Spool
from governance.node_ports import CommandNotTaken, HookFailed, Standing
from governance.node_report import NodeReport, NodeStep, VolumeState, encode_report
from governance.termination import CommandState, LifecycleAction, Outcome, Termination, decode, encode
from lambdas.luks_erase.settings import LuksEraseSettings
from lambdas.luks_erase.task import NodeEnding

EVENTS = Path(__file__).parent / "events"
INSTANCE = "i-1234567890abcdef0"
SETTINGS = LuksEraseSettings(
    table="terminations", document="HatiData-EndOfNode", group="my-asg", hook="my-lifecycle-hook",
    topic="arn:aws:sns:eu-central-1:111122223333:alarms", audit_bucket="audit", environment_name="production",
    region="eu-central-1", drain_s=60, total_s=7200,
)  # fmt: skip


def event(name: str) -> dict[str, Any]:
    return json.loads((EVENTS / f"{name}.json").read_text())  # type: ignore[no-any-return]


class Crash(BaseException):
    """The process dies here."""


@dataclass
class Luck:
    """Chooses among what may happen; by default the best."""

    choose: Callable[[str, list[str]], str] = lambda _question, answers: answers[0]

    def __call__(self, question: str, *answers: str) -> str:
        return self.choose(question, list(answers))


@dataclass
class World:
    luck: Luck = field(default_factory=Luck)
    now_: datetime = datetime(2026, 11, 22, 3, 0, tzinfo=UTC)
    erased: bool = False
    mapped: bool = True
    shipped: bool = False
    standing_: Standing = Standing.WAITING
    unshippable: bool = False
    """Whether the audit store is away for good."""
    commands: dict[str, CommandState] = field(default_factory=dict)
    sent: list[NodeStep] = field(default_factory=list)
    heartbeats: int = 0
    completions: list[bool] = field(default_factory=list)
    alarms_: list[tuple[str, Mapping[str, str]]] = field(default_factory=list)
    kept: dict[str, str] = field(default_factory=dict)
    """The journal: key to JSON."""
    laid: dict[str, bytes] = field(default_factory=dict)
    """The audit store."""
    released_wrongly: bool = False

    @property
    def ending(self) -> NodeEnding:
        return NodeEnding(SETTINGS, self, self, self, self, self, self)

    def pass_time(self, seconds: float) -> None:
        self.now_ += timedelta(seconds=seconds)

    def only(self) -> Termination:
        (text,) = self.kept.values()
        return decode(text)

    # ------------------------------------------------------------ Clock

    def now(self) -> datetime:
        return self.now_

    # ------------------------------------------------------------ NodeCommands

    def send(self, instance_id: str, step: NodeStep, timeout_s: int) -> str:
        self._may_crash("before send")
        if self.luck("send", "taken", "refused") == "refused":
            raise CommandNotTaken("refused", reason="InvalidInstanceId")
        self.sent.append(step)
        command_id = f"command-{len(self.sent)}"
        fate = self.luck(
            "command", "done", "never delivered", "done, answer lost", "cut short", "failed", "says what nobody knows"
        )
        if fate in ("done", "done, answer lost") and self.standing_ is not Standing.LEAVING:
            report = self._do(step)
            outcome = Outcome.SUCCEEDED if report.done else Outcome.FAILED
            self.commands[command_id] = CommandState(outcome, encode_report(report), outcome.value)
        lost = {
            "never delivered": Outcome.NOT_DELIVERED,
            "done, answer lost": Outcome.TIMED_OUT,
            "cut short": Outcome.TIMED_OUT,
            "failed": Outcome.FAILED,
            "says what nobody knows": Outcome.NOT_UNDERSTOOD,
        }
        if fate in lost:
            self.commands[command_id] = CommandState(lost[fate], said=fate)
        self._may_crash("after send")
        return command_id

    def _do(self, step: NodeStep) -> NodeReport:
        """What the boot files do, on this node."""
        if step is NodeStep.DRAIN:
            self.shipped = not self.unshippable and self.luck("ship", "shipped", "not") == "shipped"
            return NodeReport(step, self.shipped, Spool.SHIPPED if self.shipped else Spool.UNSHIPPED)
        if step is NodeStep.ERASE:
            result = self.luck("erase", "erased", "slots stay", "mapping stays")
            self.erased = self.erased or result != "slots stay"
            self.mapped = self.mapped and result != "erased"
        volume = VolumeState("dev/nvme1n1", True, True, 0 if self.erased else 1)
        clean = self.erased and not self.mapped
        return NodeReport(step, clean or step is NodeStep.PROVE, volumes=(volume,), mapped=self.mapped)

    def state(self, instance_id: str, command_id: str) -> CommandState:
        self._may_crash("state")
        seen = self.luck("look", "seen", "still running", "cannot be asked")
        if seen == "still running":
            return CommandState(Outcome.RUNNING, said="InProgress")
        if seen == "cannot be asked":
            return CommandState(Outcome.UNSEEN, said="ThrottlingException")
        return self.commands.get(command_id, CommandState(Outcome.NOT_DELIVERED, said="InvalidCommandId"))

    # ------------------------------------------------------------ TerminationHook

    def heartbeat(self, action: LifecycleAction) -> None:
        if self.luck("heartbeat", "granted", "refused") == "refused":
            raise HookFailed("refused", reason="ValidationError")
        self.heartbeats += 1

    def complete(self, action: LifecycleAction, *, release: bool) -> None:
        self._may_crash("before complete")
        if release and not (self.erased and not self.mapped and self.shipped):
            self.released_wrongly = True
        told = self.luck("complete", "taken", "refused", "taken, answer lost")
        if told != "refused" and self.standing_ is Standing.WAITING:
            self.completions.append(release)
            self.standing_ = Standing.LEAVING if release else Standing.RETAINED
        elif told != "refused":
            raise HookFailed("no such action", reason="ValidationError")
        self._may_crash("after complete")
        if told != "taken":
            raise HookFailed("refused", reason="ResourceContention")

    def standing(self, instance_id: str) -> Standing:
        if self.luck("standing", "seen", "cannot be asked") != "seen":
            return Standing.UNSEEN
        return self.standing_

    def waiting(self, group: str) -> list[str]:
        if self.luck("waiting", "seen", "cannot be asked") != "seen":
            raise HookFailed("no answer", reason="Throttling")
        return [INSTANCE] if self.standing_ is Standing.WAITING else []

    # ------------------------------------------------------------ TerminationJournal

    def get(self, key: str) -> Termination | None:
        return decode(self.kept[key]) if key in self.kept else None

    def put(self, termination: Termination) -> Termination:
        self._may_crash("before put")
        was = self.get(termination.key)
        if (was.version if was else 0) != termination.version:
            raise Conflict("moved meanwhile")
        if self.luck("put", "kept", "away") == "away":
            raise StoreUnavailable("away")
        kept = replace(termination, version=termination.version + 1)
        self.kept[kept.key] = encode(kept)
        self._may_crash("after put")
        return kept

    def unfinished(self) -> list[Termination]:
        return [each for each in map(decode, self.kept.values()) if not each.closed]

    # ------------------------------------------------------------ Alarms

    def alarm(self, subject: str, facts: Mapping[str, str]) -> None:
        if self.luck("alarm", "told", "nobody") == "nobody":
            raise StoreUnavailable("nobody could be told")
        self.alarms_.append((subject, facts))

    # ------------------------------------------------------------ AuditStore

    def put_new(self, name: str, data: bytes) -> bool:
        self._may_crash("evidence")
        if self.unshippable:
            raise OSError("the audit store is away")
        new = name not in self.laid
        self.laid.setdefault(name, data)
        return new

    def get_object(self, name: str) -> bytes:
        return self.laid[name]

    def names(self, prefix: str) -> list[str]:
        return sorted(name for name in self.laid if name.startswith(prefix))

    def _may_crash(self, where: str) -> None:
        if self.luck(f"crash {where}", "goes on", "dies") == "dies":
            raise Crash(where)
