"""A deployment as the CDK's command line does it: assets published, stacks made by CloudFormation in their order.

The emulator does not hold everything. What it has no type for is left out of a copy of the template, and `LEFT_OUT`
names it; what it makes but leaves unset is set from the same template (`finish`).
"""

from __future__ import annotations

import io
import json
import threading
import time
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.cdk.cloud import ACCOUNT, REGION, Cloud
from tests.cdk.emulator.emulator import Emulator

STACKS = ("keys", "signals", "network", "storage", "functions", "access", "nodes", "watch")
"""In the order of `cdk_app.app`."""
LEFT_OUT = frozenset(
    {
        "AWS::Backup::BackupSelection", "AWS::EC2::FlowLog", "AWS::EC2::SecurityGroupEgress",
        "AWS::EC2::SecurityGroupIngress", "AWS::EC2::VPCEndpointService", "AWS::ElasticLoadBalancingV2::TrustStore",
        "AWS::EC2::VPCEndpointServicePermissions", "AWS::IAM::RolePolicy", "AWS::Route53::RecordSet",
        "AWS::SSM::Document", "AWS::WAFv2::LoggingConfiguration", "AWS::WAFv2::WebACLAssociation",
    }
)  # fmt: skip
"""Types that MiniStack 1.5 does not make."""
_ASSETS = f"cdk-hnb659fds-assets-{ACCOUNT}-{REGION}"
_STACK_S = 60.0


@dataclass
class Deployed:
    """What came of it."""

    cloud: Cloud
    emulator: Emulator
    states: dict[str, str] = field(default_factory=dict)
    """Stack -> CloudFormation's word, with what failed."""
    made: int = 0
    left_out: dict[str, int] = field(default_factory=dict)
    """Type -> how many."""

    def physical(self, stack: str, logical: str) -> str:
        """What CloudFormation calls the resource whose construct is `logical`."""
        cloudformation = self.emulator.client("cloudformation")
        pages = cloudformation.get_paginator("list_stack_resources").paginate(StackName=f"hatidata-{stack}")
        found = [
            each["PhysicalResourceId"]
            for page in pages
            for each in page["StackResourceSummaries"]
            if each["LogicalResourceId"][:-8] == logical
        ]
        assert len(found) == 1, f"{stack}/{logical}: {found}"
        return str(found[0])

    def key(self, purpose: str) -> str:
        """The ARN of a key, by its alias."""
        found = self.emulator.client("kms").describe_key(KeyId=f"alias/hatidata-{purpose}")
        return str(found["KeyMetadata"]["Arn"])


def deploy(assembly: Path, emulator: Emulator) -> Deployed:
    """Every stack of the assembly, as far as the emulator holds it."""
    deployed = Deployed(Cloud(assembly), emulator)
    emulator.client("s3").create_bucket(Bucket=_ASSETS, CreateBucketConfiguration={"LocationConstraint": REGION})
    for stack in STACKS:
        _publish(assembly, stack, emulator)
        _make(deployed, assembly, stack)
    _finish(deployed)
    return deployed


def _publish(assembly: Path, stack: str, emulator: Emulator) -> None:
    manifest = json.loads((assembly / f"hatidata-{stack}.assets.json").read_text())
    for asset in manifest["files"].values():
        source = assembly / asset["source"]["path"]
        if asset["source"]["packaging"] == "zip":
            (destination,) = asset["destinations"].values()
            assert destination["bucketName"] == _ASSETS
            emulator.client("s3").put_object(Bucket=_ASSETS, Key=destination["objectKey"], Body=_zipped(source))


def _zipped(folder: Path) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for path in sorted(folder.rglob("*")):
            archive.write(path, path.relative_to(folder))
    return packed.getvalue()


