"""Every byte of a spool truncated or changed in turn: nothing intact is lost, nothing is shipped twice."""

import asyncio
import json
import shutil
from collections import Counter
from pathlib import Path

import jsonschema
import pytest

from engine.audit import QueryAudit
from engine.audit.frames import HEAD_BYTES, Frame, FrameKind, scan
from engine.audit.ledger import LOST_INTENT
from engine.audit.recovery import recover
from governance.audit_record import ChainLink, chain_genesis, encode_outcome, join_query
from governance.audit_schema import schema
from tests.engine.audit.records import MemoryStore, SteppedClock, event, intent, lines, outcome, settings


async def _spool(folder: Path, first_bytes: int) -> set[str]:
    """A spool of several small segments as a killed process leaves it; returns the ids shipped already.

    With first segments of 2048 bytes an intent and its outcome, both shipped, lie before the cut; with 2304 an outcome.
    """
    store = MemoryStore()
    audit = QueryAudit(settings(folder, segment_bytes=first_bytes), store, SteppedClock())
    await audit.start()
    for name in ("a", "b"):
        await audit.intent(intent(name))
        audit.outcome(outcome(name))
    assert await audit.stop()
    audit = QueryAudit(settings(folder, segment_bytes=1024), store, SteppedClock())
    await audit.start()
    for name in ("c", "d"):
        await audit.intent(intent(name))
        audit.outcome(outcome(name))
    audit.event(event("e"))
    await audit.intent(intent("f"))
    await audit.settled()
    shutil.copytree(folder / "spool", folder / "killed")
    await audit.stop()
    return {record["query_id"] for record in lines(store.objects) if record["query_id"] in {"a", "b"}}


def _held(folder: Path) -> tuple[Counter[str], tuple[str, ...]]:
    """Ids that a start on this spool would ship, and what it found."""
    chain = (folder / "identity.json").read_text().split('"')[3]
    recovered = recover(folder, chain, 1 << 20)
    ledger = recovered.ledger
    ids: Counter[str] = Counter(list(ledger.open))
    batch = ledger.next_batch(1 << 30)
    for line in (batch.queries + batch.sessions) if batch else ():
        ids[line.split(b'"')[5].decode()] += 1
    return ids, tuple(finding.kind for finding in recovered.findings)


@pytest.fixture(scope="module", params=[2048, 2304])
def killed(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    folder = tmp_path_factory.mktemp("spool")
    assert asyncio.run(_spool(folder, request.param)) == {"a", "b"}
    return folder / "killed"


def _segments(folder: Path) -> list[tuple[Path, bytes, list[Frame]]]:
    found = []
    for path in sorted(folder.glob("segment-*.log")):
        data = path.read_bytes().rstrip(b"\0")
        found.append((path, data, [frame for frame in scan(data) if isinstance(frame, Frame)]))
    return found


def _ids_in(frame: Frame) -> set[str]:
    if frame.kind in {FrameKind.HEADER, FrameKind.CUT}:
        return set()
    return {frame.payload.partition(b"\n")[0].decode()}


def test_an_intact_spool_gives_back_every_record_once(killed: Path) -> None:
    assert len(_segments(killed)) >= 3
    ids, findings = _held(killed)
    assert ids == Counter(["c", "d", "e", "f"])
    assert findings == ()


@pytest.mark.parametrize("stride", [7, pytest.param(1, marks=pytest.mark.slow)])
def test_w5_1_a_change_at_every_byte_loses_at_most_the_record_it_hits(killed: Path, stride: int) -> None:
    """The scan is tried at every byte in test_frames; here heads at every byte, payloads at every `stride`th."""
    wanted = {"c", "d", "e", "f"}
    for path, data, frames in _segments(killed):
        whole = path.read_bytes()
        for offset in range(len(data)):
            hit = next(frame for frame in frames if frame.start <= offset < frame.end)
            if offset - hit.start >= HEAD_BYTES and offset % stride:
                continue
            path.write_bytes(whole[:offset] + bytes([whole[offset] ^ 0x55]) + whole[offset + 1 :])
            try:
                ids, findings = _held(killed)
            finally:
                path.write_bytes(whole)
            # An outcome that is destroyed after it was shipped leaves its intent open: told again rather than never.
            assert wanted - _ids_in(hit) <= set(ids) <= wanted | _ids_in(hit), (path.name, offset)
            assert not ids or max(ids.values()) == 1, (path.name, offset)
            assert findings, (path.name, offset)


def test_w5_1_a_cut_anywhere_in_the_last_segment_keeps_what_came_before(killed: Path) -> None:
    path, data, frames = _segments(killed)[-1]
    earlier = {i for _, _, others in _segments(killed)[:-1] for frame in others for i in _ids_in(frame)} - {"a", "b"}
    whole = path.read_bytes()
    for offset in range(0, len(data), 3):
        path.write_bytes(whole[:offset])
        try:
            ids, _ = _held(killed)
        finally:
            path.write_bytes(whole)
        kept = {i for frame in frames if frame.end <= offset for i in _ids_in(frame)}
        assert set(ids) == earlier | kept, offset
        assert not ids or max(ids.values()) == 1, offset


def test_a_missing_segment_is_named(killed: Path, tmp_path: Path) -> None:
    copy = tmp_path / "spool"
    shutil.copytree(killed, copy)
    paths = sorted(copy.glob("segment-*.log"))
    paths[1].unlink()
    _, findings = _held(copy)
    assert "missing_segment" in findings


def test_a_record_whose_intent_was_destroyed_is_still_a_record() -> None:
    link = ChainLink("n.q", 1, chain_genesis("n.q"))
    line = join_query("q", LOST_INTENT, encode_outcome(outcome("q")), link)
    jsonschema.Draft202012Validator(schema()).validate(json.loads(line))
