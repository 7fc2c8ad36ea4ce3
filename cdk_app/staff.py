"""The functions and what each of them is for: one entry per function, read by keys, functions, bells and watch.

`uses` names what a function's work needs; the keys' policies follow from it (`cdk_app.keys`), and so do its own
permissions (`cdk_app.permissions`). Which environment it gets stands in `cdk_app.function_settings`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from enum import StrEnum

from cdk_app.settings import Deployment
from lambdas.access_review.settings import SCHEDULE_MINUTES as ACCESS_REVIEW_MINUTES
from lambdas.audit_tiering.settings import SCHEDULE_MINUTES as AUDIT_TIERING_MINUTES
from lambdas.audit_tiering.settings import SLICE_DEFAULT_S
from lambdas.chain_checkpoint.settings import SCHEDULE_MINUTES as CHAIN_CHECKPOINT_MINUTES
from lambdas.key_expiry.settings import SCHEDULE_MINUTES as KEY_EXPIRY_MINUTES
from lambdas.key_rotation.settings import SCHEDULE_MINUTES as KEY_ROTATION_MINUTES
from lambdas.node_figures.settings import SCHEDULE_MINUTES as NODE_FIGURES_MINUTES
from lambdas.node_probe.settings import SCHEDULE_MINUTES as NODE_PROBE_MINUTES
from lambdas.webhook_delivery.settings import SCHEDULE_MINUTES as WEBHOOK_MINUTES

WEBHOOK_DELIVERY = "webhook_delivery"
LUKS_ERASE = "luks_erase"
CONTROL_PLANE = "control_plane"
RULEBOOK_POLL = "rulebook_poll"
KEY_ROTATION = "key_rotation"
NODE_PROBE = "node_probe"
SCHEDULED = json.dumps({"source": "aws.scheduler", "detail-type": "Scheduled Event", "detail": "{}"})
"""What EventBridge Scheduler sends when it is told nothing else, told plainly."""
TICK = json.dumps({"hatidata": "tick"})


class Use(StrEnum):
    """What a function does with what is not its own."""

    REGISTER = "register"
    """Read and change the register and the chain."""
    REGISTER_READ = "register-read"
    AUDIT_READ = "audit-read"
    AUDIT_RESTORE = "audit-restore"
    """Ask for copies of archived objects."""
    MANIFESTS = "manifests"
    """Put new manifests and reports into the audit; never over an old one. So it is with the next two."""
    CHECKPOINTS = "checkpoints"
    EVIDENCE = "evidence"
    """The record of a node's end."""
    SIGN = "sign"
    CHECK_SIGNATURES = "check-signatures"
    """Ask for the public half of the key that signs."""
    SEAL_SECRETS = "seal-secrets"
    """Encrypt webhooks' signing secrets."""
    OPEN_SECRETS = "open-secrets"
    """Decrypt them."""
    ROTATE_KEYS = "rotate-keys"
    """See how keys rotate, and rotate them on demand (claim W2.6)."""
    END_NODES = "end-nodes"
    """Send nodes the three words of their end, and let them go."""
    SEE_NODES = "see-nodes"
    """See which nodes the group has."""
    JOURNAL = "journal"
    """Write down how far a node's end has come."""
    ALARM = "alarm"
    """Publish to the topic of alarms."""


@dataclass(frozen=True, slots=True)
class Employee:
    """One function."""

    room: str
    """Its name, and the package below `lambdas/` whose `handler.py` holds `handler`, unless `door` says otherwise."""
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
    elsewhere_only: bool = False
    """Left out when it is here."""
    door: str = ""
    """The module that holds `handler`."""

    @property
    def handler(self) -> str:
        """What Lambda calls."""
        return f"{self.door or f'lambdas.{self.room}.handler'}.handler"


