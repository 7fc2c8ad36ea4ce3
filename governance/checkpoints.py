"""Signed checkpoints of the administrative chain: what a chain must still hold. Pure, standard library only.

A checkpoint says: at this moment the chain of this environment had so many events, and the last one's hash was this.
They lie in the audit store, under Object Lock, where whoever can write the register cannot change them. A chain that
was rewritten, forked or cut off at its end no longer agrees with one of them. `docs/control-plane.md` has the bytes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise
from typing import Any

from governance.chain import INTEGER_MAX, canonical, genesis
from governance.timestamp import parse

VERSION = 1
FOLDER = "checkpoints/"
EVERY = timedelta(minutes=30)
"""How often one is made, also when nothing happened; the promise is an hour."""
CHECKPOINT_BYTES_MAX = 4096
_KIND = "checkpoint"
_HASH = re.compile(r"\A[0-9a-f]{64}\Z")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """How a chain stood at a moment."""

    environment: str
    sequence: int
    """Of its last event; 0 of an empty chain."""
    head: str
    """The hash of that event; of an empty chain the genesis."""
    at: str
    """RFC 3339 UTC with microseconds: the moment of this checkpoint, not of the event."""

    def encode(self) -> bytes:
        """The bytes that are signed: canonical JSON, no line end."""
        return canonical(
            {
                "v": VERSION,
                "kind": _KIND,
                "environment": self.environment,
                "sequence": self.sequence,
                "head": self.head,
                "at": self.at,
            }
        )

    @classmethod
    def decode(cls, data: bytes) -> Checkpoint:
        """The inverse of `encode`.

        Raises:
            ValueError: not a checkpoint in canonical form.
        """
        if len(data) > CHECKPOINT_BYTES_MAX:
            raise ValueError("not a checkpoint")
        try:
            d: dict[str, Any] = json.loads(data)
            head, sequence = (d.pop("v"), d.pop("kind")), d["sequence"]
            found = cls(**d)
            right = head == (VERSION, _KIND) and isinstance(sequence, int) and 0 <= sequence <= INTEGER_MAX
            right = right and bool(_HASH.match(found.head)) and found.encode() == data
            parse(found.at)
        except (AttributeError, KeyError, TypeError, ValueError, RecursionError):
            raise ValueError("not a checkpoint") from None
        if not right:
            raise ValueError("not a checkpoint")
        return found

    @property
    def name(self) -> str:
        """The object's name in the audit store; the signature's ends in `.sig` instead of `.json`."""
        at = self.at.replace("-", "").replace(":", "")
        return f"{FOLDER}{self.environment}/{self.at[:10].replace('-', '/')}/{at}-{self.sequence:010}.json"


@dataclass(frozen=True, slots=True)
class Finding:
    """Where chain and checkpoints do not agree."""

    kind: str
    """rewritten, truncated, forked, rolled_back, malformed, unsigned, bad_signature, environment."""
    checkpoint: str
    """The checkpoint's name."""
    detail: str


def compare(
    environment: str, count: int, hashes: Mapping[int, str], checkpoints: Iterable[tuple[str, Checkpoint]]
) -> list[Finding]:
    """What a verified chain of `count` events and the checkpoints say against each other.

    Args:
        environment: whose chain it is.
        count: how many of its links hold.
        hashes: of the events that checkpoints speak of, by sequence, as far as the chain has them.
        checkpoints: by name, in any order.
    """
    findings: list[Finding] = []
    seen: dict[int, str] = {0: genesis(environment)}
    highest: tuple[int, str] = (0, "")
    for name, checkpoint in sorted(checkpoints, key=lambda pair: (pair[1].at, pair[1].sequence)):
        sequence, head = checkpoint.sequence, checkpoint.head
        if checkpoint.environment != environment:
            findings.append(Finding("environment", name, f"speaks of the chain of {checkpoint.environment}"))
            continue
        if seen.setdefault(sequence, head) != head:
            findings.append(Finding("forked", name, f"another event {sequence} stood there than an earlier one says"))
        if sequence < highest[0]:
            findings.append(
                Finding("rolled_back", name, f"{sequence} events, but {highest[0]} before it ({highest[1]})")
            )
        highest = max(highest, (sequence, name))
        if sequence > count:
            findings.append(Finding("truncated", name, f"there were {sequence} events; {count} are left"))
        elif sequence and hashes.get(sequence) != head:
            findings.append(Finding("rewritten", name, f"event {sequence} is not the one that stood there"))
    return findings


def longest_silence(checkpoints: Iterable[Checkpoint]) -> timedelta:
    """The longest time between two checkpoints that follow each other; zero with fewer than two."""
    moments = sorted(parse(checkpoint.at) for checkpoint in checkpoints)
    return max((later - earlier for earlier, later in pairwise(moments)), default=timedelta())
