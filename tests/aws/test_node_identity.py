"""A node's identity: opened by the right key for the right environment, whole, and by nothing else."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from aws.names import identity_key
from aws.node_identity import FILES, NodeIdentity, read_identity, seal_identity
from governance.errors import InvalidRequest, SourceUnavailable
from tests.support.aws import REGION, in_aws

IDENTITY = NodeIdentity({name: f"-----BEGIN {name}-----".encode() for name in FILES}, bytes(range(32)))
NAME = identity_key("production")


@pytest.fixture(scope="module")
def key() -> Iterator[str]:
    with in_aws():
        boto3.client("s3").create_bucket(Bucket="data", CreateBucketConfiguration={"LocationConstraint": REGION})
        yield boto3.client("kms").create_key()["KeyMetadata"]["Arn"]


def lay(body: bytes) -> None:
    boto3.client("s3").put_object(Bucket="data", Key=NAME, Body=body)


def read(key: str, environment: str = "production") -> NodeIdentity:
    return read_identity(REGION, "data", NAME, environment, key, s3=boto3.client("s3"), kms=boto3.client("kms"))


def test_what_was_sealed_is_what_is_read_and_lies_for_its_owner_only(key: str, tmp_path: Path) -> None:
    lay(seal_identity(IDENTITY, "production", key, kms=boto3.client("kms")))
    found = read(key)
    assert found == IDENTITY
    for _ in range(2):  # a restart lays it anew
        found.lay(tmp_path / "tls")
    for name in FILES:
        assert (tmp_path / "tls" / name).read_bytes() == IDENTITY.files[name]
        assert stat.S_IMODE((tmp_path / "tls" / name).stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "tls").stat().st_mode) == 0o700
    assert len(list((tmp_path / "tls").iterdir())) == len(FILES)


def test_an_identity_of_another_environment_does_not_open(key: str) -> None:
    lay(seal_identity(IDENTITY, "staging", key, kms=boto3.client("kms")))
    with pytest.raises(SourceUnavailable):
        read(key)


def test_another_key_does_not_open_it(key: str) -> None:
    lay(seal_identity(IDENTITY, "production", key, kms=boto3.client("kms")))
    with pytest.raises(SourceUnavailable):
        read(boto3.client("kms").create_key()["KeyMetadata"]["Arn"])


def test_nothing_of_it_stands_in_clear_and_any_change_is_noticed(key: str) -> None:
    sealed = seal_identity(IDENTITY, "production", key, kms=boto3.client("kms"))
    assert b"BEGIN" not in sealed
    document: dict[str, Any] = json.loads(sealed)
    for part in ("key", "nonce", "data"):
        text = document[part]
        other = "A" if text[8] != "A" else "B"
        lay(json.dumps({**document, part: text[:8] + other + text[9:]}).encode())
        with pytest.raises(SourceUnavailable):
            read(key)
    for wrong in (b"", b"{}", b"[]", b"null", json.dumps({**document, "v": 2}).encode(), b"x" * (1 << 20) + b"x"):
        lay(wrong)
        with pytest.raises(SourceUnavailable):
            read(key)


def test_an_identity_tells_nothing_of_itself_and_must_be_whole() -> None:
    assert "BEGIN" not in repr(IDENTITY)
    assert repr(IDENTITY.mask_key) not in repr(IDENTITY)
    for files, mask_key in (
        ({}, b""),
        ({**IDENTITY.files, "more": b"x"}, b""),
        ({**IDENTITY.files, "ca.crt": b""}, b""),
        (IDENTITY.files, b"short"),
    ):
        with pytest.raises(InvalidRequest):
            NodeIdentity(files, mask_key)
