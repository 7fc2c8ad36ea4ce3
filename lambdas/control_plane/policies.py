"""`/v1/environments/{env}/policies`: row filters, masks, conditions and minimum groups, checked when written."""

from __future__ import annotations

import dataclasses
import secrets
from typing import Annotated

from aws_lambda_powertools.event_handler.openapi.params import Body, Header, Query

from governance.errors import Conflict, PreconditionFailed
from governance.policy_record import PolicyRecord
from governance.policy_versions import PolicyChange
from governance.ports import Change, ControlReader
from governance.rulebook import policy_kind
from lambdas.control_plane.caller import Caller, hidden
from lambdas.control_plane.desk import Desk, admitted_environment, taken
from lambdas.control_plane.models import LIMIT_DEFAULT, Cursor, EnvironmentPath, Limit, ObjectIdPath, Page
from lambdas.control_plane.ownership import required_owner
from lambdas.control_plane.paging import stored_page
from lambdas.control_plane.policy_changes import in_force
from lambdas.control_plane.policy_models import (
    PolicyAnswer,
    PolicyModel,
    check_against_tables,
    policy_answer,
    read_policy,
)
from lambdas.control_plane.resolver import ThreadedResolver


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
            items, following = stored_page(
                reader,
                PolicyRecord,
                env,
                cursor,
                limit,
                caller.key,
                where=lambda policy: caller.reaches(policy.organization) and name in ("", policy.policy.name),
            )
        return Page(items=[policy_answer(item) for item in items], next=following)

    @app.post("/v1/environments/<env>/policies", tags=["policies"], summary="Write a policy", status_code=201)
    def create_policy(env: EnvironmentPath, body: Annotated[PolicyModel, Body()]) -> PolicyAnswer:
        caller, now, policy_id = desk.caller, desk.now(), f"pol-{secrets.token_hex(6)}"
        policy = read_policy(body, policy_id)

        def decide(reader: ControlReader) -> Change[PolicyRecord]:
            record = PolicyRecord(env, policy, required_owner(reader, caller, env, policy), now)
            check_against_tables(reader, env, policy)
            if reader.find_unique(PolicyRecord, env, record.unique):
                raise taken("policy")
            return _edit(reader, caller, PolicyChange(None, record), now)

        return policy_answer(desk.change(decide))

    @app.get("/v1/environments/<env>/policies/<id>", tags=["policies"], summary="One policy")
    def show_policy(env: EnvironmentPath, id: ObjectIdPath) -> PolicyAnswer:  # noqa: A002
        with desk.store.read() as reader:
            return policy_answer(_visible(reader, desk.caller, env, id))

    @app.put("/v1/environments/<env>/policies/<id>", tags=["policies"], summary="Replace a policy")
    def replace_policy(
        env: EnvironmentPath,
        id: ObjectIdPath,  # noqa: A002
        body: Annotated[PolicyModel, Body()],
        if_match: Annotated[str, Header(alias="If-Match", description="The revision you read, quoted or not")] = "",
    ) -> PolicyAnswer:
        caller, now, policy = desk.caller, desk.now(), read_policy(body, id)

        def decide(reader: ControlReader) -> Change[PolicyRecord]:
            old = _visible(reader, caller, env, id)
            if if_match and if_match.strip('"') != str(old.revision):
                raise PreconditionFailed("The policy was changed meanwhile.", advice="Read it again.")
            if policy_kind(policy) != policy_kind(old.policy):
                raise Conflict("A policy keeps its type.", advice="Delete it and write another.")
            owner = required_owner(reader, caller, env, policy)
            if policy == old.policy and owner == old.organization:
                return Change(old)
            check_against_tables(reader, env, policy)
            new = dataclasses.replace(old, policy=policy, organization=owner, revision=old.revision + 1)
            other = reader.find_unique(PolicyRecord, env, new.unique)
            if other is not None and other.id != old.id:
                raise taken("policy")
            return _edit(reader, caller, PolicyChange(old, new), now)

        return policy_answer(desk.change(decide))

    @app.delete("/v1/environments/<env>/policies/<id>", tags=["policies"], summary="Delete a policy")
    def delete_policy(env: EnvironmentPath, id: ObjectIdPath) -> PolicyAnswer:  # noqa: A002
        caller, now = desk.caller, desk.now()

        def decide(reader: ControlReader) -> Change[PolicyRecord]:
            return _edit(reader, caller, PolicyChange(_visible(reader, caller, env, id), None), now)

        return policy_answer(desk.change(decide))


def _visible(reader: ControlReader, caller: Caller, env: str, policy_id: str) -> PolicyRecord:
    admitted_environment(reader, caller, env)
    policy = reader.get(PolicyRecord, env, policy_id)
    if policy is None or not caller.reaches(policy.organization):
        raise hidden("policy")
    return policy


def _edit(reader: ControlReader, caller: Caller, change: PolicyChange, now: str) -> Change[PolicyRecord]:
    """One change, in force at once."""
    done = in_force(reader, caller, change.record.environment, (change,), at=now, cause="edit")
    return Change(change.record, puts=done.puts, removes=done.removes, events=done.events)
