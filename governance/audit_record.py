"""The query audit record (claims W5.1, W5.4): an intent before execution, an outcome after it.

Schema version 1. Both halves share `query_id`; an intent without an outcome is an interrupted query. Texts arrive
here already redacted (`governance.redaction`). What is shipped is one JSON line for each query, both halves joined
(`join_query`); its fields and how sensitive each is: `governance.audit_schema`.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field
from functools import lru_cache
from math import isfinite
from typing import Any

SCHEMA_VERSION = 1
INTERRUPTED = "interrupted"
"""The status of a query whose outcome never came: the node stopped while it ran."""

_ID = re.compile(r"\A[0-9A-Za-z_.:-]{1,64}\Z")
_text = json.encoder.encode_basestring_ascii
"""A string as JSON, in C: records are put together from these, for a statement is not to wait for its audit."""
_ENCODER = json.JSONEncoder(ensure_ascii=True, allow_nan=False, check_circular=False, separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class PolicyVerdict:
    """What one rule, or the wall itself, decided and why."""

    policy: str
    """The policy's name, or `organization_wall`, `role`, `scope`, `allowed_tables`, `text_gate`, ..."""
    kind: str
    """row_filter, mask, condition, minimum_group, access."""
    effect: str
    """applied, exempt, allowed, denied."""
    reason: str
    table: str = ""
    column: str = ""


@dataclass(frozen=True, slots=True)
class Judged:
    """What had been found out about a statement when it was refused, for its record; never for the client."""

    tables: tuple[str, ...] = ()
    """Tables it names that its organization has, as schema.table; another organization's never."""
    verdicts: tuple[PolicyVerdict, ...] = ()


@dataclass(frozen=True, slots=True)
class SessionFacts:
    """What is the same for every statement of a session."""

    session_id: str
    environment: str
    organization: str
    user_id: str
    user: str
    role: str
    key_id: str
    source_ip: str
    application_name: str = ""
    agent_id: str = ""
    agent_framework: str = ""
    node: str = ""


@dataclass(frozen=True, slots=True)
class QueryIntent:
    """What is durable before a statement runs."""

    query_id: str
    session: SessionFacts
    started_at: str
    """RFC 3339 UTC with microseconds."""
    statement_kind: str
    sql: str
    """Redacted text, or what the environment keeps instead of it: `sql_form` says."""
    tables: tuple[str, ...] = ()
    columns_masked: tuple[str, ...] = ()
    """`schema.table.column`."""
    verdicts: tuple[PolicyVerdict, ...] = ()
    policy_version: int = 0
    fingerprint: str = ""
    """Keyed digest of the governed SQL (HMAC-SHA-256, hex): equal statements under equal law have equal ones."""
    parameters: tuple[str, ...] = ()
    """Redacted."""
    dialect: str = "duckdb"
    sql_form: str = "redacted"
    """redacted, fingerprint, none: what the customer chose to keep of the text (claim H13)."""


@dataclass(frozen=True, slots=True)
class QueryOutcome:
    """What became of it."""

    query_id: str
    ended_at: str
    status: str
    """succeeded, denied, failed, cancelled, timed_out, client_gone."""
    rows_returned: int = 0
    bytes_returned: int = 0
    execution_ms: float = 0.0
    queue_ms: float = 0.0
    cache_status: str = "none"
    """hit, partial, miss, none."""
    cache_bytes: int = 0
    """Handed over from the cache volume."""
    store_bytes: int = 0
    """Fetched from the object store."""
    error_code: str = ""
    error_reason: str = ""
    """Redacted; may say what the client is not told."""
    sqlstate: str = ""


@dataclass(frozen=True, slots=True)
class SessionEvent:
    """A log-in, a refusal before authentication, a disconnect, a cancel request."""

    event_id: str
    at: str
    kind: str
    """login, login_refused, logout, command, command_refused, cancel_request, connection_refused."""
    source_ip: str
    detail: str = ""
    """A stable code, never free text from the client."""
    session: SessionFacts | None = None
    extra: tuple[tuple[str, Any], ...] = field(default=())


def _check_id(text: str) -> str:
    if not _ID.match(text):
        raise ValueError("an audit id is 1 to 64 ASCII letters, digits and _ . : -")
    return text


def _session_fields(session: SessionFacts) -> dict[str, Any]:
    return {
        "user": session.user,
        "user_id": session.user_id,
        "role": session.role,
        "key_id": session.key_id,
        "organization": session.organization,
        "environment": session.environment,
        "session_id": session.session_id,
        "source_ip": session.source_ip,
        "application_name": session.application_name,
        "agent_id": session.agent_id,
        "agent_framework": session.agent_framework,
        "node": session.node,
    }


def _verdict_fields(verdict: PolicyVerdict) -> dict[str, str]:
    fields = {"policy": verdict.policy, "kind": verdict.kind, "effect": verdict.effect, "reason": verdict.reason}
    if verdict.table:
        fields["table"] = verdict.table
    if verdict.column:
        fields["column"] = verdict.column
    return fields


