"""The topic on which alarms and failures are told: there before anything that can fail."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from constructs import Construct

from cdk_app.keys import KeyRing
from cdk_app.settings import Deployment


class SignalsStack(cdk.Stack):
    """One encrypted topic, and who may speak on it."""

    def __init__(
        self, scope: Construct, construct_id: str, *, deployment: Deployment, keys: KeyRing, env: cdk.Environment
    ) -> None:
        super().__init__(scope, construct_id, env=env, description="HatiData: topic of alarms")
        self.alarms = sns.Topic(
            self,
            "Alarms",
            topic_name=deployment.name("alarms"),
            display_name="HatiData alarms",
            master_key=kms.Key.from_key_arn(self, "Key", keys.signals.key_arn),
            enforce_ssl=True,
        )
        self.alarms.add_to_resource_policy(
            iam.PolicyStatement(
                sid="Services",
                principals=[
                    iam.ServicePrincipal("cloudwatch.amazonaws.com"),
                    iam.ServicePrincipal("events.amazonaws.com"),
                    iam.ServicePrincipal("backup.amazonaws.com"),
                ],
                actions=["sns:Publish"],
                resources=[self.alarms.topic_arn],
                conditions={"StringEquals": {"aws:SourceAccount": deployment.place.account}},
            )
        )
        for email in deployment.safety.alarm_emails:
            self.alarms.add_subscription(subscriptions.EmailSubscription(email))
