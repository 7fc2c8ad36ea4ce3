"""Who may do what to which thing: allow and deny rows alike, judged by every policy the stacks make."""

from __future__ import annotations

import pytest

from aws import names
from cdk_app.settings import Deployment
from tests.cdk.cloud import ACCOUNT, REGION, Cloud

_HERE = f"{REGION}:{ACCOUNT}"
_TABLE = f"arn:aws:dynamodb:{_HERE}:table/hatidata-control"
_JOURNAL = f"arn:aws:dynamodb:{_HERE}:table/hatidata-terminations"
_GROUP = f"arn:aws:autoscaling:{_HERE}:autoScalingGroup:0a1b2c3d:autoScalingGroupName/hatidata-nodes"
_TOPIC = f"arn:aws:sns:{_HERE}:hatidata-alarms"

PLAIN = [
    # role, action, resource, allowed
    ("ControlPlane", "dynamodb:PutItem", _TABLE, True),
    ("ControlPlane", "dynamodb:Query", f"{_TABLE}/index/{names.UNIQUE_INDEX}", True),
    ("ControlPlane", "dynamodb:Scan", _TABLE, False),
    ("ControlPlane", "dynamodb:DeleteTable", _TABLE, False),
    ("ControlPlane", "dynamodb:PutItem", f"arn:aws:dynamodb:{_HERE}:table/other", False),
    ("ControlPlane", "ssm:SendCommand", "*", False),
    ("ControlPlane", "iam:PassRole", "*", False),
    ("ControlPlane", "sts:AssumeRole", "*", False),
    ("ControlPlane", "lambda:InvokeFunction", "*", False),
    ("LuksErase", "dynamodb:PutItem", _JOURNAL, True),
    ("LuksErase", "dynamodb:PutItem", _TABLE, False),
    ("LuksErase", "ssm:SendCommand", f"arn:aws:ssm:{_HERE}:document/hatidata-end-of-node", True),
    ("LuksErase", "ssm:SendCommand", f"arn:aws:ssm:{REGION}::document/AWS-RunShellScript", False),
    ("LuksErase", "ssm:SendCommand", f"arn:aws:ec2:{_HERE}:instance/i-0123456789abcdef0", False),
    ("LuksErase", "autoscaling:CompleteLifecycleAction", _GROUP, True),
    ("LuksErase", "autoscaling:CompleteLifecycleAction", _GROUP.replace("hatidata-nodes", "another"), False),
    ("LuksErase", "autoscaling:TerminateInstanceInAutoScalingGroup", _GROUP, False),
    ("LuksErase", "ec2:TerminateInstances", "*", False),
    ("LuksErase", "sns:Publish", _TOPIC, True),
    ("LuksErase", "s3:GetObject", "arn:aws:s3:::hatidata-audit-111122223333-ap-southeast-1/audit/x", False),
    ("AuditTiering", "dynamodb:Query", _TABLE, False),
    ("AuditTiering", "s3:RestoreObject", "arn:aws:s3:::hatidata-audit-111122223333-ap-southeast-1/audit/x", True),
    ("AuditTiering", "s3:DeleteObject", "arn:aws:s3:::hatidata-audit-111122223333-ap-southeast-1/audit/x", False),
    ("AuditTiering", "s3:PutObjectRetention", "arn:aws:s3:::hatidata-audit-111122223333-ap-southeast-1/audit/x", False),
    ("AccessReview", "dynamodb:PutItem", _TABLE, True),
    ("KeyRotation", "dynamodb:PutItem", _TABLE, True),
    ("KeyExpiry", "dynamodb:PutItem", _TABLE, True),
    ("WebhookDelivery", "dynamodb:PutItem", _TABLE, True),
    ("WebhookDelivery", "s3:GetObject", "arn:aws:s3:::hatidata-audit-111122223333-ap-southeast-1/audit/x", False),
    ("WebhookDelivery", "s3:GetObject", "arn:aws:s3:::hatidata-data-111122223333-ap-southeast-1/x", False),
    ("KeyExpiry", "sns:Publish", _TOPIC, False),
    ("Backup", "dynamodb:DeleteTable", _TABLE, False),
    ("Backup", "dynamodb:StartAwsBackupJob", _TABLE, True),
    ("Builder", "s3:PutObject", "arn:aws:s3:::hatidata-data-111122223333-ap-southeast-1/x", False),
    ("Builder", "s3:GetObject", "arn:aws:s3:::hatidata-data-111122223333-ap-southeast-1/x", False),
]
KEYS = [
    # role, action, key, through which service, allowed
    ("Node", "kms:Decrypt", "Data", "s3", True),
    ("Node", "kms:Decrypt", "Data", "", True),  # the seed and the identity are opened directly
    ("Node", "kms:GenerateDataKey", "Audit", "s3", True),
    ("Node", "kms:GenerateDataKey", "Audit", "", False),
    ("Node", "kms:GenerateDataKey", "Audit", "sqs", False),
    ("Node", "kms:Decrypt", "Audit", "s3", False),
    ("Node", "kms:GenerateDataKey", "Data", "s3", False),
    ("ControlPlane", "kms:Decrypt", "Audit", "s3", True),
    ("ControlPlane", "kms:Decrypt", "Audit", "", False),
    ("ControlPlane", "kms:GenerateDataKey", "Audit", "s3", False),
    ("ChainCheckpoint", "kms:GenerateDataKey", "Audit", "s3", True),
    ("ChainCheckpoint", "kms:Sign", "Signing", "", True),
    ("LuksErase", "kms:GenerateDataKey", "Audit", "s3", True),
    ("LuksErase", "kms:Decrypt", "Audit", "s3", False),
    ("LuksErase", "kms:Decrypt", "Data", "", False),
    ("ControlPlane", "kms:Decrypt", "Data", "s3", False),
    ("ControlPlane", "kms:Sign", "Signing", "", True),
    ("AuditSearch", "kms:Decrypt", "Audit", "s3", True),
    ("AuditSearch", "kms:GenerateDataKey", "Audit", "s3", False),
    ("AuditSearch", "kms:GetPublicKey", "Signing", "", True),
    ("AuditSearch", "kms:Sign", "Signing", "", False),
    ("AuditTiering", "kms:Decrypt", "Audit", "s3", True),
    ("AuditTiering", "kms:GenerateDataKey", "Audit", "s3", True),
    ("AuditTiering", "kms:Encrypt", "Control", "", False),
    ("WebhookDelivery", "kms:Sign", "Signing", "", False),
    ("WebhookDelivery", "kms:Decrypt", "Audit", "s3", False),
    ("KeyExpiry", "kms:Sign", "Signing", "", False),
    ("KeyRotation", "kms:ScheduleKeyDeletion", "Data", "", False),
    ("KeyRotation", "kms:Decrypt", "Data", "", False),
    ("KeyRotation", "kms:PutKeyPolicy", "Data", "", False),
]
OUTSIDERS = [
    # what somebody with every right in IAM may do with each key
    ("kms:Decrypt", "Data", "", False),
    ("kms:Decrypt", "Data", "s3", True),
    ("kms:Decrypt", "Audit", "", False),
    ("kms:Decrypt", "Audit", "s3", True),
    ("kms:GenerateDataKey", "Audit", "s3", False),
    ("kms:Decrypt", "Control", "", False),
    ("kms:Decrypt", "Control", "s3", False),
    ("kms:Encrypt", "Control", "", False),
    ("kms:Sign", "Signing", "", False),
    ("kms:Decrypt", "Volumes", "ec2", False),
    ("kms:CreateGrant", "Data", "", False),
    ("kms:ScheduleKeyDeletion", "Data", "", False),
    ("kms:DisableKey", "Audit", "", False),
    ("kms:PutKeyPolicy", "Audit", "", True),
]


