"""The text before any parser: what may not stand in it, where its words are, where its statements end.

The scanner cuts text as DuckDB's lexer does (PostgreSQL's rules for comments, quotes, escapes and dollar quotes).
Parsers disagree on characters, so what they read differently is refused here: NUL and other controls everywhere,
exotic spaces and format characters outside plain string literals (governance notes, fact 1).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from governance.errors import TextRefused

TEXT_BYTES_MAX = 256 * 1024
TOKENS_MAX = 10_000
"""About 0.2 s of governing, during which the node's other sessions wait (red team, 2026-11-22)."""
NESTING_MAX = 96
PREFIX_RUN_MAX = 24
"""Consecutive prefix operators (`NOT NOT`, `- -`): parsers descend once for each."""
JOINS_MAX = 256

_TOKEN = re.compile(
    r"""[ \t\n\r\f\v]*+  # possessive: what follows the spaces is not tried again inside them
      (?:(?P<comment>--[^\n\r]*)
      | (?P<block>/\*)
      | (?P<escape>[eE]'(?:[^'\\]|\\.|'')*')
      | (?P<string>(?:[xXbBnN])?'(?:[^']|'')*')
      | (?P<quoted>"(?:[^"]|"")*")
      | (?P<dollar>\$(?P<tag>(?:[A-Za-z_\x80-\U0010ffff][A-Za-z0-9_\x80-\U0010ffff]*)?)\$)
      | (?P<parameter>\$[A-Za-z0-9_]+|\?)
      | (?P<word>[A-Za-z_\x80-\U0010ffff][A-Za-z0-9_$\x80-\U0010ffff]*)
      | (?P<number>0[xX][0-9A-Fa-f_]+|0[bB][01_]+|(?:\d[\d_]*(?:\.(?!\.)[\d_]*)?|\.\d[\d_]*)(?:[eE][+-]?\d+)?)
      | (?P<bracket>[()\[\]{}])
      | (?P<end>;)
      | (?P<dot>\.(?!\d))
      | (?P<op>::|:=|<>|!=|<=|>=|->>|->|=>|==|[^\s\w'"$;()\[\]{}]))
    """,
    re.VERBOSE | re.DOTALL,
)
_SPACES = " \t\n\r\f\v"
_BLOCK_EDGE = re.compile(r"/\*|\*/")
_UNICODE_ESCAPES = re.compile(r"[uU]&['\"]")
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f]")
_OPEN = {"(": ")", "[": "]", "{": "}"}
_INTRICATE = frozenset({"escape", "dollar", "comment"})
_PREFIX = frozenset({"not", "-", "+", "~", "@", "!"})


class Token(NamedTuple):
    """One word of the text; comments and spaces leave none. `start` and `end` are character offsets."""

    kind: str
    text: str
    start: int
    end: int

    @property
    def name(self) -> str:
        """The identifier a word or quoted token spells."""
        return self.text[1:-1].replace('""', '"') if self.kind == "quoted" else self.text


@lru_cache(maxsize=4096)
def _is_exotic(character: str) -> bool:
    if character in "\t\n\r\f\v ":
        return False
    return unicodedata.category(character) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zs", "Zl", "Zp")


def _refuse(what: str, at: int, advice: str = "") -> TextRefused:
    return TextRefused(what, advice=advice, position=at + 1)


