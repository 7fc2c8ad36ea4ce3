"""FROM clauses as written: relations, functions, derived tables, joins and their aliases."""

from __future__ import annotations

from engine.catalog.emulation.cursor import NESTING_MAX
from engine.catalog.emulation.grammar import ExpressionParser
from engine.catalog.emulation.tree import (
    Call,
    Expr,
    FromItem,
    FunctionRef,
    Join,
    JoinRef,
    QueryRef,
    TableRef,
    TypeName,
)
from engine.catalog.emulation.words import NOT_AN_ALIAS
from governance.errors import StatementRefused, TextRefused


class FromParser(ExpressionParser):
    """Items of FROM; `QueryParser` adds queries."""

    def from_item(self) -> FromItem:
        """One item of FROM, its joins included."""
        left = self._from_operand()
        while True:
            natural = self.accept_word("natural")
            if self.accept_word("cross"):
                self.expect_word("join")
                left = Join("cross", left, self._from_operand(), None, (), natural=False)
                continue
            kind = None
            if self.accept_word("inner"):
                kind = "inner"
            elif self.is_word("left", "right", "full"):
                kind = self.take().text
                self.accept_word("outer")
            if not self.accept_word("join"):
                if kind or natural:
                    raise self.error()
                return left
            right = self._from_operand_joined()
            on: Expr | None = None
            using: tuple[str, ...] = ()
            if self.accept_word("on"):
                on = self.expression()
            elif self.accept_word("using"):
                using = self.names()
            elif not natural:
                raise self.error()
            left = Join(kind or "inner", left, right, on, using, natural)

    def _from_operand_joined(self) -> FromItem:
        """The right side of a join: `a JOIN b JOIN c ON .. ON ..` nests to the right when ON is still owed."""
        right = self._from_operand()
        while self.is_word("join", "inner", "left", "right", "full", "cross", "natural"):
            self._depth += 1
            if self._depth > NESTING_MAX:
                raise TextRefused("The catalog query is nested too deeply.")
            if self.accept_word("cross"):
                self.expect_word("join")
                right = Join("cross", right, self._from_operand(), None, (), natural=False)
            else:
                kind = "inner"
                if self.is_word("inner", "left", "right", "full"):
                    kind = self.take().text
                    self.accept_word("outer")
                self.expect_word("join")
                inner = self._from_operand_joined()
                if self.accept_word("on"):
                    right = Join(kind, right, inner, self.expression(), (), natural=False)
                else:
                    self.expect_word("using")
                    right = Join(kind, right, inner, None, self.names(), natural=False)
            self._depth -= 1
        return right

    def _alias(self) -> tuple[str | None, tuple[str, ...]]:
        token = self.peek()
        if (
            self.accept_word("as")
            or token.kind == "quoted"
            or (token.kind == "name" and token.text not in NOT_AN_ALIAS)
        ):
            name = self.identifier()
            return name, self.names() if self.is_mark("(") else ()
        return None, ()

    def _from_operand(self) -> FromItem:
        lateral = self.accept_word("lateral")
        if self.is_word("tablesample"):
            raise StatementRefused("TABLESAMPLE is not supported in catalog queries.")
        if self.is_mark("("):
            if self.starts_query() and self._is_derived():
                self.take()
                query = self.query()
                self.expect_mark(")")
                alias, columns = self._alias()
                return QueryRef(query, alias, columns, lateral)
            self.take()
            item = self.from_item()
            self.expect_mark(")")
            alias, columns = self._alias()
            return item if alias is None else JoinRef(item, alias, columns)
        self.accept_word("only")
        position = self.peek().position
        if self.is_word("rows") and self.is_word("from", ahead=1) and self.is_mark("(", 2):
            return self._rows_from()
        if self.is_word("current_user", "session_user", "current_schema", "current_catalog") and not self.is_mark(
            "(", 1
        ):
            call = Call((self.take().text,), position=position)
        else:
            parts = [self.identifier()]
            while self.accept_mark("."):
                parts.append(self.identifier(reserved=True))
            if not self.is_mark("("):
                self.accept_mark("*")
                alias, columns = self._alias()
                if self.is_word("tablesample"):
                    raise StatementRefused("TABLESAMPLE is not supported in catalog queries.")
                return TableRef(tuple(parts), alias, columns, position)
            call = self.call(tuple(parts), position)
        ordinality = self.accept_word("with", "ordinality")
        alias, columns, types = self._function_alias()
        return FunctionRef(call, alias, columns, ordinality, types)

    def _rows_from(self) -> FunctionRef:
        """`ROWS FROM (f(...), g(...)) [WITH ORDINALITY] [alias]`."""
        self._at += 2
        self.expect_mark("(")
        calls: list[Call] = []
        while True:
            position = self.peek().position
            calls.append(self.call(self._qualified(), position))
            if self.is_word("as"):
                raise StatementRefused("Column definitions inside ROWS FROM are not supported in catalog queries.")
            if not self.accept_mark(","):
                break
        self.expect_mark(")")
        ordinality = self.accept_word("with", "ordinality")
        alias, columns = self._alias()
        return FunctionRef(calls[0], alias, columns, ordinality, beside=tuple(calls[1:]))

    def _function_alias(self) -> tuple[str | None, tuple[str, ...], tuple[TypeName, ...]]:
        """An alias, which may hold a column definition list: `AS x(a text, b int)` or `AS (a text)`."""
        named = 1 if self.is_word("as") else 0
        opens = named if self.is_mark("(", named) and named else named + 1
        defined = self.is_mark("(", opens) and self.peek(opens + 1).kind in ("name", "quoted")
        if not defined or self.is_mark(",", opens + 2) or self.is_mark(")", opens + 2):
            return *self._alias(), ()
        self.accept_word("as")
        alias = None if self.is_mark("(") else self.identifier()
        self.expect_mark("(")
        columns, types = [self.identifier()], [self.type_name()]
        while self.accept_mark(","):
            columns.append(self.identifier())
            types.append(self.type_name())
        self.expect_mark(")")
        return alias, tuple(columns), tuple(types)

    def _is_derived(self) -> bool:
        """Whether the parenthesis holds a query rather than a join whose first item is one."""
        if self.is_word("select", "with", "values", "table", ahead=1):
            return True
        return self._query_closes()