_STAFF = (
    Employee(
        CONTROL_PLANE,
        "The control plane's API, called by its load balancer",
        frozenset({Use.REGISTER, Use.AUDIT_READ, Use.SIGN, Use.SEAL_SECRETS}),
        timeout_s=30,
        memory_mb=1024,
        concurrency=100,
        control_plane_only=True,
    ),
    Employee(
        RULEBOOK_POLL,
        "Answers nodes that wait for a new rulebook, so that the API's functions need not wait",
        frozenset({Use.REGISTER_READ, Use.SIGN}),
        timeout_s=30,
        concurrency=100,
        control_plane_only=True,
        door="lambdas.control_plane.long_poll",
    ),
    Employee(
        LUKS_ERASE,
        "Ends nodes: drained, erased, proved, released; or kept and told of",
        frozenset({Use.END_NODES, Use.JOURNAL, Use.EVIDENCE, Use.ALARM}),
        timeout_s=60,
        concurrency=5,
        every_minutes=1,
        scheduled_input=TICK,
    ),
    Employee(
        "audit_search",
        "Searches and proves the audit, in the customer's own account",
        frozenset({Use.AUDIT_READ, Use.CHECK_SIGNATURES}),
        timeout_s=300,
        memory_mb=1024,
        concurrency=5,
    ),
    Employee(
        "audit_tiering",
        "Seals the audit's days, checks every object against the plan, restores on request",
        frozenset({Use.AUDIT_READ, Use.AUDIT_RESTORE, Use.MANIFESTS, Use.SIGN, Use.ALARM}),
        timeout_s=SLICE_DEFAULT_S + 240,
        memory_mb=1024,
        every_minutes=AUDIT_TIERING_MINUTES,
        scheduled_input=TICK,
    ),
    Employee(
        KEY_ROTATION,
        "Rotates API keys that are old enough, and encryption keys when asked",
        frozenset({Use.REGISTER, Use.ROTATE_KEYS}),
        timeout_s=300,
        every_minutes=KEY_ROTATION_MINUTES,
        control_plane_only=True,
    ),
    Employee(
        "key_expiry",
        "Warns of API keys that end, and ends them on time",
        frozenset({Use.REGISTER}),
        timeout_s=240,
        every_minutes=KEY_EXPIRY_MINUTES,
        control_plane_only=True,
    ),
    Employee(
        WEBHOOK_DELIVERY,
        "Delivers signed webhooks",
        frozenset({Use.REGISTER, Use.OPEN_SECRETS}),
        timeout_s=300,
        every_minutes=WEBHOOK_MINUTES,
        control_plane_only=True,
    ),
    Employee(
        "access_review",
        "Opens the quarter's access reviews, and ends what was lent",
        frozenset({Use.REGISTER}),
        timeout_s=240,
        every_minutes=ACCESS_REVIEW_MINUTES,
        control_plane_only=True,
    ),
    Employee(
        "node_figures",
        "Publishes the nodes' figures as metrics",
        frozenset({Use.REGISTER_READ}),
        timeout_s=50,
        concurrency=1,
        every_minutes=NODE_FIGURES_MINUTES,
        control_plane_only=True,
    ),
    Employee(
        NODE_PROBE,
        "Reads the nodes' figures at their door and publishes them as metrics",
        frozenset({Use.SEE_NODES}),
        timeout_s=50,
        concurrency=1,
        every_minutes=NODE_PROBE_MINUTES,
        elsewhere_only=True,
    ),
    Employee(
        "chain_checkpoint",
        "Lays signed checkpoints of the admin chains into the audit",
        frozenset({Use.REGISTER, Use.CHECKPOINTS, Use.SIGN}),
        timeout_s=120,
        every_minutes=CHAIN_CHECKPOINT_MINUTES,
        control_plane_only=True,
    ),
)


def staff_of(deployment: Deployment) -> tuple[Employee, ...]:
    """The functions of this deployment, in a fixed order."""
    outside, own = deployment.network.webhooks_outside, deployment.own_control_plane
    return tuple(
        replace(employee, in_vpc=not outside) if employee.room == WEBHOOK_DELIVERY else employee
        for employee in _STAFF
        if not (employee.elsewhere_only if own else employee.control_plane_only)
    )
