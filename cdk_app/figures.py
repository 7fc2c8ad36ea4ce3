"""The figures that are watched, and where each becomes an alarm: one list, read by `cdk_app.watch`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Watched:
    """One figure of the product and where it becomes an alarm."""

    name: str
    figure: str
    """The metric in the product's namespace."""
    says: str
    over: float = 0
    """An alarm above this."""
    under: float | None = None
    """Or below this."""
    minutes: int = 5
    rate_per_minute: bool = False
    """The figure counts up for ever; what is watched is its growth."""
    silence_alarms: bool = False
    """Whether no figure at all is an alarm too."""
    control_plane_only: bool = False
    """Published by a function that is left out when the control plane is elsewhere."""


FIGURES = (
    Watched("erase-failed", "NodesRetained", "A node could not be ended as it should; it is retained."),
    Watched("node-lost", "NodesLost", "A node left before its cache was proved erased."),
    Watched("erase-late", "NodeEndOldestSeconds", "The end of a node takes more than 20 minutes.", over=1200),
    Watched("erase-stuck", "NodeEndFailures", "Steps of a node's end fail, and are tried again.", minutes=15),
    Watched(
        "erase-silent", "NodesEnding", "Nobody looks after the end of nodes.", over=1e9, minutes=15, silence_alarms=True
    ),
    Watched("audit-deviates", "AuditDeviations", "Audit objects are not as the plan says."),
    Watched(
        "audit-lag", "AuditLagSeconds", "Audit records wait longer than 5 minutes.", over=300
    ),
    Watched(
        "rulebook-age", "RulebookAgeSeconds", "A node's rulebook is older than 30 seconds.", over=30,
    ),
    Watched(
        "nodes-silent", "NodesAlive", "Fewer nodes tell their figures than there must be.", under=1,
        silence_alarms=True,
    ),
    Watched(
        "cache-thrash", "CacheEvictions", "The cache throws out blocks faster than it serves them.", over=2000,
        minutes=15,
        rate_per_minute=True,
    ),
    Watched(
        "key-expiring", "KeysExpiring", "An API key ends within a day.", minutes=60, control_plane_only=True
    ),
    Watched("expiry-failed", "ExpiryFailed", "A key could not be ended on time.", minutes=15, control_plane_only=True),
    Watched(
        "rotation-failed", "RotationFailed", "A key could not be rotated, or does not rotate by itself.", minutes=30,
        control_plane_only=True,
    ),
    Watched(
        "webhooks-failed", "WebhooksFailed", "A webhook was given up after every attempt.", minutes=15,
        control_plane_only=True,
    ),
    Watched(
        "review-overdue", "AccessReviewsOverdue", "An access review of the quarter is overdue.", minutes=60,
        control_plane_only=True,
    ),
    Watched(
        "checkpoint-missing", "ChainCheckpoints", "No checkpoint of the admin chains was laid for two hours.", under=1,
        minutes=120, silence_alarms=True, control_plane_only=True,
    ),
)  # fmt: skip
