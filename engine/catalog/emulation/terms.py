"""The terms of expressions: literals, names, calls, CASE, arrays, types; what operators stand between."""

from __future__ import annotations

import re

from engine.catalog.emulation.calls import WORDED, CallParser
from engine.catalog.emulation.tree import (
    ArrayList,
    ArrayQuery,
    Call,
    Case,
    Cast,
    Column,
    Exists,
    Expand,
    Expr,
    Field,
    Literal,
    Parameter,
    Query,
    Row,
    Scalar,
    Star,
    TypeName,
)
from engine.catalog.emulation.words import VALUE_WORDS, words
from governance.errors import SyntaxRefused

_MULTI_WORD = {
    "double": ("precision",),
    "national": ("character", "char"),
}
_CLOCKS = words("current_timestamp current_time localtimestamp localtime")
_INTERVAL_FIELDS = ("year", "month", "day", "hour", "minute", "second")
_INTEGER = re.compile(r"[+-]?\d+(\.\d+)?")
_YEARS = re.compile(r"([+-]?\d+)-(\d+)")
_LITERAL_TYPES = words("date time timetz timestamp timestamptz interval bool name oid text int4 int8 regclass ")


class TermParser(CallParser):
    """Terms; `ExpressionParser` adds operators, `QueryParser` queries."""

    def query(self) -> Query:
        """A query expression; given by `QueryParser`."""
        raise NotImplementedError

    def starts_query(self, ahead: int = 0) -> bool:
        """Whether a query follows `ahead` tokens on (through opening parentheses)."""
        while self.is_mark("(", ahead):
            ahead += 1
        return self.is_word("select", "with", "values", "table", ahead=ahead)

    def term(self) -> Expr:
        """One term, without what may follow it."""
        token = self.peek()
        if token.kind in ("string", "integer", "number"):
            self._at += 1
            return Literal(token.kind, token.text)
        if token.kind == "bits":
            self._at += 1
            return Cast(Literal("string", token.text), TypeName(("pg_catalog", "bit")))
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
            if self.accept_mark("*"):
                return Expand(items[0])
            return Field(items[0], self.identifier(reserved=True))
        return items[0]

    def _query_closes(self) -> bool:
        """Whether the parenthesis at hand holds a query and nothing after it, as `((select 1) + 1)` does not."""
        if self.is_word("select", "with", "values", "table", ahead=1):
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
        if word in _CLOCKS and self.is_mark("(", 1) and self.peek(2).kind == "integer" and self.is_mark(")", 3):
            self._at += 4  # digits of seconds; ours are not cut
            return Call((word,), position=position)
        if word in WORDED and self.is_mark("(", 1):
            return self.worded_call(word, position)
        if word in ("timestamp", "time", "interval", "timestamptz", "timetz"):
            return self._timed_literal()
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

    def _timed_literal(self) -> Expr | None:
        """`timestamp(0) with time zone '...'`, `interval '1' day`: a type and its literal; None when it is neither."""
        start, at = self._at, self._at + 1
        if self.is_mark("(", 1) and self.peek(2).kind == "integer" and self.is_mark(")", 3):
            at += 3
        if self._words[at] in ("with", "without") and self._words[at + 1 : at + 3] == ["time", "zone"]:
            at += 3
        if self._tokens[min(self._last, at)].kind != "string":
            return None
        kind = self.type_name()
        if self._at != at:
            self._at = start
            return None
        literal = self.take().text
        if kind.name == ("interval",):
            unit = self._interval_fields()
            if unit and _INTEGER.fullmatch(literal):
                literal = f"{literal} {unit}"
            elif unit == "month" and (parts := _YEARS.fullmatch(literal)):
                literal = f"{parts.group(1)} year {parts.group(2)} month"
        return Cast(Literal("string", literal), kind)

    def _interval_fields(self) -> str:
        """`YEAR TO MONTH` and its like after an interval: the last of them, in which a bare number counts."""
        if not self.is_word(*_INTERVAL_FIELDS):
            return ""
        unit = self.take().text
        if self.accept_word("to"):
            if not self.is_word(*_INTERVAL_FIELDS):
                raise self.error()
            unit = self.take().text
        if unit == "second" and self.is_mark("(") and self.peek(1).kind == "integer":
            self._at += 3
        return unit

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
                return Star(tuple(parts), position)
            parts.append(self.identifier(reserved=True))
        if self.is_mark("("):
            return self.call(tuple(parts), position)
        if first.kind == "name" and self.peek().kind == "string" and parts[-1] in _LITERAL_TYPES:
            return Cast(Literal("string", self.take().text), TypeName(tuple(parts)))
        return Column(tuple(parts), position)

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
        if parts == ["interval"]:
            self._interval_fields()
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
