"""Detached signatures over what leaves the control plane: rulebooks, checkpoints. Checking one, pure.

A home signs with Ed25519, an installation in AWS with a KMS key on P-256 (ECDSA over SHA-256, DER); the public key says
which. `openssl pkeyutl -verify -rawin` checks the first, `openssl dgst -sha256 -verify` the second.
"""

from __future__ import annotations

from collections.abc import Callable

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from governance.errors import InvalidRequest

Verify = Callable[[bytes, bytes], bool]
"""Whether the second is a right signature over the first."""


def verifier(public_key: bytes) -> Verify:
    """What checks signatures of the key in this PEM.

    Raises:
        InvalidRequest: not a public key of Ed25519 or P-256.
    """
    try:
        key = load_pem_public_key(public_key)
    except (ValueError, TypeError):
        key = None
    if isinstance(key, Ed25519PublicKey):
        return lambda data, signature: _holds(lambda: key.verify(signature, data))
    if isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, SECP256R1):
        return lambda data, signature: _holds(lambda: key.verify(signature, data, ECDSA(SHA256())))
    raise InvalidRequest("This is no public key that signatures are checked with.", advice="Give a PEM of Ed25519.")


def _holds(check: Callable[[], None]) -> bool:
    try:
        check()
    except InvalidSignature:
        return False
    return True
