"""Argon2id over API keys (claim W3.3): 19 MiB, t=2, p=1, a salt each (OWASP's minimum; RFC 9106)."""

from __future__ import annotations

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

_HASHER = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1, hash_len=32, salt_len=16)
_DUMMY = _HASHER.hash("an unknown prefix costs the same")


def hash_key(key: str) -> str:
    """The PHC string to store. About 30 ms and 19 MiB."""
    return _HASHER.hash(key)


def verify_key(stored: str | None, key: str) -> bool:
    """Whether `key` is the one `stored` was made from; `None` (unknown prefix) takes as long and is False."""
    try:
        _HASHER.verify(stored or _DUMMY, key)
    except (VerificationError, InvalidHashError):
        return False
    return stored is not None
