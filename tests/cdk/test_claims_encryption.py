"""W2, W5.2, W5.9, W5.10, H3, H5, H6, H8 on the templates: what lies where, under which key, for how long."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from aws import names
from cdk_app.settings import Deployment
from tests.cdk.cloud import ACCOUNT, REGION, Cloud

_KEY_OF = {
    "AWS::S3::Bucket": lambda p: p["BucketEncryption"]["ServerSideEncryptionConfiguration"][0][
        "ServerSideEncryptionByDefault"
    ].get("KMSMasterKeyID"),
    "AWS::DynamoDB::Table": lambda p: p["SSESpecification"]["KMSMasterKeyId"],
    "AWS::SQS::Queue": lambda p: p["KmsMasterKeyId"],
    "AWS::SNS::Topic": lambda p: p["KmsMasterKeyId"],
    "AWS::Logs::LogGroup": lambda p: p["KmsKeyId"],
    "AWS::Lambda::Function": lambda p: p["KmsKeyArn"],
    "AWS::Backup::BackupVault": lambda p: p["EncryptionKeyArn"],
    "AWS::EC2::LaunchTemplate": lambda p: p["LaunchTemplateData"]["BlockDeviceMappings"][0]["Ebs"]["KmsKeyId"],
    "AWS::ImageBuilder::ImageRecipe": lambda p: p["BlockDeviceMappings"][0]["Ebs"]["KmsKeyId"],
    "AWS::ImageBuilder::Component": lambda p: p["KmsKeyId"],
    "AWS::ImageBuilder::DistributionConfiguration": lambda p: p["Distributions"][0]["AmiDistributionConfiguration"][
        "KmsKeyId"
    ],
}  # fmt: skip


def bucket(cloud: Cloud, name: str) -> dict[str, Any]:
    return cloud.one("AWS::S3::Bucket", BucketName=name).properties


def encryption(properties: dict[str, Any]) -> dict[str, Any]:
    (rule,) = properties["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    return rule


def test_w2_1_data_lies_under_the_customers_key(cloud: Cloud, deployment: Deployment) -> None:
    rule = encryption(bucket(cloud, deployment.data_bucket))
    assert rule["ServerSideEncryptionByDefault"] == {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": cloud.key("Data")}
    assert rule["BucketKeyEnabled"] is True


def test_w2_1_a_bucket_of_the_customers_comes_with_its_key(guest: Cloud) -> None:
    assert "example-corp-lake" not in [each.properties["BucketName"] for each in guest.of("AWS::S3::Bucket")]
    (statement,) = [each for each in guest.identity_statements(guest.role("Node")) if each["Action"] == "kms:Decrypt"]
    assert statement["Resource"].endswith("key/12345678-1234-1234-1234-123456789012")


def test_w2_2_the_node_refuses_a_cache_that_is_not_encrypted(cloud: Cloud, deployment: Deployment) -> None:
    data = cloud.one("AWS::EC2::LaunchTemplate").properties["LaunchTemplateData"]["UserData"]
    assert "HATIDATA_REQUIRE_ENCRYPTED_CACHE=yes\n" in data
    assert deployment.nodes.instance_type.split(".")[0].endswith("gd")
    statements = cloud.resource_statements(cloud.key("Data"))
    sealing = [each for each in statements if "kms:GenerateDataKeyWithoutPlaintext" in each["Action"]]
    purposes = sealing[0]["Condition"]["StringEquals"]["kms:EncryptionContext:purpose"]
    assert names.VOLUME_SEED_PURPOSE in purposes


def test_w2_3_the_audit_lies_under_a_key_of_its_own(cloud: Cloud, deployment: Deployment) -> None:
    rule = encryption(bucket(cloud, deployment.bucket("audit")))
    assert rule["ServerSideEncryptionByDefault"] == {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": cloud.key("Audit")}
    assert cloud.key("Audit") != cloud.key("Data")


def test_w2_3_an_object_under_another_key_is_refused(cloud: Cloud, deployment: Deployment) -> None:
    def put(**context: str) -> bool:
        return cloud.may_put(
            cloud.role("Node"), deployment.bucket("audit"), "audit/queries/x", cloud.key("Audit"), **context
        ).allowed

    header, key = "s3:x-amz-server-side-encryption", "s3:x-amz-server-side-encryption-aws-kms-key-id"
    assert put()
    assert put(**{header: "aws:kms", key: cloud.key("Audit")})
    assert not put(**{header: "aws:kms", key: cloud.key("Data")})
    assert not put(**{header: "aws:kms"})
    assert not put(**{header: "AES256"})


@pytest.mark.parametrize("variant", ["cloud", "guest"])
def test_w2_4_no_aws_managed_key_anywhere(variant: str, request: pytest.FixtureRequest) -> None:
    each: Cloud = request.getfixturevalue(variant)
    assert "alias/aws/" not in each.text()
    assert "SseSpecification" not in each.text()
    ours = {f"arn:aws:kms:{REGION}:{ACCOUNT}:key/{key.id}" for key in each.of("AWS::KMS::Key")}
    for resource in each.resources:
        if resource.type in _KEY_OF:
            key = _KEY_OF[resource.type](resource.properties)
            if resource.properties.get("BucketName", "").startswith("hatidata-access-logs"):
                # S3 delivers access logs to no bucket under a KMS key; this one holds names, never contents.
                assert key is None
                assert encryption(resource.properties)["ServerSideEncryptionByDefault"] == {"SSEAlgorithm": "AES256"}
                continue
            assert key in ours, f"{resource.stack}/{resource.id}"


def test_w2_5_keys_rotate_every_year_by_themselves(cloud: Cloud) -> None:
    symmetric = [each for each in cloud.of("AWS::KMS::Key") if "KeySpec" not in each.properties]
    assert len(symmetric) == 6
    for each in symmetric:
        assert each.properties["EnableKeyRotation"] is True
        assert each.properties["RotationPeriodInDays"] == 365
    (signing,) = [each for each in cloud.of("AWS::KMS::Key") if "KeySpec" in each.properties]
    assert signing.properties["KeySpec"] == names.SIGNING_KEY_SPEC


def test_w2_6_keys_can_be_rotated_on_demand_by_the_function_and_by_administrators(cloud: Cloud) -> None:
    rotation = cloud.role("KeyRotation")
    administrator = f"arn:aws:iam::{ACCOUNT}:role/administrator"
    everything = ({"Effect": "Allow", "Action": "kms:*", "Resource": "*"},)
    for name in ("Data", "Audit", "Control", "Volumes", "Signals", "Queues"):
        assert cloud.may(rotation, "kms:RotateKeyOnDemand", cloud.key(name)).allowed
        assert cloud.may(administrator, "kms:RotateKeyOnDemand", cloud.key(name), allows=everything).allowed
    assert not cloud.may(cloud.role("ControlPlane"), "kms:RotateKeyOnDemand", cloud.key("Data")).allowed


def test_w2_7_no_instance_dies_before_the_hook_has_let_it(cloud: Cloud) -> None:
    group = cloud.one("AWS::AutoScaling::AutoScalingGroup").properties
    (hook,) = group["LifecycleHookSpecificationList"]
    assert hook["LifecycleTransition"] == "autoscaling:EC2_INSTANCE_TERMINATING"
    assert hook["DefaultResult"] == "ABANDON"
    assert group["InstanceLifecyclePolicy"] == {"RetentionTriggers": {"TerminateHookAbandon": "retain"}}
    template = cloud.one("AWS::EC2::LaunchTemplate").properties["LaunchTemplateData"]
    assert template["DisableApiTermination"] is True
    assert "InstanceMarketOptions" not in template, "spot instances die within two minutes"


def test_w2_7_the_hook_is_part_of_the_group_from_its_first_moment(cloud: Cloud) -> None:
    assert not cloud.of("AWS::AutoScaling::LifecycleHook")


def test_w5_2_the_audit_is_under_object_lock_for_seven_years(cloud: Cloud, deployment: Deployment) -> None:
    audit = bucket(cloud, deployment.bucket("audit"))
    assert audit["ObjectLockEnabled"] is True
    retention = audit["ObjectLockConfiguration"]["Rule"]["DefaultRetention"]
    assert retention["Mode"] == "GOVERNANCE"
    longest = max((date(year + 7, 3, 1) - date(year, 3, 1)).days for year in range(2026, 2046))
    assert retention["Days"] >= longest
    assert audit["VersioningConfiguration"] == {"Status": "Enabled"}
    raw = cloud.one("AWS::S3::Bucket", BucketName=deployment.bucket("audit")).raw
    assert raw["DeletionPolicy"] == raw["UpdateReplacePolicy"] == "Retain"


def test_w5_9_tiers_follow_each_other_at_90_and_365_days(cloud: Cloud, deployment: Deployment) -> None:
    lifecycle = bucket(cloud, deployment.bucket("audit"))["LifecycleConfiguration"]
    assert lifecycle["TransitionDefaultMinimumObjectSize"] == "varies_by_storage_class"
    moving = [rule for rule in lifecycle["Rules"] if "Transitions" in rule]
    assert [rule["Prefix"] for rule in moving] == ["audit/queries/", "audit/sessions/"], "proofs stay at hand"
    for rule in moving:
        assert rule["Transitions"] == [
            {"StorageClass": "GLACIER", "TransitionInDays": 90},
            {"StorageClass": "DEEP_ARCHIVE", "TransitionInDays": 365},
        ]
        assert not {"TagFilters", "ObjectSizeGreaterThan"} & set(rule), "every record, whatever its size"


def test_w5_10_nothing_expires_inside_its_retention(cloud: Cloud, deployment: Deployment) -> None:
    audit = bucket(cloud, deployment.bucket("audit"))
    days = audit["ObjectLockConfiguration"]["Rule"]["DefaultRetention"]["Days"]
    for rule in audit["LifecycleConfiguration"]["Rules"]:
        assert rule.get("ExpirationInDays", days + 1) > days


@pytest.mark.parametrize(
    "action",
    [
        "s3:BypassGovernanceRetention",
        "s3:DeleteObjectVersion",
        "s3:DeleteObject",
        "s3:PutObjectRetention",
        "s3:PutObjectLegalHold",
    ],
)
def test_w5_10_only_the_break_glass_role_may_shorten_the_audit(
    cloud: Cloud, deployment: Deployment, action: str
) -> None:
    administrator = f"arn:aws:iam::{ACCOUNT}:role/administrator"
    everything = ({"Effect": "Allow", "Action": "*", "Resource": "*"},)
    record = f"arn:aws:s3:::{deployment.bucket('audit')}/audit/queries/2026/11/22/x.jsonl.gz"
    assert not cloud.may(administrator, action, record, allows=everything).allowed
    assert not cloud.may(f"arn:aws:iam::{ACCOUNT}:root", action, record, allows=everything).allowed
    assert cloud.may(deployment.safety.break_glass_role_arn, action, record, allows=everything).allowed


@pytest.mark.parametrize(
    "action",
    [
        "s3:PutBucketObjectLockConfiguration",
        "s3:PutLifecycleConfiguration",
        "s3:PutBucketVersioning",
        "s3:PutReplicationConfiguration",
        "s3:PutBucketPolicy",
        "s3:DeleteBucketPolicy",
        "s3:DeleteBucket",
    ],
)
def test_w5_10_the_lock_itself_is_changed_by_the_stack_or_behind_glass_only(
    cloud: Cloud, deployment: Deployment, action: str
) -> None:
    everything = ({"Effect": "Allow", "Action": "*", "Resource": "*"},)
    where = f"arn:aws:s3:::{deployment.bucket('audit')}"
    deployer = f"arn:aws:iam::{ACCOUNT}:role/cdk-hnb659fds-cfn-exec-role-{ACCOUNT}-{REGION}"
    assert not cloud.may(f"arn:aws:iam::{ACCOUNT}:role/administrator", action, where, allows=everything).allowed
    assert cloud.may(deployer, action, where, allows=everything).allowed
    # Whoever may make roles makes none that passes for CloudFormation's.
    alike = deployer.replace("hnb659fds", "mine")
    assert not cloud.may(alike, action, where, allows=everything).allowed


def test_w5_10_nobody_covers_a_record_with_another(cloud: Cloud, deployment: Deployment) -> None:
    audit, key = deployment.bucket("audit"), cloud.key("Audit")
    for role, name in (
        ("Node", "audit/queries/2026/11/22/x.jsonl.gz"),
        ("AuditTiering", f"{names.MANIFESTS_PREFIX}2026-11-21.json"),
        ("LuksErase", "audit/nodes/2026/11/22/i-0123456789abcdef0-x.json"),
    ):
        assert cloud.may_put(cloud.role(role), audit, name, key).allowed
        assert not cloud.may_put(cloud.role(role), audit, name, key, over="yes").allowed


@pytest.mark.parametrize("prefix", [names.MANIFESTS_PREFIX, names.CHECKPOINTS_PREFIX, "audit/nodes/", "audit/reports/"])
def test_w5_10_a_node_lays_down_no_proof_and_no_evidence(cloud: Cloud, deployment: Deployment, prefix: str) -> None:
    node, audit = cloud.role("Node"), deployment.bucket("audit")
    assert not cloud.may_put(node, audit, f"{prefix}x.json", cloud.key("Audit")).allowed


@pytest.mark.parametrize("purpose", ["data", "audit", "access-logs"])
def test_w2_4_no_object_under_a_key_that_its_writer_brought(cloud: Cloud, deployment: Deployment, purpose: str) -> None:
    rule = encryption(bucket(cloud, deployment.bucket(purpose)))
    assert rule["BlockedEncryptionTypes"] == {"EncryptionType": ["SSE-C"]}


def test_w2_1_a_loader_that_names_a_key_names_the_lakes(cloud: Cloud, deployment: Deployment) -> None:
    loader, where = f"arn:aws:iam::{ACCOUNT}:role/loader", f"arn:aws:s3:::{deployment.data_bucket}/lake/x"
    everything = ({"Effect": "Allow", "Action": "*", "Resource": "*"},)
    header, key = "s3:x-amz-server-side-encryption", "s3:x-amz-server-side-encryption-aws-kms-key-id"
    for told, allowed in (
        ({}, True),
        ({header: "aws:kms", key: cloud.key("Data")}, True),
        ({header: "AES256"}, False),
        ({header: "aws:kms", key: cloud.key("Audit")}, False),
    ):
        assert cloud.may(loader, "s3:PutObject", where, allows=everything, **told).allowed is allowed, told


@pytest.mark.parametrize("purpose", ["data", "audit", "access-logs"])
def test_buckets_admit_tls_and_this_account_only(cloud: Cloud, deployment: Deployment, purpose: str) -> None:
    role = f"arn:aws:iam::{ACCOUNT}:role/loader"
    stranger = "arn:aws:iam::999900001111:role/loader"
    everything = ({"Effect": "Allow", "Action": "*", "Resource": "*"},)
    where = f"arn:aws:s3:::{deployment.bucket(purpose)}/x"
    assert cloud.may(role, "s3:GetObject", where, allows=everything).allowed
    assert not cloud.may(role, "s3:GetObject", where, allows=everything, aws__SecureTransport="false").allowed
    assert not cloud.may(role, "s3:GetObject", where, allows=everything, s3__TlsVersion="1.2").allowed
    if purpose != "access-logs":
        assert not cloud.may(stranger, "s3:GetObject", where, allows=everything).allowed
    properties = bucket(cloud, deployment.bucket(purpose))
    assert set(properties["PublicAccessBlockConfiguration"].values()) == {True}
    assert properties["OwnershipControls"]["Rules"] == [{"ObjectOwnership": "BucketOwnerEnforced"}]


def test_h3_vectors_lie_with_the_data_under_the_same_key_and_roles(cloud: Cloud, deployment: Deployment) -> None:
    # Vectors are columns of the lake's tables: there is no second store whose permissions could differ.
    assert {
        each.type for each in cloud.resources if re.search("OpenSearch|RDS|Neptune|S3Vectors|ElastiCache", each.type)
    } == set()
    assert (
        encryption(bucket(cloud, deployment.data_bucket))["ServerSideEncryptionByDefault"]["SSEAlgorithm"] == "aws:kms"
    )


def test_h5_every_cache_is_encrypted_at_rest_and_in_transit(cloud: Cloud) -> None:
    assert "HATIDATA_REQUIRE_ENCRYPTED_CACHE=yes\n" in str(
        cloud.one("AWS::EC2::LaunchTemplate").properties["LaunchTemplateData"]["UserData"]
    )
    assert {each.type for each in cloud.resources if "ElastiCache" in each.type or "DAX" in each.type} == set()


def test_h6_backups_are_encrypted_daily_and_automatic(cloud: Cloud) -> None:
    vault = cloud.one("AWS::Backup::BackupVault").properties
    assert vault["EncryptionKeyArn"] == cloud.key("Control")
    (rule,) = cloud.one("AWS::Backup::BackupPlan").properties["BackupPlan"]["BackupPlanRule"]
    assert rule["ScheduleExpression"].startswith("cron(0 17 * * ?")
    assert rule["Lifecycle"]["DeleteAfterDays"] == vault["LockConfiguration"]["MinRetentionDays"] == 35
    table = cloud.one("AWS::DynamoDB::Table", TableName="hatidata-control")
    selection = cloud.one("AWS::Backup::BackupSelection").properties["BackupSelection"]
    tables = {f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/hatidata-{name}" for name in ("control", "terminations")}
    assert set(selection["Resources"]) == tables
    assert table.properties["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"] is True
    assert [each for each in cloud.of("AWS::CloudWatch::Alarm") if "backup-failed" in each.properties["AlarmName"]]


def test_the_control_table_is_what_the_adapter_expects(cloud: Cloud) -> None:
    table = cloud.one("AWS::DynamoDB::Table", TableName="hatidata-control").properties
    assert [each["AttributeName"] for each in table["KeySchema"]] == [names.PARTITION_KEY, names.SORT_KEY]
    indexes = {each["IndexName"]: each for each in table["LocalSecondaryIndexes"]}
    assert {name: each["KeySchema"][1]["AttributeName"] for name, each in indexes.items()} == {
        names.UNIQUE_INDEX: names.UNIQUE_KEY,
        names.LOOKUP_INDEX: names.LOOKUP_KEY,
    }
    assert table["TimeToLiveSpecification"] == {"AttributeName": names.EXPIRES, "Enabled": True}
    assert table["StreamSpecification"] == {"StreamViewType": "NEW_IMAGE"}
    assert table["DeletionProtectionEnabled"] is True


def test_h8_no_secret_in_templates_user_data_or_image(cloud: Cloud, assembly: Callable[[str], Path]) -> None:
    looks_secret = re.compile(
        r"hd_(?:live|test)_|BEGIN [A-Z ]*PRIVATE KEY|AKIA[0-9A-Z]{16}|(?i:password|secret_?key)\s*[=:]"
    )
    for path in assembly("example").rglob("*"):
        if path.suffix in {".json", ".env", ".sh"} and "asset." not in path.parent.name:
            assert not looks_secret.search(path.read_text()), path.name
    for function in cloud.of("AWS::Lambda::Function"):
        for name in function.properties["Environment"]["Variables"]:
            assert not re.search("SECRET$|PASSWORD|TOKEN|PRIVATE", name), name


def test_h8_user_data_writes_settings_and_runs_nothing(cloud: Cloud) -> None:
    data = cloud.one("AWS::EC2::LaunchTemplate").properties["LaunchTemplateData"]["UserData"]
    assert data.startswith("#cloud-config\nwrite_files:\n  - path: /etc/hatidata/node.env\n")
    assert "runcmd" not in data
    assert "bootcmd" not in data