@pytest.mark.parametrize(("role", "action", "resource", "allowed"), PLAIN)
def test_functions_and_roles(cloud: Cloud, role: str, action: str, resource: str, allowed: bool) -> None:
    verdict = cloud.may(cloud.role(role), action, resource)
    assert verdict.allowed is allowed, verdict.why


def _facts(cloud: Cloud, deployment: Deployment, key: str, service: str) -> dict[str, str]:
    if not service:
        return {}
    purpose = "data" if key == "Data" else "audit"
    facts = {"kms:ViaService": f"{service}.{REGION}.amazonaws.com"}
    return facts | (
        {"kms:EncryptionContext:aws:s3:arn": f"arn:aws:s3:::{deployment.bucket(purpose)}"} if service == "s3" else {}
    )


@pytest.mark.parametrize(("role", "action", "key", "service", "allowed"), KEYS)
def test_keys(
    cloud: Cloud, deployment: Deployment, role: str, action: str, key: str, service: str, allowed: bool
) -> None:
    verdict = cloud.may(cloud.role(role), action, cloud.key(key), **_facts(cloud, deployment, key, service))
    assert verdict.allowed is allowed, verdict.why


@pytest.mark.parametrize(("action", "key", "service", "allowed"), OUTSIDERS)
def test_an_administrator_of_the_account_administers_keys_and_opens_nothing_directly(
    cloud: Cloud, deployment: Deployment, action: str, key: str, service: str, allowed: bool
) -> None:
    everything = ({"Effect": "Allow", "Action": "*", "Resource": "*"},)
    administrator = f"arn:aws:iam::{ACCOUNT}:role/administrator"
    verdict = cloud.may(
        administrator, action, cloud.key(key), allows=everything, **_facts(cloud, deployment, key, service)
    )
    assert verdict.allowed is allowed, verdict.why


