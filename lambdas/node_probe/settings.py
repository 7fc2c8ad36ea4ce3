"""What the function is told by its environment; the stacks read it too, so it imports no library."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from governance.errors import InvalidRequest

GROUP = "HATIDATA_GROUP"
ENVIRONMENT = "HATIDATA_ENVIRONMENT"
REGION = "AWS_REGION"
"""Set by Lambda itself; the stacks leave it out."""

SCHEDULE_MINUTES = 1
METRICS_PORT = 9090


@dataclass(frozen=True, slots=True)
class NodeProbeSettings:
    """Whose nodes are asked."""

    group: str
    """The auto scaling group's name."""
    environment_name: str = "production"
    region: str = ""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> NodeProbeSettings:
        """The settings in these variables.

        Raises:
            InvalidRequest: no group is named.
        """
        group = environment.get(GROUP, "")
        if not group:
            raise InvalidRequest(f"{GROUP} is not set.", advice="Deploy the function with the stacks of this project.")
        return cls(group, environment.get(ENVIRONMENT, "production"), environment.get(REGION, ""))

    def environment(self) -> dict[str, str]:
        """The variables that say the same; those of Lambda's own left out."""
        return {GROUP: self.group, ENVIRONMENT: self.environment_name}
