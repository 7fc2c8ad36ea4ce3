"""`/v1/environments/{env}/access-requests`: a role lent for minutes by somebody else (claim H15.4, ADR 15).

Who asks gets no more than he and the one who approves agree on: the lent role counts only with the lent key, which is
no wider than the key he asked with and ends with the grant. What is lent cannot be lent on.
"""

from __future__ import annotations

import dataclasses
import secrets
from typing import Annotated, Literal

from aws_lambda_powertools.event_handler.openapi.params import Body, Query
from pydantic import Field

from governance.admin_event import AdminEvent, AdminEventType
from governance.api_key import new_key, new_key_id, public_prefix
from governance.api_key_hash import hash_key
from governance.api_key_life import key_event, revocations
from governance.elevation import LENT_SCOPES, MINUTES_MAX, Elevation, elevation_event
from governance.errors import Conflict, InvalidRequest, PermissionRefused
from governance.permissions import permitted_scopes
from governance.ports import Change, ControlReader
from governance.register import KeyRecord, Observation, UserRecord
from governance.roles import Role
from governance.scopes import Scope, expand
from lambdas.control_plane.caller import Caller, hidden
from lambdas.control_plane.desk import Desk, admitted_environment
from lambdas.control_plane.endings import grant_over
from lambdas.control_plane.key_reach import need_no_more
from lambdas.control_plane.keys import NewKeyAnswer, key_answer
from lambdas.control_plane.models import (
    LIMIT_DEFAULT,
    USER_ID_CHARS_MAX,
    Cursor,
    EnvironmentPath,
    Limit,
    Model,
    ObjectIdPath,
    Page,
)
from lambdas.control_plane.paging import stored_page
from lambdas.control_plane.resolver import ThreadedResolver

_PATH = "/v1/environments/<env>/access-requests"
Reason = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f]{3,500}$")]
Minutes = Annotated[int, Field(ge=1, le=MINUTES_MAX)]
Standing = Literal["requested", "granted", "denied", "canceled", "revoked", "ended"]


class NewRequest(Model):
    """A role to be lent, for how long and why; without scopes those usual for the role."""

    role: Literal["admin", "analyst", "auditor", "developer"]
    minutes: Minutes
    reason: Reason
    scopes: Annotated[list[Annotated[str, Field(max_length=64)]], Field(max_length=64)] = Field(default_factory=list)


class Approval(Model):
    """How to approve: the time may be shortened."""

    minutes: Minutes = MINUTES_MAX


class RequestAnswer(Model):
    """A request and what became of it."""

    id: str
    environment: str
    organization: str
    user_id: str
    role: str
    scopes: list[str]
    minutes: int
    reason: str
    requested_at: str
    status: Standing
    approver_id: str
    starts_at: str
    ends_at: str


def _answer(elevation: Elevation, now: str) -> RequestAnswer:
    return RequestAnswer(
        **{**elevation.fact(), "status": elevation.standing(now)},
        environment=elevation.environment,
        organization=elevation.organization,
        requested_at=elevation.requested_at,
    )


