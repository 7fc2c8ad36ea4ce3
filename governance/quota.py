"""How much a key or an organization may ask in one environment. Counted and enforced on the nodes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

QUERIES_MAX = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Quota:
    """Statements that may begin within a day (UTC) and within a minute; 0 is no limit."""

    queries_per_day: int = 0
    queries_per_minute: int = 0

    @property
    def limits(self) -> bool:
        """Whether it limits anything."""
        return bool(self.queries_per_day or self.queries_per_minute)

    def within(self, other: Quota) -> bool:
        """Whether it allows no more than `other`."""
        return all(
            not theirs or 0 < mine <= theirs
            for mine, theirs in (
                (self.queries_per_day, other.queries_per_day),
                (self.queries_per_minute, other.queries_per_minute),
            )
        )

    def fact(self) -> dict[str, int]:
        """Both numbers."""
        return {"queries_per_day": self.queries_per_day, "queries_per_minute": self.queries_per_minute}


NO_QUOTA = Quota()


@dataclass(frozen=True, slots=True)
class OrganizationQuota:
    """What all keys of an organization together may ask in an environment; set by the operator."""

    kind: ClassVar[str] = "organization_quota"
    lookup: ClassVar[str] = ""
    unique: ClassVar[str] = ""

    environment: str
    organization: str
    quota: Quota

    @property
    def id(self) -> str:
        """The organization's id."""
        return self.organization

    def fact(self) -> dict[str, Any]:
        """As the event of the environment holds it."""
        return quota_fact("organization", self.organization, self.quota)

    def stored(self) -> dict[str, Any]:
        """The stored form."""
        return {"environment": self.environment, "organization": self.organization, "quota": self.quota.fact()}

    @classmethod
    def restored(cls, body: dict[str, Any]) -> OrganizationQuota:
        """The inverse of `stored`; KeyError or TypeError when it is none."""
        return cls(body["environment"], body["organization"], Quota(**body["quota"]))


def quota_fact(subject: str, subject_id: str, quota: Quota) -> dict[str, Any]:
    """A quota and whose it is: `subject` is key or organization."""
    return {"subject": subject, "id": subject_id, **quota.fact()}
