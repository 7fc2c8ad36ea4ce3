"""`/v1/environments/{env}/policy-drafts`: changes of policies that are written and checked, tried, then activated.

A draft is not in force. It is tried with `EXPLAIN POLICY ... USING DRAFT <number>` on a node and with
`hatidata policies impact`, and comes into force whole, in one transaction with its events.
"""

from __future__ import annotations

import dataclasses
import secrets
from typing import Annotated, Any

from aws_lambda_powertools.event_handler.openapi.params import Body, Path, Query
from pydantic import Field

from governance.errors import Conflict
from governance.policy_record import PolicyRecord
from governance.policy_versions import (
    CHANGES_MAX,
    DRAFTS_MAX,
    PolicyChange,
    PolicyDraft,
    check_unchanged,
    in_force_with,
    proposed,
    version_id,
)
from governance.ports import Change, ControlReader
from governance.rulebook import encode_policy
from lambdas.control_plane.caller import HOME_ENVIRONMENT, Caller, hidden
from lambdas.control_plane.desk import Desk, admitted_environment
from lambdas.control_plane.models import (
    ENVIRONMENT,
    LIMIT_DEFAULT,
    Cursor,
    EnvironmentPath,
    Limit,
    Model,
    Page,
    page,
)
from lambdas.control_plane.ownership import required_owner
from lambdas.control_plane.policy_changes import checked, draft_events, in_force
from lambdas.control_plane.policy_history import VersionAnswer, version_answer
from lambdas.control_plane.policy_models import ChangeAnswer, Note, PolicyModel, change_answer, read_policy
from lambdas.control_plane.resolver import ThreadedResolver

NumberPath = Annotated[int, Path(ge=1, le=10**12 - 1)]


class NewDraft(Model):
    """Policies to write (each takes the place of the one of its name) and to remove (by id or name)."""

    policies: Annotated[list[PolicyModel], Field(max_length=CHANGES_MAX)] = Field(default_factory=list)
    remove: Annotated[list[Annotated[str, Field(min_length=1, max_length=128)]], Field(max_length=CHANGES_MAX)] = Field(
        default_factory=list
    )
    note: Note = ""


class DraftAnswer(Model):
    """A draft: what it would change. `number` is what `USING DRAFT` takes."""

    number: int
    organization: str
    author: str
    created_at: str
    note: str
    changes: list[ChangeAnswer]


class WholeDraftAnswer(DraftAnswer):
    """A draft with every policy on the tables you administer as it would be."""

    policies: list[dict[str, Any]]


class DraftedPolicies(Model):
    """All policies of an environment as they would be, for a node that explains."""

    number: int
    organization: str
    organizations: list[str]
    policies: list[dict[str, Any]]


def _answer(draft: PolicyDraft) -> DraftAnswer:
    return DraftAnswer(**_told(draft))


def _told(draft: PolicyDraft) -> dict[str, Any]:
    return {
        "number": draft.number,
        "organization": draft.organization,
        "author": draft.author,
        "created_at": draft.at,
        "note": draft.note,
        "changes": [change_answer(change) for change in draft.changes],
    }


