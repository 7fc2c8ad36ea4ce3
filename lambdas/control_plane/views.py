"""`/v1/environments/{env}/views`: SELECTs stored by administrators; they run with their caller's policies."""

from __future__ import annotations

import dataclasses
import secrets
from typing import Annotated

from aws_lambda_powertools.event_handler.openapi.params import Body, Query
from pydantic import Field

from governance.admin_event import AdminEvent, AdminEventType
from governance.audit_table import refuse_reserved
from governance.errors import Conflict, PermissionRefused
from governance.policies import View
from governance.ports import Change, ControlReader
from governance.register import ViewRecord
from governance.tables import TableName
from governance.view_text import VIEW_CHARS_MAX, check_view
from lambdas.control_plane.caller import Caller, hidden
from lambdas.control_plane.desk import Desk, admitted_environment, taken
from lambdas.control_plane.models import LIMIT_DEFAULT, Cursor, EnvironmentPath, Limit, Model, ObjectIdPath, Page
from lambdas.control_plane.ownership import owner_of
from lambdas.control_plane.paging import stored_page
from lambdas.control_plane.policy_models import TableText, reported_table
from lambdas.control_plane.resolver import ThreadedResolver


class NewView(Model):
    """A view to store under `schema.name`."""

    name: TableText
    sql: Annotated[str, Field(min_length=1, max_length=VIEW_CHARS_MAX)]


class ViewAnswer(Model):
    """A stored view."""

    id: str
    name: str
    organization: str
    sql: str
    created_at: str


def _answer(record: ViewRecord) -> ViewAnswer:
    return ViewAnswer(**record.fact(), created_at=record.created_at)


def register(app: ThreadedResolver, desk: Desk) -> None:
    """Add the routes."""

    @app.get("/v1/environments/<env>/views", tags=["views"], summary="Views in the schemas you administer")
    def list_views(
        env: EnvironmentPath,
        cursor: Cursor = "",
        limit: Limit = LIMIT_DEFAULT,
        name: Annotated[str, Query(max_length=257)] = "",
    ) -> Page[ViewAnswer]:
        caller = desk.caller
        with desk.store.read() as reader:
            admitted_environment(reader, caller, env)
            items, following = stored_page(
                reader,
                ViewRecord,
                env,
                cursor,
                limit,
                caller.key,
                where=lambda view: caller.reaches(view.organization) and name in ("", str(view.view.name)),
            )
        return Page(items=[_answer(item) for item in items], next=following)

    @app.post("/v1/environments/<env>/views", tags=["views"], summary="Store a view", status_code=201)
    def create_view(env: EnvironmentPath, body: Annotated[NewView, Body()]) -> ViewAnswer:
        caller, now = desk.caller, desk.now()
        view = _view(body, f"view-{secrets.token_hex(6)}")

        def decide(reader: ControlReader) -> Change[ViewRecord]:
            record = ViewRecord(env, view, _owner(reader, caller, env, view), now)
            if reader.find_unique(ViewRecord, env, record.unique):
                raise taken("view")
            return Change(record, puts=(record,), events=(_event(AdminEventType.VIEW_CREATED, None, record),))

        return _answer(desk.change(decide))

    @app.get("/v1/environments/<env>/views/<id>", tags=["views"], summary="One view")
    def show_view(env: EnvironmentPath, id: ObjectIdPath) -> ViewAnswer:  # noqa: A002
        with desk.store.read() as reader:
            return _answer(_visible(reader, desk.caller, env, id))

    @app.put("/v1/environments/<env>/views/<id>", tags=["views"], summary="Replace a view")
    def replace_view(env: EnvironmentPath, id: ObjectIdPath, body: Annotated[NewView, Body()]) -> ViewAnswer:  # noqa: A002
        caller, view = desk.caller, _view(body, id)

        def decide(reader: ControlReader) -> Change[ViewRecord]:
            old = _visible(reader, caller, env, id)
            new = dataclasses.replace(old, view=view, organization=_owner(reader, caller, env, view))
            if new == old:
                return Change(old)
            other = reader.find_unique(ViewRecord, env, new.unique)
            if other is not None and other.id != old.id:
                raise taken("view")
            return Change(new, puts=(new,), events=(_event(AdminEventType.VIEW_UPDATED, old, new),))

        return _answer(desk.change(decide))

    @app.delete("/v1/environments/<env>/views/<id>", tags=["views"], summary="Delete a view")
    def delete_view(env: EnvironmentPath, id: ObjectIdPath) -> ViewAnswer:  # noqa: A002
        caller = desk.caller

        def decide(reader: ControlReader) -> Change[ViewRecord]:
            old = _visible(reader, caller, env, id)
            return Change(old, removes=(old,), events=(_event(AdminEventType.VIEW_DELETED, old, None),))

        return _answer(desk.change(decide))


def _view(body: NewView, view_id: str) -> View:
    check_view(body.sql)
    name = TableName.parse(body.name)
    refuse_reserved(name.schema)
    return View(view_id, name, body.sql)


def _owner(reader: ControlReader, caller: Caller, env: str, view: View) -> str:
    admitted_environment(reader, caller, env)
    owner = owner_of(reader, env, view.name.schema)
    if not caller.reaches(owner):
        raise PermissionRefused("You may not store views in this schema.", advice="Use a schema of your organization.")
    if reported_table(reader, env, view.name) is not None:
        raise Conflict("A table has this name.", advice="Choose another name for the view.")
    return owner


def _visible(reader: ControlReader, caller: Caller, env: str, view_id: str) -> ViewRecord:
    admitted_environment(reader, caller, env)
    view = reader.get(ViewRecord, env, view_id)
    if view is None or not caller.reaches(view.organization):
        raise hidden("view")
    return view


def _event(kind: AdminEventType, old: ViewRecord | None, new: ViewRecord | None) -> AdminEvent:
    record = new or old
    assert record is not None  # noqa: S101  an event has one side at least
    return AdminEvent(
        kind,
        record.environment,
        record.organization,
        record.id,
        old.fact() if old else None,
        new.fact() if new else None,
    )
