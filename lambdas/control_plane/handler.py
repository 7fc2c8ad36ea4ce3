"""The door in Lambda: one control plane per process, and a function the load balancer may call.

`handler` composes it on AWS from its environment at the first event; at home `serve.py` gives `make_handler` adapters.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from governance.ports import Clock, ControlStore, QueryAuditSearch, SecretBox, Signer
from lambdas.control_plane.api import ControlPlane
from lambdas.control_plane.settings import ControlPlaneSettings
from local.clock import SystemClock

Handler = Callable[[Mapping[str, Any], Any], dict[str, Any]]


def make_handler(
    store: ControlStore,
    clock: Clock,
    *,
    queries: QueryAuditSearch | None = None,
    secrets: SecretBox | None = None,
    signer: Signer | None = None,
) -> Handler:
    """The Lambda handler over these adapters: the same one at home and in AWS."""
    return ControlPlane(store, clock, queries=queries, secrets=secrets, signer=signer).handle


def handler(event: Mapping[str, Any], context: Any) -> dict[str, Any]:
    """The load-balancer answer to a load-balancer event, in AWS.

    Raises:
        InvalidRequest: the function's environment names no table.
    """
    _, handle = in_aws(ControlPlaneSettings.from_environment(os.environ))
    return handle(event, context)


@lru_cache(maxsize=1)
def in_aws(settings: ControlPlaneSettings) -> tuple[ControlStore, Handler]:
    """The control plane on DynamoDB, KMS and the audit bucket, and its store; one per process."""
    # No home has boto3, and this module is its door too.
    from aws.audit_bucket import AuditBucket
    from aws.audit_search import BucketSearch
    from aws.clients import client
    from aws.control_table import DynamoControlStore
    from aws.key_service import KmsSecretBox
    from aws.signing_key import KmsSigner

    clock = SystemClock()
    region, kms = settings.region, client("kms", settings.region)
    store = DynamoControlStore(client("dynamodb", region), settings.table, clock)
    handle = make_handler(
        store,
        clock,
        queries=BucketSearch(AuditBucket(client("s3", region), settings.audit_bucket))
        if settings.audit_bucket
        else None,
        secrets=KmsSecretBox(kms, settings.secrets_key) if settings.secrets_key else None,
        signer=KmsSigner(kms, settings.signing_key) if settings.signing_key else None,
    )
    return store, handle
