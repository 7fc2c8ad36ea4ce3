"""The stacks, in the order in which each needs the ones before."""

from __future__ import annotations

from typing import Any

import aws_cdk as cdk

from cdk_app.access import AccessStack
from cdk_app.functions import FunctionsStack
from cdk_app.image import ImageStack
from cdk_app.keys import KeysStack
from cdk_app.network import NetworkStack
from cdk_app.nodes import NodesStack
from cdk_app.settings import Deployment
from cdk_app.signals import SignalsStack
from cdk_app.software import Software
from cdk_app.staff import CONTROL_PLANE, RULEBOOK_POLL
from cdk_app.storage import StorageStack
from cdk_app.watch import WatchStack


def compose(app: cdk.App, deployment: Deployment, software: Software) -> None:
    """Add every stack of `deployment` to `app`."""
    place = deployment.place
    env = cdk.Environment(account=place.account, region=place.region)
    common: Any = {"deployment": deployment, "env": env}
    keys = KeysStack(app, deployment.name("keys"), **common)
    signals = SignalsStack(app, deployment.name("signals"), keys=keys.keys, **common)
    network = NetworkStack(app, deployment.name("network"), log_key_arn=keys.keys.control.key_arn, **common)
    storage = StorageStack(app, deployment.name("storage"), keys=keys.keys, roles=keys.roles, **common)
    functions = FunctionsStack(
        app,
        deployment.name("functions"),
        software=software,
        vpc=network.vpc,
        subnets=network.subnets,
        doors=network.doors,
        keys=keys.keys,
        roles=keys.roles,
        **common,
    )
    functions.add_stack_dependency(storage)
    access = AccessStack(
        app,
        deployment.name("access"),
        vpc=network.vpc,
        subnets=network.subnets,
        doors=network.doors,
        keys=keys.keys,
        control_plane=functions.functions.get(CONTROL_PLANE),
        rulebook_poll=functions.functions.get(RULEBOOK_POLL),
        **common,
    )
    image_id = deployment.nodes.ami_id
    if keys.roles.builder is not None:
        image = ImageStack(
            app, deployment.name("image"), software=software, keys=keys.keys, builder=keys.roles.builder, **common
        )
        image_id = image.image_id
    nodes = NodesStack(
        app,
        deployment.name("nodes"),
        vpc=network.vpc,
        subnets=network.subnets,
        security_group=network.doors.nodes,
        keys=keys.keys,
        roles=keys.roles,
        image_id=image_id,
        target_group=access.target_group,
        alarms=signals.alarms,
        **common,
    )
    nodes.add_stack_dependency(functions)
    nodes.add_stack_dependency(storage)
    WatchStack(
        app,
        deployment.name("watch"),
        alarms=signals.alarms,
        functions=functions.functions,
        dead_letters=functions.dead_letters,
        front=access.front,
        target_group=access.target_group,
        control_plane=access.control_balancer,
        **common,
    )
    cdk.Tags.of(app).add("project", "hatidata")
    cdk.Tags.of(app).add("deployment", place.name)
