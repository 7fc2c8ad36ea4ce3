"""`/v1/environments/{env}/webhooks`: who is told of what, with a signing secret that is shown once (claim W3.7).

Nothing is sent from here: deliveries wait in the store for `lambdas.webhook_delivery`.
"""

from __future__ import annotations

import dataclasses
import secrets
from ipaddress import ip_network
from typing import Annotated, Literal

from aws_lambda_powertools.event_handler.openapi.params import Body
from pydantic import Field

from governance import webhook_signature
from governance.admin_event import AdminEvent, AdminEventType
from governance.errors import Conflict, InvalidRequest, KeyServiceUnavailable
from governance.ports import Change, ControlReader, SecretBox
from governance.register import Environment
from governance.timestamp import parse, stamp
from governance.webhook import (
    SECRET_GRACE,
    TEST,
    WEBHOOKS_MAX,
    Webhook,
    WebhookDelivery,
    WebhookLog,
    checked_event_types,
    delivery_ids,
)
from governance.webhook_address import NETWORKS_MAX, URL_CHARS_MAX, checked_url
from governance.webhook_outbox import new_event_id, queued
from lambdas.control_plane.caller import Caller, hidden
from lambdas.control_plane.desk import Desk, admitted_environment, operator_of
from lambdas.control_plane.models import (
    LIMIT_DEFAULT,
    Cursor,
    EnvironmentPath,
    Limit,
    Model,
    ObjectIdPath,
    Page,
    decode_cursor,
    encode_cursor,
)
from lambdas.control_plane.paging import stored_page
from lambdas.control_plane.resolver import ThreadedResolver

TESTS_WAITING_MAX = 10

Url = Annotated[str, Field(min_length=1, max_length=URL_CHARS_MAX)]
EventTypes = Annotated[list[Annotated[str, Field(max_length=64)]], Field(min_length=1, max_length=64)]


class NewWebhook(Model):
    """An address to tell of events of the organization, or of another one that the caller administers."""

    url: Url
    event_types: EventTypes
    organization: Annotated[str, Field(max_length=64)] = ""


class WebhookChange(Model):
    """What to change."""

    url: Url | None = None
    event_types: EventTypes | None = None
    status: Literal["active", "paused"] | None = None


class WebhookAnswer(Model):
    """A webhook without its secret."""

    id: str
    environment: str
    organization: str
    url: str
    event_types: list[str]
    status: Literal["active", "paused"]
    key_generation: int
    created_at: str
    created_by: str


class NewWebhookAnswer(WebhookAnswer):
    """A webhook with a signing secret just made, which is shown here and never again."""

    secret: Annotated[str, Field(description="Signs deliveries. It cannot be shown again.")]


class DeliveryAnswer(Model):
    """What became of one delivery."""

    id: str
    event_id: str
    event_type: str
    at: str
    status: Literal["waiting", "delivered", "failed", "dropped"]
    attempts: int
    last_at: str
    next_at: str
    code: int
    failure: str


class TestAnswer(Model):
    """A test delivery that waits to be sent; its fate stands in the log."""

    __test__ = False

    delivery_id: str
    event_id: str


class RemovedAnswer(Model):
    """What was removed."""

    id: str


class NetworksModel(Model):
    """Special networks (private ones, loopback) that deliveries of the environment may enter."""

    networks: Annotated[list[Annotated[str, Field(max_length=64)]], Field(max_length=NETWORKS_MAX)]


def register(app: ThreadedResolver, desk: Desk) -> None:
    """Add the routes."""
    _register_webhooks(app, desk)
    _register_deliveries(app, desk)
    _register_networks(app, desk)


