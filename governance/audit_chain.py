"""The chain of shipped audit records, checked: what is missing, altered, repeated, reordered or added is named.

Every record holds its chain, its place in it and the SHA-256 of the line before it
(`governance.audit_record.ChainLink`).
Pure; lines come from whoever reads the store.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from governance.audit_record import chain_genesis, line_digest


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is not as it was written."""

    kind: str
    """altered_record, missing_records, repeated_record, reordered_record, malformed_record, foreign_record, and those
    of `governance.audit_manifest`."""
    name: str
    """The object, or the manifest."""
    detail: str


@dataclass(frozen=True, slots=True)
class Place:
    """Where a chain stands after some of its records: the next sequence, and what the next `chain_prev` must be."""

    next_seq: int
    head: str


@dataclass(frozen=True, slots=True)
class Extent:
    """What one object holds of its chain."""

    chain: str
    first: int
    last: int
    prev: str
    head: str
    records: int


@dataclass(slots=True)
class _Gap:
    first: int
    last: int
    found_before: str


class ChainCheck:
    """Give it the objects of one chain in order of their names; it gives back the faults."""

    def __init__(self, chain: str, place: Place | None = None) -> None:
        """Begin at `place`; without one, at the chain's first record."""
        self._chain = chain
        self._next = place.next_seq if place else 1
        self._head: str | None = place.head if place else chain_genesis(chain)
        self._gaps: list[_Gap] = []
        self._last_at = "the record before the first of the range" if place else "the genesis"
        self._last_name = ""
        self.records = 0

    @property
    def place(self) -> Place:
        """Where the chain stands now."""
        return Place(self._next, self._head or "")

    def object(self, name: str, lines: Iterable[bytes]) -> Iterator[Fault]:
        """The next object's lines (without newlines)."""
        for number, line in enumerate(lines, 1):
            at = f"{name} line {number}"
            link = read_link(line)
            if link is None:
                self._head = None
                yield Fault("malformed_record", name, f"line {number} is no audit record")
                continue
            chain, seq, prev = link
            if chain != self._chain:
                yield Fault("foreign_record", name, f"line {number} belongs to chain {chain[:80]!r}")
                continue
            self.records += 1
            yield from self._link(name, at, number, seq, prev, line_digest(line))

    def _link(self, name: str, at: str, number: int, seq: int, prev: str, digest: str) -> Iterator[Fault]:
        if seq < self._next:
            gap = next((gap for gap in self._gaps if gap.first <= seq <= gap.last), None)
            if gap is None:
                yield Fault("repeated_record", name, f"line {number} is record {seq} of {self._chain} once more")
                return
            self._gaps.remove(gap)
            if gap.first < seq:
                self._gaps.append(_Gap(gap.first, seq - 1, gap.found_before))
            if seq < gap.last:
                self._gaps.append(_Gap(seq + 1, gap.last, gap.found_before))
            yield Fault("reordered_record", name, f"line {number} is record {seq} of {self._chain}, out of its place")
            return
        if seq > self._next:
            self._gaps.append(_Gap(self._next, seq - 1, at))
            self._head = None
        if self._head is not None and prev != self._head:
            yield Fault(
                "altered_record",
                self._last_name or name,
                f"record {self._next - 1} of {self._chain} ({self._last_at}) is not the one that record {seq} names",
            )
        self._next, self._head = seq + 1, digest
        self._last_at, self._last_name = f"line {number}", name

    def finish(self) -> Iterator[Fault]:
        """Records that never came, once all objects were given."""
        for gap in self._gaps:
            which = f"record {gap.first}" if gap.first == gap.last else f"records {gap.first} to {gap.last}"
            yield Fault("missing_records", gap.found_before.split(" ")[0], f"{which} of {self._chain}")


def read_link(line: bytes) -> tuple[str, int, str] | None:
    """Chain, sequence and `prev` of a line; None when it is no record."""
    try:
        record = json.loads(line)
        chain, seq, prev = record["chain_id"], record["chain_seq"], record["chain_prev"]
    except (ValueError, KeyError, TypeError):
        return None
    if not (isinstance(chain, str) and isinstance(prev, str) and isinstance(seq, int) and seq > 0):
        return None
    return chain, seq, prev


def extent(lines: list[bytes]) -> Extent | None:
    """What an object's lines hold of their chain; None when first or last is no record."""
    if not lines:
        return None
    first, last = read_link(lines[0]), read_link(lines[-1])
    if first is None or last is None:
        return None
    return Extent(first[0], first[1], last[1], first[2], line_digest(lines[-1]), len(lines))
