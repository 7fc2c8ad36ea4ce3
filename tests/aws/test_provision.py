"""What is laid into the data bucket is what nodes read there, and a seed is never replaced."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest

from aws.node_identity import FILES, NodeIdentity, read_identity
from aws.provision import lay_identity, lay_volume_seed
from aws.volume_seed import read_volume_seed
from governance.errors import Conflict, SourceUnavailable
from governance.volume_key import SEED_BYTES_MIN
from tests.support.aws import REGION, in_aws


@pytest.fixture
def key() -> Iterator[str]:
    with in_aws():
        boto3.client("s3").create_bucket(Bucket="data", CreateBucketConfiguration={"LocationConstraint": REGION})
        yield boto3.client("kms").create_key()["KeyMetadata"]["Arn"]


def test_w2_2_a_seed_is_made_sealed_once_and_opened_by_nodes_of_its_environment(key: str) -> None:
    s3, kms = boto3.client("s3"), boto3.client("kms")
    name = lay_volume_seed(REGION, "data", "production", key, s3=s3, kms=kms)
    held = s3.get_object(Bucket="data", Key=name)["Body"].read()
    seed = read_volume_seed(REGION, "data", "production", key, s3=s3, kms=kms)
    assert len(seed) >= SEED_BYTES_MIN
    assert seed not in held
    with pytest.raises(Conflict):
        lay_volume_seed(REGION, "data", "production", key, s3=s3, kms=kms)
    assert read_volume_seed(REGION, "data", "production", key, s3=s3, kms=kms) == seed
    s3.copy_object(Bucket="data", Key=name.replace("production", "staging"), CopySource=f"data/{name}")
    with pytest.raises(SourceUnavailable):
        read_volume_seed(REGION, "data", "staging", key, s3=s3, kms=kms)


def test_an_identity_that_was_laid_is_the_one_that_is_read(key: str, tmp_path: Path) -> None:
    s3, kms = boto3.client("s3"), boto3.client("kms")
    identity = NodeIdentity({name: f"-----BEGIN {name}-----".encode() for name in FILES}, bytes(range(32)))
    name = lay_identity(REGION, "data", "production", key, identity, s3=s3, kms=kms)
    found = read_identity(REGION, "data", name, "production", key, s3=s3, kms=kms)
    assert (dict(found.files), found.mask_key) == (dict(identity.files), identity.mask_key)


def test_a_bucket_that_refuses_is_told_without_a_trace(key: str) -> None:
    with pytest.raises(SourceUnavailable) as refusal:
        lay_volume_seed(REGION, "gone", "production", key, s3=boto3.client("s3"), kms=boto3.client("kms"))
    assert refusal.value.reason == "NoSuchBucket"
