"""KMS behind the ports: on moto where it tells the truth, by stubbed answers where it does not."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.stub import Stubber
from moto import mock_aws

from aws.key_service import KmsKeyService, KmsSecretBox
from governance.encryption_key import ON_DEMAND_MAX, KeyRotationFacts
from governance.errors import KeyServiceUnavailable, Refusal, ResourceExceeded

REGION = "eu-central-1"
ARN = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"


def kms() -> Any:
    return boto3.client(
        "kms", region_name=REGION, aws_access_key_id="a", aws_secret_access_key="b",
        config=Config(retries={"total_max_attempts": 1}),
    )  # fmt: skip


@mock_aws
def test_secrets_are_encrypted_for_their_context_only() -> None:
    client = kms()
    key, other = (client.create_key()["KeyMetadata"]["Arn"] for _ in range(2))
    box = KmsSecretBox(client, key)
    sealed = box.seal(b"whsec_abc", "webhook production hook-1")
    assert "whsec" not in sealed
    assert box.open(sealed, "webhook production hook-1") == b"whsec_abc"
    stranger = KmsSecretBox(client, other)
    for shut, context in ((box, "webhook production hook-2"), (stranger, "webhook production hook-1")):
        with pytest.raises(KeyServiceUnavailable):
            shut.open(sealed, context)
    for bad in ("", "%", "AAAA"):
        with pytest.raises(Refusal):
            box.open(bad, "c")
    with pytest.raises(KeyServiceUnavailable):
        box.seal(b"x" * 4097, "c")


def looked(status: dict[str, Any], *pages: dict[str, Any]) -> KeyRotationFacts:
    client = kms()
    with Stubber(client) as stubber:
        stubber.add_response("get_key_rotation_status", {"KeyId": ARN, **status}, {"KeyId": ARN})
        marker: dict[str, str] = {}
        for page in pages:
            stubber.add_response("list_key_rotations", page, {"KeyId": ARN, **marker})
            marker = {"Marker": page["NextMarker"]} if "NextMarker" in page else {}
        facts = KmsKeyService(client, {"data": ARN}).facts("data")
        stubber.assert_no_pending_responses()
    return facts


def rotation(kind: str) -> dict[str, Any]:
    return {"KeyId": ARN, "RotationDate": datetime(2026, 1, 1, tzinfo=UTC), "RotationType": kind}


def test_w2_5_whether_it_rotates_by_itself_is_read_from_the_key() -> None:
    none: dict[str, Any] = {"Rotations": [], "Truncated": False}
    assert looked({"KeyRotationEnabled": True, "RotationPeriodInDays": 90}, none) == KeyRotationFacts(90, 0)
    assert looked({"KeyRotationEnabled": True}, none) == KeyRotationFacts(365, 0)
    assert looked({"KeyRotationEnabled": False}, none) == KeyRotationFacts(0, 0)


def test_rotations_on_demand_are_counted_over_all_pages_with_the_one_in_progress() -> None:
    first = {"Rotations": [rotation("ON_DEMAND"), rotation("AUTOMATIC")], "Truncated": True, "NextMarker": "m"}
    last = {"Rotations": [rotation("ON_DEMAND")], "Truncated": False}
    running = {"KeyRotationEnabled": True, "OnDemandRotationStartDate": datetime(2026, 1, 1, tzinfo=UTC)}
    assert looked(running, first, last) == KeyRotationFacts(365, 3, in_progress=True)


def rotating(code: str) -> None:
    client = kms()
    with Stubber(client) as stubber:
        if code:
            stubber.add_client_error("rotate_key_on_demand", code, expected_params={"KeyId": ARN})
        else:
            stubber.add_response("rotate_key_on_demand", {"KeyId": ARN}, {"KeyId": ARN})
        KmsKeyService(client, {"data": ARN}).rotate("data")
        stubber.assert_no_pending_responses()


def test_w2_6_rotation_on_demand_is_begun_and_one_in_progress_is_no_fault() -> None:
    rotating("")
    rotating("ConflictException")


@pytest.mark.parametrize(
    ("code", "refusal"),
    [
        ("LimitExceededException", ResourceExceeded),
        ("AccessDeniedException", KeyServiceUnavailable),
        ("DisabledException", KeyServiceUnavailable),
        ("KMSInvalidStateException", KeyServiceUnavailable),
        ("ThrottlingException", KeyServiceUnavailable),
        ("KMSInternalException", KeyServiceUnavailable),
        ("UnsupportedOperationException", KeyServiceUnavailable),
    ],
)
def test_each_failure_of_kms_is_a_refusal_of_ours_without_its_words(code: str, refusal: type[Refusal]) -> None:
    with pytest.raises(refusal) as refused:
        rotating(code)
    assert ARN not in str(refused.value)
    assert ARN not in refused.value.reason


def test_names_are_ours_and_unknown_ones_are_refused() -> None:
    service = KmsKeyService(kms(), {"data": ARN})
    assert service.names() == ("data",)
    for act in (service.facts, service.rotate):
        with pytest.raises(KeyServiceUnavailable):
            act("audit")


@mock_aws
def test_the_limit_is_the_one_kms_keeps() -> None:
    assert ON_DEMAND_MAX == 25
    client = kms()
    arn = client.create_key()["KeyMetadata"]["Arn"]
    client.enable_key_rotation(KeyId=arn)
    status = client.get_key_rotation_status(KeyId=arn)
    assert status["KeyRotationEnabled"]
