"""The nodes' image: baked once by EC2 Image Builder, so that a node at boot needs no package repository.

The build runs in a VPC of its own, isolated too: Amazon Linux keeps its packages in S3, and a gateway endpoint that
admits those buckets and ours is all the way out there is.
"""

from __future__ import annotations

import hashlib

import aws_cdk as cdk
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_imagebuilder as imagebuilder
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3_assets as assets
from constructs import Construct

from cdk_app.image_component import component_document
from cdk_app.keys import KeyRing
from cdk_app.settings import Deployment
from cdk_app.software import Software

BUILDER_TYPE = "m8g.large"
_MANAGED = (
    "ssm:DescribeAssociation",
    "ssm:GetDeployablePatchSnapshotForInstance",
    "ssm:GetDocument",
    "ssm:DescribeDocument",
    "ssm:GetManifest",
    "ssm:ListAssociations",
    "ssm:ListInstanceAssociations",
    "ssm:PutInventory",
    "ssm:PutComplianceItems",
    "ssm:PutConfigurePackageResult",
    "ssm:UpdateAssociationStatus",
    "ssm:UpdateInstanceAssociationStatus",
    "ssm:UpdateInstanceInformation",
    "ssmmessages:CreateControlChannel",
    "ssmmessages:CreateDataChannel",
    "ssmmessages:OpenControlChannel",
    "ssmmessages:OpenDataChannel",
    "ec2messages:AcknowledgeMessage",
    "ec2messages:DeleteMessage",
    "ec2messages:FailMessage",
    "ec2messages:GetEndpoint",
    "ec2messages:GetMessages",
    "ec2messages:SendReply",
)
"""What Systems Manager's agent asks for on a builder; nobody may name resources for it."""
_LOG = ("logs:CreateLogStream", "logs:PutLogEvents")
_COMPONENT = "imagebuilder:GetComponent"


