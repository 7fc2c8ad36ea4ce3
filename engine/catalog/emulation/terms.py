"""The terms of expressions: literals, names, calls, CASE, arrays, types; what operators stand between."""

from __future__ import annotations

from engine.catalog.emulation.cursor import TokenCursor
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
    Sort,
    Star,
    TypeName,
    Window,
)
from engine.catalog.emulation.words import VALUE_WORDS, words
from governance.errors import StatementRefused, SyntaxRefused

_MULTI_WORD = {
    "double": ("precision",),
    "national": ("character", "char"),
}
_LITERAL_TYPES = words("date time timetz timestamp timestamptz interval bool name oid text int4 int8 regclass ")


class TermParser(TokenCursor):
    """Terms; `ExpressionParser` adds operators, `QueryParser` queries."""

    def query(self) -> Query:
        """A query expression; given by `QueryParser`."""
        raise NotImplementedError

    def expression(self) -> Expr:
        """A whole expression; given by `ExpressionParser`."""
        raise NotImplementedError

    def operators(self, floor: int) -> Expr:
        """An expression of operators that bind more tightly than `floor`; given by `ExpressionParser`."""
        raise NotImplementedError

    def starts_query(self, ahead: int = 0) -> bool:
        """Whether a query follows `ahead` tokens on (through opening parentheses)."""
        while self.is_mark("(", ahead):
            ahead += 1
        return self.is_word("select", "with", "values", "table", ahead=ahead)

    def expressions(self) -> tuple[Expr, ...]:
        """One or more, with commas between."""
        found = [self.expression()]
        while self.accept_mark(","):
            found.append(self.expression())
        return tuple(found)

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
            needle = self.operators(0)
            self.expect_word("in")
            arguments, name = (self.operators(0), needle), "position"
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
                return Star(tuple(parts), position)
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