def test_the_caller_of_a_put_under_sse_kms_has_the_right_to_a_data_key(cloud: Cloud, deployment: Deployment) -> None:
    """What no emulator checks: S3 asks KMS as the caller, so PutObject alone is not enough."""
    audit, key = deployment.bucket("audit"), cloud.key("Audit")
    node, checkpoint, tiering, erase = (
        cloud.role(name) for name in ("Node", "ChainCheckpoint", "AuditTiering", "LuksErase")
    )
    record = "audit/queries/2026/11/22/x.jsonl.gz"
    assert cloud.may_put(node, audit, "audit/queries/2026/11/22/x.jsonl.gz", key).allowed
    assert not cloud.may_put(node, audit, "elsewhere/x", key).allowed
    assert cloud.may_put(checkpoint, audit, f"{names.CHECKPOINTS_PREFIX}x.json", key).allowed
    assert cloud.may_put(tiering, audit, f"{names.MANIFESTS_PREFIX}2026-11-21.json", key).allowed
    assert cloud.may_put(tiering, audit, "audit/reports/tiering/2026-11-22/part-0001.json", key).allowed
    assert cloud.may_put(erase, audit, "audit/nodes/2026/11/22/i-0123456789abcdef0-x.json", key).allowed
    for other in (checkpoint, tiering, erase, cloud.role("ControlPlane")):
        assert not cloud.may_put(other, audit, record, key).allowed
    # An object of another bucket does not get a data key of the audit's.
    assert not cloud.through_s3(node, "kms:GenerateDataKey", key, "another-bucket").allowed


def test_the_caller_of_a_get_under_sse_kms_has_the_right_to_decrypt(cloud: Cloud, deployment: Deployment) -> None:
    data, audit = deployment.data_bucket, deployment.bucket("audit")
    assert cloud.may_get(cloud.role("Node"), data, "lake/sales/customers.parquet", cloud.key("Data")).allowed
    assert not cloud.may_get(cloud.role("Node"), audit, "audit/queries/x", cloud.key("Audit")).allowed
    assert cloud.may_get(cloud.role("AuditTiering"), audit, "audit/queries/x", cloud.key("Audit")).allowed
    assert not cloud.may_get(cloud.role("ControlPlane"), data, "lake/x", cloud.key("Data")).allowed


