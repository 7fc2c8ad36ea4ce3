"""Row filters: checked when they are written, bound when they are used; total by construction (W4.9, W4.10).

A filter runs on rows the caller may not see, so an expression that can fail on a value is an oracle. The language
(`governance.filter_grammar`) holds only what cannot fail: columns, placeholders, literals, comparisons of like types,
`IN`, `BETWEEN`, `LIKE`, `IS [NOT] NULL`, `AND/OR/NOT`, `||`, casts to text, `TRY_CAST`, and a few functions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from governance.errors import AttributeMissing, InvalidRequest
from governance.filter_grammar import FUNCTIONS, Node, parse_filter, refuse, walk
from governance.policies import Mask, Policy, RowFilter
from governance.sql_literals import fits, identifier, literal_of, text_literal
from governance.sql_types import (
    BOOLEAN,
    FLOATS,
    NUMBER,
    TEXT,
    UNTYPED,
    comparable,
    decimal_shape,
    is_date_like,
    is_integer,
    is_text,
    normal,
)
from governance.tables import Table


@dataclass(slots=True)
class _Binder:
    """Turns a tree into SQL; with a table it also checks types. `value` gives a placeholder's text."""

    table: Table | None
    value: Callable[[str], str] | None
    prefix: str = ""
    columns: list[str] = field(default_factory=list)

    def type_of(self, node: Node) -> str:
        kind = node.kind
        if kind in ("string", "placeholder", "null"):
            return UNTYPED
        if kind == "number":
            return NUMBER
        if kind == "moment":
            return node.text.split(" ", 1)[0]
        if kind == "column":
            return self.column_type(node)
        if kind == "concat":
            return TEXT
        if kind in ("cast", "try_cast"):
            return node.text
        if kind == "call":
            result = FUNCTIONS[node.text].result
            if result != "first":
                return result
            known = [t for t in map(self.type_of, node.children) if t not in (UNTYPED, NUMBER)]
            return known[0] if known else self.type_of(node.children[0])
        return BOOLEAN

    def column_type(self, node: Node) -> str:
        if self.table is None:
            return UNTYPED
        column = self.table.column(node.text)
        if column is None:
            raise refuse("the table has no such column", node.at)
        return normal(column.type)

    def condition(self, node: Node) -> str:
        """SQL of a truth value."""
        if node.kind in ("and", "or"):
            return "(" + f" {node.kind.upper()} ".join(self.condition(c) for c in node.children) + ")"
        if node.kind == "not":
            return f"(NOT {self.condition(node.children[0])})"
        if self.table is not None and self.type_of(node) != BOOLEAN and node.kind != "null":
            raise refuse("a condition is expected here, not a value", node.at)
        if node.kind in ("string", "number", "placeholder", "moment"):
            raise refuse("a condition is expected here, not a value", node.at)
        return self.expression(node, BOOLEAN)

    def together(self, nodes: tuple[Node, ...], at: int) -> tuple[str, ...]:
        """SQL of values that are compared with each other: literals take the type of what they stand beside."""
        types = [self.type_of(n) for n in nodes]
        known = [t for t in types if t not in (UNTYPED, NUMBER)]
        wanted = known[0] if known else (NUMBER if NUMBER in types else TEXT)
        for other in known[1:]:
            if self.table is not None and not comparable(wanted, other):
                raise refuse(f"{wanted} and {other} cannot be compared without a cast that may fail", at)
        return tuple(self.expression(n, wanted) for n in nodes)

    def expression(self, node: Node, wanted: str) -> str:
        kind = node.kind
        if kind == "compare":
            left, right = self.together(node.children, node.at)
            return f"({left} {node.text} {right})"
        if kind == "in":
            first, *rest = self.together(node.children, node.at)
            return f"({first} {'NOT IN' if node.negated else 'IN'} ({', '.join(rest)}))"
        if kind == "between":
            value, low, high = self.together(node.children, node.at)
            return f"({value} {'NOT BETWEEN' if node.negated else 'BETWEEN'} {low} AND {high})"
        if kind == "is_null":
            inner = self.expression(node.children[0], self.type_of(node.children[0]))
            return f"({inner} IS {'NOT ' if node.negated else ''}NULL)"
        if kind == "like":
            return self.like(node)
        if kind in ("and", "or", "not"):
            return self.condition(node)
        if kind in ("true", "false"):
            return kind.upper()
        if kind == "null":
            return "NULL"
        if kind == "column":
            return self.column(node)
        if kind == "concat":
            sql, *more = [self.text(c) for c in node.children]
            for piece in more:
                sql = f'system.main."||"({sql}, {piece})'
            return sql
        if kind in ("cast", "try_cast"):
            return self.cast(node)
        if kind == "call":
            return self.call(node)
        return self.value_of(node, wanted)

    def value_of(self, node: Node, wanted: str) -> str:
        if node.kind == "moment":
            type_, value = node.text.split(" ", 1)
            return literal_of(value, type_) or "NULL"
        text, target = node.text, TEXT if wanted == UNTYPED else wanted
        if node.kind == "placeholder":
            if self.value is None:
                return "NULL"
            text = self.value(node.text)
            if target == NUMBER:
                target = "BIGINT"
        elif node.kind == "number":
            if target in (NUMBER, UNTYPED):
                return text
            if self.table is not None and is_text(target):
                raise refuse("a number cannot be compared with text", node.at)
        elif target == NUMBER:
            raise refuse("text cannot be compared with a number", node.at)
        sql = literal_of(text, target)
        if sql is None:
            what = f"the value of {{{node.text}}}" if node.kind == "placeholder" else "this value"
            raise refuse(f"{what} does not fit the type {target}", node.at)
        return sql

    def column(self, node: Node) -> str:
        if self.table is None:
            return identifier(node.text)
        column = self.table.column(node.text)
        if column is None:
            raise refuse("the table has no such column", node.at)
        if column.name not in self.columns:
            self.columns.append(column.name)
        return self.prefix + identifier(column.name)

    def text(self, node: Node) -> str:
        if self.table is not None:
            type_ = self.type_of(node)
            if type_ != UNTYPED and not is_text(type_):
                raise refuse("text is expected here; write value::VARCHAR", node.at)
        return self.expression(node, TEXT)

    def like(self, node: Node) -> str:
        pattern = node.children[1]
        if pattern.kind != "string" or pattern.text.endswith("\\"):
            raise refuse("LIKE takes a pattern written as a text literal", pattern.at)
        left = self.text(node.children[0])
        operator = '"~~"' if node.text == "LIKE" else '"~~*"'
        return f"({'NOT ' if node.negated else ''}system.main.{operator}({left}, {text_literal(pattern.text)}))"

    def cast(self, node: Node) -> str:
        inner = node.children[0]
        source, target = self.type_of(inner), node.text
        sql = self.expression(inner, source)
        if node.kind == "try_cast":
            if self.table is not None and not (is_text(target) or source in (UNTYPED, NUMBER) or _plain(source)):
                raise refuse(
                    "TRY_CAST from this type can fail on a value; take text, a number or a truth value", node.at
                )
            return f"TRY_CAST({sql} AS {target})"
        if target != "VARCHAR":
            raise refuse("a cast to this type can fail on a value; use TRY_CAST", node.at)
        return f"CAST({sql} AS VARCHAR)"

    def call(self, node: Node) -> str:
        signature = FUNCTIONS[node.text]
        arguments = node.children
        most = 32 if "..." in signature.arguments else len(signature.arguments)
        if not signature.minimum <= len(arguments) <= most:
            raise refuse(f"{node.text} does not take {len(arguments)} arguments", node.at)
        if signature.arguments[0] == "same":
            parts = list(self.together(arguments, node.at))
            if node.text == "coalesce":
                return "COALESCE(" + ", ".join(parts) + ")"
            return f"CASE WHEN {parts[0]} = {parts[1]} THEN NULL ELSE {parts[0]} END"
        parts = []
        for i, argument in enumerate(arguments):
            shape = signature.arguments[min(i, len(signature.arguments) - 1)]
            if shape == "...":
                shape = signature.arguments[-2]
            parts.append(self.argument(argument, shape))
        return f"system.main.{node.text}(" + ", ".join(parts) + ")"

    def argument(self, node: Node, shape: str) -> str:
        if shape == "small":
            if node.kind != "number" or not fits(node.text, -10_000, 10_000):
                raise refuse("a whole number between -10000 and 10000 is expected here", node.at)
            return node.text
        if shape == "date":
            type_ = self.type_of(node)
            if self.table is not None and not is_date_like(type_):
                raise refuse("a date or timestamp is expected here", node.at)
            return self.expression(node, type_)
        return self.text(node)