class ImageStack(cdk.Stack):
    """Component, recipe, pipeline and the image itself."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        deployment: Deployment,
        software: Software,
        keys: KeyRing,
        builder: iam.Role,
        env: cdk.Environment,
    ) -> None:
        super().__init__(scope, construct_id, env=env, description="HatiData: image of the nodes")
        self._deployment = deployment
        self._volumes_key = keys.volumes.key_arn
        self._asset = assets.Asset(self, "Software", path=str(software.node))
        log_key = kms.Key.from_key_arn(self, "LogKey", keys.control.key_arn)
        subnet, door = self._workshop(log_key)
        policy = self._permissions(builder)
        infrastructure = self._infrastructure(builder, subnet, door)
        infrastructure.node.add_dependency(policy)
        image_log, pipeline_log = (self._log(name, log_key) for name in ("images", "pipeline"))
        recipe = self._recipe()
        distribution = self._distribution()
        imagebuilder.CfnImagePipeline(
            self,
            "Pipeline",
            name=deployment.name("node"),
            description="Bakes the nodes' image anew when Amazon Linux has updates",
            image_recipe_arn=recipe.attr_arn,
            infrastructure_configuration_arn=infrastructure.attr_arn,
            distribution_configuration_arn=distribution.attr_arn,
            enhanced_image_metadata_enabled=True,
            image_tests_configuration=_tests(),
            logging_configuration=imagebuilder.CfnImagePipeline.PipelineLoggingConfigurationProperty(
                image_log_group_name=image_log, pipeline_log_group_name=pipeline_log
            ),
            schedule=imagebuilder.CfnImagePipeline.ScheduleProperty(
                schedule_expression="cron(0 18 ? * sun *)",
                pipeline_execution_start_condition="EXPRESSION_MATCH_AND_DEPENDENCY_UPDATES_AVAILABLE",
            ),
        )
        image = imagebuilder.CfnImage(
            self,
            "Image",
            image_recipe_arn=recipe.attr_arn,
            infrastructure_configuration_arn=infrastructure.attr_arn,
            distribution_configuration_arn=distribution.attr_arn,
            enhanced_image_metadata_enabled=True,
            logging_configuration=imagebuilder.CfnImage.ImageLoggingConfigurationProperty(log_group_name=image_log),
        )
        self.image_id = image.attr_image_id

    def _log(self, purpose: str, key: kms.IKey) -> str:
        """The name of a log group under the customer's key: Image Builder would make one without (W2.4).

        Below `/aws/imagebuilder/`, where the service's own role may write.
        """
        group = logs.LogGroup(
            self,
            f"{purpose.capitalize()}Log",
            log_group_name=f"/aws/imagebuilder/{self._deployment.place.name}/{purpose}",
            encryption_key=key,
            retention=logs.RetentionDays.ONE_YEAR,
            removal_policy=cdk.RemovalPolicy.RETAIN,
        )
        return group.log_group_name

    # ------------------------------------------------------------ where it is built

    def _workshop(self, log_key: kms.IKey) -> tuple[ec2.ISubnet, ec2.SecurityGroup]:
        place = self._deployment.place
        vpc = ec2.Vpc(
            self,
            "Workshop",
            vpc_name=self._deployment.name("workshop"),
            ip_addresses=ec2.IpAddresses.cidr("10.255.255.0/24"),
            availability_zones=[place.zones[0]],
            create_internet_gateway=False,
            nat_gateways=0,
            restrict_default_security_group=False,
            subnet_configuration=[
                ec2.SubnetConfiguration(name="isolated", subnet_type=ec2.SubnetType.PRIVATE_ISOLATED)
            ],
        )
        writer = iam.Role(
            self,
            "FlowLogWriter",
            assumed_by=iam.ServicePrincipal(
                "vpc-flow-logs.amazonaws.com", conditions={"StringEquals": {"aws:SourceAccount": place.account}}
            ),
        )
        group = logs.LogGroup(
            self,
            "FlowLog",
            log_group_name=f"/{place.name}/workshop-flow",
            encryption_key=log_key,
            retention=logs.RetentionDays.ONE_YEAR,
            removal_policy=cdk.RemovalPolicy.RETAIN,
        )
        vpc.add_flow_log("Flow", destination=ec2.FlowLogDestination.to_cloud_watch_logs(group, writer))
        subnet = vpc.isolated_subnets[0]
        builders = ec2.SecurityGroup(
            self, "Builders", vpc=vpc, description="HatiData builders of images", allow_all_outbound=False
        )
        endpoints = ec2.SecurityGroup(
            self, "Endpoints", vpc=vpc, description="HatiData endpoints of the workshop", allow_all_outbound=False
        )
        https = ec2.Port.tcp(443)
        endpoints.add_ingress_rule(builders, https, "builders")
        builders.add_egress_rule(endpoints, https, "AWS services")
        builders.add_egress_rule(
            ec2.Peer.prefix_list(self._deployment.network.s3_prefix_list),
            https,
            "packages and assets, by the gateway endpoint",
        )
        self._endpoints(vpc, subnet, endpoints)
        return subnet, builders

    def _endpoints(self, vpc: ec2.Vpc, subnet: ec2.ISubnet, door: ec2.SecurityGroup) -> None:
        place = self._deployment.place
        chosen = ec2.SubnetSelection(subnets=[subnet])
        s3 = ec2.GatewayVpcEndpoint(self, "S3", vpc=vpc, service=ec2.GatewayVpcEndpointAwsService.S3, subnets=[chosen])
        s3.add_to_policy(
            iam.PolicyStatement(
                sid="PackagesAndTools",
                principals=[iam.AnyPrincipal()],
                actions=["s3:GetObject"],
                resources=[
                    f"arn:aws:s3:::al2023-repos-{place.region}-*/*",
                    f"arn:aws:s3:::ec2imagebuilder-toe-{place.region}-prod/*",
                    f"arn:aws:s3:::ec2imagebuilder-managed-resources-{place.region}-prod/*",
                    f"arn:aws:s3:::amazon-ssm-{place.region}/*",
                ],
            )
        )
        s3.add_to_policy(
            iam.PolicyStatement(
                sid="OurSoftware",
                principals=[iam.AnyPrincipal()],
                actions=["s3:GetObject"],
                resources=[self._software_arn()],
                conditions={"StringEquals": {"aws:PrincipalAccount": place.account}},
            )
        )
        services = ec2.InterfaceVpcEndpointAwsService
        for name, service, actions in (
            ("Ssm", services.SSM, _of("ssm")),
            ("SsmMessages", services.SSM_MESSAGES, _of("ssmmessages")),
            ("Ec2Messages", services.EC2_MESSAGES, _of("ec2messages")),
            ("ImageBuilder", services.IMAGE_BUILDER, [_COMPONENT]),
            ("Logs", services.CLOUDWATCH_LOGS, list(_LOG)),
        ):
            endpoint = ec2.InterfaceVpcEndpoint(
                self, name, vpc=vpc, service=service, subnets=chosen, private_dns_enabled=True, open=False,
                security_groups=[door],
            )  # fmt: skip
            endpoint.add_to_policy(
                iam.PolicyStatement(
                    principals=[iam.AnyPrincipal()],
                    actions=actions,
                    resources=["*"],
                    conditions={"StringEquals": {"aws:PrincipalAccount": place.account}},
                )
            )

    def _software_arn(self) -> str:
        return f"arn:aws:s3:::{self._asset.s3_bucket_name}/{self._asset.s3_object_key}"

    def _permissions(self, builder: iam.Role) -> iam.CfnRolePolicy:
        place = self._deployment.place
        here = f"{place.region}:{place.account}"
        return iam.CfnRolePolicy(
            self,
            "BuilderMay",
            role_name=builder.role_name,
            policy_name="build",
            policy_document=iam.PolicyDocument(
                statements=[
                    iam.PolicyStatement(sid="OurSoftware", actions=["s3:GetObject"], resources=[self._software_arn()]),
                    iam.PolicyStatement(
                        sid="OurComponents",
                        actions=[_COMPONENT],
                        resources=[f"arn:aws:imagebuilder:{here}:component/{place.name}-*"],
                    ),
                    iam.PolicyStatement(
                        sid="ManagedByImageBuilder",
                        actions=list(_MANAGED),
                        resources=["*"],
                    ),
                    iam.PolicyStatement(
                        sid="OwnLog",
                        actions=list(_LOG),
                        resources=[f"arn:aws:logs:{here}:log-group:/aws/imagebuilder/{place.name}/*"],
                    ),
                ]
            ),
        )  # fmt: skip

    def _infrastructure(
        self, builder: iam.Role, subnet: ec2.ISubnet, door: ec2.SecurityGroup
    ) -> imagebuilder.CfnInfrastructureConfiguration:
        profile = iam.CfnInstanceProfile(self, "BuilderProfile", roles=[builder.role_name])
        return imagebuilder.CfnInfrastructureConfiguration(
            self,
            "Infrastructure",
            name=self._deployment.name("builders"),
            instance_profile_name=profile.ref,
            instance_types=[BUILDER_TYPE],
            subnet_id=subnet.subnet_id,
            security_group_ids=[door.security_group_id],
            terminate_instance_on_failure=True,
            instance_metadata_options=imagebuilder.CfnInfrastructureConfiguration.InstanceMetadataOptionsProperty(
                http_tokens="required", http_put_response_hop_limit=1
            ),
        )

    # ------------------------------------------------------------ what is built

    def _recipe(self) -> imagebuilder.CfnImageRecipe:
        source = f"s3://{self._asset.s3_bucket_name}/{self._asset.s3_object_key}"
        document = component_document(source)
        # A recipe never changes; what changes gets another name, and with it another image and an instance refresh.
        edition = hashlib.sha256((self._asset.asset_hash + _STEPS_EDITION).encode()).hexdigest()[:12]
        component = imagebuilder.CfnComponent(
            self,
            "Component",
            name=self._deployment.name(f"node-{edition}"),
            platform="Linux",
            version="1.0.0",
            supported_os_versions=["Amazon Linux 2023"],
            kms_key_id=self._volumes_key,
            data=document,
        )
        return imagebuilder.CfnImageRecipe(
            self,
            "Recipe",
            name=self._deployment.name(f"node-{edition}"),
            version="1.0.0",
            parent_image=f"arn:aws:imagebuilder:{self._deployment.place.region}:aws:image/amazon-linux-2023-arm64/x.x.x",
            components=[imagebuilder.CfnImageRecipe.ComponentConfigurationProperty(component_arn=component.attr_arn)],
            block_device_mappings=[
                imagebuilder.CfnImageRecipe.InstanceBlockDeviceMappingProperty(
                    device_name="/dev/xvda",
                    ebs=imagebuilder.CfnImageRecipe.EbsInstanceBlockDeviceSpecificationProperty(
                        encrypted=True,
                        kms_key_id=self._volumes_key,
                        volume_size=16,
                        volume_type="gp3",
                        delete_on_termination=True,
                    ),
                )
            ],
        )

    def _distribution(self) -> imagebuilder.CfnDistributionConfiguration:
        return imagebuilder.CfnDistributionConfiguration(
            self,
            "Distribution",
            name=self._deployment.name("node"),
            distributions=[
                imagebuilder.CfnDistributionConfiguration.DistributionProperty(
                    region=self._deployment.place.region,
                    # CDK passes this one on as it is, so it is spelled as CloudFormation spells it.
                    ami_distribution_configuration={
                        "Name": self._deployment.name("node-{{ imagebuilder:buildDate }}"),
                        "KmsKeyId": self._volumes_key,
                    },
                )
            ],
        )


def _of(service: str) -> list[str]:
    """What the agent asks of one service."""
    return [action for action in _MANAGED if action.startswith(f"{service}:")]


_STEPS_EDITION = hashlib.sha256(component_document("").encode()).hexdigest()


def _tests() -> imagebuilder.CfnImagePipeline.ImageTestsConfigurationProperty:
    return imagebuilder.CfnImagePipeline.ImageTestsConfigurationProperty(image_tests_enabled=True, timeout_minutes=60)
