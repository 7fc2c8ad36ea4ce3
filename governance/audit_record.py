"""The query audit record (claims W5.1, W5.4): an intent before execution, an outcome after it.

Schema version 1. Both halves share `query_id`; an intent without an outcome is an interrupted query. Texts arrive
here already redacted (`governance.redaction`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

SCHEMA_VERSION = 1


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
    """Redacted text."""
    tables: tuple[str, ...] = ()
    columns_masked: tuple[str, ...] = ()
    """`schema.table.column`."""
    verdicts: tuple[PolicyVerdict, ...] = ()
    policy_version: int = 0
    fingerprint: str = ""
    """SHA-256 of the governed SQL."""
    parameters: tuple[str, ...] = ()
    """Redacted."""
    dialect: str = "duckdb"


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
    """login, login_refused, logout, cancel_request, connection_refused."""
    source_ip: str
    detail: str = ""
    """A stable code, never free text from the client."""
    session: SessionFacts | None = None
    extra: tuple[tuple[str, Any], ...] = field(default=())
