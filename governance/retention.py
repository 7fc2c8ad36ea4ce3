"""What the customer chose to keep of audited statements, and for how long (claims H13, W5.2, W5.10).

The choice of form may change at any time and holds from then on. The time may only grow: records already written are
promised to stay.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from governance.audit_choice import SqlForm
from governance.errors import InvalidRequest
from governance.fingerprint import fingerprint, literal_digest
from governance.redaction import redact

DEFAULT_DAYS = 7 * 365 + 2
"""Seven years, leap days included."""
DAYS_MAX = 100 * 366


@dataclass(frozen=True, slots=True)
class Retention:
    """One environment's choice."""

    sql_form: SqlForm = SqlForm.REDACTED
    days: int = DEFAULT_DAYS

    def __post_init__(self) -> None:
        """Refuse a time that cannot be meant.

        Raises:
            InvalidRequest: less than a day, or more than a hundred years.
        """
        if not 1 <= self.days <= DAYS_MAX:
            raise InvalidRequest(f"Audit records are kept 1 to {DAYS_MAX} days.")

    def changed(self, wanted: Retention) -> Retention:
        """`wanted`, unless it shortens what was promised.

        Raises:
            InvalidRequest: it keeps records for less time than now.
        """
        if wanted.days < self.days:
            raise InvalidRequest(
                "The retention of audit records may only be lengthened.",
                advice=f"Records are kept {self.days} days now; ask for that or more.",
            )
        return wanted


def kept_sql(text: str, form: SqlForm, key: bytes | None = None, redact: Callable[[str], str] = redact) -> str:
    """What is stored for the statement `text`; `key` makes literals of a fingerprint searchable.

    `redact` replaces personal data, a customer's own patterns included.
    """
    if form is SqlForm.REDACTED:
        return redact(text)
    return redact(fingerprint(text, key)) if form is SqlForm.FINGERPRINT else ""


def kept_parameter(
    value: str | None, form: SqlForm, key: bytes | None = None, redact: Callable[[str], str] = redact
) -> str:
    """What is stored for one parameter of a statement; None is NULL."""
    if value is None:
        return "NULL"
    if form is SqlForm.REDACTED:
        return redact(value)
    if form is SqlForm.NONE:
        return ""
    return f"<parameter:{literal_digest(value, key)}>" if key else "<parameter>"
