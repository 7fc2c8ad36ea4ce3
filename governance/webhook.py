"""Webhooks: who is told of what, where, and what is still to be delivered (claims W3.7, W5.5). Pure.

A delivery waits in the register, in the transaction of the change it tells of, until it is delivered or given up; its
log entry says what became of it. Attempts are spaced by `RETRY_AFTER_S`.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, ClassVar

from governance.admin_event import AdminEventType
from governance.errors import InvalidRequest
from governance.timestamp import parse, stamp
from governance.webhook_address import origin

KEY_EXPIRING = "key.expiring"
TEST = "webhook.test"
EVENT_TYPES = frozenset({kind.value for kind in AdminEventType} | {KEY_EXPIRING})
"""What a webhook may be registered for; every webhook takes a test."""
WEBHOOKS_MAX = 32
"""Per organization and environment."""
QUEUE_MAX = 1000
"""Deliveries of one webhook that wait; the next is given up at once, and its log says so."""
BODY_BYTES_MAX = 64 * 1024
RETRY_AFTER_S = (10, 60, 300, 1800, 7200, 21_600, 54_000)
"""After each failed attempt but the last: eight attempts within a day."""
LOG_DAYS = 30
SECRET_GRACE = timedelta(hours=24)
"""How long deliveries bear the signature of a replaced secret too."""
_END_OF_TIME_US = 10**16


@dataclass(frozen=True, slots=True)
class Webhook:
    """One address of one organization, in one environment."""

    kind: ClassVar[str] = "webhook"
    lookup: ClassVar[str] = ""
    unique: ClassVar[str] = ""

    environment: str
    id: str
    organization: str
    url: str = field(repr=False)
    """Its path may hold a token of the receiver's."""
    event_types: tuple[str, ...]
    sealed: str = field(repr=False)
    """The signing secret, encrypted for this webhook."""
    created_at: str
    created_by: str
    status: str = "active"
    """active, paused."""
    key_generation: int = 1
    """Which signing secret it is: 1, 2, ..."""
    sealed_before: str = field(default="", repr=False)
    sealed_before_until: str = ""

    def fact(self) -> dict[str, Any]:
        """What the chain may tell: of the URL only its origin."""
        return {
            "id": self.id,
            "organization": self.organization,
            "url": origin(self.url),
            "event_types": list(self.event_types),
            "status": self.status,
            "key_generation": self.key_generation,
        }

    def seals(self, now: str) -> tuple[str, ...]:
        """The sealed secrets that sign at `now`, the present one first."""
        return (self.sealed, *((self.sealed_before,) if now < self.sealed_before_until else ()))

    @property
    def sealing_context(self) -> str:
        """What a sealed secret is bound to: it opens for no other webhook."""
        return f"webhook {self.environment} {self.id}"

    def stored(self) -> dict[str, Any]:
        """The stored form, without its version."""
        return dataclasses.asdict(self) | {"event_types": list(self.event_types)}

    @classmethod
    def restored(cls, body: dict[str, Any]) -> Webhook:
        """The inverse of `stored`."""
        return cls(**{**body, "event_types": tuple(body["event_types"])})


@dataclass(frozen=True, slots=True)
class WebhookDelivery:
    """A delivery that waits: an observation, gone when it is done."""

    kind: ClassVar[str] = "webhook_delivery"
    lookup: ClassVar[str] = ""
    unique: ClassVar[str] = ""

    environment: str
    id: str
    organization: str
    webhook_id: str
    event_id: str
    event_type: str
    body: str = field(repr=False)
    at: str
    """When the event was."""
    next_at: str
    attempts: int = 0
    expires_at: str = ""

    def due(self, now: str) -> bool:
        """Whether it may be tried now."""
        return self.next_at <= now

    def tried(self, now: datetime) -> WebhookDelivery:
        """The delivery with one attempt more; the next is set before the attempt begins, so a crash loses nothing."""
        wait_s = RETRY_AFTER_S[self.attempts] if not self.last_attempt else RETRY_AFTER_S[-1]
        spread = 1 + int(self.event_id[-2:], 16) / 2550  # up to a tenth, so that a herd does not come back at once
        return dataclasses.replace(
            self, attempts=self.attempts + 1, next_at=stamp(now + timedelta(seconds=wait_s * spread))
        )

    @property
    def last_attempt(self) -> bool:
        """Whether the next attempt is the last."""
        return self.attempts >= len(RETRY_AFTER_S)

    @property
    def spent(self) -> bool:
        """Whether every attempt was made."""
        return self.attempts > len(RETRY_AFTER_S)

    def logged(self, status: str, *, code: int = 0, failure: str = "", now: str) -> WebhookLog:
        """The entry of the delivery log that says how it stands."""
        return WebhookLog(
            environment=self.environment, id=self.id, organization=self.organization, webhook_id=self.webhook_id,
            event_id=self.event_id, event_type=self.event_type, at=self.at, status=status, attempts=self.attempts,
            last_at=now if self.attempts else "", next_at=self.next_at if status == "waiting" else "",
            code=code, failure=failure, expires_at=stamp(parse(now) + timedelta(days=LOG_DAYS)),
        )  # fmt: skip

    def stored(self) -> dict[str, Any]:
        """The stored form, without its version."""
        return dataclasses.asdict(self)

    @classmethod
    def restored(cls, body: dict[str, Any]) -> WebhookDelivery:
        """The inverse of `stored`."""
        return cls(**body)


