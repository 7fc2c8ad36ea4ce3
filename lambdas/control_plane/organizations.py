"""`/v1/organizations`: declared by the operator's Owner, seen by each Owner as far as his own."""

from __future__ import annotations

import dataclasses
import secrets
from typing import Annotated, Literal

from aws_lambda_powertools.event_handler.openapi.params import Body, Path
from pydantic import Field

from governance.admin_event import ORGANIZATION_CHAIN, AdminEvent, AdminEventType
from governance.errors import InvalidRequest, PermissionRefused
from governance.policies import SHARED
from governance.ports import Change, ControlReader
from governance.register import Organization
from lambdas.control_plane.caller import hidden
from lambdas.control_plane.desk import Desk, taken
from lambdas.control_plane.models import LIMIT_DEFAULT, ORGANIZATION_ID, Cursor, Limit, Model, Name, Page
from lambdas.control_plane.paging import stored_page
from lambdas.control_plane.resolver import ThreadedResolver

OrganizationId = Annotated[str, Field(pattern=ORGANIZATION_ID)]


class NewOrganization(Model):
    """A firm to declare; without an id it gets one."""

    name: Name
    id: OrganizationId | None = None


class OrganizationChange(Model):
    """What to change."""

    name: Name | None = None
    status: Literal["active", "suspended"] | None = None


class OrganizationAnswer(Model):
    """A firm."""

    id: str
    name: str
    status: str
    operator: bool
    created_at: str


def _answer(record: Organization) -> OrganizationAnswer:
    return OrganizationAnswer(**record.fact(), operator=record.operator, created_at=record.created_at)


def register(app: ThreadedResolver, desk: Desk) -> None:
    """Add the routes."""

    @app.get("/v1/organizations", tags=["organizations"], summary="The organizations you administer")
    def list_organizations(cursor: Cursor = "", limit: Limit = LIMIT_DEFAULT) -> Page[OrganizationAnswer]:
        caller = desk.caller
        with desk.store.read() as reader:
            items, following = stored_page(
                reader, Organization, "", cursor, limit, caller.key, where=lambda o: caller.reaches(o.id)
            )
        return Page(items=[_answer(item) for item in items], next=following)

    @app.post("/v1/organizations", tags=["organizations"], summary="Declare an organization", status_code=201)
    def create_organization(body: Annotated[NewOrganization, Body()]) -> OrganizationAnswer:
        _need_reach(desk)
        if body.id == SHARED:
            raise InvalidRequest("The id `shared` is reserved.", advice="Choose another id.")
        record = Organization(body.id or f"org-{secrets.token_hex(6)}", body.name, desk.now())

        def decide(reader: ControlReader) -> Change[Organization]:
            if reader.get(Organization, "", record.id):
                raise taken("organization")
            event = _event(AdminEventType.ORGANIZATION_CREATED, None, record)
            return Change(record, puts=(record,), events=(event,))

        return _answer(desk.change(decide))

    @app.patch("/v1/organizations/<id>", tags=["organizations"], summary="Rename, suspend or restore an organization")
    def change_organization(
        id: Annotated[str, Path(pattern=ORGANIZATION_ID)],  # noqa: A002
        body: Annotated[OrganizationChange, Body()],
    ) -> OrganizationAnswer:
        _need_reach(desk)

        def decide(reader: ControlReader) -> Change[Organization]:
            old = reader.get(Organization, "", id)
            if old is None:
                raise hidden("organization")
            if old.operator and body.status == "suspended":
                raise PermissionRefused("The operator organization cannot be suspended.")
            new = dataclasses.replace(old, name=body.name or old.name, status=body.status or old.status)
            if new == old:
                return Change(old)
            return Change(new, puts=(new,), events=(_event(AdminEventType.ORGANIZATION_UPDATED, old, new),))

        return _answer(desk.change(decide))


def _need_reach(desk: Desk) -> None:
    """Only the operator's Owner declares organizations; the table has checked operator and scope already."""
    if not desk.caller.reaches_all:
        raise PermissionRefused("Only the operator organization's Owner may do this.")


def _event(kind: AdminEventType, old: Organization | None, new: Organization) -> AdminEvent:
    return AdminEvent(kind, ORGANIZATION_CHAIN, new.id, new.id, old.fact() if old else None, new.fact())
