"""`/v1/environments/{env}/policies`: row filters, masks, conditions and minimum groups, checked when written."""

from __future__ import annotations

import dataclasses
import secrets
from ipaddress import ip_network
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from aws_lambda_powertools.event_handler.openapi.params import Body, Header, Query
from pydantic import Field, RootModel

from governance import policy_text
from governance.admin_event import AdminEvent, AdminEventType
from governance.errors import Conflict, InvalidRequest, PermissionRefused, PreconditionFailed
from governance.policies import Audience, Condition, Effect, Mask, MaskFunction, MinimumGroup, Policy, RowFilter
from governance.ports import Change, ControlReader
from governance.register import PolicyRecord, TableReport
from governance.roles import Role
from governance.rulebook import decode_policy, encode_policy, policy_kind
from governance.tables import Table, TableName
from lambdas.control_plane.caller import Caller, hidden
from lambdas.control_plane.desk import Desk, admitted_environment, taken
from lambdas.control_plane.models import (
    LIMIT_DEFAULT,
    Cursor,
    EnvironmentPath,
    Limit,
    Model,
    Name,
    ObjectIdPath,
    Page,
    page,
)
from lambdas.control_plane.ownership import policy_owner
from lambdas.control_plane.resolver import ThreadedResolver

FILTER_CHARS_MAX = 8192

TableText = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f.]{1,128}\.[^\x00-\x1f\x7f.]{1,128}$")]
Short = Annotated[str, Field(min_length=1, max_length=128)]
Shorts = Annotated[list[Short], Field(max_length=256)]
Roles = Annotated[list[Role], Field(max_length=6)]
Weekdays = Annotated[list[Annotated[int, Field(ge=0, le=6)]], Field(min_length=1, max_length=7)]


class AppliesToModel(Model):
    """Whom the rule binds."""

    audience: Audience = Audience.EVERYONE
    agent_ids: Shorts = Field(default_factory=list)
    frameworks: Shorts = Field(default_factory=list)


class RowFilterModel(Model):
    """Rows of `table` that may be seen."""

    type: Literal["row_filter"]
    name: Name
    table: TableText
    filter: Annotated[str, Field(min_length=1, max_length=FILTER_CHARS_MAX)]
    exempt_roles: Roles = Field(default_factory=list)
    applies_to: AppliesToModel = AppliesToModel()
    permissive: bool = False


class MaskModel(Model):
    """How `column` of `table` is shown."""

    type: Literal["mask"]
    name: Name
    table: TableText
    column: Short
    function: MaskFunction
    visible: Annotated[int, Field(ge=0, le=64)] = 4
    as_text: bool = False
    exempt_roles: Roles = Field(default_factory=list)
    applies_to: AppliesToModel = AppliesToModel()
    deny_predicate: bool = False


class WindowModel(Model):
    """A daily window in a named zone."""

    zone: Short
    start_minute: Annotated[int, Field(ge=0, le=1439)]
    end_minute: Annotated[int, Field(ge=0, le=1440)]
    weekdays: Weekdays = Field(default_factory=lambda: [*range(7)])


class ConditionModel(Model):
    """An attribute rule that allows or denies."""

    type: Literal["condition"]
    name: Name
    effect: Effect
    tables: Annotated[list[TableText], Field(max_length=256)] = Field(default_factory=list)
    actions: Shorts = Field(default_factory=list)
    roles: Roles = Field(default_factory=list)
    agent_ids: Shorts = Field(default_factory=list)
    frameworks: Shorts = Field(default_factory=list)
    trust: Shorts = Field(default_factory=list)
    audience: Audience = Audience.EVERYONE
    networks: Shorts = Field(default_factory=list)
    window: WindowModel | None = None
    outside_window: bool = False


class MinimumGroupModel(Model):
    """Aggregates over `table` show only groups of at least `size` rows."""

    type: Literal["minimum_group"]
    name: Name
    table: TableText
    size: Annotated[int, Field(ge=2, le=1_000_000)]
    exempt_roles: Roles = Field(default_factory=list)
    applies_to: AppliesToModel = AppliesToModel()


class PolicyModel(
    RootModel[Annotated[RowFilterModel | MaskModel | ConditionModel | MinimumGroupModel, Field(discriminator="type")]]
):
    """A policy, its kind named by `type`."""


class PolicyAnswer(Model):
    """A policy with its id, whose it is and its revision; `policy` has the shape it is written in."""

    id: str
    name: str
    type: str
    organization: str
    status: str
    revision: int
    created_at: str
    policy: dict[str, Any]


def _answer(record: PolicyRecord) -> PolicyAnswer:
    shape = {k: v for k, v in encode_policy(record.policy).items() if k != "id"}
    return PolicyAnswer(
        id=record.id,
        name=record.policy.name,
        type=policy_kind(record.policy),
        organization=record.organization,
        status=record.status,
        revision=record.revision,
        created_at=record.created_at,
        policy=shape,
    )


