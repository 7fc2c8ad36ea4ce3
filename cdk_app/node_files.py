"""What a node is told at its first boot: its settings and nothing secret (claim H8)."""

from __future__ import annotations

import re

import aws_cdk as cdk
from aws_cdk import aws_ec2 as ec2

from cdk_app.boot import paths
from cdk_app.node_settings import node_settings
from cdk_app.settings import Deployment
from governance.errors import InvalidRequest

_PLAIN = re.compile(r"\A[A-Za-z0-9_./:=,@+-]*\Z")
"""Means itself to systemd (`EnvironmentFile=`) and to the shell that Run Command's script reads the file with."""


def user_data(deployment: Deployment, *, data_key_arn: str) -> ec2.UserData:
    """A cloud-config that writes the settings before the units of the image start; it runs nothing."""
    settings = node_settings(deployment, data_key_arn=data_key_arn).environment()
    lines = "".join(f"      {name}={_plain(name, value)}\n" for name, value in settings.items())
    return ec2.UserData.custom(
        "#cloud-config\nwrite_files:\n"
        f"  - path: {paths.ENVIRONMENT_FILE}\n    permissions: '0644'\n    owner: root:root\n    content: |\n{lines}"
    )


def _plain(name: str, value: str) -> str:
    """`value`, when nobody who reads the file takes it for anything else; references of CDK are ARNs in the end.

    Raises:
        InvalidRequest: it holds a sign that a shell or systemd would not take as it stands.
    """
    if not (cdk.Token.is_unresolved(value) or _PLAIN.match(value)):
        raise InvalidRequest(
            f"{name} holds a sign that nodes cannot be told.", advice="Use letters, digits and _./:=,-."
        )
    return value
