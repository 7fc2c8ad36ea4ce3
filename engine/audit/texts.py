"""What the audit keeps of texts, as an environment chose: redacted, their shape, or nothing (claims W4.13, H13)."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from functools import lru_cache

from governance.audit_choice import AuditChoice, SqlForm
from governance.errors import InvalidRequest
from governance.redaction import Redactor
from governance.retention import kept_parameter, kept_sql

_CHARS_REMEMBERED_MAX = 4096
_TEXTS_REMEMBERED = 2048
_CHOICES_REMEMBERED = 4
PARAMETER_CHARS_MAX = 1024
_BETWEEN_DIGITS = "-./()+"
_LITERALS = b"hatidata audit literals 1"


class AuditTexts:
    """One choice, made ready. Pure but for what it remembers of short texts."""

    def __init__(self, choice: AuditChoice, key: bytes = b"") -> None:
        """`key` (the environment's literal key, or empty for none) makes equal literals of a shape findable.

        Patterns that cannot be used, which the control plane does not let in, leave no text kept at all.
        """
        try:
            redactor = Redactor(choice.patterns)
            self.form = choice.sql_form
        except InvalidRequest:
            redactor = Redactor()
            self.form = SqlForm.NONE
        self._key = key or None
        self._redact = redactor.redact
        self._remembered_redact = lru_cache(maxsize=_TEXTS_REMEMBERED)(self._redact)
        self._remembered_sql = lru_cache(maxsize=_TEXTS_REMEMBERED)(self._sql)

    def redact(self, text: str) -> str:
        """`text` without personal data: for names and reasons."""
        return self._remembered_redact(text) if len(text) <= _CHARS_REMEMBERED_MAX else self._redact(text)

    def sql(self, text: str) -> str:
        """What is kept of a statement."""
        return self._remembered_sql(text) if len(text) <= _CHARS_REMEMBERED_MAX else self._sql(text)

    def _sql(self, text: str) -> str:
        return kept_sql(text, self.form, self._key, self._redact)

    def parameter(self, text: str | None) -> str:
        """What is kept of one parameter's text; None is NULL. A digest is the whole text's, a text its beginning."""
        if text is not None and self.form is SqlForm.REDACTED:
            text = beginning(text, PARAMETER_CHARS_MAX)
        return kept_parameter(text, self.form, self._key, self._redact)

    def digest(self, governed: str) -> str:
        """What is kept of the governed SQL's SHA-256 (hex): keyed, for a plain hash lets a text's values be guessed.

        Empty without a key. Records written before this was so hold the plain hash; both are 64 hex digits.
        """
        return hmac.new(self._key, governed.encode(), hashlib.sha256).hexdigest() if self._key and governed else ""


def beginning(text: str, chars_max: int) -> str:
    """At most so many characters, and how many there were; no word and no run of digits is cut in two.

    Half a card number is no card number to any pattern, and still half of one.
    """
    if len(text) <= chars_max:
        return text
    end = chars_max
    while end and not text[end - 1].isspace():
        end -= 1
    while end and (text[end - 1].isspace() or text[end - 1].isdigit() or text[end - 1] in _BETWEEN_DIGITS):
        end -= 1
    return f"{text[:end]}[TRUNCATED:{len(text)}]"


def audit_texts(mask_key: bytes = b"") -> Callable[[AuditChoice], AuditTexts]:
    """Texts by choice, each made ready once; the key of literals is derived from the environment's mask key."""
    key = literal_key(mask_key)
    return lru_cache(maxsize=_CHOICES_REMEMBERED)(lambda choice: AuditTexts(choice, key))


def literal_key(mask_key: bytes) -> bytes:
    """The key under which literals are hashed; empty without a mask key."""
    return hmac.new(mask_key, _LITERALS, hashlib.sha256).digest() if mask_key else b""
