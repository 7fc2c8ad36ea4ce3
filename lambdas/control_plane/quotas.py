"""`/v1/environments/{env}/quotas`: how much a key or an organization may ask; nodes enforce it within seconds.

A key's quota is set by someone who outranks its user, an organization's by the operator: nobody raises his own.
"""

from __future__ import annotations

import dataclasses
from typing import Annotated, Literal

from aws_lambda_powertools.event_handler.openapi.params import Body, Path

from governance.admin_event import AdminEvent, AdminEventType
from governance.errors import PermissionRefused
from governance.ports import Change, ControlReader
from governance.quota import NO_QUOTA, OrganizationQuota, Quota, quota_fact
from governance.register import Environment, KeyRecord, Organization, UserRecord
from governance.roles import Role
from lambdas.control_plane.caller import Caller, hidden
from lambdas.control_plane.desk import Desk, admitted_environment
from lambdas.control_plane.models import (
    LIMIT_DEFAULT,
    ORGANIZATION_ID,
    Cursor,
    EnvironmentPath,
    Limit,
    ObjectIdPath,
    Page,
    QuotaModel,
    page,
)
from lambdas.control_plane.resolver import ThreadedResolver

Subject = Literal["key", "organization"]


class QuotaAnswer(QuotaModel):
    """A quota and whose it is."""

    subject: Subject
    id: str
    organization: str


def _answer(subject: Subject, subject_id: str, organization: str, quota: Quota) -> QuotaAnswer:
    return QuotaAnswer(subject=subject, id=subject_id, organization=organization, **quota.fact())


def register(app: ThreadedResolver, desk: Desk) -> None:
    """Add the routes."""

    @app.get("/v1/environments/<env>/quotas", tags=["usage"], summary="Quotas of organizations and keys you administer")
    def list_quotas(env: EnvironmentPath, cursor: Cursor = "", limit: Limit = LIMIT_DEFAULT) -> Page[QuotaAnswer]:
        caller = desk.caller
        with desk.store.read() as reader:
            admitted_environment(reader, caller, env)
            found = [
                _answer("organization", each.organization, each.organization, each.quota)
                for each in reader.every(OrganizationQuota, env)
            ]
            found += [
                _answer("key", key.id, key.organization, key.quota)
                for key in reader.every(KeyRecord, env)
                if key.quota.limits and key.opens
            ]
        items, following = page(
            found, lambda q: f"{q.subject}/{q.id}", cursor, limit, where=lambda q: caller.reaches(q.organization)
        )
        return Page(items=items, next=following)

    @app.put("/v1/environments/<env>/quotas/keys/<id>", tags=["usage"], summary="Set a key's quota; zeros lift it")
    def set_key_quota(env: EnvironmentPath, id: ObjectIdPath, body: Annotated[QuotaModel, Body()]) -> QuotaAnswer:  # noqa: A002
        caller = desk.caller
        key = desk.change(lambda reader: limit_key(reader, caller, env, id, body.quota()))
        return _answer("key", key.id, key.organization, key.quota)

    @app.put(
        "/v1/environments/<env>/quotas/organizations/<id>",
        tags=["usage"],
        summary="Set an organization's quota; zeros lift it",
    )
    def set_organization_quota(
        env: EnvironmentPath,
        id: Annotated[str, Path(pattern=ORGANIZATION_ID)],  # noqa: A002
        body: Annotated[QuotaModel, Body()],
    ) -> QuotaAnswer:
        caller = desk.caller
        set_ = desk.change(lambda reader: limit_organization(reader, caller, env, id, body.quota()))
        return _answer("organization", set_.organization, set_.organization, set_.quota)


def limit_key(reader: ControlReader, caller: Caller, env: str, key_id: str, quota: Quota) -> Change[KeyRecord]:
    """Set a key's quota, when the caller outranks its user (an Owner also his own), and his own key reaches as far."""
    environment = admitted_environment(reader, caller, env)
    old = reader.get(KeyRecord, env, key_id)
    if old is None or not caller.reaches(old.organization):
        raise hidden("key")
    user = reader.get(UserRecord, "", old.user_id)
    own = user is not None and user.id == caller.user.id
    may = caller.user.role is Role.OWNER if own else user is None or caller.rules_over(user.organization, user.role)
    if not may or not quota.within(caller.key.quota):
        raise PermissionRefused("You may not set this key's quota so.", advice="Ask the organization's Owner.")
    new = dataclasses.replace(old, quota=quota)
    event = _event(environment, old.organization, "key", key_id, old.quota, quota)
    return Change(new) if new == old else Change(new, puts=(new,), events=(event,))


def limit_organization(
    reader: ControlReader, caller: Caller, env: str, organization: str, quota: Quota
) -> Change[OrganizationQuota]:
    """Set what all keys of an organization may ask together; the operator's Owner does."""
    environment = admitted_environment(reader, caller, env)
    if not caller.reaches_all:
        raise PermissionRefused("Only the operator organization's Owner may do this.")
    if reader.get(Organization, "", organization) is None:
        raise hidden("organization")
    old, new = reader.get(OrganizationQuota, env, organization), OrganizationQuota(env, organization, quota)
    before = old.quota if old else NO_QUOTA
    if before == quota:
        return Change(new)
    event = _event(environment, organization, "organization", organization, before, quota)
    if not quota.limits and old is not None:
        return Change(new, removes=(old,), events=(event,))
    return Change(new, puts=(new,), events=(event,))


def _event(
    environment: Environment, organization: str, subject: Subject, subject_id: str, before: Quota, after: Quota
) -> AdminEvent:
    fact = environment.fact()
    return AdminEvent(
        AdminEventType.ENVIRONMENT_UPDATED,
        environment.name,
        organization,
        subject_id,
        {**fact, "quota": quota_fact(subject, subject_id, before)},
        {**fact, "quota": quota_fact(subject, subject_id, after)},
    )
