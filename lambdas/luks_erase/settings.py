"""What the function is told by its environment; the stacks read it too, so it imports no library."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from governance.errors import InvalidRequest
from governance.node_report import NodeStep
from governance.termination import EndLimits

REGION = "AWS_REGION"
"""Set by Lambda itself; the stacks leave it out."""
TABLE = "HATIDATA_TERMINATION_TABLE"
DOCUMENT = "HATIDATA_NODE_DOCUMENT"
GROUP = "HATIDATA_GROUP"
HOOK = "HATIDATA_HOOK"
TOPIC = "HATIDATA_ALARM_TOPIC"
AUDIT_BUCKET = "HATIDATA_AUDIT_BUCKET"
ENVIRONMENT = "HATIDATA_ENVIRONMENT"
DRAIN_S = "HATIDATA_DRAIN_S"
TOTAL_S = "HATIDATA_END_OF_NODE_S"

SHIP_S = 600
"""What a node may take to ship its spool after its sessions have ended."""
MARGIN_S = 120
"""What a command's end may take to be seen."""
DRAIN_DEFAULT_S = 300
DELIVERY_S = 60
"""Within this a command reaches a node or never runs."""


@dataclass(frozen=True, slots=True)
class LuksEraseSettings:
    """Whose nodes are ended, by which document, and who is told."""

    table: str
    """The journal's table."""
    document: str
    """The Run Command document of `cdk_app.boot.run_document`."""
    group: str
    hook: str
    topic: str
    """ARN of the topic of alarms."""
    audit_bucket: str
    environment_name: str
    """The deployment's, for the dimension of its metrics."""
    region: str = ""
    drain_s: int = DRAIN_DEFAULT_S
    """How long sessions may go on: the nodes' own HATIDATA_DRAIN_S."""
    total_s: int = 0
    """After this the node is kept and told of; 0: thrice the drain and an hour."""

    def __post_init__(self) -> None:
        """Refuse what cannot be meant.

        Raises:
            InvalidRequest: a name is missing, or a time is out of range.
        """
        for name, value in self.environment().items():
            if not value:
                raise InvalidRequest(
                    f"{name} is not set.", advice="Deploy the function with the stacks of this project."
                )
        if not 1 <= self.drain_s <= 3600 or not 2 * self.command_s(NodeStep.DRAIN) <= self.limits.total_s <= 48 * 3600:
            raise InvalidRequest("The times of a node's end cannot be kept.", advice="See docs/node-end.md.")

    def command_s(self, step: NodeStep) -> int:
        """How long the command of `step` may run on the node."""
        return {NodeStep.DRAIN: self.drain_s + SHIP_S + 60, NodeStep.ERASE: 240, NodeStep.PROVE: 120}[step]

    @property
    def limits(self) -> EndLimits:
        """How long each step is waited for, delivery included."""
        drain_s, erase_s, prove_s = (self.command_s(step) + DELIVERY_S + MARGIN_S for step in NodeStep)
        total_s = self.total_s or 3 * drain_s + 3600
        return EndLimits(drain_s=drain_s, erase_s=erase_s, prove_s=prove_s, total_s=total_s)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> LuksEraseSettings:
        """The settings in these variables; raises as the constructor does."""
        try:
            drain_s = int(environment.get(DRAIN_S, "") or DRAIN_DEFAULT_S)
            total_s = int(environment.get(TOTAL_S, "") or 0)
        except ValueError:
            raise InvalidRequest("A time of a node's end is no whole number of seconds.") from None
        names = (TABLE, DOCUMENT, GROUP, HOOK, TOPIC, AUDIT_BUCKET, ENVIRONMENT, REGION)
        table, document, group, hook, topic, bucket, named, region = (environment.get(name, "") for name in names)
        return cls(table, document, group, hook, topic, bucket, named, region, drain_s, total_s)

    def environment(self) -> dict[str, str]:
        """The variables that say the same; those of Lambda's own left out."""
        return {
            TABLE: self.table,
            DOCUMENT: self.document,
            GROUP: self.group,
            HOOK: self.hook,
            TOPIC: self.topic,
            AUDIT_BUCKET: self.audit_bucket,
            ENVIRONMENT: self.environment_name,
            DRAIN_S: str(self.drain_s),
            TOTAL_S: str(self.total_s),
        }
