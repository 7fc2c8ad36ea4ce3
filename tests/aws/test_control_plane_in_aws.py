"""The control plane as Lambda runs it: composed from its environment on DynamoDB, KMS and the audit bucket."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest

import aws.clients
from aws.signing_key import KmsSigner
from governance.bundle import MANIFEST_HEADER, SIGNATURE_HEADER, Manifest, from_header
from governance.signatures import verifier
from lambdas.control_plane import handler as door
from lambdas.control_plane.bootstrap import bootstrap
from lambdas.control_plane.long_poll import handler as long_polls
from local.clock import SystemClock
from tests.support.aws import REGION, TABLE, control_stores

KEYS = "/v1/environments/production/keys"


@pytest.fixture
def key(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The Owner's key of a control plane in AWS."""
    with control_stores() as open_:
        kms = boto3.client("kms")
        boto3.client("s3").create_bucket(Bucket="audit", CreateBucketConfiguration={"LocationConstraint": REGION})
        signing = kms.create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")["KeyMetadata"]["Arn"]
        for name, value in {
            "HATIDATA_CONTROL_TABLE": TABLE, "HATIDATA_AUDIT_BUCKET": "audit", "HATIDATA_SIGNING_KEY": signing,
            "HATIDATA_SECRETS_KEY": kms.create_key()["KeyMetadata"]["Arn"],
        }.items():  # fmt: skip
            monkeypatch.setenv(name, value)
        for cached in (aws.clients.client, door.in_aws):
            cached.cache_clear()
        yield bootstrap(
            open_(), environment="production", organization_id="1", organization_name="Acme",
            owner_email="olga@acme.example", clock=SystemClock(),
        )  # fmt: skip
        for cached in (aws.clients.client, door.in_aws):
            cached.cache_clear()


def call(
    method: str,
    path: str,
    body: Any = None,
    *,
    key: str = "",
    headers: dict[str, str] | None = None,
    through: Callable[[Any, Any], dict[str, Any]] = door.handler,
    **query: str,
) -> tuple[int, dict[str, list[str]], Any]:
    given = {"x-forwarded-for": "10.0.0.9", "content-type": "application/json", **(headers or {})}
    if key:
        given["authorization"] = f"Bearer {key}"
    answer = through(
        {
            "requestContext": {"elb": {"targetGroupArn": "test"}}, "httpMethod": method, "path": path,
            "multiValueHeaders": {name: [value] for name, value in given.items()},
            "multiValueQueryStringParameters": {name: [value] for name, value in query.items()},
            "body": json.dumps(body) if body is not None else "", "isBase64Encoded": False,
        },
        None,
    )  # fmt: skip
    text = answer["body"]
    return answer["statusCode"], answer["multiValueHeaders"], json.loads(text) if text else None


def test_the_handler_administers_and_the_chain_holds(key: str) -> None:
    assert call("GET", "/v1/health")[0] == 200
    assert call("GET", "/v1/whoami", key=key)[2]["email"] == "olga@acme.example"
    status, _, ana = call(
        "POST", "/v1/users", {"email": "ana@acme.example", "role": "analyst", "organization": "1"}, key=key
    )
    assert status == 201, ana
    again = call("POST", "/v1/users", {"email": "ana@acme.example", "role": "analyst", "organization": "1"}, key=key)
    assert again[0] == 409
    status, _, made = call("POST", KEYS, {"name": "work", "user": ana["id"], "scopes": ["read_only"]}, key=key)
    assert status == 201, made
    assert call("GET", "/v1/whoami", key=made["key"])[2]["user_id"] == ana["id"]
    assert call("DELETE", f"{KEYS}/{made['id']}", key=key)[0] == 200
    assert call("GET", "/v1/whoami", key=made["key"])[0] == 401
    proved = call("GET", "/v1/environments/production/audit/admin/verify-chain", key=key)[2]
    assert proved["holds"]
    assert proved["count"] >= 7
    assert call("GET", "/v1/whoami", key="hd_live_" + "a" * 32)[0] == 401


def test_a_rulebook_is_signed_by_kms(key: str) -> None:
    subject = {"x-amzn-mtls-clientcert-subject": "CN=hatidata-node,O=HatiData"}
    status, headers, _ = call("GET", "/v1/nodes/rulebook", headers={**subject, "accept-encoding": "identity"})
    assert status == 200
    told = {name.lower(): values[0] for name, values in headers.items()}
    manifest = from_header(told[MANIFEST_HEADER.lower()])
    public = KmsSigner(boto3.client("kms"), os.environ["HATIDATA_SIGNING_KEY"]).public_key()
    holds = verifier(public)
    assert holds(manifest, from_header(told[SIGNATURE_HEADER.lower()]))
    assert Manifest.decode(manifest).environment == "production"


def test_w3_6_a_revocation_ends_a_long_poll_at_once(key: str) -> None:
    headers = {"x-amzn-mtls-clientcert-subject": "CN=hatidata-node,O=HatiData", "accept-encoding": "identity"}
    etag = call("GET", "/v1/nodes/rulebook", headers=headers)[1]["ETag"][0]
    waiting: dict[str, Any] = {}

    def wait() -> None:
        waiting["answer"] = call(
            "GET", "/v1/nodes/rulebook", headers={**headers, "if-none-match": etag}, wait_s="25", through=long_polls
        )

    thread = threading.Thread(target=wait)
    thread.start()
    own = call("GET", "/v1/whoami", key=key)[2]
    began = time.monotonic()
    status, _, _ = call("DELETE", f"{KEYS}/{own['key_id']}", key=key)
    assert status == 200
    thread.join(30)
    assert waiting["answer"][0] == 200
    assert waiting["answer"][1]["ETag"][0] != etag
    assert time.monotonic() - began < 20  # the emulator's own slowness; a look every second


def test_the_query_audit_is_searched_in_the_bucket(key: str) -> None:
    status, _, page = call("GET", "/v1/environments/production/audit/queries", key=key)
    assert (status, page["items"], page["next"]) == (200, [], None)


def test_a_function_that_is_told_no_table_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HATIDATA_CONTROL_TABLE", raising=False)
    with pytest.raises(Exception, match="HATIDATA_CONTROL_TABLE"):
        door.handler({}, None)
