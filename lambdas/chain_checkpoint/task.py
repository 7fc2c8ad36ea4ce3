"""One run: a signed checkpoint of every environment's chain, also when nothing happened since the last."""

from __future__ import annotations

from dataclasses import dataclass, field

from governance.checkpoints import Checkpoint
from governance.ports import AuditStore, Clock, ControlStore, Signer
from governance.register import Environment
from governance.timestamp import stamp


@dataclass
class Report:
    """What a run laid down."""

    names: list[str] = field(default_factory=list)

    def figures(self) -> dict[str, float]:
        """Counts by the names of the alarms' metrics."""
        return {"ChainCheckpoints": len(self.names)}


def run(store: ControlStore, audit: AuditStore, signer: Signer, clock: Clock) -> Report:
    """Lay one checkpoint down for each environment.

    Raises:
        OSError: the audit store cannot be written; Refusal: register or key cannot be used. The next run makes it good.
    """
    report = Report()
    with store.read() as reader:
        environments = [environment.name for environment in reader.every(Environment, "")]
    for environment in environments:
        with store.read() as reader:
            sequence, head = reader.head(environment)
        checkpoint = Checkpoint(environment, sequence, head, stamp(clock.now()))
        data = checkpoint.encode()
        # The signature goes first: a checkpoint without one would stand forever.
        audit.put_new(checkpoint.name.removesuffix(".json") + ".sig", signer.sign(data))
        audit.put_new(checkpoint.name, data)
        report.names.append(checkpoint.name)
    return report
