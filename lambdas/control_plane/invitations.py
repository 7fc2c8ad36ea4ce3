"""`/v1/invitations`: an address is invited, and whoever holds the token becomes a user with a first key, or nothing.

An invitation may do no more than the key that made it, and ends with that key: it is looked at again when it is
accepted. The token is shown once and kept as a hash; what is wrong with one is told to nobody.
"""

from __future__ import annotations

import dataclasses
import secrets
from datetime import timedelta
from typing import Annotated

from aws_lambda_powertools.event_handler.openapi.params import Body, Query
from pydantic import Field

from governance.admin_event import Actor, AdminEventType
from governance.api_key import new_key, new_key_id, public_prefix
from governance.api_key_hash import hash_key
from governance.api_key_life import key_event
from governance.elevation import LENT_SCOPES
from governance.errors import Conflict, NotFound, PermissionRefused
from governance.invitation import LIVES_MAX, Invitation, canceled, hashed, invited, new_token, token_name
from governance.ports import Change, ControlReader
from governance.register import KeyRecord, Organization, UserRecord
from governance.roles import Role
from governance.scopes import BUNDLES, expand
from governance.timestamp import parse, stamp
from lambdas.control_plane.caller import HOME_ENVIRONMENT, Caller, hidden
from lambdas.control_plane.desk import Desk, admitted_environment, taken
from lambdas.control_plane.key_reach import need_no_more
from lambdas.control_plane.keys import NewKeyAnswer, key_answer
from lambdas.control_plane.models import (
    ENVIRONMENT,
    LIMIT_DEFAULT,
    ORGANIZATION_ID,
    USER_ID,
    USER_ID_CHARS_MAX,
    Cursor,
    Limit,
    Model,
    ObjectIdPath,
    Page,
)
from lambdas.control_plane.paging import stored_page
from lambdas.control_plane.resolver import ThreadedResolver
from lambdas.control_plane.users import (
    Attributes,
    Email,
    checked_attributes,
    need_free,
    need_one_owner,
    need_place,
    new_user_id,
    user_event,
)

HOURS_MAX = int(LIVES_MAX / timedelta(hours=1))
FIRST_SCOPES = {**LENT_SCOPES, Role.OWNER: BUNDLES["admin"], Role.SERVICE_ACCOUNT: BUNDLES["read_only"]}
"""Of a first key for which none are named."""


class NewInvitation(Model):
    """Whom to invite as what; without an organization he is invited to the caller's."""

    email: Email
    role: Role
    id: Annotated[str, Field(pattern=USER_ID, max_length=USER_ID_CHARS_MAX)] | None = None
    organization: Annotated[str, Field(pattern=ORGANIZATION_ID)] | None = None
    attributes: Attributes = Field(default_factory=dict)
    environment: Annotated[str, Field(pattern=ENVIRONMENT, description="Of his first key")] = HOME_ENVIRONMENT
    scopes: Annotated[list[Annotated[str, Field(max_length=64)]], Field(max_length=64)] = Field(default_factory=list)
    hours: Annotated[int, Field(ge=1, le=HOURS_MAX, description="How long it stays open")] = 72


class Acceptance(Model):
    """The token, and the address it was sent to."""

    token: Annotated[str, Field(min_length=1, max_length=128)]
    email: Email


class InvitationAnswer(Model):
    """An open invitation."""

    id: str
    email: str
    organization: str
    role: Role
    user_id: str
    attributes: dict[str, str]
    environment: str
    scopes: list[str]
    invited_by: str
    created_at: str
    expires_at: str


class NewInvitationAnswer(InvitationAnswer):
    """An invitation just made; `token` is shown here and never again."""

    token: Annotated[str, Field(description="Hand it to the invited person. It is not stored.")]


