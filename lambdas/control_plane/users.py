"""`/v1/users`: people and service accounts, their role, attributes and status (claims W3.1, H15.5).

Nobody raises himself: a user is made, changed or removed only by someone who outranks both what he is and what he
becomes. An organization has one Owner.
"""

from __future__ import annotations

import dataclasses
from typing import Annotated, Literal

from aws_lambda_powertools.event_handler.openapi.params import Body, Path, Query
from pydantic import Field

from governance.admin_event import ORGANIZATION_CHAIN, AdminEvent, AdminEventType
from governance.errors import Conflict, InvalidRequest, PermissionRefused
from governance.ports import Change, ControlReader
from governance.register import Environment, KeyRecord, Organization, Record, UserRecord
from governance.roles import Role
from lambdas.control_plane.caller import Caller, hidden
from lambdas.control_plane.desk import Desk, taken
from lambdas.control_plane.models import (
    EMAIL,
    LIMIT_DEFAULT,
    ORGANIZATION_ID,
    USER_ID,
    USER_ID_CHARS_MAX,
    Cursor,
    Limit,
    Model,
    Page,
    page,
)
from lambdas.control_plane.resolver import ThreadedResolver

RESERVED_ATTRIBUTES = frozenset({"user_id", "org_id", "agent_id", "agent_framework"})
"""Placeholders whose value comes from the credential; an attribute may not pose as one."""

AttributeName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
AttributeValue = Annotated[str, Field(max_length=256, pattern=r"^[^\x00-\x1f\x7f]*$")]
Attributes = Annotated[dict[AttributeName, AttributeValue], Field(max_length=32)]
Email = Annotated[str, Field(pattern=EMAIL, max_length=USER_ID_CHARS_MAX)]
UserIdPath = Annotated[str, Path(pattern=USER_ID, max_length=USER_ID_CHARS_MAX)]
Status = Literal["active", "suspended"]


class NewUser(Model):
    """A user to make; without an id his e-mail address is his id, without an organization he joins the caller's."""

    email: Email
    role: Role
    id: Annotated[str, Field(pattern=USER_ID, max_length=USER_ID_CHARS_MAX)] | None = None
    organization: Annotated[str, Field(pattern=ORGANIZATION_ID)] | None = None
    attributes: Attributes = Field(default_factory=dict)


class UserChange(Model):
    """What to change; given attributes replace all of the old ones."""

    email: Email | None = None
    role: Role | None = None
    attributes: Attributes | None = None
    status: Status | None = None


class UserAnswer(Model):
    """A user."""

    id: str
    email: str
    organization: str
    role: Role
    attributes: dict[str, str]
    status: str
    created_at: str


def _answer(record: UserRecord) -> UserAnswer:
    return UserAnswer(**record.fact(), created_at=record.created_at)


def register(app: ThreadedResolver, desk: Desk) -> None:
    """Add the routes."""

    @app.get("/v1/users", tags=["users"], summary="The users of the organizations you administer")
    def list_users(
        cursor: Cursor = "",
        limit: Limit = LIMIT_DEFAULT,
        organization: Annotated[str, Query(max_length=64)] = "",
        email: Annotated[str, Query(max_length=254)] = "",
    ) -> Page[UserAnswer]:
        caller = desk.caller
        with desk.store.read() as reader:
            records = reader.every(UserRecord, "")
        items, following = page(
            records,
            lambda user: user.id,
            cursor,
            limit,
            where=lambda user: (
                caller.reaches(user.organization)
                and organization in ("", user.organization)
                and email.casefold() in ("", user.unique)
            ),
        )
        return Page(items=[_answer(item) for item in items], next=following)

    @app.post("/v1/users", tags=["users"], summary="Make a user", status_code=201)
    def create_user(body: Annotated[NewUser, Body()]) -> UserAnswer:
        caller, now = desk.caller, desk.now()
        user = UserRecord(
            id=body.id or body.email,
            email=body.email,
            organization=body.organization or caller.user.organization,
            role=body.role,
            created_at=now,
            attributes=_attributes(body.attributes),
        )
        return _answer(desk.change(lambda reader: create(reader, caller, user)))

    @app.get("/v1/users/<id>", tags=["users"], summary="One user")
    def show_user(id: UserIdPath) -> UserAnswer:  # noqa: A002
        with desk.store.read() as reader:
            return _answer(_visible(reader, desk.caller, id))

    @app.patch("/v1/users/<id>", tags=["users"], summary="Change a user's role, attributes, status or address")
    def change_user(id: UserIdPath, body: Annotated[UserChange, Body()]) -> UserAnswer:  # noqa: A002
        caller = desk.caller
        return _answer(desk.change(lambda reader: change(reader, caller, id, body)))

    @app.delete("/v1/users/<id>", tags=["users"], summary="Remove a user and revoke his keys")
    def remove_user(id: UserIdPath) -> UserAnswer:  # noqa: A002
        caller = desk.caller
        return _answer(desk.change(lambda reader: remove(reader, caller, id)))