def scan(text: str) -> tuple[Token, ...]:
    """The tokens of `text`.

    Raises:
        TextRefused: too long, too deep, unbalanced, an unfinished quote, or a character that may not stand there.
    """
    if len(text) > TEXT_BYTES_MAX or len(text.encode("utf-8", "surrogatepass")) > TEXT_BYTES_MAX:
        raise _refuse(f"The statement is longer than {TEXT_BYTES_MAX} bytes.", 0, "Send it in smaller parts.")
    match = _UNICODE_ESCAPES.search(text)
    exotic = not text.isascii() or _CONTROL.search(text) is not None
    tokens: list[Token] = []
    intricate = False
    depth: list[str] = []
    run = joins = cases = 0
    for token in _raw(text):
        kind = token.kind
        if kind in _INTRICATE:
            intricate = True
            if kind == "comment":
                continue
        if kind == "bracket":
            if token.text in _OPEN:
                depth.append(_OPEN[token.text])
            elif not depth or depth.pop() != token.text:
                raise _refuse("This bracket closes nothing.", token.start)
        lowered = token.text.lower() if kind == "word" or kind == "op" else ""
        run = run + 1 if lowered in _PREFIX else 0
        joins += lowered == "join"
        cases += (lowered == "case") - (lowered == "end" and cases > 0)
        if token.kind == "end":
            joins = cases = 0
        if len(depth) + cases > NESTING_MAX or run > PREFIX_RUN_MAX or joins > JOINS_MAX or len(tokens) >= TOKENS_MAX:
            raise _refuse("The statement is nested too deeply or has too many parts.", token.start)
        tokens.append(token)
    if depth:
        raise _refuse("A bracket is left open.", len(text))
    if match is not None and any(t.start <= match.start() < t.end and t.kind == "word" for t in tokens):
        raise _refuse("Unicode escapes (U&) are not accepted.", match.start(), "Write the characters themselves.")
    if exotic:
        _check_characters(text, tokens, intricate)
    return tuple(tokens)


def _raw(text: str) -> Iterator[Token]:
    at, end = 0, len(text.rstrip(_SPACES))
    while at < end:
        match = _TOKEN.match(text, at)
        if match is None:
            raise _refuse("A quote is left open, or this character may not stand here.", _past_spaces(text, at))
        kind = match.lastgroup or ""
        start, at = match.span(kind)
        if kind == "block":
            at = _block_end(text, start)
            kind = "comment"
        elif kind == "dollar":
            quote = text[start:at]
            close = text.find(quote, at)
            if close < 0:
                raise _refuse("A dollar quote is left open.", start)
            at = close + len(quote)
        yield Token(kind, text[start:at], start, at)


def _past_spaces(text: str, at: int) -> int:
    return len(text) - len(text[at:].lstrip(_SPACES))


def _block_end(text: str, start: int) -> int:
    depth, at = 1, start + 2
    while depth:
        edge = _BLOCK_EDGE.search(text, at)
        if edge is None:
            raise _refuse("A comment is left open.", start)
        depth += 1 if edge.group() == "/*" else -1
        at = edge.end()
    return at


def _check_characters(text: str, tokens: list[Token], intricate: bool) -> None:
    """Refuse controls anywhere, and exotic characters outside plain strings (or anywhere in an intricate text).

    DuckDB replaces exotic spaces before lexing, with its own idea of where quotes are; so a text that mixes them
    with escapes, dollar quotes or comments is not one both parsers are known to read alike.
    """
    plain = [(t.start, t.end) for t in tokens if t.kind == "string"]
    spans = iter(plain)
    span = next(spans, None)
    for at, character in enumerate(text):
        if not _is_exotic(character):
            continue
        while span is not None and span[1] <= at:
            span = next(spans, None)
        inside = span is not None and span[0] <= at
        control = unicodedata.category(character) in ("Cc", "Cs")
        if control or not inside or intricate:
            raise _refuse(
                "The text holds a control, format or unusual space character where it may not stand.",
                at,
                advice="Use plain spaces; keep unusual characters inside plain string literals.",
            )


def split(text: str) -> list[str]:
    """The statements of a simple-query string, cut where DuckDB would cut them; empty ones are left out.

    Raises:
        TextRefused: as `scan`.
    """
    tokens = scan(text)
    pieces: list[str] = []
    start: int | None = None
    last = 0
    for token in tokens:
        if token.kind == "end":
            if start is not None:
                pieces.append(text[start:last])
            start = None
            continue
        if start is None:
            start = token.start
        last = token.end
    if start is not None:
        pieces.append(text[start:last])
    return pieces
