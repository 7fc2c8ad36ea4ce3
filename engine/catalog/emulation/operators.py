"""Operators of catalog queries: which types they take and what they are in DuckDB."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.catalog.emulation import date_functions, jsonb_functions
from engine.catalog.emulation import types as t
from engine.catalog.emulation.coercions import comparable
from engine.catalog.emulation.functions import Builder
from engine.catalog.emulation.tree import (
    Between,
    Binary,
    In,
    IsTest,
    Like,
    Literal,
    Quantified,
    Query,
    Row,
    Unary,
)
from engine.catalog.emulation.values import CatalogRefused, Value, cast, flat, no_operator, quoted, settle
from governance.errors import StatementRefused

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
_ARITHMETIC = frozenset(("+", "-", "*", "/", "%", "^", "&", "|", "#", "<<", ">>"))


class OperatorTranslator(Builder):
    """Operators; `ExpressionTranslator` adds all other expressions."""

    def _pair(self, left: Value, right: Value, operator: str = "=") -> tuple[Value, Value]:
        """Both sides of a comparison in one type."""
        if left.untyped and right.untyped:
            return settle(left, t.TEXT, self.parameters), settle(right, t.TEXT, self.parameters)
        left = settle(left, right.type, self.parameters)
        right = settle(right, left.type, self.parameters)
        if t.JSON in (left.type, right.type):
            raise no_operator(operator, left, right)
        if left.type == right.type or t.duck(left.type) == t.duck(right.type):
            return left, right
        if comparable(left.type, right.type):
            return left, right
        if t.element_of(left.type) is not None and t.element_of(right.type) is not None:
            return left, cast(right, left.type)
        if {left.type, right.type} <= {t.DATE, t.TIMESTAMP, t.TIMESTAMPTZ}:
            return left, right
        raise no_operator(operator, left, right)

    def compare(self, operator: str, left: Value, right: Value) -> str:
        """`left operator right` for a comparison or a match."""
        if operator in _COMPARISONS:
            left, right = self._pair(left, right, operator)
            if left.type == right.type == t.JSONB and not operator.startswith("is"):
                return f"(hd_jsonb_compared({left.sql}, {right.sql}) {operator} 0)"
            return f"({left.sql} {operator.upper()} {right.sql})"
        if operator in _MATCHES:
            negation, option = _MATCHES[operator]
            text, pattern = self._texts(left, right, operator=operator)
            return f"({negation}regexp_matches({text}, {pattern}{option}))"
        if operator == "^@":
            text, start = self._texts(left, right, operator=operator)
            return f"starts_with({text}, {start})"
        if operator in _LIKES:
            negated, insensitive = _LIKES[operator]
            return self._like_text(left, right, quoted("\\"), negated, insensitive)
        raise StatementRefused(f"The operator {operator} is not supported in catalog queries.")

    def _texts(self, *values: Value, operator: str) -> list[str]:
        done = [settle(value, t.TEXT, self.parameters) for value in values]
        if not all(t.is_text(value.type) for value in done):
            raise no_operator(operator, *values)
        return [value.sql for value in done]

    def binary(self, node: Binary, scope: Scope) -> Value:
        """AND, OR, comparisons, matches, arithmetic, `||`, array operators."""
        if node.operator in ("and", "or"):
            left, right = self.condition(node.left, scope), self.condition(node.right, scope)
            return Value(f"({left} {node.operator.upper()} {right})", t.BOOL)
        if isinstance(node.left, Row) and isinstance(node.right, Row) and node.operator in _COMPARISONS:
            return self._rows(node.operator, node.left, node.right, scope)
        left_value, right_value = self.translate(node.left, scope), self.translate(node.right, scope)
        if node.operator in ("->", "->>", "#>", "#>>") and left_value.type in (t.JSON, t.JSONB):
            return self.json_part(node.operator, left_value, right_value)
        if jsonb_functions.applies(node.operator, left_value, right_value):
            return jsonb_functions.operate(self, node.operator, left_value, right_value)
        if node.operator == "||":
            return self._concatenate(left_value, right_value)
        if node.operator in _ARITHMETIC:
            return self._arithmetic(node.operator, left_value, right_value)
        if node.operator in ("@>", "<@", "&&"):
            return self._array_operator(node.operator, left_value, right_value)
        return Value(self.compare(node.operator, left_value, right_value), t.BOOL)

    def json_part(self, operator: str, left: Value, right: Value) -> Value:
        """`->` and its like; given by `ExpressionTranslator`."""
        raise NotImplementedError

    def _rows(self, operator: str, left: Row, right: Row, scope: Scope) -> Value:
        if len(left.items) != len(right.items):
            raise CatalogRefused("42601", "Unequal number of entries in row expressions.")
        sides = [
            (self.translate(a, scope), self.translate(b, scope)) for a, b in zip(left.items, right.items, strict=True)
        ]
        if operator in ("=", "<>"):
            text = "(" + " AND ".join(self.compare("=", a, b) for a, b in sides) + ")"
            return Value(text if operator == "=" else f"(NOT {text})", t.BOOL)
        if operator.startswith("is"):
            joint = " OR " if operator == "is distinct from" else " AND "
            return Value("(" + joint.join(self.compare(operator, a, b) for a, b in sides) + ")", t.BOOL)
        # The first pair that differs decides.
        text = self.compare(operator, *sides[-1])
        for a, b in sides[-2::-1]:
            text = f"({self.compare(operator[0], a, b)} OR ({self.compare('=', a, b)} AND {text}))"
        return Value(text, t.BOOL)

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
            if left.depth != right.depth:
                raise StatementRefused("Arrays of different dimensions are not put together in catalog queries.")
            return Value(f"list_concat({left.sql}, {cast(right, kind).sql})", kind, depth=left.depth)
        sides = [cast(settle(v, t.TEXT, self.parameters), t.TEXT).sql for v in (left, right)]
        return Value(f"({sides[0]} || {sides[1]})", t.TEXT)

    def _arithmetic(self, operator: str, left: Value, right: Value) -> Value:
        if left.untyped and right.untyped:
            raise CatalogRefused("42725", "An operator in the catalog query is not unique.")
        moments = date_functions.MOMENTS
        left = settle(left, t.INTERVAL if right.type in moments and operator == "+" else right.type, self.parameters)
        right = settle(right, t.INTERVAL if left.type in moments and operator == "+" else left.type, self.parameters)
        left, right = (cast(v, t.INT8) if v.type in t.OID_LIKE else v for v in (left, right))
        if left.type in date_functions.TIMED or right.type in date_functions.TIMED:
            return date_functions.calculate(operator, left, right)
        if left.type in t.BITS and right.type in t.BITS and operator in "&|#":
            return Value(f"hd_bits({quoted(operator)}, {left.sql}, {right.sql})", left.type)
        if left.type not in t.NUMBERS or right.type not in t.NUMBERS:
            raise no_operator(operator, left, right)
        kind = max(left.type, right.type, key=t.PROMOTION.index)
        if operator == "^":
            return Value(f"pow({left.sql}, {right.sql})", t.FLOAT8)
        if operator in ("<<", ">>") and kind in t.INTEGERS:
            text = f"(CAST({left.sql} AS HUGEINT) {operator} CAST({right.sql} AS INTEGER))"
            return Value(f"CAST({text} AS {t.duck(left.type)})", left.type)
        if kind in t.INTEGERS:
            symbol = {"/": "//", "#": "xor"}.get(operator, operator)
            text = f"xor({left.sql}, {right.sql})" if symbol == "xor" else f"({left.sql} {symbol} {right.sql})"
            return Value(f"CAST({text} AS {t.duck(kind)})", kind)
        if operator in ("&", "|", "#", "<<", ">>"):
            raise no_operator(operator, left, right)
        if kind == t.NUMERIC and operator == "/":
            return Value(f"CAST(({left.sql} / {right.sql}) AS {t.duck(t.NUMERIC)})", t.NUMERIC)
        return Value(f"({left.sql} {operator} {right.sql})", kind)

    def _array_operator(self, operator: str, left: Value, right: Value) -> Value:
        left = settle(left, right.type, self.parameters)
        right = settle(right, left.type, self.parameters)
        if t.element_of(left.type) is None or t.element_of(right.type) is None:
            raise StatementRefused(f"The operator {operator} is not supported in catalog queries.")
        left, right = flat(left), flat(right)
        right = cast(right, left.type)
        name = "list_has_any" if operator == "&&" else "list_has_all"
        first, second = (right, left) if operator == "<@" else (left, right)
        return Value(f"{name}({first.sql}, {second.sql})", t.BOOL)

    def unary(self, node: Unary, scope: Scope) -> Value:
        """NOT, minus and plus."""
        if node.operator == "not":
            return Value(f"(NOT {self.condition(node.value, scope)})", t.BOOL)
        value = self.typed(node.value, scope, t.INT4)
        if value.type not in t.NUMBERS and value.type != t.INTERVAL:
            raise CatalogRefused("42883", f"operator does not exist: {node.operator} {value.type_name}")
        return Value(f"({node.operator}{value.sql})", value.type)

    def is_test(self, node: IsTest, scope: Scope) -> Value:
        """`IS [NOT] NULL|TRUE|FALSE|UNKNOWN`."""
        negation = "NOT " if node.negated else ""
        if node.test == "null" and isinstance(node.value, Row):
            each = [f"({self.typed(item, scope).sql} IS {negation}NULL)" for item in node.value.items]
            return Value(f"({' AND '.join(each) or 'TRUE'})", t.BOOL)
        if node.test == "null":
            return Value(f"({self.typed(node.value, scope).sql} IS {negation}NULL)", t.BOOL)
        sql = self.condition(node.value, scope)
        if node.test == "unknown":
            return Value(f"({sql} IS {negation}NULL)", t.BOOL)
        operator = "IS DISTINCT FROM" if node.negated else "IS NOT DISTINCT FROM"
        return Value(f"({sql} {operator} {node.test.upper()})", t.BOOL)

    def between(self, node: Between, scope: Scope) -> Value:
        """`[NOT] BETWEEN [SYMMETRIC]`."""
        value, low, high = (self.translate(each, scope) for each in (node.value, node.low, node.high))
        text = f"({self.compare('>=', value, low)} AND {self.compare('<=', value, high)})"
        if node.symmetric:
            text = f"({text} OR ({self.compare('>=', value, high)} AND {self.compare('<=', value, low)}))"
        return Value(f"({'NOT ' if node.negated else ''}{text})", t.BOOL)

    def like(self, node: Like, scope: Scope) -> Value:
        """`[NOT] LIKE|ILIKE|SIMILAR TO`; a backslash escapes unless told otherwise."""
        escape = quoted("\\")
        if node.escape is not None:
            if not isinstance(node.escape, Literal) or node.escape.kind != "string" or len(node.escape.text) > 1:
                raise StatementRefused("ESCAPE takes one character in catalog queries.")
            escape = quoted(node.escape.text) if node.escape.text else ""
        value, pattern = self.translate(node.value, scope), self.translate(node.pattern, scope)
        if node.similar:
            text, similar = self._texts(value, pattern, operator="~")
            negation = "NOT " if node.negated else ""
            return Value(f"({negation}regexp_matches({text}, hd_similar({similar}, {escape or quoted('')})))", t.BOOL)
        return Value(self._like_text(value, pattern, escape, node.negated, node.insensitive), t.BOOL)

    def _like_text(self, value: Value, pattern: Value, escape: str, negated: bool, insensitive: bool) -> str:
        text, like = self._texts(value, pattern, operator="~~*" if insensitive else "~~")
        word = ("NOT " if negated else "") + ("ILIKE" if insensitive else "LIKE")
        return f"({text} {word} {like}{' ESCAPE ' + escape if escape else ''})"

    def in_(self, node: In, scope: Scope) -> Value:
        """`[NOT] IN` a list or a query."""
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

    def rows_query(self, query: Query, scope: Scope, values: list[Value]) -> tuple[str, list[int]]:
        """A query's text and types, for comparison with a row; given by `QueryTranslator`."""
        raise NotImplementedError

    def _in_query(self, node: In, query: Query, negation: str, scope: Scope) -> Value:
        if isinstance(node.value, Row):
            values = [self.translate(item, scope) for item in node.value.items]
            text, kinds = self.rows_query(query, scope, values)
            sides = [self._pair(v, Value("", k))[0].sql for v, k in zip(values, kinds, strict=True)]
            return Value(f"(({', '.join(sides)}) {negation}IN ({text}))", t.BOOL)
        value = self.translate(node.value, scope)
        found = self.column_query(query, scope, t.TEXT if value.untyped else value.type)
        left, _ = self._pair(value, Value("", found.type))
        return Value(f"({left.sql} {negation}IN ({found.sql}))", t.BOOL)

    def quantified(self, node: Quantified, scope: Scope) -> Value:
        """`ANY` and `ALL` over an array or a query."""
        if isinstance(node.left, Row) and isinstance(node.right, Query):
            if (node.operator, node.every) not in (("=", False), ("<>", True)):
                raise StatementRefused("Rows are compared with = ANY and <> ALL in catalog queries.")
            return self.in_(In(node.left, node.right, node.every), scope)
        left = self.translate(node.left, scope)
        if isinstance(node.right, Query):
            found = self.column_query(node.right, scope, t.TEXT if left.untyped else left.type)
            text, kind = found.sql, found.type
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
        right = flat(right)
        element = t.element_of(right.type)
        if element is None:
            raise CatalogRefused("42809", "ANY and ALL need an array.")
        left = settle(left, element, self.parameters)
        simple = (node.operator == "=" and not node.every) or (node.operator == "<>" and node.every)
        if simple and (t.duck(left.type) == t.duck(element) or comparable(left.type, element)):
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
        both = (left.type, element)
        met = max(both, key=t.PROMOTION.index) if t.NUMBERS.issuperset(both) else t.INT8
        return f"CAST({right.sql} AS {t.duck(met)}[])"
