"""The spool's bytes, pure: frames with length, sequence and checksum, and a scan that no damage derails.

A segment file is frames one after the other, then zeros. A frame is a 24-byte head and a payload:

    magic 4 | length u32 | sequence u64 | kind u8 | zero 3 | crc32 u32 | payload

little-endian; the CRC covers everything but itself. Payloads are ASCII, so the magic, which is not, is never in one.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from enum import IntEnum
from typing import Any
from zlib import crc32

from governance.audit_record import chain_genesis

MAGIC = b"\xf5HD1"
_HEAD = struct.Struct("<4sIQB3xI")
_COVERED = struct.Struct("<IQB")
HEAD_BYTES = _HEAD.size
PAYLOAD_BYTES_MAX = 4 << 20


class FrameKind(IntEnum):
    """What a payload is."""

    HEADER = 1
    """A segment's first frame: `SegmentHeader`."""
    INTENT = 2
    OUTCOME = 3
    EVENT = 4
    """These three: an id, a newline, a JSON object (`governance.audit_record`)."""
    CUT = 5
    """`ShipState` after a batch has been laid into the outbox."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame found whole."""

    kind: FrameKind
    seq: int
    payload: bytes
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Damage:
    """Bytes between two whole frames, or after the last one, that are no frame."""

    start: int
    end: int
    torn_tail: bool
    """Whether no whole frame follows."""


def encode(kind: FrameKind, seq: int, payload: bytes) -> bytes:
    """One frame.

    Raises:
        ValueError: a payload past `PAYLOAD_BYTES_MAX`.
    """
    if len(payload) > PAYLOAD_BYTES_MAX:
        raise ValueError("the payload is longer than a frame may be")
    checksum = crc32(payload, crc32(_COVERED.pack(len(payload), seq, kind)))
    return _HEAD.pack(MAGIC, len(payload), seq, kind, checksum) + payload


def scan(data: bytes) -> Iterator[Frame | Damage]:
    """Whole frames in order, and the damage between them. Trailing zeros are the unused rest and no damage."""
    at, end = 0, len(data.rstrip(b"\0"))
    while at < end:
        frame = _frame_at(data, at)
        if frame is not None:
            yield frame
            at = frame.end
            continue
        onward = at
        while frame is None:
            onward = data.find(MAGIC, onward + 1)
            if onward < 0:
                yield Damage(at, end, torn_tail=True)
                return
            frame = _frame_at(data, onward)
        yield Damage(at, onward, torn_tail=False)
        at = onward


def _frame_at(data: bytes, at: int) -> Frame | None:
    if len(data) - at < HEAD_BYTES:
        return None
    magic, length, seq, kind, checksum = _HEAD.unpack_from(data, at)
    start, end = at + HEAD_BYTES, at + HEAD_BYTES + length
    if magic != MAGIC or length > PAYLOAD_BYTES_MAX or end > len(data):
        return None
    payload = data[start:end]
    if data[at + 17 : at + 20] != b"\0\0\0" or crc32(payload, crc32(_COVERED.pack(length, seq, kind))) != checksum:
        return None
    try:
        return Frame(FrameKind(kind), seq, payload, at, end)
    except ValueError:
        return None


@dataclass(frozen=True, slots=True)
class StreamState:
    """How far one chain of shipped records has come."""

    seq: int
    head: str
    """SHA-256 (hex) of the last line, or the genesis."""


@dataclass(frozen=True, slots=True)
class ShipState:
    """How far shipping has come; carried by every segment header and every cut."""

    chain: str
    """Identity of this spool; its streams are `<chain>.q` (queries) and `<chain>.s` (sessions)."""
    through: int = 0
    """Outcomes and events up to this frame sequence are in batches."""
    batch: int = 0
    """Number of the last batch."""
    queries: StreamState = field(default=StreamState(0, ""))
    sessions: StreamState = field(default=StreamState(0, ""))

    @classmethod
    def beginning(cls, chain: str) -> ShipState:
        """Nothing shipped yet."""
        return cls(
            chain,
            queries=StreamState(0, chain_genesis(chain + ".q")),
            sessions=StreamState(0, chain_genesis(chain + ".s")),
        )

    def encode(self) -> bytes:
        """As a payload."""
        return json.dumps(asdict(self), separators=(",", ":")).encode("ascii")

    @classmethod
    def decode(cls, payload: bytes) -> ShipState:
        """From a payload.

        Raises:
            ValueError: not what `encode` makes.
        """
        return cls.of(json.loads(payload))

    @classmethod
    def of(cls, document: Any) -> ShipState:
        """From the decoded JSON of a payload."""
        try:
            return cls(
                chain=str(document["chain"]),
                through=int(document["through"]),
                batch=int(document["batch"]),
                queries=StreamState(int(document["queries"]["seq"]), str(document["queries"]["head"])),
                sessions=StreamState(int(document["sessions"]["seq"]), str(document["sessions"]["head"])),
            )
        except (KeyError, TypeError) as error:
            raise ValueError("not a ship state") from error


@dataclass(frozen=True, slots=True)
class SegmentHeader:
    """What a segment says of itself and of the one before it."""

    number: int
    previous_end: int
    """Where the segment before it ends; bytes beyond were never acknowledged."""
    previous_digest: str
    """SHA-256 (hex) of the segment before it up to `previous_end`; empty for the first."""
    shipped: ShipState
    version: int = 1

    def encode(self) -> bytes:
        """As a payload."""
        return json.dumps(asdict(self), separators=(",", ":")).encode("ascii")

    @classmethod
    def decode(cls, payload: bytes) -> SegmentHeader:
        """From a payload.

        Raises:
            ValueError: not what `encode` makes, or of a later version.
        """
        document = json.loads(payload)
        try:
            if document["version"] != 1:
                raise ValueError("a segment of a version not known here")
            return cls(
                number=int(document["number"]),
                previous_end=int(document["previous_end"]),
                previous_digest=str(document["previous_digest"]),
                shipped=ShipState.of(document["shipped"]),
            )
        except (KeyError, TypeError) as error:
            raise ValueError("not a segment header") from error
