"""The functions and what each of them is for: one line per room of `lambdas/`, read by keys, functions and watch.

`uses` names what a function's work needs; the keys' policies follow from it (`cdk_app.keys`), and so do its own
permissions (`cdk_app.permissions`).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from cdk_app.settings import Deployment


class Use(StrEnum):
    """What a function does with what is not its own."""

    TABLES = "tables"
    """Read and change the register and the chain."""
    AUDIT_READ = "audit-read"
    AUDIT_WRITE = "audit-write"
    """Put new objects below the audit's prefix (manifests, checkpoints); never over an old one."""
    SIGN = "sign"
    WEBHOOK_SECRETS = "webhook-secrets"
    ALARM = "alarm"
    """Publish to the topic of alarms."""
    FIGURES = "figures"
    """Put metrics of this product's namespace."""


@dataclass(frozen=True, slots=True)
class Employee:
    """One function."""

    room: str
    """The package below `lambdas/`; its `handler.py` holds `handler`."""
    purpose: str
    uses: frozenset[Use]
    timeout_s: int
    memory_mb: int = 512
    concurrency: int = 2
    """Reserved: neither more at once, nor less when others are busy."""
    in_vpc: bool = True
    control_plane_only: bool = False
    """Left out when the control plane is elsewhere."""


_STAFF = (
    Employee(
        "control_plane",
        "The control plane's API, called by its load balancer",
        frozenset({Use.TABLES, Use.AUDIT_READ, Use.AUDIT_WRITE, Use.SIGN}),
        timeout_s=30,
        memory_mb=1024,
        concurrency=100,
        control_plane_only=True,
    ),
    Employee(
        "audit_search",
        "Searches and verifies the audit in the customer's own account",
        frozenset({Use.AUDIT_READ, Use.SIGN}),
        timeout_s=60,
        memory_mb=1024,
        concurrency=5,
    ),
)


def staff_of(deployment: Deployment) -> tuple[Employee, ...]:
    """The functions of this deployment, in a fixed order."""
    return tuple(employee for employee in _STAFF if deployment.own_control_plane or not employee.control_plane_only)
