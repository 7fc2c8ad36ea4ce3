"""How far the check of a day has come: parts in the audit store itself, each laid once, each with what it found.

`reports/tiering/YYYY-MM-DD/part-0001.json` and so on; the one that says `done` is the day's report. A process that dies
loses its part only; two at once cannot both lay one.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from governance.audit_plan import Deviation
from governance.ports import AuditStore

VERSION = 1
DEVIATIONS_MAX = 1000
"""Deviations written out in one part; the counts tell of all."""


@dataclass(frozen=True, slots=True)
class Part:
    """One invocation's share of a day's check."""

    day: str
    number: int
    """From 1."""
    after: str
    """Names up to this one are checked."""
    done: bool
    objects: int
    """Checked since the day's first part, as are those below."""
    bytes: int
    tiers: dict[str, int]
    deviations_total: int
    deviations: tuple[Deviation, ...]
    """Of this part."""

    @property
    def name(self) -> str:
        """The object's name."""
        return f"{_folder(self.day)}part-{self.number:04}.json"


def last_part(store: AuditStore, day: str) -> Part | None:
    """The latest part of a day.

    Raises:
        OSError: the store cannot be read.
        ValueError: the part is not one; somebody else wrote there.
    """
    names = store.names(_folder(day))
    return decode(store.get(names[-1])) if names else None


def encode(part: Part) -> bytes:
    """As JSON."""
    return json.dumps({"v": VERSION, **asdict(part)}, sort_keys=True, indent=1).encode()


def decode(data: bytes) -> Part:
    """The part in these bytes.

    Raises:
        ValueError: not one, or of a version not known here.
    """
    try:
        document = json.loads(data)
        if document.pop("v") != VERSION:
            raise ValueError("a report of a version not known here")
        found = tuple(Deviation(**each) for each in document.pop("deviations"))
        return Part(**document, deviations=found)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError("not a report of the audit's check") from error


def _folder(day: str) -> str:
    return f"reports/tiering/{day}/"
