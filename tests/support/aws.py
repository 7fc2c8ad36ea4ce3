"""AWS for tests: moto's services in this process, with what moto gets wrong put right."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import boto3
import pytest
from moto import mock_aws

from aws.control_table import DynamoControlStore
from aws.names import LOOKUP_INDEX, LOOKUP_KEY, PARTITION_KEY, SORT_KEY, UNIQUE_INDEX, UNIQUE_KEY
from local.clock import SystemClock

REGION = "eu-central-1"
TABLE = "control"


class OneAtATime:
    """A boto3 client each of whose calls is one step: moto's tables are not safe for threads, DynamoDB's are."""

    _lock = threading.RLock()

    def __init__(self, client: Any) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._client, name)
        if not callable(found) or name in ("get_paginator", "close"):
            return found if name != "get_paginator" else lambda operation: _Paginator(self, operation)

        def call(*arguments: Any, **keywords: Any) -> Any:
            with self._lock:
                return found(*arguments, **keywords)

        return call


class _Paginator:
    """boto3's paginator over a client that is called one at a time."""

    def __init__(self, client: OneAtATime, operation: str) -> None:
        self._client, self._operation = client, operation

    def paginate(self, **keywords: Any) -> Iterator[Any]:
        pages = self._client._client.get_paginator(self._operation).paginate(**keywords)
        pages._method = getattr(self._client, self._operation)
        return iter(pages)


@contextmanager
def in_aws() -> Iterator[None]:
    """Everything boto3 does goes to moto, with credentials that open nothing."""
    named = {
        "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_SESSION_TOKEN": "test",
        "AWS_DEFAULT_REGION": REGION, "AWS_REGION": REGION, "AWS_EC2_METADATA_DISABLED": "true",
    }  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL"):
            patch.delenv(name, raising=False)
        for name, value in named.items():
            patch.setenv(name, value)
        with mock_aws():
            yield


def table_definition(name: str = TABLE) -> dict[str, Any]:
    """The control table as `create_table` takes it; the stacks make the same (tests/cdk compares)."""
    keys = (PARTITION_KEY, SORT_KEY, UNIQUE_KEY, LOOKUP_KEY)
    return {
        "TableName": name,
        "AttributeDefinitions": [{"AttributeName": key, "AttributeType": "S"} for key in keys],
        "KeySchema": _schema(SORT_KEY),
        "LocalSecondaryIndexes": [
            {"IndexName": index, "KeySchema": _schema(key), "Projection": {"ProjectionType": "ALL"}}
            for index, key in ((UNIQUE_INDEX, UNIQUE_KEY), (LOOKUP_INDEX, LOOKUP_KEY))
        ],
        "BillingMode": "PAY_PER_REQUEST",
    }


def _schema(sort: str) -> list[dict[str, str]]:
    return [{"AttributeName": PARTITION_KEY, "KeyType": "HASH"}, {"AttributeName": sort, "KeyType": "RANGE"}]


@contextmanager
def control_stores() -> Iterator[Callable[[], DynamoControlStore]]:
    """A new control table; what is yielded opens it once more, as another process would."""
    with in_aws():
        boto3.client("dynamodb").create_table(**table_definition())
        yield lambda: DynamoControlStore(OneAtATime(boto3.client("dynamodb")), TABLE, SystemClock())
