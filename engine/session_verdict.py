"""What the audit is told of a statement: how it ended, and what it was given."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from engine.audit.texts import AuditTexts
from engine.encoder.parameters import ParameterValue
from engine.session_channel import ClientGone
from governance.audit_choice import SqlForm
from governance.errors import DeadlineExceeded, Refusal

DENIED = frozenset(
    {
        "table_unknown",
        "cross_organization",
        "permission_denied",
        "attribute_missing",
        "masked_predicate",
        "function_not_allowed",
        "statement_not_supported",
        "parsers_disagree",
        "read_only",
        "text_refused",
        "claim_mismatch",
        "rulebook_unavailable",
        "refused",
    }
)
"""Codes that are the law's no; every other error is a failure."""

_VALUE_BYTES_MAX = 1 << 20
"""Of a parameter, what the audit looks at; it keeps much less (`engine.audit.texts`)."""


def is_unaudited(error: Refusal | None) -> bool:
    """Whether it was refused because there is no audit."""
    return error is not None and error.code == "audit_unavailable"


def status_of(error: BaseException | None, interrupted: str) -> str:
    """One word for how a statement ended; `interrupted` says who stopped it, when somebody did."""
    if error is None:
        return "succeeded"
    if isinstance(error, ClientGone | asyncio.CancelledError) or interrupted == "client_gone":
        return "client_gone"
    if isinstance(error, DeadlineExceeded):
        return "cancelled" if interrupted else "timed_out"
    if isinstance(error, Refusal) and error.code in DENIED:
        return "denied"
    return "failed"


def shown(texts: AuditTexts, values: Sequence[ParameterValue]) -> tuple[str, ...]:
    """Parameters as the audit keeps them; of a binary one its type and length."""
    if texts.form is SqlForm.NONE:
        return ()
    return tuple(
        f"<binary, type {value.oid}, {len(value.data)} bytes>"
        if value.format and value.data is not None
        else texts.parameter(None if value.data is None else _text(value.data))
        for value in values
    )


def _text(data: bytes) -> str:
    return data[:_VALUE_BYTES_MAX].decode("utf-8", "replace")
