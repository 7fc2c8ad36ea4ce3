"""The end of a node, as a table: phase x fact -> next phase and orders (claims W2.7, W6.1). Pure.

A terminating node is drained, its cache erased, the erasure proved, and only then released to die. A node whose audit
spool could not be shipped is erased too, but kept, so that its records can still be fetched; so is a node whose erasure
cannot be proved. `docs/node-end.md` draws the table.

Two laws hold in every order of facts, lost, repeated or late ones included (`tests/life`):
`Order.RELEASE` is given only to a node proved erased whose spool is shipped; and every node comes to an end within
`facts_max()` facts that move it, for deadlines are facts too.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

ATTEMPTS_MAX = 3
"""How often a command is sent before its step counts as failed."""
COMPLETIONS_MAX = 5
"""How often the release or the retention is asked for."""


class Phase(StrEnum):
    """Where a terminating node stands."""

    NEW = "new"
    DRAINING = "draining"
    """Sessions end, the spool is shipped."""
    ERASING = "erasing"
    PROVING = "proving"
    """The node is asked what is left: key slots, mappings, mounts."""
    RELEASING = "releasing"
    """Proved; it is being let go."""
    RETAINING = "retaining"
    """It must not die yet; being kept and told of."""
    RELEASED = "released"
    RETAINED = "retained"
    LOST = "lost"
    """It left without our leave (hardware, a termination past the group): alarmed, for nothing else can be done."""


class Fact(StrEnum):
    """What can become known about it."""

    TERMINATING = "terminating"
    """The group says so; may be told twice."""
    SHIPPED = "shipped"
    """The drain ended and the store holds every record."""
    UNSHIPPED = "unshipped"
    """The drain ended and records are left in the spool."""
    ERASED = "erased"
    """The erase command says it succeeded; believed only once proved."""
    PROVED = "proved"
    """No key slot, no mapping, no mount is left."""
    UNPROVED = "unproved"
    """Something is left."""
    COMMAND_FAILED = "command_failed"
    """A command ran and failed, or said what is not understood."""
    COMMAND_LOST = "command_lost"
    """A command was not taken, not delivered, cut short or cancelled."""
    STEP_LATE = "step_late"
    """The step's deadline passed."""
    OUT_OF_TIME = "out_of_time"
    """The time for the whole end of the node passed."""
    COMPLETED = "completed"
    """The group took the release or the retention."""
    COMPLETION_FAILED = "completion_failed"
    """The group could not be told."""
    KEPT = "kept"
    """The group holds it as retained."""
    GONE = "gone"
    """The group lets it die, or knows it no more."""


class Order(StrEnum):
    """What is to be done; each may be done twice without harm."""

    DRAIN = "drain"
    ERASE = "erase"
    PROVE = "prove"
    RELEASE = "release"
    RETAIN = "retain"
    ALARM = "alarm"


class Spool(StrEnum):
    """What is known of the node's audit spool."""

    UNKNOWN = "unknown"
    SHIPPED = "shipped"
    UNSHIPPED = "unshipped"


ENDED = frozenset({Phase.RELEASED, Phase.RETAINED, Phase.LOST})


@dataclass(frozen=True, slots=True)
class NodeLife:
    """Where one terminating node stands."""

    phase: Phase = Phase.NEW
    spool: Spool = Spool.UNKNOWN
    proved: bool = False
    """The node said itself, after the last erase command, that nothing is left."""
    attempts: int = 0
    """Commands or completions asked for in this phase."""
    erasures: int = 0
    """Erase commands sent in all."""

    @property
    def ended(self) -> bool:
        """Whether no fact can change it any more."""
        return self.phase in ENDED


@dataclass(frozen=True, slots=True)
class Step:
    """What a fact does: the life after it, and what is to be done now, in order."""

    life: NodeLife
    orders: tuple[Order, ...] = ()


def advance(life: NodeLife, fact: Fact) -> Step:
    """The step of `life` upon `fact`; a fact that means nothing there changes nothing and orders nothing."""
    if life.ended:
        return Step(life)
    if life.phase is Phase.NEW:
        return _enter(life, Phase.DRAINING, Order.DRAIN) if fact is Fact.TERMINATING else Step(life)
    if fact is Fact.GONE:
        # Let go by us and gone is the good end, even when the answer to our call was lost.
        return _end(life, Phase.RELEASED) if life.phase is Phase.RELEASING else _end(life, Phase.LOST, Order.ALARM)
    if fact is Fact.KEPT:
        return _end(life, Phase.RETAINED, *(() if life.phase is Phase.RETAINING else (Order.ALARM,)))
    if fact is Fact.OUT_OF_TIME:
        return _out_of_time(life)
    return _STEPS[life.phase](life, fact)


