"""`/v1/users`: people and service accounts, their role, attributes and status (claims W3.1, H15.5).

Nobody raises himself: a user is made, changed or removed only by someone who outranks both what he is and what he
becomes. An organization has one Owner. An address is unique within an organization, and so is an id that begins with
the organization's: who administers one organization learns nothing of the addresses of others.
"""

from __future__ import annotations

import dataclasses
from typing import Annotated, Literal

from aws_lambda_powertools.event_handler.openapi.params import Body, Path, Query
from pydantic import Field

from governance.admin_event import ORGANIZATION_CHAIN, AdminEvent, AdminEventType
from governance.errors import Conflict, InvalidRequest, PermissionRefused
from governance.ports import Change, ControlReader
from governance.principals import local_id
from governance.register import Organization, UserRecord, email_name
from governance.roles import Role
from lambdas.control_plane.caller import Caller, hidden
from lambdas.control_plane.desk import Desk, taken
from lambdas.control_plane.endings import Endings, lent_to, removed
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
)
from lambdas.control_plane.paging import stored_page
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
    """A user to make; without an organization he joins the caller's.

    His id is his e-mail address when the operator's Owner makes him; else the organization's id, a colon, and the
    address, or what is given and begins so.
    """

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
            items, following = stored_page(
                reader,
                UserRecord,
                "",
                cursor,
                limit,
                caller.key,
                where=lambda user: (
                    caller.reaches(user.organization)
                    and organization in ("", user.organization)
                    and email.casefold() in ("", user.email.casefold())
                ),
            )
        return Page(items=[_answer(item) for item in items], next=following)

    @app.post("/v1/users", tags=["users"], summary="Make a user", status_code=201)
    def create_user(body: Annotated[NewUser, Body()]) -> UserAnswer:
        caller, now = desk.caller, desk.now()
        wanted = UserRecord(
            id=body.id or "",
            email=body.email,
            organization=body.organization or caller.user.organization,
            role=body.role,
            created_at=now,
            attributes=checked_attributes(body.attributes),
        )
        return _answer(desk.change(lambda reader: create(reader, caller, wanted)))

    @app.get("/v1/users/<id>", tags=["users"], summary="One user")
    def show_user(id: UserIdPath) -> UserAnswer:  # noqa: A002
        with desk.store.read() as reader:
            return _answer(_visible(reader, desk.caller, id))

    @app.patch("/v1/users/<id>", tags=["users"], summary="Change a user's role, attributes, status or address")
    def change_user(id: UserIdPath, body: Annotated[UserChange, Body()]) -> UserAnswer:  # noqa: A002
        caller, now = desk.caller, desk.now()
        return _answer(desk.change(lambda reader: change(reader, caller, id, body, now)))

    @app.delete("/v1/users/<id>", tags=["users"], summary="Remove a user and revoke his keys")
    def remove_user(id: UserIdPath) -> UserAnswer:  # noqa: A002
        caller, now = desk.caller, desk.now()
        return _answer(desk.change(lambda reader: remove(reader, caller, id, now)))


def create(reader: ControlReader, caller: Caller, wanted: UserRecord) -> Change[UserRecord]:
    """Make the user, when the caller may; an empty id is filled in."""
    need_place(reader, caller, wanted.organization, wanted.role)
    user = dataclasses.replace(wanted, id=new_user_id(reader, caller, wanted))
    need_free(reader, user)
    return Change(user, puts=(user,), events=(user_event(AdminEventType.USER_CREATED, None, user),))


def change(reader: ControlReader, caller: Caller, user_id: str, body: UserChange, at: str) -> Change[UserRecord]:
    """Change a user step by step, an event for each kind of change; nothing when nothing differs.

    What was lent to him ends when he is suspended or gets another role.
    """
    old = _visible(reader, caller, user_id)
    events: list[AdminEvent] = []
    now = old
    if body.role is not None and body.role is not now.role:
        _need_rule(caller, old.organization, body.role)
        now = _step(events, AdminEventType.USER_ROLE_CHANGED, now, dataclasses.replace(now, role=body.role))
        need_one_owner(reader, now)
    if body.status is not None and body.status != now.status:
        kind = AdminEventType.USER_SUSPENDED if body.status == "suspended" else AdminEventType.USER_REACTIVATED
        now = _step(events, kind, now, dataclasses.replace(now, status=body.status))
    updated = dataclasses.replace(
        now,
        email=body.email or now.email,
        attributes=now.attributes if body.attributes is None else checked_attributes(body.attributes),
    )
    if updated != now:
        other = reader.find_unique(UserRecord, "", updated.unique)
        if other is not None and other.id != old.id:
            raise taken("user")
        now = _step(events, AdminEventType.USER_UPDATED, now, updated)
    if now == old:
        return Change(old)
    standing = (now.role, now.status) == (old.role, old.status)
    if caller.user.id == old.id:
        if not (standing and old.role is Role.OWNER):
            raise PermissionRefused("You cannot change yourself.", advice="Ask the organization's Owner.")
    else:
        _need_rule(caller, old.organization, old.role)
    ends = Endings() if standing else lent_to(reader, old.id, at)
    return Change(now, puts=(now, *ends.puts), observations=ends.observations, events=(*events, *ends.events))


