"""W1 and H9, H11 on the synthesized templates: who can reach what, and that nothing reaches the internet."""

from __future__ import annotations

import re
from typing import Any

import pytest

from cdk_app.settings import ADMIN_PORT, CLIENT_PORT, METRICS_PORT, NODE_PORT, Deployment
from lambdas.control_plane.request import CLIENT_CERTIFICATE_SUBJECT
from tests.cdk.cloud import ACCOUNT, REGION, Cloud, Resource

_WAYS_OUT = {
    "AWS::EC2::InternetGateway",
    "AWS::EC2::NatGateway",
    "AWS::EC2::EgressOnlyInternetGateway",
    "AWS::EC2::VPCGatewayAttachment",
    "AWS::EC2::TransitGatewayAttachment",
    "AWS::EC2::VPCPeeringConnection",
    "AWS::EC2::VPNGateway",
    "AWS::EC2::Route",
}
_PUBLIC = {"AWS::EC2::EIP", "AWS::EC2::EIPAssociation", "AWS::EC2::CarrierGateway", "AWS::Lambda::Url"}


def rules(cloud: Cloud, group: str, direction: str) -> list[dict[str, Any]]:
    """The rules of a security group of the network stack, by its construct's name."""
    (found,) = [each for each in cloud.of("AWS::EC2::SecurityGroup", "network") if each.id[:-8] == group]
    inline: list[dict[str, Any]] = found.properties.get(f"SecurityGroup{direction}", [])
    apart = [
        each.properties
        for each in cloud.of(f"AWS::EC2::SecurityGroup{direction}")
        if each.properties["GroupId"] == f"{found.id}.GroupId"
    ]
    return [rule for rule in [*inline, *apart] if rule.get("CidrIp") != "255.255.255.255/32"]


def source(cloud: Cloud, rule: dict[str, Any]) -> str:
    for name in ("CidrIp", "SourcePrefixListId", "DestinationPrefixListId"):
        if name in rule:
            return str(rule[name])
    other = rule.get("SourceSecurityGroupId") or rule.get("DestinationSecurityGroupId")
    return str(other).removesuffix(".GroupId")[:-8]


def admitted(cloud: Cloud, group: str, direction: str = "Ingress") -> set[tuple[str, int]]:
    found = set()
    for rule in rules(cloud, group, direction):
        assert rule["FromPort"] == rule["ToPort"], "one port a rule"
        assert rule["IpProtocol"] == "tcp"
        found.add((source(cloud, rule), rule["FromPort"]))
    return found


def endpoints(cloud: Cloud, stack: str = "network") -> dict[str, Resource]:
    return {
        str(each.properties["ServiceName"]).rsplit(".", 1)[-1]: each
        for each in cloud.of("AWS::EC2::VPCEndpoint", stack)
    }


def test_w1_1_everything_that_computes_stands_in_isolated_subnets(cloud: Cloud) -> None:
    isolated = {each.id for each in cloud.of("AWS::EC2::Subnet", "network")}
    assert len(isolated) == 2
    group = cloud.one("AWS::AutoScaling::AutoScalingGroup")
    assert set(group.properties["VPCZoneIdentifier"]) == isolated
    for function in cloud.of("AWS::Lambda::Function"):
        assert set(function.properties["VpcConfig"]["SubnetIds"]) == isolated, function.id
    for balancer in cloud.of("AWS::ElasticLoadBalancingV2::LoadBalancer"):
        assert set(balancer.properties["Subnets"]) == isolated, balancer.id


def test_w1_2_no_public_address_on_anything(cloud: Cloud, guest: Cloud) -> None:
    for each in (cloud, guest):
        assert not [resource.id for resource in each.resources if resource.type in _PUBLIC]
        assert all(
            balancer.properties["Scheme"] == "internal"
            for balancer in each.of("AWS::ElasticLoadBalancingV2::LoadBalancer")
        )
        assert all(subnet.properties["MapPublicIpOnLaunch"] is False for subnet in each.of("AWS::EC2::Subnet"))
        template = each.one("AWS::EC2::LaunchTemplate").properties["LaunchTemplateData"]
        assert [nic["AssociatePublicIpAddress"] for nic in template["NetworkInterfaces"]] == [False]


