"""H4 and the lines of the trust page (H15) that a template can show, each under its own number."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from cdk_app.settings import CLIENT_PORT, Deployment, deployment_of
from tests.cdk.cloud import ACCOUNT, Cloud
from tests.cdk.conftest import document
from tests.cdk.test_claims_network import admitted

_DATABASES = {1433, 1521, 3306, 5432, 5433}


@pytest.mark.parametrize("variant", ["cloud", "guest"])
def test_h4_no_way_leads_to_a_database_that_nobody_declared(variant: str, request: pytest.FixtureRequest) -> None:
    """Nodes read the lake only. Until a PostgreSQL source can be declared, its port is closed both ways."""
    each: Cloud = request.getfixturevalue(variant)
    for group in ("Nodes", "Functions"):
        ways = admitted(each, group, "Egress")
        assert not {port for _, port in ways} & _DATABASES
        assert not [where for where, _ in ways if where[0].isdigit()], "no network, only groups and prefix lists"
    assert not [found for found in each.resources if found.type.startswith(("AWS::RDS::", "AWS::DMS::", "AWS::Glue::"))]


def test_h15_7_plain_http_is_refused_by_every_door(cloud: Cloud, deployment: Deployment) -> None:
    listeners = [each.properties for each in cloud.of("AWS::ElasticLoadBalancingV2::Listener")]
    assert {each["Protocol"] for each in listeners} == {"HTTPS", "TCP"}
    secure = [each for each in listeners if each["Protocol"] == "HTTPS"]
    assert all(each["SslPolicy"].startswith("ELBSecurityPolicy-TLS13-1-3") for each in secure)
    passed = {each["Port"] for each in listeners if each["Protocol"] == "TCP"}
    assert passed == {CLIENT_PORT} | {each["Port"] for each in secure}, "whatever is passed through ends in TLS"
    everything = ({"Effect": "Allow", "Action": "*", "Resource": "*"},)
    for purpose in ("data", "audit", "access-logs"):
        where = f"arn:aws:s3:::{deployment.bucket(purpose)}/x"
        role = f"arn:aws:iam::{ACCOUNT}:role/x"
        assert not cloud.may(role, "s3:GetObject", where, allows=everything, aws__SecureTransport="false").allowed
    for kind in ("AWS::SNS::TopicPolicy", "AWS::SQS::QueuePolicy"):
        for each in cloud.of(kind):
            assert any(
                statement["Effect"] == "Deny"
                and statement.get("Condition") == {"Bool": {"aws:SecureTransport": "false"}}
                for statement in each.properties["PolicyDocument"]["Statement"]
            ), each.id


def test_h15_9_what_is_at_rest_is_under_aes_256(cloud: Cloud) -> None:
    """KMS's symmetric keys are AES-256; whatever keeps bytes names one (`test_w2_4_…` names each kind)."""
    for each in cloud.of("AWS::KMS::Key"):
        assert each.properties.get("KeySpec", "SYMMETRIC_DEFAULT") in ("SYMMETRIC_DEFAULT", "ECC_NIST_P256")
    keeps = {
        "AWS::S3::Bucket": "BucketEncryption", "AWS::DynamoDB::Table": "SSESpecification",
        "AWS::SQS::Queue": "KmsMasterKeyId", "AWS::Logs::LogGroup": "KmsKeyId",
        "AWS::Backup::BackupVault": "EncryptionKeyArn",
    }  # fmt: skip
    for kind, name in keeps.items():
        assert cloud.of(kind)
        assert all(each.properties.get(name) for each in cloud.of(kind)), kind


def test_h15_13_intrusion_is_looked_for_at_every_border(cloud: Cloud) -> None:
    assert {each.properties["TrafficType"] for each in cloud.of("AWS::EC2::FlowLog")} == {"ALL"}
    assert len(cloud.of("AWS::EC2::FlowLog")) == len(cloud.of("AWS::EC2::VPC"))
    rules = {rule["Name"] for rule in cloud.one("AWS::WAFv2::WebACL").properties["Rules"]}
    assert rules >= {"AWSManagedRulesKnownBadInputsRuleSet", "AWSManagedRulesAmazonIpReputationList", "RatePerAddress"}
    assert cloud.of("AWS::WAFv2::LoggingConfiguration")
    logged = [each for each in cloud.of("AWS::S3::Bucket") if "LoggingConfiguration" in each.properties]
    assert {each.properties["BucketName"].split("-")[1] for each in logged} == {"data", "audit"}
    alarms = {each.properties["AlarmName"] for each in cloud.of("AWS::CloudWatch::Alarm")}
    assert {"hatidata-connection-flood", "hatidata-audit-deviates", "hatidata-node-lost"} <= alarms


