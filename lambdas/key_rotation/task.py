"""One run: every key that is due gives way, every grace that is over ends, every rotation that was asked for begins.

Each step is one transaction with its events and what webhooks are told of them, decided anew on what is there then: so
a run that is repeated, or two at once, do nothing twice.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from governance.admin_event import INSTALLATION, ORGANIZATION_CHAIN, AdminEvent, AdminEventType, Attribution
from governance.api_key import new_key_id
from governance.api_key_life import (
    GRACE,
    ended,
    key_event,
    orphaned,
    revocations,
    rotate,
    rotation_due,
    waiting_successor,
)
from governance.encryption_key import EncryptionKey
from governance.errors import Refusal, ResourceExceeded
from governance.ports import Change, Clock, ControlReader, ControlStore, KeyService
from governance.register import Environment, KeyRecord, Organization, UserRecord
from governance.timestamp import stamp
from governance.webhook_outbox import telling

_LOG = logging.getLogger("hatidata.key_rotation")


@dataclass
class Report:
    """What a run did, by ids and names of ours."""

    rotated: list[str] = field(default_factory=list)
    """API keys that got a successor."""
    ended: list[str] = field(default_factory=list)
    """API keys whose grace was over, and successors that nobody fetched."""
    begun: list[str] = field(default_factory=list)
    """Encryption keys whose rotation began."""
    alarming: list[str] = field(default_factory=list)
    """Encryption keys that do not rotate by themselves, or have no rotation on demand left for the one asked for."""
    failed: list[str] = field(default_factory=list)
    """What could not be done now; the next run tries again."""

    def figures(self) -> dict[str, float]:
        """Counts by the names of the alarms' metrics."""
        return {"KeysRotated": len(self.rotated), "RotationFailed": len(self.failed) + len(self.alarming)}


def run(store: ControlStore, keys: KeyService, clock: Clock, *, asked: tuple[str, ...] = ()) -> Report:
    """Rotate what is due.

    Args:
        store: the register and the chain.
        keys: the installation's encryption keys.
        clock: the time.
        asked: encryption keys to be rotated now, as if asked for through the API.
    """
    report = Report()
    _encryption_keys(store, keys, clock, asked, report)
    with store.read() as reader:
        environments = [environment.name for environment in reader.every(Environment, "")]
    for environment in environments:
        _api_keys(store, clock, environment, report)
    return report


# ---------------------------------------------------------------- API keys


def _api_keys(store: ControlStore, clock: Clock, environment: str, report: Report) -> None:
    with store.read() as reader:
        keys = reader.every(KeyRecord, environment)
    now = stamp(clock.now())
    for key in keys:
        if rotation_due(key, now):
            _step(report, report.rotated, key.id, partial(_give_way, store, clock, key))
        elif _over(key, keys, now):
            _step(report, report.ended, key.id, partial(_end, store, clock, key))


def _over(key: KeyRecord, keys: list[KeyRecord], now: str) -> bool:
    gone = ended(key, now)
    return orphaned(key, keys) or (gone is not None and gone.status == "revoked")


def _give_way(store: ControlStore, clock: Clock, key: KeyRecord) -> bool:
    moment, successor_id = clock.now(), new_key_id()
    now = stamp(moment)

    def decide(reader: ControlReader) -> Change[bool]:
        old = reader.get(KeyRecord, key.environment, key.id)
        if old is None or not rotation_due(old, now) or not _stands(reader, old):
            return Change(result=False)
        successor = waiting_successor(old, key_id=successor_id, now=now, maker=INSTALLATION.user_id)
        line = reader.every(KeyRecord, key.environment)
        done = rotate(old, line, successor=successor, grace_until=stamp(moment + GRACE))
        return Change(
            result=True,
            puts=(done.old, successor, *(after for _, after in done.ended)),
            events=(
                key_event(AdminEventType.KEY_CREATED, None, successor),
                key_event(AdminEventType.KEY_ROTATED, old, done.old),
                *revocations(done.ended),
            ),
        )

    return _change(store, now, decide)


