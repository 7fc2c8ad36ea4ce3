"""The signing key in KMS: P-256, ECDSA over SHA-256. Its private half never leaves KMS."""

from __future__ import annotations

import hashlib
import threading
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

from aws.names import SIGNING_ALGORITHM
from governance.errors import StoreUnavailable

RAW_BYTES_MAX = 4096
FRESH_FOR_S = 10.0
"""A signature over an unchanged rulebook serves this long: each one costs money and a round trip."""


class KmsSigner:
    """Implements `governance.ports.Signer` with `kms:Sign` and `kms:GetPublicKey` on one key. Safe for threads."""

    fresh_for_s = FRESH_FOR_S

    def __init__(self, client: Any, key: str) -> None:
        """`key`: the ARN of an asymmetric KMS key for signing."""
        self._client = client
        self._key = key
        self._public = b""
        self._lock = threading.Lock()

    def sign(self, data: bytes) -> bytes:
        """The signature over `data` of any length, in DER.

        Raises:
            StoreUnavailable: KMS does not answer or does not permit it.
        """
        short = 0 < len(data) <= RAW_BYTES_MAX
        try:
            answer = self._client.sign(
                KeyId=self._key,
                # The signature is the same; KMS hashes for itself what it takes.
                Message=data if short else hashlib.sha256(data).digest(),
                MessageType="RAW" if short else "DIGEST",
                SigningAlgorithm=SIGNING_ALGORITHM,
            )
        except (ClientError, BotoCoreError) as error:
            raise _unavailable(error) from None
        return bytes(answer["Signature"])

    def public_key(self) -> bytes:
        """The public half as PEM, asked for once.

        Raises:
            StoreUnavailable: as above, or the key is not of the kind that signs here.
        """
        with self._lock:
            if not self._public:
                self._public = self._asked()
            return self._public

    def _asked(self) -> bytes:
        try:
            answer = self._client.get_public_key(KeyId=self._key)
        except (ClientError, BotoCoreError) as error:
            raise _unavailable(error) from None
        try:
            key = load_der_public_key(answer["PublicKey"])
        except (ValueError, UnsupportedAlgorithm):
            key = None
        if not isinstance(key, EllipticCurvePublicKey) or not isinstance(key.curve, SECP256R1):
            raise StoreUnavailable("The signing key is of another kind.", reason="not a P-256 key")
        return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def _unavailable(error: Exception) -> StoreUnavailable:
    code = error.response.get("Error", {}).get("Code", "") if isinstance(error, ClientError) else ""
    return StoreUnavailable(
        "The signing key cannot be used just now.",
        advice="Try again; if it stays so, look at the key and the function's rights.",
        reason=f"{code or type(error).__name__} in KMS",
    )