def test_w1_3_nodes_reach_the_control_plane_by_privatelink_only(cloud: Cloud, guest: Cloud) -> None:
    link = cloud.one("AWS::EC2::VPCEndpoint", "access")
    assert link.properties["VpcEndpointType"] == "Interface"
    service = cloud.one("AWS::EC2::VPCEndpointService", "access")
    assert service.id in link.properties["ServiceName"]
    assert guest.one("AWS::EC2::VPCEndpoint", "access").properties["ServiceName"].startswith("com.amazonaws.vpce.")
    # ... and there is no other way: out of a node lead S3, the endpoints of AWS services and this link.
    assert admitted(cloud, "Nodes", "Egress") == {("pl-6fa54006", 443), ("Endpoints", 443), ("ControlLink", NODE_PORT)}
    name = cloud.one("AWS::Route53::HostedZone", "access")
    assert name.properties["VPCs"]
    assert cloud.one("AWS::Route53::RecordSet", "access").properties["Name"] == name.properties["Name"]


def test_w1_4_s3_is_reached_by_a_gateway_endpoint_that_admits_our_buckets_only(
    cloud: Cloud, deployment: Deployment
) -> None:
    s3 = endpoints(cloud)["s3"].properties
    assert s3["VpcEndpointType"] == "Gateway"
    tables = {each.id for each in cloud.of("AWS::EC2::RouteTable", "network")}
    assert set(s3["RouteTableIds"]) == tables
    (statement,) = s3["PolicyDocument"]["Statement"]
    buckets = {deployment.data_bucket, deployment.bucket("audit")}
    assert {arn.removeprefix("arn:aws:s3:::").removesuffix("/*") for arn in statement["Resource"]} == buckets
    assert statement["Condition"] == {"StringEquals": {"aws:PrincipalAccount": ACCOUNT}}
    assert not [action for action in statement["Action"] if "Delete" in action or "Bypass" in action or "*" in action]


def test_w1_5_everything_stays_in_the_region_of_the_customer(cloud: Cloud) -> None:
    zones = {each.properties["AvailabilityZone"] for each in cloud.of("AWS::EC2::Subnet")}
    assert {zone[:-1] for zone in zones} == {REGION}
    regions = set(re.findall(r"\b(?:us|eu|ap|sa|ca|me|af|il)-[a-z]+-\d\b", cloud.text()))
    assert regions == {REGION}
    for bucket in cloud.of("AWS::S3::Bucket"):
        assert "ReplicationConfiguration" not in bucket.properties
    key = cloud.one("AWS::KMS::Key", "keys", Description="HatiData: the lake")
    assert "MultiRegion" not in key.properties


def test_w1_6_no_internet_gateway_no_nat_no_route_out(cloud: Cloud, guest: Cloud) -> None:
    for each in (cloud, guest):
        assert not [resource.id for resource in each.resources if resource.type in _WAYS_OUT]


def test_w1_7_security_groups_are_allow_lists_both_ways(cloud: Cloud) -> None:
    for kind in ("Ingress", "Egress"):
        for each in cloud.of(f"AWS::EC2::SecurityGroup{kind}"):
            assert each.properties.get("CidrIp") != "0.0.0.0/0"
            assert "CidrIpv6" not in each.properties
    for each in cloud.of("AWS::EC2::SecurityGroup"):
        for rule in [
            *each.properties.get("SecurityGroupIngress", []),
            *each.properties.get("SecurityGroupEgress", []),
        ]:
            assert rule.get("CidrIp") != "0.0.0.0/0", each.id
            assert rule.get("IpProtocol") != "-1", each.id


def test_w1_8_port_5439_admits_the_approved_networks_only(cloud: Cloud, deployment: Deployment) -> None:
    assert admitted(cloud, "Front") == {(cidr, CLIENT_PORT) for cidr in deployment.network.client_cidrs}
    assert {each for each in admitted(cloud, "Nodes") if each[1] == CLIENT_PORT} == {("Front", CLIENT_PORT)}
    front = cloud.one("AWS::ElasticLoadBalancingV2::LoadBalancer", "access", Name="hatidata-front").properties
    assert front["EnforceSecurityGroupInboundRulesOnPrivateLinkTraffic"] == "on"


def test_w1_8_clients_of_other_vpcs_come_by_an_endpoint_service_that_names_them(cloud: Cloud, guest: Cloud) -> None:
    assert not [each for each in cloud.of("AWS::EC2::VPCEndpointService") if each.id.startswith("ClientService")]
    service = guest.one("AWS::EC2::VPCEndpointService")
    assert service.properties["AcceptanceRequired"] is True
    allowed = guest.one("AWS::EC2::VPCEndpointServicePermissions").properties["AllowedPrincipals"]
    assert allowed == ["arn:aws:iam::444455556666:root"]


