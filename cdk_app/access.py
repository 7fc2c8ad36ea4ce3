"""The ways in: clients to the nodes, nodes and administrators to the control plane. Nothing faces the internet."""

from __future__ import annotations

import aws_cdk as cdk
import jsii
from aws_cdk import aws_certificatemanager as acm
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_elasticloadbalancingv2 as elbv2
from aws_cdk import aws_elasticloadbalancingv2_targets as targets
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_route53 as route53
from aws_cdk import aws_route53_targets as route53_targets
from aws_cdk import aws_s3 as s3
from constructs import Construct

from cdk_app.firewall import put_before
from cdk_app.keys import KeyRing
from cdk_app.network import Doors
from cdk_app.settings import ADMIN_PORT, CLIENT_PORT, METRICS_PORT, NODE_PORT, Deployment

_MTLS_HEADERS = (
    "X-Amzn-Mtls-Clientcert",
    "X-Amzn-Mtls-Clientcert-Issuer",
    "X-Amzn-Mtls-Clientcert-Leaf",
    "X-Amzn-Mtls-Clientcert-Serial-Number",
    "X-Amzn-Mtls-Clientcert-Subject",
    "X-Amzn-Mtls-Clientcert-Validity",
)


class AccessStack(cdk.Stack):
    """Load balancers, endpoint services, the firewall, and the name of the control plane."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        deployment: Deployment,
        vpc: ec2.IVpc,
        subnets: ec2.SubnetSelection,
        doors: Doors,
        keys: KeyRing,
        control_plane: lambda_.IFunction | None,
        rulebook_poll: lambda_.IFunction | None,
        env: cdk.Environment,
    ) -> None:
        super().__init__(scope, construct_id, env=env, description="HatiData: load balancers and private links")
        self._deployment = deployment
        self._vpc, self._subnets, self._doors = vpc, subnets, doors
        self.front, self.target_group = self._front()
        self._client_service()
        self.control_balancer: elbv2.ApplicationLoadBalancer | None = None
        if control_plane is not None and rulebook_poll is not None:
            log_key = kms.Key.from_key_arn(self, "LogKey", keys.control.key_arn)
            balancer = self.control_balancer = self._control_plane(control_plane, rulebook_poll)
            put_before(self, deployment, balancer, log_key)
            service_name = self._control_service(balancer)
        else:
            service_name = deployment.control_plane.service_name
        self._control_link(service_name)

    # ------------------------------------------------------------ clients to nodes

    def _front(self) -> tuple[elbv2.NetworkLoadBalancer, elbv2.NetworkTargetGroup]:
        balancer = self._network_balancer("Front", "front", self._doors.front)
        group = elbv2.NetworkTargetGroup(
            self,
            "Nodes",
            target_group_name=self._deployment.name("nodes"),
            vpc=self._vpc,
            port=CLIENT_PORT,
            protocol=elbv2.Protocol.TCP,
            target_type=elbv2.TargetType.INSTANCE,
            # The node learns the client's address from the header; the packets come from the load balancer, which is
            # how the node knows whom to believe.
            proxy_protocol_v2=True,
            preserve_client_ip=False,
            connection_termination=False,
            deregistration_delay=cdk.Duration.seconds(self._deployment.nodes.drain_timeout_s),
            health_check=elbv2.HealthCheck(
                protocol=elbv2.Protocol.HTTP,
                port=str(METRICS_PORT),
                path="/readyz",
                healthy_http_codes="200",
                interval=cdk.Duration.seconds(10),
                timeout=cdk.Duration.seconds(5),
                healthy_threshold_count=2,
                unhealthy_threshold_count=3,
            ),
        )
        balancer.add_listener(
            "Clients",
            port=CLIENT_PORT,
            protocol=elbv2.Protocol.TCP,
            default_target_groups=[group],
            tcp_idle_timeout=cdk.Duration.seconds(3600),
        )
        return balancer, group

    def _network_balancer(self, name: str, purpose: str, door: ec2.ISecurityGroup) -> elbv2.NetworkLoadBalancer:
        return elbv2.NetworkLoadBalancer(
            self,
            name,
            load_balancer_name=self._deployment.name(purpose),
            vpc=self._vpc,
            vpc_subnets=self._subnets,
            internet_facing=False,
            cross_zone_enabled=True,
            deletion_protection=True,
            security_groups=[door],
            enforce_security_group_inbound_rules_on_private_link_traffic=True,
        )

    def _client_service(self) -> None:
        """For clients in other VPCs; the allow-list of networks holds for them too."""
        principals = self._deployment.network.client_principals
        if principals:
            ec2.VpcEndpointService(
                self,
                "ClientService",
                vpc_endpoint_service_load_balancers=[self.front],
                acceptance_required=True,
                allowed_principals=[iam.ArnPrincipal(arn) for arn in principals],
            )

    # ------------------------------------------------------------ the control plane

    def _control_plane(self, function: lambda_.IFunction, poll: lambda_.IFunction) -> elbv2.ApplicationLoadBalancer:
        settings = self._deployment.control_plane
        balancer = elbv2.ApplicationLoadBalancer(
            self,
            "ControlPlane",
            load_balancer_name=self._deployment.name("control-plane"),
            vpc=self._vpc,
            vpc_subnets=self._subnets,
            internet_facing=False,
            security_group=self._doors.control_plane,
            deletion_protection=True,
            drop_invalid_header_fields=True,
            desync_mitigation_mode=elbv2.DesyncMitigationMode.STRICTEST,
            http2_enabled=True,
            idle_timeout=cdk.Duration.seconds(60),
            waf_fail_open=False,
        )
        certificate = acm.Certificate.from_certificate_arn(self, "Certificate", settings.certificate_arn)
        trust = elbv2.TrustStore(
            self,
            "NodeAuthorities",
            trust_store_name=self._deployment.name("nodes"),
            bucket=s3.Bucket.from_bucket_name(self, "TrustBucket", settings.trust_bucket),
            key=settings.trust_key,
        )
        group = elbv2.ApplicationTargetGroup(
            self,
            "Function",
            target_group_name=self._deployment.name("api"),
            target_type=elbv2.TargetType.LAMBDA,
            targets=[self._called_by("api", function)],
            multi_value_headers_enabled=True,
        )
        refused = elbv2.ListenerAction.fixed_response(404, content_type="application/json", message_body="{}")
        nodes = self._listener(
            balancer,
            "ForNodes",
            NODE_PORT,
            certificate,
            refused,
            elbv2.MutualAuthentication(
                mutual_authentication_mode=elbv2.MutualAuthenticationMode.VERIFY,
                trust_store=trust,
                ignore_client_certificate_expiry=False,
            ),
        )
        waiting = elbv2.ApplicationTargetGroup(
            self,
            "Polls",
            target_group_name=self._deployment.name("polls"),
            target_type=elbv2.TargetType.LAMBDA,
            targets=[self._called_by("polls", poll)],
            multi_value_headers_enabled=True,
        )
        nodes.add_action(
            "NodesThatWait",
            priority=5,
            conditions=[
                elbv2.ListenerCondition.path_patterns(["/v1/nodes/rulebook"]),
                elbv2.ListenerCondition.query_strings([elbv2.QueryStringCondition(key="wait_s", value="*")]),
            ],
            action=elbv2.ListenerAction.forward([waiting]),
        )
        nodes.add_action(
            "NodeRoutes",
            priority=10,
            conditions=[elbv2.ListenerCondition.path_patterns(["/v1/nodes/*"])],
            action=elbv2.ListenerAction.forward([group]),
        )
        admin = self._listener(
            balancer, "ForAdministrators", ADMIN_PORT, certificate, elbv2.ListenerAction.forward([group]), None
        )
        # On this listener nobody has shown a certificate: whatever claims one is refused before the function sees it.
        for priority, header in enumerate(_MTLS_HEADERS, 10):
            admin.add_action(
                f"No{header.replace('-', '')}",
                priority=priority,
                conditions=[elbv2.ListenerCondition.http_header(header, ["*"])],
                action=refused,
            )
        return balancer

    def _called_by(self, group: str, function: lambda_.IFunction) -> CalledFunction:
        """The function as a target of this one group: any other load balancer could claim any node's certificate.

        By name, because the group is made only when its function lets itself be called.
        """
        place = self._deployment.place
        balancers = f"arn:aws:elasticloadbalancing:{place.region}:{place.account}"
        permission = lambda_.CfnPermission(
            self,
            f"{group.capitalize()}MayBeCalled",
            action="lambda:InvokeFunction",
            function_name=function.function_arn,
            principal="elasticloadbalancing.amazonaws.com",
            source_account=place.account,
            source_arn=f"{balancers}:targetgroup/{self._deployment.name(group)}/*",
        )
        return CalledFunction(function, permission)

    def _listener(
        self,
        balancer: elbv2.ApplicationLoadBalancer,
        name: str,
        port: int,
        certificate: acm.ICertificate,
        default: elbv2.ListenerAction,
        mutual: elbv2.MutualAuthentication | None,
    ) -> elbv2.ApplicationListener:
        return balancer.add_listener(
            name,
            port=port,
            protocol=elbv2.ApplicationProtocol.HTTPS,
            certificates=[certificate],
            ssl_policy=elbv2.SslPolicy.TLS13_13,
            open=False,
            default_action=default,
            mutual_authentication=mutual,
        )

    def _control_service(self, balancer: elbv2.ApplicationLoadBalancer) -> str:
        """Network load balancer and endpoint service before the application load balancer: what PrivateLink needs."""
        front = self._network_balancer("ControlFront", "control", self._doors.control_front)
        for name, port, listener in (("Administrators", ADMIN_PORT, 0), ("NodesLink", NODE_PORT, 1)):
            group = elbv2.NetworkTargetGroup(
                self,
                f"Control{name}",
                vpc=self._vpc,
                port=port,
                protocol=elbv2.Protocol.TCP,
                target_type=elbv2.TargetType.ALB,
                targets=[targets.AlbListenerTarget(balancer.listeners[1 - listener])],
                health_check=elbv2.HealthCheck(
                    protocol=elbv2.Protocol.HTTPS, path="/v1/health", healthy_http_codes="200-499"
                ),
            )
            front.add_listener(name, port=port, protocol=elbv2.Protocol.TCP, default_target_groups=[group])
        service = ec2.VpcEndpointService(
            self,
            "ControlService",
            vpc_endpoint_service_load_balancers=[front],
            acceptance_required=bool(self._deployment.control_plane.node_principals),
            allowed_principals=[
                iam.ArnPrincipal(f"arn:aws:iam::{self._deployment.place.account}:root"),
                *(iam.ArnPrincipal(arn) for arn in self._deployment.control_plane.node_principals),
            ],
        )
        return service.vpc_endpoint_service_name

    def _control_link(self, service_name: str) -> None:
        """The nodes' way to the control plane, always PrivateLink (W1.3), under the name its certificate carries."""
        endpoint = ec2.InterfaceVpcEndpoint(
            self,
            "ControlLink",
            vpc=self._vpc,
            service=ec2.InterfaceVpcEndpointService(service_name, NODE_PORT),
            subnets=self._subnets,
            security_groups=[self._doors.control_link],
            private_dns_enabled=False,
            open=False,
        )
        zone = route53.PrivateHostedZone(
            self, "Zone", vpc=self._vpc, zone_name=self._deployment.control_plane.domain,
            comment="HatiData: the control plane, by its private link",
        )  # fmt: skip
        route53.ARecord(
            self,
            "Name",
            zone=zone,
            target=route53.RecordTarget.from_alias(route53_targets.InterfaceVpcEndpointTarget(endpoint)),
        )


@jsii.implements(elbv2.IApplicationLoadBalancerTarget)
class CalledFunction:
    """A function as a target, called by the permission that is given: CDK's own would let every load balancer call."""

    def __init__(self, function: lambda_.IFunction, permission: lambda_.CfnPermission) -> None:
        self._function, self._permission = function, permission

    def attach_to_application_target_group(
        self, target_group: elbv2.IApplicationTargetGroup
    ) -> elbv2.LoadBalancerTargetProps:
        """What CDK asks of a target."""
        target_group.node.add_dependency(self._permission)
        return elbv2.LoadBalancerTargetProps(
            target_type=elbv2.TargetType.LAMBDA, target_json={"id": self._function.function_arn}
        )
