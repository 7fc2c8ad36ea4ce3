"""What the key rotation function is told by its environment; the stacks read it, so nothing but standard library."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from governance.errors import InvalidRequest

TABLE = "HATIDATA_CONTROL_TABLE"
REGION = "AWS_REGION"
"""Set by Lambda itself; the stacks leave it out."""
ENVIRONMENT = "HATIDATA_ENVIRONMENT"
ENCRYPTION_KEYS = "HATIDATA_ENCRYPTION_KEYS"

SCHEDULE_MINUTES = 15
"""How often it runs; what the API says of an asked rotation ("within the hour") rests on it."""


@dataclass(frozen=True, slots=True)
class KeyRotationSettings:
    """Where the register lies, and which keys of KMS the installation has."""

    table: str
    encryption_keys: tuple[tuple[str, str], ...]
    """(our name, ARN), such as ("data", "arn:aws:kms:..."); symmetric keys of the customer's."""
    environment_name: str = "production"
    """The deployment's, for the dimension of its metrics."""
    region: str = ""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> KeyRotationSettings:
        """The settings in these variables.

        Raises:
            InvalidRequest: no table is named, or the keys are not spelled `name=arn,name=arn`.
        """
        table = environment.get(TABLE, "")
        pairs = [pair.partition("=") for pair in environment.get(ENCRYPTION_KEYS, "").split(",") if pair]
        if not table or not all(name and arn for name, _, arn in pairs):
            raise InvalidRequest(
                f"{TABLE} or {ENCRYPTION_KEYS} is not set.",
                advice="Deploy the function with the stacks of this project.",
            )
        return cls(
            table,
            tuple((name, arn) for name, _, arn in pairs),
            environment.get(ENVIRONMENT, "production"),
            environment.get(REGION, ""),
        )

    def environment(self) -> dict[str, str]:
        """The variables that say the same; those of Lambda's own left out."""
        return {
            TABLE: self.table,
            ENVIRONMENT: self.environment_name,
            ENCRYPTION_KEYS: ",".join(f"{name}={arn}" for name, arn in self.encryption_keys),
        }