def _answer(invitation: Invitation) -> InvitationAnswer:
    return InvitationAnswer(
        id=invitation.id,
        email=invitation.email,
        organization=invitation.organization,
        role=invitation.role,
        user_id=invitation.user_id,
        attributes=dict(invitation.attributes),
        environment=invitation.key_environment,
        scopes=sorted(scope.value for scope in invitation.scopes),
        invited_by=invitation.invited_by,
        created_at=invitation.created_at,
        expires_at=invitation.expires_at,
    )


def register(app: ThreadedResolver, desk: Desk) -> None:
    """Add the routes."""

    @app.get("/v1/invitations", tags=["users"], summary="Open invitations to the organizations you administer")
    def list_invitations(
        cursor: Cursor = "",
        limit: Limit = LIMIT_DEFAULT,
        email: Annotated[str, Query(max_length=USER_ID_CHARS_MAX)] = "",
    ) -> Page[InvitationAnswer]:
        caller, now = desk.caller, desk.now()
        with desk.store.read() as reader:
            items, following = stored_page(
                reader,
                Invitation,
                "",
                cursor,
                limit,
                caller.key,
                where=lambda one: (
                    now < one.expires_at
                    and caller.reaches(one.organization)
                    and email.casefold() in ("", one.email.casefold())
                ),
            )
        return Page(items=[_answer(item) for item in items], next=following)

    @app.post("/v1/invitations", tags=["users"], summary="Invite an address; the token is shown once", status_code=201)
    def invite_user(body: Annotated[NewInvitation, Body()]) -> NewInvitationAnswer:
        caller, now, token = desk.caller, desk.now(), new_token()
        wanted = _wanted(body, caller, token, now)
        made = desk.change(lambda reader: invite(reader, caller, wanted, now))
        return NewInvitationAnswer(**_answer(made).model_dump(), token=token)

    @app.delete("/v1/invitations/<id>", tags=["users"], summary="Take an invitation back")
    def cancel_invitation(id: ObjectIdPath) -> InvitationAnswer:  # noqa: A002
        caller = desk.caller

        def decide(reader: ControlReader) -> Change[Invitation]:
            found = reader.get(Invitation, "", id)
            if found is None or not caller.reaches(found.organization):
                raise hidden("invitation")
            if not caller.rules_over(found.organization, found.role):
                raise PermissionRefused("You may not take this invitation back.", advice="Ask an Owner.")
            return Change(found, forgets=(found,), events=(canceled(found),))

        return _answer(desk.change(decide))

    @app.post("/v1/invitations/accept", tags=["users"], summary="Become a user; the key is shown once", status_code=201)
    def accept_invitation(body: Annotated[Acceptance, Body()]) -> NewKeyAnswer:
        now, key_id = desk.now(), new_key_id()
        with desk.store.read() as reader:
            opened = _opened(reader, body.token, body.email, now)  # before the costly hash
            accept(reader, opened, first_key(reader, opened, key_id, now), now)
        key = new_key(opened.key_environment)
        prefix, key_hash = public_prefix(key), hash_key(key)
        actor = Actor(opened.user_id, opened.organization, opened.role.value, key_id)

        def decide(reader: ControlReader) -> Change[KeyRecord]:
            found = _opened(reader, body.token, body.email, now)
            record = dataclasses.replace(first_key(reader, found, key_id, now), prefix=prefix, hash=key_hash)
            return accept(reader, found, record, now)

        return NewKeyAnswer(**key_answer(desk.change_as(actor, decide), now, {}).model_dump(), key=key)


# ---------------------------------------------------------------- decisions


def invite(reader: ControlReader, caller: Caller, wanted: Invitation, now: str) -> Change[Invitation]:
    """Invite, when the caller could make that user and that key himself. An older one past its time makes room."""
    need_place(reader, caller, wanted.organization, wanted.role)
    admitted_environment(reader, caller, wanted.key_environment)
    user_id = new_user_id(reader, caller, _user(wanted, now))
    invitation = dataclasses.replace(wanted, user_id=user_id)
    need_free(reader, _user(invitation, now))
    need_no_more(caller, first_key(reader, invitation, "", now))
    before = reader.find_unique(Invitation, "", invitation.unique)
    if before is not None and now < before.expires_at:
        raise taken("invitation")
    return Change(
        invitation,
        forgets=(before,) if before else (),
        observations=(invitation,),
        events=(invited(invitation),),
    )


