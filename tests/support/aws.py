"""AWS for tests: moto's services in this process, with what moto gets wrong put right."""

from __future__ import annotations

import copy
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import boto3
import pytest
from botocore.config import Config
from moto import mock_aws
from moto.dynamodb.models.table import Table
from moto.server import ThreadedMotoServer

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
        if name == "get_paginator":
            return lambda operation: Paginator(self, self._client, operation)
        if name == "close":
            return lambda: None

        def call(*arguments: Any, **keywords: Any) -> Any:
            with self._lock:
                return found(*arguments, **keywords)

        return call


class Paginator:
    """boto3's paginator whose calls go through `caller`, a stand-in for the client it was made of."""

    def __init__(self, caller: Any, client: Any, operation: str) -> None:
        self._caller, self._client, self._operation = caller, client, operation

    def paginate(self, **keywords: Any) -> Iterator[Any]:
        pages = self._client.get_paginator(self._operation).paginate(**keywords)
        pages._method = getattr(self._caller, self._operation)
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
        # moto copies the whole table for each item of a transaction; only what a put or delete replaces must be kept.
        patch.setattr(Table, "__deepcopy__", _kept_aside, raising=False)
        with mock_aws():
            yield


def _kept_aside(table: Table, _: dict[int, Any]) -> Table:
    twin = copy.copy(table)
    twin.items = defaultdict(dict, {key: dict(items) for key, items in table.items.items()})
    return twin


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
        client = dynamodb()
        client.create_table(**table_definition())
        yield lambda: DynamoControlStore(client, TABLE, SystemClock(), wait_s=60)


@lru_cache(maxsize=1)
def dynamodb() -> OneAtATime:
    """A client for all tests: it takes longest to make."""
    return OneAtATime(boto3.client("dynamodb", config=Config(retries={"total_max_attempts": 1})))


class Recording:
    """A WSGI application in front of moto's that notes which right each request takes, as IAM names it."""

    def __init__(self, application: Any) -> None:
        self._application = application
        self.rights: list[tuple[str, str]] = []
        """(action, bucket or key)."""
        self.before: Callable[[str], None] = lambda action: None

    def __call__(self, environ: dict[str, Any], start: Any) -> Any:
        action, resource = _right(environ)
        self.rights.append((action, resource))
        self.before(action)
        return self._application(environ, start)


def _right(environ: dict[str, Any]) -> tuple[str, str]:
    target = environ.get("HTTP_X_AMZ_TARGET", "")
    if target:
        service, _, operation = target.partition(".")
        return f"{'kms' if service == 'TrentService' else service}:{operation}", ""
    bucket, _, key = environ["PATH_INFO"].lstrip("/").partition("/")
    method, query = environ["REQUEST_METHOD"], environ.get("QUERY_STRING", "")
    if method in ("GET", "HEAD") and key and not query.startswith(("acl", "tagging", "retention")):
        return "s3:GetObject", bucket
    if method == "GET" and "list-type=2" in query:
        return "s3:ListBucket", bucket
    if method == "PUT" and key and "partNumber" not in query:
        return "s3:PutObject", bucket
    return f"s3:{method} {query.partition('=')[0]}", bucket


@dataclass
class RunningAws:
    """moto's services as a server on loopback."""

    endpoint: str
    recording: Recording

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs to find it; the credentials open nothing."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint, "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_EC2_METADATA_DISABLED": "true",
        }  # fmt: skip

    def client(self, service: str) -> Any:
        """A client of a service there."""
        return boto3.client(
            service, endpoint_url=self.endpoint, region_name=REGION,
            aws_access_key_id="test", aws_secret_access_key="test",
        )  # fmt: skip


@contextmanager
def running_aws() -> Iterator[RunningAws]:
    """moto's server on a free port of loopback, stopped at the end."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        assert server._server is not None
        recording = Recording(server._server.app)
        server._server.app = recording
        host, port = server.get_host_and_port()
        yield RunningAws(f"http://{host}:{port}", recording)
    finally:
        server.stop()
