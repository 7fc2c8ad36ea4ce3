"""The seed, from bucket and key as moto plays them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws

from aws.names import volume_seed_key
from aws.volume_seed import read_volume_seed, seed_context
from governance.errors import SourceUnavailable

REGION = "eu-central-1"


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Any, Any, str]]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with mock_aws():
        s3, kms = boto3.client("s3", REGION), boto3.client("kms", REGION)
        s3.create_bucket(Bucket="lake", CreateBucketConfiguration={"LocationConstraint": REGION})
        key = kms.create_key()["KeyMetadata"]["Arn"]
        sealed = kms.generate_data_key_without_plaintext(
            KeyId=key, NumberOfBytes=32, EncryptionContext=seed_context("production")
        )
        s3.put_object(Bucket="lake", Key=volume_seed_key("production"), Body=sealed["CiphertextBlob"])
        yield s3, kms, key


def test_w2_2_the_seed_comes_from_the_customers_key(account: tuple[Any, Any, str]) -> None:
    s3, kms, key = account
    seed = read_volume_seed(REGION, "lake", "production", key, s3=s3, kms=kms)
    assert len(seed) == 32
    assert seed == read_volume_seed(REGION, "lake", "production", key, s3=s3, kms=kms)


def test_another_environments_seed_does_not_open(account: tuple[Any, Any, str]) -> None:
    s3, kms, key = account
    body = s3.get_object(Bucket="lake", Key=volume_seed_key("production"))["Body"].read()
    s3.put_object(Bucket="lake", Key=volume_seed_key("staging"), Body=body)
    with pytest.raises(SourceUnavailable) as refusal:
        read_volume_seed(REGION, "lake", "staging", key, s3=s3, kms=kms)
    assert refusal.value.reason == "InvalidCiphertextException" or "Error" in refusal.value.reason


@pytest.mark.parametrize("body", [b"", b"x" * 7000, b"no ciphertext"])
def test_what_is_no_seed_is_refused(account: tuple[Any, Any, str], body: bytes) -> None:
    s3, kms, key = account
    s3.put_object(Bucket="lake", Key=volume_seed_key("production"), Body=body)
    with pytest.raises(SourceUnavailable):
        read_volume_seed(REGION, "lake", "production", key, s3=s3, kms=kms)


def test_a_seed_that_was_never_made_is_refused(account: tuple[Any, Any, str]) -> None:
    s3, kms, key = account
    with pytest.raises(SourceUnavailable, match="cannot be read"):
        read_volume_seed(REGION, "lake", "test", key, s3=s3, kms=kms)