def register(app: ThreadedResolver, desk: Desk) -> None:
    """Add the routes."""

    @app.get(_PATH, tags=["access"], summary="Your own requests, and those of users you manage")
    def list_requests(
        env: EnvironmentPath,
        cursor: Cursor = "",
        limit: Limit = LIMIT_DEFAULT,
        status: Annotated[Standing | None, Query()] = None,
        user: Annotated[str, Query(max_length=USER_ID_CHARS_MAX, description="User id")] = "",
    ) -> Page[RequestAnswer]:
        caller, now = desk.caller, desk.now()
        with desk.store.read() as reader:
            admitted_environment(reader, caller, env)
            items, following = stored_page(
                reader,
                Elevation,
                env,
                cursor,
                limit,
                caller.key,
                where=lambda e: _sees(caller, e) and status in (None, e.standing(now)) and user in ("", e.user_id),
            )
        return Page(items=[_answer(item, now) for item in items], next=following)

    @app.post(_PATH, tags=["access"], summary="Ask for a role for some minutes", status_code=201)
    def ask(env: EnvironmentPath, body: Annotated[NewRequest, Body()]) -> RequestAnswer:
        caller, now = desk.caller, desk.now()
        wanted = _wanted(env, body, caller, now)
        return _answer(desk.change(lambda reader: request(reader, caller, wanted, now)), now)

    @app.post(f"{_PATH}/<id>/approve", tags=["access"], summary="Lend the role, from now on")
    def approve_request(
        env: EnvironmentPath,
        id: ObjectIdPath,  # noqa: A002
        body: Annotated[Approval | None, Body()] = None,
    ) -> RequestAnswer:
        caller, now, minutes = desk.caller, desk.now(), (body or Approval()).minutes
        return _answer(desk.change(lambda reader: approve(reader, caller, env, id, minutes, now)), now)

    @app.post(f"{_PATH}/<id>/deny", tags=["access"], summary="Refuse a request")
    def deny_request(env: EnvironmentPath, id: ObjectIdPath) -> RequestAnswer:  # noqa: A002
        caller, now = desk.caller, desk.now()
        return _answer(desk.change(lambda reader: deny(reader, caller, env, id, now)), now)

    @app.post(f"{_PATH}/<id>/revoke", tags=["access"], summary="Take a lent role back at once")
    def revoke_grant(env: EnvironmentPath, id: ObjectIdPath) -> RequestAnswer:  # noqa: A002
        caller, now = desk.caller, desk.now()

        def decide(reader: ControlReader) -> Change[Elevation]:
            found = _managed(reader, caller, env, id)
            _need_rule(reader, caller, found)
            return close(reader, found, now)

        return _answer(desk.change(decide), now)

    @app.delete(f"{_PATH}/<id>", tags=["access"], summary="Withdraw your own request, or give the role back")
    def withdraw_request(env: EnvironmentPath, id: ObjectIdPath) -> RequestAnswer:  # noqa: A002
        caller, now = desk.caller, desk.now()
        return _answer(desk.change(lambda reader: close(reader, _own(reader, caller, env, id), now)), now)

    @app.post(f"{_PATH}/<id>/key", tags=["access"], summary="The key of a lent role; shown once", status_code=201)
    def fetch_key(env: EnvironmentPath, id: ObjectIdPath) -> NewKeyAnswer:  # noqa: A002
        caller, now = desk.caller, desk.now()
        with desk.store.read() as reader:
            _claimable(reader, caller, env, id, now)  # before the costly hash
        key, key_id = new_key(env), new_key_id()
        prefix, key_hash = public_prefix(key), hash_key(key)

        def decide(reader: ControlReader) -> Change[KeyRecord]:
            grant = _claimable(reader, caller, env, id, now)
            record = dataclasses.replace(lent_key(grant, caller.key, key_id, now), prefix=prefix, hash=key_hash)
            gone = [
                (old, dataclasses.replace(old, status="revoked"))
                for old in reader.every(KeyRecord, env)
                if old.elevation == grant.id and old.role is not None and old.opens
            ]
            return Change(
                record,
                puts=(*(new for _, new in gone), record),
                events=(*revocations(gone), key_event(AdminEventType.KEY_CREATED, None, record)),
            )

        return NewKeyAnswer(**key_answer(desk.change(decide), now, {}).model_dump(), key=key)


# ---------------------------------------------------------------- decisions


def request(reader: ControlReader, caller: Caller, wanted: Elevation, now: str) -> Change[Elevation]:
    """Ask; an older request of the same user that nobody answered in time makes room."""
    admitted_environment(reader, caller, wanted.environment)
    observations: list[Observation] = []
    events: list[AdminEvent] = []
    before = reader.find_unique(Elevation, wanted.environment, wanted.unique)
    if before is not None:
        lapsed = before.elapsed(now)
        if lapsed is None:
            raise Conflict("You have asked already.", advice="Wait for the answer, or withdraw that request.")
        observations.append(lapsed)
        events.append(elevation_event(before, lapsed))
    return Change(
        wanted,
        observations=(*observations, wanted),
        events=(*events, elevation_event(None, wanted)),
    )


def approve(
    reader: ControlReader, caller: Caller, environment: str, request_id: str, minutes: int, now: str
) -> Change[Elevation]:
    """Lend the role, when the caller may lend it and his own key reaches as far."""
    old = _answerable(reader, caller, environment, request_id)
    user, key = reader.get(UserRecord, "", old.user_id), reader.get(KeyRecord, environment, old.key_id)
    same = user is not None and user.status == "active" and user.role is old.user_role
    if not same or key is None or not key.valid_at(now):
        raise Conflict("Who asked is no longer who he was.", advice="Have him ask anew.")
    new = old.granted(caller.user.id, minutes, now)
    need_no_more(caller, lent_key(new, key, "", now))
    return Change(new, observations=(new,), events=(elevation_event(old, new),))


def deny(reader: ControlReader, caller: Caller, environment: str, request_id: str, now: str) -> Change[Elevation]:
    """Refuse, when the caller could approve."""
    old = _answerable(reader, caller, environment, request_id)
    new = old.denied(caller.user.id, now)
    return Change(new, observations=(new,), events=(elevation_event(old, new),))