def _stands(reader: ControlReader, key: KeyRecord) -> bool:
    """Whether anybody could fetch a successor: a suspended user's key waits until he is back."""
    user = reader.get(UserRecord, "", key.user_id)
    organization = reader.get(Organization, "", key.organization)
    return all(each is not None and each.status == "active" for each in (user, organization))


def _end(store: ControlStore, clock: Clock, key: KeyRecord) -> bool:
    now = stamp(clock.now())

    def decide(reader: ControlReader) -> Change[bool]:
        line = reader.every(KeyRecord, key.environment)
        gone = [
            (each, dataclasses.replace(each, status="revoked"))
            for each in line
            if each.id == key.id and _over(each, line, now)
        ]
        for old, after in tuple(gone):
            heir = next((each for each in line if each.id == old.rotated_to), None)
            if heir is not None and orphaned(heir, [after]):
                gone.append((heir, dataclasses.replace(heir, status="revoked")))
        return Change(bool(gone), puts=tuple(after for _, after in gone), events=revocations(gone))

    return _change(store, now, decide)


# ---------------------------------------------------------------- encryption keys


def _encryption_keys(
    store: ControlStore, keys: KeyService, clock: Clock, asked: tuple[str, ...], report: Report
) -> None:
    now = stamp(clock.now())
    with store.read() as reader:
        environment = reader.get(Environment, "", ORGANIZATION_CHAIN)
    known = {key.name: key for key in environment.encryption_keys} if environment else {}
    moved: list[tuple[EncryptionKey | None, EncryptionKey]] = []
    for name in keys.names():
        before = known.get(name)
        try:
            after = _moved(keys, before or EncryptionKey(name), now, asked=name in asked, report=report)
        except Refusal as refusal:
            _LOG.error("encryption key %s: %s", name, refusal.code)
            report.failed.append(name)
            continue
        if after != before:
            moved.append((before, after))
        if after.alarming:
            report.alarming.append(name)
    report.failed += sorted(set(asked) - set(keys.names()))
    if moved:
        _step(report, [], ORGANIZATION_CHAIN, partial(_note, store, now, moved))


def _moved(keys: KeyService, key: EncryptionKey, now: str, *, asked: bool, report: Report) -> EncryptionKey:
    """The key after one look, and after a rotation when one is asked for.

    Raises:
        KeyServiceUnavailable: the key service does not do it now.
    """
    key = key.seen(keys.facts(key.name), now)
    if asked and key.status != "rotating":
        key = key.asked(now)
    if key.status != "asked":
        return key
    if not key.left:
        return key.refused()
    try:
        keys.rotate(key.name)
    except ResourceExceeded:
        return key.refused()
    report.begun.append(key.name)
    return key.begun(now)


def _note(store: ControlStore, now: str, moved: list[tuple[EncryptionKey | None, EncryptionKey]]) -> bool:
    """Keep what was seen and done, key by key, where nobody asked for something in the meantime."""

    def decide(reader: ControlReader) -> Change[bool]:
        old = reader.get(Environment, "", ORGANIZATION_CHAIN)
        operator = next((each.id for each in reader.every(Organization, "") if each.operator), "")
        if old is None:
            return Change(result=False)
        held = {key.name: key for key in old.encryption_keys}
        held |= {after.name: after for before, after in moved if held.get(after.name) == before}
        new: Environment = dataclasses.replace(old, encryption_keys=tuple(held[name] for name in sorted(held)))
        if new == old:
            return Change(result=False)
        event = AdminEvent(
            AdminEventType.ENVIRONMENT_UPDATED, old.name, operator, old.name, old.fact(), new.fact()
        )  # fmt: skip
        return Change(result=True, puts=(new,), events=(event,))

    return _change(store, now, decide)


# ---------------------------------------------------------------- both


def _change(store: ControlStore, now: str, decide: Callable[[ControlReader], Change[bool]]) -> bool:
    attribution = Attribution(INSTALLATION, now)
    return store.change(attribution, telling(attribution, decide))


def _step(report: Report, done: list[str], name: str, act: Callable[[], bool]) -> None:
    try:
        if act():
            done.append(name)
    except Refusal as refusal:
        _LOG.error("%s: %s", name, refusal.code)
        report.failed.append(name)
