"""What the function is told by its environment; the stacks read it too, so it imports no library."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from governance.errors import InvalidRequest

TABLE = "HATIDATA_CONTROL_TABLE"
REGION = "AWS_REGION"
"""Set by Lambda itself; the stacks leave it out."""

SCHEDULE_MINUTES = 1
METRICS = {
    "running": "QueriesRunning",
    "queued": "QueriesQueued",
    "connections": "Connections",
    "audit_lag_s": "AuditLagSeconds",
    "rulebook_age_s": "RulebookAgeSeconds",
    "cache_evictions": "CacheEvictions",
}
"""Figure of a node -> metric. The stacks' alarms and dashboard name the metrics (`cdk_app.watch`)."""


@dataclass(frozen=True, slots=True)
class NodeFiguresSettings:
    """Where the register lies, in which nodes' figures are observed."""

    table: str
    region: str = ""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> NodeFiguresSettings:
        """The settings in these variables.

        Raises:
            InvalidRequest: no table is named.
        """
        table = environment.get(TABLE, "")
        if not table:
            raise InvalidRequest(f"{TABLE} is not set.", advice="Deploy the function with the stacks of this project.")
        return cls(table, environment.get(REGION, ""))

    def environment(self) -> dict[str, str]:
        """The variables that say the same; those of Lambda's own left out."""
        return {TABLE: self.table}
