"""One node's end as it is written down: the lifecycle action, where it stands, and every step with its time. Pure.

The journal holds it while it goes on; its last form is laid into the audit store as evidence (claims W2.7, W6.1).
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from governance.node_life import Fact, NodeLife, Order, Phase, Spool
from governance.node_report import NodeStep, decode_report, fact_of
from governance.timestamp import stamp

VERSION = 1
NOTES_MAX = 200
"""More steps than any node can take (`governance.node_life.facts_max`)."""
DETAIL_CHARS_MAX = 400


@dataclass(frozen=True, slots=True)
class LifecycleAction:
    """What the auto scaling group waits for."""

    group: str
    hook: str
    instance_id: str
    token: str = ""
    """Empty when the group's event never came and the node was found waiting."""
    destination: str = ""
    """EC2 when it is to die; WarmPool or AutoScalingGroup when it comes back without its volumes."""


class Outcome(StrEnum):
    """What has become of a command on a node."""

    RUNNING = "running"
    """Not sent yet, on its way, or at work."""
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    NOT_DELIVERED = "not_delivered"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"
    NOT_UNDERSTOOD = "not_understood"
    """The service says something that is not known here."""
    UNSEEN = "unseen"
    """The service cannot be asked just now; time will tell."""


@dataclass(frozen=True, slots=True)
class CommandState:
    """A command as the service tells of it."""

    outcome: Outcome
    output: str = ""
    said: str = ""
    """The service's own word, for the record."""


@dataclass(frozen=True, slots=True)
class Note:
    """One step of the record."""

    at: str
    fact: str
    phase: str
    """After the step."""
    orders: tuple[str, ...] = ()
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Termination:
    """One node's end."""

    action: LifecycleAction
    began_at: str
    life: NodeLife = field(default_factory=NodeLife)
    orders: tuple[Order, ...] = ()
    """Decided, and not known to be carried out."""
    ordered_at: str = ""
    step: str = ""
    """What the node was last asked for."""
    command_id: str = ""
    """Of that command; empty when it was not taken."""
    commanded_at: str = ""
    notes: tuple[Note, ...] = ()
    recorded: bool = False
    """Whether the evidence lies in the audit store."""
    version: int = 0

    @property
    def key(self) -> str:
        """What the journal finds it by: the action's token, or the instance when there is none."""
        return self.action.token or f"{self.action.instance_id}@{self.began_at}"

    @property
    def closed(self) -> bool:
        """Whether nothing more is to be done."""
        return self.life.ended and not self.orders and self.recorded

    def noted(self, now: datetime, fact: str, *, orders: tuple[Order, ...] = (), detail: str = "") -> Termination:
        """With one more note, of the present phase."""
        note = Note(
            stamp(now),
            fact,
            self.life.phase.value,
            tuple(order.value for order in orders),
            detail[:DETAIL_CHARS_MAX],
        )
        return replace(self, notes=(*self.notes, note)[-NOTES_MAX:])


@dataclass(frozen=True, slots=True)
class EndLimits:
    """How long each step of a node's end may take."""

    drain_s: float
    """Sessions and the shipping of the spool together."""
    erase_s: float
    prove_s: float
    total_s: float
    """After this the node is kept and told of, whatever it is at."""

    def of(self, phase: Phase) -> float:
        """The limit of the command that `phase` waits for."""
        return {Phase.DRAINING: self.drain_s, Phase.ERASING: self.erase_s, Phase.PROVING: self.prove_s}.get(
            phase, self.total_s
        )


def command_fact(state: CommandState, asked: NodeStep) -> tuple[Fact | None, str]:
    """The fact that a command's state makes true (None: none yet), and what the record should say of it."""
    if state.outcome in (Outcome.RUNNING, Outcome.UNSEEN):
        return None, state.said
    if state.outcome in (Outcome.NOT_DELIVERED, Outcome.TIMED_OUT, Outcome.CANCELLED):
        return Fact.COMMAND_LOST, state.said
    if state.outcome is Outcome.NOT_UNDERSTOOD:
        return Fact.COMMAND_FAILED, state.said
    try:
        report = decode_report(state.output)
    except ValueError:
        return Fact.COMMAND_FAILED, f"{state.said}: no report of the node"
    fact = fact_of(report, asked)
    if state.outcome is Outcome.FAILED and fact in (Fact.SHIPPED, Fact.ERASED, Fact.PROVED):
        return Fact.COMMAND_FAILED, f"{state.said}: the report contradicts it"
    slots = sum(volume.key_slots for volume in report.volumes)
    left = f"slots={slots} mapped={report.mapped} mounted={report.mounted} " if asked is not NodeStep.DRAIN else ""
    return fact, f"{state.said} {left}{','.join(report.troubles)}".strip()


def time_fact(termination: Termination, limits: EndLimits, now: datetime) -> Fact | None:
    """What time alone has made true."""
    if now - datetime.fromisoformat(termination.began_at) > timedelta(seconds=limits.total_s):
        return Fact.OUT_OF_TIME
    since = termination.commanded_at or termination.began_at
    if now - datetime.fromisoformat(since) > timedelta(seconds=limits.of(termination.life.phase)):
        return Fact.STEP_LATE
    return None


def evidence_name(termination: Termination) -> str:
    """The name of the evidence in the audit store."""
    day = termination.began_at[:10].replace("-", "/")
    which = termination.action.token or termination.began_at[11:19].replace(":", "")
    return f"nodes/{day}/{termination.action.instance_id}-{which}.json"


def encode(termination: Termination) -> str:
    """As JSON text with sorted keys."""
    return json.dumps({"v": VERSION, **asdict(termination)}, sort_keys=True)


def decode(text: str) -> Termination:
    """The termination in a JSON text of `encode`.

    Raises:
        ValueError: not one, or of a version not known here.
    """
    try:
        document: dict[str, Any] = json.loads(text)
        if document.pop("v") != VERSION:
            raise ValueError("a termination of a version not known here")
        life = document.pop("life")
        notes = tuple(Note(**{**each, "orders": tuple(each["orders"])}) for each in document.pop("notes"))
        return Termination(
            **{
                **document,
                "action": LifecycleAction(**document["action"]),
                "life": NodeLife(
                    **{**life, "phase": Phase(life["phase"]), "spool": Spool(life["spool"])},
                ),
                "orders": tuple(Order(each) for each in document["orders"]),
                "notes": notes,
            }
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError("not a termination") from error