def register(app: ThreadedResolver, desk: Desk) -> None:
    """Add the routes."""

    @app.get("/v1/environments/<env>/policies", tags=["policies"], summary="Policies on the tables you administer")
    def list_policies(
        env: EnvironmentPath,
        cursor: Cursor = "",
        limit: Limit = LIMIT_DEFAULT,
        name: Annotated[str, Query(max_length=128)] = "",
    ) -> Page[PolicyAnswer]:
        caller = desk.caller
        with desk.store.read() as reader:
            admitted_environment(reader, caller, env)
            records = reader.every(PolicyRecord, env)
        items, following = page(
            records,
            lambda policy: policy.id,
            cursor,
            limit,
            where=lambda policy: caller.reaches(policy.organization) and name in ("", policy.policy.name),
        )
        return Page(items=[_answer(item) for item in items], next=following)

    @app.post("/v1/environments/<env>/policies", tags=["policies"], summary="Write a policy", status_code=201)
    def create_policy(env: EnvironmentPath, body: Annotated[PolicyModel, Body()]) -> PolicyAnswer:
        caller, now, policy_id = desk.caller, desk.now(), f"pol-{secrets.token_hex(6)}"
        policy = _policy(body, policy_id)

        def decide(reader: ControlReader) -> Change[PolicyRecord]:
            record = PolicyRecord(env, policy, _owner(reader, caller, env, policy), now)
            _check_against_tables(reader, env, policy)
            if reader.find_unique(PolicyRecord, env, record.unique):
                raise taken("policy")
            return Change(record, puts=(record,), events=(_event(AdminEventType.POLICY_CREATED, None, record),))

        return _answer(desk.change(decide))

    @app.get("/v1/environments/<env>/policies/<id>", tags=["policies"], summary="One policy")
    def show_policy(env: EnvironmentPath, id: ObjectIdPath) -> PolicyAnswer:  # noqa: A002
        with desk.store.read() as reader:
            return _answer(_visible(reader, desk.caller, env, id))

    @app.put("/v1/environments/<env>/policies/<id>", tags=["policies"], summary="Replace a policy")
    def replace_policy(
        env: EnvironmentPath,
        id: ObjectIdPath,  # noqa: A002
        body: Annotated[PolicyModel, Body()],
        if_match: Annotated[str, Header(alias="If-Match", description="The revision you read, quoted or not")] = "",
    ) -> PolicyAnswer:
        caller, policy = desk.caller, _policy(body, id)

        def decide(reader: ControlReader) -> Change[PolicyRecord]:
            old = _visible(reader, caller, env, id)
            if if_match and if_match.strip('"') != str(old.revision):
                raise PreconditionFailed("The policy was changed meanwhile.", advice="Read it again.")
            if policy_kind(policy) != policy_kind(old.policy):
                raise Conflict("A policy keeps its type.", advice="Delete it and write another.")
            owner = _owner(reader, caller, env, policy)
            if policy == old.policy and owner == old.organization:
                return Change(old)
            _check_against_tables(reader, env, policy)
            new = dataclasses.replace(old, policy=policy, organization=owner, revision=old.revision + 1)
            other = reader.find_unique(PolicyRecord, env, new.unique)
            if other is not None and other.id != old.id:
                raise taken("policy")
            return Change(new, puts=(new,), events=(_event(AdminEventType.POLICY_UPDATED, old, new),))

        return _answer(desk.change(decide))

    @app.delete("/v1/environments/<env>/policies/<id>", tags=["policies"], summary="Delete a policy")
    def delete_policy(env: EnvironmentPath, id: ObjectIdPath) -> PolicyAnswer:  # noqa: A002
        caller = desk.caller

        def decide(reader: ControlReader) -> Change[PolicyRecord]:
            old = _visible(reader, caller, env, id)
            return Change(old, removes=(old,), events=(_event(AdminEventType.POLICY_DELETED, old, None),))

        return _answer(desk.change(decide))


def _policy(body: PolicyModel, policy_id: str) -> Policy:
    """The policy of a body, with what pydantic cannot check checked.

    Raises:
        InvalidRequest: a network, zone or table pattern that is none; a filter that is not of the policy language.
    """
    policy = decode_policy({"id": policy_id, **body.root.model_dump(mode="json")})
    if isinstance(policy, Condition):
        _check_condition(policy)
    elif "*" in (policy.table.schema, policy.table.name):
        raise InvalidRequest("This kind of policy speaks of one table.", advice="Write schema.table.")
    return policy


def _check_condition(policy: Condition) -> None:
    try:
        for network in policy.networks:
            ip_network(network)
    except ValueError:
        raise InvalidRequest("A network is not well formed.", advice="Write it like 10.0.0.0/8.") from None
    if policy.window is not None:
        try:
            ZoneInfo(policy.window.zone)
        except (ValueError, OSError, KeyError):
            raise InvalidRequest("The window's zone is unknown.", advice="Name it like Europe/Lisbon.") from None
    elif policy.outside_window:
        raise InvalidRequest("`outside_window` needs a window.")


def _owner(reader: ControlReader, caller: Caller, env: str, policy: Policy) -> str:
    admitted_environment(reader, caller, env)
    owner = policy_owner(reader, env, policy)
    if not caller.reaches(owner):
        raise PermissionRefused(
            "You may not write policies on these tables.",
            advice="Name tables in schemas of your organization; shared schemas are the operator's to govern.",
        )
    return owner


def _check_against_tables(reader: ControlReader, env: str, policy: Policy) -> None:
    """Parse the filter, and check it and the columns against the table when a node has reported it."""
    if isinstance(policy, Condition):
        return
    table = reported_table(reader, env, policy.table)
    match policy:
        case RowFilter():
            policy_text.check_filter(policy.filter, table)
        case Mask():
            if table is not None and table.column(policy.column) is None:
                raise InvalidRequest("The table has no such column.", advice="Check the spelling.")
        case MinimumGroup():
            pass


def reported_table(reader: ControlReader, env: str, name: TableName) -> Table | None:
    """The table as a node reported it, or None when no node has."""
    report = reader.get(TableReport, env, TableReport.id)
    return report.table(name) if report else None


def _visible(reader: ControlReader, caller: Caller, env: str, policy_id: str) -> PolicyRecord:
    admitted_environment(reader, caller, env)
    policy = reader.get(PolicyRecord, env, policy_id)
    if policy is None or not caller.reaches(policy.organization):
        raise hidden("policy")
    return policy


def _event(kind: AdminEventType, old: PolicyRecord | None, new: PolicyRecord | None) -> AdminEvent:
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
