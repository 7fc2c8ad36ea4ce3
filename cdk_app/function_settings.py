"""The environment of each function, spelled by the settings of its own room: one name for one thing."""

from __future__ import annotations

from collections.abc import Callable

from cdk_app.permissions import Things
from cdk_app.settings import Deployment
from lambdas.audit_search.settings import AuditSearchSettings
from lambdas.control_plane.settings import ControlPlaneSettings
from lambdas.key_expiry.settings import KeyExpirySettings
from lambdas.key_rotation.settings import KeyRotationSettings
from lambdas.webhook_delivery.settings import WebhookDeliverySettings


def environment_of(room: str, deployment: Deployment, things: Things) -> dict[str, str]:
    """The variables of the function of `room`."""
    return _ENVIRONMENTS[room](deployment, things)


def _control_plane(deployment: Deployment, things: Things) -> dict[str, str]:
    return ControlPlaneSettings(
        table=deployment.name("control"), audit_bucket=deployment.bucket("audit"), signing_key=things.signing_key
    ).environment()


def _audit_search(deployment: Deployment, things: Things) -> dict[str, str]:
    return AuditSearchSettings(audit_bucket=deployment.bucket("audit"), signing_key=things.signing_key).environment()


def _key_rotation(deployment: Deployment, things: Things) -> dict[str, str]:
    return KeyRotationSettings(
        table=deployment.name("control"),
        encryption_keys=things.rotated,
        environment_name=deployment.place.environment,
    ).environment()


def _key_expiry(deployment: Deployment, _things: Things) -> dict[str, str]:
    return KeyExpirySettings(
        table=deployment.name("control"), environment_name=deployment.place.environment
    ).environment()


def _webhook_delivery(deployment: Deployment, things: Things) -> dict[str, str]:
    return WebhookDeliverySettings(
        table=deployment.name("control"),
        secrets_key=things.control_key,
        environment_name=deployment.place.environment,
    ).environment()


_ENVIRONMENTS: dict[str, Callable[[Deployment, Things], dict[str, str]]] = {
    "control_plane": _control_plane,
    "audit_search": _audit_search,
    "key_rotation": _key_rotation,
    "key_expiry": _key_expiry,
    "webhook_delivery": _webhook_delivery,
}
