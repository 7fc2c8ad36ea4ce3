"""The query nodes: what one is made of, how many there are, and why none dies before its cache is erased."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_autoscaling as autoscaling
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_elasticloadbalancingv2 as elbv2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sns as sns
from constructs import Construct

from cdk_app.function_settings import ERASE_HOOK
from cdk_app.keys import KeyRing, Roles
from cdk_app.node_files import user_data
from cdk_app.node_permissions import node_policy
from cdk_app.permissions import ROLE_OF_NODES, ROLE_TAG
from cdk_app.settings import Deployment
from lambdas.figures import NAMESPACE
from lambdas.node_figures.settings import METRICS

HEARTBEAT_S = 900
"""How long the hook waits between two heartbeats before it abandons, which retains the instance."""


class NodesStack(cdk.Stack):
    """Launch template, auto scaling group, termination hook, scaling on concurrency."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        deployment: Deployment,
        vpc: ec2.IVpc,
        subnets: ec2.SubnetSelection,
        security_group: ec2.ISecurityGroup,
        keys: KeyRing,
        roles: Roles,
        image_id: str,
        target_group: elbv2.NetworkTargetGroup,
        alarms: sns.ITopic,
        env: cdk.Environment,
    ) -> None:
        super().__init__(scope, construct_id, env=env, description="HatiData: query nodes")
        self._deployment = deployment
        self._permissions(roles, keys)
        template = self._template(image_id, security_group, roles, keys)
        self.group = self._group(template, vpc, subnets, target_group, alarms)
        self._scaling()

    def _permissions(self, roles: Roles, keys: KeyRing) -> None:
        iam.CfnRolePolicy(
            self,
            "NodeMay",
            role_name=roles.node.role_name,
            policy_name="four",
            policy_document=node_policy(
                data_bucket=self._deployment.data_bucket,
                audit_bucket=self._deployment.bucket("audit"),
                data_key_arn=keys.data.key_arn,
            ),
        )

    def _template(
        self, image_id: str, security_group: ec2.ISecurityGroup, roles: Roles, keys: KeyRing
    ) -> ec2.LaunchTemplate:
        nodes = self._deployment.nodes
        template = ec2.LaunchTemplate(
            self,
            "Template",
            launch_template_name=self._deployment.name("node"),
            machine_image=ec2.MachineImage.generic_linux({self._deployment.place.region: image_id}),
            instance_type=ec2.InstanceType(nodes.instance_type),
            role=iam.Role.from_role_arn(self, "Node", roles.node.role_arn, mutable=False),
            security_group=security_group,
            associate_public_ip_address=False,
            require_imdsv2=True,
            http_put_response_hop_limit=1,
            http_endpoint=True,
            instance_metadata_tags=False,
            detailed_monitoring=True,
            ebs_optimized=True,
            disable_api_termination=True,
            instance_initiated_shutdown_behavior=ec2.InstanceInitiatedShutdownBehavior.TERMINATE,
            block_devices=[
                ec2.BlockDevice(
                    device_name="/dev/xvda",
                    volume=ec2.BlockDeviceVolume.ebs(
                        nodes.root_gb,
                        encrypted=True,
                        kms_key=kms.Key.from_key_arn(self, "VolumesKey", keys.volumes.key_arn),
                        volume_type=ec2.EbsDeviceVolumeType.GP3,
                        delete_on_termination=True,
                    ),
                )
            ],
            user_data=user_data(self._deployment, data_key_arn=keys.data.key_arn),
        )
        resource = template.node.default_child
        assert isinstance(resource, ec2.CfnLaunchTemplate)  # noqa: S101 - what the construct is made of
        # `node_probe` knows nodes by their ids; the VPC's resolver then knows them by the same.
        resource.add_property_override(
            "LaunchTemplateData.PrivateDnsNameOptions", {"EnableResourceNameDnsARecord": True}
        )
        return template

    def _group(
        self,
        template: ec2.LaunchTemplate,
        vpc: ec2.IVpc,
        subnets: ec2.SubnetSelection,
        target_group: elbv2.NetworkTargetGroup,
        alarms: sns.ITopic,
    ) -> autoscaling.AutoScalingGroup:
        nodes = self._deployment.nodes
        group = autoscaling.AutoScalingGroup(
            self,
            "Group",
            auto_scaling_group_name=self._deployment.name("nodes"),
            vpc=vpc,
            vpc_subnets=subnets,
            launch_template=template,
            min_capacity=nodes.nodes_min,
            max_capacity=nodes.nodes_max,
            health_checks=autoscaling.HealthChecks.with_additional_checks(
                additional_types=[autoscaling.AdditionalHealthCheckType.ELB], grace_period=cdk.Duration.minutes(10)
            ),
            default_instance_warmup=cdk.Duration.minutes(3),
            group_metrics=[autoscaling.GroupMetrics.all()],
            instance_lifecycle_policy=autoscaling.InstanceLifecyclePolicy(
                retention_triggers=autoscaling.RetentionTriggers(
                    terminate_hook_abandon=autoscaling.TerminateHookAbandonAction.RETAIN
                )
            ),
            update_policy=autoscaling.UpdatePolicy.instance_refresh(
                strategy=autoscaling.InstanceRefreshStrategy.ROLLING,
                min_healthy_percentage=100,
                max_healthy_percentage=150,
                instance_warmup=cdk.Duration.minutes(3),
                skip_matching=True,
            ),
            notifications=[
                autoscaling.NotificationConfiguration(topic=alarms, scaling_events=autoscaling.ScalingEvents.ERRORS)
            ],
        )
        cdk.Tags.of(group).add(ROLE_TAG, ROLE_OF_NODES)
        group.attach_to_network_target_group(target_group)
        # Part of the group itself, not a resource after it: there is no moment in which a node could die without it.
        resource = group.node.default_child
        assert isinstance(resource, autoscaling.CfnAutoScalingGroup)  # noqa: S101 - what the construct is made of
        resource.lifecycle_hook_specification_list = [
            autoscaling.CfnAutoScalingGroup.LifecycleHookSpecificationProperty(
                lifecycle_hook_name=ERASE_HOOK,
                lifecycle_transition="autoscaling:EC2_INSTANCE_TERMINATING",
                default_result="ABANDON",
                heartbeat_timeout=HEARTBEAT_S,
            )
        ]
        return group

    def _scaling(self) -> None:
        """By running queries, whoever publishes their number (`node_figures`, or `node_probe`)."""
        self.group.scale_to_track_metric(
            "Concurrency",
            metric=cloudwatch.Metric(
                namespace=NAMESPACE,
                metric_name=METRICS["running"],
                dimensions_map={"Environment": self._deployment.place.environment},
                statistic="Average",
                period=cdk.Duration.minutes(1),
            ),
            target_value=self._deployment.nodes.queries_per_node,
            estimated_instance_warmup=cdk.Duration.minutes(3),
        )
