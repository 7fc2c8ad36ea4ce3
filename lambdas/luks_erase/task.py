"""Ends nodes, a step per invocation: look, decide by `governance.node_life`, write it down, act, write that down.

Orders are written before they are carried out, so a process that dies between leaves them to the next; each order may
be carried out twice without harm. Two invocations at once do not both move a node: the journal takes one of them.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from governance.errors import Conflict, Refusal
from governance.node_life import Fact, NodeLife, Order, Phase, advance
from governance.node_ports import (
    Alarms,
    CommandNotTaken,
    HookFailed,
    NodeCommands,
    Standing,
    TerminationHook,
    TerminationJournal,
)
from governance.node_report import NodeStep
from governance.ports import AuditStore, Clock
from governance.termination import LifecycleAction, Termination, command_fact, encode, evidence_name, time_fact
from governance.timestamp import stamp
from lambdas.luks_erase.events import CommandChanged, NodeEvent, Terminating
from lambdas.luks_erase.settings import LuksEraseSettings

_LOG = logging.getLogger("hatidata.luks_erase")
_CLAIM_S = 90.0
"""Longer than one invocation may run: orders older than this were left by one that died."""
_ROUNDS_MAX = 4
"""Facts that one invocation follows for one node."""
_STEPS = {Order.DRAIN: NodeStep.DRAIN, Order.ERASE: NodeStep.ERASE, Order.PROVE: NodeStep.PROVE}
_WAITING = frozenset({Phase.DRAINING, Phase.ERASING, Phase.PROVING})


@dataclass
class Summary:
    """What one invocation saw, for the figures."""

    open: int = 0
    released: int = 0
    retained: int = 0
    lost: int = 0
    failures: int = 0
    """Nodes whose step could not be taken this time."""
    oldest_s: float = 0.0
    """Age of the oldest end that is still going on."""
    keys: list[str] = field(default_factory=list)

    def figures(self) -> dict[str, float]:
        """By the names of the metrics."""
        return {
            "NodesEnding": self.open,
            "NodesReleased": self.released,
            "NodesRetained": self.retained,
            "NodesLost": self.lost,
            "NodeEndFailures": self.failures,
            "NodeEndOldestSeconds": self.oldest_s,
        }


@dataclass(frozen=True, slots=True)
class NodeEnding:
    """The task over its ports."""

    settings: LuksEraseSettings
    commands: NodeCommands
    hook: TerminationHook
    journal: TerminationJournal
    alarms: Alarms
    evidence: AuditStore
    clock: Clock

    def handle(self, event: NodeEvent) -> Summary:
        """Take every step that is due now.

        Raises:
            StoreUnavailable: the journal cannot be read or written; the event is to be sent again.
        """
        summary = Summary()
        unfinished = self.journal.unfinished()
        if isinstance(event, Terminating):
            wanted = [self._known(event.action, unfinished) or self._new(event.action)]
        elif isinstance(event, CommandChanged):
            wanted = [each for each in unfinished if each.command_id == event.command_id]
        else:
            wanted = unfinished + self._overlooked(unfinished)
        for each in wanted:
            self._count(summary, each.life, self._tend(each, summary))
        return summary

    def _known(self, action: LifecycleAction, unfinished: list[Termination]) -> Termination | None:
        """The end that this event tells of again, or tells of late, after the node was found waiting."""
        for each in unfinished:
            if each.key == action.token or (each.action.instance_id == action.instance_id and not each.action.token):
                return each
        return self.journal.get(action.token)

    def _overlooked(self, unfinished: list[Termination]) -> list[Termination]:
        """Nodes that wait for a hook whose event never came."""
        settings = self.settings
        try:
            waiting = self.hook.waiting(settings.group)
        except HookFailed as failure:
            _LOG.warning("the group cannot be asked: %s", failure.reason)
            return []
        known = {each.action.instance_id for each in unfinished}
        return [
            self._new(LifecycleAction(settings.group, settings.hook, instance))
            for instance in waiting
            if instance not in known
        ]

    def _new(self, action: LifecycleAction) -> Termination:
        return Termination(action, stamp(self.clock.now()))

    # ------------------------------------------------------------ one node

    def _tend(self, termination: Termination, summary: Summary) -> Termination:
        """Take the steps of one node that are due; a failure of one keeps no other waiting."""
        try:
            for _ in range(_ROUNDS_MAX):
                moved = self._step(termination)
                if moved is None:
                    break
                termination = moved
        except Conflict:
            _LOG.info("another invocation moves %s", termination.key)
        except Refusal as refusal:
            summary.failures += 1
            _LOG.error("a step of %s failed: %s", termination.key, refusal.code)
        except OSError as error:
            summary.failures += 1
            _LOG.error("a step of %s failed: %s", termination.key, type(error).__name__)
        return termination

    def _step(self, termination: Termination) -> Termination | None:
        """One round; None when nothing more is to be done now."""
        now = self.clock.now()
        if termination.orders:
            if termination.version and now - datetime.fromisoformat(termination.ordered_at) < timedelta(
                seconds=_CLAIM_S
            ):
                return None
            claimed = self.journal.put(replace(termination, ordered_at=stamp(now)))
            return self._act(claimed)
        if termination.life.ended:
            return None if termination.recorded else self._record(termination)
        found = self._look(termination, now)
        self._keep_waiting(termination)
        if found is None:
            return None
        return self._move(termination, *found)

    def _move(self, termination: Termination, fact: Fact, detail: str) -> Termination | None:
        """What `fact` does: written down, then carried out, then written down as carried out."""
        now = self.clock.now()
        step = advance(termination.life, fact)
        if step.life == termination.life and not step.orders:
            return None
        moved = replace(termination, life=step.life, orders=step.orders, ordered_at=stamp(now))
        moved = self.journal.put(moved.noted(now, fact.value, orders=step.orders, detail=detail))
        _LOG.info("%s: %s, now %s", moved.key, fact.value, moved.life.phase.value)
        return self._act(moved) if moved.orders else moved

    def _look(self, termination: Termination, now: datetime) -> tuple[Fact, str] | None:
        """What has become true of the node, the gravest first."""
        life = termination.life
        if life.phase is Phase.NEW:
            return Fact.TERMINATING, termination.action.destination
        standing = self.hook.standing(termination.action.instance_id)
        if standing is Standing.RETAINED:
            return Fact.KEPT, ""
        if standing is Standing.LEAVING:
            return Fact.GONE, ""
        late = time_fact(termination, self.settings.limits, now)
        if late is Fact.OUT_OF_TIME:
            return late, ""
        if life.phase not in _WAITING:
            return Fact.COMPLETION_FAILED, ""
        if not termination.command_id:
            return Fact.COMMAND_LOST, ""
        state = self.commands.state(termination.action.instance_id, termination.command_id)
        fact, detail = command_fact(state, NodeStep(termination.step))
        if fact is not None:
            return fact, detail
        return (late, detail) if late is not None else None

    def _keep_waiting(self, termination: Termination) -> None:
        if termination.life.phase is Phase.NEW:
            return
        try:
            self.hook.heartbeat(termination.action)
        except HookFailed as failure:
            _LOG.warning("no heartbeat for %s: %s", termination.key, failure.reason)

    # ------------------------------------------------------------ acting

    def _act(self, termination: Termination) -> Termination:
        """Carry out what was ordered; what the group took at once is followed at once."""
        now, follow, done = self.clock.now(), None, termination
        for order in termination.orders:
            if order is Order.ALARM:
                self._alarm(done)
            elif order in _STEPS:
                done = self._command(done, _STEPS[order], now)
            else:
                done, follow = self._complete(done, now, release=order is Order.RELEASE)
        done = self.journal.put(replace(done, orders=(), ordered_at=""))
        return (self._move(done, follow, "") if follow else None) or done

    def _command(self, termination: Termination, step: NodeStep, now: datetime) -> Termination:
        sent = replace(termination, step=step.value, command_id="", commanded_at=stamp(now))
        try:
            seconds = self.settings.command_s(step)
            return replace(sent, command_id=self.commands.send(termination.action.instance_id, step, seconds))
        except CommandNotTaken as refusal:
            return sent.noted(now, "command_not_taken", detail=refusal.reason)

    def _complete(self, termination: Termination, now: datetime, *, release: bool) -> tuple[Termination, Fact | None]:
        asked = replace(termination, commanded_at=stamp(now))
        try:
            self.hook.complete(termination.action, release=release)
        except HookFailed as failure:
            return asked.noted(now, "completion_not_taken", detail=failure.reason), None
        return asked, Fact.COMPLETED

    def _alarm(self, termination: Termination) -> None:
        life, action = termination.life, termination.action
        what = "left without leave" if life.phase is Phase.LOST else "is kept"
        self.alarms.alarm(
            f"HatiData: node {action.instance_id} {what}",
            {
                "instance": action.instance_id,
                "group": action.group,
                "phase": life.phase.value,
                "cache_proved_erased": "yes" if life.proved else "no",
                "spool": life.spool.value,
                "last": termination.notes[-1].detail if termination.notes else "",
                "runbook": "docs/node-end.md",
            },
        )

    def _record(self, termination: Termination) -> Termination:
        """Lay the evidence into the audit store and close the journal."""
        closing = replace(termination, recorded=True)
        self.evidence.put_new(evidence_name(closing), encode(closing).encode())
        return self.journal.put(closing)

    def _count(self, summary: Summary, before: NodeLife, termination: Termination) -> None:
        summary.keys.append(termination.key)
        phase = termination.life.phase
        if not termination.life.ended:
            summary.open += 1
            age = (self.clock.now() - datetime.fromisoformat(termination.began_at)).total_seconds()
            summary.oldest_s = max(summary.oldest_s, age)
        if not before.ended:  # each end counts once
            summary.released += phase is Phase.RELEASED
            summary.retained += phase is Phase.RETAINED
            summary.lost += phase is Phase.LOST