def _plain(type_: str) -> bool:
    """Text, numbers and truth values: from others (dates, times) DuckDB 1.5.5's TRY_CAST may fail instead of NULL."""
    return is_text(type_) or is_integer(type_) or type_ in FLOATS or type_ == BOOLEAN or bool(decimal_shape(type_))


def placeholders(tree: Node) -> tuple[str, ...]:
    """The placeholders of a filter, each once, in order."""
    return tuple(dict.fromkeys(n.text for n in walk(tree) if n.kind == "placeholder"))


def check_filter(text: str, table: Table | None) -> tuple[str, ...]:
    """The placeholders of a well-formed filter; with `table`, its columns and types are checked too.

    Raises:
        InvalidRequest: not in the filter language, or not fitting the table; `position` is the 1-based character.
    """
    tree = parse_filter(text)
    _Binder(table, None).condition(tree)
    return placeholders(tree)


def check_policy(policy: Policy, table: Table | None) -> None:
    """Whether a policy fits its table; without a table only what can be told without one is checked.

    Raises:
        InvalidRequest: a filter that is not in the language or does not fit, or a column that is not there.
    """
    if isinstance(policy, RowFilter):
        check_filter(policy.filter, table)
    elif isinstance(policy, Mask) and table is not None and table.column(policy.column) is None:
        raise InvalidRequest("The table has no such column.", advice="Check the spelling.")


@dataclass(frozen=True, slots=True)
class BoundFilter:
    """A filter as SQL over the base table's own columns, with every placeholder bound as a typed literal."""

    sql: str
    columns: tuple[str, ...]
    """Columns it reads, as stored."""


def bind_filter(text: str, table: Table, attribute: Callable[[str], str | None], prefix: str = "") -> BoundFilter:
    """The filter as SQL for one principal; `prefix` (such as `b.`) stands before each column.

    Raises:
        AttributeMissing: a placeholder names an attribute the principal does not carry.
        InvalidRequest: the filter does not fit the table, or a value does not fit its column's type.
    """

    def value(name: str) -> str:
        found = attribute(name)
        if found is None:
            raise AttributeMissing(
                f"A row filter on {table.name} needs the attribute {name!r}, which this identity does not carry.",
                advice="Ask an administrator to set the attribute.",
            )
        return found

    binder = _Binder(table, value, prefix)
    sql = binder.condition(parse_filter(text))
    return BoundFilter(sql, tuple(binder.columns))