def remove(reader: ControlReader, caller: Caller, user_id: str, now: str) -> Change[UserRecord]:
    """Remove a user, and end his keys in all environments, what was lent to him, and the invitations he made."""
    user = _visible(reader, caller, user_id)
    if user.id == caller.user.id:
        raise PermissionRefused("You cannot remove yourself.")
    _need_rule(caller, user.organization, user.role)
    ends = removed(reader, user.id, now)
    return Change(
        user,
        puts=ends.puts,
        removes=(user,),
        observations=ends.observations,
        forgets=ends.forgets,
        events=(user_event(AdminEventType.USER_REMOVED, user, None), *ends.events),
    )


def find_user(reader: ControlReader, caller: Caller, text: str) -> UserRecord:
    """The user of that id or e-mail address among those whom the caller reaches.

    Raises:
        NotFound: there is none; Conflict: the address is that of several.
    """
    user = reader.get(UserRecord, "", text)
    if user is not None and caller.reaches(user.organization):
        return user
    own = caller.user.organization
    firms = [firm.id for firm in reader.every(Organization, "")] if caller.reaches_all else [own]
    found = [user for firm in firms if (user := reader.find_unique(UserRecord, "", email_name(firm, text)))]
    if len(found) > 1:
        raise Conflict("Several users have this address.", advice="Name the user by his id.")
    if not found:
        raise hidden("user")
    return found[0]


def new_user_id(reader: ControlReader, caller: Caller, wanted: UserRecord) -> str:
    """The id of a user to be made: as the operator's Owner likes, else one that begins with the organization's.

    Raises:
        PermissionRefused: an id that is not the caller's to give.
    """
    own = f"{wanted.organization}:"
    if caller.reaches_all:
        free = wanted.id or reader.get(UserRecord, "", wanted.email) is None
        return (wanted.id or wanted.email) if free else own + wanted.email
    if wanted.id and not wanted.id.startswith(own):
        raise PermissionRefused(
            f"An id that you give begins with {own!r}.", advice="Or give none: it is made of the address."
        )
    return wanted.id or own + wanted.email


def need_place(reader: ControlReader, caller: Caller, organization: str, role: Role) -> None:
    """Whether the caller may make a user of `role` there.

    Raises:
        NotFound, PermissionRefused.
    """
    if reader.get(Organization, "", organization) is None or not caller.reaches(organization):
        raise hidden("organization")
    _need_rule(caller, organization, role)


def need_free(reader: ControlReader, user: UserRecord) -> None:
    """Whether id, address and, for an Owner, the place are free.

    Raises:
        Conflict: they are not.
    """
    local = local_id(user.id, user.organization)
    alike = [reader.get(UserRecord, "", each) for each in (local, f"{user.organization}:{local}")]
    if reader.get(UserRecord, "", user.id) or reader.find_unique(UserRecord, "", user.unique):
        raise taken("user")
    if any(other is not None and other.organization == user.organization for other in alike):
        raise taken("user")
    need_one_owner(reader, user)


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


def need_one_owner(reader: ControlReader, user: UserRecord) -> None:
    """One Owner for each organization; Conflict when he would be another."""
    if user.role is Role.OWNER and any(
        other.role is Role.OWNER and other.organization == user.organization and other.id != user.id
        for other in reader.every(UserRecord, "")
    ):
        raise Conflict(
            "This organization has an Owner already.", advice="Hand it over with `hatidata organizations transfer`."
        )


def checked_attributes(given: dict[str, str]) -> tuple[tuple[str, str], ...]:
    """Attributes as the register keeps them.

    Raises:
        InvalidRequest: one poses as what the credential says.
    """
    if RESERVED_ATTRIBUTES & given.keys():
        raise InvalidRequest(
            "An attribute may not be called " + ", ".join(sorted(RESERVED_ATTRIBUTES & given.keys())) + ".",
            advice="These names come from the credential.",
        )
    return tuple(sorted(given.items()))


def user_event(kind: AdminEventType, old: UserRecord | None, new: UserRecord | None) -> AdminEvent:
    """What the chain says of a change of a user."""
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
    events.append(user_event(kind, old, new))
    return new