def facts_max() -> int:
    """An upper bound on the facts that can move one node from new to its end (waiting apart)."""
    erase_and_prove = ATTEMPTS_MAX * (2 + ATTEMPTS_MAX)
    return 1 + ATTEMPTS_MAX + erase_and_prove + 2 * COMPLETIONS_MAX + 2


# ---------------------------------------------------------------- one function for each phase


_FELL_SHORT = frozenset({Fact.COMMAND_FAILED, Fact.COMMAND_LOST, Fact.STEP_LATE})


def _draining(life: NodeLife, fact: Fact) -> Step:
    if fact is Fact.SHIPPED:
        return _erase(replace(life, spool=Spool.SHIPPED))
    if fact is Fact.COMMAND_LOST and life.attempts < ATTEMPTS_MAX:
        return _again(life, Order.DRAIN)
    if fact is Fact.UNSHIPPED or fact in _FELL_SHORT:
        # Clients' data goes first: the spool lies on another volume, and what is left in it keeps the node alive.
        return _erase(replace(life, spool=Spool.UNSHIPPED))
    return Step(life)


def _erasing(life: NodeLife, fact: Fact) -> Step:
    if fact is Fact.ERASED:
        return _enter(life, Phase.PROVING, Order.PROVE)
    if fact in _FELL_SHORT:
        # It may have been done although the answer was lost: the proof decides.
        return _erase(life) if life.erasures < ATTEMPTS_MAX else _enter(life, Phase.PROVING, Order.PROVE)
    return Step(life)


def _proving(life: NodeLife, fact: Fact) -> Step:
    if fact is Fact.PROVED:
        if life.spool is Spool.SHIPPED:
            return _enter(replace(life, proved=True), Phase.RELEASING, Order.RELEASE)
        return _retain(replace(life, proved=True))
    if fact is Fact.UNPROVED:
        return _erase(life) if life.erasures < ATTEMPTS_MAX else _retain(life)
    if fact in _FELL_SHORT:
        return _again(life, Order.PROVE) if life.attempts < ATTEMPTS_MAX else _retain(life)
    return Step(life)


def _releasing(life: NodeLife, fact: Fact) -> Step:
    if fact is Fact.COMPLETED:
        return _end(life, Phase.RELEASED)
    if fact in (Fact.COMPLETION_FAILED, Fact.STEP_LATE):
        return _again(life, Order.RELEASE) if life.attempts < COMPLETIONS_MAX else _retain(life)
    return Step(life)


def _retaining(life: NodeLife, fact: Fact) -> Step:
    if fact is Fact.COMPLETED:
        return _end(life, Phase.RETAINED)
    if fact in (Fact.COMPLETION_FAILED, Fact.STEP_LATE):
        # The hook's default result is to abandon, and an abandoned node is retained: silence ends the same way.
        return _again(life, Order.RETAIN) if life.attempts < COMPLETIONS_MAX else _end(life, Phase.RETAINED)
    return Step(life)


_STEPS = {
    Phase.DRAINING: _draining,
    Phase.ERASING: _erasing,
    Phase.PROVING: _proving,
    Phase.RELEASING: _releasing,
    Phase.RETAINING: _retaining,
}


def _out_of_time(life: NodeLife) -> Step:
    if life.phase is Phase.RETAINING:
        return _end(life, Phase.RETAINED)
    return _retain(life)


def _erase(life: NodeLife) -> Step:
    return _enter(replace(life, erasures=life.erasures + 1), Phase.ERASING, Order.ERASE)


def _retain(life: NodeLife) -> Step:
    return _enter(life, Phase.RETAINING, Order.ALARM, Order.RETAIN)


def _enter(life: NodeLife, phase: Phase, *orders: Order) -> Step:
    return Step(replace(life, phase=phase, attempts=1), orders)


def _again(life: NodeLife, order: Order) -> Step:
    return Step(replace(life, attempts=life.attempts + 1), (order,))


def _end(life: NodeLife, phase: Phase, *orders: Order) -> Step:
    return Step(replace(life, phase=phase, attempts=0), orders)
