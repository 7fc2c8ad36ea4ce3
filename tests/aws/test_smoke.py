"""The checks of a real account, against answers of AWS's shape: sound, wrong one at a time, and not to be asked."""

from __future__ import annotations

import copy
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError

from aws.smoke import ROTATED, Smoke

NOW = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)
READY = {"LifecycleState": "InService", "HealthStatus": "Healthy"}
SOUND: dict[str, dict[str, Any]] = {
    "s3": {
        "get_object_lock_configuration": {
            "ObjectLockConfiguration": {"Rule": {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 2557}}}
        },
        "get_bucket_versioning": {"Status": "Enabled"},
        "list_objects_v2": {"Contents": [{"Key": "audit/sessions/2026/11/22/x.jsonl.gz"}]},
        "head_object": {"ServerSideEncryption": "aws:kms", "ObjectLockMode": "GOVERNANCE"},
    },
    "kms": {
        "describe_key": {"KeyMetadata": {"Arn": "arn", "KeyManager": "CUSTOMER", "Enabled": True}},
        "get_key_rotation_status": {"KeyRotationEnabled": True, "RotationPeriodInDays": 365},
    },
    "autoscaling": {
        "describe_auto_scaling_groups": {
            "AutoScalingGroups": [
                {
                    "MinSize": 2,
                    "InstanceLifecyclePolicy": {"RetentionTriggers": {"TerminateHookAbandon": "retain"}},
                    "Instances": [
                        {"InstanceId": f"i-{zone}", "AvailabilityZone": zone, **READY}
                        for zone in ("a", "b")
                    ],
                }
            ]
        },
        "describe_lifecycle_hooks": {
            "LifecycleHooks": [
                {"LifecycleTransition": "autoscaling:EC2_INSTANCE_TERMINATING", "DefaultResult": "ABANDON"}
            ]
        },
    },
    "ssm": {
        "describe_instance_information": [
            {"InstanceInformationList": [{"InstanceId": f"i-{zone}", "PingStatus": "Online"} for zone in ("a", "b")]}
        ]
    },
    "elbv2": {
        "describe_target_groups": {"TargetGroups": [{"TargetGroupArn": "group"}]},
        "describe_target_group_attributes": {"Attributes": [{"Key": "proxy_protocol_v2.enabled", "Value": "true"}]},
        "describe_load_balancers": {
            "LoadBalancers": [
                {"Scheme": "internal", "EnforceSecurityGroupInboundRulesOnPrivateLinkTraffic": "on"}
            ]
        },
        "describe_target_health": {"TargetHealthDescriptions": [{"TargetHealth": {"State": "healthy"}}]},
    },
    "ec2": {"describe_vpc_endpoints": {"VpcEndpoints": [{"ServiceName": "kms", "State": "available"}]}},
    "sns": {"get_topic_attributes": {"Attributes": {"SubscriptionsConfirmed": "1", "SubscriptionsPending": "0"}}},
}  # fmt: skip


class Answers:
    """A client that gives one answer to each operation, or refuses it."""

    def __init__(self, answers: dict[str, Any]) -> None:
        self._answers = answers

    def __getattr__(self, operation: str) -> Callable[..., Any]:
        if operation == "get_paginator":
            return lambda name: type("Pages", (), {"paginate": lambda _self: self._answers[name]})()

        def call(**_arguments: Any) -> Any:
            answer = self._answers[operation]
            if isinstance(answer, Exception):
                raise answer
            return answer

        return call


def unsound(answers: dict[str, dict[str, Any]]) -> dict[str, str]:
    smoke = Smoke(lambda service: Answers(answers[service]), "hatidata", "ap-southeast-1", "111122223333")
    return {each.name: each.saw for each in smoke.run(NOW) if not each.sound}


def changed(service: str, operation: str, answer: Any) -> dict[str, dict[str, Any]]:
    answers = copy.deepcopy(SOUND)
    answers[service][operation] = answer
    return answers


def test_a_sound_deployment_passes_every_check() -> None:
    assert unsound(SOUND) == {}
    assert len(ROTATED) == 6


@pytest.mark.parametrize(
    ("service", "operation", "answer", "check"),
    [
        ("s3", "get_bucket_versioning", {"Status": "Suspended"}, "audit bucket is under lock"),
        (
            "kms",
            "get_key_rotation_status",
            {"KeyRotationEnabled": False},
            "keys are the customer's and rotate every year",
        ),
        (
            "autoscaling",
            "describe_lifecycle_hooks",
            {"LifecycleHooks": []},
            "an abandoned termination retains the node",
        ),
        ("ssm", "describe_instance_information", [], "nodes are managed without a right of their own"),
        ("elbv2", "describe_target_group_attributes", {"Attributes": []}, "clients come with their own address"),
        ("ec2", "describe_vpc_endpoints", {"VpcEndpoints": []}, "private links are connected"),
        ("s3", "list_objects_v2", {}, "nodes write the audit with the key's leave alone"),
        ("s3", "head_object", {"ServerSideEncryption": "AES256"}, "nodes write the audit with the key's leave alone"),
        ("sns", "get_topic_attributes", {"Attributes": {}}, "somebody is told of alarms"),
    ],
)
def test_each_check_can_fail_alone(service: str, operation: str, answer: Any, check: str) -> None:
    assert list(unsound(changed(service, operation, answer))) == [check]


def test_what_may_not_be_asked_is_not_sound_and_says_so() -> None:
    denied = ClientError({"Error": {"Code": "AccessDenied", "Message": "secret details"}}, "GetTopicAttributes")
    assert unsound(changed("sns", "get_topic_attributes", denied)) == {
        "somebody is told of alarms": "cannot be asked: AccessDenied"
    }
