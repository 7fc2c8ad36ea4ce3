"""The proof that an expression cannot fail on any row, hidden ones included.

By names: every definition a name may have in the statement must agree. What is not understood is not proven. Attack
every widening before it lands (docs/adr/0010-guard-barrier-seal.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from engine.pipeline import functions
from engine.pipeline.proven import (
    TRUTH,
    Proven,
    all_meet,
    grows,
    is_moment,
    is_small,
    is_value_of,
    product_type,
    tries,
    widens,
)
from engine.pipeline.survey import Node, Survey, children
from engine.pipeline.totals import (
    CALENDAR_PARTS,
    FLOATING,
    INTERVALS,
    SAME_AS_ARGUMENT,
    TOTAL_CALENDAR,
    TOTAL_LENGTHS,
    TOTAL_TESTS,
    TOTAL_TEXT,
    WINDOW_BIGINT,
)
from governance.sql_types import BOOLEAN, FLOATS, TEXT, decimal_shape, is_integer, is_text, normal
from governance.tables import Table, fold

DEPTH_MAX = 64
"""Deeper expressions are not proven: the proof descends with them."""


@dataclass(slots=True)
class Prover:
    """Proves expressions of one statement, one after the other."""

    survey: Survey
    columns: Mapping[str, Sequence[str]]
    """Folded column name -> types it has in the tables of the statement (masked types where masked)."""
    strict: bool = False
    """Whether what is done to aggregates and windows must be proven too, and that a scalar sub-query has one row."""
    open: set[str] = field(default_factory=set)
    depth: int = 0
    known: dict[str, Proven | None] = field(default_factory=dict)
    """What was found of names: statements say the same ones again and again."""

    def name(self, name: str) -> Proven | None:
        """What every definition of a name agrees on, or None."""
        if self.open:
            return None if name in self.open else self._name(name)
        if name not in self.known:
            self.known[name] = self._name(name)
        return self.known[name]

    def _name(self, name: str) -> Proven | None:
        if self.survey.may_be_other(name, self.columns):
            return None
        found: list[Proven | None] = [Proven(normal(t)) for t in self.columns.get(name, ())]
        self.open.add(name)
        for definition in self.survey.definitions.get(name, ()):
            if definition is None:
                found.append(None)
            elif not self.repeats(definition, name):  # `t.a AS a` says nothing new
                found.append(self.expression(definition))
        self.open.discard(name)
        if not found or any(p is None for p in found):
            return None
        proven = [p for p in found if p is not None]
        first = proven[0]
        if any(p.type != first.type for p in proven):
            return None
        return Proven(first.type, all(p.constant for p in proven), all(p.held for p in proven))

    def condition(self, node: Node) -> Proven | None:
        """The proof for a condition: DuckDB casts it to BOOLEAN when it is none, which fails for most texts."""
        proof = self.expression(node)
        return proof if proof is not None and (proof.held or proof.type in (BOOLEAN, "NULL")) else None

    def repeats(self, node: Node, name: str) -> bool:
        """Whether a definition is the column of that very name, plain or qualified by a table."""
        names = [fold(n) for n in node["column_names"]] if node["class"] == "COLUMN_REF" else []
        if not names or names[-1] != name or len(names) > 3:
            return False
        return len(names) == 1 or self.is_qualified(names)

    def is_qualified(self, names: Sequence[str]) -> bool:
        """Whether the last of several folded names can only be a column of the table that the others name."""
        plain = not any(n in self.survey.definitions or n in self.columns for n in names[:-2])
        return plain and self.is_relation(names[-2])

    def is_relation(self, qualifier: str) -> bool:
        """Whether a qualifier can only be a table; otherwise what follows may be a field of a struct."""
        survey = self.survey
        plain = qualifier not in survey.definitions and qualifier not in self.columns
        return plain and qualifier in survey.relation_names

    def _column(self, node: Node) -> Proven | None:
        names = [fold(n) for n in node["column_names"]]
        if names == ["current_date"] and "current_date" not in self.columns:
            return None if "current_date" in self.survey.definitions else Proven("DATE", constant=True)
        return self.name(names[-1]) if len(names) == 1 or self.is_qualified(names) else None

    def expression(self, node: Node) -> Proven | None:
        """The proof for one expression, or None when there is none, or it would be long."""
        if self.depth >= DEPTH_MAX:
            return None
        self.depth += 1
        proof = self._expression(node)
        self.depth -= 1
        return proof

    def _expression(self, node: Node) -> Proven | None:
        kind = node["class"]
        if kind == "CONSTANT":
            type_ = node["value"]["type"]
            info = type_.get("type_info") or {}
            if type_["id"] == "DECIMAL":
                return Proven(f"DECIMAL({info.get('width', 38)},{info.get('scale', 0)})", constant=True)
            text = node["value"].get("value")
            return Proven(normal(type_["id"]), constant=True, text=text if isinstance(text, str) else None)
        if kind == "COLUMN_REF":
            return self._column(node)
        if kind == "PARAMETER":
            return None
        if kind == "COMPARISON":
            return self._together([node["left"], node["right"]])
        if kind == "BETWEEN":
            return self._together([node["input"], node["lower"], node["upper"]])
        if kind == "CONJUNCTION":
            parts = [self.expression(c) for c in node["children"]]
            if any(p is None or p.type not in (BOOLEAN, "") for p in parts):
                return None
            return Proven(BOOLEAN, all(p.constant for p in parts if p), any(p.held for p in parts if p))
        if kind == "OPERATOR":
            return self._operator(node)
        if kind == "CAST":
            return self._cast(node)
        if kind == "CASE":
            return self._case(node)
        if kind == "SUBQUERY":
            return self._subquery(node)
        if kind == "FUNCTION":
            return self._function(node)
        if kind == "WINDOW":
            name = fold(node["function_name"])
            return Proven("BIGINT" if name in WINDOW_BIGINT else self._aggregate_type(node), held=not self.strict)
        return None

    def _together(self, nodes: Iterable[Node]) -> Proven | None:
        """A comparison: proven when no side needs a cast that could fail on a value of a column."""
        parts = [self.expression(n) for n in nodes]
        if any(p is None for p in parts):
            return None
        sides = [p for p in parts if p is not None]
        held = any(p.held for p in sides)
        loose = [p for p in sides if not p.held]
        if not all_meet(loose) or (held and any(not p.constant for p in loose) and not all_meet(sides)):
            return None
        return Proven(BOOLEAN, all(p.constant for p in sides), held)

    def _operator(self, node: Node) -> Proven | None:
        kind, below = node["type"], node.get("children", ())
        if kind in ("COMPARE_IN", "COMPARE_NOT_IN"):
            return self._together(below)
        parts = [self.expression(c) for c in below]
        if any(p is None for p in parts):
            return None
        sides = [p for p in parts if p is not None]
        held = any(p.held for p in sides)
        if kind in ("OPERATOR_IS_NULL", "OPERATOR_IS_NOT_NULL"):
            return Proven(BOOLEAN, all(p.constant for p in sides), held)
        if kind == "OPERATOR_NOT":
            return Proven(BOOLEAN, sides[0].constant, held) if sides[0].type in (BOOLEAN, "") else None
        if kind == "OPERATOR_COALESCE" and len({p.type for p in sides}) == 1 and sides[0].type:
            return Proven(sides[0].type, all(p.constant for p in sides), held)
        return None

    def _cast(self, node: Node) -> Proven | None:
        inner = self.expression(node["child"])
        if inner is None:
            return None
        target = node["cast_type"]
        info = target.get("type_info") or {}
        type_ = target["id"]
        if type_ == "DECIMAL":
            type_ = f"DECIMAL({info.get('width')},{info.get('scale')})"
        elif info and type_ != TEXT:
            return None
        tried = node.get("try_cast") and tries(inner.type, type_)
        small = inner.constant and type_ in ("INTEGER", "BIGINT") and is_small(node["child"])
        if tried or small or widens(inner.type, type_) or is_value_of(node["child"], type_):
            return Proven(type_, inner.constant, inner.held)
        return None

    def _case(self, node: Node) -> Proven | None:
        outcomes = [check["then_expr"] for check in node["case_checks"]]
        if node.get("else_expr"):
            outcomes.append(node["else_expr"])
        tests = [self.expression(check["when_expr"]) for check in node["case_checks"]]
        values = [self.expression(o) for o in outcomes]
        if any(p is None for p in (*tests, *values)):
            return None
        types = {p.type for p in values if p is not None and p.type != "NULL"}
        if len(types) != 1 or "" in types or any(p.type != BOOLEAN for p in tests if p is not None):
            return None
        return Proven(types.pop(), held=any(p.held for p in (*tests, *values) if p))

    def _subquery(self, node: Node) -> Proven | None:
        kind = node.get("subquery_type")
        if kind in ("EXISTS", "NOT_EXISTS"):
            return TRUTH
        inner = node["subquery"]["node"]
        items: Sequence[Node] = inner.get("select_list", ()) if inner["type"] == "SELECT_NODE" else ()
        if len(items) != 1:
            return None
        item = self.expression(items[0])
        if item is None or not (item.type or item.held):
            return None
        if kind == "SCALAR":
            return None if self.strict and not _has_one_row(inner) else Proven(item.type, held=item.held)
        child = self.expression(node["child"]) if node.get("child") else None
        if kind in ("ANY", "NOT_ANY") and child is not None and all_meet([child, Proven(item.type)]):
            return Proven(BOOLEAN, held=child.held)
        return None

    def _function(self, node: Node) -> Proven | None:
        name, below = fold(node["function_name"]), list(children(node))
        if name in functions.AGGREGATES:
            return Proven(self._aggregate_type(node), held=not self.strict)
        if node.get("schema", "") not in ("", "main"):
            return None
        parts = [self.expression(c) for c in below]
        if any(p is None for p in parts):
            return None
        sides = [p for p in parts if p is not None]
        constant = all(p.constant for p in sides) and bool(sides)
        held = any(p.held for p in sides)
        type_ = self._total_type(name, sides, below)
        if type_ is None and constant:
            type_ = self._moment_type(name, sides, below)
        if type_ is not None:
            return Proven(type_, constant, held)
        if held:
            return Proven(product_type(name, sides), held=True)
        return None

    def _moment_type(self, name: str, sides: Sequence[Proven], below: Sequence[Node]) -> str | None:
        """The type of a constant date or timestamp plus or minus a small constant, which cannot overflow."""
        if name in INTERVALS and all(is_small(n) for n in below):
            return "INTERVAL"
        if name in ("+", "-") and all(is_integer(p.type) and is_small(n) for p, n in zip(sides, below, strict=True)):
            return "INTEGER"
        if name not in ("+", "-") or len(sides) != 2 or not is_moment(below[0]):
            return None
        left, right = sides[0].type, sides[1].type
        if right == "INTERVAL" and left in ("DATE", "TIMESTAMP"):
            return "TIMESTAMP"
        if left == "DATE" and is_integer(right) and is_small(below[1]):
            return "DATE"
        return None

    def _total_type(self, name: str, sides: Sequence[Proven], below: Sequence[Node]) -> str | None:
        if name in TOTAL_TEXT:
            shape = TOTAL_TEXT[name]
            if not 1 <= len(sides) <= len(shape):
                return None
            for side, node, wanted in zip(sides, below, shape, strict=False):
                if wanted == "t" and not is_text(side.type):
                    return None
                if wanted == "c" and not (is_integer(side.type) and is_small(node)):
                    return None
            return None if grows(name, below, sides) else TEXT
        if name in TOTAL_TESTS and all(is_text(p.type) for p in sides):
            return BOOLEAN
        if name in TOTAL_LENGTHS and all(is_text(p.type) for p in sides):
            return "BIGINT"
        types = [p.type for p in sides]
        if name in FLOATING and "DOUBLE" in types and all(widens(t, "DOUBLE") and not is_text(t) for t in types):
            return "DOUBLE"
        if name == "trunc" and len(types) == 1 and types[0] in FLOATS:
            return types[0]
        if name in TOTAL_CALENDAR and len(types) == 1 and types[0] in ("DATE", "TIMESTAMP"):
            return "BIGINT"
        if name in ("date_part", "datepart") and len(types) == 2 and types[1] in ("DATE", "TIMESTAMP"):
            part = below[0].get("value", {}).get("value") if below else None
            return "BIGINT" if isinstance(part, str) and fold(part) in CALENDAR_PARTS else None
        return None

    def _aggregate_type(self, node: Node) -> str:
        name, below = fold(node["function_name"]), node.get("children", ())
        if name in ("count", "count_star"):
            return "BIGINT"
        if name in ("avg", "mean"):
            return "DOUBLE"
        inner = self.expression(below[0]) if below else None
        if inner is None:
            return ""
        if name in SAME_AS_ARGUMENT:
            return inner.type
        if name == "sum":
            shape = decimal_shape(inner.type)
            if shape:
                return f"DECIMAL(38,{shape[1]})"
            return "DOUBLE" if inner.type in FLOATS else ("HUGEINT" if is_integer(inner.type) else "")
        return ""


def _has_one_row(select: Node) -> bool:
    """Whether a SELECT with one item has at most one row: it aggregates everything, or a LIMIT says so."""
    ones = [m.get("limit") for m in select.get("modifiers", ()) if m.get("type") == "LIMIT_MODIFIER"]
    if any(n and n.get("class") == "CONSTANT" and n["value"].get("value") in (0, 1) for n in ones):
        return True
    standard = select.get("aggregate_handling", "STANDARD_HANDLING") == "STANDARD_HANDLING"
    grouped = not standard or select.get("group_expressions") or select.get("group_sets")
    return not grouped and _aggregates(select["select_list"][0])


def _aggregates(node: Node) -> bool:
    if node["class"] == "FUNCTION" and fold(node["function_name"]) in functions.AGGREGATES:
        return True
    return node["class"] != "WINDOW" and any(map(_aggregates, children(node)))


def columns_of(tables: Iterable[Table]) -> dict[str, list[str]]:
    """Folded column name -> the types it has in the tables."""
    columns: dict[str, list[str]] = {}
    for table in tables:
        for name, column in table.folded:
            columns.setdefault(name, []).append(column.type)
    return columns


def cannot_fail(node: Node, survey: Survey, tables: Iterable[Table]) -> bool:
    """Whether a condition gives a value or NULL on every row; `tables` carry the types that are shown."""
    return Prover(survey, columns_of(tables)).condition(node) is not None
