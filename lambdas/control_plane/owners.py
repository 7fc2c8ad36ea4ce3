"""`/v1/organizations/{id}/owner`: an organization is handed over, from one Owner to the next, in one transaction."""

from __future__ import annotations

import dataclasses
from typing import Annotated

from aws_lambda_powertools.event_handler.openapi.params import Body, Path
from pydantic import Field

from governance.admin_event import AdminEventType
from governance.errors import Conflict
from governance.ports import Change, ControlReader
from governance.register import Organization, UserRecord
from governance.roles import Role
from lambdas.control_plane.caller import Caller, hidden
from lambdas.control_plane.desk import Desk
from lambdas.control_plane.endings import lent_to
from lambdas.control_plane.models import ORGANIZATION_ID, USER_ID_CHARS_MAX, Model
from lambdas.control_plane.resolver import ThreadedResolver
from lambdas.control_plane.users import find_user, user_event


class Transfer(Model):
    """To whom: an id or e-mail address of an active person of the organization."""

    user: Annotated[str, Field(min_length=1, max_length=USER_ID_CHARS_MAX)]


class TransferAnswer(Model):
    """Who owns the organization now, and who did; he is an Admin now."""

    organization: str
    owner: str
    former_owner: str


def register(app: ThreadedResolver, desk: Desk) -> None:
    """Add the routes."""

    @app.post("/v1/organizations/<id>/owner", tags=["organizations"], summary="Hand an organization over")
    def transfer_organization(
        id: Annotated[str, Path(pattern=ORGANIZATION_ID)],  # noqa: A002
        body: Annotated[Transfer, Body()],
    ) -> TransferAnswer:
        caller, now = desk.caller, desk.now()
        return desk.change(lambda reader: transfer(reader, caller, id, body.user, now))


def transfer(
    reader: ControlReader, caller: Caller, organization: str, heir_text: str, now: str
) -> Change[TransferAnswer]:
    """The heir becomes the Owner and the Owner, if there is one, an Admin. What was lent to either ends."""
    if reader.get(Organization, "", organization) is None or not caller.reaches(organization):
        raise hidden("organization")
    heir = find_user(reader, caller, heir_text)
    if heir.organization != organization:
        raise hidden("user")
    if heir.role in (Role.OWNER, Role.SERVICE_ACCOUNT) or heir.status != "active":
        raise Conflict("This user cannot become the Owner.", advice="Name another active person of the organization.")
    former = next(
        (u for u in reader.every(UserRecord, "") if u.organization == organization and u.role is Role.OWNER), None
    )
    steps = [(heir, dataclasses.replace(heir, role=Role.OWNER))]
    if former is not None:
        steps.insert(0, (former, dataclasses.replace(former, role=Role.ADMIN)))
    ends = [lent_to(reader, old.id, now) for old, _ in steps]
    return Change(
        TransferAnswer(organization=organization, owner=heir.id, former_owner=former.id if former else ""),
        puts=(*(new for _, new in steps), *(put for each in ends for put in each.puts)),
        observations=tuple(seen for each in ends for seen in each.observations),
        events=(
            *(user_event(AdminEventType.USER_ROLE_CHANGED, old, new) for old, new in steps),
            *(event for each in ends for event in each.events),
        ),
    )
