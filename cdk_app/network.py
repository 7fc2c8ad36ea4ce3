"""The ground: isolated subnets, no way out, and one narrow door to each AWS service that is needed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import aws_cdk as cdk
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from constructs import Construct

from cdk_app.settings import ADMIN_PORT, CLIENT_PORT, METRICS_PORT, NODE_PORT, Deployment

HTTPS = 443


@dataclass(frozen=True, slots=True)
class Doors:
    """The security groups: allow-lists only, both ways (claim W1.7)."""

    front: ec2.SecurityGroup
    """The load balancer that clients reach."""
    nodes: ec2.SecurityGroup
    functions: ec2.SecurityGroup
    probe: ec2.SecurityGroup | None
    """The one function that reads nodes' figures at their door, where the control plane is elsewhere."""
    endpoints: ec2.SecurityGroup
    """The interface endpoints of AWS services."""
    control_link: ec2.SecurityGroup
    """The interface endpoint by which nodes reach the control plane."""
    control_front: ec2.SecurityGroup
    """The network load balancer of the control plane."""
    control_plane: ec2.SecurityGroup
    """The application load balancer behind it."""


class NetworkStack(cdk.Stack):
    """VPC, endpoints with their policies, flow logs, security groups. No internet gateway, no NAT (claim W1.6)."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        deployment: Deployment,
        log_key_arn: str,
        env: cdk.Environment,
    ) -> None:
        super().__init__(scope, construct_id, env=env, description="HatiData: isolated network")
        self._deployment = deployment
        self.vpc = self._vpc(log_key_arn)
        self.subnets = ec2.SubnetSelection(subnets=list(self.vpc.isolated_subnets))
        self.doors = self._doors()
        self._gateways()
        self._interfaces()

    # ------------------------------------------------------------ ground

    def _vpc(self, log_key_arn: str) -> ec2.IVpc:
        network, place = self._deployment.network, self._deployment.place
        if network.vpc_id:
            return ec2.Vpc.from_vpc_attributes(
                self,
                "Vpc",
                vpc_id=network.vpc_id,
                vpc_cidr_block=network.vpc_cidr,
                availability_zones=list(place.zones),
                isolated_subnet_ids=list(network.subnet_ids),
                isolated_subnet_route_table_ids=list(network.route_table_ids),
            )
        vpc = ec2.Vpc(
            self,
            "Vpc",
            vpc_name=self._deployment.name("vpc"),
            ip_addresses=ec2.IpAddresses.cidr(network.cidr),
            availability_zones=list(place.zones),
            create_internet_gateway=False,
            nat_gateways=0,
            restrict_default_security_group=False,  # done below without a custom resource
            subnet_configuration=[
                ec2.SubnetConfiguration(
                    name="isolated", subnet_type=ec2.SubnetType.PRIVATE_ISOLATED, map_public_ip_on_launch=None
                )
            ],
        )
        group = logs.LogGroup(
            self,
            "FlowLog",
            log_group_name=f"/{self._deployment.place.name}/flow",
            encryption_key=kms.Key.from_key_arn(self, "LogKey", log_key_arn),
            retention=logs.RetentionDays.ONE_YEAR,
            removal_policy=cdk.RemovalPolicy.RETAIN,
        )
        writer = iam.Role(
            self,
            "FlowLogWriter",
            assumed_by=iam.ServicePrincipal(
                "vpc-flow-logs.amazonaws.com", conditions={"StringEquals": {"aws:SourceAccount": place.account}}
            ),
        )
        vpc.add_flow_log(
            "Flow",
            destination=ec2.FlowLogDestination.to_cloud_watch_logs(group, writer),
            traffic_type=ec2.FlowLogTrafficType.ALL,
        )
        return vpc

    # ------------------------------------------------------------ doors

    def _group(self, name: str, purpose: str) -> ec2.SecurityGroup:
        return ec2.SecurityGroup(
            self,
            name,
            vpc=self.vpc,
            description=f"HatiData {purpose}",
            allow_all_outbound=False,
            disable_inline_rules=False,
        )

    def _doors(self) -> Doors:
        network = self._deployment.network
        doors = Doors(
            front=self._group("Front", "load balancer of clients"),
            nodes=self._group("Nodes", "query nodes"),
            functions=self._group("Functions", "functions"),
            probe=None if self._deployment.own_control_plane else self._group("Probe", "reader of figures"),
            endpoints=self._group("Endpoints", "interface endpoints of AWS services"),
            control_link=self._group("ControlLink", "way of nodes to the control plane"),
            control_front=self._group("ControlFront", "network load balancer of the control plane"),
            control_plane=self._group("ControlPlane", "application load balancer of the control plane"),
        )
        for cidr in network.client_cidrs:
            doors.front.add_ingress_rule(ec2.Peer.ipv4(cidr), ec2.Port.tcp(CLIENT_PORT), "approved clients (W1.8)")
        self._between(doors.front, doors.nodes, CLIENT_PORT, "clients, by the load balancer")
        self._between(doors.front, doors.nodes, METRICS_PORT, "health checks of the load balancer")
        for cidr in network.monitoring_cidrs:
            doors.nodes.add_ingress_rule(ec2.Peer.ipv4(cidr), ec2.Port.tcp(METRICS_PORT), "monitoring (W1.9)")
        for cidr in network.admin_cidrs:
            doors.control_front.add_ingress_rule(ec2.Peer.ipv4(cidr), ec2.Port.tcp(ADMIN_PORT), "administration (H9)")
        s3, dynamodb = ec2.Peer.prefix_list(network.s3_prefix_list), ec2.Peer.prefix_list(network.dynamodb_prefix_list)
        doors.nodes.add_egress_rule(s3, ec2.Port.tcp(HTTPS), "S3 by the gateway endpoint (W1.4)")
        doors.functions.add_egress_rule(s3, ec2.Port.tcp(HTTPS), "S3 by the gateway endpoint")
        doors.functions.add_egress_rule(dynamodb, ec2.Port.tcp(HTTPS), "DynamoDB by the gateway endpoint")
        for cidr in network.webhook_cidrs:
            doors.functions.add_egress_rule(ec2.Peer.ipv4(cidr), ec2.Port.tcp(HTTPS), "receivers of webhooks")
        self._between(doors.nodes, doors.endpoints, HTTPS, "KMS and Systems Manager")
        if doors.probe is not None:
            self._between(doors.probe, doors.nodes, METRICS_PORT, "figures of nodes (H10)")
            self._between(doors.probe, doors.endpoints, HTTPS, "AWS services")
        self._between(doors.functions, doors.endpoints, HTTPS, "AWS services")
        self._between(doors.nodes, doors.control_link, NODE_PORT, "rulebook and figures, by PrivateLink")
        self._between(doors.control_link, doors.control_front, NODE_PORT, "nodes, by PrivateLink")
        for port in (ADMIN_PORT, NODE_PORT):
            self._between(doors.control_front, doors.control_plane, port, "passed through")
        return doors

    @staticmethod
    def _between(source: ec2.SecurityGroup, target: ec2.SecurityGroup, port: int, why: str) -> None:
        """One rule out of `source` and one into `target`: neither group admits more than the other offers."""
        target.add_ingress_rule(source, ec2.Port.tcp(port), why)
        source.add_egress_rule(target, ec2.Port.tcp(port), why)

    # ------------------------------------------------------------ endpoints

    def _gateways(self) -> None:
        place = self._deployment.place
        s3 = ec2.GatewayVpcEndpoint(
            self, "S3", vpc=self.vpc, service=ec2.GatewayVpcEndpointAwsService.S3, subnets=[self.subnets]
        )
        buckets = [self._deployment.data_bucket, self._deployment.bucket("audit")]
        s3.add_to_policy(
            _of_account(
                place.account,
                ["s3:GetObject", "s3:ListBucket", "s3:PutObject", "s3:GetObjectRetention", "s3:RestoreObject"],
                [arn for bucket in buckets for arn in (f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*")],
            )
        )
        dynamodb = ec2.GatewayVpcEndpoint(
            self, "DynamoDb", vpc=self.vpc, service=ec2.GatewayVpcEndpointAwsService.DYNAMODB, subnets=[self.subnets]
        )
        dynamodb.add_to_policy(
            _of_account(
                place.account,
                [
                    "dynamodb:GetItem",
                    "dynamodb:BatchGetItem",
                    "dynamodb:Query",
                    "dynamodb:PutItem",
                    "dynamodb:UpdateItem",
                    "dynamodb:DeleteItem",
                    "dynamodb:TransactGetItems",
                    "dynamodb:TransactWriteItems",
                    "dynamodb:ConditionCheckItem",
                    "dynamodb:DescribeTable",
                ],
                [f"arn:aws:dynamodb:{place.region}:{place.account}:table/{place.name}-*"],
            )
        )

    def _interfaces(self) -> None:
        place = self._deployment.place
        services = ec2.InterfaceVpcEndpointAwsService
        here = f"{place.region}:{place.account}"
        self._interface(
            "Kms",
            services.KMS,
            [
                "kms:Decrypt",
                "kms:Encrypt",
                "kms:GenerateDataKey",
                "kms:GenerateDataKeyWithoutPlaintext",
                "kms:Sign",
                "kms:GetPublicKey",
                "kms:DescribeKey",
                "kms:GetKeyRotationStatus",
                "kms:ListKeyRotations",
                "kms:RotateKeyOnDemand",
            ],
            [f"arn:aws:kms:{here}:key/*"],
        )
        # The agent on a node speaks to these two; a node's role comes from Default Host Management, so the policy
        # names the account and not a role.
        self._interface(
            "Ssm",
            services.SSM,
            [
                "ssm:UpdateInstanceInformation",
                "ssm:ListAssociations",
                "ssm:ListInstanceAssociations",
                "ssm:DescribeAssociation",
                "ssm:GetDocument",
                "ssm:DescribeDocument",
                "ssm:GetDeployablePatchSnapshotForInstance",
                "ssm:PutInventory",
                "ssm:PutComplianceItems",
                "ssm:PutConfigurePackageResult",
                "ssm:UpdateAssociationStatus",
                "ssm:UpdateInstanceAssociationStatus",
                "ssm:GetManifest",
                "ssm:RequestManagedInstanceRoleToken",
                "ssm:SendCommand",
                "ssm:GetCommandInvocation",
            ],
            ["*"],
        )
        self._interface(
            "SsmMessages",
            services.SSM_MESSAGES,
            [
                "ssmmessages:CreateControlChannel",
                "ssmmessages:CreateDataChannel",
                "ssmmessages:OpenControlChannel",
                "ssmmessages:OpenDataChannel",
            ],
            ["*"],
        )
        self._interface(
            "AutoScaling",
            services.AUTOSCALING,
            [
                "autoscaling:CompleteLifecycleAction",
                "autoscaling:RecordLifecycleActionHeartbeat",
                "autoscaling:DescribeAutoScalingGroups",
                "autoscaling:DescribeAutoScalingInstances",
            ],
            ["*"],
        )
        self._interface("Sns", services.SNS, ["sns:Publish"], [f"arn:aws:sns:{here}:{place.name}-*"])

    def _interface(
        self, name: str, service: ec2.IInterfaceVpcEndpointService, actions: Sequence[str], resources: Sequence[str]
    ) -> None:
        endpoint = ec2.InterfaceVpcEndpoint(
            self,
            name,
            vpc=self.vpc,
            service=service,
            subnets=self.subnets,
            private_dns_enabled=True,
            open=False,
            security_groups=[self.doors.endpoints],
        )
        endpoint.add_to_policy(_of_account(self._deployment.place.account, list(actions), list(resources)))


def _of_account(account: str, actions: list[str], resources: list[str]) -> iam.PolicyStatement:
    """What an endpoint lets through: these actions, on these resources, by principals of this account only."""
    return iam.PolicyStatement(
        principals=[iam.AnyPrincipal()],
        actions=actions,
        resources=resources,
        conditions={"StringEquals": {"aws:PrincipalAccount": account}},
    )
