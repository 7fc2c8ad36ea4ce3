"""What the function is told by its environment; the stacks read it too, so it imports no library."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from governance.audit_plan import AuditPlan
from governance.errors import InvalidRequest

REGION = "AWS_REGION"
"""Set by Lambda itself; the stacks leave it out."""
AUDIT_BUCKET = "HATIDATA_AUDIT_BUCKET"
AUDIT_KEY = "HATIDATA_AUDIT_KEY"
SIGNING_KEY = "HATIDATA_SIGNING_KEY"
TOPIC = "HATIDATA_ALARM_TOPIC"
ENVIRONMENT = "HATIDATA_ENVIRONMENT"
RETENTION_DAYS = "HATIDATA_AUDIT_RETENTION_DAYS"
SLICE_S = "HATIDATA_CHECK_SLICE_S"

SCHEDULE_MINUTES = 30
"""The clock comes this often: what one invocation does not finish, the next goes on with."""
RETENTION_DEFAULT_DAYS = AuditPlan("").retention_days
SLICE_DEFAULT_S = 600
"""How long one invocation checks; the function's timeout is longer."""


@dataclass(frozen=True, slots=True)
class AuditTieringSettings:
    """Which bucket, by which plan, and who is told."""

    audit_bucket: str
    audit_key: str
    """ARN of the key every object must be under."""
    signing_key: str
    """ARN of the key that signs manifests."""
    topic: str
    """ARN of the topic of alarms."""
    environment_name: str
    """The deployment's, for the dimension of its metrics."""
    region: str = ""
    retention_days: int = RETENTION_DEFAULT_DAYS
    slice_s: int = SLICE_DEFAULT_S

    def __post_init__(self) -> None:
        """Refuse what cannot be meant.

        Raises:
            InvalidRequest: a name is missing, or a number is out of range.
        """
        for name, value in self.environment().items():
            if not value:
                raise InvalidRequest(
                    f"{name} is not set.", advice="Deploy the function with the stacks of this project."
                )
        if not RETENTION_DEFAULT_DAYS <= self.retention_days <= 100 * 366 or not 1 <= self.slice_s <= 840:
            raise InvalidRequest("Retention or slice of the audit's check are out of range.")

    @property
    def plan(self) -> AuditPlan:
        """The plan of the bucket."""
        return AuditPlan(self.audit_key, self.retention_days)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> AuditTieringSettings:
        """The settings in these variables; raises as the constructor does."""
        try:
            days = int(environment.get(RETENTION_DAYS, "") or RETENTION_DEFAULT_DAYS)
            slice_s = int(environment.get(SLICE_S, "") or SLICE_DEFAULT_S)
        except ValueError:
            raise InvalidRequest("A bound of the audit's check is no whole number.") from None
        names = (AUDIT_BUCKET, AUDIT_KEY, SIGNING_KEY, TOPIC, ENVIRONMENT, REGION)
        bucket, key, signing, topic, named, region = (environment.get(name, "") for name in names)
        return cls(bucket, key, signing, topic, named, region, days, slice_s)

    def environment(self) -> dict[str, str]:
        """The variables that say the same; those of Lambda's own left out."""
        return {
            AUDIT_BUCKET: self.audit_bucket,
            AUDIT_KEY: self.audit_key,
            SIGNING_KEY: self.signing_key,
            TOPIC: self.topic,
            ENVIRONMENT: self.environment_name,
            RETENTION_DAYS: str(self.retention_days),
            SLICE_S: str(self.slice_s),
        }
