"""What the checkpoint function is told by its environment; also read by the stacks, so nothing but standard library."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from governance.errors import InvalidRequest

TABLE = "HATIDATA_CONTROL_TABLE"
AUDIT_BUCKET = "HATIDATA_AUDIT_BUCKET"
SIGNING_KEY = "HATIDATA_SIGNING_KEY"
REGION = "AWS_REGION"
"""Set by Lambda itself; the stacks leave it out."""
ENVIRONMENT = "HATIDATA_ENVIRONMENT"

SCHEDULE_MINUTES = 30
"""Two chances in the hour that is promised; `governance.checkpoints.EVERY` says the same."""


@dataclass(frozen=True, slots=True)
class ChainCheckpointSettings:
    """Where the register lies, where checkpoints go, and what signs them."""

    table: str
    audit_bucket: str
    signing_key: str
    """ARN of the asymmetric KMS key."""
    environment_name: str = "production"
    """The deployment's, for the dimension of its metrics."""
    region: str = ""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> ChainCheckpointSettings:
        """The settings in these variables.

        Raises:
            InvalidRequest: one is missing.
        """
        found = [environment.get(name, "") for name in (TABLE, AUDIT_BUCKET, SIGNING_KEY)]
        for name, value in zip((TABLE, AUDIT_BUCKET, SIGNING_KEY), found, strict=True):
            if not value:
                raise InvalidRequest(
                    f"{name} is not set.", advice="Deploy the function with the stacks of this project."
                )
        table, bucket, key = found
        return cls(table, bucket, key, environment.get(ENVIRONMENT, "production"), environment.get(REGION, ""))

    def environment(self) -> dict[str, str]:
        """The variables that say the same; those of Lambda's own left out."""
        return {
            TABLE: self.table,
            AUDIT_BUCKET: self.audit_bucket,
            SIGNING_KEY: self.signing_key,
            ENVIRONMENT: self.environment_name,
        }
