"""KMS as the installation's key service: how keys rotate, rotation on demand, and small secrets encrypted at rest."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from aws.names import SEALED_PURPOSE
from governance.encryption_key import KeyRotationFacts
from governance.errors import KeyServiceUnavailable, ResourceExceeded

SECRET_BYTES_MAX = 4096
"""What Encrypt takes."""
_PAGES_MAX = 20


class KmsKeyService:
    """Implements `governance.ports.KeyService` on symmetric customer-managed keys.

    Needs kms:GetKeyRotationStatus, kms:ListKeyRotations and kms:RotateKeyOnDemand on each of them.
    """

    def __init__(self, client: Any, keys: Mapping[str, str]) -> None:
        self._client = client
        self._keys = dict(keys)

    def names(self) -> tuple[str, ...]:
        """See the port."""
        return tuple(self._keys)

    def facts(self, name: str) -> KeyRotationFacts:
        """See the port."""
        key_id = self._key_id(name)
        try:
            status = self._client.get_key_rotation_status(KeyId=key_id)
            on_demand, marker = 0, ""
            for _ in range(_PAGES_MAX):
                page = self._client.list_key_rotations(KeyId=key_id, **({"Marker": marker} if marker else {}))
                on_demand += sum(each.get("RotationType") == "ON_DEMAND" for each in page.get("Rotations", ()))
                marker = page.get("NextMarker", "") if page.get("Truncated") else ""
                if not marker:
                    break
        except (ClientError, BotoCoreError) as error:
            raise _unavailable(error) from None
        in_progress = status.get("OnDemandRotationStartDate") is not None
        period = int(status.get("RotationPeriodInDays") or 365) if status.get("KeyRotationEnabled") else 0
        return KeyRotationFacts(period, on_demand + in_progress, in_progress)

    def rotate(self, name: str) -> None:
        """See the port."""
        try:
            self._client.rotate_key_on_demand(KeyId=self._key_id(name))
        except ClientError as error:
            code = _code(error)
            if code == "ConflictException":  # one is in progress
                return
            if code == "LimitExceededException":
                raise ResourceExceeded("No rotation on demand is left to this key.") from None
            raise _unavailable(error) from None
        except BotoCoreError as error:
            raise _unavailable(error) from None

    def _key_id(self, name: str) -> str:
        try:
            return self._keys[name]
        except KeyError:
            raise KeyServiceUnavailable("There is no such encryption key.") from None


class KmsSecretBox:
    """Implements `governance.ports.SecretBox`: KMS encrypts and decrypts, bound to an encryption context."""

    def __init__(self, client: Any, key_id: str) -> None:
        self._client = client
        self._key_id = key_id

    def seal(self, secret: bytes, context: str) -> str:
        """See the port."""
        if len(secret) > SECRET_BYTES_MAX:
            raise KeyServiceUnavailable("The secret is too long to be kept.")
        try:
            answer = self._client.encrypt(KeyId=self._key_id, Plaintext=secret, EncryptionContext=_context(context))
        except (ClientError, BotoCoreError) as error:
            raise _unavailable(error) from None
        return base64.b64encode(answer["CiphertextBlob"]).decode()

    def open(self, sealed: str, context: str) -> bytes:
        """See the port."""
        try:
            blob = base64.b64decode(sealed, validate=True)
            answer = self._client.decrypt(KeyId=self._key_id, CiphertextBlob=blob, EncryptionContext=_context(context))
        except (ClientError, BotoCoreError, binascii.Error, ValueError) as error:
            raise _unavailable(error) from None
        plaintext: bytes = answer["Plaintext"]
        return plaintext


def _context(context: str) -> dict[str, str]:
    return {"purpose": SEALED_PURPOSE, "of": context}


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _unavailable(error: Exception) -> KeyServiceUnavailable:
    code = _code(error) if isinstance(error, ClientError) else type(error).__name__
    return KeyServiceUnavailable(
        "The key service does not do this now.",
        advice="Try again; if it stays so, look at the key's state and policy.",
        reason=f"KMS: {code}",
    )
