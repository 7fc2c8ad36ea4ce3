"""A node as it runs in AWS: composed from the environment, on moto's S3 and KMS, with the four rights of W6.4 alone."""

from __future__ import annotations

import gzip
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import duckdb
import psycopg
import pytest

from aws.names import identity_key
from aws.node_identity import FILES, NodeIdentity, seal_identity
from engine.settings import AwsNodeSettings, NodeSettings
from local.signing import ensure_public_key
from tests.support.aws import REGION, RunningAws, running_aws
from tests.support.stack import PROJECT, Stack, running_control_plane

DATA, AUDIT = "data-bucket", "audit-bucket"


@dataclass
class AwsNode:
    """A process of `python -m engine`."""

    settings: AwsNodeSettings
    aws: RunningAws
    control: Stack
    process: subprocess.Popen[str] | None = None
    lines: list[str] = field(default_factory=list)
    port: int = 0
    pumping: threading.Thread | None = None

    def run(self, *arguments: str) -> subprocess.Popen[str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "HATIDATA_", "PG"))}
        return subprocess.Popen(
            [sys.executable, "-m", "engine", *arguments],
            env={**kept, **self.aws.environment, **self.settings.environment(), "HATIDATA_PORT": "0"},
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=PROJECT,
        )  # fmt: skip

    def start(self) -> None:
        self.process = self.run()
        heard: queue.Queue[str] = queue.Queue()
        self.pumping = threading.Thread(target=self._pump, args=(self.process, heard), daemon=True)
        self.pumping.start()
        deadline = time.monotonic() + 60
        while True:
            line = heard.get(timeout=max(0.01, deadline - time.monotonic()))
            if "ready: clients on port" in line:
                self.port = int(line.split("clients on port ")[1].split(",")[0])
                return
            assert line, "".join(self.lines)

    def _pump(self, process: subprocess.Popen[str], heard: queue.Queue[str]) -> None:
        for line in process.stdout or ():
            self.lines.append(line)
            heard.put(line)
        heard.put("")

    def stop(self, number: int = signal.SIGTERM) -> int:
        if self.process is None:
            return 0
        process, self.process = self.process, None
        process.send_signal(number)
        try:
            return process.wait(60)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait(10)
            if self.pumping is not None:
                self.pumping.join(10)
            if process.stdout is not None:
                process.stdout.close()

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        dsn = (
            f"host=localhost port={self.port} dbname=production user=u password={self.control.owner_key}"
            f" sslmode=verify-full sslrootcert={self.control.ca} connect_timeout=20 gssencmode=disable"
        )
        with psycopg.connect(dsn, autocommit=True) as connection:
            return connection.execute(sql.encode()).fetchall()

    def audited(self) -> list[dict[str, Any]]:
        """Records of queries in the audit bucket."""
        s3, found = self.aws.client("s3"), []
        for entry in s3.list_objects_v2(Bucket=AUDIT, Prefix="audit/queries/").get("Contents", ()):
            body = s3.get_object(Bucket=AUDIT, Key=entry["Key"])["Body"].read()
            found += [json.loads(line) for line in gzip.decompress(body).splitlines()]
        return found


def make_identity(control: Stack) -> NodeIdentity:
    ensure_public_key(control.home / "control", control.home / "tls")
    files = {name: (control.home / "tls" / name).read_bytes() for name in FILES}
    return NodeIdentity(files, (control.home / "node" / "mask.key").read_bytes())


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AwsNode]:
    folder = tmp_path_factory.mktemp("aws")
    with running_aws() as aws, running_control_plane(folder / "control") as control:
        s3, kms = aws.client("s3"), aws.client("kms")
        for bucket in (DATA, AUDIT):
            s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
        key = kms.create_key()["KeyMetadata"]["Arn"]
        sealed = seal_identity(make_identity(control), "production", key, kms=kms)
        s3.put_object(Bucket=DATA, Key=identity_key("production"), Body=sealed)
        file = folder / "people.parquet"
        with duckdb.connect() as connection:
            connection.execute(f"COPY (SELECT range AS id, 'n' || range AS name FROM range(500)) TO '{file}'")
        s3.put_object(Bucket=DATA, Key="lake/main/people.parquet", Body=file.read_bytes())
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
        running = AwsNode(settings, aws, control)
        running.start()
        yield running
        running.stop()


def until(holds: Callable[[], bool], timeout_s: float = 30.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline, "it never came true"
        threading.Event().wait(0.05)


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
    assert "PRIVATE KEY" not in "".join(node.lines)


def test_what_a_killed_node_left_is_shipped_by_ship_spool(node: AwsNode) -> None:
    before = len(node.audited())
    away = threading.Event()

    def refuse(action: str) -> None:
        if action == "s3:PutObject" and not away.is_set():
            raise OSError("the store is away")

    node.aws.recording.before = refuse
    assert node.query("SELECT 42 AS left_behind")[0][0] == 42
    node.stop(signal.SIGKILL)
    assert not any("left_behind" in record.get("sql", "") for record in node.audited())
    away.set()
    node.aws.recording.before = lambda action: None
    shipping = node.run("ship-spool")
    output = shipping.communicate(timeout=60)[0]
    assert shipping.returncode == 0, output
    records = node.audited()
    assert len(records) > before
    assert len([record for record in records if "left_behind" in record.get("sql", "")]) == 1
    node.start()


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
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "HATIDATA_", "PG"))}
    done = subprocess.run(
        [sys.executable, "-m", "engine"], capture_output=True, text=True, timeout=60, cwd=PROJECT, check=False,
        env={**kept, **node.aws.environment, **node.settings.environment(), "HATIDATA_PORT": "0", **change},
    )  # fmt: skip
    assert done.returncode == 78
    assert says in done.stderr
    assert "Traceback" not in done.stderr
