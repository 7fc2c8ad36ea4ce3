"""`/v1/environments/{env}/usage`: counts and latencies by key and day, as nodes tell. Nothing names data (W7.3)."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import Annotated, Literal

from aws_lambda_powertools.event_handler.openapi.params import Body, Query
from pydantic import Field

from governance.errors import InvalidRequest, NotFound
from governance.ports import ControlReader
from governance.quota import OrganizationQuota
from governance.register import Environment, KeyRecord
from governance.usage import BINS, LATENCY_BOUNDS_MS, UsageFigures, quantile_ms, together
from lambdas.control_plane.desk import Desk, admitted_environment
from lambdas.control_plane.models import (
    ENVIRONMENT,
    LIMIT_DEFAULT,
    OBJECT_ID,
    Cursor,
    EnvironmentPath,
    Limit,
    Model,
    Page,
)
from lambdas.control_plane.paging import opened_cursor, sealed_cursor
from lambdas.control_plane.resolver import ThreadedResolver

ENTRIES_MAX = 1000
GROUPS_SEEN_MAX = 5000
"""Days and keys looked at for one page; a page may be short and still have a next."""
_CHUNK = 500
_DAY = r"^\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])$"
_AFTER_DOT = "/"
"""The character after `.`: past everything of a group."""

Count = Annotated[int, Field(ge=0, le=10**12)]
Day = Annotated[str, Field(pattern=_DAY)]
Status = Literal["succeeded", "denied", "failed", "cancelled", "timed_out", "client_gone"]


class UsageEntry(Model):
    """What a node has counted for a key on a day since it started."""

    day: Day
    key_id: Annotated[str, Field(pattern=OBJECT_ID)]
    statements: dict[Status, Count]
    latency: Annotated[list[Count], Field(min_length=BINS, max_length=BINS)]


class UsageReport(Model):
    """A node's counts, as far as they have changed."""

    environment: Annotated[str, Field(pattern=ENVIRONMENT)]
    node: Annotated[str, Field(pattern=OBJECT_ID)]
    day: Annotated[str, Field(pattern=_DAY, description="The node's today, which the answer speaks of")]
    entries: Annotated[list[UsageEntry], Field(max_length=ENTRIES_MAX)]


class Elsewhere(Model):
    """Statements that other nodes counted today, of what has a quota for the day."""

    keys: dict[str, int]
    organizations: dict[str, int]


class UsageNoted(Model):
    """The report was kept."""

    noted: int
    elsewhere: Elsewhere


class Bin(Model):
    """How many statements took at most so long, and longer than the bin before says; null is the last bin."""

    at_most_ms: int | None
    statements: int


class UsageAnswer(Model):
    """One key on one day, over all nodes."""

    day: str
    key_id: str
    key_name: str
    user_id: str
    organization: str
    count: int
    statements: dict[str, int]
    latency: list[Bin]
    p50_ms: Annotated[int | None, Field(description="Upper bound of the bin in which half had ended")]
    p95_ms: int | None
    p99_ms: int | None


def register(app: ThreadedResolver, desk: Desk) -> None:
    """Add the routes."""

    @app.get("/v1/environments/<env>/usage", tags=["usage"], summary="Counts and latencies by key and day")
    def list_usage(
        env: EnvironmentPath,
        cursor: Cursor = "",
        limit: Limit = LIMIT_DEFAULT,
        since: Annotated[str, Query(pattern=_DAY, description="The first day")] = "0001-01-01",
        until: Annotated[str, Query(pattern=_DAY, description="The last day")] = "9999-12-31",
        key_id: Annotated[str, Query(max_length=64)] = "",
        organization: Annotated[str, Query(max_length=64)] = "",
    ) -> Page[UsageAnswer]:
        caller = desk.caller
        items: list[UsageAnswer] = []
        after = opened_cursor(cursor, caller.key)
        seen = 0
        with desk.store.read() as reader:
            admitted_environment(reader, caller, env)
            for group, figures in groupby(_walk(reader, env, max(after, since)), lambda each: each.group):
                if group[:10] > until:
                    break
                if len(items) == limit or seen == GROUPS_SEEN_MAX:
                    return Page(items=items, next=sealed_cursor(after, caller.key))
                found = list(figures)
                after, seen = group + _AFTER_DOT, seen + 1
                record = reader.get(KeyRecord, env, found[0].key_id) if key_id in ("", found[0].key_id) else None
                if (
                    record is not None
                    and caller.reaches(record.organization)
                    and organization in ("", record.organization)
                ):
                    items.append(_answer(found, record))
        return Page(items=items, next=None)

    @app.put("/v1/nodes/usage", tags=["nodes"], summary="Tell what was counted, learn what other nodes have")
    def report_usage(body: Annotated[UsageReport, Body()]) -> UsageNoted:
        desk.node  # noqa: B018  only for a node
        with desk.store.read() as reader:
            if reader.get(Environment, "", body.environment) is None:
                raise NotFound("There is no such environment.")
            known = [e for e in body.entries if reader.get(KeyRecord, body.environment, e.key_id) is not None]
        figures = [
            UsageFigures(
                body.environment, e.day, e.key_id, body.node, tuple(sorted(e.statements.items())), tuple(e.latency)
            )
            for e in known
        ]
        if any(each.count != sum(each.latency) for each in figures):
            raise InvalidRequest("A histogram does not hold as many statements as were counted.")
        if figures:
            desk.store.observe(*figures)
        with desk.store.read() as reader:
            return UsageNoted(noted=len(figures), elsewhere=elsewhere(reader, body.environment, body.node, body.day))


def elsewhere(reader: ControlReader, env: str, node: str, day: str) -> Elsewhere:
    """What nodes other than `node` counted on `day`, for keys and organizations that have a quota for the day."""
    keys = {key.id: key for key in reader.every(KeyRecord, env)}
    firms = {each.organization for each in reader.every(OrganizationQuota, env) if each.quota.queries_per_day}
    limited = {key.id for key in keys.values() if key.quota.queries_per_day and key.opens}
    told = Elsewhere(keys={}, organizations={})
    if not firms and not limited:
        return told
    for each in _walk(reader, env, day):
        if each.day != day:
            break
        if each.node == node:
            continue
        if each.key_id in limited:
            told.keys[each.key_id] = told.keys.get(each.key_id, 0) + each.count
        key = keys.get(each.key_id)
        if key is not None and key.organization in firms:
            told.organizations[key.organization] = told.organizations.get(key.organization, 0) + each.count
    return told


def _walk(reader: ControlReader, env: str, after: str) -> Iterator[UsageFigures]:
    """Figures in the order of day, key and node."""
    while found := reader.page(UsageFigures, env, after=after, limit=_CHUNK):
        yield from found
        after = found[-1].id


def _answer(figures: list[UsageFigures], key: KeyRecord) -> UsageAnswer:
    statements, latency = together(figures)
    return UsageAnswer(
        day=figures[0].day,
        key_id=key.id,
        key_name=key.name,
        user_id=key.user_id,
        organization=key.organization,
        count=sum(statements.values()),
        statements=statements,
        latency=[
            Bin(at_most_ms=bound, statements=number)
            for bound, number in zip((*LATENCY_BOUNDS_MS, None), latency, strict=True)
        ],
        p50_ms=quantile_ms(latency, 0.5),
        p95_ms=quantile_ms(latency, 0.95),
        p99_ms=quantile_ms(latency, 0.99),
    )
