"""What the control plane's function is told by its environment; the stacks read it too, so it imports no library."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from governance.errors import InvalidRequest

TABLE = "HATIDATA_CONTROL_TABLE"
REGION = "AWS_REGION"
"""Set by Lambda itself; the stacks leave it out."""
AUDIT_BUCKET = "HATIDATA_AUDIT_BUCKET"
SIGNING_KEY = "HATIDATA_SIGNING_KEY"


@dataclass(frozen=True, slots=True)
class ControlPlaneSettings:
    """Where the register lies and what signs."""

    table: str
    """The control table's name."""
    region: str = ""
    audit_bucket: str = ""
    """Where signed checkpoints go; empty in an account that has no audit bucket."""
    signing_key: str = ""
    """ARN of the asymmetric KMS key that signs rulebooks and checkpoints."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> ControlPlaneSettings:
        """The settings in these variables.

        Raises:
            InvalidRequest: no table is named.
        """
        table = environment.get(TABLE, "")
        if not table:
            raise InvalidRequest(f"{TABLE} is not set.", advice="Deploy the function with the stacks of this project.")
        return cls(
            table,
            environment.get(REGION, ""),
            environment.get(AUDIT_BUCKET, ""),
            environment.get(SIGNING_KEY, ""),
        )

    def environment(self) -> dict[str, str]:
        """The variables that say the same; those of Lambda's own left out."""
        named = {TABLE: self.table, AUDIT_BUCKET: self.audit_bucket, SIGNING_KEY: self.signing_key}
        return {name: value for name, value in named.items() if value}
