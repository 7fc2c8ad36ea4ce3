"""One walk over DuckDB's tree of a statement: what it reads, calls, names and filters by, scope by scope.

Only node kinds and fields listed here are understood; anything else refuses the statement. Names of common table
expressions are resolved as DuckDB resolves them (a name is visible to later siblings and to the query, and to itself
only in a recursive one), so what remains are references to stored tables.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from engine.pipeline.definitions import align, define_item, define_values, rename, rename_query
from engine.pipeline.survey import CHILDREN, Call, Node, Place, Survey, TableRef, children
from governance.errors import StatementRefused, TextRefused
from governance.tables import fold

Scope = Mapping[str, bool]
"""Folded CTE name -> whether it may be named here (False: declared later in the same WITH)."""

ARROWS_MAX = 10
"""`a -> b` may be a lambda or a JSON path: DuckDB tries both, so each that stands in another doubles its work."""
DEPTH_MAX = 300
"""How many operators may stand in one another, as in a chain; anything else counts for three."""
_LIGHT = frozenset({"+", "-", "*", "/", "//", "%", "||", "&", "|"})
QUERY_NODES = frozenset({"SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE"})
_QUERY_FIELDS: dict[str, frozenset[str]] = {
    "SELECT_NODE": frozenset(
        {"select_list", "from_table", "where_clause", "group_expressions", "group_sets", "aggregate_handling"}
        | {"having", "sample", "qualify"}
    ),
    "SET_OPERATION_NODE": frozenset({"setop_type", "left", "right", "setop_all", "children"}),
    "RECURSIVE_CTE_NODE": frozenset({"cte_name", "union_all", "left", "right", "aliases", "key_targets"}),
}
_QUERY_COMMON = frozenset({"type", "modifiers", "cte_map"})
_TABLE_COMMON = frozenset({"type", "alias", "sample", "query_location", "column_name_alias"})
_TABLE_FIELDS: dict[str, frozenset[str]] = {
    "BASE_TABLE": frozenset({"schema_name", "table_name", "catalog_name"}),
    "SUBQUERY": frozenset({"subquery"}),
    "JOIN": frozenset({"left", "right", "condition", "join_type", "ref_type", "using_columns"}),
    "TABLE_FUNCTION": frozenset({"function", "with_ordinality"}),
    "EXPRESSION_LIST": frozenset({"expected_names", "expected_types", "values"}),
    "EMPTY": frozenset(),
    "PIVOT": frozenset({"source", "aggregates", "unpivot_names", "pivots", "groups", "include_nulls"}),
    "SHOW_REF": frozenset({"query", "show_type"}),
}
_EXPRESSION_COMMON = frozenset({"class", "type", "alias", "query_location"})
_FACTS: dict[str, frozenset[str]] = {
    "CONSTANT": frozenset({"value"}),
    "COLUMN_REF": frozenset({"column_names"}),
    "PARAMETER": frozenset({"identifier"}),
    "POSITIONAL_REFERENCE": frozenset({"index"}),
    "FUNCTION": frozenset({"function_name", "schema", "catalog", "order_bys", "distinct", "is_operator"}),
    "CASE": frozenset({"case_checks"}),
    "CAST": frozenset({"cast_type", "try_cast"}),
    "SUBQUERY": frozenset({"subquery", "subquery_type", "comparison_type"}),
    "WINDOW": frozenset(
        {"function_name", "schema", "catalog", "orders", "start", "end", "ignore_nulls", "distinct", "arg_orders"}
        | {"exclude_clause"}
    ),
    "STAR": frozenset(
        {"relation_name", "exclude_list", "replace_list", "rename_list", "columns", "unpacked"}
        | {"qualified_exclude_list"}
    ),
    "COLLATE": frozenset({"collation"}),
}


def _refuse(what: str, node: Node, advice: str = "") -> StatementRefused:
    at = node.get("query_location")
    return StatementRefused(what, advice=advice, position=at + 1 if isinstance(at, int) else None)


def _only(node: Node, allowed: frozenset[str], common: frozenset[str]) -> None:
    unknown = node.keys() - allowed - common
    if unknown:
        raise _refuse(f"This form is not accepted ({min(unknown)} on {node['type']}).", node)


def too_deep() -> TextRefused:
    """The refusal of a statement whose expressions stand too deep in one another."""
    return TextRefused(
        f"The statement is nested too deeply: a chain of operators has at most {DEPTH_MAX} of them.",
        advice="Put parts of the chain in brackets, or use concat, list_sum, IN.",
    )


class Surveyor:
    """The walk itself; `survey` is what it has found so far."""

    def __init__(self) -> None:
        self.survey = Survey()
        self._arrows = 0
        self._depth = 0
        self._nesting = 0

    def query(self, node: Node, scope: Scope) -> None:
        """A query node and everything below it."""
        kind = node.get("type", "")
        if kind not in QUERY_NODES:
            raise _refuse(f"This kind of query is not accepted ({kind}).", node)
        _only(node, _QUERY_FIELDS[kind], _QUERY_COMMON)
        scope = self._with(node.get("cte_map", {}).get("map", ()), scope)
        for modifier in node.get("modifiers", ()):
            self._modifier(modifier, scope)
        if kind == "SELECT_NODE":
            self._select(node, scope)
            return
        if kind == "RECURSIVE_CTE_NODE":
            if node.get("key_targets"):
                raise _refuse("USING KEY is not accepted.", node)
            self.query(node["left"], scope)
            self.query(node["right"], {**scope, fold(node["cte_name"]): True})
            align(self.survey, [node["left"], node["right"]])
            return
        branches = node.get("children", ()) or (node["left"], node["right"])
        for branch in branches:
            self.query(branch, scope)
        align(self.survey, branches)

    def _with(self, entries: Sequence[Node], scope: Scope) -> Scope:
        if not entries:
            return scope
        names = [fold(entry["key"]) for entry in entries]
        for i, entry in enumerate(entries):
            info = entry["value"]
            if info.keys() - {"aliases", "query", "materialized", "key_targets"} or info.get("key_targets"):
                raise StatementRefused("This form of WITH is not accepted.")
            inner = dict(scope)
            inner.update(dict.fromkeys(names[i + 1 :], False))
            inner.update(dict.fromkeys(names[:i], True))
            self.survey.relation_names.add(names[i])
            self._subquery(info["query"], inner)
            rename_query(self.survey, info.get("aliases", ()), info["query"]["node"])
        return {**scope, **dict.fromkeys(names, True)}

    def _subquery(self, holder: Node, scope: Scope) -> None:
        if holder.keys() - {"node"}:
            raise StatementRefused("This form of sub-query is not accepted.")
        self._below(holder["node"], scope)

    def _below(self, node: Node, scope: Scope) -> None:
        self._nesting += 1
        self.survey.nested = True
        self.query(node, scope)
        self._nesting -= 1

    def _modifier(self, node: Node, scope: Scope) -> None:
        kind = node.get("type", "")
        if kind == "ORDER_MODIFIER":
            for order in node.get("orders", ()):
                self.expression(order["expression"], scope)
        elif kind == "DISTINCT_MODIFIER":
            for target in node.get("distinct_on_targets", ()):
                self.expression(target, scope)
        elif kind in ("LIMIT_MODIFIER", "LIMIT_PERCENT_MODIFIER"):
            for name in ("limit", "offset"):
                if node.get(name):
                    self.expression(node[name], scope)
        else:
            raise _refuse("This clause is not accepted.", node)

    def _select(self, node: Node, scope: Scope) -> None:
        self.survey.selects.append(node)
        self._sample(node)
        if node.get("from_table"):
            self.table(node["from_table"], scope)
        for item in node.get("select_list", ()):
            tables, columns = len(self.survey.tables), len(self.survey.columns)
            self.expression(item, scope)
            added = self.survey.columns[columns:]
            long = any(len(column["column_names"]) > 2 for column in added) and item["class"] != "COLUMN_REF"
            self.survey.names_by_text |= long or len(self.survey.tables) > tables
            define_item(self.survey, item, nested=self._nesting > 0)
        for name in ("where_clause", "having", "qualify"):
            if node.get(name):
                self.survey.conditions.append(node[name])
                self.expression(node[name], scope)
        for item in node.get("group_expressions", ()):
            self.expression(item, scope)

    def table(self, node: Node, scope: Scope) -> None:
        """Anything that may stand in FROM."""
        kind = node.get("type", "")
        if kind not in _TABLE_FIELDS:
            raise _refuse("This kind of table reference is not accepted.", node)
        if node.get("at_clause"):
            raise _refuse("AT (VERSION or TIMESTAMP) is not accepted: tables have no past here.", node)
        _only(node, _TABLE_FIELDS[kind], _TABLE_COMMON)
        self._sample(node)
        if kind == "SUBQUERY":
            rename_query(self.survey, node.get("column_name_alias", ()), node["subquery"]["node"])
        else:
            rename(self.survey, node.get("column_name_alias", ()))
        names = {fold(name) for name in (node.get("alias"), node.get("table_name")) if name}
        self.survey.relation_names |= names
        stored = len(self.survey.tables)
        if kind == "BASE_TABLE":
            self._base(node, scope)
        elif kind == "SUBQUERY":
            self._subquery(node["subquery"], scope)
        elif kind == "JOIN":
            self._join(node, scope)
        elif kind == "TABLE_FUNCTION":
            self._table_function(node, scope)
        elif kind == "EXPRESSION_LIST":
            rename(self.survey, node.get("expected_names", ()))
            for row in node["values"]:
                self.survey.fed += row
                define_values(self.survey, row)
                for item in row:
                    self.expression(item, scope)
        elif kind == "PIVOT":
            self._pivot(node, scope)
        elif kind == "SHOW_REF":
            if node.get("show_type") not in ("DESCRIBE", "SUMMARY") or not node.get("query"):
                raise _refuse("This form of SHOW is not accepted.", node, "Use the catalog views instead.")
            self.survey.shows.add(node["show_type"])
            self.survey.opaque = True
            self._below(node["query"], scope)
        if kind != "BASE_TABLE" or len(self.survey.tables) == stored:
            self.survey.derived |= names

    def _sample(self, node: Node) -> None:
        sample = node.get("sample")
        if sample:
            method = fold(str(sample.get("method", "")))
            seeded = sample.get("seed", 0) != -1  # DuckDB's word for none
            self.survey.samples_by_vector |= method != "bernoulli" and (method != "reservoir" or seeded)

    def _base(self, node: Node, scope: Scope) -> None:
        self.survey.base_nodes += 1
        schema, catalog = node.get("schema_name", ""), node.get("catalog_name", "")
        name = node.get("table_name", "")
        if not name:
            raise _refuse("A table has no name.", node)
        if not schema and not catalog and fold(name) in scope:
            if not scope[fold(name)]:
                raise _refuse("A common table expression is named before it is defined.", node)
            return
        at = node.get("query_location")
        if not isinstance(at, int):
            raise _refuse("The place of a table in the text is not known.", node)
        renames = bool(node.get("column_name_alias"))
        self.survey.tables.append(TableRef(catalog, schema, name, node.get("alias", ""), at, renames))

    def _join(self, node: Node, scope: Scope) -> None:
        self.table(node["left"], scope)
        self.table(node["right"], scope)
        if node.get("condition"):
            self.survey.conditions.append(node["condition"])
            self.expression(node["condition"], scope)
        self.survey.key_names += [fold(name) for name in node.get("using_columns", ())]
        self.survey.natural |= node.get("ref_type") == "NATURAL"

    def _table_function(self, node: Node, scope: Scope) -> None:
        call = node["function"]
        if call.get("class") != "FUNCTION":
            raise _refuse("This kind of table function is not accepted.", node)
        self.survey.relation_names.add(fold(call["function_name"]))
        self.survey.opaque |= fold(call["function_name"]) not in ("range", "generate_series")
        if node.get("with_ordinality"):
            self.survey.define("ordinality", None)
        self._call(call, table=True)
        self.survey.fed += children(call)
        for child in children(call):
            self.expression(child, scope)

    def _pivot(self, node: Node, scope: Scope) -> None:
        self.table(node["source"], scope)
        before = len(self.survey.selects)
        self.survey.fed += node.get("aggregates", ())
        self.survey.opaque |= not node.get("unpivot_names")  # values become names
        for item in node.get("aggregates", ()):
            self.expression(item, scope)
        rename(self.survey, node.get("unpivot_names", ()))
        for column in node.get("pivots", ()):
            if column.keys() - {"pivot_expressions", "unpivot_names", "entries"}:
                raise _refuse("This form of PIVOT is not accepted.", node, "List the values: ON column IN (...).")
            rename(self.survey, column.get("unpivot_names", ()))
            for item in column.get("pivot_expressions", ()):
                self.expression(item, scope)
            for entry in column.get("entries", ()):
                if entry.keys() - {"values", "star_expr", "expr", "alias"}:
                    raise _refuse("This form of PIVOT is not accepted.", node)
                for name in ("star_expr", "expr"):
                    if entry.get(name):
                        self.expression(entry[name], scope)
        if len(self.survey.selects) != before:  # DuckDB would make column names of the governed text
            raise _refuse("Sub-queries inside PIVOT are not accepted.", node, "Compute them in a sub-query in FROM.")

    def expression(self, node: Node, scope: Scope) -> None:
        """An expression and everything below it."""
        kind = node.get("class", "")
        if kind not in CHILDREN:
            raise _refuse("This kind of expression is not accepted.", node)
        _only(node, _FACTS.get(kind, frozenset()) | frozenset(CHILDREN[kind]), _EXPRESSION_COMMON)
        survey = self.survey
        if kind == "COLUMN_REF":
            survey.columns.append(node)
        elif kind in ("FUNCTION", "WINDOW"):
            self._call(node, window=kind == "WINDOW")
            for name in ("filter", "filter_expr"):
                if node.get(name):
                    survey.conditions.append(node[name])
        elif kind == "CAST":
            survey.casts.append(node)
        elif kind == "PARAMETER":
            survey.parameters.append(str(node["identifier"]))
        elif kind == "STAR":
            survey.stars.append(node)
            for item in node.get("replace_list", ()):
                survey.define(item["key"], item["value"])
            for item in node.get("rename_list", ()):
                survey.define(item["value"], None)
        elif kind == "SUBQUERY":
            self._subquery(node["subquery"], scope)
        weight = 1 if kind == "FUNCTION" and node["function_name"] in _LIGHT else 3
        self._depth += weight
        if self._depth > DEPTH_MAX:
            raise too_deep()
        self._arrows += kind == "LAMBDA"
        if self._arrows > ARROWS_MAX:
            what = f"At most {ARROWS_MAX} arrows and lambdas may stand in one another."
            raise _refuse(what, node, "Write one path: json_extract(value, '$.a.b.c').")
        for child in children(node):
            self.expression(child, scope)
        self._depth -= weight
        self._arrows -= kind == "LAMBDA"

    def _call(self, node: Node, *, table: bool = False, window: bool = False) -> None:
        if node.get("export_state"):
            raise _refuse("EXPORT_STATE is not accepted.", node)
        at = node.get("query_location")
        self.survey.calls.append(
            Call(node.get("catalog", ""), node.get("schema", ""), node["function_name"], at, node, table, window)
        )


def survey_statement(tree: Node) -> Survey:
    """Walk one statement's tree.

    Raises:
        StatementRefused: a node or field that is not understood.
    """
    if tree.keys() - {"node", "named_param_map"}:
        raise StatementRefused("This form of statement is not accepted.")
    surveyor = Surveyor()
    surveyor.query(tree["node"], {})
    found = surveyor.survey
    found.places = _table_places(tree)
    if len(found.places) != found.base_nodes:
        raise StatementRefused("This form of statement is not accepted.", reason="a table was not reached by the walk")
    return found


def _table_places(tree: Node) -> list[Place]:
    """Every table reference that stands anywhere in the tree, by a walk that knows nothing of its shape."""
    found: list[Place] = []
    stack: list[Any] = [tree]
    while stack:
        item = stack.pop()
        if type(item) is dict:
            if item.get("type") == "BASE_TABLE":
                names = (item.get("catalog_name", ""), item.get("schema_name", ""), item.get("table_name", ""))
                found.append((item.get("query_location", -1), *names))
            for value in item.values():
                if type(value) is dict or type(value) is list:
                    stack.append(value)
        elif type(item) is list:
            stack.extend(item)
    return found
