"""The home's signing key behind the port: Ed25519, the same that signs the audit's manifests."""

from __future__ import annotations

from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from local.audit_verify import signing_key
from local.home import write_private

PUBLIC_KEY_FILE = "signing.pub"
"""Beside a node's certificates: what it checks rulebooks with."""


class HomeSigner:
    """Implements `governance.ports.Signer` with the key in `folder`, which is made when missing.

    Raises:
        OSError, InvalidRequest: as `local.audit_verify.signing_key`.
    """

    fresh_for_s = 0.0

    def __init__(self, folder: Path) -> None:
        self._key = signing_key(folder)

    def sign(self, data: bytes) -> bytes:
        """See the port."""
        return self._key.sign(data)

    def public_key(self) -> bytes:
        """See the port."""
        return self._key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def ensure_public_key(control: Path, tls: Path) -> None:
    """Lay the public half of the key in `control` beside the node's certificates in `tls`.

    Raises:
        OSError, InvalidRequest: as `HomeSigner`.
    """
    pem = HomeSigner(control).public_key()
    path = tls / PUBLIC_KEY_FILE
    if not path.exists() or path.read_bytes() != pem:
        write_private(path, pem)
