"""Sealed files: what comes out is what went in, or nothing."""

from __future__ import annotations

import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from governance.errors import InvalidRequest
from local import sealed_stream
from local.sealed_stream import CHUNK_BYTES, MAGIC, SALT_BYTES, TAG_BYTES, SealedReader, SealedWriter

PASSPHRASE = b"correct horse battery staple"
HEAD = len(MAGIC) + SALT_BYTES


@pytest.fixture(autouse=True)
def _cheap_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """Argon2id takes a tenth of a second by design; here what follows it is looked at."""
    real = sealed_stream._key

    def cheap(passphrase: bytes, salt: bytes) -> bytes:
        key = _KEYS.get((passphrase, salt)) or (passphrase + salt).ljust(32, b"\0")[:32]
        return key if len(passphrase) >= sealed_stream.PASSPHRASE_BYTES_MIN else real(passphrase, salt)

    monkeypatch.setattr(sealed_stream, "_key", cheap)


_KEYS: dict[tuple[bytes, bytes], bytes] = {}


def seal(data: bytes, pieces: int = 1) -> bytes:
    out = io.BytesIO()
    writer = SealedWriter(out, PASSPHRASE)
    step = max(1, -(-len(data) // pieces))
    for at in range(0, len(data), step):
        writer.write(data[at : at + step])
    writer.finish()
    return out.getvalue()


def unseal(sealed: bytes, passphrase: bytes = PASSPHRASE) -> bytes:
    return SealedReader(io.BytesIO(sealed), passphrase).read()


SIZES = st.sampled_from([0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 2 * CHUNK_BYTES, 3 * CHUNK_BYTES + 7])


@settings(max_examples=40, deadline=None)
@given(SIZES, st.integers(1, 5), st.integers(1, 100_000))
def test_what_comes_out_is_what_went_in_however_it_is_cut(size: int, pieces: int, step: int) -> None:
    data = bytes(i * 31 % 251 for i in range(size))
    sealed = seal(data, pieces)
    assert unseal(sealed) == data
    reader, out = SealedReader(io.BytesIO(sealed), PASSPHRASE), b""
    while piece := reader.read(step):
        out += piece
    assert out == data
    assert len(sealed) == HEAD + size + TAG_BYTES * max(1, -(-size // CHUNK_BYTES))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_changed_bit_anywhere_is_refused(data: st.DataObject) -> None:
    sealed = bytearray(seal(b"x" * (CHUNK_BYTES + 100)))
    at = data.draw(st.integers(0, len(sealed) - 1))
    sealed[at] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(InvalidRequest):
        unseal(bytes(sealed))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_file_cut_off_anywhere_is_refused(data: st.DataObject) -> None:
    sealed = seal(b"x" * (2 * CHUNK_BYTES + 100))
    whole = HEAD + CHUNK_BYTES + TAG_BYTES
    length = data.draw(
        st.integers(0, len(sealed) - 1) | st.sampled_from([HEAD, whole, whole + CHUNK_BYTES + TAG_BYTES])
    )
    with pytest.raises(InvalidRequest):
        unseal(sealed[:length])


def test_chunks_that_change_places_or_come_twice_are_refused() -> None:
    size = CHUNK_BYTES + TAG_BYTES
    sealed = seal(b"x" * (3 * CHUNK_BYTES))
    head, chunks = sealed[:HEAD], [sealed[HEAD + n * size : HEAD + (n + 1) * size] for n in range(3)]
    assert unseal(head + b"".join(chunks)) == b"x" * (3 * CHUNK_BYTES)
    for order in ((1, 0, 2), (0, 0, 2), (0, 2), (0, 1, 2, 2), (2,), (0, 1)):
        with pytest.raises(InvalidRequest):
            unseal(head + b"".join(chunks[n] for n in order))


def test_what_was_not_finished_cannot_be_read() -> None:
    out = io.BytesIO()
    writer = SealedWriter(out, PASSPHRASE)
    writer.write(b"x" * (2 * CHUNK_BYTES))
    with pytest.raises(InvalidRequest):
        unseal(out.getvalue())


def test_another_passphrase_opens_nothing_and_a_short_one_seals_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()  # with the real Argon2id
    sealed = seal(b"data")
    assert unseal(sealed) == b"data"
    with pytest.raises(InvalidRequest):
        unseal(sealed, b"another passphrase!!")
    with pytest.raises(InvalidRequest):
        SealedWriter(io.BytesIO(), b"short")
    assert seal(b"data")[:HEAD] != sealed[:HEAD], "a salt each"
