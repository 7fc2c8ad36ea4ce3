"""One run: whose key ends soon is told, once per stage; keys whose time is over are marked so.

A key past its expiry is refused by the clock everywhere; marking it is for the chain, the webhooks and the lists. The
warning's mark and the deliveries are one transaction, so a stage is told once, however often a run is repeated.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from datetime import timedelta

from governance.admin_event import INSTALLATION, Attribution
from governance.api_key_life import ended, revocations, warning_stage
from governance.errors import Refusal
from governance.ports import Change, Clock, ControlReader, ControlStore
from governance.register import Environment, KeyRecord
from governance.timestamp import parse, stamp
from governance.webhook import KEY_EXPIRING, KeyWarning
from governance.webhook_outbox import notices, telling

_LOG = logging.getLogger("hatidata.key_expiry")

MARK_KEPT = timedelta(days=30)
"""How long after its expiry a key's warnings are remembered."""


@dataclass
class Report:
    """What a run did."""

    warned: list[tuple[str, int]] = field(default_factory=list)
    """Key ids, and how many days before their end they were warned of."""
    expired: list[str] = field(default_factory=list)
    expiring: int = 0
    """Keys that end within a day."""
    failed: list[str] = field(default_factory=list)
    """What could not be done now; the next run tries again."""

    def figures(self) -> dict[str, float]:
        """Counts by the names of the alarms' metrics."""
        return {"KeysExpiring": self.expiring, "KeysExpired": len(self.expired), "ExpiryFailed": len(self.failed)}


def run(store: ControlStore, clock: Clock) -> Report:
    """Warn of what ends, and end it."""
    report = Report()
    with store.read() as reader:
        environments = [environment.name for environment in reader.every(Environment, "")]
    for environment in environments:
        with store.read() as reader:
            keys = reader.every(KeyRecord, environment)
        for key in keys:
            try:
                _look(store, stamp(clock.now()), key, report)
            except Refusal as refusal:
                _LOG.error("key %s: %s", key.id, refusal.code)
                report.failed.append(key.id)
    return report


def _look(store: ControlStore, now: str, key: KeyRecord, report: Report) -> None:
    stage = warning_stage(key, now)
    report.expiring += stage == 1
    if stage is not None and _warn(store, now, key, stage):
        report.warned.append((key.id, stage))
    gone = ended(key, now)
    if gone is not None and gone.status == "expired" and _expire(store, now, key):
        report.expired.append(key.id)


def _warn(store: ControlStore, now: str, key: KeyRecord, stage: int) -> bool:
    def decide(reader: ControlReader) -> Change[bool]:
        held, mark_id = reader.get(KeyRecord, key.environment, key.id), f"{key.id}~{stage}"
        if held is None or warning_stage(held, now) != stage or reader.get(KeyWarning, key.environment, mark_id):
            return Change(result=False)
        data = {
            "key": {name: held.fact()[name] for name in ("id", "name", "prefix", "user_id", "expires_at")},
            "days": stage,
            "rotates_by_itself": bool(held.rotate_after_days),
        }
        told = notices(
            reader, environment=key.environment, organization=held.organization, event_type=KEY_EXPIRING, data=data,
            at=now,
        )  # fmt: skip
        mark = KeyWarning(key.environment, mark_id, now, stamp(parse(held.expires_at) + MARK_KEPT))
        return Change(result=True, observations=(mark, *told))

    with store.read() as reader:  # most runs find the stage told, and need no transaction to see it
        if reader.get(KeyWarning, key.environment, f"{key.id}~{stage}"):
            return False
    return store.change(Attribution(INSTALLATION, now), decide)


def _expire(store: ControlStore, now: str, key: KeyRecord) -> bool:
    attribution = Attribution(INSTALLATION, now)

    def decide(reader: ControlReader) -> Change[bool]:
        old = reader.get(KeyRecord, key.environment, key.id)
        new = ended(old, now) if old else None
        if old is None or new is None or new.status != "expired":
            return Change(result=False)
        return Change(result=True, puts=(new,), events=revocations([(old, new)]))

    return store.change(attribution, telling(attribution, decide))