def encode_intent(intent: QueryIntent) -> bytes:
    """The intent's fields but `query_id`, as an ASCII JSON object.

    Raises:
        ValueError: an id that cannot stand in a record.
    """
    _check_id(intent.query_id)
    session, verdicts = _session_json(intent.session), intent.verdicts
    return (
        f'{{"started_at":{_text(intent.started_at)},{session},"statement_kind":{_text(intent.statement_kind)},'
        f'"sql":{_text(intent.sql)},"sql_form":{_text(intent.sql_form)},"parameters":{_texts(intent.parameters)},'
        f'"dialect":{_text(intent.dialect)},"tables":{_texts(intent.tables)},'
        f'"columns_masked":{_texts(intent.columns_masked)},"verdicts":{_verdicts_json(verdicts)},'
        f'"policy_version":{int(intent.policy_version)},"fingerprint":{_text(intent.fingerprint)}}}'
    ).encode("ascii")


def _texts(texts: tuple[str, ...]) -> str:
    return f"[{','.join(map(_text, texts))}]" if texts else "[]"


@lru_cache(maxsize=4096)
def _session_json(session: SessionFacts) -> str:
    """A session's fields as they stand inside an object; the same for each of its statements."""
    return _ENCODER.encode(_session_fields(session))[1:-1]


@lru_cache(maxsize=1024)
def _verdicts_json(verdicts: tuple[PolicyVerdict, ...]) -> str:
    return _ENCODER.encode([_verdict_fields(verdict) for verdict in verdicts])


def encode_outcome(outcome: QueryOutcome) -> bytes:
    """The outcome's fields but `query_id`, as an ASCII JSON object.

    Raises:
        ValueError: an id that cannot stand in a record, or a duration that is no number.
    """
    _check_id(outcome.query_id)
    return (
        f'{{"ended_at":{_text(outcome.ended_at)},"status":{_text(outcome.status)},'
        f'"rows_returned":{int(outcome.rows_returned)},"bytes_returned":{int(outcome.bytes_returned)},'
        f'"execution_ms":{_duration(outcome.execution_ms)},"queue_ms":{_duration(outcome.queue_ms)},'
        f'"cache_status":{_text(outcome.cache_status)},"cache_bytes":{int(outcome.cache_bytes)},'
        f'"store_bytes":{int(outcome.store_bytes)},"error_code":{_text(outcome.error_code)},'
        f'"error_reason":{_text(outcome.error_reason)},"sqlstate":{_text(outcome.sqlstate)}}}'
    ).encode("ascii")


def _duration(milliseconds: float) -> str:
    number = round(float(milliseconds), 3)
    if not isfinite(number):
        raise ValueError("a duration that is no number cannot stand in JSON")
    return repr(number)


def encode_event(event: SessionEvent) -> bytes:
    """The event's fields but `event_id`, as an ASCII JSON object.

    Raises:
        ValueError: an id that cannot stand in a record, or an extra that is not JSON.
    """
    _check_id(event.event_id)
    fields: dict[str, Any] = {"at": event.at, "kind": event.kind, "detail": event.detail}
    if event.session is not None:
        fields |= _session_fields(event.session)
    fields["source_ip"] = event.source_ip
    fields["extra"] = dict(event.extra)
    try:
        return _ENCODER.encode(fields).encode("ascii")
    except TypeError:
        raise ValueError("an event's extra holds something that is not JSON") from None


@dataclass(frozen=True, slots=True)
class ChainLink:
    """A record's place among those of one stream: `prev` is the SHA-256 (hex) of the line before it."""

    id: str
    seq: int
    """From 1, without gaps."""
    prev: str


def chain_genesis(chain_id: str) -> str:
    """The `prev` of a chain's first record: the SHA-256 of its id."""
    return hashlib.sha256(chain_id.encode()).hexdigest()


def line_digest(line: bytes) -> str:
    """What the next record of the chain holds as `chain_prev`: SHA-256 (hex) of the line without its newline."""
    return hashlib.sha256(line).hexdigest()


def join_query(query_id: str, intent: bytes, outcome: bytes, link: ChainLink) -> bytes:
    """One shipped line (without newline) from the two encoded halves; no half is parsed again."""
    return b'{"schema_version":%d,"query_id":"%s",%s,%s,%s}' % (
        SCHEMA_VERSION,
        query_id.encode("ascii"),
        intent[1:-1],
        outcome[1:-1],
        _link_fields(link),
    )


def join_waiting(query_id: str, intent: bytes, outcome: bytes) -> bytes:
    """As `join_query`, of a record that is in no chain yet."""
    return b'{"schema_version":%d,"query_id":"%s",%s,%s}' % (
        SCHEMA_VERSION,
        query_id.encode("ascii"),
        intent[1:-1],
        outcome[1:-1],
    )


def join_event(event_id: str, event: bytes, link: ChainLink) -> bytes:
    """One shipped line (without newline) of the session stream."""
    return b'{"schema_version":%d,"event_id":"%s",%s,%s}' % (
        SCHEMA_VERSION,
        event_id.encode("ascii"),
        event[1:-1],
        _link_fields(link),
    )


def _link_fields(link: ChainLink) -> bytes:
    return b'"chain_id":"%s","chain_seq":%d,"chain_prev":"%s"' % (
        _check_id(link.id).encode("ascii"),
        link.seq,
        link.prev.encode("ascii"),
    )
