"""`/v1/environments`: production and staging, and what each allows its nodes and sessions."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any

from aws_lambda_powertools.event_handler.openapi.params import Body
from pydantic import Field

from governance.admin_event import ORGANIZATION_CHAIN, AdminEvent, AdminEventType
from governance.audit_choice import AuditChoice, CustomPattern, SqlForm
from governance.errors import InvalidRequest, PermissionRefused
from governance.ports import Change, ControlReader
from governance.redaction import MAX_PATTERN_CHARS, MAX_PATTERNS, Redactor
from governance.register import Environment
from governance.retention import Retention
from lambdas.control_plane.caller import Caller, hidden
from lambdas.control_plane.desk import Desk, operator_of
from lambdas.control_plane.models import EnvironmentPath, Model, Page
from lambdas.control_plane.resolver import ThreadedResolver

ENVIRONMENTS = ("production", "staging")


class RedactionPattern(Model):
    """A pattern of the customer's own, in RE2 syntax; what it finds becomes `[REDACTED:name]` in the audit."""

    name: Annotated[str, Field(pattern="^[A-Z0-9_]{1,32}$")]
    expression: Annotated[str, Field(min_length=1, max_length=MAX_PATTERN_CHARS)]


class EnvironmentChange(Model):
    """What to set; what is not named stays, or is as usual when the environment is new."""

    statement_timeout_ms: Annotated[int, Field(ge=1_000, le=86_400_000)] | None = None
    rulebook_age_max_ms: (
        Annotated[
            int, Field(ge=5_000, le=86_400_000, description="Without confirmation for so long, nodes refuse everything")
        ]
        | None
    ) = None
    result_rows_max: Annotated[int, Field(ge=0, le=10**12, description="0 is unlimited")] | None = None
    retention_days: Annotated[int, Field(ge=1, le=36_500, description="Of the audit; may only grow")] | None = None
    audit_sql_form: (
        Annotated[SqlForm, Field(description="What the audit keeps of a statement's text from now on")] | None
    ) = None
    redaction_patterns: Annotated[list[RedactionPattern], Field(max_length=MAX_PATTERNS)] | None = None


class EnvironmentAnswer(Model):
    """An environment and its settings."""

    name: str
    statement_timeout_ms: int
    rulebook_age_max_ms: int
    result_rows_max: int
    retention_days: int
    audit_sql_form: SqlForm
    redaction_patterns: list[RedactionPattern]
    cache_generation: int
    mask_key_id: str


def _answer(record: Environment) -> EnvironmentAnswer:
    fact = record.fact()
    return EnvironmentAnswer(**{name: fact[name] for name in EnvironmentAnswer.model_fields})


def register(app: ThreadedResolver, desk: Desk) -> None:
    """Add the routes."""

    @app.get("/v1/environments", tags=["environments"], summary="The environments your key opens")
    def list_environments() -> Page[EnvironmentAnswer]:
        caller = desk.caller
        with desk.store.read() as reader:
            found = reader.every(Environment, "")
        return Page(items=[_answer(each) for each in found if caller.in_environment(each.name)])

    @app.put("/v1/environments/<env>", tags=["environments"], summary="Set an environment up, or change its settings")
    def set_environment(env: EnvironmentPath, body: Annotated[EnvironmentChange, Body()]) -> EnvironmentAnswer:
        caller = desk.caller
        if not caller.reaches_all:
            raise PermissionRefused("Only the operator organization's Owner may do this.")
        return _answer(desk.change(lambda reader: settle(reader, caller, env, body)))


def settle(reader: ControlReader, caller: Caller, name: str, body: EnvironmentChange) -> Change[Environment]:
    """The environment as it shall be; made when it is not there yet."""
    if not caller.in_environment(name):
        raise hidden("environment")
    old = reader.get(Environment, "", name)
    if old is None and name not in ENVIRONMENTS:
        raise InvalidRequest("The environments are called production and staging.", advice="Use one of these.")
    home = reader.get(Environment, "", ORGANIZATION_CHAIN)
    base = old or Environment(name, mask_key_id=home.mask_key_id if home else "")
    limits: dict[str, Any] = {}
    if body.statement_timeout_ms is not None:
        limits["statement_timeout_s"] = body.statement_timeout_ms / 1000
    if body.rulebook_age_max_ms is not None:
        limits["rulebook_age_max_s"] = body.rulebook_age_max_ms / 1000
    if body.result_rows_max is not None:
        limits["result_rows_max"] = body.result_rows_max
    days = base.retention_days if body.retention_days is None else body.retention_days
    if old is not None:
        days = Retention(days=old.retention_days).changed(Retention(days=days)).days
    new = dataclasses.replace(
        base, limits=dataclasses.replace(base.limits, **limits), retention_days=days, audit=_choice(base.audit, body)
    )
    if new == old:
        return Change(new)
    before = old.fact() if old else None
    event = AdminEvent(AdminEventType.ENVIRONMENT_UPDATED, name, operator_of(reader).id, name, before, new.fact())
    return Change(new, puts=(new,), events=(event,))


def _choice(now: AuditChoice, body: EnvironmentChange) -> AuditChoice:
    """What of statements is kept from now on.

    Raises:
        InvalidRequest: a pattern that cannot be used, or a name given twice.
    """
    form = now.sql_form if body.audit_sql_form is None else body.audit_sql_form
    if body.redaction_patterns is None:
        return AuditChoice(form, now.patterns)
    patterns = tuple(CustomPattern(p.name, p.expression) for p in body.redaction_patterns)
    if len({p.name for p in patterns}) < len(patterns):
        raise InvalidRequest("Two redaction patterns have the same name.")
    Redactor(patterns)
    return AuditChoice(form, patterns)
