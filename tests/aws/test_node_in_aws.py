"""A node as it runs in AWS: composed from the environment, on moto's S3 and KMS, with the four rights of W6.4 alone."""

from __future__ import annotations

import gzip
import json
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from aws.names import identity_key
from aws.node_identity import FILES
from engine.settings import AwsNodeSettings, NodeSettings
from tests.support.aws import REGION, RunningAws, running_aws
from tests.support.aws_node import AUDIT, DATA, EngineProcess, lay_account
from tests.support.stack import Stack, running_control_plane
from tests.support.waiting import until


@dataclass
class AwsNode:
    """The engine over moto, and what it laid down there."""

    settings: AwsNodeSettings
    aws: RunningAws
    control: Stack
    engine: EngineProcess

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        return self.engine.query(self.control.owner_key, sql)

    def audited(self) -> list[dict[str, Any]]:
        """Records of queries in the audit bucket."""
        s3, found = self.aws.client("s3"), []
        for entry in s3.list_objects_v2(Bucket=AUDIT, Prefix="audit/queries/").get("Contents", ()):
            body = s3.get_object(Bucket=AUDIT, Key=entry["Key"])["Body"].read()
            found += [json.loads(line) for line in gzip.decompress(body).splitlines()]
        return found


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AwsNode]:
    folder = tmp_path_factory.mktemp("aws")
    with running_aws() as aws, running_control_plane(folder / "control") as control:
        key = lay_account(aws, control)
        (folder / "cache").mkdir()
        settings = AwsNodeSettings(
            NodeSettings(
                home=folder / "home", data=f"s3://{DATA}/lake", environment="production",
                control_url=control.control_url.replace("127.0.0.1", "localhost"), metrics_port=0,
                cache=folder / "cache", tls=folder / "tls", require_encrypted_cache=False, audit_ship_s=0.2,
            ),
            REGION, AUDIT, identity_key("production"), key,
        )  # fmt: skip
        aws.recording.rights.clear()
        engine = EngineProcess({**aws.environment, **settings.environment()}, control.ca)
        engine.start()
        try:
            yield AwsNode(settings, aws, control, engine)
        finally:
            engine.stop()


def test_w6_4_a_node_answers_and_audits_with_four_rights_alone(node: AwsNode) -> None:
    assert node.query("SELECT count(*), max(name) FROM main.people") == [(500, "n99")]
    until(lambda: any("people" in record.get("sql", "") for record in node.audited()))
    (record,) = (record for record in node.audited() if "people" in record.get("sql", ""))
    assert record["status"] == "succeeded"
    rights = set(node.aws.recording.rights)
    own = {("s3:ListBucket", AUDIT), ("s3:GetObject", AUDIT)}  # this test's own look into the bucket
    assert rights - own == {
        ("s3:GetObject", DATA),
        ("s3:ListBucket", DATA),
        ("s3:PutObject", AUDIT),
        ("kms:Decrypt", ""),
    }


def test_w2_10_keys_lie_in_the_tls_folder_only_and_for_the_owner_only(node: AwsNode) -> None:
    tls = node.settings.node.tls_dir
    assert {path.name for path in tls.iterdir()} == set(FILES)
    assert {path.stat().st_mode & 0o777 for path in tls.iterdir()} == {0o600}
    secret = (node.control.home / "node" / "mask.key").read_bytes()
    for path in node.settings.node.home.rglob("*"):
        assert not path.is_file() or secret not in path.read_bytes()
    assert "PRIVATE KEY" not in "".join(node.engine.lines)


def test_what_a_killed_node_left_is_shipped_by_ship_spool(node: AwsNode) -> None:
    before = len(node.audited())
    away = threading.Event()

    def refuse(action: str) -> None:
        if action == "s3:PutObject" and not away.is_set():
            raise OSError("the store is away")

    node.aws.recording.before = refuse
    assert node.query("SELECT 42 AS left_behind")[0][0] == 42
    node.engine.stop(signal.SIGKILL)
    assert not any("left_behind" in record.get("sql", "") for record in node.audited())
    away.set()
    node.aws.recording.before = lambda action: None
    shipping = node.engine.run("ship-spool")
    output = shipping.communicate(timeout=60)[0]
    assert shipping.returncode == 0, output
    records = node.audited()
    assert len(records) > before
    assert len([record for record in records if "left_behind" in record.get("sql", "")]) == 1
    node.engine.start()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"HATIDATA_ENVIRONMENT": "staging"}, "identity cannot be read"),
        ({"HATIDATA_REQUIRE_ENCRYPTED_CACHE": "yes"}, "does not lie on an encrypted device"),
    ],
)
def test_h5_a_node_that_lacks_something_says_so_and_does_not_start(
    node: AwsNode, change: dict[str, str], says: str
) -> None:
    process = node.engine.run(**change)
    output = process.communicate(timeout=60)[0]
    assert process.returncode == 78
    assert says in output
    assert "Traceback" not in output
