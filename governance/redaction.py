"""Personal data out of texts that are remembered (claims W4.13, W4.14): e-mail, SSN, card, phone and API key.

Two stages. Linear-time expressions (google-re2) find e-mail addresses, keys and runs of digits; `governance.digit_runs`
decides what each run is, with context, so that ordinary numbers and dates stay. Patterns cannot see a value that a
statement assembles (`'123-45' || '-6789'`); `governance.fingerprint` is for whoever must not store that.
Measured precision and recall: docs/audit.md.
"""

from __future__ import annotations

import codecs
import re
import unicodedata
from collections.abc import Callable, Iterable
from itertools import chain
from typing import Any, NamedTuple

import re2

from governance.audit_choice import CustomPattern
from governance.digit_runs import Kind, classify
from governance.errors import InvalidRequest

MAX_TEXT_CHARS = 65_536
"""Longer texts are kept up to here; the rest is replaced by `[TRUNCATED:n]`, n being its length in characters."""
MAX_PATTERNS = 64
MAX_PATTERN_CHARS = 512

_OPAQUE = b"\x80"
"""Stands in the shadow for a character outside ASCII that is neither digit, dash, space nor mail punctuation."""
_UNSEEN = "\x7f"
"""Stands in it for one that nobody sees: a value is found around it (DEL itself is refused in statements)."""


_SIGNS = chain(range(0x80, 0x3400), range(0xA000, 0xAC00), range(0xF900, 0x1FFFF))
"""Where digits, dashes and spaces are; the rest of Unicode is ideographs, syllables and private use."""


def _shadow_table() -> dict[int, str]:
    """Characters outside ASCII that a person would read as a digit, dash, space, dot or at-sign, mapped one to one."""
    table = {}
    for code in _SIGNS:
        char = chr(code)
        category = unicodedata.category(char)
        if category == "Nd":
            table[code] = str(unicodedata.decimal(char))
        elif category == "Pd" or char == "\N{MINUS SIGN}":
            table[code] = "-"
        elif category == "Zs":
            table[code] = " "
        elif category == "Cf":
            table[code] = _UNSEEN
    table |= {ord("＠"): "@", ord("﹫"): "@", ord("．"): ".", ord("。"): ".", ord("＋"): "+"}
    table |= {ord("（"): "(", ord("）"): ")", ord("／"): "/"}
    return table


def _opaque(error: UnicodeError) -> tuple[bytes, int]:
    assert isinstance(error, UnicodeEncodeError)  # noqa: S101 -- registered for encoding only
    return _OPAQUE * (error.end - error.start), error.end


_SHADOW_TABLE = _shadow_table()
codecs.register_error("hatidata-opaque", _opaque)


def _shadow(text: str) -> bytes:
    """One byte per character, so that offsets in the shadow are offsets in the text."""
    if text.isascii():
        return text.encode("ascii")
    return text.translate(_SHADOW_TABLE).encode("ascii", "hatidata-opaque")


def _options(*, latin1: bool) -> Any:
    options = re2.Options()
    options.log_errors = False
    options.max_mem = 8 << 20
    options.encoding = re2.Options.Encoding.LATIN1 if latin1 else re2.Options.Encoding.UTF8
    return options


_BYTES = _options(latin1=True)
# An address with its at-sign as `@` or as in a URL. Run as it stands only where `%40` is; else its parts are looked for
# on both sides of each at-sign, which costs a third (a test holds the two equal).
_EMAIL = re2.compile(
    rb'(?:"[^"\'@\r\n]{1,64}"|[A-Za-z0-9\x7f\x80._%+!#$&*/=?^`{|}~-]+(?:\'[A-Za-z0-9\x7f\x80._%+-]+)?)'
    rb"(?:@|%40)(?:\[[0-9A-Fa-f.:]+\]|localhost|[A-Za-z0-9\x7f\x80-]+(?:\.[A-Za-z0-9\x7f\x80-]+)+)",
    _BYTES,
)
_NAME = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz\x7f\x80._%+!#$&*/=?^`{|}~-"
_AFTER_APOSTROPHE = _NAME.translate(None, b"!#$&*/=?^`{|}~")
_QUOTED = re.compile(rb"\"[^\"'@\r\n]{1,64}\"\Z")
_DOMAIN = re.compile(
    rb"\[[0-9A-Fa-f.:]++\]|localhost|[A-Za-z0-9\x7f\x80-]++(?:\.[A-Za-z0-9\x7f\x80-]++)++"  # possessive: no way back
)
_API_KEY = re2.compile(rb"hd_(?:live|test)_[0-9A-Za-z]{8,}", _BYTES)
_DIGITS = re2.compile(rb"\+?\(?[0-9](?:[ ()._\-/\x7f]{0,3}[0-9]){6,}", _BYTES)
_BETWEEN_DIGITS = b" ()._-/\x7f"
_EVERY_DIGIT_ALIKE = bytes.maketrans(b"123456789", b"0" * 9)
_SEVEN_DIGITS = b"0" * 7
_UUID = re2.compile(rb"(?i)[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", _BYTES)
_EXTENSION = re2.compile(rb"(?i)[ ,]{0,2}(?:x|ext\.?)[ ]?[0-9]{1,6}", _BYTES)
_ABOUT_PHONE = re2.compile(rb"(?i)phone|mobile|msisdn|whatsapp|telefon|(?:^|[^a-z])(?:tel|cell|fax|sms|call)", _BYTES)
_ABOUT_SSN = re2.compile(rb"(?i)ssn|social.{0,2}sec|(?:^|[^a-z])(?:tin|itin|tax_?id)(?:[^a-z]|$)", _BYTES)
_ABOUT = {Kind.PHONE: _ABOUT_PHONE, Kind.SSN: _ABOUT_SSN}


