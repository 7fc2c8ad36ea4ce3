"""The environment of each function, spelled by the settings of its own room: one name for one thing."""

from __future__ import annotations

from collections.abc import Callable

from cdk_app.permissions import Things
from cdk_app.settings import Deployment
from lambdas.audit_search.settings import AuditSearchSettings
from lambdas.audit_tiering.settings import AuditTieringSettings
from lambdas.chain_checkpoint.settings import ChainCheckpointSettings
from lambdas.control_plane.settings import ControlPlaneSettings
from lambdas.key_rotation.settings import KeyRotationSettings
from lambdas.luks_erase.settings import LuksEraseSettings
from lambdas.node_figures.settings import NodeFiguresSettings
from lambdas.node_probe.settings import NodeProbeSettings
from lambdas.register_settings import RegisterSettings
from lambdas.webhook_delivery.settings import WebhookDeliverySettings

ERASE_HOOK = "erase"
"""The name of the group's termination hook."""


def environment_of(room: str, deployment: Deployment, things: Things) -> dict[str, str]:
    """The variables of the function of `room`."""
    return _ENVIRONMENTS[room](deployment, things)


def _control_plane(deployment: Deployment, things: Things) -> dict[str, str]:
    return ControlPlaneSettings(
        table=deployment.name("control"),
        audit_bucket=deployment.bucket("audit"),
        signing_key=things.signing_key,
        secrets_key=things.control_key,
    ).environment()


def _rulebook_poll(deployment: Deployment, things: Things) -> dict[str, str]:
    return ControlPlaneSettings(table=deployment.name("control"), signing_key=things.signing_key).environment()


def _audit_search(deployment: Deployment, things: Things) -> dict[str, str]:
    return AuditSearchSettings(audit_bucket=deployment.bucket("audit"), signing_key=things.signing_key).environment()


def _key_rotation(deployment: Deployment, things: Things) -> dict[str, str]:
    return KeyRotationSettings(
        table=deployment.name("control"),
        encryption_keys=things.rotated,
        environment_name=deployment.place.environment,
    ).environment()


def _register(deployment: Deployment, _things: Things) -> dict[str, str]:
    return RegisterSettings(
        table=deployment.name("control"), environment_name=deployment.place.environment
    ).environment()


def _webhook_delivery(deployment: Deployment, things: Things) -> dict[str, str]:
    return WebhookDeliverySettings(
        table=deployment.name("control"),
        secrets_key=things.control_key,
        environment_name=deployment.place.environment,
    ).environment()


def _chain_checkpoint(deployment: Deployment, things: Things) -> dict[str, str]:
    return ChainCheckpointSettings(
        table=deployment.name("control"),
        audit_bucket=deployment.bucket("audit"),
        signing_key=things.signing_key,
        environment_name=deployment.place.environment,
    ).environment()


def _audit_tiering(deployment: Deployment, things: Things) -> dict[str, str]:
    return AuditTieringSettings(
        audit_bucket=deployment.bucket("audit"),
        audit_key=things.audit_key,
        signing_key=things.signing_key,
        topic=things.alarms,
        environment_name=deployment.place.environment,
        retention_days=deployment.data.audit_retention_days,
    ).environment()


def _node_figures(deployment: Deployment, _things: Things) -> dict[str, str]:
    return NodeFiguresSettings(table=deployment.name("control")).environment()


def _node_probe(deployment: Deployment, _things: Things) -> dict[str, str]:
    return NodeProbeSettings(
        group=deployment.name("nodes"), environment_name=deployment.place.environment
    ).environment()


def _luks_erase(deployment: Deployment, things: Things) -> dict[str, str]:
    return LuksEraseSettings(
        table=deployment.name("terminations"),
        document=deployment.name("end-of-node"),
        group=deployment.name("nodes"),
        hook=ERASE_HOOK,
        topic=things.alarms,
        audit_bucket=deployment.bucket("audit"),
        environment_name=deployment.place.environment,
        drain_s=deployment.nodes.drain_timeout_s,
    ).environment()


_ENVIRONMENTS: dict[str, Callable[[Deployment, Things], dict[str, str]]] = {
    "control_plane": _control_plane,
    "access_review": _register,
    "chain_checkpoint": _chain_checkpoint,
    "rulebook_poll": _rulebook_poll,
    "audit_search": _audit_search,
    "audit_tiering": _audit_tiering,
    "luks_erase": _luks_erase,
    "node_figures": _node_figures,
    "node_probe": _node_probe,
    "key_rotation": _key_rotation,
    "key_expiry": _register,
    "webhook_delivery": _webhook_delivery,
}
