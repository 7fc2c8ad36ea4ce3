"""What each field of a shipped audit record means and how sensitive it is, and the JSON Schema made of that.

public: may be shown to anyone who operates the node. sensitive: tells who did what; for Owner, Admin and Auditor.
secret: may still hold what a pattern did not find; for the same, and never outside the account.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from governance.audit_record import SCHEMA_VERSION

STATUSES = ("succeeded", "denied", "failed", "cancelled", "timed_out", "client_gone", "interrupted")
SQL_FORMS = ("redacted", "fingerprint", "none", "lost")
SCHEMA_ID = "https://hatidata.dev/schemas/audit-record-1.json"


@dataclass(frozen=True, slots=True)
class Field:
    """One field: its JSON Schema, its class and its meaning."""

    name: str
    schema: dict[str, Any]
    classification: str
    meaning: str


_TEXT: dict[str, Any] = {"type": "string"}
_COUNT: dict[str, Any] = {"type": "integer", "minimum": 0}
_NUMBER: dict[str, Any] = {"type": "number", "minimum": 0}
_TEXTS: dict[str, Any] = {"type": "array", "items": _TEXT}
_MOMENT: dict[str, Any] = {"type": "string", "pattern": r"^$|^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$"}
_ID: dict[str, Any] = {"type": "string", "pattern": r"^[0-9A-Za-z_.:-]{1,64}$"}
_DIGEST: dict[str, Any] = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
_VERDICT: dict[str, Any] = {
    "type": "object",
    "properties": dict.fromkeys(("policy", "kind", "effect", "reason", "table", "column"), _TEXT),
    "required": ["policy", "kind", "effect", "reason"],
    "additionalProperties": False,
}

_SESSION = (
    Field("user", _TEXT, "sensitive", "Name or e-mail address of the user the key belongs to."),
    Field("user_id", _TEXT, "sensitive", "The user's id."),
    Field("role", _TEXT, "public", "The user's role."),
    Field("key_id", _TEXT, "sensitive", "The API key's id; never the key."),
    Field("organization", _TEXT, "public", "The organization's id."),
    Field("environment", _TEXT, "public", "The environment's id."),
    Field("session_id", _TEXT, "public", "The connection."),
    Field("source_ip", _TEXT, "sensitive", "Where the client connected from."),
    Field("application_name", _TEXT, "sensitive", "What the client calls itself; a claim."),
    Field("agent_id", _TEXT, "sensitive", "The AI agent bound to the key, or empty."),
    Field("agent_framework", _TEXT, "public", "The agent's framework, or empty."),
    Field("node", _TEXT, "public", "The node that ran it."),
)
_LINK = (
    Field("chain_id", _ID, "public", "The chain of records this one belongs to: a node's spool and a stream."),
    Field("chain_seq", {"type": "integer", "minimum": 1}, "public", "Its place in the chain, without gaps."),
    Field("chain_prev", _DIGEST, "public", "SHA-256 of the line before it; of the chain's id for the first."),
)
_VERSION = Field("schema_version", {"const": SCHEMA_VERSION}, "public", "Version of this schema.")

QUERY_FIELDS = (
    _VERSION,
    Field("query_id", _ID, "public", "The statement; exactly one record has it."),
    Field("started_at", _MOMENT, "public", "When the intent was made, UTC; empty when damage took it."),
    *_SESSION,
    Field("statement_kind", _TEXT, "public", "select, describe, summarize, explain, catalog, unknown, ..."),
    Field("sql", _TEXT, "secret", "The statement's text as the environment keeps it."),
    Field("sql_form", {"enum": list(SQL_FORMS)}, "public", "What `sql` is; `lost` when damage took the intent."),
    Field("parameters", _TEXTS, "secret", "Parameters, redacted."),
    Field("dialect", _TEXT, "public", "The SQL dialect of the key."),
    Field("tables", _TEXTS, "sensitive", "Tables read, as schema.table."),
    Field("columns_masked", _TEXTS, "sensitive", "Columns shown masked, as schema.table.column."),
    Field("verdicts", {"type": "array", "items": _VERDICT}, "sensitive", "What each policy decided, and why."),
    Field("policy_version", _COUNT, "public", "Version of the law that was applied."),
    Field(
        "fingerprint",
        {"type": "string", "pattern": "^([0-9a-f]{64})?$"},
        "public",
        "Keyed digest of the governed SQL; empty without a key, a plain SHA-256 in records before 2026-11-22.",
    ),
    Field("ended_at", _MOMENT, "public", "When it ended; for interrupted ones, when the node found them."),
    Field("status", {"enum": list(STATUSES)}, "public", "What became of it."),
    Field("rows_returned", _COUNT, "public", "Rows sent."),
    Field("bytes_returned", _COUNT, "public", "Bytes of rows sent."),
    Field("execution_ms", _NUMBER, "public", "Time in the engine, milliseconds."),
    Field("queue_ms", _NUMBER, "public", "Time spent waiting for a slot, milliseconds."),
    Field(
        "cache_status", {"enum": ["hit", "partial", "miss", "none"]}, "public", "Whether blocks came from the cache."
    ),
    Field("cache_bytes", _COUNT, "public", "Bytes that the cache volume had; older records lack it."),
    Field("store_bytes", _COUNT, "public", "Bytes fetched from the store; older records lack it."),
    Field("error_code", _TEXT, "public", "Stable code of a refusal or failure, or empty."),
    Field("error_reason", _TEXT, "secret", "Why, redacted; may say what the client was not told."),
    Field("sqlstate", _TEXT, "public", "The SQLSTATE the client got, or empty."),
    *_LINK,
)
EVENT_FIELDS = (
    _VERSION,
    Field("event_id", _ID, "public", "The event; exactly one record has it."),
    Field("at", _MOMENT, "public", "When it happened, UTC."),
    Field(
        "kind",
        _TEXT,
        "public",
        "login, login_refused, logout, command, command_refused, cancel_request, connection_refused, spool_damaged, "
        "and others of the audit itself.",
    ),
    Field("detail", _TEXT, "public", "A stable code."),
    *_SESSION,
    Field("extra", {"type": "object"}, "sensitive", "Facts of this kind of event."),
    *_LINK,
)
_LATER = {"cache_bytes", "store_bytes"}
"""Fields that older records of this version lack."""
_OPTIONAL = {field.name for field in _SESSION} - {"source_ip"}


def schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of a line: a query record or a session event."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": SCHEMA_ID,
        "title": "HatiData audit record, version 1",
        "oneOf": [{"$ref": "#/$defs/query"}, {"$ref": "#/$defs/event"}],
        "$defs": {"query": _object(QUERY_FIELDS, _LATER), "event": _object(EVENT_FIELDS, _OPTIONAL)},
    }


def _object(fields: tuple[Field, ...], optional: set[str]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {
            field.name: {**field.schema, "description": field.meaning, "x-classification": field.classification}
            for field in fields
        },
        "required": [field.name for field in fields if field.name not in optional],
        "additionalProperties": False,
    }
