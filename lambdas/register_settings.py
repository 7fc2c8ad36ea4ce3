"""What functions that need nothing but the register are told; the stacks read it too: standard library only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from governance.errors import InvalidRequest

TABLE = "HATIDATA_CONTROL_TABLE"
REGION = "AWS_REGION"
"""Set by Lambda itself; the stacks leave it out."""
ENVIRONMENT = "HATIDATA_ENVIRONMENT"


@dataclass(frozen=True, slots=True)
class RegisterSettings:
    """Where the register lies."""

    table: str
    environment_name: str = "production"
    """The deployment's, for the dimension of its metrics."""
    region: str = ""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> RegisterSettings:
        """The settings in these variables.

        Raises:
            InvalidRequest: no table is named.
        """
        table = environment.get(TABLE, "")
        if not table:
            raise InvalidRequest(f"{TABLE} is not set.", advice="Deploy the function with the stacks of this project.")
        return cls(table, environment.get(ENVIRONMENT, "production"), environment.get(REGION, ""))

    def environment(self) -> dict[str, str]:
        """The variables that say the same; those of Lambda's own left out."""
        return {TABLE: self.table, ENVIRONMENT: self.environment_name}
