"""What the delivery function is told by its environment; also read by the stacks, so nothing but standard library."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from governance.errors import InvalidRequest

TABLE = "HATIDATA_CONTROL_TABLE"
REGION = "AWS_REGION"
"""Set by Lambda itself; the stacks leave it out."""
ENVIRONMENT = "HATIDATA_ENVIRONMENT"
SECRETS_KEY = "HATIDATA_SECRETS_KEY"

SCHEDULE_MINUTES = 1


@dataclass(frozen=True, slots=True)
class WebhookDeliverySettings:
    """Where deliveries wait, and what opens the secrets that sign them.

    The function needs a way to its receivers: outside the VPC it reaches public addresses, inside it private ones.
    """

    table: str
    secrets_key: str
    """ARN of the symmetric KMS key that webhooks' signing secrets are encrypted with."""
    environment_name: str = "production"
    """The deployment's, for the dimension of its metrics."""
    region: str = ""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> WebhookDeliverySettings:
        """The settings in these variables.

        Raises:
            InvalidRequest: the table or the key is not named.
        """
        table, secrets_key = environment.get(TABLE, ""), environment.get(SECRETS_KEY, "")
        if not table or not secrets_key:
            raise InvalidRequest(
                f"{TABLE} or {SECRETS_KEY} is not set.", advice="Deploy the function with the stacks of this project."
            )
        return cls(table, secrets_key, environment.get(ENVIRONMENT, "production"), environment.get(REGION, ""))

    def environment(self) -> dict[str, str]:
        """The variables that say the same; those of Lambda's own left out."""
        return {TABLE: self.table, SECRETS_KEY: self.secrets_key, ENVIRONMENT: self.environment_name}
