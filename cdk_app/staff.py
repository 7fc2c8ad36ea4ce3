"""The functions and what each of them is for: one line per room of `lambdas/`, read by keys, functions and watch.

`uses` names what a function's work needs; the keys' policies follow from it (`cdk_app.keys`), and so do its own
permissions (`cdk_app.permissions`).
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from enum import StrEnum

from cdk_app.settings import Deployment
from lambdas.key_expiry.settings import SCHEDULE_MINUTES as KEY_EXPIRY_MINUTES
from lambdas.key_rotation.settings import SCHEDULE_MINUTES as KEY_ROTATION_MINUTES
from lambdas.webhook_delivery.settings import SCHEDULE_MINUTES as WEBHOOK_MINUTES

SCHEDULED = json.dumps({"source": "aws.scheduler", "detail-type": "Scheduled Event", "detail": "{}"})
"""What EventBridge Scheduler sends when it is told nothing else, told plainly."""
WEBHOOK_DELIVERY = "webhook_delivery"


class Use(StrEnum):
    """What a function does with what is not its own."""

    TABLES = "tables"
    """Read and change the register and the chain."""
    AUDIT_READ = "audit-read"
    MANIFESTS = "manifests"
    """Put new manifests and checkpoints into the audit; never over an old one."""
    SIGN = "sign"
    SEAL_SECRETS = "seal-secrets"
    """Encrypt webhooks' signing secrets."""
    OPEN_SECRETS = "open-secrets"
    """Decrypt them."""
    ROTATE_KEYS = "rotate-keys"
    """See how keys rotate, and rotate them on demand (claim W2.6)."""
    ALARM = "alarm"
    """Publish to the topic of alarms."""


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
    every_minutes: int = 0
    """Woken by a schedule; 0: by something else."""
    scheduled_input: str = SCHEDULED
    """The event the schedule sends."""
    control_plane_only: bool = False
    """Left out when the control plane is elsewhere."""


_STAFF = (
    Employee(
        "control_plane",
        "The control plane's API, called by its load balancer",
        frozenset({Use.TABLES, Use.AUDIT_READ, Use.MANIFESTS, Use.SIGN, Use.SEAL_SECRETS}),
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
    Employee(
        "key_rotation",
        "Rotates API keys that are old enough, and encryption keys when asked",
        frozenset({Use.TABLES, Use.ROTATE_KEYS}),
        timeout_s=300,
        concurrency=1,
        every_minutes=KEY_ROTATION_MINUTES,
        control_plane_only=True,
    ),
    Employee(
        "key_expiry",
        "Warns of API keys that end, and ends them on time",
        frozenset({Use.TABLES}),
        timeout_s=240,
        concurrency=1,
        every_minutes=KEY_EXPIRY_MINUTES,
        control_plane_only=True,
    ),
    Employee(
        WEBHOOK_DELIVERY,
        "Delivers signed webhooks",
        frozenset({Use.TABLES, Use.OPEN_SECRETS}),
        timeout_s=300,
        concurrency=2,
        every_minutes=WEBHOOK_MINUTES,
        control_plane_only=True,
    ),
)


def staff_of(deployment: Deployment) -> tuple[Employee, ...]:
    """The functions of this deployment, in a fixed order."""
    return tuple(
        replace(employee, in_vpc=not deployment.network.webhooks_outside)
        if employee.room == WEBHOOK_DELIVERY
        else employee
        for employee in _STAFF
        if deployment.own_control_plane or not employee.control_plane_only
    )
