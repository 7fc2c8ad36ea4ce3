"""Every deliberate refusal: a stable code, a safe sentence, and advice.

A refusal's text never holds a value of a row, a secret or a piece of the client's literals. The engine maps
`code` to a SQLSTATE in one place (`engine.refusals`); the control plane maps it to an HTTP status in one place.
"""

from __future__ import annotations

from governance.audit_record import Judged


class Refusal(Exception):
    """A request that is understood well enough to be refused.

    Subclasses set `code`. `reason` is what the audit keeps when the client must not be told (for example that a
    table exists in another organization); it defaults to the sentence the client gets.
    """

    code = "refused"

    def __init__(
        self,
        message: str,
        *,
        advice: str = "",
        reason: str = "",
        position: int | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.advice = advice
        self.reason = reason or message
        self.position = position
        """1-based character offset in the client's text, or None."""
        self.judged = Judged()
        """What whoever refused had decided by then; the audit keeps it (claim W5.4)."""


class TextRefused(Refusal):
    """The text gate does not let this text in (control characters, size, nesting)."""

    code = "text_refused"


class SyntaxRefused(Refusal):
    """The text does not parse."""

    code = "syntax_error"


class StatementRefused(Refusal):
    """A statement, clause or expression that is not on the allow-list."""

    code = "statement_not_supported"


class FunctionRefused(Refusal):
    """A function that is not on the allow-list."""

    code = "function_not_allowed"


class TableUnknown(Refusal):
    """A table that does not exist for this principal: missing, forbidden and foreign tables answer alike."""

    code = "table_unknown"


class ColumnUnknown(Refusal):
    """A column that does not exist for this principal."""

    code = "column_unknown"


class CrossOrganization(Refusal):
    """A statement that touches two organizations; raised as such only to a principal entitled to see both."""

    code = "cross_organization"


class PermissionRefused(Refusal):
    """Role, scope, condition or allowed tables do not admit the statement."""

    code = "permission_denied"


class AttributeMissing(Refusal):
    """A row filter needs an attribute that the principal does not carry."""

    code = "attribute_missing"


class MaskedPredicate(Refusal):
    """A masked column under `on_predicate: deny` stands in a predicate."""

    code = "masked_predicate"


class ParsersDisagree(Refusal):
    """The second parser saw something else than the first; counted as a bug to look at."""

    code = "parsers_disagree"


class ReadOnly(Refusal):
    """A write on read-only tables."""

    code = "read_only"


class AuthenticationFailed(Refusal):
    """Any failure to authenticate; the client is told no more than that."""

    code = "authentication_failed"


class ClaimMismatch(Refusal):
    """A session option claims an agent identity other than the credential's."""

    code = "claim_mismatch"


class EnvironmentUnknown(Refusal):
    """The database named at start-up is not this key's environment."""

    code = "environment_unknown"


class RulebookUnavailable(Refusal):
    """The node holds no rulebook, or one older than its limit."""

    code = "rulebook_unavailable"


class AuditUnavailable(Refusal):
    """The audit cannot take a record, so nothing runs."""

    code = "audit_unavailable"


class TooManyConnections(Refusal):
    """The connection limit is reached."""

    code = "too_many_connections"


class TooManyQueries(Refusal):
    """No query slot became free within the wait limit."""

    code = "too_many_queries"


class QuotaExceeded(Refusal):
    """The key or its organization has asked as often as it may for now."""

    code = "quota_exceeded"


class DeadlineExceeded(Refusal):
    """The statement ran past its deadline, or its client cancelled it."""

    code = "query_canceled"


class WorkerLost(Refusal):
    """The process that ran the statement ended; retry."""

    code = "worker_lost"


class SourceUnavailable(Refusal):
    """A table's files cannot be read: missing, replaced mid-query, corrupt, or the store refuses."""

    code = "source_unavailable"


class EngineFailed(Refusal):
    """DuckDB refused or failed; its own words are dropped, its class is kept in `reason`.

    `kind` is one of a few words from which `engine.refusals` picks the SQLSTATE: conversion (22P02), datetime (22007),
    out_of_range (22003), invalid_input (22023), type_mismatch (42804), parameter (22P02), duplicate_key (21000),
    not_implemented (0A000), binder (42P10), set_operation (42601), from_clause (42P01), grouping (42803),
    ambiguous_column (42702), undefined_function (42883), permission (42501), assertion (XX000), startup (58000),
    internal (XX000).
    """

    code = "engine_failed"

    def __init__(
        self,
        message: str,
        *,
        kind: str = "internal",
        advice: str = "",
        reason: str = "",
        position: int | None = None,
    ) -> None:
        super().__init__(message, advice=advice, reason=reason, position=position)
        self.kind = kind


class ResourceExceeded(Refusal):
    """A limit on memory, spill, result or argument size is reached."""

    code = "resource_exceeded"


class InvalidRequest(Refusal):
    """An administrative request or a state file that is not well formed."""

    code = "invalid_request"


class NotFound(Refusal):
    """An administrative object that does not exist, or that the caller may not see."""

    code = "not_found"


class Conflict(Refusal):
    """The object was changed by someone else, or exists already."""

    code = "conflict"


class PreconditionFailed(Refusal):
    """The object is no longer what the caller's If-Match says."""

    code = "precondition_failed"


class TooManyRequests(Refusal):
    """This source failed or asked too often."""

    code = "too_many_requests"


class BodyTooLarge(Refusal):
    """A request's body is past the limit."""

    code = "body_too_large"


class StoreUnavailable(Refusal):
    """The control plane's store cannot be read or written."""

    code = "store_unavailable"


class KeyServiceUnavailable(Refusal):
    """The service that keeps encryption keys does not answer, refuses, or cannot open what it is given."""

    code = "key_service_unavailable"
