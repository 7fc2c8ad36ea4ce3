"""What a node is told at its first boot: its settings and nothing secret (claim H8)."""

from __future__ import annotations

from aws_cdk import aws_ec2 as ec2

from cdk_app.boot import paths
from cdk_app.node_settings import node_settings
from cdk_app.settings import Deployment


def user_data(deployment: Deployment, *, data_key_arn: str) -> ec2.UserData:
    """A cloud-config that writes the settings before the units of the image start; it runs nothing."""
    settings = node_settings(deployment, data_key_arn=data_key_arn).environment()
    lines = "".join(f"      {name}={value}\n" for name, value in settings.items())
    return ec2.UserData.custom(
        "#cloud-config\nwrite_files:\n"
        f"  - path: {paths.ENVIRONMENT_FILE}\n    permissions: '0644'\n    owner: root:root\n    content: |\n{lines}"
    )
