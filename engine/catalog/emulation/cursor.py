"""A reader of tokens: looks ahead, takes, expects; every part of the grammar stands on it."""

from __future__ import annotations

from engine.catalog.emulation.lexer import Token, tokens
from engine.catalog.emulation.words import RESERVED
from governance.errors import SyntaxRefused

NESTING_MAX = 60
_PADDING = 16
"""End tokens behind the last, so that a look ahead needs no bound."""


class TokenCursor:
    """The tokens of one text and a place among them."""

    def __init__(self, text: str) -> None:
        found = tokens(text)
        end = found[-1]
        self._tokens = found + [end] * _PADDING
        self._words = [token.text if token.kind == "name" else "" for token in self._tokens]
        self._marks = [token.text if token.kind in ("punctuation", "operator") else "" for token in self._tokens]
        self._last = len(found) - 1
        self._at = 0
        self._depth = 0

    def peek(self, ahead: int = 0) -> Token:
        """The token `ahead` of the next one."""
        place = self._at + ahead
        return self._tokens[min(self._last, place)]

    def take(self) -> Token:
        """The next token, consumed."""
        token = self.peek()
        if self._at < self._last:
            self._at += 1
        return token

    def is_word(self, *words: str, ahead: int = 0) -> bool:
        """Whether the next token is one of these unquoted words."""
        place = self._at + ahead
        return place < self._last and self._words[place] in words

    def accept_word(self, *words: str) -> bool:
        """Consume this sequence of words if it stands next."""
        at = self._at
        if self._words[at] != words[0]:
            return False
        if len(words) > 1 and self._words[at + 1 : at + len(words)] != list(words[1:]):
            return False
        self._at = at + len(words)
        return True

    def is_mark(self, mark: str, ahead: int = 0) -> bool:
        """Whether the next token is this punctuation or operator."""
        place = self._at + ahead
        return place < self._last and self._marks[place] == mark

    def accept_mark(self, mark: str) -> bool:
        """Consume this mark if it stands next."""
        if self._marks[self._at] == mark:
            self._at += 1
            return True
        return False

    def expect_mark(self, mark: str) -> None:
        """Consume this mark or refuse."""
        if not self.accept_mark(mark):
            raise self.error()

    def expect_word(self, word: str) -> None:
        """Consume this word or refuse."""
        if not self.accept_word(word):
            raise self.error()

    def error(self) -> SyntaxRefused:
        """A syntax error at the next token."""
        return SyntaxRefused("Syntax error in the catalog query.", position=self.peek().position + 1)

    def identifier(self, *, reserved: bool = False) -> str:
        """A name; reserved words only where PostgreSQL takes any label."""
        token = self.peek()
        if token.kind == "quoted" or (token.kind == "name" and (reserved or token.text not in RESERVED)):
            self._at += 1
            return token.text
        raise self.error()

    def names(self) -> tuple[str, ...]:
        """`(a, b)`."""
        self.expect_mark("(")
        found = [self.identifier()]
        while self.accept_mark(","):
            found.append(self.identifier())
        self.expect_mark(")")
        return tuple(found)
