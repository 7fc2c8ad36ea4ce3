"""Queries of a catalog statement to DuckDB text: select lists, FROM, set operations, common table expressions.

Every name in the text is ours: tables are `t1, t2, ...`, columns of derived tables `c1, c2, ...`. So nothing a client
calls something can shadow, collide with or escape into anything else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from engine.catalog.emulation import grouping
from engine.catalog.emulation import types as t
from engine.catalog.emulation.coercions import common_type
from engine.catalog.emulation.expressions import sort_text
from engine.catalog.emulation.functions import SettingWrite
from engine.catalog.emulation.scope import CommonTable, Scope, SourceColumn
from engine.catalog.emulation.sources import Body, SourceTranslator, in_order
from engine.catalog.emulation.tree import (
    Column,
    Common,
    Expand,
    Expr,
    GroupingSets,
    Literal,
    Query,
    Select,
    SetOperation,
    Sort,
    Star,
    Values,
)
from engine.catalog.emulation.values import (
    CatalogRefused,
    Parameters,
    Value,
    cast,
    settle,
)
from governance.errors import StatementRefused


class QueryTranslator(SourceTranslator):
    """Translates whole queries."""

    def __init__(self, parameters: Parameters) -> None:
        super().__init__(parameters)
        self.setting_writes: list[SettingWrite] = []
        self.signaling = False

    # ------------------------------------------------------------ queries as values

    def scalar(self, query: Query, scope: Scope) -> Value:
        """A one-column query as a value."""
        body = self.query(query, scope)
        if len(body.columns) != 1:
            raise CatalogRefused("42601", "A query used as a value must have one column.")
        kind = body.types()[0]
        only = body.columns[0]
        text = body.printed([kind], self.parameters)
        return Value(
            f"({text})",
            kind,
            label=only.label,
            firm=only.label != "?column?",
            modifier=only.modifier,
            fields=only.fields,
            items=only.items,
            depth=only.depth,
        )

    def column_query(self, query: Query, scope: Scope, wanted: int) -> Value:
        """A one-column query: its text, not in parentheses, and its column's type; an untyped one becomes `wanted`."""
        body = self.query(query, scope)
        if len(body.columns) != 1:
            raise CatalogRefused("42601", "A query used as a value must have one column.")
        only = body.columns[0]
        kind = wanted if only.untyped else only.type
        return Value(
            body.printed([kind], self.parameters), kind, fields=only.fields, items=only.items, depth=only.depth
        )

    def rows_query(self, query: Query, scope: Scope, values: list[Value]) -> tuple[str, list[int]]:
        """A query's text and types, for comparison with a row of `values`, whose types its untyped columns take."""
        body = self.query(query, scope)
        if len(body.columns) != len(values):
            few = "few" if len(body.columns) < len(values) else "many"
            raise CatalogRefused("42601", f"subquery has too {few} columns")
        kinds = [
            c.type if not c.untyped else t.TEXT if v.untyped else v.type
            for c, v in zip(body.columns, values, strict=True)
        ]
        return body.printed(kinds, self.parameters), kinds

    def any_query(self, query: Query, scope: Scope) -> str:
        """A query's text, whatever its columns."""
        body = self.query(query, scope)
        if not body.columns:
            return body.render([])
        return body.printed(body.types(), self.parameters)

    # ------------------------------------------------------------ query levels

    def query(self, node: Query, outer: Scope | None) -> Body:
        """A query expression seen from `outer`."""
        scope = Scope(parent=outer)
        prefix = self._commons(node, scope)
        if isinstance(node.body, Select):
            body = self._select(node.body, scope, node.order)
        else:
            body = self._set_or_values(node.body, scope, node.order)
        tail = self._limits(node)

        def render(columns: list[Value]) -> str:
            return f"{prefix}{body.render(columns)}{tail}"

        return Body(body.columns, render)

    def _limits(self, node: Query) -> str:
        tail = ""
        empty = Scope(parent=None)
        if node.limit is not None:
            tail += f" LIMIT {cast(self.typed(node.limit, empty, t.INT8), t.INT8).sql}"
        if node.offset is not None:
            tail += f" OFFSET {cast(self.typed(node.offset, empty, t.INT8), t.INT8).sql}"
        return tail

    def _commons(self, node: Query, scope: Scope) -> str:
        if not node.commons:
            return ""
        texts = []
        for common in node.commons:
            internal = self.alias("w")
            body = common.query.body
            if node.recursive and isinstance(body, SetOperation):
                text = self._recursive(common, body, internal, scope)
            else:
                text = self._common(common, internal, scope)
            width = len(scope.commons[common.name].columns)
            texts.append(f"{internal}({', '.join(f'c{i + 1}' for i in range(width))}) AS ({text})")
        return f"WITH {'RECURSIVE ' if node.recursive else ''}{', '.join(texts)} "

    @staticmethod
    def _declare(common: Common, internal: str, columns: list[Value], types: list[int], scope: Scope) -> None:
        names = list(common.columns) + [c.label for c in columns[len(common.columns) :]]
        if len(names) > len(columns):
            raise CatalogRefused("42P10", "A WITH query has fewer columns than names.")
        shape = tuple(SourceColumn.of(c, "", k, n) for n, k, c in zip(names, types, columns, strict=True))
        scope.commons[common.name] = CommonTable(internal, shape)

    def _common(self, common: Common, internal: str, scope: Scope) -> str:
        body = self.query(common.query, scope)
        types = body.types()
        text = in_order(common.query, body.printed(types, self.parameters))
        self._declare(common, internal, body.columns, types, scope)
        return text

    def _recursive(self, common: Common, operation: SetOperation, internal: str, scope: Scope) -> str:
        if operation.operator != "union" or common.query.order or common.query.limit or common.query.commons:
            return self._common(common, internal, scope)
        left = self.query(operation.left, scope)
        types = left.types()
        self._declare(common, internal, left.columns, types, scope)
        right = self.query(operation.right, scope)
        if len(right.columns) != len(types):
            raise CatalogRefused("42601", "Each query of a UNION must have the same number of columns.")
        word = "UNION ALL" if operation.all else "UNION"
        return f"{left.printed(types, self.parameters)} {word} {right.printed(types, self.parameters)}"

    # ------------------------------------------------------------ SELECT

    def _select(self, node: Select, scope: Scope, order: tuple[Sort, ...]) -> Body:
        scope.windows = dict(node.windows)
        source = ", ".join(self.source(item, scope) for item in node.sources)
        columns: list[Value] = []
        for target in node.targets:
            if isinstance(target.value, Star):
                columns += [column.value for column in scope.star(target.value.parts)]
                continue
            if isinstance(target.value, Expand):
                columns += self.expanded(target.value, scope)
                continue
            value = self.translate(target.value, scope)
            columns.append(replace(value, label=target.name or value.label))
        if node.distinct and not node.distinct_on:
            _equals(columns)
        where = f" WHERE {self.condition(node.where, scope)}" if node.where is not None else ""
        source += self._sets_before_groups(node, columns) if source else ""
        having = f" HAVING {self.condition(node.having, scope)}" if node.having is not None else ""
        group = self._group(node, columns, scope)
        sorts = [self._sort(s, columns, scope, bool(node.distinct and not node.distinct_on)) for s in order]
        on = ", ".join(self._distinct_on(e, columns, scope) for e in node.distinct_on)

        def render(done: list[Value]) -> str:
            head = "SELECT "
            if on:
                head += f"DISTINCT ON ({on}) "
            elif node.distinct:
                head += "DISTINCT "
            shown = ", ".join(f"{v.sql} AS c{i}" for i, v in enumerate(done, 1)) or "1 AS c1"
            text = head + shown + (f" FROM {source}" if source else "") + where
            text += group([v.sql for v in done]) + having
            if sorts:
                text += " ORDER BY " + ", ".join(s([v.sql for v in done]) for s in sorts)
            return text

        return Body(columns, render)

    def _sets_before_groups(self, node: Select, columns: list[Value]) -> str:
        """The sets of a select list as items of FROM, where DuckDB wants what GROUP BY is to group."""
        added = ""
        for place, column in enumerate(columns):
            if node.group and column.returns_set and column.sql.startswith("unnest("):
                alias = self.alias("u")
                added += f", LATERAL (SELECT {column.sql} AS i) AS {alias}"
                columns[place] = replace(column, sql=f"{alias}.i", returns_set=False)
        return added

    def _place(self, node: Expr, count: int) -> int | None:
        """The 0-based column that an integer in ORDER BY or GROUP BY means."""
        if not isinstance(node, Literal) or node.kind != "integer":
            return None
        place = int(node.text) - 1
        if not 0 <= place < count:
            raise CatalogRefused("42P10", "A position is not in the select list.")
        return place

    @staticmethod
    def _labelled(node: Expr, columns: list[Value]) -> int | None:
        """The column whose name a bare name in ORDER BY means."""
        if not isinstance(node, Column) or len(node.parts) != 1:
            return None
        found = [i for i, c in enumerate(columns) if c.label == node.parts[0]]
        if len({columns[i].sql for i in found}) > 1:
            raise CatalogRefused("42702", "A name in ORDER BY is ambiguous.")
        return found[0] if found else None

    def _sort(self, sort: Sort, columns: list[Value], scope: Scope, distinct: bool) -> Callable[[list[str]], str]:
        place = self._place(sort.value, len(columns))
        if place is None:
            place = self._labelled(sort.value, columns)
        if place is None:
            text = self.typed(sort.value, scope).sql
            same = [i for i, c in enumerate(columns) if c.sql == text]
            if not same:
                if distinct:
                    raise CatalogRefused("42P10", "For SELECT DISTINCT, ORDER BY expressions must be selected.")
                return lambda _: sort_text(text, sort)
            place = same[0]
        found = place
        return lambda _: sort_text(str(found + 1), sort)

    def _distinct_on(self, node: Expr, columns: list[Value], scope: Scope) -> str:
        place = self._place(node, len(columns))
        if place is None and self._labelled(node, columns) is not None:
            place = self._labelled(node, columns)
        return self.typed(node, scope).sql if place is None else columns[place].sql

    def _group(self, select: Select, columns: list[Value], scope: Scope) -> Callable[[list[str]], str]:
        wanted = grouping.sets(select.group)
        plain: list[grouping.Set] = [tuple(each for each in select.group if not isinstance(each, GroupingSets))]
        lists = [
            [self._grouped(node, columns, scope) for node in each] for each in (plain if wanted is None else wanted)
        ]
        if select.group_distinct:
            lists = list({frozenset(each): each for each in lists}.values())

        def shown(texts: list[str | int], done: list[str]) -> str:
            return ", ".join(done[x] if isinstance(x, int) else x for x in texts)

        def render(done: list[str]) -> str:
            if wanted is not None:
                return f" GROUP BY GROUPING SETS ({', '.join(f'({shown(texts, done)})' for texts in lists)})"
            return f" GROUP BY {shown(lists[0], done)}" if lists[0] else ""

        return render

    def _grouped(self, node: Expr, columns: list[Value], scope: Scope) -> str | int:
        """One item of GROUP BY: its text, or the 0-based column it means."""
        place = self._place(node, len(columns))
        if place is None and isinstance(node, Column) and len(node.parts) == 1 and not scope.has(node.parts[0]):
            place = self._labelled(node, columns)
        value = self.typed(node, scope) if place is None else columns[place]
        _equals([value])
        return value.sql if place is None else place

    # ------------------------------------------------------------ set operations and VALUES

    def _set_or_values(self, node: Values | SetOperation, scope: Scope, order: tuple[Sort, ...]) -> Body:
        body = self._values(node, scope) if isinstance(node, Values) else self._set(node, scope)
        sorts = []
        for sort in order:
            place = self._place(sort.value, len(body.columns))
            if place is None:
                place = self._labelled(sort.value, body.columns)
            if place is None:
                raise StatementRefused("ORDER BY on a set operation takes names and positions of its columns.")
            sorts.append(sort_text(str(place + 1), sort))
        tail = f" ORDER BY {', '.join(sorts)}" if sorts else ""
        return Body(body.columns, lambda done: body.render(done) + tail)

    def _set(self, node: SetOperation, scope: Scope) -> Body:
        left, right = self.query(node.left, scope), self.query(node.right, scope)
        if len(left.columns) != len(right.columns):
            raise CatalogRefused("42601", "Each query of a UNION must have the same number of columns.")
        types = []
        for a, b in zip(left.columns, right.columns, strict=True):
            met = common_type(t.UNKNOWN if a.untyped else a.type, t.UNKNOWN if b.untyped else b.type)
            if not met:
                raise CatalogRefused("42804", "The queries of a set operation have columns of different types.")
            types.append(met)
        columns = []
        for a, b, met in zip(left.columns, right.columns, types, strict=True):
            if met == t.UNKNOWN:
                literal = a.literal is not None or b.literal is not None
                columns.append(Value("", t.TEXT if literal else t.UNKNOWN, null=not literal, label=a.label))
            else:
                if a.depth != b.depth:
                    raise StatementRefused("A set operation over arrays of different dimensions is not supported.")
                modifier = a.modifier if a.modifier == b.modifier else -1
                column = Value("", met, label=a.label, firm=True, modifier=modifier, depth=a.depth)
                columns.append(replace(column, fields=a.fields or b.fields, items=a.items or b.items))
        if not node.all:
            _equals(columns)
        word = f"{node.operator.upper()}{' ALL' if node.all else ''}"

        def render(done: list[Value]) -> str:
            kinds = [v.type for v in done]
            parts = []
            for side, origin in ((left, node.left), (right, node.right)):
                text = side.printed(kinds, self.parameters)
                plain = isinstance(origin.body, Select) and not (
                    origin.order or origin.limit or origin.offset or origin.commons
                )
                parts.append(text if plain else f"({text})")
            return f"{parts[0]} {word} {parts[1]}"

        return Body(columns, render)

    def _values(self, node: Values, scope: Scope) -> Body:
        widths = {len(row) for row in node.rows}
        if len(widths) != 1:
            raise CatalogRefused("42601", "VALUES lists must all be the same length.")
        rows = [[self.translate(item, scope) for item in row] for row in node.rows]
        columns = []
        for place in range(widths.pop()):
            kind = t.UNKNOWN
            for row in rows:
                met = common_type(kind, t.UNKNOWN if row[place].untyped else row[place].type)
                if not met:
                    raise CatalogRefused("42804", "VALUES have columns of different types.")
                kind = met
            label = f"column{place + 1}"
            columns.append(Value("", kind, null=kind == t.UNKNOWN, label=label, firm=True))

        def render(done: list[Value]) -> str:
            lists = []
            for row in rows:
                items = [cast(settle(v, d.type, self.parameters), d.type).sql for v, d in zip(row, done, strict=True)]
                lists.append(f"({', '.join(items)})")
            names = ", ".join(f"c{i}" for i in range(1, len(done) + 1))
            return f"SELECT * FROM (VALUES {', '.join(lists)}) AS {self.alias('v')}({names})"

        return Body(columns, render)


def _equals(values: list[Value]) -> None:
    """Refuse to tell equal values apart where PostgreSQL has no such operator.

    Raises:
        CatalogRefused: one of them is json (42883).
    """
    if any(value.type == t.JSON for value in values):
        raise CatalogRefused("42883", "could not identify an equality operator for type json")
