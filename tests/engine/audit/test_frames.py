from hypothesis import given
from hypothesis import strategies as st

from engine.audit.frames import Damage, Frame, FrameKind, SegmentHeader, ShipState, encode, scan

PAYLOADS = st.lists(st.binary(min_size=1, max_size=60).map(lambda b: b.hex().encode()), min_size=1, max_size=6)


def _file(payloads: list[bytes]) -> bytes:
    return b"".join(encode(FrameKind.EVENT, index, payload) for index, payload in enumerate(payloads)) + bytes(64)


@given(PAYLOADS)
def test_frames_come_back_as_written(payloads: list[bytes]) -> None:
    found = list(scan(_file(payloads)))
    assert [(f.seq, f.payload) for f in found if isinstance(f, Frame)] == list(enumerate(payloads))
    assert not any(isinstance(f, Damage) for f in found)


def test_a_flip_at_every_offset_costs_one_frame_and_is_seen() -> None:
    payloads = [b'{"n":%d}' % n for n in range(4)]
    data = _file(payloads)
    frames = [f for f in scan(data) if isinstance(f, Frame)]
    for offset in range(frames[-1].end):
        for flip in (0x01, 0x80, 0xFF):
            bad = bytearray(data)
            bad[offset] ^= flip
            found = list(scan(bytes(bad)))
            hit = next(f.seq for f in frames if f.start <= offset < f.end)
            assert [f.seq for f in found if isinstance(f, Frame)] == [n for n in range(4) if n != hit]
            damages = [f for f in found if isinstance(f, Damage)]
            assert len(damages) == 1
            assert damages[0].torn_tail == (hit == 3)


def test_a_cut_at_every_offset_keeps_every_whole_frame() -> None:
    data = _file([b'{"n":%d}' % n for n in range(4)])
    frames = [f for f in scan(data) if isinstance(f, Frame)]
    for offset in range(len(data)):
        kept = [f.seq for f in scan(data[:offset]) if isinstance(f, Frame)]
        assert kept == [f.seq for f in frames if f.end <= offset]


@given(st.binary(max_size=300))
def test_any_bytes_can_be_scanned(data: bytes) -> None:
    for found in scan(data):
        assert 0 <= found.start < found.end <= len(data)


def test_headers_and_states_come_back_as_written() -> None:
    header = SegmentHeader(3, 100, "ab", ShipState.beginning("node-1-00"))
    assert SegmentHeader.decode(header.encode()) == header
    assert ShipState.decode(header.shipped.encode()) == header.shipped
