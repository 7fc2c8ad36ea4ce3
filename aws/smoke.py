"""Checks that only a real account can answer: reads, never writes; each says what it saw."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from aws.names import AUDIT_PREFIX

Clients = Callable[[str], Any]
"""A boto3 client by the service's name."""
ROTATED = ("data", "audit", "control", "volumes", "signals", "queues")
RETENTION_DAYS_MIN = 2557
_OBJECTS_LOOKED_AT = 20


@dataclass(frozen=True, slots=True)
class Check:
    """One check and what came of it."""

    name: str
    sound: bool
    saw: str


@dataclass(frozen=True, slots=True)
class Smoke:
    """The checks of one deployment."""

    clients: Clients
    name: str
    """The deployment's."""
    region: str
    account: str

    def run(self, now: datetime) -> Iterator[Check]:
        """Every check, one after the other; one that cannot be asked is not sound."""
        checks: tuple[tuple[str, Callable[[datetime], tuple[bool, str]]], ...] = (
            ("audit bucket is under lock", self._lock),
            ("keys are the customer's and rotate every year", self._keys),
            ("nodes are ready in two zones", self._nodes),
            ("an abandoned termination retains the node", self._hook),
            ("nodes are managed without a right of their own", self._managed),
            ("clients come with their own address", self._front),
            ("private links are connected", self._links),
            ("nodes write the audit with the key's leave alone", self._audit),
            ("somebody is told of alarms", self._topic),
        )
        for title, check in checks:
            try:
                sound, saw = check(now)
            except ClientError as error:
                sound, saw = False, f"cannot be asked: {error.response.get('Error', {}).get('Code', 'unknown')}"
            except (BotoCoreError, KeyError, IndexError, TypeError) as error:
                sound, saw = False, f"cannot be told: {type(error).__name__}"
            yield Check(title, sound, saw)

    @property
    def _bucket(self) -> str:
        return f"{self.name}-audit-{self.account}-{self.region}"

    def _lock(self, _now: datetime) -> tuple[bool, str]:
        s3 = self.clients("s3")
        rule = s3.get_object_lock_configuration(Bucket=self._bucket)["ObjectLockConfiguration"]["Rule"]
        retention = rule["DefaultRetention"]
        days = retention.get("Days", 0) + 365 * retention.get("Years", 0)
        versions = s3.get_bucket_versioning(Bucket=self._bucket).get("Status")
        sound = retention["Mode"] == "GOVERNANCE" and days >= RETENTION_DAYS_MIN and versions == "Enabled"
        return sound, f"{retention['Mode']}, {days} days, versioning {versions}"

    def _keys(self, _now: datetime) -> tuple[bool, str]:
        kms, wrong = self.clients("kms"), []
        for purpose in ROTATED:
            found = kms.describe_key(KeyId=f"alias/{self.name}-{purpose}")["KeyMetadata"]
            status = kms.get_key_rotation_status(KeyId=found["Arn"])
            yearly = status.get("KeyRotationEnabled") and int(status.get("RotationPeriodInDays") or 365) <= 366
            if found["KeyManager"] != "CUSTOMER" or not found["Enabled"] or not yearly:
                wrong.append(purpose)
        return not wrong, f"wrong: {', '.join(wrong)}" if wrong else f"{len(ROTATED)} keys"

    def _group(self) -> dict[str, Any]:
        groups = self.clients("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=[f"{self.name}-nodes"])
        found: dict[str, Any] = groups["AutoScalingGroups"][0]
        return found

    def _nodes(self, _now: datetime) -> tuple[bool, str]:
        group = self._group()
        ready = [
            each for each in group["Instances"]
            if (each["LifecycleState"], each["HealthStatus"]) == ("InService", "Healthy")
        ]  # fmt: skip
        zones = {each["AvailabilityZone"] for each in ready}
        sound = len(ready) >= group["MinSize"] and len(zones) >= min(2, group["MinSize"])
        return sound, f"{len(ready)} of {len(group['Instances'])} in {len(zones)} zones"

    def _hook(self, _now: datetime) -> tuple[bool, str]:
        hooks = self.clients("autoscaling").describe_lifecycle_hooks(AutoScalingGroupName=f"{self.name}-nodes")
        ending = [
            each["DefaultResult"]
            for each in hooks["LifecycleHooks"]
            if each["LifecycleTransition"] == "autoscaling:EC2_INSTANCE_TERMINATING"
        ]
        policy = self._group().get("InstanceLifecyclePolicy", {}).get("RetentionTriggers", {})
        retained = policy.get("TerminateHookAbandon", "")
        return ending == ["ABANDON"] and retained == "retain", f"hooks {ending}, abandoned: {retained or 'terminated'}"

    def _managed(self, _now: datetime) -> tuple[bool, str]:
        ours = {each["InstanceId"] for each in self._group()["Instances"]}
        pages = self.clients("ssm").get_paginator("describe_instance_information").paginate()
        told = {each["InstanceId"] for page in pages for each in page["InstanceInformationList"]
                if each["PingStatus"] == "Online"}  # fmt: skip
        missing = ours - told
        return bool(ours) and not missing, f"{len(missing)} of {len(ours)} not managed: see Default Host Management"

    def _front(self, _now: datetime) -> tuple[bool, str]:
        elb = self.clients("elbv2")
        group = elb.describe_target_groups(Names=[f"{self.name}-nodes"])["TargetGroups"][0]["TargetGroupArn"]
        attributes = {
            each["Key"]: each["Value"]
            for each in elb.describe_target_group_attributes(TargetGroupArn=group)["Attributes"]
        }
        balancer = elb.describe_load_balancers(Names=[f"{self.name}-front"])["LoadBalancers"][0]
        proxied = attributes.get("proxy_protocol_v2.enabled") == "true"
        enforced = balancer.get("EnforceSecurityGroupInboundRulesOnPrivateLinkTraffic") == "on"
        internal = balancer["Scheme"] == "internal"
        states = [
            each["TargetHealth"]["State"]
            for each in elb.describe_target_health(TargetGroupArn=group)["TargetHealthDescriptions"]
        ]
        sound = proxied and enforced and internal and bool(states) and set(states) == {"healthy"}
        return sound, f"proxy protocol {proxied}, private links checked {enforced}, targets {sorted(set(states))}"

    def _links(self, _now: datetime) -> tuple[bool, str]:
        tagged = [{"Name": "tag:deployment", "Values": [self.name]}]
        found = self.clients("ec2").describe_vpc_endpoints(Filters=tagged)["VpcEndpoints"]
        waiting = [each["ServiceName"] for each in found if each["State"].lower() != "available"]
        return bool(found) and not waiting, f"{len(found)} endpoints, {len(waiting)} not available"

    def _audit(self, now: datetime) -> tuple[bool, str]:
        s3 = self.clients("s3")
        days = [f"{AUDIT_PREFIX}sessions/{now - timedelta(days=back):%Y/%m/%d}/" for back in (0, 1)]
        names = [
            each["Key"]
            for day in days
            for each in s3.list_objects_v2(Bucket=self._bucket, Prefix=day, MaxKeys=_OBJECTS_LOOKED_AT).get(
                "Contents", []
            )
        ]
        if not names:
            return False, "no session was audited since yesterday: connect once and ask again"
        heads = [s3.head_object(Bucket=self._bucket, Key=name) for name in names]
        wrong = [
            head for head in heads
            if head.get("ServerSideEncryption") != "aws:kms" or head.get("ObjectLockMode") != "GOVERNANCE"
        ]  # fmt: skip
        return not wrong, f"{len(heads)} objects, {len(wrong)} not under key and lock"

    def _topic(self, _now: datetime) -> tuple[bool, str]:
        topic = f"arn:aws:sns:{self.region}:{self.account}:{self.name}-alarms"
        attributes = self.clients("sns").get_topic_attributes(TopicArn=topic)["Attributes"]
        confirmed = int(attributes.get("SubscriptionsConfirmed", "0"))
        return confirmed > 0, f"{confirmed} confirmed, {attributes.get('SubscriptionsPending', '0')} pending"
