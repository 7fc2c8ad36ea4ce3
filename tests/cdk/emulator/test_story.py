"""The whole story on an emulator: deployed, provisioned, booted, asked, terminated; and the audit lies under lock.

Runs by `make test-emulator`, which installs the emulator. What is played and not real is said in `tests/cdk/emulator`:
Run Command, the lifecycle hook, the load balancers, the kernel's part of LUKS.
"""

from __future__ import annotations

import gzip
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml
from botocore.exceptions import ClientError

import aws.clients
from cdk_app.boot.run_document import run_document
from cdk_app.settings import Deployment, deployment_of
from governance.node_life import Phase
from governance.termination import Termination, decode
from tests.boot.machine import INSTANCE, needs_cryptsetup
from tests.cdk.conftest import document
from tests.cdk.emulator.balancer import Invoke, invoking, running_balancer
from tests.cdk.emulator.deploying import LEFT_OUT, STACKS, Deployed, deploy
from tests.cdk.emulator.emulator import credentials, missing, running_emulator
from tests.cdk.emulator.node import CHANGED, Node, make_node, told_by_template
from tests.cdk.emulator.services import Hook, RunCommand, Services, served
from tests.cdk.test_deploy_page import authority
from tests.support.aws import Recording
from tests.support.aws_node import people
from tests.support.stack import hatidata
from tests.support.waiting import until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(bool(missing()), reason=missing()),
    needs_cryptsetup,
]
_EVENT = Path(__file__).parents[2] / "lambdas" / "events" / "terminate.json"
_STATE = {
    "version": 1,
    "users": [{"email": "ana@acme.example", "organization": "1", "role": "analyst"}],
    "keys": [{"name": "notebook", "user": "ana@acme.example", "scopes": ["read_only"]}],
    "policies": [
        {
            "name": "names", "type": "mask", "table": "main.people", "column": "name", "function": "full",
        }
    ],
}  # fmt: skip


