"""The audit store in S3: objects put once, in one request, under a checksum, never replaced; Object Lock holds them.

A node needs `s3:PutObject` for `put_new` and nothing else: the bucket's default encrypts and locks what arrives. A
single PutObject of an object under SSE-KMS takes `kms:GenerateDataKey` of the caller, which the audit key's policy
grants by way of S3, and no `kms:Decrypt`.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from aws.names import AUDIT_PREFIX
from governance.audit_shelf import ObjectArchived, Restore, ShelfFacts, ShelfItem, Speed, Tier

OBJECT_BYTES_MAX = 512 * 1024 * 1024
"""A single PutObject takes 5 GB; ours are about 8 MB."""
RESTORE_DAYS_MAX = 90
_NAME = re.compile(r"\A[0-9A-Za-z][0-9A-Za-z_.-]{0,199}(?:/[0-9A-Za-z][0-9A-Za-z_.-]{0,199}){0,9}\Z")
_TIERS = {"STANDARD": Tier.STANDARD, "GLACIER": Tier.GLACIER, "DEEP_ARCHIVE": Tier.DEEP_ARCHIVE}
_SPEEDS = {Speed.BULK: "Bulk", Speed.STANDARD: "Standard", Speed.EXPEDITED: "Expedited"}


class AuditBucketFailed(OSError):
    """S3 refused or did not answer; says only which class of failure it was."""


class AuditBucket:
    """Implements `governance.ports.AuditStore` and `governance.audit_shelf.AuditShelf`. Safe for threads."""

    def __init__(self, client: Any, bucket: str, *, owner: str = "") -> None:
        """`owner`: the account the bucket must belong to; empty: whoever's it is."""
        self._client = client
        self._at: dict[str, str] = {"Bucket": bucket, **({"ExpectedBucketOwner": owner} if owner else {})}

    def put_new(self, name: str, data: bytes) -> bool:
        """Store `data` under `name` unless the name is taken; see the port.

        Raises:
            OSError: S3 refuses or does not answer, or another put of the name is under way; try again.
            ValueError: not an object's name, or too large.
        """
        if len(data) > OBJECT_BYTES_MAX:
            raise ValueError("an audit object is too large")
        digest = base64.b64encode(hashlib.sha256(data).digest()).decode()
        try:
            with _spoken():
                self._client.put_object(
                    **self._at,
                    Key=_key(name),
                    Body=data,
                    ContentLength=len(data),
                    ContentType="application/gzip" if name.endswith(".gz") else "application/octet-stream",
                    ChecksumAlgorithm="SHA256",
                    ChecksumSHA256=digest,
                    IfNoneMatch="*",
                )
        except _Taken:
            return False
        return True

    def get(self, name: str) -> bytes:
        """The object's bytes.

        Raises:
            FileNotFoundError: no such object.
            ObjectArchived: it lies in an archive tier.
            OSError: S3 refuses or does not answer.
        """
        with _spoken():
            answer = self._client.get_object(**self._at, Key=_key(name))
            data = answer["Body"].read(OBJECT_BYTES_MAX + 1)
        if len(data) > OBJECT_BYTES_MAX:
            raise AuditBucketFailed("an audit object is too large")
        return bytes(data)

    def names(self, prefix: str) -> list[str]:
        """Names under `prefix`, sorted.

        Raises:
            OSError: S3 refuses or does not answer.
        """
        return [item.name for item in self.items(prefix)]

    def items(self, prefix: str, *, after: str = "") -> Iterator[ShelfItem]:
        """See `AuditShelf`."""
        with _spoken():
            pages = self._client.get_paginator("list_objects_v2").paginate(
                **self._at,
                Prefix=AUDIT_PREFIX + prefix,
                OptionalObjectAttributes=["RestoreStatus"],
                **({"StartAfter": AUDIT_PREFIX + after} if after else {}),
            )
            for page in pages:
                for entry in page.get("Contents", ()):
                    yield ShelfItem(
                        entry["Key"].removeprefix(AUDIT_PREFIX),
                        int(entry["Size"]),
                        entry["LastModified"],
                        _TIERS.get(entry.get("StorageClass", "STANDARD"), Tier.OTHER),
                        _listed_restore(entry.get("RestoreStatus")),
                    )

    def folders(self, prefix: str) -> list[str]:
        """Folders right below `prefix` (empty, or ending in a slash), each ending in one, sorted.

        Raises:
            OSError: S3 refuses or does not answer.
        """
        with _spoken():
            pages = self._client.get_paginator("list_objects_v2").paginate(
                **self._at, Prefix=AUDIT_PREFIX + prefix, Delimiter="/"
            )
            return [
                found["Prefix"].removeprefix(AUDIT_PREFIX) for page in pages for found in page.get("CommonPrefixes", ())
            ]

    def facts(self, name: str) -> ShelfFacts:
        """See `AuditShelf`."""
        with _spoken():
            head = self._client.head_object(**self._at, Key=_key(name))
        item = ShelfItem(
            name,
            int(head["ContentLength"]),
            head["LastModified"],
            _TIERS.get(head.get("StorageClass", "STANDARD"), Tier.OTHER),
            _told_restore(head.get("Restore", "")),
        )
        return ShelfFacts(
            item,
            head.get("ServerSideEncryption", ""),
            head.get("SSEKMSKeyId", ""),
            head.get("ObjectLockMode", ""),
            head.get("ObjectLockRetainUntilDate"),
        )

    def restore(self, name: str, *, days: int, speed: Speed) -> Restore:
        """See `AuditShelf`.

        Raises:
            ValueError: `days` out of range.
        """
        if not 1 <= days <= RESTORE_DAYS_MAX:
            raise ValueError(f"a copy is restored for 1 to {RESTORE_DAYS_MAX} days")
        state = self.facts(name).item
        if state.readable or state.restore is Restore.ONGOING:
            return Restore.READY if state.readable else Restore.ONGOING
        request = {"Days": days, "GlacierJobParameters": {"Tier": _SPEEDS[speed]}}
        with _spoken():
            try:
                self._client.restore_object(**self._at, Key=_key(name), RestoreRequest=request)
            except ClientError as error:
                if _code(error) != "RestoreAlreadyInProgress":
                    raise
        return self.facts(name).item.restore


def _key(name: str) -> str:
    if not _NAME.match(name):
        raise ValueError("not the name of an audit object")
    return AUDIT_PREFIX + name


def _listed_restore(status: dict[str, Any] | None) -> Restore:
    if not status:
        return Restore.NONE
    return Restore.ONGOING if status.get("IsRestoreInProgress") else Restore.READY


def _told_restore(header: str) -> Restore:
    """`ongoing-request="true"`, or `ongoing-request="false", expiry-date="..."`, or nothing."""
    if not header:
        return Restore.NONE
    return Restore.ONGOING if 'ongoing-request="true"' in header else Restore.READY


class _Taken(Exception):
    """If-None-Match found the name taken."""


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


@contextmanager
def _spoken() -> Iterator[None]:
    """S3's failures in our words: its own hold keys and request ids."""
    try:
        yield
    except ClientError as error:
        code = _code(error)
        if code in ("PreconditionFailed", "412"):
            raise _Taken from None
        if code in ("NoSuchKey", "404", "NotFound"):
            raise FileNotFoundError("no such audit object") from None
        if code == "InvalidObjectState":
            raise ObjectArchived("an audit object lies in an archive tier") from None
        raise AuditBucketFailed(f"the audit bucket refused: {code}") from None
    except BotoCoreError as error:
        raise AuditBucketFailed(f"the audit bucket did not answer: {type(error).__name__}") from None
