"""The audit store on S3: put once, checked, locked by the bucket; archived objects named and restored."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from botocore.exceptions import ConnectTimeoutError
from botocore.stub import ANY, Stubber

from aws.audit_bucket import AuditBucket
from governance.audit_shelf import ObjectArchived, Restore, Speed, Tier
from tests.support.aws import REGION, in_aws

BUCKET = "audit"
NAME = "queries/2026/11/22/20261122T030000.000000Z-node-1.q-0000000001-0123456789ab.jsonl.gz"


@pytest.fixture
def s3() -> Iterator[Any]:
    with in_aws():
        client = boto3.client("s3")
        where = {"LocationConstraint": REGION}
        client.create_bucket(Bucket=BUCKET, CreateBucketConfiguration=where, ObjectLockEnabledForBucket=True)
        client.put_object_lock_configuration(
            Bucket=BUCKET,
            ObjectLockConfiguration={
                "ObjectLockEnabled": "Enabled",
                "Rule": {"DefaultRetention": {"Mode": "GOVERNANCE", "Years": 7}},
            },
        )
        yield client


@pytest.fixture
def bucket(s3: Any) -> AuditBucket:
    return AuditBucket(s3, BUCKET)


def test_w5_3_an_object_is_laid_down_once_below_audit(s3: Any, bucket: AuditBucket) -> None:
    assert bucket.put_new(NAME, b"first") is True
    assert bucket.put_new(NAME, b"second") is False
    assert bucket.get(NAME) == b"first"
    assert bucket.names("queries/2026/") == [NAME]
    assert [entry["Key"] for entry in s3.list_objects_v2(Bucket=BUCKET)["Contents"]] == ["audit/" + NAME]
    assert len(s3.list_object_versions(Bucket=BUCKET)["Versions"]) == 1


def test_w5_10_what_is_put_stands_under_the_buckets_retention(bucket: AuditBucket) -> None:
    bucket.put_new(NAME, b"x")
    facts = bucket.facts(NAME)
    assert facts.lock == "GOVERNANCE"
    assert facts.retained_until is not None
    assert facts.retained_until > datetime.now(UTC) + timedelta(days=7 * 365 - 1)
    assert facts.item.tier is Tier.STANDARD
    assert facts.item.readable


def test_w6_4_a_put_is_one_request_with_a_checksum_and_a_condition(s3: Any) -> None:
    digest = base64.b64encode(hashlib.sha256(b"data").digest()).decode()
    with Stubber(s3) as stub:
        stub.add_response(
            "put_object",
            {},
            {
                "Bucket": BUCKET, "Key": "audit/" + NAME, "Body": b"data", "ContentLength": 4, "ContentType": ANY,
                "ChecksumAlgorithm": "SHA256", "ChecksumSHA256": digest, "IfNoneMatch": "*",
                "ExpectedBucketOwner": "111122223333",
            },
        )  # fmt: skip
        assert AuditBucket(s3, BUCKET, owner="111122223333").put_new(NAME, b"data")
        stub.assert_no_pending_responses()


@pytest.mark.parametrize(
    "code", ["AccessDenied", "SlowDown", "InternalError", "ConditionalRequestConflict", "NoSuchBucket", "BadDigest"]
)
def test_every_refusal_is_an_oserror_that_quotes_nothing(s3: Any, bucket: AuditBucket, code: str) -> None:
    with Stubber(s3) as stub:
        stub.add_client_error("put_object", code, "audit/secret is not yours", 409)
        with pytest.raises(OSError, match=code) as said:
            bucket.put_new(NAME, b"x")
    assert "secret" not in str(said.value)
    assert not isinstance(said.value, FileNotFoundError)


def test_a_store_that_does_not_answer_is_an_oserror(bucket: AuditBucket, monkeypatch: pytest.MonkeyPatch) -> None:
    def silent(**_: Any) -> None:
        raise ConnectTimeoutError(endpoint_url="https://secret.example")

    monkeypatch.setattr(bucket._client, "put_object", silent)
    with pytest.raises(OSError, match="ConnectTimeoutError") as said:
        bucket.put_new(NAME, b"x")
    assert "secret" not in str(said.value)


@pytest.mark.parametrize("name", ["../x", "/x", "a//b", "a/.b", "", "a b", "x/" * 11 + "x"])
def test_what_is_no_name_of_an_object_is_refused(bucket: AuditBucket, name: str) -> None:
    with pytest.raises(ValueError, match="name"):
        bucket.put_new(name, b"x")
    with pytest.raises(ValueError, match="name"):
        bucket.get(name)


def test_a_missing_object_is_a_missing_file(bucket: AuditBucket) -> None:
    with pytest.raises(FileNotFoundError):
        bucket.get(NAME)
    with pytest.raises(FileNotFoundError):
        bucket.facts(NAME)


@pytest.mark.parametrize(("storage", "tier"), [("GLACIER", Tier.GLACIER), ("DEEP_ARCHIVE", Tier.DEEP_ARCHIVE)])
def test_w5_9_an_archived_object_says_so_and_is_restored_on_request(
    s3: Any, bucket: AuditBucket, storage: str, tier: Tier
) -> None:
    s3.put_object(Bucket=BUCKET, Key="audit/" + NAME, Body=b"old", StorageClass=storage, ChecksumAlgorithm="SHA256")
    (item,) = bucket.items("queries/")
    assert (item.tier, item.restore, item.readable) == (tier, Restore.NONE, False)
    with pytest.raises(ObjectArchived):
        bucket.get(NAME)
    assert bucket.restore(NAME, days=7, speed=Speed.BULK) in (Restore.ONGOING, Restore.READY)
    assert bucket.restore(NAME, days=7, speed=Speed.BULK) in (Restore.ONGOING, Restore.READY)
    assert bucket.facts(NAME).item.readable  # moto restores at once
    assert bucket.get(NAME) == b"old"


def test_a_restore_under_way_is_not_asked_for_twice(s3: Any, bucket: AuditBucket) -> None:
    head = {"ContentLength": 1, "LastModified": datetime.now(UTC), "StorageClass": "DEEP_ARCHIVE"}
    with Stubber(s3) as stub:
        stub.add_response("head_object", head)
        stub.add_client_error("restore_object", "RestoreAlreadyInProgress", http_status_code=409)
        stub.add_response("head_object", {**head, "Restore": 'ongoing-request="true"'})
        stub.add_response("head_object", {**head, "Restore": 'ongoing-request="true"'})
        assert bucket.restore(NAME, days=1, speed=Speed.STANDARD) is Restore.ONGOING
        assert bucket.restore(NAME, days=1, speed=Speed.STANDARD) is Restore.ONGOING
        stub.assert_no_pending_responses()


def test_listings_go_on_from_where_one_left_off(bucket: AuditBucket) -> None:
    for number in range(5):
        bucket.put_new(f"queries/2026/11/22/{number}", b"x")
    assert [item.name[-1] for item in bucket.items("queries/", after="queries/2026/11/22/2")] == ["3", "4"]