class Span(NamedTuple):
    """A piece of the text to be replaced: character offsets and the marker's type."""

    start: int
    end: int
    kind: str


class Redactor:
    """The built-in detectors and a customer's own patterns."""

    def __init__(self, patterns: Iterable[CustomPattern] = ()) -> None:
        """Compile once.

        Raises:
            InvalidRequest: a name or expression that cannot be used, or too many of them.
        """
        given = tuple(patterns)
        if len(given) > MAX_PATTERNS:
            raise InvalidRequest(f"At most {MAX_PATTERNS} redaction patterns may be given.")
        self._custom: tuple[tuple[str, Any], ...] = tuple((p.name, _compile_custom(p)) for p in given)

    def redact(self, text: str) -> str:
        """`text` with every find replaced by `[REDACTED:TYPE]`, cut at `MAX_TEXT_CHARS`."""
        cut = ""
        if len(text) > MAX_TEXT_CHARS:
            kept = _cut(text)
            cut = f"[TRUNCATED:{len(text) - len(kept)}]"
            text = kept
        spans = self.find(text)
        if not spans:
            return text + cut
        parts = []
        done = 0
        for span in spans:
            parts += [text[done : span.start], f"[REDACTED:{span.kind}]"]
            done = span.end
        parts += [text[done:], cut]
        return "".join(parts)

    def find(self, text: str) -> list[Span]:
        """What would be replaced, in order, without overlaps."""
        shadow = _shadow(text)
        spans: list[Span] = []
        for name, expression in self._custom:
            spans += (
                Span(match.start(), match.end(), name)
                for match in expression.finditer(text)
                if match.end() > match.start()
            )
        if b"hd_" in shadow:
            spans += (Span(match.start(), match.end(), "API_KEY") for match in _API_KEY.finditer(shadow))
        spans += _addresses(shadow)
        spans += _numbers(shadow)
        return _without_overlaps(spans) if len(spans) > 1 else spans


def _numbers(shadow: bytes) -> list[Span]:
    """Card numbers, SSNs and phone numbers."""
    spans: list[Span] = []
    context = _Context(shadow)
    for start, end in _runs(shadow):
        if _iso_date(shadow, start, end):
            continue
        for kind, first, last in classify(shadow, start, end, context.about):
            if context.in_uuid(first, last):
                continue
            tail = _EXTENSION.match(shadow, last) if kind is Kind.PHONE else None
            spans.append(Span(first, tail.end() if tail else last, kind))
    return spans


def _runs(shadow: bytes) -> Iterable[tuple[int, int]]:
    """Where `_DIGITS` matches. Most statements have one such run or none, which is told sooner than by looking."""
    if not _digits_lie_together(shadow):
        return ()
    first = _DIGITS.search(shadow)
    if first is None:
        return ()
    span: tuple[int, int] = first.span()
    if not _digits_lie_together(shadow[span[1] :]):
        return (span,)
    return (span, *(match.span() for match in _DIGITS.finditer(shadow, span[1])))


def _digits_lie_together(shadow: bytes) -> bool:
    """Whether a run of digits may be there."""
    return _SEVEN_DIGITS in shadow.translate(_EVERY_DIGIT_ALIKE, _BETWEEN_DIGITS)


