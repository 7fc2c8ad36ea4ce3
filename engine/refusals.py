"""Every refusal to a SQLSTATE and safe words, once; and what a client is told of a fault that is none of them."""

from __future__ import annotations

import logging
import traceback
import uuid
from dataclasses import dataclass
from typing import Literal

from engine.wire import sqlstate as s
from engine.wire.violations import ProtocolViolation
from governance.errors import Refusal

_LOG = logging.getLogger("hatidata.node")

Severity = Literal["ERROR", "FATAL"]

SQLSTATES: dict[str, str] = {
    "refused": s.FEATURE_NOT_SUPPORTED,
    "text_refused": s.SYNTAX_ERROR,
    "syntax_error": s.SYNTAX_ERROR,
    "statement_not_supported": s.FEATURE_NOT_SUPPORTED,
    "function_not_allowed": s.INSUFFICIENT_PRIVILEGE,
    "table_unknown": s.UNDEFINED_TABLE,
    "column_unknown": s.UNDEFINED_COLUMN,
    "cross_organization": s.INSUFFICIENT_PRIVILEGE,
    "permission_denied": s.INSUFFICIENT_PRIVILEGE,
    "attribute_missing": s.INSUFFICIENT_PRIVILEGE,
    "masked_predicate": s.INSUFFICIENT_PRIVILEGE,
    "parsers_disagree": s.FEATURE_NOT_SUPPORTED,
    "read_only": s.READ_ONLY_TRANSACTION,
    "authentication_failed": s.INVALID_PASSWORD,
    "claim_mismatch": s.INVALID_AUTHORIZATION,
    "environment_unknown": s.INVALID_CATALOG_NAME,
    "rulebook_unavailable": s.CANNOT_CONNECT_NOW,
    "audit_unavailable": s.IO_ERROR,
    "too_many_connections": s.TOO_MANY_CONNECTIONS,
    "too_many_queries": s.CONFIGURATION_LIMIT,
    "quota_exceeded": s.CONFIGURATION_LIMIT,
    "query_canceled": s.QUERY_CANCELED,
    "worker_lost": s.ADMIN_SHUTDOWN,
    "source_unavailable": s.IO_ERROR,
    "engine_failed": s.DATA_EXCEPTION,
    "resource_exceeded": s.PROGRAM_LIMIT_EXCEEDED,
    "invalid_request": s.INVALID_PARAMETER_VALUE,
    "not_found": s.UNDEFINED_OBJECT,
    "conflict": s.OBJECT_STATE,
    "precondition_failed": s.OBJECT_STATE,
    "store_unavailable": s.IO_ERROR,
    "key_service_unavailable": s.IO_ERROR,
    "body_too_large": s.PROGRAM_LIMIT_EXCEEDED,
    "too_many_requests": s.CONFIGURATION_LIMIT,
}
"""Every code of `governance.errors`."""

ENGINE_KINDS: dict[str, str] = {
    "conversion": s.INVALID_TEXT_REPRESENTATION,
    "datetime": s.INVALID_DATETIME_FORMAT,
    "parameter": s.INVALID_TEXT_REPRESENTATION,
    "out_of_range": s.NUMERIC_OUT_OF_RANGE,
    "invalid_input": s.INVALID_PARAMETER_VALUE,
    "type_mismatch": s.DATATYPE_MISMATCH,
    "duplicate_key": s.CARDINALITY_VIOLATION,
    "not_implemented": s.FEATURE_NOT_SUPPORTED,
    "binder": s.INVALID_COLUMN_REFERENCE,
    "set_operation": s.SYNTAX_ERROR,
    "from_clause": s.UNDEFINED_TABLE,
    "grouping": s.GROUPING_ERROR,
    "ambiguous_column": s.AMBIGUOUS_COLUMN,
    "permission": s.INSUFFICIENT_PRIVILEGE,
    "assertion": s.INTERNAL_ERROR,
    "startup": s.SYSTEM_ERROR,
    "internal": s.INTERNAL_ERROR,
    "image_missing": s.INTERNAL_ERROR,
    "undefined_object": s.UNDEFINED_OBJECT,
    "undefined_function": s.UNDEFINED_FUNCTION,
    "ambiguous_function": s.AMBIGUOUS_FUNCTION,
    "invalid_name": s.INVALID_NAME,
    "undefined_schema": s.INVALID_SCHEMA_NAME,
    "invalid_pattern": s.INVALID_REGULAR_EXPRESSION,
    "null_value": s.NULL_VALUE_NOT_ALLOWED,
    "undefined_column": s.UNDEFINED_COLUMN,
    "syntax": s.SYNTAX_ERROR,
    "untranslatable": s.UNTRANSLATABLE_CHARACTER,
}
"""What `EngineFailed.kind` (a class of DuckDB's errors, never its words) says more precisely."""


class SessionRefused(Refusal):
    """The session itself says no (a portal that is not there, a setting that is none): carries its SQLSTATE."""

    code = "session_refused"

    def __init__(
        self, sqlstate: str, message: str, *, advice: str = "", reason: str = "", position: int | None = None
    ) -> None:
        super().__init__(message, advice=advice, reason=reason, position=position)
        self.sqlstate = sqlstate


@dataclass(frozen=True, slots=True)
class Report:
    """An error as the wire and the audit need it."""

    severity: Severity
    sqlstate: str
    message: str
    advice: str = ""
    position: int | None = None
    code: str = ""
    reason: str = ""
    """For the audit; may say what the client is not told."""

    def fields(self) -> dict[str, str]:
        """ErrorResponse's fields, in PostgreSQL's order."""
        return {
            "S": self.severity,
            "V": self.severity,
            "C": self.sqlstate,
            "M": self.message,
            "H": self.advice,
            "P": str(self.position) if self.position else "",
        }


def sqlstate_of(error: Refusal) -> str:
    """The SQLSTATE of a deliberate refusal."""
    own = getattr(error, "sqlstate", "")
    if isinstance(own, str) and own:
        return own
    kind = getattr(error, "kind", "")
    if error.code == "engine_failed" and kind in ENGINE_KINDS:
        return ENGINE_KINDS[kind]
    return SQLSTATES.get(error.code, s.INTERNAL_ERROR)


def report(error: BaseException, *, severity: Severity = "ERROR") -> Report:
    """What to tell of `error`. A fault nobody foresaw becomes a correlation id; its words stay nowhere."""
    if isinstance(error, Refusal):
        return Report(
            severity, sqlstate_of(error), error.message, error.advice, error.position, error.code, error.reason
        )
    if isinstance(error, ProtocolViolation):
        return Report(
            "FATAL" if error.fatal else severity,
            error.sqlstate,
            error.message,
            code="protocol_violation",
            reason=error.message,
        )
    incident = uuid.uuid4().hex[:12]
    where = [f"{frame.name}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)[-6:]]
    _LOG.error("incident %s: %s at %s", incident, type(error).__name__, " < ".join(reversed(where)))
    return Report(
        severity,
        s.INTERNAL_ERROR,
        f"internal error, incident {incident}",
        advice="Try again; tell the operator the incident's number when it persists.",
        code="internal_error",
        reason=f"{type(error).__name__}, incident {incident}",
    )
