"""API keys: their shape, their checksum, their public part, their hash."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from governance.api_key import ALPHABET, PATTERN, is_well_formed, new_key, public_prefix
from governance.api_key_hash import hash_key, verify_key
from governance.errors import AuthenticationFailed

ENVIRONMENTS = st.sampled_from(["production", "staging"])


@given(ENVIRONMENTS)
def test_w3_2_keys_are_branded_by_environment_and_have_32_alphanumerics(environment: str) -> None:
    key = new_key(environment)
    brand, body = key[:8], key[8:]
    assert brand == {"production": "hd_live_", "staging": "hd_test_"}[environment]
    assert len(body) == 32
    assert set(body) <= set(ALPHABET)
    assert is_well_formed(key)
    assert re.fullmatch(PATTERN, key)


@given(ENVIRONMENTS, st.integers(0, 39), st.sampled_from(ALPHABET))
def test_a_typo_in_any_place_is_told_without_any_hashing(environment: str, at: int, letter: str) -> None:
    key = new_key(environment)
    typo = key[:at] + letter + key[at + 1 :]
    assert is_well_formed(typo) == (typo == key)


@given(st.text(max_size=60))
def test_garbage_is_no_key(text: str) -> None:
    assert not is_well_formed(text)
    with pytest.raises(AuthenticationFailed):
        public_prefix(text)


def test_the_public_part_leaves_107_bits_unsaid() -> None:
    key = new_key("production")
    assert key.startswith(public_prefix(key))
    assert len(public_prefix(key)) == 16
    assert not is_well_formed(key + "\n")


def test_w3_3_hashes_are_argon2id_with_a_salt_each_and_verify_only_their_key() -> None:
    key, other = new_key("production"), new_key("production")
    first, second = hash_key(key), hash_key(key)
    assert first.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert first != second
    assert verify_key(first, key)
    assert not verify_key(first, other)
    assert not verify_key(None, key)
    assert not verify_key("not a hash", key)