def test_commands_go_to_nodes_of_this_deployment_only(cloud: Cloud) -> None:
    instance, erase = f"arn:aws:ec2:{_HERE}:instance/i-0123456789abcdef0", cloud.role("LuksErase")

    def may(role: str, deployment: str) -> bool:
        tags = {"ssm:resourceTag/hatidata-role": role, "ssm:resourceTag/deployment": deployment}
        return cloud.may(erase, "ssm:SendCommand", instance, **tags).allowed

    assert may("node", "hatidata")
    assert not may("node", "another")
    assert not may("builder", "hatidata")
    tags = {each["Key"]: each for each in cloud.one("AWS::AutoScaling::AutoScalingGroup").properties["Tags"]}
    assert (tags["hatidata-role"]["Value"], tags["hatidata-role"]["PropagateAtLaunch"]) == ("node", True)
    assert (tags["deployment"]["Value"], tags["deployment"]["PropagateAtLaunch"]) == ("hatidata", True)


def test_only_provisioners_of_a_nodes_identity_encrypt_under_the_lakes_key(
    cloud: Cloud, deployment: Deployment
) -> None:
    everything = ({"Effect": "Allow", "Action": "*", "Resource": "*"},)
    provisioner = f"arn:aws:iam::{ACCOUNT}:role/provisioner"

    def may(purpose: str, environment: str) -> bool:
        context = {"kms:EncryptionContext:purpose": purpose, "kms:EncryptionContext:environment": environment}
        return cloud.may(provisioner, "kms:Encrypt", cloud.key("Data"), allows=everything, **context).allowed

    assert may(names.IDENTITY_PURPOSE, "production")
    assert may(names.VOLUME_SEED_PURPOSE, "production")
    assert not may(names.IDENTITY_PURPOSE, "staging")
    assert not may("another-purpose", "production")


@pytest.mark.parametrize(
    ("role", "action", "allowed"),
    [
        ("ControlPlane", "kms:Encrypt", True),
        ("WebhookDelivery", "kms:Decrypt", True),
        ("WebhookDelivery", "kms:Encrypt", False),
        ("ControlPlane", "kms:Decrypt", False),
        ("KeyRotation", "kms:Decrypt", False),
        ("LuksErase", "kms:Decrypt", False),
    ],
)
def test_what_is_sealed_for_a_purpose_opens_to_those_of_that_purpose(
    cloud: Cloud, role: str, action: str, allowed: bool
) -> None:
    """Every function may open its own settings under that key; a webhook's signing secret is not among them."""
    context = {"kms:EncryptionContext:purpose": names.SEALED_PURPOSE, "kms:EncryptionContext:of": "x"}
    assert cloud.may(cloud.role(role), action, cloud.key("Control"), **context).allowed is allowed
    assert cloud.may(cloud.role(role), "kms:Decrypt", cloud.key("Control")).allowed, "its settings"


def test_functions_are_called_by_our_load_balancer_and_our_rules_only(cloud: Cloud) -> None:
    permissions = cloud.of("AWS::Lambda::Permission")
    assert len(permissions) == 5
    for each in permissions:
        assert each.properties["SourceArn"].startswith("arn:aws:"), each.id
        assert "*" not in each.properties["SourceArn"].removesuffix("/*"), each.id
    balanced = [each.properties for each in permissions if "elasticloadbalancing" in each.properties["Principal"]]
    groups = {each.properties.get("Name") for each in cloud.of("AWS::ElasticLoadBalancingV2::TargetGroup")}
    assert {each["SourceArn"].split("/")[1] for each in balanced} == {"hatidata-api", "hatidata-polls"} <= groups
    assert {each["SourceAccount"] for each in balanced} == {ACCOUNT}


