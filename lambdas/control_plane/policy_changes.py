"""Bringing changes of policies into force: the records, the events and the version, in one transaction."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

from governance.admin_event import AdminEvent, AdminEventType
from governance.errors import InvalidRequest
from governance.policy_record import PolicyRecord
from governance.policy_versions import PolicyChange, PolicyVersion
from governance.ports import Change, ControlReader
from lambdas.control_plane.caller import Caller
from lambdas.control_plane.ownership import required_owner
from lambdas.control_plane.policy_models import check_against_tables

DRAFT, REMOVAL_DRAFTED = "draft", "removal_drafted"
"""What an event's policy is while it stands in a draft."""


def checked(
    reader: ControlReader, caller: Caller, env: str, changes: Iterable[PolicyChange]
) -> tuple[PolicyChange, ...]:
    """The changes with the owners as they are now, every policy held against the tables that nodes report.

    Raises:
        PermissionRefused: a policy on tables that the caller does not administer.
        InvalidRequest: a policy that does not fit its table.
    """
    out = []
    for change in changes:
        after = change.after
        if after is not None:
            owner = required_owner(reader, caller, env, after.policy)
            try:
                check_against_tables(reader, env, after.policy)
            except InvalidRequest as error:
                raise InvalidRequest(
                    f"{after.policy.name}: {error.message}", advice=error.advice, position=error.position
                ) from None
            after = dataclasses.replace(after, organization=owner)
        out.append(dataclasses.replace(change, after=after))
    return tuple(out)


def in_force(
    reader: ControlReader,
    caller: Caller,
    env: str,
    changes: Sequence[PolicyChange],
    *,
    at: str,
    cause: str,
    source: int = 0,
    note: str = "",
) -> Change[PolicyVersion]:
    """What one transaction does so that `changes` hold from the next version of the law on."""
    version = PolicyVersion(
        environment=env,
        number=reader.version(env) + 1,
        organization=caller.user.organization,
        author=caller.user.id,
        at=at,
        cause=cause,
        changes=tuple(
            dataclasses.replace(c, after=dataclasses.replace(c.after, status="active") if c.after else None)
            for c in changes
        ),
        source=source,
        note=note,
    )
    return Change(
        version,
        puts=(*(change.after for change in version.changes if change.after is not None), version),
        removes=tuple(c.before for c in version.changes if c.after is None and c.before is not None),
        events=tuple(_event_of(change, drafted=cause == "draft") for change in version.changes),
    )


def draft_events(changes: Iterable[PolicyChange], *, discarded: bool) -> tuple[AdminEvent, ...]:
    """What the chain remembers of a draft that is written or discarded."""
    events = []
    for change in changes:
        before = change.before
        if change.after is not None:
            drafted = dataclasses.replace(change.after, status=DRAFT)
        else:
            drafted = dataclasses.replace(change.record, status=REMOVAL_DRAFTED)
        if before is not None:
            one, two = (drafted, before) if discarded else (before, drafted)
            events.append(policy_event(AdminEventType.POLICY_UPDATED, one, two))
        elif discarded:
            events.append(policy_event(AdminEventType.POLICY_DELETED, drafted, None))
        else:
            events.append(policy_event(AdminEventType.POLICY_CREATED, None, drafted))
    return tuple(events)


def _event_of(change: PolicyChange, *, drafted: bool) -> AdminEvent:
    if change.after is None:
        return policy_event(AdminEventType.POLICY_DELETED, change.before, None)
    if drafted:
        before = dataclasses.replace(change.after, status=DRAFT)
        return policy_event(AdminEventType.POLICY_ACTIVATED, before, change.after)
    kind = AdminEventType.POLICY_CREATED if change.before is None else AdminEventType.POLICY_UPDATED
    return policy_event(kind, change.before, change.after)


def policy_event(kind: AdminEventType, old: PolicyRecord | None, new: PolicyRecord | None) -> AdminEvent:
    """One policy's event."""
    record = new or old
    assert record is not None  # noqa: S101  an event has one side at least
    return AdminEvent(
        kind,
        record.environment,
        record.organization,
        record.id,
        old.fact() if old else None,
        new.fact() if new else None,
    )
