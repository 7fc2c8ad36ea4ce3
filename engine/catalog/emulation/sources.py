"""FROM clauses of catalog queries: relations, functions, derived tables, joins; each adds its columns to the scope."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from engine.catalog.emulation import json_functions
from engine.catalog.emulation import types as t
from engine.catalog.emulation.expressions import ExpressionTranslator
from engine.catalog.emulation.scope import Scope, Source, SourceColumn, column_sql
from engine.catalog.emulation.session_relations import session_text
from engine.catalog.emulation.set_functions import RELATION_COLUMNS, RELATIONS, rows_of
from engine.catalog.emulation.tree import (
    Call,
    FromItem,
    FunctionRef,
    Join,
    JoinRef,
    Query,
    QueryRef,
    SetOperation,
    TableRef,
)
from engine.catalog.emulation.values import (
    CatalogRefused,
    Parameters,
    Value,
    cast,
    identifier,
    named,
    settle,
)
from governance.errors import StatementRefused, TableUnknown

SCHEMA_PREFIX = "hd_"
"""DuckDB schemas of the catalog instance: `hd_pg_catalog`, `hd_information_schema`."""

FUNCTION_COLUMNS: dict[str, tuple[tuple[str, int], ...]] = {
    "pg_get_keywords": (
        ("word", t.TEXT), ("catcode", t.CHAR), ("barelabel", t.BOOL), ("catdesc", t.TEXT), ("baredesc", t.TEXT),
    ),
    "ts_token_type": (("tokid", t.INT4), ("alias", t.TEXT), ("description", t.TEXT)),
}  # fmt: skip
"""Functions with fixed rows, kept as relations of pg_catalog that only they name."""


@dataclass(frozen=True, slots=True)
class Body:
    """A query not yet printed: its columns, some perhaps untyped, and how to print it with types for all."""

    columns: list[Value]
    """`label` is the column's name."""
    render: Callable[[list[Value]], str]

    def printed(self, types: list[int], parameters: Parameters) -> str:
        """DuckDB text whose columns have `types`, named c1, c2, ..."""
        done = [cast(settle(v, k, parameters), k) for v, k in zip(self.columns, types, strict=True)]
        return self.render(done)

    def types(self) -> list[int]:
        """Types with text for what nothing has typed."""
        return [t.TEXT if v.untyped else v.type for v in self.columns]


def in_order(query: Query, text: str) -> str:
    """The text of a query inside another, whose rows come as PostgreSQL gives them: aggregates take them so.

    DuckDB feeds the parts of a UNION ALL to an aggregate in another order, unless an OFFSET stands between.
    """
    parts = isinstance(query.body, SetOperation) and query.body.all
    return f"{text} OFFSET 0" if parts and not (query.order or query.limit or query.offset) else text


