"""API keys: `hd_live_` or `hd_test_`, 26 random Base62 characters and a 6-character Base62 CRC-32 (claim W3.2).

The checksum covers everything before it, so typos and scanners' finds are told offline, before any Argon2 work; it
is no protection against forgery. The first 8 body characters are the public prefix a key is looked up by.
"""

from __future__ import annotations

import binascii
import re
import secrets

from governance.errors import AuthenticationFailed

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
PATTERN = r"hd_(?:live|test)_[0-9A-Za-z]{32}"
"""What secret scanners may look for."""

_SHAPE = re.compile(rf"\A{PATTERN}\Z")
_BRAND = {"production": "hd_live_", "staging": "hd_test_"}
_RANDOM_CHARS = 26
_PREFIX_CHARS = 16
"""`hd_live_` and 8 characters; the other 18 random ones (107 bits) are the secret."""


def _base62(number: int, width: int) -> str:
    digits = []
    for _ in range(width):
        number, digit = divmod(number, 62)
        digits.append(ALPHABET[digit])
    return "".join(reversed(digits))


def _checksum(head: str) -> str:
    return _base62(binascii.crc32(head.encode("ascii")), 6)


def new_key(environment: str) -> str:
    """A fresh key for `environment`; shown once, never stored (claim W3.3)."""
    head = _BRAND.get(environment, "hd_test_") + "".join(secrets.choice(ALPHABET) for _ in range(_RANDOM_CHARS))
    return head + _checksum(head)


def new_key_id() -> str:
    """The public id of a key's record."""
    return f"key-{secrets.token_hex(8)}"


def is_well_formed(text: str) -> bool:
    """Whether `text` has a key's shape and a right checksum."""
    return bool(_SHAPE.match(text)) and _checksum(text[:-6]) == text[-6:]


def public_prefix(key: str) -> str:
    """The part of a key that may be stored and shown.

    Raises:
        AuthenticationFailed: not a key.
    """
    if not is_well_formed(key):
        raise AuthenticationFailed("Authentication failed.", reason="malformed key")
    return key[:_PREFIX_CHARS]
