"""`/v1/environments/{env}/audit`: the query audit searched, the administrative chain read and verified."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from aws_lambda_powertools.event_handler.openapi.params import Query
from pydantic import Field

from governance import chain
from governance.admin_event import AdminEventType
from governance.audit_table import FOREIGN, MISSING, TEXTS_TOLD
from governance.errors import AuditUnavailable, InvalidRequest
from governance.ports import ControlReader, QueryAuditFilters
from governance.timestamp import parse, stamp
from lambdas.control_plane.desk import Desk, admitted_environment
from lambdas.control_plane.models import (
    LIMIT_DEFAULT,
    Cursor,
    EnvironmentPath,
    Limit,
    Model,
    Page,
    decode_cursor,
    encode_cursor,
)
from lambdas.control_plane.resolver import ThreadedResolver

CHUNK = 500
_REASONS = TEXTS_TOLD | {"verdicts"}

SCANNED_MAX = 20_000
"""Events looked at for one page; a page may be short and still have a next."""

Text = Annotated[str, Query(max_length=256)]
Moment = Annotated[str, Query(max_length=40, description="RFC 3339, for example 2026-11-22T00:00:00Z")]
DurationMs = Annotated[float, Query(ge=0, le=1e9, description="Milliseconds")]


class BreakAnswer(Model):
    """Where the chain breaks first, and why."""

    line: int
    sequence: int | None
    reason: str


class VerificationAnswer(Model):
    """What verifying the chain found."""

    environment: str
    holds: bool
    count: int
    head: str
    first_break: BreakAnswer | None


class QueriesAnswer(Page[dict[str, Any]]):
    """One page of the query audit; in AWS also what was passed over because it lies in Glacier."""

    archived: list[str] = Field(
        default_factory=list,
        description="Objects in an archive tier: restore them with `hatidata audit restore`, then ask again",
    )


def register(app: ThreadedResolver, desk: Desk) -> None:
    """Add the routes."""

    @app.get("/v1/environments/<env>/audit/queries", tags=["audit"], summary="Search the query audit, newest first")
    def search_queries(
        env: EnvironmentPath,
        cursor: Cursor = "",
        limit: Limit = LIMIT_DEFAULT,
        since: Moment = "",
        until: Moment = "",
        organization: Text = "",
        user: Text = "",
        agent: Text = "",
        key_id: Text = "",
        table: Text = "",
        status: Text = "",
        verdict: Text = "",
        query_id: Text = "",
        cache_status: Text = "",
        duration_ms_min: DurationMs = 0.0,
        duration_ms_max: DurationMs = 0.0,
        text: Text = "",
    ) -> QueriesAnswer:
        caller = desk.caller
        with desk.store.read() as reader:
            admitted_environment(reader, caller, env)
        if desk.queries is None:
            raise AuditUnavailable("The query audit cannot be searched here.", advice="Look in the audit store itself.")
        filters = QueryAuditFilters(
            since=_moment(since),
            until=_moment(until),
            organization=organization if caller.reaches_all else caller.user.organization,
            environment=env,
            user=user,
            agent=agent,
            key_id=key_id,
            table=table,
            status=status,
            verdict=verdict,
            query_id=query_id,
            cache_status=cache_status,
            duration_ms_min=duration_ms_min,
            duration_ms_max=duration_ms_max,
            text=text,
        )
        found = desk.queries.search(filters, cursor, limit)
        records = found.records if caller.reaches_all else tuple(without_foreign(r) for r in found.records)
        return QueriesAnswer(items=list(records), next=found.next or None, archived=list(found.archived))

    @app.get("/v1/environments/<env>/audit/admin", tags=["audit"], summary="Administrative events of the chain")
    def list_events(
        env: EnvironmentPath,
        cursor: Cursor = "",
        limit: Limit = LIMIT_DEFAULT,
        order: Annotated[Literal["newest", "oldest"], Query(description="Which end to begin at")] = "newest",
        type: Annotated[AdminEventType | None, Query()] = None,  # noqa: A002
        target: Text = "",
        user: Text = "",
        since: Moment = "",
        until: Moment = "",
    ) -> Page[dict[str, Any]]:
        caller = desk.caller
        asked = {"type": type.value if type else "", "target": target}
        first, last = _moment(since), _moment(until)
        items: list[dict[str, Any]] = []
        with desk.store.read() as reader:
            admitted_environment(reader, caller, env)
            seen = 0
            sequence = _sequence(cursor)
            for event in _walk(reader, env, sequence, newest_first=order == "newest"):
                if len(items) == limit or seen == SCANNED_MAX:
                    return Page(items=items, next=encode_cursor(str(sequence)))
                seen, sequence = seen + 1, event["sequence"]
                if (
                    caller.reaches(event["organization"])
                    and all(value in ("", event[name]) for name, value in asked.items())
                    and user in ("", event["actor"]["user_id"])
                    and first <= event["at"]
                    and (not last or event["at"] < last)
                ):
                    items.append(event)
        return Page(items=items, next=None)

    @app.get("/v1/environments/<env>/audit/admin/verify-chain", tags=["audit"], summary="Verify the whole chain")
    def verify_chain(env: EnvironmentPath) -> VerificationAnswer:
        with desk.store.read() as reader:
            admitted_environment(reader, desk.caller, env)
            found = chain.verify(_lines(reader, env), env)
        broken = found.first_break
        return VerificationAnswer(
            environment=found.environment,
            holds=found.holds,
            count=found.count,
            head=found.head,
            first_break=BreakAnswer(line=broken.line, sequence=broken.sequence, reason=broken.reason)
            if broken
            else None,
        )


def without_foreign(record: dict[str, Any]) -> dict[str, Any]:
    """A record as an organization may read it: a foreign table is as missing to its auditors as to its analysts."""

    def told(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: told(v) if name in _REASONS else v for name, v in value.items()}
        if isinstance(value, list | tuple):
            return [told(v) for v in value]
        return value.replace(FOREIGN, MISSING) if isinstance(value, str) else value

    shown: dict[str, Any] = told(record)
    return shown


def _walk(reader: ControlReader, env: str, after: int, *, newest_first: bool) -> Iterator[dict[str, Any]]:
    while lines := reader.events(env, after=after, limit=CHUNK, newest_first=newest_first):
        for line in lines:
            event: dict[str, Any] = json.loads(line)
            yield event
            after = event["sequence"]
        if after == 1 and newest_first:
            return


def _lines(reader: ControlReader, env: str) -> Iterator[str]:
    """Every line as stored, by position: a line that lies about its sequence must not lead the walk astray."""
    after = 0
    while lines := reader.events(env, after=after, limit=CHUNK):
        yield from lines
        after += len(lines)


def _sequence(cursor: str) -> int:
    text = decode_cursor(cursor)
    if text and not (text.isascii() and text.isdigit() and len(text) < 16):
        raise InvalidRequest("This cursor is not one of ours.", advice="Begin again without a cursor.")
    return int(text or 0)


def _moment(text: str) -> str:
    if not text:
        return ""
    try:
        return stamp(parse(text))
    except ValueError:
        raise InvalidRequest("A moment is not well formed.", advice="Write it like 2026-11-22T00:00:00Z.") from None
