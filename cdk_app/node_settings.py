"""What every node of a deployment is told; nothing of it is secret (claim H8)."""

from __future__ import annotations

from aws import names
from cdk_app.boot import paths
from cdk_app.settings import CLIENT_PORT, METRICS_PORT, NODE_PORT, Deployment
from engine.settings import AwsNodeSettings, NodeSettings


def node_settings(deployment: Deployment, *, data_key_arn: str) -> AwsNodeSettings:
    """The settings of every node of this deployment."""
    network, place = deployment.network, deployment.place
    return AwsNodeSettings(
        node=NodeSettings(
            home=paths.HOME,
            data=f"s3://{deployment.data_bucket}/{deployment.data.prefix}".rstrip("/"),
            environment=place.environment,
            control_url=f"https://{deployment.control_plane.domain}:{NODE_PORT}",
            listen="0.0.0.0",  # noqa: S104  in isolated subnets, behind security groups
            port=CLIENT_PORT,
            metrics_listen="0.0.0.0",  # noqa: S104  as above
            metrics_port=METRICS_PORT,
            proxy_from=(network.vpc_cidr or network.cidr,),
            drain_timeout_s=deployment.nodes.drain_timeout_s,
            require_sandbox=True,
            audit_ship_s=60.0,
            cache=paths.CACHE,
            tls=paths.TLS,
            require_encrypted_cache=True,
        ),
        region=place.region,
        audit_bucket=deployment.bucket("audit"),
        identity_key=names.identity_key(place.environment),
        data_key=data_key_arn,
    )
