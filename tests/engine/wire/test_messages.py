"""Frontend messages: what was sent is what is read, and nothing else is read at all."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.wire import backend
from engine.wire.frontend import (
    KNOWN,
    Bind,
    Close,
    Describe,
    Execute,
    Parse,
    Password,
    Query,
    Sync,
    parse,
)
from engine.wire.violations import ProtocolViolation

names = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)


def c(text: str) -> bytes:
    return text.encode() + b"\0"


@given(names)
def test_query(text: str) -> None:
    assert parse(ord("Q"), c(text)) == Query(text)


@given(names, names, st.lists(st.integers(0, 2**32 - 1), max_size=5))
def test_parse(name: str, text: str, oids: list[int]) -> None:
    body = c(name) + c(text) + struct.pack(f"!H{len(oids)}I", len(oids), *oids)
    assert parse(ord("P"), body) == Parse(name, text, tuple(oids))


@given(names, names, st.lists(st.none() | st.binary(max_size=20), max_size=5), st.sampled_from([(), (0,), (1,)]))
def test_bind(portal: str, name: str, values: list[bytes | None], formats: tuple[int, ...]) -> None:
    body = c(portal) + c(name) + struct.pack(f"!H{len(formats)}h", len(formats), *formats)
    body += struct.pack("!H", len(values))
    for value in values:
        body += b"\xff\xff\xff\xff" if value is None else struct.pack("!i", len(value)) + value
    body += struct.pack("!Hh", 1, 1)
    assert parse(ord("B"), body) == Bind(portal, name, formats, tuple(values), (1,))


@given(names, st.integers(0, 2**31 - 1))
def test_execute(name: str, rows: int) -> None:
    assert parse(ord("E"), c(name) + struct.pack("!i", rows)) == Execute(name, rows)


@pytest.mark.parametrize("kind", ["S", "P"])
def test_describe_and_close(kind: str) -> None:
    assert parse(ord("D"), kind.encode() + c("x")) == Describe(kind, "x")
    assert parse(ord("C"), kind.encode() + c("x")) == Close(kind, "x")


def test_sync_is_empty() -> None:
    assert parse(ord("S"), b"") == Sync()
    with pytest.raises(ProtocolViolation):
        parse(ord("S"), b"x")


def test_passwords_are_not_shown() -> None:
    message = parse(ord("p"), b"hd_live_secret\0")
    assert isinstance(message, Password)
    assert message.secret == b"hd_live_secret"
    assert "secret" not in repr(message).replace("Password", "")


@given(st.sampled_from(sorted(KNOWN)), st.binary(max_size=60))
def test_any_body_is_a_message_or_a_violation(kind: int, body: bytes) -> None:
    try:
        parse(kind, body)
    except ProtocolViolation:
        return


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("Q", b"no end"),
        ("Q", b"\xff\xfe\0"),
        ("Q", b"a\0more"),
        ("B", c("") + c("") + struct.pack("!Hh", 1, 7) + b"\0\0\0\0"),
        ("B", c("") + c("") + struct.pack("!HH", 0, 1) + struct.pack("!i", 1_000_000)),
        ("P", c("") + c("") + struct.pack("!H", 9)),
        ("D", b"Xname\0"),
        ("E", b"\0\0"),
    ],
)
def test_malformed_content_is_refused_without_losing_the_stream(kind: str, body: bytes) -> None:
    with pytest.raises(ProtocolViolation) as caught:
        parse(ord(kind), body)
    assert not caught.value.fatal


@given(st.lists(st.lists(st.none() | st.binary(max_size=10), min_size=2, max_size=2), max_size=20), st.integers(0, 25))
def test_rows_are_cut_at_their_borders(rows: list[list[bytes | None]], keep: int) -> None:
    data = b"".join(backend.data_row(row) for row in rows)
    cut = backend.split_rows(memoryview(data), keep)
    assert data[:cut] == b"".join(backend.data_row(row) for row in rows[:keep])
