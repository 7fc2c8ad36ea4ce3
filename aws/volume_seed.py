"""The seed of the cache volume's passphrase: an object of the data bucket that only the customer's KMS key opens.

A node may do exactly this with it: s3:GetObject and kms:Decrypt (claim W6.4). Whoever deploys makes it, once, by
`kms:GenerateDataKeyWithoutPlaintext`, so that nobody ever held it in clear outside a node's memory.
"""

from __future__ import annotations

from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from aws.clients import client
from aws.names import VOLUME_SEED_PURPOSE, volume_seed_key
from governance.errors import SourceUnavailable

_SEALED_BYTES_MAX = 6144
"""What KMS decrypts in one call."""


def seed_context(environment: str) -> dict[str, str]:
    """The encryption context the seed is sealed under."""
    return {"purpose": VOLUME_SEED_PURPOSE, "environment": environment}


def read_volume_seed(
    region: str, bucket: str, environment: str, key: str, *, s3: Any | None = None, kms: Any | None = None
) -> bytes:
    """The seed in clear; keep it no longer than it takes to derive from it.

    Raises:
        SourceUnavailable: bucket or key refuse, or what lies there is no seed of this environment.
    """
    try:
        answer = (s3 or client("s3", region)).get_object(Bucket=bucket, Key=volume_seed_key(environment))
        sealed = answer["Body"].read(_SEALED_BYTES_MAX + 1)
        if not 0 < len(sealed) <= _SEALED_BYTES_MAX:
            raise SourceUnavailable("The seed of the cache volume is not what it should be.")
        opened = (kms or client("kms", region)).decrypt(
            CiphertextBlob=sealed, KeyId=key, EncryptionContext=seed_context(environment)
        )
    except (BotoCoreError, ClientError, OSError) as error:
        raise SourceUnavailable(
            "The seed of the cache volume cannot be read.",
            advice="Check that it was made, and that the instance's role may decrypt with the customer's key.",
            reason=type(error).__name__,
        ) from None
    return bytes(opened["Plaintext"])
