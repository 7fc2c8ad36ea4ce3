"""The door of audit search in AWS: invoked by whoever the customer's IAM lets."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from aws.audit_bucket import AuditBucket
from aws.audit_search import BucketSearch
from aws.clients import client
from aws.signing_key import KmsSigner
from governance.signatures import Verify, verifier
from lambdas.audit_search.settings import AuditSearchSettings
from lambdas.audit_search.task import AuditSearchTask


def handler(event: Mapping[str, Any], _context: Any) -> dict[str, Any]:
    """Answer one question about the audit."""
    settings = AuditSearchSettings.from_environment(os.environ)
    bucket = AuditBucket(client("s3", settings.region), settings.audit_bucket)
    search = BucketSearch(bucket, scan_bytes_max=settings.scan_bytes_max, scan_s=settings.scan_s)

    def holds() -> Verify | None:
        if not settings.signing_key:
            return None
        return verifier(KmsSigner(client("kms", settings.region), settings.signing_key).public_key())

    return AuditSearchTask(search, bucket, holds).answer(event)
