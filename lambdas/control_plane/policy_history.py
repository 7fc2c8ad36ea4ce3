"""`/v1/environments/{env}/policy-versions`: what was in force when, who changed it, and the way back."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any

from aws_lambda_powertools.event_handler.openapi.params import Body, Path

from governance.errors import InvalidRequest
from governance.policy_record import PolicyRecord
from governance.policy_versions import PolicyVersion, as_of, way_back
from governance.ports import Change, ControlReader
from governance.rulebook import encode_policy
from lambdas.control_plane.caller import Caller, hidden
from lambdas.control_plane.desk import Desk, admitted_environment
from lambdas.control_plane.models import LIMIT_DEFAULT, Cursor, EnvironmentPath, Limit, Model, Page, page
from lambdas.control_plane.policy_changes import checked, in_force
from lambdas.control_plane.policy_models import ChangeAnswer, Note, change_answer
from lambdas.control_plane.resolver import ThreadedResolver

VersionPath = Annotated[int, Path(ge=0, le=10**12 - 1, description="A number of the law; the rulebook's version")]


class VersionAnswer(Model):
    """A change of policies that came into force at this version of the law."""

    version: int
    author: str
    at: str
    cause: str
    source: int
    note: str
    changes: list[ChangeAnswer]


class PoliciesThen(Model):
    """The policies on the tables you administer as they stood at a version."""

    version: int
    policies: list[dict[str, Any]]


class WayBack(Model):
    """Why; may be empty."""

    note: Note = ""


def version_answer(version: PolicyVersion, caller: Caller) -> VersionAnswer:
    """The version as this caller may read it: the changes of policies he administers."""
    return VersionAnswer(
        version=version.number,
        author=version.author if caller.reaches(version.organization) else "",
        at=version.at,
        cause=version.cause,
        source=version.source,
        note=version.note if caller.reaches(version.organization) else "",
        changes=[change_answer(c) for c in version.changes if all(map(caller.reaches, c.organizations))],
    )


def register(app: ThreadedResolver, desk: Desk) -> None:
    """Add the routes."""

    @app.get(
        "/v1/environments/<env>/policy-versions", tags=["policies"], summary="The history of policies, newest first"
    )
    def list_versions(env: EnvironmentPath, cursor: Cursor = "", limit: Limit = LIMIT_DEFAULT) -> Page[VersionAnswer]:
        caller = desk.caller
        with desk.store.read() as reader:
            admitted_environment(reader, caller, env)
            versions = reader.every(PolicyVersion, env)
        answers = [answer for version in versions if (answer := version_answer(version, caller)).changes]
        items, following = page(answers, _newest_first, cursor, limit)
        return Page(items=items, next=following)

    @app.get(
        "/v1/environments/<env>/policy-versions/<version>", tags=["policies"], summary="The policies as they stood"
    )
    def policies_then(env: EnvironmentPath, version: VersionPath) -> PoliciesThen:
        caller = desk.caller
        with desk.store.read() as reader:
            then = _then(reader, caller, env, version)
        policies = [encode_policy(then[key].policy) for key in sorted(then)]
        return PoliciesThen(version=version, policies=policies)

    @app.post(
        "/v1/environments/<env>/policy-versions/<version>/roll-back",
        tags=["policies"],
        summary="Bring the policies back as they stood at a version",
    )
    def roll_back(env: EnvironmentPath, version: VersionPath, body: Annotated[WayBack, Body()]) -> VersionAnswer:
        caller, now = desk.caller, desk.now()

        def decide(reader: ControlReader) -> Change[VersionAnswer]:
            then = _then(reader, caller, env, version)
            present = {r.id: r for r in reader.every(PolicyRecord, env) if caller.reaches(r.organization)}
            changes = checked(reader, caller, env, way_back(present, then))
            if not changes:
                raise InvalidRequest("The policies stand as they stood then.")
            done = in_force(reader, caller, env, changes, at=now, cause="roll_back", source=version, note=body.note)
            answer = version_answer(done.result, caller)
            return Change(answer, puts=done.puts, removes=done.removes, events=done.events)

        return desk.change(decide)


def _newest_first(answer: VersionAnswer) -> str:
    return f"{10**12 - answer.version:012d}"


def _then(reader: ControlReader, caller: Caller, env: str, version: int) -> dict[str, PolicyRecord]:
    """The policies that the caller administers, as they stood at a version.

    Raises:
        NotFound: a version that is still to come.
    """
    admitted_environment(reader, caller, env)
    if version > reader.version(env):
        raise hidden("version")
    later = [
        dataclasses.replace(v, changes=tuple(c for c in v.changes if all(map(caller.reaches, c.organizations))))
        for v in reader.every(PolicyVersion, env)
        if v.number > version
    ]
    present = [record for record in reader.every(PolicyRecord, env) if caller.reaches(record.organization)]
    return as_of(present, later)