def test_h15_14_what_a_capacity_review_looks_at_is_kept(cloud: Cloud) -> None:
    group = cloud.one("AWS::AutoScaling::AutoScalingGroup").properties
    assert group["MetricsCollection"] == [{"Granularity": "1Minute"}]
    body = str(cloud.one("AWS::CloudWatch::Dashboard").properties["DashboardBody"])
    assert {figure for figure in ("QueriesRunning", "QueriesQueued") if figure in body} == {
        "QueriesRunning", "QueriesQueued",
    }  # fmt: skip


def test_h15_15_security_health_and_capacity_are_watched_in_real_time(cloud: Cloud) -> None:
    for each in cloud.of("AWS::CloudWatch::Alarm"):
        assert each.properties["AlarmActions"], each.id
        assert each.properties["OKActions"], each.id
    periods = {
        each.properties["AlarmName"]: each.properties.get("Period", 0) for each in cloud.of("AWS::CloudWatch::Alarm")
    }
    for name in ("node-unhealthy", "too-few-nodes", "connection-flood"):
        assert periods[f"hatidata-{name}"] == 60


def test_h15_16_backups_are_daily_and_their_failure_is_told(cloud: Cloud) -> None:
    (rule,) = cloud.one("AWS::Backup::BackupPlan").properties["BackupPlan"]["BackupPlanRule"]
    assert rule["ScheduleExpression"] == "cron(0 17 * * ? *)"
    assert rule["Lifecycle"]["DeleteAfterDays"] >= 30
    assert cloud.one("AWS::CloudWatch::Alarm", AlarmName="hatidata-backup-failed").properties["AlarmActions"]


def test_h15_19_a_restore_can_be_rehearsed_beside_what_runs(cloud: Cloud) -> None:
    """A recovery point gives a new table; the live one is not named in it, and cannot be dropped."""
    for each in cloud.of("AWS::DynamoDB::Table"):
        assert each.properties["DeletionProtectionEnabled"] is True
        recovery = each.properties["PointInTimeRecoverySpecification"]
        assert (recovery["PointInTimeRecoveryEnabled"], recovery["RecoveryPeriodInDays"]) == (True, 35)
    vault = cloud.one("AWS::Backup::BackupVault").properties
    assert vault["LockConfiguration"]["MinRetentionDays"] == 35


def named(settings: dict[str, dict[str, Any]]) -> set[str]:
    deployment = deployment_of(settings)
    names = {deployment.name(purpose) for purpose in ("control", "terminations", "nodes", "alarms", "end-of-node")}
    return names | {deployment.bucket(purpose) for purpose in ("data", "audit", "access-logs")}


def test_h15_23_development_and_production_share_nothing(cloud: Cloud) -> None:
    """Two deployments, of two names, in one account; every name and every policy holds the deployment's."""
    production, staging = document("example"), copy.deepcopy(document("example"))
    staging["place"] |= {"name": "hatistage", "environment": "staging"}
    assert not named(production) & named(staging)
    for each in cloud.resources:
        if each.type in ("AWS::IAM::RolePolicy", "AWS::IAM::Policy"):
            for statement in each.properties["PolicyDocument"]["Statement"]:
                resources = statement["Resource"]
                for resource in [resources] if isinstance(resources, str) else resources:
                    foreign = resource.startswith(
                        ("arn:aws:s3:::", "arn:aws:dynamodb:", "arn:aws:sns:", "arn:aws:ssm:")
                    )
                    assert not foreign or "hatidata" in resource or "cdk-" in resource, resource
    user_data = str(cloud.one("AWS::EC2::LaunchTemplate").properties["LaunchTemplateData"]["UserData"])
    assert "HATIDATA_ENVIRONMENT=production\n" in user_data


def test_h15_24_a_deployment_that_goes_wrong_is_told(cloud: Cloud) -> None:
    """Nodes that cannot be launched or ended while they are replaced; docs/deploy.md adds the stacks' own events."""
    (notice,) = cloud.one("AWS::AutoScaling::AutoScalingGroup").properties["NotificationConfigurations"]
    assert set(notice["NotificationTypes"]) == {
        "autoscaling:EC2_INSTANCE_LAUNCH_ERROR", "autoscaling:EC2_INSTANCE_TERMINATE_ERROR",
    }  # fmt: skip
    topic = cloud.one("AWS::SNS::Topic").properties["TopicName"]
    assert str(notice["TopicARN"] if isinstance(notice["TopicARN"], str) else notice["TopicARN"][0]).endswith(topic)
