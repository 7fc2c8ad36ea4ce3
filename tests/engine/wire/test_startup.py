"""What comes before the first typed message."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.wire import proxy
from engine.wire.startup import (
    CancelRequest,
    GssEncRequest,
    SslRequest,
    StartupMessage,
    length_of,
    parse_options,
    parse_startup,
)
from engine.wire.violations import ProtocolViolation


def test_requests() -> None:
    assert parse_startup(struct.pack("!I", 80877103)) == SslRequest()
    assert parse_startup(struct.pack("!I", 80877104)) == GssEncRequest()
    cancel = parse_startup(struct.pack("!III", 80877102, 7, 9))
    assert isinstance(cancel, CancelRequest)
    assert cancel.process_id == 7
    assert "\\t" not in repr(cancel)


def test_parameters() -> None:
    body = struct.pack("!HH", 3, 0) + b"user\0ana\0database\0production\0\0"
    assert parse_startup(body) == StartupMessage(3, 0, {"user": "ana", "database": "production"})


@given(st.binary(max_size=80))
def test_any_packet_is_understood_or_refused(body: bytes) -> None:
    try:
        parse_startup(body)
    except ProtocolViolation:
        return


@pytest.mark.parametrize("length", [0, 4, 7, 10_001, 2_000_000_000])
def test_lengths_out_of_bounds_are_refused(length: int) -> None:
    with pytest.raises(ProtocolViolation):
        length_of(struct.pack("!I", length))


@pytest.mark.parametrize(
    "body",
    [
        struct.pack("!HH", 2, 0) + b"\0",
        struct.pack("!HH", 3, 0) + b"user\0ana",
        struct.pack("!HH", 3, 0) + b"user\0\0",
        struct.pack("!HH", 3, 0) + b"user\0a\0user\0b\0\0",
        struct.pack("!HH", 3, 0) + b"user\0\xff\0\0",
    ],
)
def test_packets_that_are_none(body: bytes) -> None:
    with pytest.raises(ProtocolViolation):
        parse_startup(body)


def test_options() -> None:
    text = r"-c hatidata.agent_id=bot\ 7 --search-path=x -cTimeZone=UTC"
    assert parse_options(text) == [("hatidata.agent_id", "bot 7"), ("search_path", "x"), ("TimeZone", "UTC")]
    assert parse_options("  ") == []
    with pytest.raises(ProtocolViolation):
        parse_options("-x 1")


def head(command: int, family: int, length: int) -> bytes:
    return proxy.SIGNATURE + bytes([0x20 | command, family]) + length.to_bytes(2, "big")


def test_proxy_addresses() -> None:
    assert proxy.source(head(1, 0x11, 12), bytes([10, 1, 2, 3]) + bytes(8)) == "10.1.2.3"
    assert proxy.source(head(1, 0x21, 36), bytes(15) + b"\x01" + bytes(20)) == "::1"
    assert proxy.source(head(0, 0, 0), b"") is None


@given(st.binary(min_size=16, max_size=16), st.binary(max_size=40))
def test_any_proxy_header_is_understood_or_refused(first: bytes, rest: bytes) -> None:
    try:
        proxy.rest_length(first)
        proxy.source(first, rest)
    except ProtocolViolation:
        return
