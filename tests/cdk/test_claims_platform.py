"""W6, W7, H10 on the synthesized templates: what a node may do, that it is replaced, that somebody is told."""

from __future__ import annotations

from typing import Any

import pytest

from cdk_app.boot import paths
from cdk_app.node_settings import node_settings
from cdk_app.settings import Deployment
from engine.settings import AwsNodeSettings
from tests.cdk.cloud import ACCOUNT, Cloud

_RETAINED = {
    "AWS::S3::Bucket",
    "AWS::KMS::Key",
    "AWS::DynamoDB::Table",
    "AWS::Backup::BackupVault",
    "AWS::Logs::LogGroup",
}


def four(cloud: Cloud, data_bucket: str, data_key: str) -> list[dict[str, Any]]:
    audit = f"arn:aws:s3:::hatidata-audit-{ACCOUNT}-ap-southeast-1"
    return [
        {"Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{data_bucket}/*"},
        {"Action": "s3:ListBucket", "Resource": f"arn:aws:s3:::{data_bucket}"},
        {"Action": "s3:PutObject", "Resource": f"{audit}/audit/*"},
        {"Action": "kms:Decrypt", "Resource": data_key},
    ]


def test_w6_4_the_instance_profile_grants_exactly_four_things(
    cloud: Cloud, guest: Cloud, deployment: Deployment
) -> None:
    guests_key = "arn:aws:kms:ap-southeast-1:111122223333:key/12345678-1234-1234-1234-123456789012"
    for each, bucket, key in (
        (cloud, deployment.data_bucket, cloud.key("Data")),
        (guest, "example-corp-lake", guests_key),
    ):
        statements = each.identity_statements(each.role("Node"))
        assert [
            {"Sid": got["Sid"], "Effect": "Allow", **want}
            for got, want in zip(statements, four(each, bucket, key), strict=True)
        ] == statements
        (role,) = [found for found in each.of("AWS::IAM::Role") if found.id[:-8] == "Node"]
        assert not {"ManagedPolicyArns", "Policies", "PermissionsBoundary"} & set(role.properties)
        assert role.properties["AssumeRolePolicyDocument"]["Statement"] == [
            {"Action": "sts:AssumeRole", "Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}}
        ]


@pytest.mark.parametrize(
    ("action", "where"),
    [
        ("s3:DeleteObject", "data"),
        ("s3:DeleteObject", "audit"),
        ("s3:PutObject", "data"),
        ("s3:GetObject", "audit"),
        ("s3:ListBucket", "audit"),
        ("s3:BypassGovernanceRetention", "audit"),
        ("kms:ScheduleKeyDeletion", "Data"),
        ("kms:ScheduleKeyDeletion", "Audit"),
        ("kms:DisableKey", "Data"),
        ("kms:Encrypt", "Data"),
        ("kms:GenerateDataKey", "Data"),
        ("kms:Decrypt", "Audit"),
        ("kms:GenerateDataKey", "Audit"),
        ("kms:Decrypt", "Control"),
        ("kms:Sign", "Signing"),
        ("dynamodb:GetItem", "table"),
        ("ssm:SendCommand", "anything"),
        ("autoscaling:CompleteLifecycleAction", "anything"),
        ("cloudwatch:PutMetricData", "anything"),
        ("sts:AssumeRole", "anything"),
    ],
)
def test_w6_5_it_grants_nothing_destructive_and_nothing_else(
    cloud: Cloud, deployment: Deployment, action: str, where: str
) -> None:
    node = cloud.role("Node")
    if where in ("data", "audit"):
        bucket = f"arn:aws:s3:::{deployment.bucket(where)}"
        resources = [bucket, f"{bucket}/audit/x"]
    elif action.startswith("kms:"):
        resources = [cloud.key(where)]
    else:
        resources = ["*", f"arn:aws:dynamodb:ap-southeast-1:{ACCOUNT}:table/hatidata-control"]
    for resource in resources:
        verdict = cloud.may(node, action, resource)
        assert not verdict.allowed, verdict.why


def test_w6_6_the_profile_is_made_by_the_stacks_and_used_by_the_nodes(cloud: Cloud) -> None:
    template = cloud.one("AWS::EC2::LaunchTemplate").properties["LaunchTemplateData"]
    profile = cloud.one("AWS::IAM::InstanceProfile", "nodes")
    assert profile.id in template["IamInstanceProfile"]["Arn"]
    assert profile.properties["Roles"] == [cloud.role("Node").rsplit("/")[-1]]


def test_the_node_is_told_settings_that_it_understands(cloud: Cloud, deployment: Deployment) -> None:
    data = cloud.one("AWS::EC2::LaunchTemplate").properties["LaunchTemplateData"]["UserData"]
    assert f"path: {paths.ENVIRONMENT_FILE}\n" in data
    lines = [line.strip() for line in data.splitlines() if line.strip().startswith("HATIDATA_")]
    told = AwsNodeSettings.from_environment(dict(line.split("=", 1) for line in lines))
    assert told == node_settings(deployment, data_key_arn=cloud.key("Data"))
    assert told.node.require_encrypted_cache
    assert told.node.require_sandbox
    assert (told.node.home, told.node.cache, told.node.tls) == (paths.HOME, paths.CACHE, paths.TLS)


def test_w7_1_nodes_stand_in_two_zones_and_are_replaced_when_not_ready(cloud: Cloud) -> None:
    group = cloud.one("AWS::AutoScaling::AutoScalingGroup").properties
    assert len(group["VPCZoneIdentifier"]) >= 2
    assert int(group["MinSize"]) >= 2
    assert group["HealthCheckType"] == "ELB"
    (target,) = [
        each.properties
        for each in cloud.of("AWS::ElasticLoadBalancingV2::TargetGroup")
        if each.properties.get("Port") == 5439
    ]
    assert (target["HealthCheckProtocol"], target["HealthCheckPort"], target["HealthCheckPath"]) == (
        "HTTP",
        "9090",
        "/readyz",
    )
    assert group["TargetGroupARNs"] == [
        each.id for each in cloud.of("AWS::ElasticLoadBalancingV2::TargetGroup") if each.properties == target
    ]


def test_w7_1_new_software_comes_by_an_instance_refresh_that_keeps_capacity(cloud: Cloud) -> None:
    policy = cloud.one("AWS::AutoScaling::AutoScalingGroup").raw["UpdatePolicy"]["AutoScalingInstanceRefresh"]
    assert policy["Strategy"] == "Rolling"
    assert policy["Preferences"]["MinHealthyPercentage"] == 100


@pytest.mark.parametrize("variant", ["cloud", "guest"])
def test_w7_1_nodes_follow_the_number_of_running_queries(
    variant: str, request: pytest.FixtureRequest, deployment: Deployment
) -> None:
    each: Cloud = request.getfixturevalue(variant)
    tracking = each.one("AWS::AutoScaling::ScalingPolicy").properties["TargetTrackingConfiguration"]
    assert tracking["TargetValue"] == deployment.nodes.queries_per_node
    assert tracking["CustomizedMetricSpecification"]["MetricName"] == "QueriesRunning"


def test_w7_1_what_holds_data_outlives_its_stack(cloud: Cloud) -> None:
    for each in cloud.resources:
        if each.type in _RETAINED:
            assert each.raw["DeletionPolicy"] == "Retain", f"{each.stack}/{each.id}"


def test_w7_2_protected_data_stays_in_the_vpc(cloud: Cloud) -> None:
    # No resource with a way out (W1.6), no function outside the VPC, no sharing with other accounts.
    assert all("VpcConfig" in each.properties for each in cloud.of("AWS::Lambda::Function"))
    assert not [
        each for each in cloud.resources if each.type.startswith(("AWS::RAM::", "AWS::DataSync::", "AWS::Glue::"))
    ]


@pytest.mark.parametrize("variant", ["cloud", "guest"])
@pytest.mark.parametrize("name", ["audit-lag", "rulebook-age", "nodes-silent", "cache-thrash", "too-few-nodes"])
def test_h10_nodes_are_watched_in_the_customers_account_wherever_the_control_plane_is(
    variant: str, name: str, request: pytest.FixtureRequest
) -> None:
    each: Cloud = request.getfixturevalue(variant)
    alarm = each.one("AWS::CloudWatch::Alarm", AlarmName=f"hatidata-{name}").properties
    assert alarm["AlarmActions"]
    publisher = {"cloud": "hatidata-node-figures", "guest": "hatidata-node-probe"}[variant]
    functions = {found.properties["FunctionName"] for found in each.of("AWS::Lambda::Function")}
    assert functions & {"hatidata-node-figures", "hatidata-node-probe"} == {publisher}
    template = each.one("AWS::EC2::LaunchTemplate").properties["LaunchTemplateData"]
    assert template["PrivateDnsNameOptions"] == {"EnableResourceNameDnsARecord": True}, "by which the probe finds nodes"


@pytest.mark.parametrize(
    "name",
    [
        "erase-failed", "erase-late", "audit-lag", "rulebook-age", "node-unhealthy", "cache-thrash", "key-expiring",
        "rotation-failed", "control-plane-failing", "control-plane-refused", "too-few-nodes", "audit-deviates",
    ],
)  # fmt: skip
def test_h10_each_thing_that_can_go_wrong_has_an_alarm_that_is_told(cloud: Cloud, name: str) -> None:
    alarm = cloud.one("AWS::CloudWatch::Alarm", AlarmName=f"hatidata-{name}").properties
    topic = cloud.one("AWS::SNS::Topic").properties["TopicName"]
    assert [arn.rsplit(":", 1)[1] for arn in alarm["AlarmActions"]] == [topic]
    assert len(alarm["AlarmDescription"]) > 10


def test_h10_every_function_has_alarms_on_errors_throttles_and_dead_letters(cloud: Cloud) -> None:
    named = {each.properties["AlarmName"] for each in cloud.of("AWS::CloudWatch::Alarm")}
    for function in cloud.of("AWS::Lambda::Function"):
        for suffix in ("errors", "throttled", "dead-letters"):
            assert f"{function.properties['FunctionName']}-{suffix}" in named


def test_h10_the_dashboard_shows_every_alarm(cloud: Cloud) -> None:
    body = cloud.one("AWS::CloudWatch::Dashboard").properties["DashboardBody"]
    for alarm in cloud.of("AWS::CloudWatch::Alarm"):
        assert alarm.id in body


def test_h10_addresses_are_subscribed_to_the_topic(guest: Cloud) -> None:
    assert guest.one("AWS::SNS::Subscription").properties["Endpoint"] == "oncall@example.com"


def test_every_function_is_held_as_the_house_says(cloud: Cloud) -> None:
    groups = {each.properties["LogGroupName"] for each in cloud.of("AWS::Logs::LogGroup")}
    queues = {
        f"arn:aws:sqs:ap-southeast-1:{ACCOUNT}:{each.properties['QueueName']}" for each in cloud.of("AWS::SQS::Queue")
    }
    roles = []
    for function in cloud.of("AWS::Lambda::Function"):
        held = function.properties
        assert held["Architectures"] == ["arm64"]
        assert held["Runtime"] == "python3.14"
        assert held["TracingConfig"] == {"Mode": "Active"}
        assert held["ReservedConcurrentExecutions"] >= 1
        assert held["DeadLetterConfig"]["TargetArn"] in queues
        assert held["LoggingConfig"]["LogGroup"] in groups
        assert len(held["Layers"]) == 1
        roles.append(held["Role"])
    assert len(set(roles)) == len(roles), "a role of its own for each"


def test_a_control_plane_elsewhere_leaves_the_audit_and_its_search_here(guest: Cloud) -> None:
    assert {each.properties["FunctionName"] for each in guest.of("AWS::Lambda::Function")} >= {
        "hatidata-audit-search",
        "hatidata-audit-tiering",
        "hatidata-luks-erase",
    }
    assert "hatidata-control-plane" not in {
        each.properties["FunctionName"] for each in guest.of("AWS::Lambda::Function")
    }
    assert not [each for each in guest.of("AWS::DynamoDB::Table") if each.properties["TableName"] == "hatidata-control"]
    assert [each for each in guest.of("AWS::S3::Bucket") if each.properties["BucketName"].startswith("hatidata-audit")]
