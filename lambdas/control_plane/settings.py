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
SECRETS_KEY = "HATIDATA_SECRETS_KEY"


@dataclass(frozen=True, slots=True)
class ControlPlaneSettings:
    """Where the register lies and what signs."""

    table: str
    """The control table's name."""
    region: str = ""
    audit_bucket: str = ""
    """The query audit that it searches; empty in an account that has none: audit text never leaves the customer's."""
    signing_key: str = ""
    """ARN of the asymmetric KMS key that signs rulebooks."""
    secrets_key: str = ""
    """ARN of the symmetric KMS key that encrypts webhooks' signing secrets."""

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
            environment.get(SECRETS_KEY, ""),
        )

    def environment(self) -> dict[str, str]:
        """The variables that say the same; those of Lambda's own left out."""
        named = {
            TABLE: self.table,
            AUDIT_BUCKET: self.audit_bucket,
            SIGNING_KEY: self.signing_key,
            SECRETS_KEY: self.secrets_key,
        }
        return {name: value for name, value in named.items() if value}
