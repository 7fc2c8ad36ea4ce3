"""A reader of tokens: looks ahead, takes, expects; every part of the grammar stands on it."""

from __future__ import annotations

from engine.catalog.emulation.lexer import Token, tokens
from engine.catalog.emulation.words import RESERVED
from governance.errors import SyntaxRefused

NESTING_MAX = 60


class TokenCursor:
    """The tokens of one text and a place among them."""

    def __init__(self, text: str) -> None:
        self._tokens = tokens(text)
        self._at = 0
        self._depth = 0

    def peek(self, ahead: int = 0) -> Token:
        """The token `ahead` of the next one."""
        return self._tokens[min(self._at + ahead, len(self._tokens) - 1)]

    def take(self) -> Token:
        """The next token, consumed."""
        token = self.peek()
        self._at += 1
        return token

    def is_word(self, *words: str, ahead: int = 0) -> bool:
        """Whether the next token is one of these unquoted words."""
        token = self.peek(ahead)
        return token.kind == "name" and token.text in words

    def accept_word(self, *words: str) -> bool:
        """Consume this sequence of words if it stands next."""
        if all(self.is_word(word, ahead=i) for i, word in enumerate(words)):
            self._at += len(words)
            return True
        return False

    def is_mark(self, mark: str, ahead: int = 0) -> bool:
        """Whether the next token is this punctuation or operator."""
        token = self.peek(ahead)
        return token.kind in ("punctuation", "operator") and token.text == mark

    def accept_mark(self, mark: str) -> bool:
        """Consume this mark if it stands next."""
        if self.is_mark(mark):
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
