"""Checkpoints in AWS: the real handler over DynamoDB, S3 and KMS on moto, checked by openssl as the page says."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest

from aws import clients
from aws.audit_bucket import AuditBucket
from aws.signing_key import KmsSigner
from governance import chain
from governance.checkpoints import Checkpoint, compare
from governance.ports import ControlStore
from lambdas.chain_checkpoint.handler import handler
from lambdas.chain_checkpoint.settings import ChainCheckpointSettings
from lambdas.control_plane.bootstrap import bootstrap
from local.clock import SystemClock
from tests.support.aws import REGION, TABLE, control_stores


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[ControlStore]:
    with control_stores() as opened:
        clients.client.cache_clear()
        boto3.client("s3").create_bucket(Bucket="audit", CreateBucketConfiguration={"LocationConstraint": REGION})
        key = boto3.client("kms").create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")["KeyMetadata"]["Arn"]
        for name, value in ChainCheckpointSettings(TABLE, "audit", key).environment().items():
            monkeypatch.setenv(name, value)
        store = opened()
        bootstrap(
            store, environment="staging", organization_id="1", organization_name="Acme",
            owner_email="olga@acme.example", clock=SystemClock(),
        )  # fmt: skip
        yield store
        clients.client.cache_clear()


def test_every_chain_gets_a_checkpoint_that_openssl_believes(store: ControlStore, tmp_path: Path) -> None:
    names = handler({}, None)["names"]
    audit = AuditBucket(boto3.client("s3"), "audit")
    found = {Checkpoint.decode(audit.get(name)).environment: name for name in names}
    assert set(found) == {"production", "staging"}
    for environment, name in found.items():
        checkpoint = Checkpoint.decode(audit.get(name))
        with store.read() as reader:
            lines = reader.events(environment, after=0, limit=100)
        verified = chain.verify(lines, environment, marks={checkpoint.sequence})
        assert verified.holds
        assert compare(environment, verified.count, verified.marked, [(name, checkpoint)]) == []
    settings = ChainCheckpointSettings.from_environment(os.environ)
    (tmp_path / "key").write_bytes(KmsSigner(boto3.client("kms"), settings.signing_key).public_key())
    (tmp_path / "file").write_bytes(audit.get(names[0]))
    (tmp_path / "sig").write_bytes(audit.get(names[0].removesuffix(".json") + ".sig"))
    command = ["openssl", "dgst", "-sha256", "-verify", "key", "-signature", "sig", "file"]
    assert subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=30, check=False).returncode == 0


def test_an_idle_chain_gets_one_again(store: ControlStore) -> None:
    first, second = handler({}, None)["names"], handler({}, None)["names"]
    assert len({*first, *second}) == 4
