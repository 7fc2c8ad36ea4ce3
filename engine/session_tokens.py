"""The words of a session command: a tokenizer that understands little and refuses the rest."""

from __future__ import annotations

import re
from dataclasses import dataclass

from governance.errors import SyntaxRefused

_SKIP = re.compile(r"(?:\s+|--[^\n]*(?:\n|\Z))*")
_WORD = re.compile(r"[A-Za-z_]+")
_TOKEN = re.compile(
    r"""
    (?P<space>[ \t\r\n\f\v]+|--[^\n]*(?:\n|\Z))
  | (?P<comment>/\*)
  | (?P<estring>[eE]'(?:[^'\\]|\\.|'')*')
  | (?P<word>[A-Za-z_][A-Za-z0-9_$]*)
  | (?P<quoted>"(?:[^"\0]|"")+")
  | (?P<string>'(?:[^']|'')*')
  | (?P<number>[+-]?[0-9]+(?:\.[0-9]+)?)
  | (?P<mark>[=,;.()*:+-])
""",
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class Token:
    """A word, name, string, number or mark; `start` and `end` are character offsets."""

    kind: str
    text: str
    start: int
    end: int

    @property
    def keyword(self) -> str:
        """The word in lower case; empty for what is no word."""
        return self.text.lower() if self.kind == "word" else ""


def _skip_comment(text: str, at: int) -> int:
    """The offset behind a block comment that begins at `at`; they nest, as in PostgreSQL."""
    depth, end = 1, at + 2
    while depth:
        opening, closing = text.find("/*", end), text.find("*/", end)
        if closing < 0:
            raise SyntaxRefused("unterminated /* comment")
        if 0 <= opening < closing:
            depth, end = depth + 1, opening + 2
        else:
            depth, end = depth - 1, closing + 2
    return end


def first_word(text: str) -> str:
    """The first word of a statement in lower case, behind white space and comments; empty when it is no word."""
    at = 0
    while True:
        found = _SKIP.match(text, at)
        at = found.end() if found else at
        if not text.startswith("/*", at):
            break
        try:
            at = _skip_comment(text, at)
        except SyntaxRefused:
            return ""
    word = _WORD.match(text, at)
    return word[0].lower() if word else ""


class TokenReader:
    """Reads a statement word by word."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.ahead: Token | None = None
        self.at = 0

    # ------------------------------------------------------------ tokens

    def peek(self) -> Token:
        """The next token, left where it is."""
        if self.ahead is None:
            self.ahead = self._read()
        return self.ahead

    def take(self) -> Token:
        """The next token."""
        token = self.peek()
        self.ahead = None
        return token

    def _read(self) -> Token:
        while True:
            if self.at >= len(self.text):
                return Token("end", "", self.at, self.at)
            found = _TOKEN.match(self.text, self.at)
            if found is None:
                raise self.error(self.at)
            start, self.at = self.at, found.end()
            if found.lastgroup == "comment":
                self.at = _skip_comment(self.text, start)
            elif found.lastgroup != "space":
                return Token(str(found.lastgroup), found[0], start, self.at)

    def error(self, at: int | None = None) -> SyntaxRefused:
        """42601 at the next token, or at offset `at`."""
        place = self.peek().start if at is None else at
        return SyntaxRefused("syntax error in a session command", position=place + 1)

    def accept(self, *words: str) -> str:
        """Take the next token when it is one of these keywords."""
        keyword = self.peek().keyword
        if keyword and keyword in words:
            self.take()
            return keyword
        return ""

    def expect(self, *words: str) -> str:
        """Take one of these keywords. Raises SyntaxRefused."""
        found = self.accept(*words)
        if not found:
            raise self.error()
        return found

    def mark(self, text: str) -> bool:
        """Take this mark when it comes next; whether it did."""
        token = self.peek()
        if token.kind == "mark" and token.text == text:
            self.take()
            return True
        return False

    def name(self) -> str:
        """Take an identifier: folded, or as quoted. Raises SyntaxRefused."""
        token = self.take()
        if token.kind == "word":
            return token.text.lower()
        if token.kind == "quoted":
            return token.text[1:-1].replace('""', '"')
        raise self.error(token.start)

    def string(self) -> str:
        """Take a string literal's value. Raises SyntaxRefused."""
        token = self.take()
        if token.kind == "string":
            return token.text[1:-1].replace("''", "'")
        if token.kind == "estring":
            return unescape(token.text[2:-1])
        raise self.error(token.start)

    def value(self) -> str:
        """Take a value as SET takes one: a string, word, number or name. Raises SyntaxRefused."""
        kind = self.peek().kind
        if kind in ("string", "estring"):
            return self.string()
        token = self.take()
        if kind in ("word", "number"):
            return token.text
        if kind == "quoted":
            return token.text if token.text == '"$user"' else token.text[1:-1].replace('""', '"')
        raise self.error(token.start)

    def finish(self) -> None:
        """Nothing but semicolons may follow. Raises SyntaxRefused."""
        while self.mark(";"):
            pass
        if self.peek().kind != "end":
            raise self.error()

    def rest(self) -> str:
        """Everything from the next token on, as written."""
        return self.text[self.peek().start :]


def unescape(text: str) -> str:
    """What stands between the quotes of an E string."""
    simple = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}
    return re.sub(r"''|\\(.)", lambda m: "'" if m[0] == "''" else simple.get(m[1], m[1]), text, flags=re.DOTALL)


def closing(text: str, at: int) -> int:
    """The offset of the parenthesis that closes one opened before `at`; strings, names and comments are stepped over.

    Raises:
        SyntaxRefused: it is not closed.
    """
    depth = 1
    piece = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|\$([A-Za-z_]*)\$|--[^\n]*|/\*|[()]""")
    while (found := piece.search(text, at)) is not None:
        token, at = found[0], found.end()
        if token == "/*":  # noqa: S105 - a comment's beginning
            at = _skip_comment(text, found.start())
        elif token.startswith("$"):
            end = text.find(token, at)
            if end < 0:
                break
            at = end + len(token)
        elif token == "(":  # noqa: S105
            depth += 1
        elif token == ")":  # noqa: S105
            depth -= 1
            if not depth:
                return found.start()
    raise SyntaxRefused("syntax error in COPY: a parenthesis is not closed")
