"""The KMS signer: what it signs is checked by the law's verifier and by `openssl`."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aws.signing_key import KmsSigner
from governance.errors import StoreUnavailable
from governance.signatures import verifier
from tests.support.aws import in_aws


@pytest.fixture(scope="module")
def kms() -> Iterator[Any]:
    with in_aws():
        yield boto3.client("kms")


@pytest.fixture(scope="module")
def signer(kms: Any) -> KmsSigner:
    return KmsSigner(kms, kms.create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")["KeyMetadata"]["Arn"])


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(min_size=1, max_size=4096), st.binary(min_size=1, max_size=40))
def test_what_kms_signs_holds_and_nothing_else_does(signer: KmsSigner, data: bytes, more: bytes) -> None:
    holds = verifier(signer.public_key())
    signature = signer.sign(data)
    assert holds(data, signature)
    assert not holds(data + more, signature)


def test_openssl_agrees(signer: KmsSigner, tmp_path: Path) -> None:
    data = b"a manifest\n" * 300
    for name, content in (("data", data), ("sig", signer.sign(data)), ("pub", signer.public_key())):
        (tmp_path / name).write_bytes(content)
    command = ["openssl", "dgst", "-sha256", "-verify", "pub", "-signature", "sig", "data"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "Verified OK")


def test_what_is_longer_than_kms_takes_goes_as_its_digest(kms: Any) -> None:
    data = b"x" * 4097
    asked = {
        "KeyId": "key", "Message": hashlib.sha256(data).digest(), "MessageType": "DIGEST",
        "SigningAlgorithm": "ECDSA_SHA_256",
    }  # fmt: skip
    with Stubber(kms) as stub:  # moto hashes a digest once more
        stub.add_response("sign", {"Signature": b"s"}, asked)
        assert KmsSigner(kms, "key").sign(data) == b"s"


def test_a_key_of_another_kind_is_refused(kms: Any) -> None:
    other = kms.create_key(KeySpec="RSA_2048", KeyUsage="SIGN_VERIFY")["KeyMetadata"]["Arn"]
    with pytest.raises(StoreUnavailable, match="another kind"):
        KmsSigner(kms, other).public_key()


@pytest.mark.parametrize("code", ["AccessDeniedException", "DisabledException", "KMSInvalidStateException"])
def test_a_key_that_may_not_be_used_is_said_in_our_words(kms: Any, code: str) -> None:
    with Stubber(kms) as stub:
        stub.add_client_error("sign", code, "arn:aws:kms:secret")
        with pytest.raises(StoreUnavailable) as said:
            KmsSigner(kms, "key").sign(b"x")
    assert code in said.value.reason
    assert "arn" not in said.value.message + said.value.reason
