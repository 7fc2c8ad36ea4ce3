"""What whoever deploys lays into the data bucket: the seed of cache volumes, and what nodes prove themselves with.

Needs `s3:PutObject` on the objects, and on the customer's key `kms:GenerateDataKeyWithoutPlaintext` and `kms:Encrypt`
in the encryption contexts of these two purposes, which the key's policy admits for no other.
"""

from __future__ import annotations

from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from aws.clients import client
from aws.names import identity_key, volume_seed_key
from aws.node_identity import NodeIdentity, seal_identity
from aws.volume_seed import seed_context
from governance.errors import Conflict, SourceUnavailable
from governance.volume_key import SEED_BYTES_MIN

_TAKEN = frozenset({"PreconditionFailed", "ConditionalRequestConflict"})


def lay_volume_seed(
    region: str, bucket: str, environment: str, key: str, *, s3: Any | None = None, kms: Any | None = None
) -> str:
    """Make the seed of `environment` and lay it into `bucket`; the object's name. Nobody sees the seed in clear.

    Raises:
        Conflict: there is a seed; a node that runs would not be hurt by another, but nothing asks for one.
        SourceUnavailable: bucket or key refuse.
    """
    name = volume_seed_key(environment)
    try:
        sealed = (kms or client("kms", region)).generate_data_key_without_plaintext(
            KeyId=key, NumberOfBytes=max(64, SEED_BYTES_MIN), EncryptionContext=seed_context(environment)
        )["CiphertextBlob"]
        (s3 or client("s3", region)).put_object(Bucket=bucket, Key=name, Body=sealed, IfNoneMatch="*")
    except (BotoCoreError, ClientError) as error:
        code = error.response.get("Error", {}).get("Code", "") if isinstance(error, ClientError) else ""
        if code in _TAKEN:
            raise Conflict("There is a seed for this environment.", advice="Leave it; nodes use it.") from None
        raise _refused("seed", error) from None
    return name


def lay_identity(
    region: str, bucket: str, environment: str, key: str, identity: NodeIdentity,
    *, s3: Any | None = None, kms: Any | None = None,
) -> str:  # fmt: skip
    """Seal `identity` and lay it into `bucket`, over the one before; the object's name. Nodes read it when they start.

    Raises:
        SourceUnavailable: bucket or key refuse.
    """
    name = identity_key(environment)
    sealed = seal_identity(identity, environment, key, region=region, kms=kms)
    try:
        (s3 or client("s3", region)).put_object(Bucket=bucket, Key=name, Body=sealed)
    except (BotoCoreError, ClientError) as error:
        raise _refused("identity", error) from None
    return name


def _refused(what: str, error: Exception) -> SourceUnavailable:
    code = error.response.get("Error", {}).get("Code", "") if isinstance(error, ClientError) else ""
    return SourceUnavailable(
        f"The {what} of nodes could not be laid down.",
        advice="Check your rights on the data bucket and on the customer's key (docs/deploy.md).",
        reason=str(code or type(error).__name__)[:64],
    )