def test_only_the_break_glass_role_may_destroy_keys(cloud: Cloud, deployment: Deployment) -> None:
    everything = ({"Effect": "Allow", "Action": "*", "Resource": "*"},)
    glass = deployment.safety.break_glass_role_arn
    for name in ("Data", "Audit", "Control", "Volumes", "Signals", "Queues", "Signing"):
        assert cloud.may(glass, "kms:ScheduleKeyDeletion", cloud.key(name), allows=everything).allowed
        assert not cloud.may(
            f"arn:aws:iam::{ACCOUNT}:role/x", "kms:ScheduleKeyDeletion", cloud.key(name), allows=everything
        ).allowed


_LINKED = f"arn:aws:iam::{ACCOUNT}:role/aws-service-role"


@pytest.mark.parametrize(
    ("key", "principal", "actions"),
    [
        ("Control", f"logs.{REGION}.amazonaws.com", {"kms:Encrypt", "kms:Decrypt", "kms:GenerateDataKey*"}),
        ("Signals", "cloudwatch.amazonaws.com", {"kms:Decrypt", "kms:GenerateDataKey*"}),
        ("Queues", "events.amazonaws.com", {"kms:Decrypt", "kms:GenerateDataKey*"}),
        (
            "Volumes",
            f"{_LINKED}/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling",
            {
                "kms:Encrypt",
                "kms:Decrypt",
                "kms:ReEncrypt*",
                "kms:GenerateDataKey*",
                "kms:DescribeKey",
                "kms:CreateGrant",
            },
        ),
        (
            "Volumes",
            f"{_LINKED}/imagebuilder.amazonaws.com/AWSServiceRoleForImageBuilder",
            {"kms:Decrypt", "kms:GenerateDataKey*", "kms:CreateGrant"},
        ),
        (
            "Signals",
            f"{_LINKED}/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling",
            {"kms:Decrypt", "kms:GenerateDataKey*"},
        ),
    ],
)
def test_services_that_cdk_does_not_name_are_named_in_the_key_policies(
    cloud: Cloud, key: str, principal: str, actions: set[str]
) -> None:
    found: set[str] = set()
    for statement in cloud.resource_statements(cloud.key(key)):
        if principal in str(statement["Principal"]) and statement["Effect"] == "Allow":
            listed = statement["Action"]
            found |= set([listed] if isinstance(listed, str) else listed)
    assert actions <= found


def test_a_log_group_is_under_a_name_that_the_keys_policy_knows(cloud: Cloud) -> None:
    (statement,) = [each for each in cloud.resource_statements(cloud.key("Control")) if each.get("Sid") == "Logs"]
    patterns = statement["Condition"]["ArnLike"]["kms:EncryptionContext:aws:logs:arn"]
    for group in cloud.of("AWS::Logs::LogGroup"):
        arn = f"arn:aws:logs:{_HERE}:log-group:{group.properties['LogGroupName']}"
        assert any(arn == each or (each.endswith("*") and arn.startswith(each[:-1])) for each in patterns), arn


def test_the_grant_of_volumes_is_for_aws_resources_only(cloud: Cloud) -> None:
    for key in cloud.of("AWS::KMS::Key"):
        for statement in key.properties["KeyPolicy"]["Statement"]:
            if statement["Action"] == "kms:CreateGrant":
                assert statement["Condition"] == {"Bool": {"kms:GrantIsForAWSResource": "true"}}


def test_no_policy_allows_every_action_or_passes_roles(cloud: Cloud) -> None:
    for each in cloud.resources:
        if each.type not in ("AWS::IAM::RolePolicy", "AWS::IAM::Policy"):
            continue
        for statement in each.properties["PolicyDocument"]["Statement"]:
            actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
            for action in actions:
                if statement["Effect"] == "Allow":
                    assert not action.endswith(":*"), f"{each.id}: {action}"
                    assert action not in ("*", "iam:PassRole", "kms:CreateGrant"), f"{each.id}: {action}"
