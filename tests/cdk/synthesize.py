"""Write the assembly of a deployment to a folder: run as a process of its own, so that only one holds jsii.

`synthesize.py SETTINGS OUT [raw | rooms]`; with `raw` nothing is acknowledged, so that the report holds every finding,
and one stack more breaks everything that is promised; with `rooms` functions are those that a real synthesis deploys.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from cdk_app.__main__ import context, use_locked_node
from tests.cdk.cloud import ACCOUNT, OFFENDING, REGION


def main(settings: Path, out: Path, *, raw: bool, rooms: bool) -> None:
    use_locked_node()
    import aws_cdk as cdk

    from cdk_app.app import compose
    from cdk_app.review import acknowledge, review
    from cdk_app.settings import read_deployment
    from cdk_app.software import FUNCTION_ROOMS, Software, stage_rooms

    folders = [out / name for name in ("layer", "functions", "node")]
    for folder in folders:
        folder.mkdir(parents=True)
        (folder / "stand-in").write_text("of the wheels and rooms that a real synthesis deploys")
    if rooms:
        stage_rooms(out / "functions", FUNCTION_ROOMS)
    app = cdk.App(context=context(), outdir=str(out / "assembly"))
    deployment = read_deployment(settings)
    compose(app, deployment, Software(*folders))
    if raw:
        offend(app)
    else:
        acknowledge(app, deployment)
    review(app)
    try:
        app.synth()
    except RuntimeError as error:
        print(str(error)[:3000])
        if not raw:
            raise


def offend(app: Any) -> None:
    """A stack that breaks every promise of `cdk_app/rules`."""
    import aws_cdk as cdk
    from aws_cdk import aws_autoscaling as autoscaling
    from aws_cdk import aws_dynamodb as dynamodb
    from aws_cdk import aws_ec2 as ec2
    from aws_cdk import aws_elasticloadbalancingv2 as elbv2
    from aws_cdk import aws_kms as kms
    from aws_cdk import aws_lambda as lambda_
    from aws_cdk import aws_logs as logs
    from aws_cdk import aws_s3 as s3

    vpc = "vpc-0123456789abcdef0"
    stack = cdk.Stack(app, OFFENDING, env=cdk.Environment(account=ACCOUNT, region=REGION))
    ec2.CfnInternetGateway(stack, "Gateway")
    elbv2.CfnLoadBalancer(stack, "Balancer", scheme="internet-facing", type="network")
    ec2.CfnSubnet(stack, "Subnet", vpc_id=vpc, cidr_block="10.0.0.0/24", map_public_ip_on_launch=True)
    rule = ec2.CfnSecurityGroup.IngressProperty(ip_protocol="tcp", from_port=1, to_port=1, cidr_ip="0.0.0.0/0")
    ec2.CfnSecurityGroup(stack, "Group", group_description="x", vpc_id=vpc, security_group_ingress=[rule])
    kms.Key(stack, "Key", enable_key_rotation=False)
    s3.CfnBucket(stack, "Bucket")
    logs.CfnLogGroup(stack, "Log")
    dynamodb.Table(stack, "Table", partition_key=dynamodb.Attribute(name="pk", type=dynamodb.AttributeType.STRING))
    autoscaling.CfnAutoScalingGroup(stack, "Nodes", min_size="1", max_size="1", availability_zones=[f"{REGION}a"])
    lambda_.CfnPermission(
        stack,
        "Anybody",
        action="lambda:InvokeFunction",
        function_name="x",
        principal="elasticloadbalancing.amazonaws.com",
    )
    data = ec2.CfnLaunchTemplate.LaunchTemplateDataProperty(image_id="ami-0123456789abcdef0", key_name="mine")
    ec2.CfnLaunchTemplate(stack, "Template", launch_template_data=data)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), raw="raw" in sys.argv[3:], rooms="rooms" in sys.argv[3:])