def accept(reader: ControlReader, invitation: Invitation, key: KeyRecord, now: str) -> Change[KeyRecord]:
    """The user and his first key, and the invitation is no more."""
    user = _user(invitation, now)
    need_free(reader, user)
    return Change(
        key,
        puts=(user, key),
        forgets=(invitation,),
        events=(
            user_event(AdminEventType.USER_CREATED, None, user),
            key_event(AdminEventType.KEY_CREATED, None, key),
        ),
    )


def first_key(reader: ControlReader, invitation: Invitation, key_id: str, now: str) -> KeyRecord:
    """The first key, without its secret: no wider than the key the invitation was made with.

    Raises:
        NotFound: that key is gone.
    """
    maker = reader.get(KeyRecord, HOME_ENVIRONMENT, invitation.key_id)
    if maker is None:
        raise _none()
    return KeyRecord(
        environment=invitation.key_environment,
        id=key_id,
        name=f"first of {invitation.user_id}"[:128],
        prefix="",
        hash="",
        user_id=invitation.user_id,
        organization=invitation.organization,
        scopes=invitation.scopes,
        created_at=now,
        created_by=invitation.invited_by,
        agent=maker.agent,
        networks=maker.networks,
        allowed_tables=maker.allowed_tables,
        expires_at=maker.expires_at,
        elevation=maker.elevation,
        quota=maker.quota,
    )


def _opened(reader: ControlReader, token: str, email: str, now: str) -> Invitation:
    """The invitation of this token and address, if whoever made it could still make it.

    Raises:
        NotFound: the one answer to everything else.
    """
    found = reader.find_lookup(Invitation, token_name(token)) if token_name(token) else None
    if found is None:
        hashed(token)
        raise _none()
    right = found.opens_with(token)
    if not right or found.email.casefold() != email.casefold() or found.expires_at <= now:
        raise _none()
    key = reader.get(KeyRecord, HOME_ENVIRONMENT, found.key_id)
    user = reader.get(UserRecord, "", found.invited_by)
    if key is None or user is None or not key.valid_at(now) or user.status != "active":
        raise _none()
    firm, makers = (reader.get(Organization, "", each) for each in (found.organization, user.organization))
    if firm is None or makers is None or {firm.status, makers.status} != {"active"}:
        raise _none()
    maker = Caller.again(user, key, makers)
    try:
        need_place(reader, maker, found.organization, found.role)
        need_one_owner(reader, _user(found, now))
        need_no_more(maker, first_key(reader, found, "", now))
    except (PermissionRefused, Conflict):
        raise _none() from None
    return found


def _none() -> NotFound:
    return hidden("invitation that is open for you")


def _wanted(body: NewInvitation, caller: Caller, token: str, now: str) -> Invitation:
    if caller.key.agent is not None:
        raise PermissionRefused("An agent invites nobody.", advice="Use a person's own key.")
    ends = stamp(parse(now) + timedelta(hours=body.hours))
    return Invitation(
        id=f"inv-{secrets.token_hex(8)}",
        email=body.email,
        organization=body.organization or caller.user.organization,
        role=body.role,
        user_id=body.id or "",
        invited_by=caller.user.id,
        key_id=caller.key.id,
        key_environment=body.environment,
        scopes=expand(tuple(body.scopes)) if body.scopes else FIRST_SCOPES[body.role],
        token_name=token_name(token),
        token_hash=hashed(token),
        created_at=now,
        expires_at=min(ends, caller.key.ends_at or ends),
        attributes=checked_attributes(body.attributes),
    )


def _user(invitation: Invitation, now: str) -> UserRecord:
    return UserRecord(
        id=invitation.user_id,
        email=invitation.email,
        organization=invitation.organization,
        role=invitation.role,
        created_at=now,
        attributes=invitation.attributes,
    )