@dataclass(frozen=True, slots=True)
class WebhookLog:
    """What became of a delivery: an observation that is kept for `LOG_DAYS`. Holds nothing of either body."""

    kind: ClassVar[str] = "webhook_log"
    lookup: ClassVar[str] = ""
    unique: ClassVar[str] = ""

    environment: str
    id: str
    organization: str
    webhook_id: str
    event_id: str
    event_type: str
    at: str
    status: str
    """waiting, delivered, failed, dropped."""
    attempts: int
    last_at: str
    next_at: str
    code: int
    """The last HTTP status, 0 when there was none."""
    failure: str
    """Why the last attempt failed, in a word or two of ours."""
    expires_at: str

    def stored(self) -> dict[str, Any]:
        """The stored form, without its version."""
        return dataclasses.asdict(self)

    @classmethod
    def restored(cls, body: dict[str, Any]) -> WebhookLog:
        """The inverse of `stored`."""
        return cls(**body)


@dataclass(frozen=True, slots=True)
class KeyWarning:
    """That an expiry was warned of: an observation that makes each stage happen once."""

    kind: ClassVar[str] = "key_warning"
    organization: ClassVar[str] = ""
    lookup: ClassVar[str] = ""
    unique: ClassVar[str] = ""

    environment: str
    id: str
    """`key id`~`days`."""
    at: str
    expires_at: str = ""

    def stored(self) -> dict[str, Any]:
        """The stored form, without its version."""
        return dataclasses.asdict(self)

    @classmethod
    def restored(cls, body: dict[str, Any]) -> KeyWarning:
        """The inverse of `stored`."""
        return cls(**body)


def delivery(webhook: Webhook, *, event_id: str, event_type: str, data: dict[str, Any], at: str) -> WebhookDelivery:
    """The delivery of one event to one webhook, due at once.

    Args:
        webhook: to whom.
        event_id: 32 hexadecimal digits; the same at every attempt, so a receiver can tell a repetition.
        event_type: one of `EVENT_TYPES`, or `TEST`.
        data: plain JSON. Past `BODY_BYTES_MAX` it is replaced by `{"too_long": true}`.
        at: RFC 3339 UTC.
    """
    envelope = {
        "v": 1, "id": event_id, "type": event_type, "timestamp": at, "environment": webhook.environment,
        "organization": webhook.organization,
    }  # fmt: skip
    body = _json({**envelope, "data": data})
    if len(body.encode()) > BODY_BYTES_MAX:
        body = _json({**envelope, "data": {"too_long": True}})
    return WebhookDelivery(
        environment=webhook.environment,
        id=f"{delivery_ids(webhook.id)}{_newest_first(at)}~{event_id[:12]}",
        organization=webhook.organization,
        webhook_id=webhook.id,
        event_id=event_id,
        event_type=event_type,
        body=body,
        at=at,
        next_at=at,
    )


def delivery_ids(webhook_id: str) -> str:
    """What the ids of a webhook's deliveries and log entries begin with; they sort newest first."""
    return f"{webhook_id}~"


def checked_event_types(names: list[str]) -> tuple[str, ...]:
    """The types, sorted, each once.

    Raises:
        InvalidRequest: there is no such type.
    """
    if not set(names) <= EVENT_TYPES:
        raise InvalidRequest("There is no such event type.", advice="Use: " + ", ".join(sorted(EVENT_TYPES)) + ".")
    return tuple(sorted(set(names)))


def _newest_first(at: str) -> str:
    return f"{_END_OF_TIME_US - int(parse(at).timestamp() * 1_000_000):016d}"


def _json(document: dict[str, Any]) -> str:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"))
