"""Delivers what waits: claim, sign, send, note. At least once, a bounded number of times, whatever crashes.

A delivery is claimed by setting its next attempt before this one begins; a process that dies in between leaves a
delivery that is tried again later, and two that run at once do not both send it.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from governance.admin_event import INSTALLATION, Attribution
from governance.errors import KeyServiceUnavailable, Refusal
from governance.ports import Change, Clock, ControlReader, ControlStore, SecretBox
from governance.register import Environment
from governance.timestamp import stamp
from governance.webhook import Webhook, WebhookDelivery, WebhookLog
from governance.webhook_signature import headers
from lambdas.webhook_delivery.sender import Sender, Sent

_LOG = logging.getLogger("hatidata.webhook_delivery")

AT_ONCE = 8
"""Webhooks that are served at the same time; the deliveries of one go one after the other."""
RUN_MAX = 50
"""Deliveries to one webhook in one run, so that none keeps the others waiting."""
PAGE = 200
USER_AGENT = "HatiData-Webhooks/1"


@dataclass
class Report:
    """What one run did: delivered, retrying, failed, withdrawn."""

    counts: Counter[str] = field(default_factory=Counter)

    def figures(self) -> dict[str, float]:
        """Counts by the names of the metrics."""
        return {"WebhooksDelivered": self.counts["delivered"], "WebhooksFailed": self.counts["failed"]}


async def deliver_due(store: ControlStore, box: SecretBox, sender: Sender, clock: Clock) -> Report:
    """Try every delivery that is due, once."""
    report, slots = Report(), asyncio.Semaphore(AT_ONCE)
    due = await asyncio.to_thread(_due, store, stamp(clock.now()))

    async def serve(deliveries: list[WebhookDelivery]) -> None:
        async with slots:
            for each in deliveries[:RUN_MAX]:
                outcome = await _deliver(store, box, sender, clock, each)
                report.counts[outcome] += 1
                if outcome in ("retrying", "failed"):
                    return  # a receiver that is down is not asked again in this run

    await asyncio.gather(*(serve(each) for each in _by_webhook(due)))
    return report


def _due(store: ControlStore, now: str) -> list[WebhookDelivery]:
    with store.read() as reader:
        names = [environment.name for environment in reader.every(Environment, "")]
    found: list[WebhookDelivery] = []
    for name in names:
        after = ""
        while True:
            with store.read() as reader:
                page = reader.page(WebhookDelivery, name, after=after, limit=PAGE)
            found += [each for each in page if each.due(now)]
            if len(page) < PAGE:
                break
            after = page[-1].id
    return found


def _by_webhook(due: Iterable[WebhookDelivery]) -> list[list[WebhookDelivery]]:
    queues: dict[tuple[str, str], list[WebhookDelivery]] = {}
    for each in due:
        queues.setdefault((each.environment, each.webhook_id), []).append(each)
    return [sorted(queue, key=lambda each: (each.at, each.id)) for queue in queues.values()]


@dataclass(frozen=True, slots=True)
class _Claim:
    delivery: WebhookDelivery
    webhook: Webhook
    networks: tuple[str, ...]


async def _deliver(store: ControlStore, box: SecretBox, sender: Sender, clock: Clock, waiting: WebhookDelivery) -> str:
    claim = await asyncio.to_thread(_claim, store, clock, waiting)
    if claim is None:
        return "withdrawn"
    sent = await _send(box, sender, clock, claim)
    return await asyncio.to_thread(_note, store, clock, claim.delivery, sent)


def _claim(store: ControlStore, clock: Clock, waiting: WebhookDelivery) -> _Claim | None:
    """The delivery with this attempt counted; None when somebody else has it, or nobody is to be told any more."""
    now = clock.now()

    def decide(reader: ControlReader) -> Change[_Claim | None]:
        held = reader.get(WebhookDelivery, waiting.environment, waiting.id)
        if held is None or not held.due(stamp(now)):
            return Change(None)
        webhook = reader.get(Webhook, held.environment, held.webhook_id)
        environment = reader.get(Environment, "", held.environment)
        if webhook is None or webhook.status != "active" or environment is None or held.spent:
            words = "every attempt was made" if held.spent else "the webhook is paused or gone"
            return Change(None, observations=(held.logged("failed", failure=words, now=stamp(now)),), forgets=(held,))
        tried = held.tried(now)
        return Change(_Claim(tried, webhook, environment.webhook_networks), observations=(tried,))

    return store.change(Attribution(INSTALLATION, stamp(now)), decide)


async def _send(box: SecretBox, sender: Sender, clock: Clock, claim: _Claim) -> Sent:
    webhook, now = claim.webhook, clock.now()
    try:
        keys = [
            (await asyncio.to_thread(box.open, sealed, webhook.sealing_context)).decode()
            for sealed in webhook.seals(stamp(now))
        ]
    except KeyServiceUnavailable:
        return Sent(0, "the signing secret cannot be opened")
    body = claim.delivery.body.encode()
    signed = headers(keys, claim.delivery.event_id, int(now.timestamp()), body)
    sent = {**signed, "content-type": "application/json", "user-agent": USER_AGENT}
    return await sender.send(webhook.url, body, sent, claim.networks)


def _note(store: ControlStore, clock: Clock, tried: WebhookDelivery, sent: Sent) -> str:
    now = stamp(clock.now())
    failure = sent.failure or ("" if sent.delivered else "the receiver did not take it")
    if sent.delivered:
        status, outcome = "delivered", "delivered"
    elif tried.spent or sent.status == 410:
        status, outcome = "failed", "failed"
    else:
        status, outcome = "waiting", "retrying"
    entry = tried.logged(status, code=sent.status, failure=failure, now=now)
    _keep(store, now, entry, tried if status != "waiting" else None)
    if not sent.delivered:
        _LOG.info("webhook %s: %s, attempt %d, status %d", tried.webhook_id, failure, tried.attempts, sent.status)
    return outcome


def _keep(store: ControlStore, now: str, entry: WebhookLog, done: WebhookDelivery | None) -> None:
    change = Change(None, observations=(entry,), forgets=(done,) if done else ())
    try:
        store.change(Attribution(INSTALLATION, now), lambda _: change)
    except Refusal as refusal:  # sent, and not noted: it is sent again, which receivers tell by its id
        _LOG.warning("a delivery of webhook %s could not be noted (%s)", entry.webhook_id, refusal.code)
