"""The passphrase of the cache volume."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import given
from hypothesis import strategies as st

from governance.volume_key import PASSPHRASE_BYTES, hkdf_sha256, volume_passphrase

SEED, SALT = bytes(range(32)), bytes(range(1, 33))


def test_w2_2_rfc_5869_cases_for_sha_256() -> None:
    first = hkdf_sha256(b"\x0b" * 22, bytes(range(13)), bytes(range(0xF0, 0xFA)), 42)
    assert first.hex() == "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"
    second = hkdf_sha256(bytes(range(0x50)), bytes(range(0x60, 0xB0)), bytes(range(0xB0, 0x100)), 82)
    assert second.hex()[:32] == "b11e398dc80327a1c8e7f78c596a4934"
    assert second.hex()[-36:] == "cc30c58179ec3e87c14c01d5c1f3434f1d87"
    third = hkdf_sha256(b"\x0b" * 22, b"", b"", 42)
    assert third.hex() == "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8"


@given(
    st.binary(min_size=32, max_size=80),
    st.binary(min_size=32, max_size=32).filter(any),
    st.from_regex(r"i-[0-9a-f]{17}", fullmatch=True),
)
def test_it_is_what_the_cryptography_library_derives(seed: bytes, salt: bytes, instance: str) -> None:
    info = b"hatidata cache volume 1 " + instance.encode()
    assert volume_passphrase(seed, salt, instance) == HKDF(SHA256(), PASSPHRASE_BYTES, salt, info).derive(seed)


def test_salt_seed_and_instance_each_change_it() -> None:
    base = volume_passphrase(SEED, SALT, "i-0123456789abcdef0")
    assert len(base) == 64
    assert base != volume_passphrase(SEED[::-1], SALT, "i-0123456789abcdef0")
    assert base != volume_passphrase(SEED, SALT[::-1], "i-0123456789abcdef0")
    assert base != volume_passphrase(SEED, SALT, "i-0123456789abcdef1")


@pytest.mark.parametrize(
    ("seed", "salt", "instance"),
    [
        (SEED[:31], SALT, "i-0123456789abcdef0"),
        (SEED, SALT[:31], "i-0123456789abcdef0"),
        (SEED, bytes(32), "i-0123456789abcdef0"),
        (SEED, SALT, "i-../../etc"),
        (SEED, SALT, ""),
    ],
)
def test_what_cannot_be_meant_is_refused_without_a_value_in_the_words(seed: bytes, salt: bytes, instance: str) -> None:
    with pytest.raises(ValueError, match=r"seed|salt|instance") as refusal:
        volume_passphrase(seed, salt, instance)
    assert instance == "" or instance not in str(refusal.value)


def test_the_construction_has_an_end() -> None:
    with pytest.raises(ValueError, match="8160"):
        hkdf_sha256(SEED, SALT, b"", 8161)