def _register_webhooks(app: ThreadedResolver, desk: Desk) -> None:
    @app.get("/v1/environments/<env>/webhooks", tags=["webhooks"], summary="Webhooks of your organizations")
    def list_webhooks(env: EnvironmentPath, cursor: Cursor = "", limit: Limit = LIMIT_DEFAULT) -> Page[WebhookAnswer]:
        caller = desk.caller
        with desk.store.read() as reader:
            admitted_environment(reader, caller, env)
            items, following = stored_page(
                reader, Webhook, env, cursor, limit, caller.key, where=lambda w: caller.reaches(w.organization)
            )
        return Page(items=[_answer(item) for item in items], next=following)

    @app.post(
        "/v1/environments/<env>/webhooks",
        tags=["webhooks"],
        summary="Register a webhook; its signing secret is shown once",
        status_code=201,
    )
    def create_webhook(env: EnvironmentPath, body: Annotated[NewWebhook, Body()]) -> NewWebhookAnswer:
        caller, box, secret = desk.caller, _box(desk), webhook_signature.new_secret()
        organization = body.organization or caller.user.organization
        if not caller.reaches(organization):
            raise hidden("organization")
        draft = Webhook(
            environment=env, id=f"hook-{secrets.token_hex(8)}", organization=organization, url=body.url,
            event_types=checked_event_types(body.event_types), sealed="", created_at=desk.now(),
            created_by=caller.user.id,
        )  # fmt: skip
        with desk.store.read() as reader:
            _checked(reader, caller, draft)  # before the key service is asked
        record = dataclasses.replace(draft, sealed=box.seal(secret.encode(), draft.sealing_context))

        def decide(reader: ControlReader) -> Change[Webhook]:
            _checked(reader, caller, record)
            if len(_of(reader, env, organization)) >= WEBHOOKS_MAX:
                raise Conflict(f"There are {WEBHOOKS_MAX} webhooks already.", advice="Remove one first.")
            return Change(record, puts=(record,), events=(_event(None, record),))

        return NewWebhookAnswer(**_answer(desk.change(decide)).model_dump(), secret=secret)

    @app.get("/v1/environments/<env>/webhooks/<id>", tags=["webhooks"], summary="One webhook")
    def show_webhook(env: EnvironmentPath, id: ObjectIdPath) -> WebhookAnswer:  # noqa: A002
        with desk.store.read() as reader:
            return _answer(_visible(reader, desk.caller, env, id))

    @app.patch("/v1/environments/<env>/webhooks/<id>", tags=["webhooks"], summary="Change, pause or resume a webhook")
    def change_webhook(env: EnvironmentPath, id: ObjectIdPath, body: Annotated[WebhookChange, Body()]) -> WebhookAnswer:  # noqa: A002
        caller = desk.caller

        def decide(reader: ControlReader) -> Change[Webhook]:
            old = _visible(reader, caller, env, id)
            new = dataclasses.replace(
                old,
                url=body.url or old.url,
                event_types=checked_event_types(body.event_types) if body.event_types else old.event_types,
                status=body.status or old.status,
            )
            if new == old:
                return Change(old)
            _checked(reader, caller, new)
            return Change(new, puts=(new,), events=(_event(old, new),))

        return _answer(desk.change(decide))

    @app.delete("/v1/environments/<env>/webhooks/<id>", tags=["webhooks"], summary="Remove a webhook and what waits")
    def remove_webhook(env: EnvironmentPath, id: ObjectIdPath) -> RemovedAnswer:  # noqa: A002
        caller = desk.caller

        def decide(reader: ControlReader) -> Change[str]:
            old = _visible(reader, caller, env, id)
            return Change(old.id, removes=(old,), events=(_event(old, None),))

        return RemovedAnswer(id=desk.change(decide))

    @app.post(
        "/v1/environments/<env>/webhooks/<id>/secret",
        tags=["webhooks"],
        summary="Replace the signing secret; for 24 hours deliveries bear the old signature too",
        status_code=201,
    )
    def replace_secret(env: EnvironmentPath, id: ObjectIdPath) -> NewWebhookAnswer:  # noqa: A002
        caller, box, now, secret = desk.caller, _box(desk), desk.now(), webhook_signature.new_secret()
        with desk.store.read() as reader:
            found = _visible(reader, caller, env, id)
        sealed = box.seal(secret.encode(), found.sealing_context)

        def decide(reader: ControlReader) -> Change[Webhook]:
            old = _visible(reader, caller, env, id)
            new = dataclasses.replace(
                old,
                sealed=sealed,
                key_generation=old.key_generation + 1,
                sealed_before=old.sealed,
                sealed_before_until=stamp(parse(now) + SECRET_GRACE),
            )
            return Change(new, puts=(new,), events=(_event(old, new),))

        return NewWebhookAnswer(**_answer(desk.change(decide)).model_dump(), secret=secret)


