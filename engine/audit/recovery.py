"""From the bytes of a spool to the ledger: after a clean stop, `kill -9`, a power cut, or damage to the disk."""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from dataclasses import dataclass
from pathlib import Path

from engine.audit.frames import Damage, Frame, FrameKind, SegmentHeader, ShipState, scan
from engine.audit.ledger import Ledger
from engine.audit.outbox import Outbox, Parcel
from engine.audit.segment import segment_number, sync_folder
from engine.audit.shipper import read_state_copy
from engine.audit.writer import SpoolEnd

IDENTITY_FILE = "identity.json"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something in the spool that is not as it was written."""

    kind: str
    """torn_tail (a record that was never acknowledged), damaged, lost_frames, altered_segment, missing_segment."""
    segment: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Recovered:
    """What a start goes on from."""

    ledger: Ledger
    end: SpoolEnd
    parcels: tuple[Parcel, ...]
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class _Read:
    """One segment file."""

    number: int
    header: SegmentHeader | None
    frames: tuple[Frame, ...]
    damages: tuple[Damage, ...]
    data: bytes


def identity(spool: Path, node: str) -> str:
    """This spool's chain id, made once: the node's name and a random part.

    Raises:
        OSError: the spool cannot be read or written.
        ValueError: the identity file is not one.
    """
    path = spool / IDENTITY_FILE
    try:
        document = json.loads(path.read_bytes())
    except FileNotFoundError:
        name = re.sub(r"[^0-9A-Za-z-]", "-", node)[:24].strip("-") or "node"
        chain = f"{name}-{secrets.token_hex(6)}"
        temporary = spool / "tmp-identity"
        temporary.write_text(json.dumps({"chain": chain}), encoding="ascii")
        temporary.replace(path)
        sync_folder(spool)
        return chain
    if not isinstance(document, dict) or not re.fullmatch(r"[0-9A-Za-z-]{1,60}", str(document.get("chain"))):
        raise ValueError("the spool's identity file is damaged")
    return str(document["chain"])


def recover(spool: Path, chain: str, notify_bytes: int) -> Recovered:
    """Read every segment and the outbox. Reads only, but for parcels that were never sent, which are removed."""
    reads = [_read(path) for path in sorted(spool.glob("segment-*.log"))]
    ends = _ends(reads)
    findings: list[Finding] = []
    state = _latest_state(reads, ends, ShipState.beginning(chain), read_state_copy(spool))
    ledger = Ledger(state, notify_bytes)
    seq = state.through
    expected: int | None = None
    with ledger.changed:
        for index, (read, end) in enumerate(zip(reads, ends, strict=True)):
            findings += _compare(read, reads[index + 1] if index + 1 < len(reads) else None, end)
            ledger.used[read.number] = end
            for frame in read.frames:
                if frame.start >= end or frame.kind is FrameKind.HEADER:
                    continue
                if expected is not None and frame.seq > expected:
                    findings.append(Finding("lost_frames", read.number, expected, frame.seq))
                expected = max(expected or 0, frame.seq + 1)
                seq = max(seq, frame.seq)
                if frame.kind is FrameKind.CUT:
                    continue
                record_id, _, body = frame.payload.partition(b"\n")
                ledger.apply(frame.kind, frame.seq, record_id.decode("ascii", "replace"), body, read.number)
    ledger.drop_shipped()
    parcels = []
    outbox = Outbox(spool / "outbox")
    for parcel in outbox.parcels():
        if parcel.batch > state.batch:
            parcel.path.unlink()
        else:
            parcels.append(parcel)
    last = reads[-1] if reads else None
    end_of_last = ends[-1] if ends else 0
    return Recovered(
        ledger,
        SpoolEnd(
            number=last.number if last else 0,
            end=end_of_last,
            digest=hashlib.sha256(last.data[:end_of_last]).hexdigest() if last else "",
            seq=seq,
        ),
        tuple(parcels),
        tuple(findings),
    )


def _read(path: Path) -> _Read:
    data = path.read_bytes()
    frames: list[Frame] = []
    damages: list[Damage] = []
    for found in scan(data):
        if isinstance(found, Frame):
            frames.append(found)
        else:
            damages.append(found)
    header = None
    if frames and frames[0].kind is FrameKind.HEADER and frames[0].start == 0:
        try:
            header = SegmentHeader.decode(frames[0].payload)
        except ValueError:
            damages.insert(0, Damage(0, frames[0].end, torn_tail=False))
    return _Read(segment_number(path), header, tuple(frames), tuple(damages), data)


def _ends(reads: list[_Read]) -> list[int]:
    """Where each segment ends: as its successor says, else after the last whole frame."""
    ends = []
    for index, read in enumerate(reads):
        following = reads[index + 1] if index + 1 < len(reads) else None
        if following is not None and following.header is not None and following.number == read.number + 1:
            ends.append(following.header.previous_end)
        else:
            ends.append(read.frames[-1].end if read.frames else 0)
    return ends


def _latest_state(reads: list[_Read], ends: list[int], beginning: ShipState, copy: bytes) -> ShipState:
    """The furthest state that any header, cut or the copy tells of this chain."""
    states = [beginning]
    payloads = [copy] if copy else []
    for read, end in zip(reads, ends, strict=True):
        if read.header is not None:
            states.append(read.header.shipped)
        payloads += [frame.payload for frame in read.frames if frame.kind is FrameKind.CUT and frame.start < end]
    for payload in payloads:
        try:
            states.append(ShipState.decode(payload))
        except ValueError:
            continue
    return max((state for state in states if state.chain == beginning.chain), key=lambda state: state.batch)


def _compare(read: _Read, following: _Read | None, end: int) -> list[Finding]:
    """What is wrong with one segment, given its successor."""
    findings = []
    for damage in read.damages:
        if damage.start >= end and damage.torn_tail:
            if following is None:
                findings.append(Finding("torn_tail", read.number, damage.start, damage.end))
        elif damage.start < end:
            findings.append(Finding("damaged", read.number, damage.start, damage.end))
    if following is None:
        return findings
    if following.number != read.number + 1:
        findings.append(Finding("missing_segment", read.number + 1, 0, 0))
    elif (
        following.header is not None and hashlib.sha256(read.data[:end]).hexdigest() != following.header.previous_digest
    ):
        findings.append(Finding("altered_segment", read.number, 0, end))
    return findings
