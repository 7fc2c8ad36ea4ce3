"""What a node proves itself and masks with: one object of the data bucket that only the customer's KMS key opens.

A node may do exactly this with it: s3:GetObject and kms:Decrypt (claim W6.4). Whoever provisions needs `kms:Encrypt`
and makes it anew when a certificate is renewed. Format 1, JSON: `key` (a random AES-256 key as KMS encrypted it, bound
to purpose and environment), `nonce` and `data` (AES-GCM over the document below, the same binding as associated data).
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from aws.clients import client
from aws.names import IDENTITY_PURPOSE
from governance.errors import InvalidRequest, SourceUnavailable

FORMAT = 1
FILES = ("ca.crt", "server.crt", "server.key", "node.crt", "node.key", "signing.pub")
"""As they lie in a node's TLS folder: the authority, the listener's pair, the node's own pair, the rulebooks' key."""
_FILE_BYTES_MAX = 64 * 1024
_SEALED_BYTES_MAX = 1024 * 1024
_MASK_KEY_BYTES = 32
_NONCE_BYTES = 12


@dataclass(frozen=True, slots=True)
class NodeIdentity:
    """Certificates and keys of the nodes of one environment.

    Raises:
        InvalidRequest: a file is missing, unknown or too long, or the mask key is none.
    """

    files: Mapping[str, bytes] = field(repr=False)
    """`FILES` -> PEM."""
    mask_key: bytes = field(repr=False)
    """32 bytes for `hmac` masks, or empty: those show nothing then."""

    def __post_init__(self) -> None:
        whole = set(self.files) == set(FILES) and all(0 < len(pem) <= _FILE_BYTES_MAX for pem in self.files.values())
        if not whole or len(self.mask_key) not in (0, _MASK_KEY_BYTES):
            raise InvalidRequest(
                "A node's identity is not complete.", advice="It holds " + ", ".join(FILES) + " and the mask key."
            )

    def lay(self, folder: Path) -> None:
        """Write the files into `folder` (mode 0700, made when missing): on a node a file system in memory.

        Raises:
            OSError: it cannot be written.
        """
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name, pem in self.files.items():
            temporary = folder / f".{name}.{secrets.token_hex(8)}"
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(pem)
            temporary.replace(folder / name)


def identity_context(environment: str) -> dict[str, str]:
    """The encryption context an identity is sealed under."""
    return {"purpose": IDENTITY_PURPOSE, "environment": environment}


def seal_identity(identity: NodeIdentity, environment: str, key: str, *, region: str = "", kms: Any = None) -> bytes:
    """The object to lay into the data bucket at `aws.names.identity_key(environment)`.

    Args:
        identity: what to seal.
        environment: whose nodes may open it.
        key: ARN of the customer's KMS key.
        region: of the key; empty: the environment's.
        kms: a client, else one is made.

    Raises:
        SourceUnavailable: KMS refuses.
    """
    context = identity_context(environment)
    data_key, nonce = secrets.token_bytes(32), secrets.token_bytes(_NONCE_BYTES)
    try:
        answer = (kms or client("kms", region)).encrypt(KeyId=key, Plaintext=data_key, EncryptionContext=context)
    except (BotoCoreError, ClientError) as error:
        raise _unavailable(type(error).__name__) from None
    document = {
        "files": {name: identity.files[name].decode("ascii") for name in FILES},
        "mask_key": base64.b64encode(identity.mask_key).decode(),
    }
    sealed = AESGCM(data_key).encrypt(nonce, json.dumps(document).encode(), _bound(context))
    parts = {"key": bytes(answer["CiphertextBlob"]), "nonce": nonce, "data": sealed}
    return json.dumps({"v": FORMAT, **{name: base64.b64encode(part).decode() for name, part in parts.items()}}).encode()


def read_identity(
    region: str, bucket: str, name: str, environment: str, key: str, *, s3: Any = None, kms: Any = None
) -> NodeIdentity:
    """The identity that lies at `name` in the data bucket.

    Raises:
        SourceUnavailable: bucket or key refuse, or what lies there is no identity of this environment.
    """
    context = identity_context(environment)
    try:
        answer = (s3 or client("s3", region)).get_object(Bucket=bucket, Key=name)
        sealed = answer["Body"].read(_SEALED_BYTES_MAX + 1)
        parts = _parts(sealed)
        opened = (kms or client("kms", region)).decrypt(
            CiphertextBlob=parts["key"], KeyId=key, EncryptionContext=context
        )
        text = AESGCM(bytes(opened["Plaintext"])).decrypt(parts["nonce"], parts["data"], _bound(context))
        document = json.loads(text)
        files = {name: str(document["files"][name]).encode("ascii") for name in FILES}
        return NodeIdentity(files, base64.b64decode(document["mask_key"], validate=True))
    except (BotoCoreError, ClientError, OSError) as error:
        raise _unavailable(type(error).__name__) from None
    except (InvalidTag, InvalidRequest, KeyError, TypeError, ValueError):
        raise _unavailable("not an identity of this environment") from None


def _parts(sealed: bytes) -> dict[str, bytes]:
    """What a sealed identity is made of.

    Raises:
        ValueError, KeyError, TypeError: it is none.
    """
    if len(sealed) > _SEALED_BYTES_MAX:
        raise ValueError("too long")
    document = json.loads(sealed)
    if document["v"] != FORMAT:
        raise ValueError("a format this code does not know")
    try:
        return {name: base64.b64decode(document[name], validate=True) for name in ("key", "nonce", "data")}
    except binascii.Error:
        raise ValueError("not base64") from None


def _bound(context: Mapping[str, str]) -> bytes:
    return json.dumps(dict(context), sort_keys=True).encode()


def _unavailable(reason: str) -> SourceUnavailable:
    return SourceUnavailable(
        "The node's identity cannot be read.",
        advice="Check that it was sealed for this environment, and that the instance's role may decrypt with the key.",
        reason=reason,
    )