def _register_deliveries(app: ThreadedResolver, desk: Desk) -> None:
    @app.post(
        "/v1/environments/<env>/webhooks/<id>/test",
        tags=["webhooks"],
        summary="Send a `webhook.test`; the log tells how it went",
        status_code=202,
    )
    def send_test(env: EnvironmentPath, id: ObjectIdPath) -> TestAnswer:  # noqa: A002
        caller, now, event_id = desk.caller, desk.now(), new_event_id()

        def decide(reader: ControlReader) -> Change[TestAnswer]:
            webhook = _visible(reader, caller, env, id)
            ids = delivery_ids(webhook.id)
            waiting = reader.page(WebhookDelivery, env, after=ids, limit=TESTS_WAITING_MAX)
            if sum(each.id.startswith(ids) and each.event_type == TEST for each in waiting) >= TESTS_WAITING_MAX:
                raise Conflict("Tests of this webhook wait already.", advice="Look at its deliveries.")
            made = queued(webhook, 0, event_id=event_id, event_type=TEST, data={"asked_by": caller.user.id}, at=now)
            return Change(TestAnswer(delivery_id=made[0].id, event_id=event_id), observations=made)

        return desk.change(decide)

    @app.get(
        "/v1/environments/<env>/webhooks/<id>/deliveries", tags=["webhooks"], summary="The delivery log, newest first"
    )
    def list_deliveries(
        env: EnvironmentPath,
        id: ObjectIdPath,  # noqa: A002
        cursor: Cursor = "",
        limit: Limit = LIMIT_DEFAULT,
    ) -> Page[DeliveryAnswer]:
        now = desk.now()
        with desk.store.read() as reader:
            webhook = _visible(reader, desk.caller, env, id)
            ids = delivery_ids(webhook.id)
            after = decode_cursor(cursor) or ids
            if not after.startswith(ids):
                raise InvalidRequest("This cursor is not one of ours.", advice="Begin again without a cursor.")
            found = reader.page(WebhookLog, env, after=after, limit=limit)
        mine = [entry for entry in found if entry.id.startswith(ids)]
        more = len(mine) == limit
        items = [_delivery(entry) for entry in mine if entry.expires_at > now]
        return Page(items=items, next=encode_cursor(mine[-1].id) if more else None)


def _register_networks(app: ThreadedResolver, desk: Desk) -> None:
    @app.get("/v1/environments/<env>/webhook-networks", tags=["webhooks"], summary="Where else deliveries may go")
    def show_networks(env: EnvironmentPath) -> NetworksModel:
        with desk.store.read() as reader:
            environment = admitted_environment(reader, desk.caller, env)
        return NetworksModel(networks=list(environment.webhook_networks))

    @app.put(
        "/v1/environments/<env>/webhook-networks",
        tags=["webhooks"],
        summary="Allow deliveries into private networks; link-local and metadata addresses stay closed",
    )
    def set_networks(env: EnvironmentPath, body: Annotated[NetworksModel, Body()]) -> NetworksModel:
        caller = desk.caller
        networks = tuple(sorted({_network(text) for text in body.networks}))

        def decide(reader: ControlReader) -> Change[NetworksModel]:
            old = admitted_environment(reader, caller, env)
            answer = NetworksModel(networks=list(networks))
            if networks == old.webhook_networks:
                return Change(answer)
            new: Environment = dataclasses.replace(old, webhook_networks=networks)
            event = AdminEvent(
                AdminEventType.ENVIRONMENT_UPDATED, env, operator_of(reader).id, env, old.fact(), new.fact()
            )
            return Change(answer, puts=(new,), events=(event,))

        return desk.change(decide)


def _box(desk: Desk) -> SecretBox:
    if desk.secrets is None:
        raise KeyServiceUnavailable("Webhooks need a key service, and this control plane has none.")
    return desk.secrets


def _checked(reader: ControlReader, caller: Caller, webhook: Webhook) -> None:
    """Whether the webhook may stand so.

    Raises:
        NotFound: no such environment for this caller; InvalidRequest: a URL that cannot be delivered to.
    """
    environment = admitted_environment(reader, caller, webhook.environment)
    checked_url(webhook.url, plain_allowed=bool(environment.webhook_networks))


def _visible(reader: ControlReader, caller: Caller, env: str, webhook_id: str) -> Webhook:
    admitted_environment(reader, caller, env)
    webhook = reader.get(Webhook, env, webhook_id)
    if webhook is None or not caller.reaches(webhook.organization):
        raise hidden("webhook")
    return webhook


def _of(reader: ControlReader, env: str, organization: str) -> list[Webhook]:
    return [webhook for webhook in reader.every(Webhook, env) if webhook.organization == organization]


def _network(text: str) -> str:
    try:
        return str(ip_network(text))
    except ValueError:
        raise InvalidRequest(
            "A network is not well formed.", advice="Write it like 10.0.0.0/8 or fd00::/8, without host bits."
        ) from None


def _event(old: Webhook | None, new: Webhook | None) -> AdminEvent:
    one = new or old
    if one is None:
        raise ValueError("an event of no webhook")
    return AdminEvent(
        AdminEventType.WEBHOOK_CONFIGURED, one.environment, one.organization, one.id,
        old.fact() if old else None, new.fact() if new else None,
    )  # fmt: skip


def _answer(webhook: Webhook) -> WebhookAnswer:
    return WebhookAnswer(
        **{**webhook.fact(), "url": webhook.url},
        environment=webhook.environment,
        created_at=webhook.created_at,
        created_by=webhook.created_by,
    )


def _delivery(entry: WebhookLog) -> DeliveryAnswer:
    return DeliveryAnswer(**{name: getattr(entry, name) for name in DeliveryAnswer.model_fields})
