"""`hatidata audit restore` against the very function it calls, over a bucket with an archive."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from typer.testing import CliRunner

import aws.clients
from aws.function_call import call_function
from cli.exits import UsageWrong
from cli.main import app
from governance.errors import InvalidRequest, StoreUnavailable
from lambdas.audit_tiering.handler import handler
from tests.lambdas.test_audit_tiering import SETTINGS
from tests.support.aws import REGION, in_aws

DAY = "audit/queries/2026/01/05/"


class Lambda:
    """Lambda as boto3 shows it, over the real handler."""

    def __init__(self) -> None:
        self.called: list[dict[str, Any]] = []
        self.answer: dict[str, Any] | None = None
        self.error: Exception | None = None

    def invoke(self, *, FunctionName: str, Payload: bytes) -> dict[str, Any]:
        event = json.loads(Payload)
        self.called.append(event | {"function": FunctionName})
        if self.error is not None:
            raise self.error
        if self.answer is not None:
            return self.answer
        return {"Payload": io.BytesIO(json.dumps(handler(event, None)).encode())}


@pytest.fixture
def function(monkeypatch: pytest.MonkeyPatch) -> Iterator[Lambda]:
    with in_aws():
        s3 = boto3.client("s3", REGION)
        s3.create_bucket(Bucket="audit", CreateBucketConfiguration={"LocationConstraint": REGION})
        for name in "abc":
            s3.put_object(Bucket="audit", Key=f"{DAY}{name}", Body=b"x", StorageClass="DEEP_ARCHIVE")
        s3.put_object(Bucket="audit", Key=f"{DAY}d", Body=b"x")
        s3.put_object(Bucket="audit", Key="audit/queries/2026/01/06/a", Body=b"x", StorageClass="GLACIER")
        for name, value in SETTINGS.environment().items():
            monkeypatch.setenv(name, value)
        fake = Lambda()
        real = aws.clients.client
        monkeypatch.setattr(aws.clients, "client", lambda s, r="": fake if s == "lambda" else real(s, r))
        yield fake


def run(*words: str) -> Any:
    return CliRunner().invoke(app, ["audit", "restore", "--region", REGION, *words], catch_exceptions=True)


def test_w5_9_a_day_is_restored_and_followed_from_the_command_line(function: Lambda) -> None:
    told = json.loads(run("--from", "2026-01-05", "--status", "--json").stdout)
    assert told == {"objects": {f"queries/2026/01/05/{n}": "none" for n in "abc"}, "at_hand": 1}
    told = json.loads(run("--from", "2026-01-05", "--json", "--days", "3").stdout)
    assert set(told["objects"]) == {f"queries/2026/01/05/{n}" for n in "abc"}
    assert set(told["objects"].values()) <= {"ongoing", "ready"}
    assert function.called[-1]["function"] == "hatidata-audit-tiering"
    assert function.called[-1]["days"] == 3
    restored = boto3.client("s3", REGION).head_object(Bucket="audit", Key=f"{DAY}a")
    assert restored["Restore"]
    assert "Restore" not in boto3.client("s3", REGION).head_object(Bucket="audit", Key="audit/queries/2026/01/06/a")
    shown = run("queries/2026/01/06/a", "queries/none")
    assert shown.exit_code == 0
    assert "there is no such object" in shown.stdout


def test_what_cannot_be_meant_is_refused(function: Lambda) -> None:
    for words in ([], ["queries/x", "--from", "2026-01-05"]):
        assert isinstance(run(*words).exception, UsageWrong)
    assert function.called == []
    for words in (
        ["--from", "yesterday"],
        ["--from", "2026-01-05", "--to", "2026-01-04"],
        ["queries/x", "--speed", "now"],
    ):
        assert isinstance(run(*words).exception, InvalidRequest)


@pytest.mark.parametrize(
    "answer",
    [
        {"FunctionError": "Unhandled", "Payload": io.BytesIO(b'{"errorMessage": "secret trace"}')},
        {"Payload": io.BytesIO(b"[]")},
        {"Payload": io.BytesIO(b"no json")},
    ],
)
def test_a_function_that_fails_is_said_in_our_words(answer: dict[str, Any]) -> None:
    fake = Lambda()
    fake.answer = answer
    with pytest.raises(StoreUnavailable) as error:
        call_function(fake, "f", {})
    assert "secret" not in str(error.value.message)


@pytest.mark.parametrize(
    "failure",
    [
        ClientError({"Error": {"Code": "AccessDeniedException", "Message": "user arn:aws:iam::1:x is not"}}, "Invoke"),
        EndpointConnectionError(endpoint_url="https://lambda.nowhere"),
    ],
)
def test_a_call_that_is_not_let_in_is_said_in_our_words(failure: Exception) -> None:
    fake = Lambda()
    fake.error = failure
    with pytest.raises(StoreUnavailable) as error:
        call_function(fake, "f", {})
    assert "arn" not in error.value.message
    assert "nowhere" not in error.value.message