def close(reader: ControlReader, old: Elevation, now: str) -> Change[Elevation]:
    """End a request or a grant now, and every key that came from it; nothing when it was over before."""
    ends = grant_over(reader, old, now)
    return Change(old.over(now) or old, puts=ends.puts, observations=ends.observations, events=ends.events)


def lent_key(grant: Elevation, asked_with: KeyRecord, key_id: str, now: str) -> KeyRecord:
    """The key of a lent role, without its secret: what it was asked with, in another role and for a shorter time."""
    return dataclasses.replace(
        asked_with,
        id=key_id,
        name=f"lent {grant.role} {key_id}",
        prefix="",
        hash="",
        scopes=grant.scopes,
        created_at=now,
        created_by=grant.user_id,
        expires_at=min(grant.ends_at, asked_with.ends_at or grant.ends_at),
        status="active",
        grace_until="",
        rotated_to="",
        rotate_after_days=0,
        role=grant.role,
        elevation=grant.id,
    )


# ---------------------------------------------------------------- who may


def _wanted(env: str, body: NewRequest, caller: Caller, now: str) -> Elevation:
    """The request as asked for, with everything that can be checked without the store checked.

    Raises:
        InvalidRequest, PermissionRefused: he may not ask, or not for this.
    """
    role = Role(body.role)
    _need_person(caller)
    if caller.user.role is Role.SERVICE_ACCOUNT:
        raise PermissionRefused("A service account does not ask for access.", advice="Let a person ask.")
    if caller.user.role in (Role.OWNER, role):
        raise InvalidRequest(f"Your role is {caller.user.role} already.", advice="Ask for another one.")
    scopes = expand(tuple(body.scopes)) if body.scopes else LENT_SCOPES[role]
    beyond = scopes - permitted_scopes(role)
    if beyond:
        raise InvalidRequest(
            f"The role {role} does not permit " + ", ".join(sorted(beyond)) + ".", advice="Name other scopes."
        )
    return Elevation(
        environment=env,
        id=f"acc-{secrets.token_hex(8)}",
        user_id=caller.user.id,
        user_role=caller.user.role,
        organization=caller.user.organization,
        role=role,
        scopes=scopes,
        minutes=body.minutes,
        reason=body.reason,
        requested_at=now,
        key_id=caller.key.id,
    )


def _need_person(caller: Caller) -> None:
    """A person with a key of his own role: neither an agent nor somebody to whom a role is lent asks or lends."""
    if caller.key.agent is not None:
        raise PermissionRefused("An agent neither asks for access nor gives it.", advice="Use a person's own key.")
    if caller.key.elevation:
        raise PermissionRefused("What is lent cannot be lent on.", advice="Use a key of your own role.")


def _sees(caller: Caller, elevation: Elevation) -> bool:
    if elevation.user_id == caller.user.id:
        return True
    return Scope.USERS_MANAGE in caller.scopes and caller.reaches(elevation.organization)


def _managed(reader: ControlReader, caller: Caller, env: str, request_id: str) -> Elevation:
    admitted_environment(reader, caller, env)
    found = reader.get(Elevation, env, request_id)
    if found is None or not _sees(caller, found):
        raise hidden("access request")
    return found


def _own(reader: ControlReader, caller: Caller, env: str, request_id: str) -> Elevation:
    found = _managed(reader, caller, env, request_id)
    if found.user_id != caller.user.id:
        raise hidden("access request")
    return found


def _answerable(reader: ControlReader, caller: Caller, env: str, request_id: str) -> Elevation:
    found = _managed(reader, caller, env, request_id)
    _need_person(caller)
    if found.user_id == caller.user.id:
        raise PermissionRefused("Nobody answers his own request.", advice="Ask an Owner or Admin.")
    _need_rule(reader, caller, found)
    return found


def _need_rule(reader: ControlReader, caller: Caller, found: Elevation) -> None:
    user = reader.get(UserRecord, "", found.user_id)
    roles = {found.role, found.user_role} | ({user.role} if user else set())
    if found.user_id == caller.user.id or not all(caller.rules_over(found.organization, role) for role in roles):
        raise PermissionRefused(
            f"You may not lend the role {found.role} to this user.", advice="Only an Owner lends an Admin's role."
        )


def _claimable(reader: ControlReader, caller: Caller, env: str, request_id: str, now: str) -> Elevation:
    found = _own(reader, caller, env, request_id)
    _need_person(caller)
    if caller.key.id != found.key_id:
        raise PermissionRefused("Another key asked for this.", advice="Use the key you asked with.")
    if not found.running(now) or caller.user.role is not found.user_role:
        raise Conflict(f"This request is {found.standing(now)}.", advice="Only a granted one has a key.")
    return found
