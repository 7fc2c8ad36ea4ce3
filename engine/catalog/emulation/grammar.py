"""PostgreSQL's SELECT, as far as catalog queries go: recursive descent with PostgreSQL's operator precedence.

`parse` reads exactly one statement. What it does not know it refuses; nothing is skipped or guessed.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from engine.catalog.emulation.lexer import Token, tokens
from engine.catalog.emulation.tree import (
    ArrayList,
    ArrayQuery,
    Between,
    Binary,
    Call,
    Case,
    Cast,
    Collate,
    Column,
    Exists,
    Expr,
    Field,
    In,
    IsTest,
    Like,
    Literal,
    Parameter,
    Quantified,
    Query,
    Row,
    Scalar,
    Sort,
    Star,
    Subscript,
    TypeName,
    Unary,
    Window,
)
from engine.catalog.emulation.words import RESERVED, VALUE_WORDS, words
from governance.errors import StatementRefused, SyntaxRefused, TextRefused

NESTING_MAX = 60

_MULTI_WORD = {
    "double": ("precision",),
    "national": ("character", "char"),
}
_LITERAL_TYPES = words("date time timetz timestamp timestamptz interval bool name oid text int4 int8 regclass ")
_OTHER_PRECEDENCE = 8
_PRECEDENCE = {"+": 9, "-": 9, "*": 10, "/": 10, "%": 10, "^": 11}
_COMPARISONS = frozenset(("=", "<", ">", "<=", ">=", "<>"))


class ExpressionParser:
    """Expressions; `QueryParser` adds queries."""

    def __init__(self, text: str) -> None:
        self._tokens = tokens(text)
        self._at = 0
        self._depth = 0

    # ------------------------------------------------------------ tokens

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

    # ------------------------------------------------------------ expressions

    def query(self) -> Query:
        """A query expression; given by `QueryParser`."""
        raise NotImplementedError

    def starts_query(self, ahead: int = 0) -> bool:
        """Whether a query follows `ahead` tokens on (through opening parentheses)."""
        while self.is_mark("(", ahead):
            ahead += 1
        return self.is_word("select", "with", "values", ahead=ahead)

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
        while True:
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
            else:
                return left

    def _comparison(self) -> Expr:
        left = self._membership()
        while self.peek().kind == "operator" and self.peek().text in _COMPARISONS:
            operator = self.take().text
            left = self._quantified_or(operator, left, self._membership)
        return left

    def _membership(self) -> Expr:
        left = self._operators(0)
        while True:
            negated = self.is_word("not") and self.is_word("between", "in", "like", "ilike", ahead=1)
            if negated:
                self._at += 1
            if self.accept_word("between"):
                symmetric = self.accept_word("symmetric")
                if symmetric:
                    raise StatementRefused("BETWEEN SYMMETRIC is not supported in catalog queries.")
                low = self._operators(0)
                self.expect_word("and")
                left = Between(left, low, self._operators(0), negated)
            elif self.accept_word("in"):
                left = self._in(left, negated)
            elif self.is_word("like", "ilike"):
                insensitive = self.take().text == "ilike"
                if self.is_word("any", "all", "some"):
                    name = ("!~~" if negated else "~~") + ("*" if insensitive else "")
                    left = self._quantified_or(name, left, lambda: self._operators(0))
                    continue
                pattern = self._operators(0)
                escape = self._operators(0) if self.accept_word("escape") else None
                left = Like(left, pattern, escape, negated, insensitive)
            else:
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

    def _operators(self, floor: int) -> Expr:
        left = self._prefixed()
        while True:
            if self.accept_word("collate"):
                left = Collate(left, self._qualified())
                continue
            if self.is_word("at") and self.is_word("time", ahead=1) and self.is_word("zone", ahead=2):
                self._at += 3
                zone = self._operators(12)
                left = Call(("pg_catalog", "timezone"), (zone, left), position=self.peek().position)
                continue
            infix = self._infix()
            if infix is None:
                return left
            operator, length = infix
            explicit = length > 1
            precedence = _OTHER_PRECEDENCE if explicit else _PRECEDENCE.get(operator, _OTHER_PRECEDENCE)
            if precedence <= floor:
                return left
            self._at += length
            left = self._quantified_or(operator, left, partial(self._operators, precedence))

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
        value = self._primary()
        while True:
            if self.accept_mark("::"):
                value = Cast(value, self.type_name())
            elif self.accept_mark("["):
                value = self._subscript(value)
            elif self.is_mark(".") and not isinstance(value, Column):
                self._at += 1
                if self.accept_mark("*"):
                    raise StatementRefused("Expanding a composite value is not supported in catalog queries.")
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

    def expressions(self) -> tuple[Expr, ...]:
        """One or more, with commas between."""
        found = [self.expression()]
        while self.accept_mark(","):
            found.append(self.expression())
        return tuple(found)

    def _primary(self) -> Expr:
        token = self.peek()
        if token.kind in ("string", "integer", "number"):
            self._at += 1
            return Literal(token.kind, token.text)
        if token.kind == "parameter":
            self._at += 1
            if not 0 < int(token.text) <= 65535:
                raise SyntaxRefused("There is no such parameter.", position=token.position + 1)
            return Parameter(int(token.text))
        if self.is_mark("("):
            return self._parenthesised()
        if self.is_mark("*"):
            self._at += 1
            return Star()
        if token.kind == "name":
            special = self._special(token.text)
            if special is not None:
                return special
        return self._named()

    def _parenthesised(self) -> Expr:
        if self.starts_query(1) and self._query_closes():
            self._at += 1
            query = self.query()
            self.expect_mark(")")
            return Scalar(query)
        self.expect_mark("(")
        items = self.expressions()
        self.expect_mark(")")
        if len(items) > 1:
            return Row(items)
        # `(t).a` is a field, not a column of t: keep the parentheses in the tree by way of Field.
        if self.is_mark(".") and isinstance(items[0], Column):
            self._at += 1
            return Field(items[0], self.identifier(reserved=True))
        return items[0]

    def _query_closes(self) -> bool:
        """Whether the parenthesis at hand holds a query and nothing after it, as `((select 1) + 1)` does not."""
        if self.is_word("select", "with", "values", ahead=1):
            return True
        depth, ahead = 1, 1
        while depth:
            token = self.peek(ahead)
            if token.kind == "end":
                raise self.error()
            if self.is_mark("(", ahead):
                depth += 1
            elif self.is_mark(")", ahead):
                depth -= 1
                if depth == 1 and not (
                    self.is_mark(")", ahead + 1)
                    or self.is_word("union", "intersect", "except", "order", "limit", ahead=ahead + 1)
                ):
                    return False
            ahead += 1
        return True

    def _special(self, word: str) -> Expr | None:
        """Expressions that begin with a keyword."""
        position = self.peek().position
        if word in ("true", "false"):
            self._at += 1
            return Literal("boolean", word)
        if word == "null":
            self._at += 1
            return Literal("null", "")
        if word == "case":
            return self._case()
        if word == "exists" and self.is_mark("(", 1):
            self._at += 2
            query = self.query()
            self.expect_mark(")")
            return Exists(query)
        if word == "array" and (self.is_mark("(", 1) or self.is_mark("[", 1)):
            self._at += 1
            return self._array()
        if word == "row" and self.is_mark("(", 1):
            self._at += 2
            items = () if self.is_mark(")") else self.expressions()
            self.expect_mark(")")
            return Row(items)
        if word == "cast" and self.is_mark("(", 1):
            self._at += 2
            value = self.expression()
            self.expect_word("as")
            type_name = self.type_name()
            self.expect_mark(")")
            return Cast(value, type_name)
        if word in VALUE_WORDS and not self.is_mark("(", 1) and not self.is_mark(".", 1):
            self._at += 1
            return Call((word,), position=position)
        if word in ("extract", "substring", "trim", "position") and self.is_mark("(", 1):
            return self._worded_call(word, position)
        return None

    def _array(self) -> Expr:
        if self.accept_mark("("):
            query = self.query()
            self.expect_mark(")")
            return ArrayQuery(query)
        return self._array_list()

    def _array_list(self) -> Expr:
        self.expect_mark("[")
        items: list[Expr] = []
        while not self.is_mark("]"):
            items.append(self._array_list() if self.is_mark("[") else self.expression())
            if not self.accept_mark(","):
                break
        self.expect_mark("]")
        return ArrayList(tuple(items))

    def _case(self) -> Expr:
        self.expect_word("case")
        operand = None if self.is_word("when") else self.expression()
        branches = []
        while self.accept_word("when"):
            condition = self.expression()
            self.expect_word("then")
            branches.append((condition, self.expression()))
        default = self.expression() if self.accept_word("else") else None
        self.expect_word("end")
        if not branches:
            raise self.error()
        return Case(operand, tuple(branches), default)

    def _worded_call(self, word: str, position: int) -> Expr:
        """`extract(f from x)`, `substring(x from a for b)`, `trim(both c from x)`, `position(a in b)`."""
        self._at += 2
        if word == "extract":
            field = self.take()
            if field.kind not in ("name", "string"):
                raise self.error()
            self.expect_word("from")
            arguments: tuple[Expr, ...] = (Literal("string", field.text), self.expression())
            name = "extract"
        elif word == "position":
            needle = self._operators(0)
            self.expect_word("in")
            arguments, name = (self._operators(0), needle), "position"
        elif word == "trim":
            sides = {"both": "btrim", "leading": "ltrim", "trailing": "rtrim"}
            name = sides[self.take().text] if self.is_word(*sides) else "btrim"
            first = None if self.is_word("from") else self.expression()
            if self.accept_word("from"):
                what = self.expression()
                arguments = (what,) if first is None else (what, first)
            else:
                if first is None:
                    raise self.error()
                arguments = (first, *(self.expressions() if self.accept_mark(",") else ()))
        else:
            first = self.expression()
            rest: list[Expr] = []
            if self.accept_word("from"):
                rest.append(self.expression())
                if self.accept_word("for"):
                    rest.append(self.expression())
            elif self.accept_word("for"):
                rest += [Literal("integer", "1"), self.expression()]
            while not rest and self.accept_mark(","):
                rest.extend(self.expressions())
            arguments, name = (first, *rest), "substring"
        self.expect_mark(")")
        return Call(("pg_catalog", name), arguments, position=position)

    def _qualified(self) -> tuple[str, ...]:
        parts = [self.identifier()]
        while self.accept_mark("."):
            parts.append(self.identifier(reserved=True))
        return tuple(parts)

    def _named(self) -> Expr:
        """A column, a function call, `t.*`, or `type 'literal'`."""
        position = self.peek().position
        first = self.peek()
        callable_word = first.kind == "name" and first.text in ("left", "right") and self.is_mark("(", 1)
        parts = [self.identifier(reserved=callable_word or first.text in ("current_schema", "any_value"))]
        while self.accept_mark("."):
            if self.accept_mark("*"):
                return Star(tuple(parts))
            parts.append(self.identifier(reserved=True))
        if self.is_mark("("):
            return self._call(tuple(parts), position)
        if first.kind == "name" and self.peek().kind == "string" and parts[-1] in _LITERAL_TYPES:
            literal = self.take().text
            if (
                parts[-1] == "interval"
                and self.peek().kind == "name"
                and self.peek().text in ("year", "month", "day", "hour", "minute", "second")
            ):
                raise StatementRefused("Interval fields are not supported in catalog queries.")
            return Cast(Literal("string", literal), TypeName(tuple(parts)))
        return Column(tuple(parts), position)

    def _call(self, name: tuple[str, ...], position: int) -> Expr:
        self.expect_mark("(")
        star = distinct = False
        arguments: tuple[Expr, ...] = ()
        order: tuple[Sort, ...] = ()
        if self.accept_mark("*"):
            star = True
        elif not self.is_mark(")"):
            distinct = self.accept_word("distinct")
            self.accept_word("all")
            if self.accept_word("variadic"):
                raise StatementRefused("VARIADIC is not supported in catalog queries.")
            arguments = self.expressions()
            order = self.order()
        self.expect_mark(")")
        condition = None
        if self.accept_word("filter"):
            self.expect_mark("(")
            self.expect_word("where")
            condition = self.expression()
            self.expect_mark(")")
        over = self._window() if self.accept_word("over") else None
        return Call(name, arguments, star, distinct, order, condition, over, position)

    def _window(self) -> Window:
        self.expect_mark("(")
        partition = self.expressions() if self.accept_word("partition", "by") else ()
        order = self.order()
        self.expect_mark(")")
        return Window(partition, order)

    def order(self) -> tuple[Sort, ...]:
        """ORDER BY, if it stands next."""
        if not self.accept_word("order", "by"):
            return ()
        found = [self._sort()]
        while self.accept_mark(","):
            found.append(self._sort())
        return tuple(found)

    def _sort(self) -> Sort:
        value = self.expression()
        descending = self.accept_word("desc")
        if not descending:
            self.accept_word("asc")
        nulls_first = None
        if self.accept_word("nulls"):
            nulls_first = self.accept_word("first")
            if not nulls_first:
                self.expect_word("last")
        return Sort(value, descending, nulls_first)

    def type_name(self) -> TypeName:
        """A type as written."""
        quoted_name = self.peek().kind == "quoted"
        parts = [self.identifier()]
        while self.accept_mark("."):
            quoted_name = self.peek().kind == "quoted"
            parts.append(self.identifier(reserved=True))
        if quoted_name and parts[-1] == "char":
            parts = ["pg_catalog", "char"]
        elif parts == ["pg_catalog", "char"]:
            parts = ["bpchar"]
        if len(parts) == 1:
            follow = _MULTI_WORD.get(parts[0])
            if follow and self.is_word(*follow):
                self._at += 1
                parts[0] = "float8" if parts[0] == "double" else "bpchar"
            elif parts[0] in ("character", "char") and self.accept_word("varying"):
                parts[0] = "varchar"
        modifiers: list[str] = []
        if self.accept_mark("("):
            while self.peek().kind == "integer":
                modifiers.append(self.take().text)
                if not self.accept_mark(","):
                    break
            self.expect_mark(")")
        if parts[-1] in ("timestamp", "time") and self.is_word("with", "without") and self.is_word("time", ahead=1):
            if self.take().text == "with":
                parts[-1] += "tz"
            self.expect_word("time")
            self.expect_word("zone")
        dimensions = 0
        while self.is_mark("[") and (self.is_mark("]", 1) or (self.peek(1).kind == "integer" and self.is_mark("]", 2))):
            self._at += 2 if self.is_mark("]", 1) else 3
            dimensions += 1
        if self.accept_word("array"):
            dimensions += 1
        return TypeName(tuple(parts), tuple(modifiers), dimensions)
