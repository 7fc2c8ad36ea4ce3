"""A policy as the register keeps it: the rule, whose tables it speaks of, and how often it was changed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from governance.policies import Policy
from governance.rulebook import decode_policy, encode_policy


@dataclass(frozen=True, slots=True)
class PolicyRecord:
    """A policy and whose tables it speaks of."""

    kind: ClassVar[str] = "policy"
    lookup: ClassVar[str] = ""

    environment: str
    policy: Policy
    organization: str
    """An organization id, or `shared`."""
    created_at: str
    status: str = "active"
    """active in the register; in events and drafts also `draft` and `removal_drafted`."""
    revision: int = 1

    @property
    def id(self) -> str:
        """The policy's id."""
        return self.policy.id

    @property
    def unique(self) -> str:
        """An organization's policies have different names."""
        return f"{self.organization}\n{self.policy.name}"

    def fact(self) -> dict[str, Any]:
        """The policy in the rulebook's shape, with whose it is."""
        return {
            "id": self.id,
            "name": self.policy.name,
            "organization": self.organization,
            "status": self.status,
            "revision": self.revision,
            "policy": {k: v for k, v in encode_policy(self.policy).items() if k not in ("id", "name")},
        }

    def stored(self) -> dict[str, Any]:
        """The stored form."""
        return {
            "environment": self.environment,
            "policy": encode_policy(self.policy),
            "organization": self.organization,
            "created_at": self.created_at,
            "status": self.status,
            "revision": self.revision,
        }

    @classmethod
    def restored(cls, body: dict[str, Any]) -> PolicyRecord:
        """The inverse of `stored`.

        Raises:
            InvalidRequest, KeyError, TypeError: not such a record.
        """
        return cls(**{**body, "policy": decode_policy(body["policy"])})
