"""Expressions of a catalog query to typed DuckDB text.

Every node class has its method; a class without one is refused, so nothing that is not listed here reaches DuckDB.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from engine.catalog.emulation import types as t
from engine.catalog.emulation.functions import FUNCTIONS, Builder
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
    Subscript,
    TypeName,
    Unary,
)
from engine.catalog.emulation.values import CatalogRefused, Parameters, Value, cast, common_type, named, quoted, settle
from governance.errors import FunctionRefused, StatementRefused

if TYPE_CHECKING:
    from engine.catalog.emulation.scope import Scope

_COMPARISONS = frozenset(("=", "<>", "<", ">", "<=", ">=", "is distinct from", "is not distinct from"))
_MATCHES = {
    "~": ("", ""),
    "~*": ("", ", 'i'"),
    "!~": ("NOT ", ""),
    "!~*": ("NOT ", ", 'i'"),
}
_LIKES = {"~~": (False, False), "!~~": (True, False), "~~*": (False, True), "!~~*": (True, True)}
_ARITHMETIC = frozenset("+-*/%^&|#")


class ExpressionTranslator(Builder):
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

    def column_query(self, query: Query, scope: Scope, wanted: int) -> tuple[str, int]:
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
                return self._cast(node, scope)
            case Call():
                return self._call(node, scope)
            case Binary():
                return self._binary(node, scope)
            case Unary():
                return self._unary(node, scope)
            case IsTest():
                return self._is_test(node, scope)
            case Between():
                return self._between(node, scope)
            case Like():
                return self._like(node, scope)
            case In():
                return self._in(node, scope)
            case Quantified():
                return self._quantified(node, scope)
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
                return self._collate(node, scope)
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
            return Value(node.text.upper(), t.BOOL, label="bool")
        if node.kind == "integer":
            number = int(node.text) if len(node.text) < 40 else 1 << 80
            if -(1 << 31) <= number < 1 << 31:
                return Value(f"CAST({number} AS INTEGER)", t.INT4)
            if -(1 << 63) <= number < 1 << 63:
                return Value(f"CAST({number} AS BIGINT)", t.INT8)
        elif len(node.text) < 36 and "e" not in node.text.lower():
            text = node.text
            return Value(text if not text.startswith("-") else f"({text})", t.NUMERIC)
        raise StatementRefused("A number in the catalog query is too large.")

    def resolve_type(self, name: TypeName) -> int:
        """The id of a type as written.

        Raises:
            StatementRefused: it is not in pg_catalog, or has several dimensions.
        """
        parts = name.name
        if len(parts) > 2 or (len(parts) == 2 and parts[0] not in ("pg_catalog", "information_schema")):
            raise StatementRefused("A type in the catalog query does not exist.")
        if len(parts) == 2 and parts[0] == "information_schema":
            domains = {
                "sql_identifier": t.NAME,
                "cardinal_number": t.INT4,
                "character_data": t.VARCHAR,
                "yes_or_no": t.VARCHAR,
            }
            oid = domains.get(parts[1], 0)
            if not oid:
                raise StatementRefused("A type in the catalog query does not exist.")
        else:
            oid = t.named(parts[-1], exact=len(parts) == 2).oid
        return t.array_of(oid) if name.dimensions else oid

    def _cast(self, node: Cast, scope: Scope) -> Value:
        oid = self.resolve_type(node.type)
        value = self.translate(node.value, scope)
        label = value.label if value.firm else t.types()[oid].name if oid in t.types() else "?column?"
        if isinstance(node.value, ArrayList) and not node.value.items:
            value = Value(f"CAST([] AS {t.duck(oid)})", oid)
        done = cast(settle(value, oid, self.parameters), oid)
        if node.type.modifiers and oid in (t.VARCHAR, t.BPCHAR):
            done = replace(
                done, sql=f"left({done.sql}, {int(node.type.modifiers[0])})", modifier=int(node.type.modifiers[0]) + 4
            )
        elif node.type.modifiers and oid == t.NUMERIC:
            done = self._numeric(done, node.type.modifiers)
        return replace(done, label=label, firm=value.firm)

    @staticmethod
    def _numeric(value: Value, modifiers: tuple[str, ...]) -> Value:
        precision, scale = int(modifiers[0]), int(modifiers[1]) if len(modifiers) > 1 else 0
        if not 1 <= precision <= 38 or not 0 <= scale <= precision:
            raise StatementRefused("A numeric type in the catalog query is out of bounds.")
        sql = f"CAST({value.sql} AS DECIMAL({precision},{scale}))"
        return replace(value, sql=sql, modifier=((precision << 16) | scale) + 4)

    def _collate(self, node: Collate, scope: Scope) -> Value:
        if node.name[-1] not in ("default", "c", "C", "POSIX", "posix", "ucs_basic") or node.name[:-1] not in (
            (),
            ("pg_catalog",),
        ):
            raise CatalogRefused("42704", "The collation does not exist.")
        return self.translate(node.value, scope)

    # ------------------------------------------------------------ operators

    def _pair(self, left: Value, right: Value) -> tuple[Value, Value]:
        """Both sides of a comparison in one type."""
        if left.untyped and right.untyped:
            return settle(left, t.TEXT, self.parameters), settle(right, t.TEXT, self.parameters)
        left = settle(left, right.type, self.parameters)
        right = settle(right, left.type, self.parameters)
        if left.type == right.type or t.duck(left.type) == t.duck(right.type):
            return left, right
        met = common_type(left.type, right.type)
        if met:
            return left, right
        if t.element_of(left.type) is not None and t.element_of(right.type) is not None:
            return left, cast(right, left.type)
        if {left.type, right.type} <= {t.DATE, t.TIMESTAMP, t.TIMESTAMPTZ}:
            return left, right
        raise CatalogRefused("42883", "An operator in the catalog query does not exist for its operands.")

    def compare(self, operator: str, left: Value, right: Value) -> str:
        """`left operator right` for a comparison or a match."""
        if operator in _COMPARISONS:
            left, right = self._pair(left, right)
            return f"({left.sql} {operator.upper()} {right.sql})"
        if operator in _MATCHES:
            negation, option = _MATCHES[operator]
            text, pattern = self._texts(left, right)
            return f"({negation}regexp_matches({text}, {pattern}{option}))"
        if operator in _LIKES:
            negated, insensitive = _LIKES[operator]
            return self._like_text(left, right, quoted("\\"), negated, insensitive)
        raise StatementRefused("An operator in the catalog query is not supported.")

    def _texts(self, *values: Value) -> list[str]:
        done = []
        for untyped in values:
            value = settle(untyped, t.TEXT, self.parameters)
            if not t.is_text(value.type):
                raise CatalogRefused("42883", "An operator in the catalog query does not exist for its operands.")
            done.append(value.sql)
        return done

    def _binary(self, node: Binary, scope: Scope) -> Value:
        if node.operator in ("and", "or"):
            left, right = self.condition(node.left, scope), self.condition(node.right, scope)
            return Value(f"({left} {node.operator.upper()} {right})", t.BOOL)
        if isinstance(node.left, Row) and isinstance(node.right, Row) and node.operator in ("=", "<>"):
            return self._rows(node.operator, node.left, node.right, scope)
        left_value, right_value = self.translate(node.left, scope), self.translate(node.right, scope)
        if node.operator == "||":
            return self._concatenate(left_value, right_value)
        if node.operator in _ARITHMETIC:
            return self._arithmetic(node.operator, left_value, right_value)
        if node.operator in ("@>", "<@", "&&"):
            return self._array_operator(node.operator, left_value, right_value)
        return Value(self.compare(node.operator, left_value, right_value), t.BOOL)

    def _rows(self, operator: str, left: Row, right: Row, scope: Scope) -> Value:
        if len(left.items) != len(right.items):
            raise CatalogRefused("42601", "Unequal number of entries in row expressions.")
        pairs = [
            self.compare("=", self.translate(a, scope), self.translate(b, scope))
            for a, b in zip(left.items, right.items, strict=True)
        ]
        text = "(" + " AND ".join(pairs) + ")"
        return Value(text if operator == "=" else f"(NOT {text})", t.BOOL)

    def _concatenate(self, left: Value, right: Value) -> Value:
        left_element, right_element = t.element_of(left.type), t.element_of(right.type)
        if left_element is not None or right_element is not None:
            kind = left.type if left_element is not None else right.type
            element = t.element_of(kind) or t.TEXT
            if left_element is None:
                left = Value(f"[{cast(settle(left, element, self.parameters), element).sql}]", kind)
            if right_element is None:
                if (right.literal is not None and right.literal.startswith("{")) or right.null:
                    right = settle(right, kind, self.parameters)
                else:
                    right = Value(f"[{cast(settle(right, element, self.parameters), element).sql}]", kind)
            return Value(f"list_concat({left.sql}, {cast(right, kind).sql})", kind)
        sides = [cast(settle(v, t.TEXT, self.parameters), t.TEXT).sql for v in (left, right)]
        return Value(f"({sides[0]} || {sides[1]})", t.TEXT)

    def _arithmetic(self, operator: str, left: Value, right: Value) -> Value:
        if left.untyped and right.untyped:
            raise CatalogRefused("42725", "An operator in the catalog query is not unique.")
        left = settle(left, right.type, self.parameters)
        right = settle(right, left.type, self.parameters)
        left, right = (cast(v, t.INT8) if v.type in t.OID_LIKE else v for v in (left, right))
        if left.type not in t.NUMBERS or right.type not in t.NUMBERS:
            raise CatalogRefused("42883", "An operator in the catalog query does not exist for its operands.")
        kind = max(left.type, right.type, key=t.PROMOTION.index)
        if operator == "^":
            return Value(f"pow({left.sql}, {right.sql})", t.FLOAT8)
        if kind in t.INTEGERS:
            symbol = {"/": "//", "#": "xor"}.get(operator, operator)
            text = f"xor({left.sql}, {right.sql})" if symbol == "xor" else f"({left.sql} {symbol} {right.sql})"
            return Value(f"CAST({text} AS {t.duck(kind)})", kind)
        if operator in "&|#":
            raise CatalogRefused("42883", "An operator in the catalog query does not exist for its operands.")
        if kind == t.NUMERIC and operator == "/":
            return Value(f"CAST(({left.sql} / {right.sql}) AS {t.duck(t.NUMERIC)})", t.NUMERIC)
        return Value(f"({left.sql} {operator} {right.sql})", kind)

    def _array_operator(self, operator: str, left: Value, right: Value) -> Value:
        left = settle(left, right.type, self.parameters)
        right = settle(right, left.type, self.parameters)
        if t.element_of(left.type) is None or t.element_of(right.type) is None:
            raise StatementRefused("An operator in the catalog query is not supported.")
        right = cast(right, left.type)
        name = "list_has_any" if operator == "&&" else "list_has_all"
        first, second = (right, left) if operator == "<@" else (left, right)
        return Value(f"{name}({first.sql}, {second.sql})", t.BOOL)

    def _unary(self, node: Unary, scope: Scope) -> Value:
        if node.operator == "not":
            return Value(f"(NOT {self.condition(node.value, scope)})", t.BOOL)
        value = self.typed(node.value, scope, t.INT4)
        if value.type not in t.NUMBERS:
            raise CatalogRefused("42883", "An operator in the catalog query does not exist for its operands.")
        return Value(f"({node.operator}{value.sql})", value.type)

    def _is_test(self, node: IsTest, scope: Scope) -> Value:
        negation = "NOT " if node.negated else ""
        if node.test == "null":
            return Value(f"({self.typed(node.value, scope).sql} IS {negation}NULL)", t.BOOL)
        sql = self.condition(node.value, scope)
        if node.test == "unknown":
            return Value(f"({sql} IS {negation}NULL)", t.BOOL)
        operator = "IS DISTINCT FROM" if node.negated else "IS NOT DISTINCT FROM"
        return Value(f"({sql} {operator} {node.test.upper()})", t.BOOL)

    def _between(self, node: Between, scope: Scope) -> Value:
        value = self.translate(node.value, scope)
        low = self.compare(">=", value, self.translate(node.low, scope))
        high = self.compare("<=", value, self.translate(node.high, scope))
        return Value(f"({'NOT ' if node.negated else ''}({low} AND {high}))", t.BOOL)

    def _like(self, node: Like, scope: Scope) -> Value:
        escape = quoted("\\")
        if node.escape is not None:
            if not isinstance(node.escape, Literal) or node.escape.kind != "string" or len(node.escape.text) > 1:
                raise StatementRefused("ESCAPE takes one character in catalog queries.")
            escape = quoted(node.escape.text) if node.escape.text else ""
        value, pattern = self.translate(node.value, scope), self.translate(node.pattern, scope)
        return Value(self._like_text(value, pattern, escape, node.negated, node.insensitive), t.BOOL)

    def _like_text(self, value: Value, pattern: Value, escape: str, negated: bool, insensitive: bool) -> str:
        text, like = self._texts(value, pattern)
        word = ("NOT " if negated else "") + ("ILIKE" if insensitive else "LIKE")
        return f"({text} {word} {like}{' ESCAPE ' + escape if escape else ''})"

    def _in(self, node: In, scope: Scope) -> Value:
        negation = "NOT " if node.negated else ""
        if isinstance(node.options, Query):
            return self._in_query(node, node.options, negation, scope)
        tests = []
        for option in node.options:
            if isinstance(node.value, Row) and isinstance(option, Row):
                tests.append(self._rows("=", node.value, option, scope).sql)
            else:
                tests.append(self.compare("=", self.translate(node.value, scope), self.translate(option, scope)))
        return Value(f"({negation}({' OR '.join(tests)}))", t.BOOL)

    def _in_query(self, node: In, query: Query, negation: str, scope: Scope) -> Value:
        value = self.translate(node.value, scope)
        text, kind = self.column_query(query, scope, t.TEXT if value.untyped else value.type)
        left, right = self._pair(value, Value("", kind))
        del right
        return Value(f"({left.sql} {negation}IN ({text}))", t.BOOL)

    def _quantified(self, node: Quantified, scope: Scope) -> Value:
        left = self.translate(node.left, scope)
        if isinstance(node.right, Query):
            text, kind = self.column_query(node.right, scope, t.TEXT if left.untyped else left.type)
            if t.element_of(kind) is None or left.type == kind:
                if (node.operator == "=" and not node.every) or (node.operator == "<>" and node.every):
                    left, _ = self._pair(left, Value("", kind))
                    return Value(f"({left.sql} {'NOT ' if node.every else ''}IN ({text}))", t.BOOL)
                right = Value(f"ARRAY({text})", t.array_of(kind))
            else:
                right = Value(f"({text})", kind)
        else:
            right = self.translate(node.right, scope)
        if right.untyped:
            right = settle(right, t.array_of(t.TEXT if left.untyped else left.type), self.parameters)
        element = t.element_of(right.type)
        if element is None:
            raise CatalogRefused("42809", "ANY and ALL need an array.")
        left = settle(left, element, self.parameters)
        simple = (node.operator == "=" and not node.every) or (node.operator == "<>" and node.every)
        if simple and (t.duck(left.type) == t.duck(element) or common_type(left.type, element)):
            wide = right.sql if t.duck(left.type) == t.duck(element) else self._widen(left, right, element)
            text = f"list_contains({wide}, {left.sql})"
            return Value(f"(NOT {text})" if node.every else text, t.BOOL)
        name = self.alias("e")
        test = self.compare(node.operator, left, Value(name, element))
        verdicts = f"list_transform({right.sql}, lambda {name}: {test})"
        aggregate = "list_bool_and" if node.every else "list_bool_or"
        empty = "TRUE" if node.every else "FALSE"
        return Value(f"(CASE WHEN len({right.sql}) = 0 THEN {empty} ELSE {aggregate}({verdicts}) END)", t.BOOL)

    @staticmethod
    def _widen(left: Value, right: Value, element: int) -> str:
        met = common_type(left.type, element)
        return f"CAST({right.sql} AS {t.duck(met if t.element_of(met) is None else t.TEXT)}[])"

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
        *values, otherwise = self.unify([*results, default])
        arms = " ".join(f"WHEN {test} THEN {value.sql}" for test, value in zip(tests, values, strict=True))
        # PostgreSQL names the column after ELSE when that has a name of its own.
        label = default.label if default.firm else "case"
        return Value(f"(CASE {arms} ELSE {otherwise.sql} END)", otherwise.type, label=label, firm=default.firm)

    def _array(self, node: ArrayList | ArrayQuery, scope: Scope) -> Value:
        if isinstance(node, ArrayQuery):
            text, kind = self.column_query(node.query, scope, t.TEXT)
            return Value(f"ARRAY({text})", t.array_of(kind), label="array", firm=True)
        if not node.items:
            raise CatalogRefused("42P18", "Cannot determine the type of an empty array.")
        if any(isinstance(item, ArrayList) for item in node.items):
            raise StatementRefused("Arrays of several dimensions are not supported in catalog queries.")
        items = self.unify([self.translate(item, scope) for item in node.items])
        text = ", ".join(item.sql for item in items)
        return Value(f"[{text}]", t.array_of(items[0].type), label="array", firm=True)

    def _subscript(self, node: Subscript, scope: Scope) -> Value:
        value = self.typed(node.value, scope)
        element = t.element_of(value.type)
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
        return Value(text, element, label=value.label, firm=value.firm)

    def _field(self, node: Field, scope: Scope) -> Value:
        value = self.translate(node.value, scope)
        if value.type != t.EXPANDED or node.name not in ("x", "n"):
            raise CatalogRefused("42703", "A field in the catalog query does not exist.")
        kind = t.INT4 if node.name == "n" else t.INT8
        if node.name == "x" and value.modifier > 0:
            kind = value.modifier
        text = f"struct_extract({value.sql}, {quoted(node.name)})"
        done = Value(text, kind, label=node.name, firm=True, returns_set=value.returns_set)
        return replace(done, sql=f"CAST({text} AS {t.duck(kind)})") if kind == t.INT2 else done

    # ------------------------------------------------------------ calls

    def sorts(self, order: tuple[Sort, ...], scope: Scope) -> str:
        """` ORDER BY ...` inside an aggregate or a window."""
        if not order:
            return ""
        return " ORDER BY " + ", ".join(sort_text(self.typed(s.value, scope).sql, s) for s in order)

    def _call(self, node: Call, scope: Scope) -> Value:
        name = node.name
        if len(name) > 2 or (len(name) == 2 and name[0] not in ("pg_catalog", "information_schema")):
            raise FunctionRefused(f"function {named(name[-1])} is not available", position=node.position + 1)
        function = FUNCTIONS.get(name[-1])
        if function is None or (len(name) == 2 and name[0] == "information_schema" and not name[1].startswith("_pg_")):
            raise FunctionRefused(f"function {named(name[-1])} is not available", position=node.position + 1)
        value = function(self, node, scope)
        return replace(value, label=name[-1], firm=True)


def sort_text(sql: str, item: Sort) -> str:
    """One ORDER BY item in DuckDB with PostgreSQL's place for NULLs."""
    first = item.descending if item.nulls_first is None else item.nulls_first
    return f"{sql} {'DESC' if item.descending else 'ASC'} NULLS {'FIRST' if first else 'LAST'}"
