"""The quarterly review of access: who holds what, used when, changed how, and who vouches (H15.6). Pure.

A review is a picture of an organization's users taken when it opens, a line each. Somebody other than the line's user
signs it off; the installation's key signs what he said over the line's digest, so neither can be changed unseen.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar

from governance.admin_event import ORGANIZATION_CHAIN, AdminEvent, AdminEventType
from governance.chain import canonical

_NUMBER_DIGITS = 6


@dataclass(frozen=True, slots=True)
class AccessReview:
    """One organization's review of one quarter. An observation: what it decides is in the events of its lines."""

    kind: ClassVar[str] = "access_review"
    environment: ClassVar[str] = ""
    lookup: ClassVar[str] = ""
    unique: ClassVar[str] = ""
    expires_at: ClassVar[str] = ""

    organization: str
    period: str
    """2026-Q4"""
    opened_at: str
    due_at: str
    since: str
    """When the review before opened; empty when there was none."""
    lines: int
    gone: tuple[str, ...] = ()
    """Ids of users who were there at the review before."""
    signed: int = 0

    @property
    def id(self) -> str:
        """Period and organization."""
        return review_id(self.period, self.organization)

    def status(self, now: str) -> str:
        """done, open or overdue."""
        if self.signed >= self.lines:
            return "done"
        return "overdue" if self.due_at <= now else "open"

    def stored(self) -> dict[str, Any]:
        """The stored form."""
        return dataclasses.asdict(self) | {"gone": list(self.gone)}

    @classmethod
    def restored(cls, body: dict[str, Any]) -> AccessReview:
        """The inverse of `stored`; KeyError or TypeError when it is none."""
        return cls(**{**body, "gone": tuple(body["gone"])})


@dataclass(frozen=True, slots=True)
class SignOff:
    """What a reviewer said of a line, and the installation's signature over it."""

    decision: str
    note: str
    reviewer_id: str
    key_id: str
    at: str
    signature: str = ""
    """Base64; over `statement`."""


@dataclass(frozen=True, slots=True)
class ReviewLine:
    """One user as he was when the review opened, and what was said of him."""

    kind: ClassVar[str] = "review_line"
    environment: ClassVar[str] = ""
    lookup: ClassVar[str] = ""
    unique: ClassVar[str] = ""
    expires_at: ClassVar[str] = ""

    review: str
    number: int
    organization: str
    held: Mapping[str, Any]
    """Plain JSON: user_id, email, role, status, attributes, privileges, keys, key_count, lent, last_used_at, changes"""
    signed: SignOff | None = None

    @property
    def id(self) -> str:
        """Review and number, so that a review's lines stand together in order."""
        return line_id(self.review, self.number)

    @property
    def user_id(self) -> str:
        """Whom it speaks of."""
        return str(self.held["user_id"])

    @property
    def digest(self) -> str:
        """Lower-case hexadecimal SHA-256 of the canonical form of review, number and what was held."""
        held = {"review": self.review, "number": self.number, "held": dict(self.held)}
        return hashlib.sha256(canonical(held)).hexdigest()

    def statement(self, sign_off: SignOff) -> bytes:
        """What is signed: canonical JSON."""
        said = {name: value for name, value in dataclasses.asdict(sign_off).items() if name != "signature"}
        return canonical({"v": 1, "review": self.review, "number": self.number, "line": self.digest, **said})

    def stored(self) -> dict[str, Any]:
        """The stored form."""
        return {
            "review": self.review,
            "number": self.number,
            "organization": self.organization,
            "held": dict(self.held),
            "signed": dataclasses.asdict(self.signed) if self.signed else None,
        }

    @classmethod
    def restored(cls, body: dict[str, Any]) -> ReviewLine:
        """The inverse of `stored`; KeyError or TypeError when it is none."""
        return cls(**{**body, "signed": SignOff(**body["signed"]) if body["signed"] else None})


def period_of(now: datetime) -> str:
    """The quarter of a moment."""
    return f"{now.year:04d}-Q{(now.month + 2) // 3}"


def review_id(period: str, organization: str) -> str:
    """The id of an organization's review of a quarter."""
    return f"{period}.{organization}"


def line_id(review: str, number: int) -> str:
    """The id of a line."""
    return f"{review}/{number:0{_NUMBER_DIGITS}d}"


def reviewed(review: AccessReview, line: ReviewLine, said: SignOff) -> AdminEvent:
    """What the chain says of a line that is signed off."""
    after = {
        "id": line.id,
        "period": review.period,
        "user_id": line.user_id,
        "reviewer_id": said.reviewer_id,
        "decision": said.decision,
        "note": said.note,
    }
    return AdminEvent(AdminEventType.ACCESS_REVIEWED, ORGANIZATION_CHAIN, line.organization, line.id, None, after)
