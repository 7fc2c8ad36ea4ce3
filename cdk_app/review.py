"""The reviewers of every synthesis: four rule packs of cdk-nag, CDK's own validation, and our promises as Guard rules.

A finding stops the synthesis. What cannot be as a rule wants it is acknowledged in `cdk_app.acknowledged`, one by one,
with the reason; the reasons are written into the templates, where an auditor finds them.
"""

from __future__ import annotations

from pathlib import Path

import aws_cdk as cdk
import cdk_nag
from constructs import IConstruct

from cdk_app.acknowledged import ACKNOWLEDGED
from cdk_app.settings import Deployment

RULES = Path(__file__).parent / "rules"


def review(app: cdk.App) -> None:
    """Attach the reviewers; call it after the stacks are composed."""
    packs = [
        # One writer of reasons into the templates is enough for all.
        cdk_nag.AwsSolutionsChecks(app, write_suppressions_to_cloud_formation=True),
        cdk_nag.HIPAASecurityChecks(app),
        cdk_nag.NIST80053R5Checks(app),
        cdk_nag.PCIDSS321Checks(app),
    ]
    cdk.Validations.of(app).add_plugins(*packs, promises())


def promises() -> cdk.CloudFormationValidatePlugin:
    """CDK's own validation, and what we promise as Guard rules."""
    return cdk.CloudFormationValidatePlugin(
        guard_rules=[
            cdk.ValidationRuleSource(name=path.stem, content=path.read_text(encoding="utf-8"))
            for path in sorted(RULES.glob("*.guard"))
        ],
        include_default_rules=True,
    )


def acknowledge(app: cdk.App, deployment: Deployment) -> None:
    """Say of each finding that we keep why we do."""
    for entry in ACKNOWLEDGED:
        for path in entry.constructs:
            construct = _construct(app, f"{deployment.place.name}-{path}")
            if construct is not None:
                cdk.Validations.of(construct).acknowledge(
                    *(cdk.Acknowledgment(id=rule, reason=entry.reason) for rule in entry.rules)
                )


def _construct(app: cdk.App, path: str) -> IConstruct | None:
    """The construct at `path`; None when this deployment does not have it."""
    found: IConstruct | None = app
    for part in path.split("/"):
        found = found.node.try_find_child(part) if found is not None else None
    return found