def test_w1_8_the_node_learns_the_clients_address_from_the_load_balancer(cloud: Cloud) -> None:
    (group,) = [
        each.properties
        for each in cloud.of("AWS::ElasticLoadBalancingV2::TargetGroup")
        if each.properties.get("Port") == CLIENT_PORT
    ]
    attributes = {each["Key"]: each["Value"] for each in group["TargetGroupAttributes"]}
    assert attributes["proxy_protocol_v2.enabled"] == "true"
    assert attributes["preserve_client_ip.enabled"] == "false"
    data = cloud.one("AWS::EC2::LaunchTemplate").properties["LaunchTemplateData"]["UserData"]
    assert "HATIDATA_PROXY_FROM=10.80.0.0/16\n" in data


def test_w1_9_port_9090_admits_monitoring_and_the_health_check_only(
    cloud: Cloud, guest: Cloud, deployment: Deployment
) -> None:
    monitoring = {(cidr, METRICS_PORT) for cidr in deployment.network.monitoring_cidrs}
    assert {each for each in admitted(cloud, "Nodes") if each[1] == METRICS_PORT} == {
        *monitoring,
        ("Front", METRICS_PORT),
    }
    # Where the control plane is elsewhere one function more reads the figures, and nothing else is open to it.
    assert {each for each in admitted(guest, "Nodes") if each[1] == METRICS_PORT} == {
        *monitoring,
        ("Front", METRICS_PORT),
        ("Probe", METRICS_PORT),
    }
    assert admitted(guest, "Probe", "Egress") == {("Nodes", METRICS_PORT), ("Endpoints", 443)}
    assert admitted(guest, "Probe") == set()
    # The load balancer listens on 5439 alone, so nobody comes to 9090 through it.
    front = cloud.one("AWS::ElasticLoadBalancingV2::LoadBalancer", "access", Name="hatidata-front")
    listeners = [
        each.properties["Port"]
        for each in cloud.of("AWS::ElasticLoadBalancingV2::Listener")
        if each.properties["LoadBalancerArn"] == front.id
    ]
    assert listeners == [CLIENT_PORT]


def test_w1_10_a_network_load_balancer_fronts_the_nodes_in_two_zones(cloud: Cloud) -> None:
    front = cloud.one("AWS::ElasticLoadBalancingV2::LoadBalancer", "access", Name="hatidata-front").properties
    assert front["Type"] == "network"
    attributes = {each["Key"]: each["Value"] for each in front["LoadBalancerAttributes"]}
    assert attributes["deletion_protection.enabled"] == "true"
    assert attributes["load_balancing.cross_zone.enabled"] == "true"
    assert [
        alarm for alarm in cloud.of("AWS::CloudWatch::Alarm") if "connection-flood" in alarm.properties["AlarmName"]
    ]


def test_w2_10_the_listener_of_nodes_asks_for_certificates_and_serves_nothing_else(cloud: Cloud) -> None:
    listeners = {
        each.properties["Port"]: each
        for each in cloud.of("AWS::ElasticLoadBalancingV2::Listener")
        if each.properties["Protocol"] == "HTTPS"
    }
    assert set(listeners) == {ADMIN_PORT, NODE_PORT}
    for listener in listeners.values():
        assert listener.properties["SslPolicy"].startswith("ELBSecurityPolicy-TLS13-1-3")
    nodes = listeners[NODE_PORT]
    assert nodes.properties["MutualAuthentication"]["Mode"] == "verify"
    assert nodes.properties["MutualAuthentication"]["IgnoreClientCertificateExpiry"] is False
    assert nodes.properties["DefaultActions"][0]["Type"] == "fixed-response"
    polls, routes = sorted(rules_of(cloud, nodes), key=lambda rule: int(rule["Priority"]))
    assert routes["Conditions"] == [{"Field": "path-pattern", "PathPatternConfig": {"Values": ["/v1/nodes/*"]}}]
    assert [each["Field"] for each in polls["Conditions"]] == ["path-pattern", "query-string"]
    assert polls["Actions"] != routes["Actions"]


def test_w2_10_a_claimed_certificate_on_the_other_listener_is_refused_before_the_function(cloud: Cloud) -> None:
    (admin,) = [
        each
        for each in cloud.of("AWS::ElasticLoadBalancingV2::Listener")
        if each.properties["Protocol"] == "HTTPS" and each.properties["Port"] == ADMIN_PORT
    ]
    assert "MutualAuthentication" not in admin.properties
    refused = {
        rule["Conditions"][0]["HttpHeaderConfig"]["HttpHeaderName"].lower(): rule["Actions"][0]["Type"]
        for rule in rules_of(cloud, admin)
    }
    assert refused[CLIENT_CERTIFICATE_SUBJECT] == "fixed-response"
    assert set(refused.values()) == {"fixed-response"}