def create(reader: ControlReader, caller: Caller, user: UserRecord) -> Change[UserRecord]:
    """Make `user`, when the caller may."""
    organization = reader.get(Organization, "", user.organization)
    if organization is None or not caller.reaches(user.organization):
        raise hidden("organization")
    _need_rule(caller, user.organization, user.role)
    if reader.get(UserRecord, "", user.id) or reader.find_unique(UserRecord, "", user.unique):
        raise taken("user")
    _need_one_owner(reader, user)
    return Change(user, puts=(user,), events=(_event(AdminEventType.USER_CREATED, None, user),))


def change(reader: ControlReader, caller: Caller, user_id: str, body: UserChange) -> Change[UserRecord]:
    """Change a user step by step, an event for each kind of change; nothing when nothing differs."""
    old = _visible(reader, caller, user_id)
    events: list[AdminEvent] = []
    now = old
    if body.role is not None and body.role is not now.role:
        _need_rule(caller, old.organization, body.role)
        now = _step(events, AdminEventType.USER_ROLE_CHANGED, now, dataclasses.replace(now, role=body.role))
        _need_one_owner(reader, now)
    if body.status is not None and body.status != now.status:
        kind = AdminEventType.USER_SUSPENDED if body.status == "suspended" else AdminEventType.USER_REACTIVATED
        now = _step(events, kind, now, dataclasses.replace(now, status=body.status))
    updated = dataclasses.replace(
        now,
        email=body.email or now.email,
        attributes=now.attributes if body.attributes is None else _attributes(body.attributes),
    )
    if updated != now:
        other = reader.find_unique(UserRecord, "", updated.unique)
        if other is not None and other.id != old.id:
            raise taken("user")
        now = _step(events, AdminEventType.USER_UPDATED, now, updated)
    if now == old:
        return Change(old)
    own_details = (
        caller.user.id == old.id and old.role is Role.OWNER and (now.role, now.status) == (old.role, old.status)
    )
    if not own_details:
        _need_rule(caller, old.organization, old.role)
    return Change(now, puts=(now,), events=tuple(events))


def remove(reader: ControlReader, caller: Caller, user_id: str) -> Change[UserRecord]:
    """Remove a user and revoke every key of his, in all environments."""
    user = _visible(reader, caller, user_id)
    if user.id == caller.user.id:
        raise PermissionRefused("You cannot remove yourself.")
    _need_rule(caller, user.organization, user.role)
    events = [_event(AdminEventType.USER_REMOVED, user, None)]
    puts: list[Record] = []
    for environment in reader.every(Environment, ""):
        for key in reader.every(KeyRecord, environment.name):
            if key.user_id == user.id and key.status != "revoked":
                revoked = dataclasses.replace(key, status="revoked")
                puts.append(revoked)
                events.append(
                    AdminEvent(
                        AdminEventType.KEY_REVOKED,
                        key.environment,
                        key.organization,
                        key.id,
                        key.fact(),
                        revoked.fact(),
                    )
                )
    return Change(user, puts=tuple(puts), removes=(user,), events=tuple(events))


def _visible(reader: ControlReader, caller: Caller, user_id: str) -> UserRecord:
    user = reader.get(UserRecord, "", user_id)
    if user is None or not caller.reaches(user.organization):
        raise hidden("user")
    return user


def _need_rule(caller: Caller, organization: str, role: Role) -> None:
    if not caller.rules_over(organization, role):
        raise PermissionRefused(
            f"You may not make, change or remove a user whose role is {role}.",
            advice="Only an Owner makes an Admin, and an Owner is made by the operator's Owner.",
        )


def _need_one_owner(reader: ControlReader, user: UserRecord) -> None:
    if user.role is Role.OWNER and any(
        other.role is Role.OWNER and other.organization == user.organization and other.id != user.id
        for other in reader.every(UserRecord, "")
    ):
        raise Conflict("This organization has an Owner already.", advice="Change the present Owner's role first.")


def _attributes(given: dict[str, str]) -> tuple[tuple[str, str], ...]:
    if RESERVED_ATTRIBUTES & given.keys():
        raise InvalidRequest(
            "An attribute may not be called " + ", ".join(sorted(RESERVED_ATTRIBUTES & given.keys())) + ".",
            advice="These names come from the credential.",
        )
    return tuple(sorted(given.items()))


def _event(kind: AdminEventType, old: UserRecord | None, new: UserRecord | None) -> AdminEvent:
    user = new or old
    assert user is not None  # noqa: S101  an event has one side at least
    return AdminEvent(
        kind,
        ORGANIZATION_CHAIN,
        user.organization,
        user.id,
        old.fact() if old else None,
        new.fact() if new else None,
    )


def _step(events: list[AdminEvent], kind: AdminEventType, old: UserRecord, new: UserRecord) -> UserRecord:
    events.append(_event(kind, old, new))
    return new
