"""The environment of each function, spelled by the settings of its own room: one name for one thing."""

from __future__ import annotations

from collections.abc import Callable

from cdk_app.permissions import Things
from cdk_app.settings import Deployment
from lambdas.audit_search.settings import AuditSearchSettings
from lambdas.control_plane.settings import ControlPlaneSettings


def environment_of(room: str, deployment: Deployment, things: Things) -> dict[str, str]:
    """The variables of the function of `room`."""
    return _ENVIRONMENTS[room](deployment, things)


def _control_plane(deployment: Deployment, things: Things) -> dict[str, str]:
    return ControlPlaneSettings(
        table=deployment.name("control"), audit_bucket=deployment.bucket("audit"), signing_key=things.signing_key
    ).environment()


def _audit_search(deployment: Deployment, things: Things) -> dict[str, str]:
    return AuditSearchSettings(audit_bucket=deployment.bucket("audit"), signing_key=things.signing_key).environment()


_ENVIRONMENTS: dict[str, Callable[[Deployment, Things], dict[str, str]]] = {
    "control_plane": _control_plane,
    "audit_search": _audit_search,
}
