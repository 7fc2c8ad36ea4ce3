"""PostgreSQL's operators in PostgreSQL's precedence: recursive descent over terms."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from engine.catalog.emulation.calls import overlaps
from engine.catalog.emulation.cursor import NESTING_MAX
from engine.catalog.emulation.terms import TermParser
from engine.catalog.emulation.tree import (
    Between,
    Binary,
    Call,
    Cast,
    Collate,
    Column,
    Expand,
    Expr,
    Field,
    In,
    IsTest,
    Like,
    Literal,
    Quantified,
    Query,
    Row,
    Subscript,
    Unary,
)
from governance.errors import StatementRefused, TextRefused

_OTHER_PRECEDENCE = 8
_PRECEDENCE = {"+": 9, "-": 9, "*": 10, "/": 10, "%": 10, "^": 11}
_MEMBERSHIP = frozenset(("not", "between", "in", "like", "ilike", "similar", "overlaps"))
_IS = frozenset(("is", "isnull", "notnull"))
_COMPARISONS = frozenset(("=", "<", ">", "<=", ">=", "<>"))


class ExpressionParser(TermParser):
    """Expressions; `QueryParser` adds queries."""

    def expression(self) -> Expr:
        """A whole expression."""
        self._depth += 1
        if self._depth > NESTING_MAX:
            raise TextRefused("The catalog query is nested too deeply.")
        try:
            left = self._and()
            while self.accept_word("or"):
                left = Binary("or", left, self._and())
            return left
        finally:
            self._depth -= 1

    def _and(self) -> Expr:
        left = self._not()
        while self.accept_word("and"):
            left = Binary("and", left, self._not())
        return left

    def _not(self) -> Expr:
        negations = 0
        while self.accept_word("not"):
            negations += 1
            if negations > NESTING_MAX:
                raise TextRefused("The catalog query is nested too deeply.")
        value = self._is()
        for _ in range(negations):
            value = Unary("not", value)
        return value

    def _is(self) -> Expr:
        left = self._comparison()
        while self._words[self._at] in _IS:
            if self.accept_word("isnull"):
                left = IsTest(left, "null", negated=False)
            elif self.accept_word("notnull"):
                left = IsTest(left, "null", negated=True)
            elif self.accept_word("is"):
                negated = self.accept_word("not")
                if self.accept_word("distinct", "from"):
                    operator = "is not distinct from" if negated else "is distinct from"
                    left = Binary(operator, left, self._comparison())
                elif self.is_word("null", "true", "false", "unknown"):
                    left = IsTest(left, self.take().text, negated)
                else:
                    raise self.error()
        return left

    def _comparison(self) -> Expr:
        left = self._membership()
        while self._marks[self._at] in _COMPARISONS:
            operator = self.take().text
            left = self._quantified_or(operator, left, self._membership)
        return left

    def _membership(self) -> Expr:
        left = self.operators(0)
        while self._words[self._at] in _MEMBERSHIP:
            negated = self.is_word("not") and self.is_word("between", "in", "like", "ilike", "similar", ahead=1)
            if negated:
                self._at += 1
            if self.accept_word("between"):
                symmetric = self.accept_word("symmetric")
                if not symmetric:
                    self.accept_word("asymmetric")
                low = self.operators(0)
                self.expect_word("and")
                left = Between(left, low, self.operators(0), negated, symmetric)
            elif self.accept_word("similar", "to"):
                pattern = self.operators(0)
                escape = self.operators(0) if self.accept_word("escape") else None
                left = Like(left, pattern, escape, negated, insensitive=False, similar=True)
            elif isinstance(left, Row) and self.accept_word("overlaps"):
                position = self.peek().position
                right = self.operators(0)
                if not isinstance(right, Row):
                    raise self.error()
                left = overlaps(left, right, position)
            elif self.accept_word("in"):
                left = self._in(left, negated)
            elif self.is_word("like", "ilike"):
                insensitive = self.take().text == "ilike"
                if self.is_word("any", "all", "some"):
                    name = ("!~~" if negated else "~~") + ("*" if insensitive else "")
                    left = self._quantified_or(name, left, lambda: self.operators(0))
                    continue
                pattern = self.operators(0)
                escape = self.operators(0) if self.accept_word("escape") else None
                left = Like(left, pattern, escape, negated, insensitive)
            else:
                break
        return left

    def _in(self, left: Expr, negated: bool) -> Expr:
        self.expect_mark("(")
        if self.starts_query():
            found: tuple[Expr, ...] | Query = self.query()
        else:
            found = self.expressions()
        self.expect_mark(")")
        return In(left, found, negated)

    def _quantified_or(self, operator: str, left: Expr, operand: Callable[[], Expr]) -> Expr:
        if self.is_word("any", "some", "all") and self.is_mark("(", 1):
            every = self.take().text == "all"
            self.expect_mark("(")
            right: Expr | Query = self.query() if self.starts_query() else self.expression()
            self.expect_mark(")")
            return Quantified(operator, left, every, right)
        return Binary(operator, left, operand())

    def _infix(self) -> tuple[str, int] | None:
        """The next infix operator of ordinary precedence and how many tokens it takes."""
        token = self.peek()
        if token.kind == "operator" and token.text not in _COMPARISONS:
            return token.text, 1
        if token.kind == "name" and token.text == "operator" and self.is_mark("(", 1):
            ahead = 2
            while self.peek(ahead).kind in ("name", "quoted") and self.is_mark(".", ahead + 1):
                if self.peek(ahead).text != "pg_catalog":
                    raise StatementRefused("Only operators of pg_catalog exist here.")
                ahead += 2
            symbol = self.peek(ahead)
            if symbol.kind == "operator" and self.is_mark(")", ahead + 1):
                return symbol.text, ahead + 2
            raise self.error()
        return None

    def operators(self, floor: int) -> Expr:
        """An expression of operators that bind more tightly than `floor`."""
        left = self._prefixed()
        while True:
            word = self._words[self._at]
            if word == "collate":
                self._at += 1
                left = Collate(left, self._qualified())
                continue
            if word == "at" and self.accept_word("at", "time", "zone"):
                zone = self.operators(12)
                left = Call(("pg_catalog", "timezone"), (zone, left), position=self.peek().position)
                continue
            infix = self._infix() if word == "operator" or self._marks[self._at] else None
            if infix is None:
                return left
            operator, length = infix
            explicit = length > 1
            precedence = _OTHER_PRECEDENCE if explicit else _PRECEDENCE.get(operator, _OTHER_PRECEDENCE)
            if precedence <= floor:
                return left
            self._at += length
            left = self._quantified_or(operator, left, partial(self.operators, precedence))

    def _prefixed(self) -> Expr:
        if self.is_mark("-") or self.is_mark("+"):
            self._depth += 1
            if self._depth > NESTING_MAX:
                raise TextRefused("The catalog query is nested too deeply.")
            operator = self.take().text
            value = self._prefixed()
            self._depth -= 1
            if isinstance(value, Literal) and operator == "-" and value.kind in ("integer", "number"):
                return Literal(value.kind, value.text[1:] if value.text.startswith("-") else "-" + value.text)
            return Unary(operator, value)
        return self._postfixed()

    def _postfixed(self) -> Expr:
        value = self.term()
        while True:
            if self.accept_mark("::"):
                value = Cast(value, self.type_name())
            elif self.accept_mark("["):
                value = self._subscript(value)
            elif self.is_mark(".") and not isinstance(value, Column):
                self._at += 1
                if self.accept_mark("*"):
                    return Expand(value)
                value = Field(value, self.identifier(reserved=True))
            else:
                return value

    def _subscript(self, value: Expr) -> Expr:
        index = None if self.is_mark(":") else self.expression()
        if self.accept_mark(":"):
            upper = None if self.is_mark("]") else self.expression()
            self.expect_mark("]")
            return Subscript(value, index, upper, slice=True)
        self.expect_mark("]")
        return Subscript(value, index)
