"""Expressions of a catalog query to typed DuckDB text.

Every node class has its method; a class without one is refused, so nothing that is not listed here reaches DuckDB.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from engine.catalog.emulation import (
    aggregates,
    array_functions,
    calendar_functions,
    date_functions,
    json_functions,
    jsonb_functions,
    object_functions,
    privilege_functions,
    session_functions,
    set_functions,
    system_functions,
    text_functions,
    type_functions,
    value_functions,
)
from engine.catalog.emulation import types as t
from engine.catalog.emulation.casts import CastTranslator
from engine.catalog.emulation.coercions import common_type
from engine.catalog.emulation.functions import FUNCTIONS, NAMED, VARIADIC, UnknownCall
from engine.catalog.emulation.rows import function_names
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
    Expand,
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
)
from engine.catalog.emulation.values import (
    DEPTH_MAX,
    CatalogRefused,
    Parameters,
    Value,
    array_over,
    cast,
    composite,
    field,
    like,
    named,
    settle,
)
from governance.errors import FunctionRefused, StatementRefused

if TYPE_CHECKING:
    from engine.catalog.emulation.scope import Scope

_ENTERED = (
    aggregates,
    array_functions,
    calendar_functions,
    date_functions,
    json_functions,
    jsonb_functions,
    object_functions,
    privilege_functions,
    session_functions,
    set_functions,
    system_functions,
    text_functions,
    type_functions,
    value_functions,
)
"""Modules whose functions `FUNCTIONS` holds."""


class ExpressionTranslator(CastTranslator):
    """Translates expressions; `QueryTranslator` adds queries."""

    def __init__(self, parameters: Parameters) -> None:
        self.parameters = parameters
        self.slots: set[str] = set()
        self.functions: set[str] = set()
        self._aliases = 0

    def alias(self, prefix: str) -> str:
        """A DuckDB name used once in the statement."""
        self._aliases += 1
        return f"{prefix}{self._aliases}"

    # ------------------------------------------------------------ given by QueryTranslator

    def scalar(self, query: Query, scope: Scope) -> Value:
        """A one-column query as a value."""
        raise NotImplementedError

    def column_query(self, query: Query, scope: Scope, wanted: int) -> Value:
        """A one-column query's text and type; an untyped column becomes `wanted`."""
        raise NotImplementedError

    def any_query(self, query: Query, scope: Scope) -> str:
        """A query's text, whatever its columns."""
        raise NotImplementedError

    # ------------------------------------------------------------ entry points

    def translate(self, node: Expr, scope: Scope) -> Value:
        """`node` as a value, untyped where PostgreSQL has not decided yet.

        Raises:
            Refusal: anything not understood.
        """
        match node:
            case Literal():
                return self._literal(node)
            case Parameter():
                return self.parameters.mention(node.number)
            case Column():
                return scope.column(node.parts, node.position)
            case Cast():
                return self.cast_to(node, scope)
            case Call():
                return self._call(node, scope)
            case Binary():
                return self.binary(node, scope)
            case Unary():
                return self.unary(node, scope)
            case IsTest():
                return self.is_test(node, scope)
            case Between():
                return self.between(node, scope)
            case Like():
                return self.like(node, scope)
            case In():
                return self.in_(node, scope)
            case Quantified():
                return self.quantified(node, scope)
            case Case():
                return self._case(node, scope)
            case ArrayList() | ArrayQuery():
                return self._array(node, scope)
            case Scalar():
                return self.scalar(node.query, scope)
            case Exists():
                return Value(f"EXISTS ({self.any_query(node.query, scope)})", t.BOOL, label="exists", firm=True)
            case Subscript():
                return self._subscript(node, scope)
            case Field():
                return self._field(node, scope)
            case Collate():
                return self.collate(node, scope)
            case Row():
                return self._row(node, scope)
            case Star(parts=parts) if parts:
                return scope.row(parts, node.position)
            case _:
                raise StatementRefused("An expression in the catalog query is not supported.")

    def typed(self, node: Expr, scope: Scope, wanted: int = t.TEXT) -> Value:
        """`node` with a type; `wanted` when it has none of its own."""
        return settle(self.translate(node, scope), wanted, self.parameters)

    def condition(self, node: Expr, scope: Scope) -> str:
        """`node` as a truth value.

        Raises:
            CatalogRefused: it is of another type (42804).
        """
        value = self.typed(node, scope, t.BOOL)
        if value.type != t.BOOL:
            raise CatalogRefused("42804", "A condition in the catalog query is not a truth value.")
        return value.sql

    def unify(self, values: list[Value], fallback: int = t.TEXT) -> list[Value]:
        """The values in their common type.

        Raises:
            CatalogRefused: they have none (42804).
        """
        kind = t.UNKNOWN
        for value in values:
            if not value.untyped:
                met = common_type(kind, value.type)
                if not met:
                    raise CatalogRefused("42804", "Alternatives in the catalog query have different types.")
                kind = met
        kind = fallback if kind == t.UNKNOWN else kind
        return [cast(settle(value, kind, self.parameters), kind) for value in values]

    # ------------------------------------------------------------ leaves

    def _literal(self, node: Literal) -> Value:
        if node.kind == "string":
            return Value("", t.UNKNOWN, literal=node.text)
        if node.kind == "null":
            return Value("", t.UNKNOWN, null=True)
        if node.kind == "boolean":
            return Value(node.text.upper(), t.BOOL)
        if node.kind == "integer":
            number = int(node.text) if len(node.text) < 40 else 1 << 80
            if -(1 << 31) <= number < 1 << 31:
                return Value(f"CAST({number} AS INTEGER)", t.INT4)
            if -(1 << 63) <= number < 1 << 63:
                return Value(f"CAST({number} AS BIGINT)", t.INT8)
            if abs(number) < 10**29:
                return Value(f"CAST('{number}' AS {t.duck(t.NUMERIC)})", t.NUMERIC)
        elif len(node.text) < 36 and "e" in node.text.lower() and abs(int(node.text.lower().partition("e")[2])) < 20:
            return Value(f"CAST('{node.text}' AS {t.duck(t.NUMERIC)})", t.NUMERIC)
        elif len(node.text) < 36:
            text = node.text
            return Value(text if not text.startswith("-") else f"({text})", t.NUMERIC)
        raise StatementRefused("A number in the catalog query is too large.")

    # ------------------------------------------------------------ composites

    def _case(self, node: Case, scope: Scope) -> Value:
        tests = []
        for condition, _ in node.branches:
            if node.operand is None:
                tests.append(self.condition(condition, scope))
            else:
                tests.append(self.compare("=", self.translate(node.operand, scope), self.translate(condition, scope)))
        results = [self.translate(result, scope) for _, result in node.branches]
        default = self.translate(node.default, scope) if node.default is not None else Value("", t.UNKNOWN, null=True)
        otherwise, *values = self.unify([default, *results])
        arms = " ".join(f"WHEN {test} THEN {value.sql}" for test, value in zip(tests, values, strict=True))
        # PostgreSQL names the column after ELSE when that has a name of its own.
        label = default.label if default.firm else "case"
        made = like([otherwise, *values], f"(CASE {arms} ELSE {otherwise.sql} END)")
        return replace(made, label=label, firm=default.firm)

    def _array(self, node: ArrayList | ArrayQuery, scope: Scope) -> Value:
        if isinstance(node, ArrayQuery):
            found = self.column_query(node.query, scope, t.TEXT)
            return replace(array_over(found, f"ARRAY({found.sql})"), label="array", firm=True)
        if not node.items:
            raise CatalogRefused("42P18", "Cannot determine the type of an empty array.")
        items = self.unify([self.translate(item, scope) for item in node.items])
        if len({item.depth for item in items}) != 1 or items[0].depth >= DEPTH_MAX:
            raise CatalogRefused(
                "2202E", "Multidimensional arrays must have array expressions with matching dimensions."
            )
        text = ", ".join(item.sql for item in items)
        return replace(array_over(items[0], f"[{text}]"), label="array", firm=True)

    def _subscript(self, node: Subscript, scope: Scope) -> Value:
        chain = [node]
        while isinstance(chain[-1].value, Subscript):
            chain.append(chain[-1].value)
        whole = self.typed(chain[-1].value, scope)
        if whole.depth:
            return self._deep_subscript(whole, chain[::-1], scope)
        value = self.typed(node.value, scope)
        element = t.element_of(value.type)
        if element is None and value.type == t.JSONB and not node.slice and node.index is not None:
            return json_functions.subscripted(self, value, self.translate(node.index, scope))
        if element is None:
            if value.type == t.NAME and not node.slice and node.index is not None:
                index = self.typed(node.index, scope, t.INT4)
                return Value(
                    f"substr({value.sql}, CAST({index.sql} AS BIGINT) + 1, 1)", t.CHAR, label=value.label, firm=True
                )
            raise CatalogRefused("42804", "Cannot subscript a value that is not an array.")
        shift = 1 if t.is_vector(value.type) else 0
        if node.slice:
            low = self.typed(node.index, scope, t.INT4).sql if node.index is not None else str(1 - shift)
            high = self.typed(node.upper, scope, t.INT4).sql if node.upper is not None else f"len({value.sql})"
            kind = t.array_of(element) if shift else value.type
            text = f"list_slice({value.sql}, greatest({low} + {shift}, 1), greatest({high} + {shift}, 0))"
            return Value(text, kind, label=value.label, firm=value.firm)
        index = self.typed(node.index or Literal("integer", "0"), scope, t.INT4)
        place = f"(CAST({index.sql} AS BIGINT) + {shift})"
        # Zero and negative places hold nothing in PostgreSQL; DuckDB would count from the end.
        text = f"(CASE WHEN {place} >= 1 THEN list_extract({value.sql}, {place}) END)"
        return Value(text, element, label=value.label, firm=value.firm, fields=value.items)

    def _deep_subscript(self, whole: Value, chain: list[Subscript], scope: Scope) -> Value:
        """`a[i][j]` of an array of several dimensions; fewer places than it has dimensions hold nothing."""
        if any(each.slice for each in chain):
            raise StatementRefused("Slices of arrays of several dimensions are not supported in catalog queries.")
        text = whole.sql
        for each in chain:
            place = self.typed(each.index or Literal("integer", "0"), scope, t.INT4).sql
            text = f"(CASE WHEN {place} >= 1 THEN list_extract({text}, CAST({place} AS BIGINT)) END)"
        element = t.element_of(whole.type) or t.TEXT
        if len(chain) != whole.depth + 1:
            text = f"CAST(NULL AS {t.duck(element)})"
        return Value(text, element, label=whole.label, firm=whole.firm, fields=whole.items)

    def _field(self, node: Field, scope: Scope) -> Value:
        value = self.translate(node.value, scope)
        if not value.fields:
            raise CatalogRefused(
                "42809",
                f"column notation .{named(node.name)[1:-1]} applied to type {value.type_name}, "
                "which is not a composite type",
            )
        places = [i for i, (name, *_) in enumerate(value.fields) if name == node.name]
        if not places:
            raise CatalogRefused("42703", f"column {named(node.name)} not found in data type {value.type_name}")
        return field(value, places[0])

    def expanded(self, node: Expand, scope: Scope) -> list[Value]:
        """The fields of `(composite).*`.

        Raises:
            CatalogRefused: it is none (42809).
        """
        value = self.translate(node.value, scope)
        if not value.fields:
            raise CatalogRefused("42809", f"type {value.type_name} is not composite")
        return [field(value, place) for place in range(len(value.fields))]

    def _row(self, node: Row, scope: Scope) -> Value:
        values = [self.typed(item, scope) for item in node.items]
        named_fields = [replace(value, label=f"f{place}") for place, value in enumerate(values, 1)]
        return replace(composite(named_fields), label="row")

    # ------------------------------------------------------------ calls

    def json_part(self, operator: str, left: Value, right: Value) -> Value:
        """`->`, `->>`, `#>` and `#>>`."""
        return json_functions.read(self, operator, left, right)

    def sorts(self, order: tuple[Sort, ...], scope: Scope) -> str:
        """` ORDER BY ...` inside an aggregate or a window."""
        if not order:
            return ""
        return " ORDER BY " + ", ".join(sort_text(self.typed(s.value, scope).sql, s) for s in order)

    def _call(self, node: Call, scope: Scope) -> Value:
        name = node.name
        ours = len(name) == 1 or (len(name) == 2 and name[0] in ("pg_catalog", "information_schema"))
        function = FUNCTIONS.get(name[-1]) if ours else None
        if function is None or (len(name) == 2 and name[0] == "information_schema" and not name[1].startswith("_pg_")):
            if ours and len(node.arguments) == 1 and name[-1] in t.types_by_name():
                cast_to = Cast(node.arguments[0], TypeName(("pg_catalog", name[-1])))
                return replace(self.cast_to(cast_to, scope), label=name[-1], firm=True)
            if ours and name[-1] in function_names():
                raise FunctionRefused(f"function {named(name[-1])} is not available", position=node.position + 1)
            raise self._no_function(node, scope)
        try:
            if (node.variadic and name[-1] not in VARIADIC) or (node.names and name[-1] not in NAMED):
                raise self._no_function(node, scope)
            value = function(self, node, scope)
        except UnknownCall:
            raise self._no_function(node, scope) from None
        return replace(value, label=name[-1], firm=True)

    def _no_function(self, node: Call, scope: Scope) -> CatalogRefused:
        """What PostgreSQL says when no function has this name and takes these."""
        given = ["*"] if node.star else [self.translate(argument, scope).type_name for argument in node.arguments]
        shown = ".".join(named(part)[1:-1] for part in node.name)
        return CatalogRefused(
            "42883", f"function {shown}({', '.join(given)}) does not exist", position=node.position + 1,
            advice="No function matches the given name and argument types. You might need to add explicit type casts.",
        )  # fmt: skip


def sort_text(sql: str, item: Sort) -> str:
    """One ORDER BY item in DuckDB with PostgreSQL's place for NULLs."""
    first = item.descending if item.nulls_first is None else item.nulls_first
    return f"{sql} {'DESC' if item.descending else 'ASC'} NULLS {'FIRST' if first else 'LAST'}"
