"""Calls as written: arguments, worded forms (`extract(f from x)`), FILTER, WITHIN GROUP, OVER, ORDER BY."""

from __future__ import annotations

from engine.catalog.emulation.cursor import TokenCursor
from engine.catalog.emulation.tree import Call, Expr, Frame, FrameEdge, Literal, Row, Sort, Window
from governance.errors import SyntaxRefused

WORDED = ("extract", "substring", "trim", "position", "overlay")
"""Functions whose arguments may have words between them."""
_FRAMES = ("rows", "range", "groups")


class CallParser(TokenCursor):
    """What stands between a function's parentheses and after them; `TermParser` adds all other terms."""

    def expression(self) -> Expr:
        """A whole expression; given by `ExpressionParser`."""
        raise NotImplementedError

    def operators(self, floor: int) -> Expr:
        """An expression of operators that bind more tightly than `floor`; given by `ExpressionParser`."""
        raise NotImplementedError

    def expressions(self) -> tuple[Expr, ...]:
        """One or more, with commas between."""
        found = [self.expression()]
        while self.accept_mark(","):
            found.append(self.expression())
        return tuple(found)

    def worded_call(self, word: str, position: int) -> Expr:
        """A call of one of `WORDED`, as in `substring(x from a for b)` and `trim(both c from x)`."""
        self._at += 2
        name = word
        if word == "extract":
            field = self.take()
            if field.kind not in ("name", "string"):
                raise self.error()
            self.expect_word("from")
            arguments: tuple[Expr, ...] = (Literal("string", field.text), self.expression())
        elif word == "position":
            needle = self.operators(0)
            self.expect_word("in")
            arguments = (self.operators(0), needle)
        elif word == "trim":
            name, arguments = self._trim()
        elif word == "overlay":
            arguments = self._overlay()
        else:
            arguments = self._substring()
        self.expect_mark(")")
        return Call(("pg_catalog", name), arguments, position=position)

    def _trim(self) -> tuple[str, tuple[Expr, ...]]:
        sides = {"both": "btrim", "leading": "ltrim", "trailing": "rtrim"}
        name = sides[self.take().text] if self.is_word(*sides) else "btrim"
        first = None if self.is_word("from") else self.expression()
        if self.accept_word("from"):
            what = self.expression()
            return name, (what,) if first is None else (what, first)
        if first is None:
            raise self.error()
        return name, (first, *(self.expressions() if self.accept_mark(",") else ()))

    def _overlay(self) -> tuple[Expr, ...]:
        found = [self.expression()]
        if not self.accept_word("placing"):
            self.expect_mark(",")
            return (*found, *self.expressions())
        found.append(self.expression())
        self.expect_word("from")
        found.append(self.expression())
        if self.accept_word("for"):
            found.append(self.expression())
        return tuple(found)

    def _substring(self) -> tuple[Expr, ...]:
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
        return (first, *rest)

    def call(self, name: tuple[str, ...], position: int) -> Call:
        """A call whose name is read already."""
        self.expect_mark("(")
        star = distinct = variadic = False
        arguments: list[Expr] = []
        names: list[str] = []
        order: tuple[Sort, ...] = ()
        if self.accept_mark("*"):
            star = True
        elif not self.is_mark(")"):
            distinct = self.accept_word("distinct")
            self.accept_word("all")
            while True:
                variadic = self.accept_word("variadic")
                names.append(self._argument_name())
                arguments.append(self.expression())
                if variadic or not self.accept_mark(","):
                    break
            order = self.order()
        self.expect_mark(")")
        within: tuple[Sort, ...] = ()
        if self.accept_word("within", "group"):
            self.expect_mark("(")
            within = self.order()
            self.expect_mark(")")
        condition = None
        if self.accept_word("filter"):
            self.expect_mark("(")
            self.expect_word("where")
            condition = self.expression()
            self.expect_mark(")")
        over = self._over() if self.accept_word("over") else None
        given = tuple(arguments)
        told = tuple(names) if any(names) else ()
        return Call(name, given, star, distinct, order, condition, over, position, variadic, told, within)

    def _argument_name(self) -> str:
        """The name in `name => value`, if the next argument has one."""
        if self.peek().kind not in ("name", "quoted") or not self.is_mark("=>", 1):
            return ""
        name = self.identifier()
        self._at += 1
        return name

    # ------------------------------------------------------------ windows

    def _over(self) -> Window:
        if not self.is_mark("("):
            return Window(name=self.identifier(), whole=True)
        return self.window()

    def window(self) -> Window:
        """`([name] [PARTITION BY ...] [ORDER BY ...] [frame])`."""
        self.expect_mark("(")
        name = None
        if not self.is_mark(")") and not self.is_word("partition", "order", *_FRAMES):
            name = self.identifier()
        partition = self.expressions() if self.accept_word("partition", "by") else ()
        order = self.order()
        frame = self._frame() if self.is_word(*_FRAMES) else None
        self.expect_mark(")")
        return Window(partition, order, frame, name)

    def _frame(self) -> Frame:
        unit = self.take().text
        if self.accept_word("between"):
            start = self._edge()
            self.expect_word("and")
            end = self._edge()
        else:
            start, end = self._edge(), FrameEdge("current")
        exclude = ""
        if self.accept_word("exclude"):
            if self.accept_word("current", "row"):
                exclude = "current row"
            elif self.is_word("group", "ties"):
                exclude = self.take().text
            elif not self.accept_word("no", "others"):
                raise self.error()
        return Frame(unit, start, end, exclude)

    def _edge(self) -> FrameEdge:
        if self.accept_word("current", "row"):
            return FrameEdge("current")
        distance = None if self.accept_word("unbounded") else self.expression()
        if not self.is_word("preceding", "following"):
            raise self.error()
        return FrameEdge(self.take().text, distance)

    # ------------------------------------------------------------ order

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
        if not descending and not self.accept_word("asc") and self.accept_word("using"):
            token = self.take()
            if token.text not in ("<", ">"):
                raise SyntaxRefused("ORDER BY USING takes < or >.", position=token.position + 1)
            descending = token.text == ">"
        nulls_first = None
        if self.accept_word("nulls"):
            nulls_first = self.accept_word("first")
            if not nulls_first:
                self.expect_word("last")
        return Sort(value, descending, nulls_first)


def overlaps(left: Row, right: Row, position: int) -> Call:
    """`(a, b) OVERLAPS (c, d)` as the call it is."""
    return Call(("pg_catalog", "overlaps"), (*left.items, *right.items), position=position)
