"""How the passphrase of a node's cache volume is derived (claim W2.2). Pure.

HKDF with SHA-256 (RFC 5869) over a seed that only the customer's KMS key can open, a salt of 32 random bytes that
exists in the memory of one boot only, and the instance's id. Every node shares the seed, so the salt is what makes an
erased volume unreadable for good: neither the header nor KMS nor both can bring the passphrase back.
"""

from __future__ import annotations

import hashlib
import hmac
import re

SEED_BYTES_MIN = 32
SALT_BYTES = 32
PASSPHRASE_BYTES = 64
"""As long as the volume key it wraps: AES-256-XTS has two keys of 256 bits."""

_PREFIX = b"hatidata cache volume 1 "
_INSTANCE = re.compile(r"\Ai-[0-9a-f]{8,17}\Z")
_DIGEST_BYTES = 32


def volume_passphrase(seed: bytes, salt: bytes, instance_id: str) -> bytes:
    """The passphrase, `PASSPHRASE_BYTES` long, that opens the cache volume of this boot of this instance.

    Args:
        seed: at least `SEED_BYTES_MIN` bytes, as KMS decrypted them.
        salt: exactly `SALT_BYTES` random bytes, made for this boot and kept nowhere.
        instance_id: EC2's, `i-` and hexadecimal digits.

    Raises:
        ValueError: one of them is not as said; the message holds none of them.
    """
    if len(seed) < SEED_BYTES_MIN:
        raise ValueError("the seed of the cache volume is too short")
    if len(salt) != SALT_BYTES or not any(salt):
        raise ValueError("the salt of the cache volume is not 32 random bytes")
    if not _INSTANCE.match(instance_id):
        raise ValueError("not the id of an instance")
    return hkdf_sha256(seed, salt, _PREFIX + instance_id.encode("ascii"), PASSPHRASE_BYTES)


def hkdf_sha256(secret: bytes, salt: bytes, info: bytes, length: int) -> bytes:
    """RFC 5869: `length` bytes (at most 8160) extracted and expanded from `secret`.

    Raises:
        ValueError: more bytes than the construction gives.
    """
    if not 0 < length <= 255 * _DIGEST_BYTES:
        raise ValueError("HKDF with SHA-256 gives 1 to 8160 bytes")
    key = hmac.digest(salt or bytes(_DIGEST_BYTES), secret, hashlib.sha256)
    out, block = b"", b""
    for counter in range(1, -(-length // _DIGEST_BYTES) + 1):
        block = hmac.digest(key, block + info + bytes([counter]), hashlib.sha256)
        out += block
    return out[:length]