def register(app: ThreadedResolver, desk: Desk) -> None:
    """Add the routes."""

    @app.get("/v1/environments/<env>/policy-drafts", tags=["policies"], summary="Drafts of policies, open ones only")
    def list_drafts(env: EnvironmentPath, cursor: Cursor = "", limit: Limit = LIMIT_DEFAULT) -> Page[DraftAnswer]:
        caller = desk.caller
        with desk.store.read() as reader:
            admitted_environment(reader, caller, env)
            drafts = reader.every(PolicyDraft, env)
        items, following = page(drafts, lambda d: d.id, cursor, limit, where=lambda d: _reaches(caller, d))
        return Page(items=[_answer(item) for item in items], next=following)

    @app.post(
        "/v1/environments/<env>/policy-drafts",
        tags=["policies"],
        summary="Write a draft: checked like policies, not in force",
        status_code=201,
    )
    def write_draft(env: EnvironmentPath, body: Annotated[NewDraft, Body()]) -> DraftAnswer:
        caller, now = desk.caller, desk.now()
        wanted = [read_policy(model, f"pol-{secrets.token_hex(6)}") for model in body.policies]

        def decide(reader: ControlReader) -> Change[PolicyDraft]:
            admitted_environment(reader, caller, env)
            mine = [record for record in reader.every(PolicyRecord, env) if caller.reaches(record.organization)]
            records = [PolicyRecord(env, p, required_owner(reader, caller, env, p), now) for p in wanted]
            changes = checked(reader, caller, env, proposed(mine, records, body.remove))
            organization = caller.user.organization
            if sum(d.organization == organization for d in reader.every(PolicyDraft, env)) >= DRAFTS_MAX:
                raise Conflict("There are too many drafts.", advice="Activate or discard some of them.")
            draft = PolicyDraft(env, reader.version(env) + 1, organization, caller.user.id, now, changes, body.note)
            return Change(draft, puts=(draft,), events=draft_events(changes, discarded=False))

        return _answer(desk.change(decide))

    @app.get(
        "/v1/environments/<env>/policy-drafts/<number>",
        tags=["policies"],
        summary="One draft, and the policies with it",
    )
    def show_draft(env: EnvironmentPath, number: NumberPath) -> WholeDraftAnswer:
        caller = desk.caller
        with desk.store.read() as reader:
            draft = _visible(reader, caller, env, number)
            present = reader.every(PolicyRecord, env)
        mine = [record for record in present if caller.reaches(record.organization)]
        policies = in_force_with(mine, draft.changes)
        return WholeDraftAnswer(**_told(draft), policies=[encode_policy(policy) for policy in policies])

    @app.delete("/v1/environments/<env>/policy-drafts/<number>", tags=["policies"], summary="Discard a draft")
    def discard_draft(env: EnvironmentPath, number: NumberPath) -> DraftAnswer:
        caller = desk.caller

        def decide(reader: ControlReader) -> Change[PolicyDraft]:
            draft = _visible(reader, caller, env, number)
            return Change(draft, removes=(draft,), events=draft_events(draft.changes, discarded=True))

        return _answer(desk.change(decide))

    @app.post(
        "/v1/environments/<env>/policy-drafts/<number>/activate",
        tags=["policies"],
        summary="Bring a draft into force, whole",
    )
    def activate_draft(env: EnvironmentPath, number: NumberPath) -> VersionAnswer:
        caller, now = desk.caller, desk.now()

        def decide(reader: ControlReader) -> Change[VersionAnswer]:
            draft = _visible(reader, caller, env, number)
            present = {record.id: record for record in reader.every(PolicyRecord, env)}
            changes = checked(reader, caller, env, draft.changes)
            check_unchanged(present, changes)
            current = [_over(present, change) for change in changes]
            done = in_force(reader, caller, env, current, at=now, cause="draft", source=number, note=draft.note)
            return Change(
                version_answer(done.result, caller),
                puts=done.puts,
                removes=(*done.removes, draft),
                events=done.events,
            )

        return desk.change(decide)

    @app.get(
        "/v1/nodes/policy-drafts",
        tags=["nodes"],
        summary="All policies of an environment with a draft in force",
        compress=True,
    )
    def drafted_policies(
        draft: Annotated[int, Query(ge=1, le=10**12 - 1)],
        environment: Annotated[str, Query(pattern=ENVIRONMENT)] = HOME_ENVIRONMENT,
    ) -> DraftedPolicies:
        desk.node  # noqa: B018  only for a node
        with desk.store.read() as reader:
            found = reader.get(PolicyDraft, environment, version_id(draft))
            if found is None:
                raise hidden("draft")
            policies = in_force_with(reader.every(PolicyRecord, environment), found.changes)
        return DraftedPolicies(
            number=found.number,
            organization=found.organization,
            organizations=sorted(found.organizations),
            policies=[encode_policy(policy) for policy in policies],
        )


def _over(present: dict[str, PolicyRecord], change: PolicyChange) -> PolicyChange:
    """The change with the policy it replaces as it is now: its organization may have moved with its schema."""
    return dataclasses.replace(change, before=present.get(change.id))


def _reaches(caller: Caller, draft: PolicyDraft) -> bool:
    return all(map(caller.reaches, draft.organizations))


def _visible(reader: ControlReader, caller: Caller, env: str, number: int) -> PolicyDraft:
    admitted_environment(reader, caller, env)
    draft = reader.get(PolicyDraft, env, version_id(number))
    if draft is None or not _reaches(caller, draft):
        raise hidden("draft")
    return draft