class SourceTranslator(ExpressionTranslator):
    """FROM clauses; `QueryTranslator` adds whole queries."""

    def __init__(self, parameters: Parameters) -> None:
        super().__init__(parameters)
        self.relations: set[tuple[str, str]] = set()

    def query(self, node: Query, outer: Scope | None) -> Body:
        """A query seen from `outer`; given by `QueryTranslator`."""
        raise NotImplementedError

    def source(self, item: FromItem, scope: Scope) -> str:
        """The text of a FROM item, whose sources are added to `scope`."""
        match item:
            case TableRef():
                return self._table(item, scope)
            case FunctionRef():
                return self._function(item, scope)
            case QueryRef():
                return self._derived(item, scope)
            case Join():
                return self._join(item, scope)
            case JoinRef():
                return self._named_join(item, scope)

    @staticmethod
    def _renamed(columns: list[SourceColumn], names: tuple[str, ...]) -> list[SourceColumn]:
        if len(names) > len(columns):
            raise CatalogRefused("42P10", "A table has fewer columns than its alias names.")
        return [replace(c, name=names[i]) if i < len(names) else c for i, c in enumerate(columns)]

    def _table(self, item: TableRef, scope: Scope) -> str:
        name = item.parts[-1]
        internal = self.alias("t")
        common = scope.common(name) if len(item.parts) == 1 else None
        if common is not None:
            columns = [replace(column, sql=f"{internal}.c{i}") for i, column in enumerate(common.columns, 1)]
            scope.sources.append(Source(item.alias or name, self._renamed(columns, item.columns)))
            return f"{common.internal} AS {internal}"
        schema = item.parts[-2] if len(item.parts) > 1 else "pg_catalog"
        relation = t.relations().get((schema, name))
        if relation is None or len(item.parts) > 3:
            shown = named(".".join(item.parts))
            raise TableUnknown(f"relation {shown} does not exist", position=item.position + 1)
        self.relations.add((schema, name))
        columns = [SourceColumn(n, column_sql(internal, n), k, m) for n, k, m in relation.columns]
        source = Source(item.alias or name, self._renamed(columns, item.columns), relation_oid=relation.oid)
        source.row_type = t.row_type(schema, name)
        if item.alias is None:
            source.relation = (schema, name)
        scope.sources.append(source)
        text = f"{SCHEMA_PREFIX}{schema}.{identifier(name)}"
        if schema == "pg_catalog":
            text = session_text(self, name, text) or text
        return f"{text} AS {internal}"

    def _function(self, item: FunctionRef, scope: Scope) -> str:
        internal = self.alias("t")
        call: Call = item.call
        alias = item.alias or call.name[-1]
        if call.name[-1] in RELATIONS and call.name[:-1] in ((), ("pg_catalog",)):
            name = RELATIONS[call.name[-1]]
            if name != call.name[-1] or ("pg_catalog", name) in t.relations():
                text = self._table(TableRef(("pg_catalog", name), alias, (), call.position), scope)
                source, kept = scope.sources[-1], RELATION_COLUMNS.get(call.name[-1])
                columns = [c for c in source.columns if kept is None or c.name in kept]
                source.columns = self._renamed(columns, item.columns)
                return text
            self.relations.add(("pg_catalog", name))
            columns = [SourceColumn(n, column_sql(internal, n), k) for n, k in FUNCTION_COLUMNS[name]]
            scope.sources.append(Source(alias, self._renamed(columns, item.columns)))
            return f"{SCHEMA_PREFIX}pg_catalog.{name} AS {internal}"
        if len(call.name) == 2 and call.name[0] not in ("pg_catalog", "information_schema"):
            raise StatementRefused("A function in the catalog query is not available.")
        lateral = Scope(parent=scope)
        if item.beside:
            return self._beside(item, lateral, scope)
        if item.types:
            kinds = [self.resolve_type(name) for name in item.types]
            found = json_functions.records_of(self, call, lateral, list(zip(item.columns, kinds, strict=True)))
        else:
            found = rows_of(self, call, lateral)
        inner = self.alias("u")
        texts = [f"{text.replace('{item}', f'{inner}.i')} AS c{i}" for i, (_, text, _) in enumerate(found.columns, 1)]
        names = [(name, kind) for name, _, kind in found.columns]
        scalar = len(names) == 1
        if scalar and item.alias is not None and names[0][0] == call.name[-1]:
            names = [(item.alias, names[0][1])]
        lists = f"unnest({found.items}) AS i"
        if item.ordinality:
            lists += f", unnest(generate_series(1, len({found.items}))) AS o"
            texts.append(f"CAST({inner}.o AS BIGINT) AS c{len(names) + 1}")
            names.append(("ordinality", t.INT8))
        columns = [SourceColumn(n, f"{internal}.c{i}", k) for i, (n, k) in enumerate(names, 1)]
        scope.sources.append(Source(alias, self._renamed(columns, item.columns), scalar=scalar))
        return f"LATERAL (SELECT {', '.join(texts)} FROM (SELECT {lists}) AS {inner}) AS {internal}"

    def _beside(self, item: FunctionRef, lateral: Scope, scope: Scope) -> str:
        """`ROWS FROM (f(...), g(...))`: their rows side by side, NULL where one has fewer."""
        internal, inner = self.alias("t"), self.alias("u")
        lists, texts, names = list[str](), list[str](), list[tuple[str, int]]()
        found = [rows_of(self, call, lateral) for call in (item.call, *item.beside)]
        for place, each in enumerate(found, 1):
            lists.append(f"unnest({each.items}) AS i{place}")
            for name, text, kind in each.columns:
                texts.append(f"{text.replace('{item}', f'{inner}.i{place}')} AS c{len(texts) + 1}")
                names.append((name, kind))
        if item.ordinality:
            longest = f"greatest({', '.join(f'len({each.items})' for each in found)})"
            lists.append(f"unnest(generate_series(1, {longest})) AS o")
            texts.append(f"CAST({inner}.o AS BIGINT) AS c{len(texts) + 1}")
            names.append(("ordinality", t.INT8))
        columns = [SourceColumn(n, f"{internal}.c{i}", k) for i, (n, k) in enumerate(names, 1)]
        alias = item.alias or item.call.name[-1]
        scope.sources.append(Source(alias, self._renamed(columns, item.columns)))
        return f"LATERAL (SELECT {', '.join(texts)} FROM (SELECT {', '.join(lists)}) AS {inner}) AS {internal}"

    def _derived(self, item: QueryRef, scope: Scope) -> str:
        internal = self.alias("t")
        # Without LATERAL a derived table sees the outer levels but not its neighbours.
        seen = scope if item.lateral else Scope(parent=scope.parent, commons=scope.commons)
        body = self.query(item.query, seen)
        types = body.types()
        text = in_order(item.query, body.printed(types, self.parameters)) if types else body.render([])
        columns = [
            SourceColumn.of(c, f"{internal}.c{i}", k)
            for i, (c, k) in enumerate(zip(body.columns, types, strict=True), 1)
        ]
        scope.sources.append(Source(item.alias, self._renamed(columns, item.columns)))
        return f"{'LATERAL ' if item.lateral else ''}({text}) AS {internal}"

    def _join(self, item: Join, scope: Scope) -> str:
        before = len(scope.sources)
        left = self.source(item.left, scope)
        middle = len(scope.sources)
        right = self.source(item.right, scope)
        if item.kind == "cross":
            return f"({left} CROSS JOIN {right})"
        using = item.using
        lefts, rights = scope.sources[before:middle], scope.sources[middle:]
        if item.natural:
            theirs = {c.name for s in rights for c in s.columns if c.name not in s.hidden}
            using = tuple(c.name for s in lefts for c in s.columns if c.name not in s.hidden and c.name in theirs)
        if using or item.natural:
            condition = self._using(using, lefts, rights, scope, item.kind)
        else:
            condition = self.condition(item.on, scope) if item.on is not None else "TRUE"
        if item.kind == "left" and "(SELECT " in condition and len(rights) == 1 and isinstance(item.right, TableRef):
            # DuckDB knows correlated queries in the condition of a lateral table, not in that of an outer join.
            alias = right.rpartition(" AS ")[2]
            return f"({left} LEFT JOIN LATERAL (SELECT * FROM {right} WHERE {condition}) AS {alias} ON TRUE)"
        return f"({left} {item.kind.upper()} JOIN {right} ON {condition})"

    def _named_join(self, item: JoinRef, scope: Scope) -> str:
        """`(a JOIN b) AS j`: what is inside is reached through the alias only."""
        inner = Scope(parent=scope.parent, commons=scope.commons)
        inner.sources += scope.sources
        known, merged = len(scope.sources), len(scope.merged)
        inner.merged += scope.merged
        text = self.source(item.join, inner)
        joined = Scope(sources=inner.sources[known:], merged=inner.merged[merged:])
        scope.sources.append(Source(item.alias, self._renamed(joined.star(()), item.columns)))
        return text

    def _using(self, names: tuple[str, ...], lefts: list[Source], rights: list[Source], scope: Scope, kind: str) -> str:
        tests, merged = [], []
        for name in names:
            sides = []
            for sources in (lefts, rights):
                found = [c for s in sources if name not in s.hidden and (c := s.find(name)) is not None]
                if len(found) != 1:
                    raise CatalogRefused("42703", "A column of USING is not in both tables once.")
                sides.append(found[0])
            left, right = sides
            tests.append(self.compare("=", Value(left.sql, left.type), Value(right.sql, right.type)))
            text = {"right": right.sql, "full": f"coalesce({left.sql}, {right.sql})"}.get(kind, left.sql)
            merged.append(SourceColumn(name, text, left.type, left.modifier))
        for source in (*lefts, *rights):
            source.hidden |= set(names)
        scope.merged += merged
        return " AND ".join(tests) or "TRUE"
