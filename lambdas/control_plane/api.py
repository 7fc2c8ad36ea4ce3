"""The whole API as one function from event to answer: who is it, may he, is it well formed, do it.

The order matters: nobody learns from a validation error, or waits for a route's work, who could not call it.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.exceptions import NotFoundError
from aws_lambda_powertools.event_handler.openapi.exceptions import (
    RequestUnsupportedContentType,
    RequestValidationError,
)

from governance.admin_event import INSTALLATION, Actor, Attribution
from governance.errors import InvalidRequest, NotFound, PermissionRefused, Refusal, TooManyRequests
from governance.permissions import Endpoint, Entry, decide, endpoint_for
from governance.ports import Clock, ControlStore, QueryAuditSearch, SecretBox, Signer
from governance.timestamp import stamp
from lambdas.control_plane import (
    audit,
    elevations,
    encryption_keys,
    environments,
    identity,
    invitations,
    keys,
    nodes,
    organizations,
    owners,
    policies,
    policy_drafts,
    policy_history,
    quotas,
    reviews,
    schemas,
    usage,
    users,
    views,
    webhooks,
)
from lambdas.control_plane.answers import InternalError, error_answer, invalid
from lambdas.control_plane.authenticate import Doorkeeper
from lambdas.control_plane.caller import HOME_ENVIRONMENT, Caller, Guest, NodeIdentity, actor_of, node_name
from lambdas.control_plane.desk import Desk, Visit
from lambdas.control_plane.last_use import LastUse
from lambdas.control_plane.once import Repeated, need_first, noted, replayed, wanted
from lambdas.control_plane.rates import Meter, RateExceeded, Rates, Standing, source_name
from lambdas.control_plane.request import Request, new_request_id, parse_request
from lambdas.control_plane.resolver import ThreadedResolver
from lambdas.control_plane.revisions import etag_of, subject_of

_LOG = logging.getLogger("hatidata.control_plane")

ROOMS = (
    identity, organizations, owners, environments, users, invitations, schemas, keys, elevations, policies,
    policy_drafts, policy_history, views, audit, nodes, quotas, usage, reviews, webhooks, encryption_keys,
)  # fmt: skip
"""One module of routes per resource."""


class ControlPlane:
    """The API over a store. Safe for threads; `handle` never raises."""

    def __init__(
        self,
        store: ControlStore,
        clock: Clock,
        *,
        queries: QueryAuditSearch | None = None,
        rates: Rates | None = None,
        secrets: SecretBox | None = None,
        signer: Signer | None = None,
    ) -> None:
        self.desk = Desk(store, clock, queries=queries, secrets=secrets, signer=signer)
        self._doorkeeper = Doorkeeper()
        self._last_use = LastUse()
        rates = rates or Rates()
        self._sources, self._keys = Meter(rates.per_source), Meter(rates.per_key)
        self._app = ThreadedResolver()
        _catch(self._app)
        for room in ROOMS:
            room.register(self._app, self.desk)
        self._app.build_routes()

    def handle(self, event: Mapping[str, Any], context: Any = None) -> dict[str, Any]:
        """The load-balancer answer to a load-balancer event."""
        request_id = new_request_id()
        told: dict[str, list[str]] = {}
        try:
            answer = self._answer(event, context, request_id, told)
        except Refusal as refusal:
            _note(refusal, request_id)
            answer = error_answer(refusal, request_id)
            if isinstance(refusal, TooManyRequests):
                told |= _come_again(refusal)
        except Exception as error:  # the last line: whatever happened, the client gets one safe sentence
            answer = error_answer(_internal(error, request_id), request_id)
        finally:
            self.desk.seat(None)
        return _finish(answer, request_id, told)

    def _answer(
        self, event: Mapping[str, Any], context: Any, request_id: str, told: dict[str, list[str]]
    ) -> dict[str, Any]:
        request = parse_request(event, request_id)
        told |= self._sources.take(source_name(request.source_ip)).headers()
        found = endpoint_for(request.method, request.path)
        if found is None:
            raise NotFound("There is no such route.", advice="See /v1/openapi.json.")
        endpoint, named = found
        if endpoint.entry is Entry.NODE:
            self.desk.seat(Visit(self._node(request)))
        elif endpoint.entry is Entry.KEY:
            caller, standing = self._caller(request, endpoint)
            told |= standing.headers()
            return self._visit(caller, request, endpoint, named, context)
        else:
            self.desk.seat(Visit(Guest(self._attribution(INSTALLATION, request))))
        return self._app.resolve(request.event(), context)

    def _visit(
        self, caller: Caller, request: Request, endpoint: Endpoint, named: dict[str, str], context: Any
    ) -> dict[str, Any]:
        """Serve a caller who may call: once, if he says so, and telling the ETag of what he asks about."""
        now = self.desk.clock.now()
        if_match = request.headers.get("if-match", "") if request.method != "GET" else ""
        visit = Visit(caller, if_match, subject_of(endpoint, named), wanted(request, caller.user.id, now))
        self.desk.seat(visit)
        if visit.once is not None or (visit.subject is not None and request.method == "GET"):
            try:
                with self.desk.store.read() as reader:
                    if visit.once is not None:
                        need_first(reader, visit.once, stamp(now))
                    if visit.subject is not None and (record := visit.subject.find(reader)) is not None:
                        visit.etag = etag_of(record)
            except Repeated as repeated:
                return replayed(repeated.before)
        try:
            answer = self._app.resolve(request.event(), context)
        except Repeated as repeated:
            return replayed(repeated.before)
        if answer["statusCode"] < 300:
            if visit.etag and request.method != "DELETE":
                answer["multiValueHeaders"].setdefault("ETag", [visit.etag])
            if visit.once is not None and visit.carried_out and (kept := noted(visit.once, answer)):
                self.desk.store.observe(kept)
        return answer

    def _node(self, request: Request) -> NodeIdentity:
        name = node_name(request.certificate_subject)
        actor = Actor(user_id=name, organization="", role="node", key_id="")
        return NodeIdentity(name, self._attribution(actor, request))

    def _caller(self, request: Request, endpoint: Endpoint) -> tuple[Caller, Standing]:
        user, key, organization = self._doorkeeper.admit(
            self.desk.store,
            request.headers.get("authorization", ""),
            source_ip=request.source_ip,
            now=self.desk.clock.now(),
        )
        standing = self._keys.take(key.id)
        self._last_use.note(self.desk.store, key, self.desk.clock.now())
        caller = Caller(user, key, organization, self._attribution(actor_of(user, key), request))
        decision = decide(endpoint, user.role, key.scopes, operator=organization.operator)
        if not decision.allowed:
            raise PermissionRefused(
                f"You may not do this: {decision.reason}.", advice="Use another key, or ask an Owner or Admin."
            )
        if endpoint.scope is not None and "{env}" not in endpoint.path and key.environment != HOME_ENVIRONMENT:
            raise PermissionRefused(
                "Organizations and users are administered with a production key.", advice="Use a production key."
            )
        return caller, standing

    def _attribution(self, actor: Actor, request: Request) -> Attribution:
        return Attribution(actor, stamp(self.desk.clock.now()), request.source_ip, request.request_id)


def _catch(app: ThreadedResolver) -> None:
    """Let every failure leave powertools as itself or as a refusal: its own answers and logs know nothing of ours."""

    @app.exception_handler(RequestValidationError)  # type: ignore[untyped-decorator]
    def _invalid(error: RequestValidationError) -> Response[Any]:
        raise invalid(list(error.errors()))

    @app.exception_handler(RequestUnsupportedContentType)  # type: ignore[untyped-decorator]
    def _content_type(_: RequestUnsupportedContentType) -> Response[Any]:
        raise InvalidRequest("The body is not JSON.", advice="Send application/json.")

    @app.exception_handler(NotFoundError)  # type: ignore[untyped-decorator]
    def _missing(_: NotFoundError) -> Response[Any]:
        raise NotFound("There is no such route.", advice="See /v1/openapi.json.")

    @app.exception_handler(Exception)  # type: ignore[untyped-decorator]
    def _other(error: Exception) -> Response[Any]:
        raise error


def _internal(error: Exception, request_id: str) -> Refusal:
    """The class and place of a failure to the log; its words, which may quote a value, to nobody."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "nowhere"
    _LOG.error("internal error %s at %s, request %s", type(error).__name__, place, request_id)
    return InternalError(
        "Something failed inside the control plane.", advice="Try again; name the request id for help."
    )


def _note(refusal: Refusal, request_id: str) -> None:
    _LOG.info("refused %s (%s), request %s", refusal.code, refusal.reason, request_id)


def _come_again(refusal: TooManyRequests) -> dict[str, list[str]]:
    if isinstance(refusal, RateExceeded):
        return refusal.standing.headers() | {"Retry-After": [str(refusal.standing.reset_s)]}
    return {"Retry-After": ["60"]}


def _finish(answer: dict[str, Any], request_id: str, told: Mapping[str, list[str]]) -> dict[str, Any]:
    """The headers that every answer bears (claim H7)."""
    headers = {name: list(values) for name, values in answer.get("multiValueHeaders", {}).items()}
    headers |= {
        "Cache-Control": ["no-store"],
        "X-Content-Type-Options": ["nosniff"],
        "X-Request-Id": [request_id],
        **told,
    }
    return {
        "statusCode": int(answer["statusCode"]),
        "multiValueHeaders": headers,
        "body": answer["body"],
        "isBase64Encoded": bool(answer["isBase64Encoded"]),
    }
