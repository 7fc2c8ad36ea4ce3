"""Queries: SELECT, VALUES, WITH, set operations, FROM items."""

from __future__ import annotations

from functools import lru_cache

from engine.catalog.emulation.cursor import NESTING_MAX
from engine.catalog.emulation.grammar import ExpressionParser
from engine.catalog.emulation.tree import (
    Call,
    Cast,
    Common,
    Expr,
    FromItem,
    FunctionRef,
    Join,
    Literal,
    Query,
    QueryRef,
    Select,
    SetOperation,
    Star,
    TableRef,
    Target,
    TypeName,
    Values,
)
from engine.catalog.emulation.words import NOT_AN_ALIAS
from governance.errors import StatementRefused, TextRefused


class QueryParser(ExpressionParser):
    """A whole statement."""

    def statement(self) -> Query:
        """Exactly one query and nothing after it but a semicolon.

        Raises:
            SyntaxRefused: it does not parse.
            StatementRefused: a clause that is not supported, or more than one statement.
        """
        if not self.starts_query():
            raise StatementRefused("Only SELECT reads the catalog.")
        query = self.query()
        if self.accept_mark(";") and self.peek().kind != "end":
            raise StatementRefused("One statement at a time.")
        if self.peek().kind != "end":
            raise self.error()
        return query

    def query(self) -> Query:
        """`[WITH ...] body [ORDER BY ...] [LIMIT ...] [OFFSET ...]`."""
        self._depth += 1
        if self._depth > NESTING_MAX:
            raise TextRefused("The catalog query is nested too deeply.")
        commons: tuple[Common, ...] = ()
        recursive = False
        if self.accept_word("with"):
            recursive = self.accept_word("recursive")
            commons = self._commons()
        body = self._set_operations(0)
        order = self.order()
        limit = offset = None
        while True:
            if self.accept_word("limit"):
                limit = None if self.accept_word("all") else self.expression()
            elif self.accept_word("offset"):
                offset = self.expression()
                if self.is_word("row", "rows"):
                    self.take()
            elif self.accept_word("fetch"):
                limit = self._fetch_first()
            elif self.is_word("for"):
                raise StatementRefused("Row locks are not supported in catalog queries.")
            else:
                break
        self._depth -= 1
        if isinstance(body, Query):
            if not (commons or order or limit or offset):
                return body
            if body.order or body.limit or body.offset or body.commons:
                body = Query(
                    Select((Target(Star(), None),), (QueryRef(body, "q", (), False),), None, (), None, False, ())
                )
            return Query(body.body, commons, recursive, order, limit, offset)
        return Query(body, commons, recursive, order, limit, offset)

    def _fetch_first(self) -> Expr:
        if not self.is_word("first", "next"):
            raise self.error()
        self.take()
        count: Expr = Literal("integer", "1") if self.is_word("row", "rows") else self.expression()
        if not self.is_word("row", "rows"):
            raise self.error()
        self.take()
        self.expect_word("only")
        return count

    def _commons(self) -> tuple[Common, ...]:
        found = []
        while True:
            name = self.identifier()
            columns = self.names() if self.is_mark("(") else ()
            self.expect_word("as")
            if self.accept_word("not"):
                self.expect_word("materialized")
            else:
                self.accept_word("materialized")
            self.expect_mark("(")
            found.append(Common(name, columns, self.query()))
            self.expect_mark(")")
            if not self.accept_mark(","):
                return tuple(found)

    def _set_operations(self, floor: int) -> Select | Values | SetOperation | Query:
        left: Select | Values | SetOperation | Query = self._operand()
        while self.is_word("union", "except", "intersect"):
            strength = 2 if self.is_word("intersect") else 1
            if strength <= floor:
                return left
            operator = self.take().text
            every = self.accept_word("all")
            if not every:
                self.accept_word("distinct")
            right = self._set_operations(strength)
            left = SetOperation(operator, every, self._as_query(left), self._as_query(right))
        return left

    @staticmethod
    def _as_query(body: Select | Values | SetOperation | Query) -> Query:
        return body if isinstance(body, Query) else Query(body)

    def _operand(self) -> Select | Values | Query:
        if self.accept_mark("("):
            query = self.query()
            self.expect_mark(")")
            return query
        if self.accept_word("values"):
            rows = [self._row()]
            while self.accept_mark(","):
                rows.append(self._row())
            return Values(tuple(rows))
        if self.accept_word("table"):
            self.accept_word("only")
            position = self.peek().position
            parts = [self.identifier()]
            while self.accept_mark("."):
                parts.append(self.identifier(reserved=True))
            whole = TableRef(tuple(parts), None, (), position)
            return Select((Target(Star(), None),), (whole,), None, (), None, False, ())
        self.expect_word("select")
        return self._select()

    def _row(self) -> tuple[Expr, ...]:
        self.expect_mark("(")
        items = self.expressions()
        self.expect_mark(")")
        return items

    def _select(self) -> Select:
        distinct_on: tuple[Expr, ...] = ()
        distinct = False
        if self.accept_word("distinct"):
            distinct = True
            if self.accept_word("on"):
                distinct_on = self._row()
        else:
            self.accept_word("all")
        targets: list[Target] = []
        if not (self.peek().kind == "end" or self.is_word("from") or self.is_mark(")")):
            targets.append(self._target())
            while self.accept_mark(","):
                targets.append(self._target())
        if self.is_word("into"):
            raise StatementRefused("SELECT INTO is not supported in catalog queries.")
        sources: list[FromItem] = []
        if self.accept_word("from"):
            sources.append(self._from_item())
            while self.accept_mark(","):
                sources.append(self._from_item())
        where = self.expression() if self.accept_word("where") else None
        group: tuple[Expr, ...] = ()
        if self.accept_word("group", "by"):
            if self.is_word("rollup", "cube", "grouping"):
                raise StatementRefused("Grouping sets are not supported in catalog queries.")
            group = self.expressions()
        having = self.expression() if self.accept_word("having") else None
        if self.is_word("window"):
            raise StatementRefused("Named windows are not supported in catalog queries.")
        return Select(tuple(targets), tuple(sources), where, group, having, distinct, distinct_on)

    def _target(self) -> Target:
        value = self.expression()
        if self.accept_word("as"):
            return Target(value, self.identifier(reserved=True))
        token = self.peek()
        if token.kind == "quoted" or (token.kind == "name" and token.text not in NOT_AN_ALIAS):
            self._at += 1
            return Target(value, token.text)
        return Target(value, None)

    # ------------------------------------------------------------ FROM

    def _from_item(self) -> FromItem:
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
            item = self._from_item()
            self.expect_mark(")")
            if self.is_word("as") or self.peek().kind == "quoted":
                raise StatementRefused("An alias on a join is not supported in catalog queries.")
            return item
        self.accept_word("only")
        position = self.peek().position
        if self.is_word("rows") and self.is_word("from", ahead=1):
            raise StatementRefused("ROWS FROM is not supported in catalog queries.")
        if self.is_word("current_user", "session_user", "current_schema", "current_catalog") and not self.is_mark(
            "(", 1
        ):
            call: Expr = Call((self.take().text,), position=position)
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
            call = self._call(tuple(parts), position)
        if isinstance(call, Cast) or not isinstance(call, Call):
            raise self.error()
        ordinality = self.accept_word("with", "ordinality")
        alias, columns, types = self._function_alias()
        return FunctionRef(call, alias, columns, ordinality, types)

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


CACHED_CHARS_MAX = 8 * 1024
"""Longer texts are not kept: the memory of caches is bounded by this times their entries."""


def parse(text: str) -> Query:
    """The tree of the one query in `text`.

    Raises:
        SyntaxRefused: it does not parse.
        StatementRefused: understood, and not supported.
        TextRefused: past a limit.
    """
    return _kept(text) if len(text) <= CACHED_CHARS_MAX else _parse(text)


def _parse(text: str) -> Query:
    try:
        return QueryParser(text).statement()
    except RecursionError:
        raise TextRefused("The catalog query is nested too deeply.") from None


_kept = lru_cache(maxsize=256)(_parse)
