"""`/v1/environments/{env}/schemas` and `tables`: which organization owns a schema, and what nodes see in the lake."""

from __future__ import annotations

import dataclasses
from typing import Annotated

from aws_lambda_powertools.event_handler.openapi.params import Body, Path
from pydantic import Field

from governance.admin_event import AdminEvent, AdminEventType
from governance.audit_table import SCHEMA as AUDIT_SCHEMA
from governance.audit_table import may_read_audit, refuse_reserved
from governance.errors import Conflict, PermissionRefused
from governance.policies import SHARED
from governance.policy_record import PolicyRecord
from governance.ports import Change, ControlReader
from governance.register import Organization, Record, SchemaOwner, TableReport, ViewRecord
from governance.tables import Table, fold
from lambdas.control_plane.caller import Caller, hidden
from lambdas.control_plane.desk import Desk, admitted_environment
from lambdas.control_plane.models import (
    LIMIT_DEFAULT,
    ORGANIZATION_ID,
    SCHEMA,
    Cursor,
    EnvironmentPath,
    Limit,
    Model,
    Page,
    page,
)
from lambdas.control_plane.ownership import owner_of, policy_owner
from lambdas.control_plane.paging import stored_page
from lambdas.control_plane.resolver import ThreadedResolver

COLUMNS_MAX = 10_000


class SchemaChange(Model):
    """Whose the schema becomes: an organization's id, or `shared`."""

    organization: Annotated[str, Field(pattern=ORGANIZATION_ID)]


class SchemaAnswer(Model):
    """A schema and whose it is."""

    name: str
    organization: str


class ColumnModel(Model):
    """A column: name as stored, type as DuckDB spells it."""

    name: Annotated[str, Field(max_length=256)]
    type: Annotated[str, Field(max_length=4096)]


class TableAnswer(Model):
    """A table as nodes reported it."""

    table_schema: Annotated[str, Field(alias="schema", max_length=256)]
    name: Annotated[str, Field(max_length=256)]
    columns: Annotated[list[ColumnModel], Field(max_length=COLUMNS_MAX)]


def register(app: ThreadedResolver, desk: Desk) -> None:
    """Add the routes."""

    @app.get("/v1/environments/<env>/schemas", tags=["schemas"], summary="The schemas you see and whose they are")
    def list_schemas(env: EnvironmentPath, cursor: Cursor = "", limit: Limit = LIMIT_DEFAULT) -> Page[SchemaAnswer]:
        caller = desk.caller
        with desk.store.read() as reader:
            admitted_environment(reader, caller, env)
            items, following = stored_page(
                reader, SchemaOwner, env, cursor, limit, caller.key, where=lambda s: _sees(caller, s.organization)
            )
        return Page(items=[SchemaAnswer(**item.fact()) for item in items], next=following)

    @app.put("/v1/environments/<env>/schemas/<name>", tags=["schemas"], summary="Give a schema to an organization")
    def assign_schema(
        env: EnvironmentPath,
        name: Annotated[str, Path(pattern=SCHEMA)],
        body: Annotated[SchemaChange, Body()],
    ) -> SchemaAnswer:
        caller = desk.caller
        refuse_reserved(name)
        if not caller.reaches_all:
            raise PermissionRefused("Only the operator organization's Owner may do this.")
        record = desk.change(lambda reader: assign(reader, caller, SchemaOwner(env, fold(name), body.organization)))
        return SchemaAnswer(**record.fact())

    @app.get("/v1/environments/<env>/tables", tags=["schemas"], summary="The tables you see, as nodes reported them")
    def list_tables(env: EnvironmentPath, cursor: Cursor = "", limit: Limit = LIMIT_DEFAULT) -> Page[TableAnswer]:
        caller = desk.caller
        with desk.store.read() as reader:
            admitted_environment(reader, caller, env)
            report = reader.get(TableReport, env, TableReport.id)
            owners = {
                table.name.schema: owner_of(reader, env, table.name.schema)
                for table in (report.tables if report else ())
            }

        def visible(table: Table) -> bool:
            schema, name = table.name.key
            allowed = caller.key.allowed_tables
            admitted = not allowed or f"{schema}.{name}" in allowed or f"{schema}.*" in allowed
            if schema == AUDIT_SCHEMA:
                return admitted and may_read_audit(caller.user.role, caller.scopes)
            return admitted and owners[table.name.schema] in (caller.user.organization, SHARED)

        items, following = page(
            report.tables if report else (), lambda table: ".".join(table.name.key), cursor, limit, where=visible
        )
        return Page(items=[_table(item) for item in items], next=following)


def assign(reader: ControlReader, caller: Caller, new: SchemaOwner) -> Change[SchemaOwner]:
    """Give a schema to an organization; the policies and views on it go with it."""
    admitted_environment(reader, caller, new.environment)
    if new.organization != SHARED and reader.get(Organization, "", new.organization) is None:
        raise hidden("organization")
    old = reader.get(SchemaOwner, new.environment, new.id)
    if old == new:
        return Change(new)
    event = AdminEvent(
        AdminEventType.SCHEMA_ASSIGNED,
        new.environment,
        new.organization,
        new.id,
        old.fact() if old else None,
        new.fact(),
    )
    moved: list[Record] = []
    for policy in reader.every(PolicyRecord, new.environment):
        owner = policy_owner(reader, new.environment, policy.policy, change=new)
        if owner != policy.organization:
            moved.append(dataclasses.replace(policy, organization=owner))
    for view in reader.every(ViewRecord, new.environment):
        if fold(view.view.name.schema) == new.id:
            moved.append(dataclasses.replace(view, organization=new.organization))
    names = [record.unique for record in moved if isinstance(record, PolicyRecord)]
    if len(set(names)) != len(names):
        raise Conflict("Two policies of one name would meet.", advice="Rename one of them first.")
    return Change(new, puts=(new, *moved), events=(event,))


def _sees(caller: Caller, organization: str) -> bool:
    return organization == SHARED or caller.reaches(organization)


def _table(table: Table) -> TableAnswer:
    columns = [ColumnModel(name=column.name, type=column.type) for column in table.columns]
    return TableAnswer.model_validate({"schema": table.name.schema, "name": table.name.name, "columns": columns})
