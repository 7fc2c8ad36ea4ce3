"""What ends with a user, a role or a grant: keys, lent roles, open invitations. Decided here, once (claim H15.5)."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

from governance.admin_event import AdminEvent
from governance.api_key_life import revocations
from governance.elevation import Elevation, elevation_event
from governance.invitation import Invitation, canceled
from governance.ports import ControlReader
from governance.register import Environment, KeyRecord, Observation, Record


@dataclass(frozen=True, slots=True)
class Endings:
    """Pieces of a Change."""

    puts: tuple[Record, ...] = ()
    observations: tuple[Observation, ...] = ()
    forgets: tuple[Observation, ...] = ()
    events: tuple[AdminEvent, ...] = ()


def lent_to(reader: ControlReader, user_id: str, now: str) -> Endings:
    """Whatever a user has asked for or been lent, with every key that came from it."""
    return _ended(reader, lambda old: old.over(now) if old.user_id == user_id else None, lambda _: False)


def removed(reader: ControlReader, user_id: str, now: str) -> Endings:
    """Everything of a user who goes: his keys, what he was lent, and the invitations he made."""
    ends = _ended(
        reader, lambda old: old.over(now) if old.user_id == user_id else None, lambda key: key.user_id == user_id
    )
    open_ = [one for one in reader.every(Invitation, "") if one.invited_by == user_id]
    events = (*ends.events, *(canceled(one) for one in open_))
    return dataclasses.replace(ends, forgets=tuple(open_), events=events)


def grant_over(reader: ControlReader, grant: Elevation, now: str) -> Endings:
    """One request or grant, with every key that came from it; nothing when it was over before."""
    return _ended(
        reader,
        lambda old: old.over(now) if old.id == grant.id else None,
        lambda _: False,
        only=grant.environment,
    )


def _ended(
    reader: ControlReader,
    over: Callable[[Elevation], Elevation | None],
    goes: Callable[[KeyRecord], bool],
    *,
    only: str = "",
) -> Endings:
    """The elevations that `over` ends, and the keys that came from them or that `goes` names."""
    steps: list[tuple[Elevation, Elevation]] = []
    gone: list[tuple[KeyRecord, KeyRecord]] = []
    for name in [only] if only else [environment.name for environment in reader.every(Environment, "")]:
        here = [(old, new) for old in reader.every(Elevation, name) if (new := over(old)) is not None]
        ended = {new.id for _, new in here}
        steps += here
        gone += [
            (key, dataclasses.replace(key, status="revoked"))
            for key in reader.every(KeyRecord, name)
            if key.status not in ("revoked", "expired") and (goes(key) or key.elevation in ended)
        ]
    return Endings(
        puts=tuple(after for _, after in gone),
        observations=tuple(new for _, new in steps),
        events=(*(elevation_event(old, new) for old, new in steps), *revocations(gone)),
    )