def _addresses(shadow: bytes) -> list[Span]:
    """E-mail addresses, as `_EMAIL` would find them one after the other, but from at-sign to at-sign: see there."""
    sign = shadow.find(b"@")
    if b"%" in shadow and b"%40" in shadow:  # the sign as it stands in a URL, which may be a piece of the name too
        return [Span(match.start(), match.end(), "EMAIL") for match in _EMAIL.finditer(shadow)]
    spans: list[Span] = []
    done = 0
    while sign >= 0:
        domain = _DOMAIN.match(shadow, sign + 1)
        start = _name_start(shadow[done:sign]) if domain else -1
        if domain and start >= 0:
            spans.append(Span(done + start, domain.end(), "EMAIL"))
            done = domain.end()
        else:
            done = sign + 1
        sign = shadow.find(b"@", done)
    return spans


def _name_start(before: bytes) -> int:
    """Where the name that ends with `before` begins; -1 when there is none."""
    if before.endswith(b'"'):
        quoted = _QUOTED.search(before[-66:])
        return len(before[:-66]) + quoted.start() if quoted else -1
    start = len(before.rstrip(_NAME))
    if start and before[start - 1] == 39 and not before[start:].strip(_AFTER_APOSTROPHE):
        earlier = before[: start - 1].rstrip(_NAME)
        if start < len(before) and len(earlier) < start - 1:  # o'hara@…
            return len(earlier)
    return start if start < len(before) else -1


def _iso_date(shadow: bytes, start: int, end: int) -> bool:
    """Whether the run is `YYYY-MM-DD`, perhaps with the hour behind it: told at once, statements are full of them."""
    return (
        end - start in (10, 13)
        and shadow[start + 4] == 45
        and shadow[start + 7] == 45
        and shadow[start : start + 2] in (b"19", b"20")
        and (end - start == 10 or shadow[start + 10] == 32)
    )


class _Context:
    """What the rest of the statement says about a run; looked at only when a run needs it."""

    def __init__(self, shadow: bytes) -> None:
        self._shadow = shadow
        self._known: dict[Kind, bool] = {}

    def in_uuid(self, start: int, end: int) -> bool:
        """Whether these offsets lie in a UUID with a letter in it."""
        if end - start > 36:
            return False
        from_ = max(0, start - 36)
        near = self._shadow[from_ : end + 36]
        if near.count(b"-") < 4:
            return False
        for match in _UUID.finditer(near):
            first, last = match.span()
            if from_ + first <= start and end <= from_ + last and not match.group().replace(b"-", b"").isdigit():
                return True
        return False

    def about(self, kind: Kind) -> bool:
        """Whether the statement speaks of phones or of SSNs."""
        if kind not in self._known:
            self._known[kind] = bool(_ABOUT[kind].search(self._shadow))
        return self._known[kind]


def _compile_custom(pattern: CustomPattern) -> Any:
    plain = pattern.name.replace("_", "")
    if not (plain.isascii() and plain.isalnum() and pattern.name == pattern.name.upper() and len(pattern.name) <= 32):
        raise InvalidRequest("A redaction pattern's name is 1 to 32 of A-Z, 0-9 and underscore.")
    if not pattern.expression or len(pattern.expression) > MAX_PATTERN_CHARS:
        raise InvalidRequest(f"A redaction pattern is 1 to {MAX_PATTERN_CHARS} characters of RE2 syntax.")
    try:
        compiled = re2.compile(pattern.expression, _options(latin1=False))
    except re2.error:
        raise InvalidRequest(
            f"The redaction pattern {pattern.name} is not an RE2 expression.",
            advice="RE2 has no back-references and no look-around.",
        ) from None
    if compiled.search(""):
        raise InvalidRequest(f"The redaction pattern {pattern.name} matches the empty text.")
    return compiled


def _cut(text: str) -> str:
    """The first part of a long text, ending where no address or number can be cut in two."""
    end = MAX_TEXT_CHARS
    floor = MAX_TEXT_CHARS - 1024
    while end > floor and (text[end - 1].isalnum() or text[end - 1] in " ().-/+@_%"):
        end -= 1
    return text[:end]


def _without_overlaps(spans: list[Span]) -> list[Span]:
    """Sorted; a span that overlaps an earlier one is merged into it, so that nothing found stays in sight."""
    if len(spans) == 2 and spans[0].end <= spans[1].start:
        return spans
    spans.sort(key=lambda span: (span.start, -span.end))
    merged = [spans[0]]
    for span in spans[1:]:
        last = merged[-1]
        if span.start >= last.end:
            merged.append(span)
        elif span.end > last.end:
            merged[-1] = Span(last.start, span.end, last.kind)
    return merged


_DEFAULT = Redactor()
redact: Callable[[str], str] = _DEFAULT.redact
"""`text` with e-mail addresses, SSNs, card numbers, phone numbers and API keys replaced by `[REDACTED:TYPE]`."""
