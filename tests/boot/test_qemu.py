"""The very boot files on an emulated machine: real NVMe, real dm-crypt, S3 and KMS played on the host's loopback."""

from __future__ import annotations

import json
import re
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

from aws.names import volume_seed_key
from aws.volume_seed import seed_context
from tests.boot.machine import INSTANCE
from tests.boot.qemu_machine import EmulatedMachine, missing
from tests.boot.test_node_end import ENVIRONMENT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900), pytest.mark.skipif(bool(missing()), reason=missing())]
REGION = ENVIRONMENT["HATIDATA_REGION"]


@pytest.fixture(scope="module")
def checks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the guest found, from one run of its story."""
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        work = tmp_path_factory.mktemp("qemu")
        console = EmulatedMachine(
            work, INSTANCE, {**_account(f"http://{host}:{port}"), "AWS_ENDPOINT_URL": f"http://10.0.2.2:{port}"}
        ).run(600)
    finally:
        server.stop()
    assert "STORY-TOLD" in console, console[-6000:]
    found = re.findall(r"CHECK (\w+) (.*?)\r?\n", console)
    return {name: json.loads(value) for name, value in found}


def _account(url: str) -> dict[str, str]:
    """Bucket, key and seed; the guest's environment."""
    credentials = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": REGION}
    told = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "endpoint_url": url, "region_name": REGION}
    s3, kms = boto3.client("s3", **told), boto3.client("kms", **told)  # type: ignore[call-overload]
    s3.create_bucket(Bucket="lake", CreateBucketConfiguration={"LocationConstraint": REGION})
    key = kms.create_key()["KeyMetadata"]["Arn"]
    sealed = kms.generate_data_key_without_plaintext(
        KeyId=key, NumberOfBytes=32, EncryptionContext=seed_context("production")
    )
    s3.put_object(Bucket="lake", Key=volume_seed_key("production"), Body=sealed["CiphertextBlob"])
    return {**ENVIRONMENT, **credentials, "HATIDATA_DATA_KEY": key, "HATIDATA_CACHE": "/var/cache/hatidata"}


def test_w2_2_the_cache_is_aes_256_xts_under_luks_striped_and_mounted_without_programs(checks: dict[str, Any]) -> None:
    assert checks["devices"] == ["nvme0n1", "nvme1n1"]
    assert checks["refused_before"], "the engine's check refuses what is not encrypted"
    assert checks["open"] == [0, {"done": True, "trouble": ""}]
    assert checks["cipher"] == "aes-xts-plain64"
    assert checks["key_in_keyring"], "512 bits, in the kernel's keyring"
    assert checks["striped"] == ["striped", "2"]
    assert "LUKS2" in checks["how"]
    assert checks["options"] == ["nodev", "noexec", "nosuid"]
    assert checks["noexec_holds"]
    assert checks["owner"] == "daemon"


def test_w2_2_no_plaintext_on_the_raw_devices(checks: dict[str, Any]) -> None:
    assert checks["marker_through_the_mapping"], "else the scan proves nothing"
    assert checks["marker_on_raw_devices"] == []


def test_w2_7_w6_1_after_the_erase_nobody_reopens_it(checks: dict[str, Any]) -> None:
    assert checks["key_opens_before"] == 0, "else the refusal after proves nothing"
    assert checks["prove_before"]["mapped"]
    assert checks["erase"][0] == 0
    after = checks["prove_after"]
    assert [volume["key_slots"] for volume in after["volumes"]] == [0]
    assert (after["done"], after["mapped"], after["mounted"]) == (True, False, False)
    assert checks["key_opens_after"] == 1
    assert checks["reopen_after"] != 0
    assert not checks["mapping_after"]
    assert checks["marker_after"] == []
    assert checks["open_while_ending"] == [1, {"done": False, "trouble": "node_is_ending"}]


def test_w6_3_the_next_boot_makes_it_anew(checks: dict[str, Any]) -> None:
    assert checks["open_again"][0] == 0
    assert checks["first_key_on_second_volume"] == 2


def test_w2_7_a_process_that_holds_the_volume_does_not_keep_it_readable(checks: dict[str, Any]) -> None:
    code, report = checks["erase_while_held"]
    assert code == 0, report
    assert "unmount_failed" in report["troubles"]
    assert not checks["held_file_reads"]
    assert checks["table_while_held"] in ([], ["error"]), "the key left the kernel with the table"
    assert not checks["prove_while_held"]["mapped"]
    assert checks["second_key_after"] == 1
