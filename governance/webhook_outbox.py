"""What webhooks are to be told, put beside the change that they tell of: both are committed, or neither. Pure.

`telling` wraps what a change decides. Deliveries are observations in the same transaction, so no event is lost or told
that never was, whatever crashes; what is told is an event of the chain, to webhooks of the organization it belongs to.
"""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from governance.admin_event import AdminEvent, Attribution
from governance.ports import Change, ControlReader
from governance.webhook import QUEUE_MAX, Webhook, WebhookDelivery, WebhookLog, delivery, delivery_ids

T = TypeVar("T")


def telling(attribution: Attribution, decide: Callable[[ControlReader], Change[T]]) -> Callable[..., Change[T]]:
    """`decide`, with a delivery for each webhook that is registered for an event of its change."""

    def told(reader: ControlReader) -> Change[T]:
        change = decide(reader)
        if not change.events:
            return change
        observations = (*change.observations, *_of_events(reader, change.events, attribution))
        return dataclasses.replace(change, observations=observations)

    return told


def notices(
    reader: ControlReader, *, environment: str, organization: str, event_type: str, data: dict[str, Any], at: str
) -> tuple[WebhookDelivery | WebhookLog, ...]:
    """The observations that tell an organization's webhooks of something that is no event of the chain."""
    told: list[WebhookDelivery | WebhookLog] = []
    event_id = new_event_id()
    for webhook in reader.every(Webhook, environment):
        if _wants(webhook, organization, event_type):
            waiting = _waiting(reader, webhook)
            told += queued(webhook, waiting, event_id=event_id, event_type=event_type, data=data, at=at)
    return tuple(told)


def queued(
    webhook: Webhook, waiting: int, *, event_id: str, event_type: str, data: dict[str, Any], at: str
) -> tuple[WebhookDelivery | WebhookLog, ...]:
    """A delivery and its log entry; the entry alone, as dropped, when `waiting` deliveries are too many."""
    made = delivery(webhook, event_id=event_id, event_type=event_type, data=data, at=at)
    if waiting >= QUEUE_MAX:
        return (made.logged("dropped", failure="too many deliveries wait", now=at),)
    return made, made.logged("waiting", now=at)


def new_event_id() -> str:
    """32 hexadecimal digits."""
    return secrets.token_hex(16)


def _of_events(
    reader: ControlReader, events: Iterable[AdminEvent], attribution: Attribution
) -> list[WebhookDelivery | WebhookLog]:
    told: list[WebhookDelivery | WebhookLog] = []
    webhooks: dict[str, list[Webhook]] = {}
    waiting: dict[str, int] = {}
    for event in events:
        if event.environment not in webhooks:
            webhooks[event.environment] = reader.every(Webhook, event.environment)
        event_id, document = new_event_id(), event.document(attribution)
        data = {name: document[name] for name in ("target", "before", "after", "actor")}
        for webhook in webhooks[event.environment]:
            if not _wants(webhook, event.organization, event.type.value):
                continue
            if webhook.id not in waiting:
                waiting[webhook.id] = _waiting(reader, webhook)
            told += queued(
                webhook, waiting[webhook.id], event_id=event_id, event_type=event.type.value, data=data,
                at=attribution.at,
            )  # fmt: skip
            waiting[webhook.id] += 1
    return told


def _wants(webhook: Webhook, organization: str, event_type: str) -> bool:
    return webhook.status == "active" and webhook.organization == organization and event_type in webhook.event_types


def _waiting(reader: ControlReader, webhook: Webhook) -> int:
    ids = delivery_ids(webhook.id)
    page = reader.page(WebhookDelivery, webhook.environment, after=ids, limit=QUEUE_MAX)
    return sum(found.id.startswith(ids) for found in page)
