"""The ways in: clients to the nodes, nodes and administrators to the control plane. Nothing faces the internet."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_certificatemanager as acm
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_elasticloadbalancingv2 as elbv2
from aws_cdk import aws_elasticloadbalancingv2_targets as targets
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_route53 as route53
from aws_cdk import aws_route53_targets as route53_targets
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_wafv2 as wafv2
from constructs import Construct

from cdk_app.keys import KeyRing
from cdk_app.network import Doors
from cdk_app.settings import ADMIN_PORT, CLIENT_PORT, METRICS_PORT, NODE_PORT, Deployment

REQUESTS_PER_5_MIN_MAX = 10_000
"""From one address, at the control plane."""
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
            self._firewall(balancer, log_key)
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
            target_type=elbv2.TargetType.LAMBDA,
            targets=[targets.LambdaTarget(function)],
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
            target_type=elbv2.TargetType.LAMBDA,
            targets=[targets.LambdaTarget(poll)],
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

    def _firewall(self, balancer: elbv2.ApplicationLoadBalancer, log_key: kms.IKey) -> None:
        """The web application firewall before the control plane (claim H11), and its full log."""
        managed = (
            "AWSManagedRulesCommonRuleSet",
            "AWSManagedRulesKnownBadInputsRuleSet",
            "AWSManagedRulesAmazonIpReputationList",
        )
        rules = [
            wafv2.CfnWebACL.RuleProperty(
                name=name,
                priority=priority,
                override_action=wafv2.CfnWebACL.OverrideActionProperty(none={}),
                statement=wafv2.CfnWebACL.StatementProperty(
                    managed_rule_group_statement=wafv2.CfnWebACL.ManagedRuleGroupStatementProperty(
                        vendor_name="AWS",
                        name=name,
                        # A rulebook or a state file may be larger than 8 KiB; the function has a limit of its own.
                        rule_action_overrides=[
                            wafv2.CfnWebACL.RuleActionOverrideProperty(
                                name="SizeRestrictions_BODY",
                                action_to_use=wafv2.CfnWebACL.RuleActionProperty(count={}),
                            )
                        ]
                        if name == "AWSManagedRulesCommonRuleSet"
                        else None,
                    )
                ),
                visibility_config=_visible(name),
            )
            for priority, name in enumerate(managed, 10)
        ]
        rules.append(
            wafv2.CfnWebACL.RuleProperty(
                name="RatePerAddress",
                priority=1,
                action=wafv2.CfnWebACL.RuleActionProperty(block={}),
                statement=wafv2.CfnWebACL.StatementProperty(
                    rate_based_statement=wafv2.CfnWebACL.RateBasedStatementProperty(
                        limit=REQUESTS_PER_5_MIN_MAX, aggregate_key_type="IP"
                    )
                ),
                visibility_config=_visible("RatePerAddress"),
            )
        )
        firewall = wafv2.CfnWebACL(
            self,
            "Firewall",
            name=self._deployment.name("control-plane"),
            scope="REGIONAL",
            default_action=wafv2.CfnWebACL.DefaultActionProperty(allow={}),
            rules=rules,
            visibility_config=_visible("ControlPlane"),
        )
        wafv2.CfnWebACLAssociation(
            self, "Guarded", resource_arn=balancer.load_balancer_arn, web_acl_arn=firewall.attr_arn
        )
        place = self._deployment.place
        log_name = f"aws-waf-logs-{place.name}"
        group = logs.LogGroup(
            self,
            "FirewallLog",
            log_group_name=log_name,
            encryption_key=log_key,
            retention=logs.RetentionDays.ONE_YEAR,
            removal_policy=cdk.RemovalPolicy.RETAIN,
        )
        wafv2.CfnLoggingConfiguration(
            self,
            "FirewallLogging",
            resource_arn=firewall.attr_arn,
            log_destination_configs=[f"arn:aws:logs:{place.region}:{place.account}:log-group:{log_name}"],
            redacted_fields=[
                wafv2.CfnLoggingConfiguration.FieldToMatchProperty(single_header={"Name": "authorization"}),
            ],
        ).node.add_dependency(group)

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


def _visible(name: str) -> wafv2.CfnWebACL.VisibilityConfigProperty:
    return wafv2.CfnWebACL.VisibilityConfigProperty(
        cloud_watch_metrics_enabled=True, metric_name=name, sampled_requests_enabled=False
    )
