"""What an environment keeps of its statements' texts (claim H13): plain values, as rulebook and register carry them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class SqlForm(StrEnum):
    """What is stored in place of a statement's text."""

    REDACTED = "redacted"
    """The text with personal data replaced (`governance.redaction`)."""
    FINGERPRINT = "fingerprint"
    """Its shape, without any value (`governance.fingerprint`)."""
    NONE = "none"
    """Nothing."""


@dataclass(frozen=True, slots=True)
class CustomPattern:
    """A customer's own pattern: `name` (A-Z, digits, underscore) becomes the marker, `expression` is RE2 syntax."""

    name: str
    expression: str


@dataclass(frozen=True, slots=True)
class AuditChoice:
    """One environment's choice; it may change at any time and holds for what is audited from then on."""

    sql_form: SqlForm = SqlForm.REDACTED
    patterns: tuple[CustomPattern, ...] = ()
    """Replaced beside what is always replaced, whatever the form."""

    def fact(self) -> dict[str, Any]:
        """As the API and the administrative chain tell it."""
        return {
            "audit_sql_form": self.sql_form.value,
            "redaction_patterns": [{"name": p.name, "expression": p.expression} for p in self.patterns],
        }

    @classmethod
    def read(cls, fact: dict[str, Any]) -> AuditChoice:
        """The inverse of `fact`; what is not there is as usual.

        Raises:
            KeyError, TypeError, ValueError: not a choice.
        """
        return cls(
            SqlForm(fact.get("audit_sql_form", SqlForm.REDACTED)),
            tuple(CustomPattern(str(p["name"]), str(p["expression"])) for p in fact.get("redaction_patterns", ())),
        )


AS_USUAL = AuditChoice()
