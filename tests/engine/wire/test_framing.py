"""Framing: any bytes, cut anywhere, give the same messages or the same refusal, and never more memory than allowed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.wire.framing import FrameLimits, Framer
from engine.wire.frontend import KNOWN
from engine.wire.violations import ProtocolViolation

LIMITS = FrameLimits(large_bytes_max=2000, small_bytes_max=100)


def frame(kind: int, body: bytes) -> bytes:
    return bytes([kind]) + (len(body) + 4).to_bytes(4, "big") + body


def drain(framer: Framer) -> list[tuple[int, bytes]]:
    out = []
    while (message := framer.next()) is not None:
        out.append(message)
    return out


messages = st.lists(st.tuples(st.sampled_from(sorted(KNOWN)), st.binary(max_size=100)), max_size=8)


@given(messages, st.data())
def test_messages_survive_any_cut(sent: list[tuple[int, bytes]], data: st.DataObject) -> None:
    stream = b"".join(frame(kind, body) for kind, body in sent)
    framer = Framer(KNOWN, LIMITS)
    got: list[tuple[int, bytes]] = []
    while stream:
        cut = data.draw(st.integers(1, len(stream)))
        framer.feed(stream[:cut])
        stream = stream[cut:]
        got += drain(framer)
    assert got == sent
    assert framer.buffered == 0


@given(st.binary(max_size=300), st.integers(1, 50))
def test_garbage_is_refused_or_waited_for_whatever_the_cut(garbage: bytes, step: int) -> None:
    def outcome(pieces: list[bytes]) -> tuple[list[tuple[int, bytes]], bool]:
        framer, got = Framer(KNOWN, LIMITS), []
        try:
            for piece in pieces:
                framer.feed(piece)
                got += drain(framer)
        except ProtocolViolation:
            return got, True
        return got, False

    whole = outcome([garbage])
    cut = outcome([garbage[at : at + step] for at in range(0, len(garbage), step)])
    assert whole[1] == cut[1]
    if not whole[1]:
        assert whole == cut


@pytest.mark.parametrize("length", [0, 3, 2_000_000_000, 0xFFFFFFFF, 16 * 1024 * 1024 + 5])
def test_a_bad_length_is_refused_before_its_body_comes(length: int) -> None:
    framer = Framer(KNOWN)
    framer.feed(b"Q" + length.to_bytes(4, "big"))
    with pytest.raises(ProtocolViolation):
        framer.next()


def test_small_messages_have_a_small_limit() -> None:
    framer = Framer(KNOWN, LIMITS)
    framer.feed(b"S" + (200).to_bytes(4, "big"))
    with pytest.raises(ProtocolViolation):
        framer.next()


def test_an_unknown_type_is_refused_at_its_first_byte() -> None:
    framer = Framer(KNOWN)
    framer.feed(b"!")
    with pytest.raises(ProtocolViolation):
        framer.next()


def test_half_a_message_is_waited_for() -> None:
    framer = Framer(KNOWN)
    framer.feed(frame(ord("Q"), b"select 1\0")[:7])
    assert framer.next() is None


def test_a_raw_start_then_messages() -> None:
    framer = Framer(KNOWN)
    framer.feed(b"\0\0\0\x08abcd" + frame(ord("S"), b""))
    assert framer.raw(8) == b"\0\0\0\x08abcd"
    assert framer.raw(100) is None
    assert framer.next() == (ord("S"), b"")