def _make(deployed: Deployed, assembly: Path, stack: str) -> None:
    template = _held(deployed, json.loads((assembly / f"hatidata-{stack}.template.json").read_text()))
    name, cloudformation = f"hatidata-{stack}", deployed.emulator.client("cloudformation")
    # Longer than a request may be: the template goes by way of the assets, as the CDK sends it.
    deployed.emulator.client("s3").put_object(Bucket=_ASSETS, Key=f"{name}.json", Body=json.dumps(template).encode())
    url = f"{deployed.emulator.endpoint}/{_ASSETS}/{name}.json"
    cloudformation.create_stack(StackName=name, TemplateURL=url, Capabilities=["CAPABILITY_NAMED_IAM"])
    deadline = time.monotonic() + _STACK_S
    while (state := _state(cloudformation, name)).endswith("IN_PROGRESS"):
        assert time.monotonic() < deadline, f"{name}: {state}"
        threading.Event().wait(0.1)
    deployed.states[stack] = " ".join([state, *_failures(cloudformation, name)])
    deployed.made += len(template["Resources"])


def _state(cloudformation: Any, name: str) -> str:
    return str(cloudformation.describe_stacks(StackName=name)["Stacks"][0]["StackStatus"])


def _failures(cloudformation: Any, name: str) -> list[str]:
    events = cloudformation.describe_stack_events(StackName=name)["StackEvents"]
    return [
        f"{each['LogicalResourceId']}: {each.get('ResourceStatusReason', '')}"
        for each in events
        if "FAILED" in each["ResourceStatus"]
    ]


def _held(deployed: Deployed, template: dict[str, Any]) -> dict[str, Any]:
    """The template without what the emulator lacks, and without what waits for it or tells of it."""
    gone = {name: each["Type"] for name, each in template["Resources"].items() if each["Type"] in LEFT_OUT}
    for kind in gone.values():
        deployed.left_out[kind] = deployed.left_out.get(kind, 0) + 1
    kept = {name: each for name, each in template["Resources"].items() if name not in gone}
    for each in kept.values():
        waits = each.get("DependsOn", [])
        each["DependsOn"] = [name for name in ([waits] if isinstance(waits, str) else waits) if name not in gone]
        _without_arithmetic(each["Properties"])
    outputs = {name: each for name, each in template.get("Outputs", {}).items() if not _names(each["Value"], gone)}
    return {"Resources": kept, "Outputs": outputs} if outputs else {"Resources": kept}


def _without_arithmetic(properties: dict[str, Any]) -> None:
    """An alarm on a metric's growth is one on the metric itself: the emulator counts no further."""
    for metric in properties.pop("Metrics", []):
        if stat := metric.get("MetricStat"):
            named = stat["Metric"]
            properties |= {"MetricName": named["MetricName"], "Namespace": named["Namespace"], "Period": 60}
            properties["Statistic"] = stat["Stat"]


def _names(value: Any, gone: Mapping[str, str]) -> bool:
    return any(f'"{name}"' in json.dumps(value) for name in gone)


def _finish(deployed: Deployed) -> None:
    """The lock and the encryption of buckets, which the emulator's CloudFormation leaves out, by the same template."""
    s3 = deployed.emulator.client("s3")
    for bucket in deployed.cloud.of("AWS::S3::Bucket", "storage"):
        name, told = bucket.properties["BucketName"], bucket.properties
        (rule,) = told["BucketEncryption"]["ServerSideEncryptionConfiguration"]
        chosen = dict(rule["ServerSideEncryptionByDefault"])
        if "KMSMasterKeyID" in chosen:  # the template names the key by what CloudFormation made
            purpose = "audit" if "-audit-" in name else "data"
            chosen = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": deployed.key(purpose)}
        rules = [{"ApplyServerSideEncryptionByDefault": chosen}]
        s3.put_bucket_encryption(Bucket=name, ServerSideEncryptionConfiguration={"Rules": rules})
        if "ObjectLockConfiguration" in told:
            s3.put_object_lock_configuration(Bucket=name, ObjectLockConfiguration=told["ObjectLockConfiguration"])