@dataclass
class Story:
    """What was seen."""

    deployment: Deployment
    deployed: Deployed
    node: Node
    invoke: Invoke
    said: dict[str, str] = field(default_factory=dict)
    """What the verbs of `hatidata aws` printed."""
    rows: dict[str, Any] = field(default_factory=dict)
    rights: set[tuple[str, str]] = field(default_factory=set)
    """What the node asked of S3 and KMS."""
    hook: Hook = field(default_factory=lambda: Hook("hatidata-nodes", INSTANCE))
    commands: RunCommand | None = None
    slots: list[int] = field(default_factory=list)
    """LUKS key slots of the raw device, before and after."""

    def objects(self, prefix: str) -> list[str]:
        s3 = self.deployed.emulator.client("s3")
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket=self.audit, Prefix=prefix)
        return [each["Key"] for page in pages for each in page.get("Contents", [])]

    def body(self, name: str) -> bytes:
        found: bytes = self.deployed.emulator.client("s3").get_object(Bucket=self.audit, Key=name)["Body"].read()
        return found

    def records(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        for name in self.objects("audit/queries/"):
            found += [json.loads(line) for line in gzip.decompress(self.body(name)).splitlines()]
        return found

    @property
    def audit(self) -> str:
        return self.deployment.bucket("audit")

    def evidence(self) -> Termination:
        (name,) = self.objects("audit/nodes/")
        return decode(self.body(name).decode())


@contextmanager
def in_account(account: dict[str, str]) -> Iterator[None]:
    """This process's own calls, which the boot files make, go to the emulator too."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        for name, value in account.items():
            patch.setenv(name, value)
        aws.clients.client.cache_clear()
        yield
        aws.clients.client.cache_clear()


@pytest.fixture(scope="module")
def story(assembly: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    folder = tmp_path_factory.mktemp("story")
    services = Services()
    recording = Recording(services)
    with ExitStack() as stack:
        functions_call = stack.enter_context(served(services))
        emulator = stack.enter_context(running_emulator(folder, functions_call))
        services.emulator = emulator.endpoint
        node_calls = stack.enter_context(served(recording))
        stack.enter_context(in_account(credentials(node_calls)))
        deployed = deploy(assembly("emulated"), emulator)
        assert {name: state for name, state in deployed.states.items() if state != "CREATE_COMPLETE"} == {}
        invoke = invoking(emulator)
        tls, said = provision(folder, deployed, credentials(emulator.endpoint))
        admin = stack.enter_context(running_balancer(invoke, tls, nodes=False))
        for_nodes = stack.enter_context(running_balancer(invoke, tls, nodes=True))
        node = make_node(folder, deployed, for_nodes, tls / "ca.crt", credentials(node_calls))
        stack.callback(node.engine.stop)
        told = Story(deployment_of(document("emulated")), deployed, node, invoke, said)
        told.commands = RunCommand("hatidata-end-of-node", run_document(), INSTANCE, node.command)
        stack.callback(told.commands.settle)
        services.commands, services.hook = told.commands, told.hook
        recording.rights.clear()
        ask(told, admin, tls)
        told.rights = set(recording.rights)
        end(told)
        yield told


def provision(folder: Path, deployed: Deployed, account: dict[str, str]) -> tuple[Path, dict[str, str]]:
    """What docs/deploy.md says that a platform engineer does after `cdk deploy`."""
    tls = folder / "authority"
    tls.mkdir(mode=0o700)
    recipe = authority().replace("warehouse.example.com", "localhost")
    subprocess.run(["/bin/bash", "-euc", recipe], cwd=tls, check=True, capture_output=True, timeout=60)
    public = deployed.emulator.client("kms").get_public_key(KeyId="alias/hatidata-signing")["PublicKey"]
    subprocess.run(
        ["openssl", "pkey", "-pubin", "-inform", "DER", "-out", str(tls / "signing.pub")], input=public, check=True
    )
    mask_key = tls / "mask.key"
    bucket = "hatidata-data-111122223333-ap-southeast-1"
    deployed.emulator.client("s3").put_object(Bucket=bucket, Key="lake/main/people.parquet", Body=people())
    where = ["--region", "ap-southeast-1"]
    data = [*where, "--data-bucket", bucket, "--data-key", deployed.key("data")]
    said = {}
    for verb in (
        ["seed", *data],
        ["identity", *data, "--tls", str(tls), "--mask-key", str(mask_key)],
        ["bootstrap", *where, "--owner-email", "olga@acme.example", "--mask-key", str(mask_key)],
    ):
        done = hatidata("aws", *verb, env=account)
        assert done.returncode == 0, done.stdout + done.stderr
        said[verb[0]] = done.stdout.strip()
    return tls, said


def ask(story: Story, admin: str, tls: Path) -> None:
    """Boot, bring the law about through the deployed control plane, and query as an analyst."""
    owner = story.said["bootstrap"]
    state = story.node.folder / "state.yaml"
    state.write_text(yaml.safe_dump(_STATE, sort_keys=False))
    story.rows["opened"] = story.node.boot()
    story.slots.append(key_slots(story.node.image))
    told = {"HATIDATA_URL": admin, "HATIDATA_CA": str(tls / "ca.crt"), "HATIDATA_API_KEY": owner}
    story.rows["owner"] = answered(story, owner, "SELECT count(*) FROM main.people")
    done = hatidata("apply", "-f", str(state), "--json", env=told)
    assert done.returncode == 0, done.stdout + done.stderr
    (made,) = json.loads(done.stdout)["keys"]
    query = "SELECT count(*), min(name) FROM main.people WHERE id < 100"
    story.rows["analyst"] = answered(story, made["key"], query)
    try:
        story.node.engine.query(made["key"], "SELECT * FROM main.elsewhere")
    except psycopg.Error as refusal:
        story.rows["refused"] = str(refusal.sqlstate)
    until(lambda: any("id < 100" in each.get("sql", "") for each in story.records()))
    # Asked a moment before the end: what the spool still holds must arrive too.
    story.rows["last"] = story.node.engine.query(owner, "SELECT 42 AS the_last_one")


def answered(story: Story, key: str, sql: str) -> list[tuple[Any, ...]]:
    """What the node answers, as soon as it has the rulebook that knows the key."""
    rows: list[tuple[Any, ...]] = []

    def asked() -> bool:
        try:
            rows.extend(story.node.engine.query(key, sql))
        except psycopg.OperationalError:
            return False
        return True

    until(asked)
    return rows


def end(story: Story) -> None:
    """The group ends the instance; its event and the clock wake the deployed function until the node is let go."""
    event = json.loads(_EVENT.read_text())
    hook, commands = story.hook, story.commands
    assert commands is not None
    event["detail"] |= {
        "AutoScalingGroupName": "hatidata-nodes", "LifecycleHookName": "erase", "EC2InstanceId": INSTANCE,
    }  # fmt: skip
    story.invoke("hatidata-luks-erase", event)

    def over() -> bool:
        commands.settle()
        story.invoke("hatidata-luks-erase", {"hatidata": "tick"})
        return bool(hook.completed) and bool(story.objects("audit/nodes/"))

    until(over, 180)
    story.slots.append(key_slots(story.node.image))


def key_slots(image: Path) -> int:
    done = subprocess.run(
        ["cryptsetup", "luksDump", "--dump-json-metadata", str(image)], capture_output=True, text=True, check=True,
        env={"PATH": "/usr/sbin:/sbin:/usr/bin:/bin"},
    )  # fmt: skip
    return len(json.loads(done.stdout)["keyslots"])


# ---------------------------------------------------------------- deployed


def test_cloudformation_makes_what_the_emulator_holds_of_every_stack(story: Story) -> None:
    assert set(story.deployed.states) == set(STACKS)
    assert set(story.deployed.left_out) <= LEFT_OUT
    whole = sum(len(template["Resources"]) for template in story.deployed.cloud.templates.values())
    assert story.deployed.made + sum(story.deployed.left_out.values()) == whole
    assert story.deployed.made > 200, story.deployed.left_out


def test_a_node_is_told_by_the_launch_template_and_changed_in_what_is_named(story: Story) -> None:
    told = told_by_template(story.deployed)
    assert {name for name, value in story.node.settings.items() if told.get(name) != value} <= CHANGED
    assert told["HATIDATA_REQUIRE_ENCRYPTED_CACHE"] == "yes"
    assert told["HATIDATA_DATA_KEY"] == story.deployed.key("data")


# ---------------------------------------------------------------- asked


def test_the_law_of_the_deployed_control_plane_holds_on_the_node(story: Story) -> None:
    assert story.rows["opened"] == {"done": True, "trouble": ""}
    assert story.rows["owner"] == [(500,)]
    assert story.rows["analyst"] == [(100, "***")]
    assert story.rows["refused"] == "42P01"


def test_w6_4_the_node_asked_for_four_rights_and_no_more(story: Story) -> None:
    assert story.rights == {
        ("s3:GetObject", story.deployment.data_bucket),
        ("s3:ListBucket", story.deployment.data_bucket),
        ("s3:PutObject", story.audit),
        ("kms:Decrypt", ""),
    }


def test_w5_1_every_query_arrived_the_last_one_too(story: Story) -> None:
    by_sql = {each["sql"]: each for each in story.records() if "sql" in each}
    assert by_sql["SELECT 42 AS the_last_one"]["status"] == "succeeded"
    (asked,) = [each for sql, each in by_sql.items() if "id < 100" in sql]
    assert asked["columns_masked"]
    (refused,) = [each for sql, each in by_sql.items() if "elsewhere" in sql]
    assert refused["status"] in ("denied", "failed", "refused")


def test_w5_2_w2_3_what_arrived_lies_under_lock_and_under_the_audits_key(story: Story) -> None:
    s3, key = story.deployed.emulator.client("s3"), story.deployed.key("audit")
    names = story.objects("audit/")
    assert {name.split("/")[1] for name in names} >= {"queries", "sessions", "nodes"}
    seven_years = datetime.now(UTC) + timedelta(days=7 * 365)
    for name in names:
        head = s3.head_object(Bucket=story.audit, Key=name)
        assert head["ObjectLockMode"] == "GOVERNANCE", name
        assert head["ObjectLockRetainUntilDate"] > seven_years
        assert (head["ServerSideEncryption"], head["SSEKMSKeyId"]) == ("aws:kms", key)
    version = s3.head_object(Bucket=story.audit, Key=names[0])["VersionId"]
    with pytest.raises(ClientError, match="AccessDenied"):
        s3.delete_object(Bucket=story.audit, Key=names[0], VersionId=version)


def test_the_deployed_search_finds_what_was_asked(story: Story) -> None:
    found = story.invoke("hatidata-audit-search", {"hatidata": "search", "filters": {}, "cursor": "", "limit": 100})
    assert [each for each in found["records"] if "id < 100" in each["sql"]]


# ---------------------------------------------------------------- ended


def test_w6_1_the_function_sent_the_node_its_three_words_and_let_it_go_after_the_proof(story: Story) -> None:
    assert story.commands is not None
    assert story.commands.steps == ["drain", "erase", "prove"], story.evidence().notes
    assert all(script[0] == "set -eu" for script in story.node.scripts)
    assert story.hook.completed == ["CONTINUE"]
    assert story.hook.heartbeats > 0


def test_w2_7_nobody_opens_the_volume_again(story: Story) -> None:
    assert story.slots == [1, 0]
    assert not story.node.engine.running
    assert story.node.machine.codes == [0, 0], "the engine ended by itself, and its spool was shipped"


def test_w2_7_the_record_of_the_end_is_evidence(story: Story) -> None:
    record = story.evidence()
    assert (record.life.phase, record.life.proved) == (Phase.RELEASED, True)
    assert [note.fact for note in record.notes if note.fact in ("shipped", "erased", "proved")] == [
        "shipped", "erased", "proved",
    ]  # fmt: skip
    assert story.invoke("hatidata-luks-erase", {"hatidata": "tick"})["NodesEnding"] == 0