def rules_of(cloud: Cloud, listener: Resource) -> list[dict[str, Any]]:
    return [
        each.properties
        for each in cloud.of("AWS::ElasticLoadBalancingV2::ListenerRule")
        if each.properties["ListenerArn"] == listener.id
    ]


def test_h9_administration_is_from_named_networks_inside_only(cloud: Cloud, deployment: Deployment) -> None:
    admins = {(cidr, ADMIN_PORT) for cidr in deployment.network.admin_cidrs}
    assert admitted(cloud, "ControlFront") == {*admins, ("ControlLink", NODE_PORT)}
    assert admitted(cloud, "ControlPlane") == {("ControlFront", ADMIN_PORT), ("ControlFront", NODE_PORT)}
    template = cloud.one("AWS::EC2::LaunchTemplate").properties["LaunchTemplateData"]
    assert "KeyName" not in template
    assert 22 not in {port for group in ("Nodes", "Front", "Functions") for _, port in admitted(cloud, group)}


def test_h11_a_firewall_guards_the_control_plane_and_logs_under_our_key(cloud: Cloud) -> None:
    guarded = cloud.one("AWS::WAFv2::WebACLAssociation").properties
    balancer = cloud.one("AWS::ElasticLoadBalancingV2::LoadBalancer", "access", Name="hatidata-control-plane")
    assert guarded["ResourceArn"] == balancer.id
    acl = cloud.one("AWS::WAFv2::WebACL").properties
    assert {rule["Name"] for rule in acl["Rules"]} >= {"RatePerAddress", "AWSManagedRulesCommonRuleSet"}
    log = cloud.one("AWS::Logs::LogGroup", "access").properties
    assert log["KmsKeyId"] == cloud.key("Control")
    logging = cloud.one("AWS::WAFv2::LoggingConfiguration").properties
    assert logging["LogDestinationConfigs"] == [f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{log['LogGroupName']}"]
    assert logging["RedactedFields"] == [{"SingleHeader": {"Name": "authorization"}}]
    attributes = {each["Key"]: each["Value"] for each in balancer.properties["LoadBalancerAttributes"]}
    assert attributes["routing.http.drop_invalid_header_fields.enabled"] == "true"
    assert attributes.get("waf.fail_open.enabled", "false") == "false"


@pytest.mark.parametrize("variant", ["cloud", "guest"])
def test_every_interface_endpoint_has_a_policy_and_a_security_group(
    variant: str, request: pytest.FixtureRequest
) -> None:
    each: Cloud = request.getfixturevalue(variant)
    found = endpoints(each)
    assert set(found) == {"s3", "dynamodb", "kms", "ssm", "ssmmessages", "autoscaling", "sns"}
    for name, endpoint in found.items():
        statements = endpoint.properties["PolicyDocument"]["Statement"]
        for statement in statements:
            assert statement["Condition"]["StringEquals"]["aws:PrincipalAccount"] == ACCOUNT, name
            assert not [action for action in statement["Action"] if action.endswith(":*") or action == "*"], name
        if endpoint.properties["VpcEndpointType"] == "Interface":
            assert endpoint.properties["PrivateDnsEnabled"] is True
            assert [group[: -8 - len(".GroupId")] for group in endpoint.properties["SecurityGroupIds"]] == ["Endpoints"]


def test_the_workshops_endpoints_let_through_what_a_builder_asks_for(cloud: Cloud) -> None:
    builder = {
        action
        for statement in cloud.identity_statements(cloud.role("Builder"))
        for action in ([statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"])
    }
    for name, endpoint in endpoints(cloud, "image").items():
        for statement in endpoint.properties["PolicyDocument"]["Statement"]:
            actions = [statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"]
            assert set(actions) <= builder, name
            assert "*" not in "".join(actions), name


def test_flow_logs_record_every_connection(cloud: Cloud) -> None:
    logged = {each.properties["ResourceId"] for each in cloud.of("AWS::EC2::FlowLog")}
    assert logged == {each.id for each in cloud.of("AWS::EC2::VPC")}
    assert {each.properties["TrafficType"] for each in cloud.of("AWS::EC2::FlowLog")} == {"ALL"}


def test_a_guests_vpc_is_used_and_none_is_made(guest: Cloud) -> None:
    assert not guest.of("AWS::EC2::VPC")
    group = guest.one("AWS::AutoScaling::AutoScalingGroup")
    assert group.properties["VPCZoneIdentifier"] == ["subnet-0123456789abcdef0", "subnet-0123456789abcdef1"]
    assert "HATIDATA_PROXY_FROM=10.90.0.0/16\n" in str(
        guest.one("AWS::EC2::LaunchTemplate").properties["LaunchTemplateData"]["UserData"]
    )
