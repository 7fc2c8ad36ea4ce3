"""Queries: SELECT, VALUES, WITH, set operations, FROM items."""

from __future__ import annotations

from functools import lru_cache

from engine.catalog.emulation.cursor import NESTING_MAX
from engine.catalog.emulation.from_grammar import FromParser
from engine.catalog.emulation.tree import (
    Common,
    Expr,
    FromItem,
    GroupingSets,
    Literal,
    Query,
    QueryRef,
    Row,
    Select,
    SetOperation,
    Star,
    TableRef,
    Target,
    Values,
    Window,
)
from engine.catalog.emulation.words import NOT_AN_ALIAS
from governance.errors import PermissionRefused, StatementRefused, TextRefused


class QueryParser(FromParser):
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
                raise PermissionRefused("The catalog is read-only: its rows cannot be locked.")
            else:
                break
        self._depth -= 1
        if isinstance(body, Query):
            if not (commons or order or limit or offset):
                return body
            if body.order or body.limit or body.offset or body.commons:
                body = Query(Select((Target(Star(), None),), (QueryRef(body, "q", (), False),)))
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
            return Select((Target(Star(), None),), (whole,))
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
            sources.append(self.from_item())
            while self.accept_mark(","):
                sources.append(self.from_item())
        where = self.expression() if self.accept_word("where") else None
        group: list[Expr | GroupingSets] = []
        group_distinct = False
        if self.accept_word("group", "by"):
            group_distinct = self.accept_word("distinct")
            if not group_distinct:
                self.accept_word("all")
            group.append(self._grouping())
            while self.accept_mark(","):
                group.append(self._grouping())
        having = self.expression() if self.accept_word("having") else None
        windows = self._windows() if self.accept_word("window") else ()
        return Select(
            tuple(targets), tuple(sources), where, tuple(group), having, distinct, distinct_on, group_distinct, windows
        )

    def _grouping(self) -> Expr | GroupingSets:
        """One item of GROUP BY."""
        if self.is_word("rollup", "cube") and self.is_mark("(", 1):
            kind = self.take().text
            self.expect_mark("(")
            items = [self._grouped()]
            while self.accept_mark(","):
                items.append(self._grouped())
            self.expect_mark(")")
            return GroupingSets(kind, tuple(items))
        if self.accept_word("grouping", "sets"):
            return self._grouping_sets()
        if self.is_mark("(") and self.is_mark(")", 1):
            self._at += 2
            return GroupingSets("sets", ((),))
        value = self.expression()
        return GroupingSets("sets", (value.items,)) if isinstance(value, Row) else value

    def _grouping_sets(self) -> GroupingSets:
        self._depth += 1
        if self._depth > NESTING_MAX:
            raise TextRefused("The catalog query is nested too deeply.")
        self.expect_mark("(")
        sets: list[tuple[Expr, ...] | GroupingSets] = []
        while True:
            if self.accept_word("grouping", "sets"):
                sets.append(self._grouping_sets())
            elif self.is_word("rollup", "cube") and self.is_mark("(", 1):
                nested = self._grouping()
                if isinstance(nested, GroupingSets):
                    sets.append(nested)
            else:
                sets.append(self._grouped())
            if not self.accept_mark(","):
                break
        self.expect_mark(")")
        self._depth -= 1
        return GroupingSets("sets", tuple(sets))

    def _grouped(self) -> tuple[Expr, ...]:
        """What one place of ROLLUP, CUBE or GROUPING SETS groups by: `a`, `(a, b)` or `()`."""
        if self.is_mark("(") and self.is_mark(")", 1):
            self._at += 2
            return ()
        value = self.expression()
        return value.items if isinstance(value, Row) else (value,)

    def _windows(self) -> tuple[tuple[str, Window], ...]:
        found = []
        while True:
            name = self.identifier()
            self.expect_word("as")
            found.append((name, self.window()))
            if not self.accept_mark(","):
                return tuple(found)

    def _target(self) -> Target:
        value = self.expression()
        if self.accept_word("as"):
            return Target(value, self.identifier(reserved=True))
        token = self.peek()
        if token.kind == "quoted" or (token.kind == "name" and token.text not in NOT_AN_ALIAS):
            self._at += 1
            return Target(value, token.text)
        return Target(value, None)


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
