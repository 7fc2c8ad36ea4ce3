"""Policies as requests write them and answers show them, and what is checked of them when they are written."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import Field, RootModel

from governance import policy_text
from governance.errors import InvalidRequest
from governance.policies import Audience, Condition, Effect, MaskFunction, Policy
from governance.policy_record import PolicyRecord
from governance.policy_versions import PolicyChange
from governance.ports import ControlReader
from governance.register import TableReport
from governance.roles import Role
from governance.rulebook import decode_policy, encode_policy, policy_kind
from governance.tables import Table, TableName
from lambdas.control_plane.models import Model, Name

FILTER_CHARS_MAX = 8192

TableText = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f.]{1,128}\.[^\x00-\x1f\x7f.]{1,128}$")]
Short = Annotated[str, Field(min_length=1, max_length=128)]
Shorts = Annotated[list[Short], Field(max_length=256)]
Roles = Annotated[list[Role], Field(max_length=6)]
Note = Annotated[str, Field(max_length=500, pattern=r"^[^\x00-\x1f\x7f]*$")]
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
    actions: Annotated[list[Literal["query", "explain", "export", "write"]], Field(max_length=8)] = Field(
        default_factory=list
    )
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


class ChangeAnswer(Model):
    """One policy before and after; null where it is not there."""

    id: str
    name: str
    action: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None


def change_answer(change: PolicyChange) -> ChangeAnswer:
    """A change as it is told."""
    return ChangeAnswer(
        id=change.id,
        name=change.record.policy.name,
        action=change.action,
        before=_shape(change.before.policy) if change.before else None,
        after=_shape(change.after.policy) if change.after else None,
    )


def _shape(policy: Policy) -> dict[str, Any]:
    return {k: v for k, v in encode_policy(policy).items() if k != "id"}


def policy_answer(record: PolicyRecord) -> PolicyAnswer:
    """The policy as it is told."""
    return PolicyAnswer(
        id=record.id,
        name=record.policy.name,
        type=policy_kind(record.policy),
        organization=record.organization,
        status=record.status,
        revision=record.revision,
        created_at=record.created_at,
        policy=_shape(record.policy),
    )


def read_policy(body: PolicyModel, policy_id: str) -> Policy:
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
    if policy.window is not None and policy.window.start_minute == policy.window.end_minute:
        raise InvalidRequest("The window is empty: its end is its start.", advice="0 to 1440 is the whole day.")


def check_against_tables(reader: ControlReader, env: str, policy: Policy) -> None:
    """Parse the filter, and check it and the columns against the table when a node has reported it."""
    if not isinstance(policy, Condition):
        policy_text.check_policy(policy, reported_table(reader, env, policy.table))


def reported_table(reader: ControlReader, env: str, name: TableName) -> Table | None:
    """The table as a node reported it, or None when no node has."""
    report = reader.get(TableReport, env, TableReport.id)
    return report.table(name) if report else None
