"""The web application firewall before the control plane, and its full log (claim H11)."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_elasticloadbalancingv2 as elbv2
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from aws_cdk import aws_wafv2 as wafv2
from constructs import Construct

from cdk_app.settings import Deployment

REQUESTS_PER_5_MIN_MAX = 10_000
"""From one address, at the control plane."""


def put_before(
    scope: Construct, deployment: Deployment, balancer: elbv2.ApplicationLoadBalancer, log_key: kms.IKey
) -> None:
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
        scope,
        "Firewall",
        name=deployment.name("control-plane"),
        scope="REGIONAL",
        default_action=wafv2.CfnWebACL.DefaultActionProperty(allow={}),
        rules=rules,
        visibility_config=_visible("ControlPlane"),
    )
    wafv2.CfnWebACLAssociation(scope, "Guarded", resource_arn=balancer.load_balancer_arn, web_acl_arn=firewall.attr_arn)
    place = deployment.place
    log_name = f"aws-waf-logs-{place.name}"
    group = logs.LogGroup(
        scope,
        "FirewallLog",
        log_group_name=log_name,
        encryption_key=log_key,
        retention=logs.RetentionDays.ONE_YEAR,
        removal_policy=cdk.RemovalPolicy.RETAIN,
    )
    wafv2.CfnLoggingConfiguration(
        scope,
        "FirewallLogging",
        resource_arn=firewall.attr_arn,
        log_destination_configs=[f"arn:aws:logs:{place.region}:{place.account}:log-group:{log_name}"],
        redacted_fields=[
            wafv2.CfnLoggingConfiguration.FieldToMatchProperty(single_header={"Name": "authorization"}),
        ],
    ).node.add_dependency(group)


def _visible(name: str) -> wafv2.CfnWebACL.VisibilityConfigProperty:
    return wafv2.CfnWebACL.VisibilityConfigProperty(
        cloud_watch_metrics_enabled=True, metric_name=name, sampled_requests_enabled=False
    )
