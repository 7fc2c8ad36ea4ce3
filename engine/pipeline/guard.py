"""Which statements need a barrier, and which columns the CASE row guard.

A filter of the client is pushed towards the table by DuckDB's optimiser and may then run on hidden rows. An
expression that cannot fail tells nothing; one that can (a cast, arithmetic, a regular expression, ...) tells of hidden
rows by its error. So where one condition of a statement is not proven, no condition may sink into the secured
relations (a barrier: `OFFSET 0`, which filters are not pushed through), and what it reads is guarded besides: the
guard hides values should a filter sink after all, the barrier also hides that rows are there (an expression may fail
on the NULLs of guarded rows, or on its constants). The proof is by names: every definition a name may have in the
statement must agree.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from engine.pipeline import functions
from engine.pipeline.survey import Node, Survey, children
from governance.sql_literals import literal_of
from governance.sql_types import (
    BOOLEAN,
    FLOATS,
    INTEGER_RANGES,
    TEXT,
    comparable,
    decimal_shape,
    is_integer,
    is_text,
    normal,
)
from governance.tables import Table, fold

_TOTAL_TEXT: dict[str, tuple[str, ...]] = {
    # name -> kinds of its arguments: t text, c constant whole number; the last repeats
    "lower": ("t",),
    "upper": ("t",),
    "lcase": ("t",),
    "ucase": ("t",),
    "trim": ("t", "t"),
    "ltrim": ("t", "t"),
    "rtrim": ("t", "t"),
    "substring": ("t", "c", "c"),
    "substr": ("t", "c", "c"),
    "left": ("t", "c"),
    "right": ("t", "c"),
    "||": ("t", "t"),
    "reverse": ("t",),
    "replace": ("t", "t", "t"),
}
_TOTAL_TESTS = frozenset({"~~", "!~~", "~~*", "!~~*", "contains", "starts_with", "prefix", "suffix", "ends_with", "^@"})
_TOTAL_LENGTHS = frozenset({"length", "len", "strlen", "char_length", "character_length"})
_TOTAL_CALENDAR = frozenset({"year", "month", "day", "quarter", "dayofweek", "dayofyear", "isodow"})
_CALENDAR_PARTS = frozenset({"year", "month", "day", "quarter", "dow", "doy", "isodow", "decade", "century"})
DICTIONARY_SAFE = (
    frozenset(_TOTAL_TEXT) | _TOTAL_TESTS | _TOTAL_LENGTHS | _TOTAL_CALENDAR | functions.AGGREGATES
    | functions.ALLOWED["windows"]
    | {"+", "-", "*", "/", "//", "%", "concat", "concat_ws", "list_value", "struct_pack", "row"}
)  # fmt: skip
"""Functions that never fail, or that DuckDB knows may fail.

DuckDB runs a function once over the dictionary of a dictionary-encoded column, hidden rows' values included, when it
believes that the function cannot fail; for some that can, it believes so wrongly (`hamming`, `epoch_ns`, lambdas, ...).
What any function outside this list reads is sealed: copied out of the dictionary.
"""

TOTAL_FUNCTIONS = frozenset(_TOTAL_TEXT) | _TOTAL_TESTS | _TOTAL_LENGTHS | _TOTAL_CALENDAR
"""Scalar functions proven to give a value or NULL for every value of the argument types they are allowed with."""

_SAME_AS_ARGUMENT = frozenset({"min", "max", "any_value", "first", "last", "arbitrary", "mode"})
_WINDOW_BIGINT = frozenset({"row_number", "rank", "dense_rank", "rank_dense", "ntile"})


@dataclass(frozen=True, slots=True)
class Proven:
    """An expression that cannot fail. `type` is "" when not known; `constant` reads no column.

    `held` says that an aggregate or window stands inside, so that the expression cannot sink below it.
    """

    type: str = ""
    constant: bool = False
    held: bool = False


TRUTH = Proven(BOOLEAN)


@dataclass(frozen=True, slots=True)
class Guards:
    """The verdict: guard every column, or those of these folded names."""

    everything: bool = False
    names: frozenset[str] = frozenset()
    barrier: bool = False
    """Whether conditions must stay outside the secured relations."""
    sealed: frozenset[str] = frozenset()
    """Folded names of columns whose values must be copied out of the storage's dictionaries."""
    all_sealed: bool = False

    def covers(self, column: str) -> bool:
        """Whether a column of this name is to be guarded."""
        return self.everything or fold(column) in self.names

    def seals(self, column: str) -> bool:
        """Whether a column of this name is to be sealed."""
        return self.all_sealed or fold(column) in self.sealed


EVERYTHING = Guards(everything=True, barrier=True, all_sealed=True)


@dataclass(slots=True)
class _Prover:
    survey: Survey
    columns: Mapping[str, Sequence[str]]
    """Folded column name -> types it has in the tables of the statement (masked types where masked)."""
    open: set[str] = field(default_factory=set)

    def name(self, name: str) -> Proven | None:
        """What every definition of a name agrees on, or None."""
        if name in self.open:
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

    def repeats(self, node: Node, name: str) -> bool:
        """Whether a definition is the column of that very name, plain or qualified by a table."""
        names = [fold(n) for n in node["column_names"]] if node["class"] == "COLUMN_REF" else []
        if not names or names[-1] != name or len(names) > 3:
            return False
        return len(names) == 1 or self.is_relation(names[-2])

    def is_relation(self, qualifier: str) -> bool:
        """Whether a qualifier can only be a table; otherwise what follows may be a field of a struct."""
        survey = self.survey
        plain = qualifier not in survey.definitions and qualifier not in self.columns
        return plain and qualifier in survey.relation_names

    def column(self, node: Node) -> Proven | None:
        names = [fold(n) for n in node["column_names"]]
        if names == ["current_date"] and "current_date" not in self.columns:
            return None if "current_date" in self.survey.definitions else Proven("DATE", constant=True)
        if len(names) == 1:
            if names[0] in self.survey.relation_names:
                return None
            return self.name(names[0])
        if not self.is_relation(names[-2]):
            return None
        return self.name(names[-1])

    def expression(self, node: Node) -> Proven | None:
        """The proof for one expression, or None when there is none."""
        kind = node["class"]
        if kind == "CONSTANT":
            type_ = node["value"]["type"]
            info = type_.get("type_info") or {}
            if type_["id"] == "DECIMAL":
                return Proven(f"DECIMAL({info.get('width', 38)},{info.get('scale', 0)})", constant=True)
            return Proven(normal(type_["id"]), constant=True)
        if kind == "COLUMN_REF":
            return self.column(node)
        if kind == "PARAMETER":
            return None
        if kind == "COMPARISON":
            return self.together([node["left"], node["right"]])
        if kind == "BETWEEN":
            return self.together([node["input"], node["lower"], node["upper"]])
        if kind == "CONJUNCTION":
            parts = [self.expression(c) for c in node["children"]]
            if any(p is None or p.type not in (BOOLEAN, "") for p in parts):
                return None
            return Proven(BOOLEAN, all(p.constant for p in parts if p), any(p.held for p in parts if p))
        if kind == "OPERATOR":
            return self.operator(node)
        if kind == "CAST":
            return self.cast(node)
        if kind == "CASE":
            return self.case(node)
        if kind == "SUBQUERY":
            return self.subquery(node)
        if kind == "FUNCTION":
            return self.function(node)
        if kind == "WINDOW":
            name = fold(node["function_name"])
            return Proven("BIGINT" if name in _WINDOW_BIGINT else self.aggregate_type(node), held=True)
        return None

    def together(self, nodes: Iterable[Node]) -> Proven | None:
        """A comparison: proven when no side needs a cast that could fail on a value of a column."""
        parts = [self.expression(n) for n in nodes]
        if any(p is None for p in parts):
            return None
        sides = [p for p in parts if p is not None]
        held = any(p.held for p in sides)
        loose = [p for p in sides if not p.held]
        if not _all_meet(loose) or (held and any(not p.constant for p in loose) and not _all_meet(sides)):
            return None
        return Proven(BOOLEAN, all(p.constant for p in sides), held)

    def operator(self, node: Node) -> Proven | None:
        kind, below = node["type"], node.get("children", ())
        if kind in ("COMPARE_IN", "COMPARE_NOT_IN"):
            return self.together(below)
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

    def cast(self, node: Node) -> Proven | None:
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
        tried = node.get("try_cast") and _tries(inner.type, type_)
        if tried or _widens(inner.type, type_) or _is_value_of(node["child"], type_):
            return Proven(type_, inner.constant, inner.held)
        return None

    def case(self, node: Node) -> Proven | None:
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

    def subquery(self, node: Node) -> Proven | None:
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
            return Proven(item.type, held=item.held)
        child = self.expression(node["child"]) if node.get("child") else None
        if kind in ("ANY", "NOT_ANY") and child is not None and _all_meet([child, Proven(item.type)]):
            return Proven(BOOLEAN, held=child.held)
        return None

    def function(self, node: Node) -> Proven | None:
        name, below = fold(node["function_name"]), list(children(node))
        if name in functions.AGGREGATES:
            return Proven(self.aggregate_type(node), held=True)
        if node.get("schema", "") not in ("", "main"):
            return None
        parts = [self.expression(c) for c in below]
        if any(p is None for p in parts):
            return None
        sides = [p for p in parts if p is not None]
        constant = all(p.constant for p in sides) and bool(sides)
        held = any(p.held for p in sides)
        type_ = self.total_type(name, sides, below)
        if type_ is None and constant:
            type_ = self.moment_type(name, sides, below)
        if type_ is not None:
            return Proven(type_, constant, held)
        if held:
            return Proven(_product_type(name, sides), held=True)
        return None

    def moment_type(self, name: str, sides: Sequence[Proven], below: Sequence[Node]) -> str | None:
        """The type of a constant date or timestamp plus or minus a small constant, which cannot overflow."""
        if name in _INTERVALS and all(_small(n) for n in below):
            return "INTERVAL"
        if name in ("+", "-") and all(is_integer(p.type) and _small(n) for p, n in zip(sides, below, strict=True)):
            return "INTEGER"
        if name not in ("+", "-") or len(sides) != 2:
            return None
        left, right = sides[0].type, sides[1].type
        if right == "INTERVAL" and left in ("DATE", "TIMESTAMP"):
            return "TIMESTAMP"
        if left == "DATE" and is_integer(right) and _small(below[1]):
            return "DATE"
        return None

    def total_type(self, name: str, sides: Sequence[Proven], below: Sequence[Node]) -> str | None:
        if name in _TOTAL_TEXT:
            shape = _TOTAL_TEXT[name]
            if not 1 <= len(sides) <= len(shape):
                return None
            for side, node, wanted in zip(sides, below, shape, strict=False):
                if wanted == "t" and not is_text(side.type):
                    return None
                if wanted == "c" and not (is_integer(side.type) and _small(node)):
                    return None
            return TEXT
        if name in _TOTAL_TESTS and all(is_text(p.type) for p in sides):
            return BOOLEAN
        if name in _TOTAL_LENGTHS and all(is_text(p.type) for p in sides):
            return "BIGINT"
        types = [p.type for p in sides]
        if name in _TOTAL_CALENDAR and len(types) == 1 and types[0] in ("DATE", "TIMESTAMP"):
            return "BIGINT"
        if name in ("date_part", "datepart") and len(types) == 2 and types[1] in ("DATE", "TIMESTAMP"):
            part = below[0].get("value", {}).get("value") if below else None
            return "BIGINT" if isinstance(part, str) and fold(part) in _CALENDAR_PARTS else None
        return None

    def aggregate_type(self, node: Node) -> str:
        name, below = fold(node["function_name"]), node.get("children", ())
        if name in ("count", "count_star"):
            return "BIGINT"
        if name in ("avg", "mean"):
            return "DOUBLE"
        inner = self.expression(below[0]) if below else None
        if inner is None:
            return ""
        if name in _SAME_AS_ARGUMENT:
            return inner.type
        if name == "sum":
            shape = decimal_shape(inner.type)
            if shape:
                return f"DECIMAL(38,{shape[1]})"
            return "DOUBLE" if inner.type in FLOATS else ("HUGEINT" if is_integer(inner.type) else "")
        return ""


def _all_meet(sides: Sequence[Proven]) -> bool:
    moving = [p for p in sides if not p.constant]
    for i, one in enumerate(moving):
        if not one.type:
            return False
        if not all(_meet_type(one.type, two.type) for two in moving[i + 1 :]):
            return False
        if not all(_meets_constant(one.type, two.type) for two in sides if two.constant):
            return False
    return True


def _meet_type(one: str, two: str) -> bool:
    if comparable(one, two):
        return True
    return _numeric_meet(one, two)


def _numeric_meet(one: str, two: str) -> bool:
    """Decimals with whole numbers and with floats, when the common type holds every value."""
    left, right = decimal_shape(one), decimal_shape(two)
    if (left and two in FLOATS) or (right and one in FLOATS):
        return True
    shape, other = (left, two) if left else (right, one)
    if shape is None or not is_integer(other):
        return False
    digits = max(shape[0] - shape[1], len(str(INTEGER_RANGES[other][1])))
    return digits + shape[1] <= 38


def _meets_constant(moving: str, constant: str) -> bool:
    """Whether comparing a column of type `moving` with a constant casts only the constant, or widens safely."""
    if constant in ("NULL", TEXT, "STRING_LITERAL"):
        return moving == TEXT or moving in _SIMPLE or is_integer(moving) or decimal_shape(moving) is not None
    if not constant:
        return False
    return _meet_type(moving, constant)


_SIMPLE = frozenset({"DATE", "TIMESTAMP", "TIMESTAMP WITH TIME ZONE", "TIME", BOOLEAN, "UUID"}) | FLOATS


def _widens(source: str, target: str) -> bool:
    if not source:
        return False
    if target == TEXT:
        return source in _SIMPLE or is_integer(source) or decimal_shape(source) is not None or is_text(source)
    if source == target:
        return True
    if target == "DOUBLE":
        return is_integer(source) or source in FLOATS or decimal_shape(source) is not None
    if is_integer(source) and is_integer(target):
        low, high = INTEGER_RANGES[source]
        floor, ceiling = INTEGER_RANGES[target]
        return floor <= low and high <= ceiling
    return False


def _tries(source: str, target: str) -> bool:
    """Whether TRY_CAST gives NULL instead of failing: between dates and times DuckDB 1.5.5 may fail all the same."""
    plain = is_text(source) or is_integer(source) or source in FLOATS or source == BOOLEAN or decimal_shape(source)
    wanted = is_text(target) or is_integer(target) or target in FLOATS or decimal_shape(target)
    return bool(plain and (wanted or target in (BOOLEAN, "DATE", "TIMESTAMP", "UUID")))


_INTERVALS = frozenset(
    {"to_years", "to_months", "to_weeks", "to_days", "to_hours", "to_minutes", "to_seconds", "to_quarters"}
)


def _product_type(name: str, sides: Sequence[Proven]) -> str:
    """The type of arithmetic on aggregates, where it is certain; else empty."""
    if name in ("+", "-", "*", "/") and any(p.type == "DOUBLE" for p in sides):
        return "DOUBLE"
    shapes = [decimal_shape(p.type) for p in sides]
    if name == "*" and len(shapes) == 2 and shapes[0] and shapes[1]:
        scale = shapes[0][1] + shapes[1][1]
        return f"DECIMAL({min(38, shapes[0][0] + shapes[1][0])},{scale})" if scale <= 18 else ""
    return ""


def _small(node: Node) -> bool:
    """Whether an expression is a whole number of at most 100,000, as DuckDB spells it in intervals too."""
    while node.get("class") == "CAST" or (node.get("class") == "FUNCTION" and node.get("function_name") == "trunc"):
        node = node["child"] if node["class"] == "CAST" else node["children"][0]
    if node.get("class") == "FUNCTION" and node.get("function_name") == "-" and len(node.get("children", ())) == 1:
        return _small(node["children"][0])
    value = node["value"].get("value") if node.get("class") == "CONSTANT" else None
    if isinstance(value, str) and value.isdigit():
        value = int(value) if len(value) < 8 else None
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) <= 100_000


def _is_value_of(node: Node, type_: str) -> bool:
    """Whether a literal is, exactly, a value of the type: the cast of it cannot fail."""
    if node.get("class") != "CONSTANT" or node["value"].get("is_null"):
        return node.get("class") == "CONSTANT"
    value = node["value"].get("value")
    if type_ == BOOLEAN:
        return value in ("t", "f", "true", "false", True, False, 0, 1)
    if isinstance(value, bool | float) or value is None:
        return False
    if isinstance(value, int) and (type_ in FLOATS or is_integer(type_)):
        return literal_of(str(value), type_) is not None
    return isinstance(value, str) and literal_of(value, type_) is not None


def _conjuncts(node: Node) -> Iterable[Node]:
    if node["class"] == "CONJUNCTION":
        for child in node["children"]:
            yield from _conjuncts(child)
    else:
        yield node


def _reads(node: Node) -> Iterable[Node]:
    """Every column, star or positional reference below an expression, sub-queries included."""
    stack: list[object] = [node]
    while stack:
        item = stack.pop()
        if isinstance(item, Mapping):
            if item.get("class") in ("COLUMN_REF", "STAR", "POSITIONAL_REFERENCE"):
                yield item
            if item.get("class") == "FUNCTION" and item.get("schema", "") not in ("", "main", "system", "pg_catalog"):
                yield {"class": "COLUMN_REF", "column_names": [item["schema"]]}  # column.function()
            stack.extend(item.values())
        elif isinstance(item, list):
            stack.extend(item)


def _columns_of(tables: Iterable[Table]) -> dict[str, list[str]]:
    columns: dict[str, list[str]] = {}
    for table in tables:
        for column in table.columns:
            columns.setdefault(fold(column.name), []).append(column.type)
    return columns


def cannot_fail(node: Node, survey: Survey, tables: Iterable[Table]) -> bool:
    """Whether an expression gives a value or NULL on every row; `tables` carry the types that are shown."""
    return _Prover(survey, _columns_of(tables)).expression(node) is not None


def guards_of(survey: Survey, tables: Iterable[Table]) -> Guards:
    """What to guard and seal in every filtered table of the statement. `tables` carry the types that are shown."""
    columns: dict[str, list[str]] = {}
    for table in tables:
        for column in table.columns:
            columns.setdefault(fold(column.name), []).append(column.type)
    guarded = _guarded(survey, columns)
    risky = [c.node for c in survey.calls if not c.table and fold(c.name) not in DICTIONARY_SAFE]
    sealed = _names_behind(risky, survey, columns)
    if sealed is None or guarded.everything:
        return replace(guarded, all_sealed=sealed is None, sealed=sealed or frozenset())
    return replace(guarded, sealed=sealed)


def _guarded(survey: Survey, columns: Mapping[str, Sequence[str]]) -> Guards:
    if survey.conditions and _hides_names(survey, columns):
        return EVERYTHING
    prover = _Prover(survey, columns)
    unproven = [
        leaf for condition in survey.conditions for leaf in _conjuncts(condition) if prover.expression(leaf) is None
    ]
    keys: list[Node] = []
    for name in columns if survey.natural else survey.key_names:
        types = columns.get(name, ())
        agreed = len({normal(t) for t in types}) == 1 and not survey.definitions.get(name)
        if not agreed and (len(types) > 1 or not survey.natural or survey.definitions.get(name)):
            keys.append({"class": "COLUMN_REF", "column_names": [name]})
    if not unproven and not keys:
        return Guards()
    names = _names_behind([*unproven, *keys], survey, columns)
    return EVERYTHING if names is None else Guards(names=names, barrier=True)


def _hides_names(survey: Survey, columns: Mapping[str, Sequence[str]]) -> bool:
    """Whether some expression makes columns whose names say nothing of what they hold."""
    if survey.opaque or any(star.get("columns") or star.get("expr") or star.get("unpacked") for star in survey.stars):
        return True
    prover = _Prover(survey, columns)
    return any(s.get("relation_name") and not prover.is_relation(fold(s["relation_name"])) for s in survey.stars)


def _names_behind(nodes: Iterable[Node], survey: Survey, columns: Mapping[str, Sequence[str]]) -> frozenset[str] | None:
    """Folded names of everything the expressions read, through every alias; None when that may be any column."""
    pending: list[Node] = list(nodes)
    if pending and _hides_names(survey, columns):
        return None
    tainted: set[str] = set()
    while pending:
        for read in _reads(pending.pop()):
            if read["class"] != "COLUMN_REF" or _is_row(read, survey, columns):
                return None
            for name in map(fold, read["column_names"]):
                if name in tainted:
                    continue
                tainted.add(name)
                definitions = survey.definitions.get(name, ())
                if name not in columns and not definitions and name not in survey.relation_names:
                    return None
                if any(definition is None for definition in definitions):
                    return None
                pending += [definition for definition in definitions if definition is not None]
    return frozenset(tainted)


def _is_row(read: Node, survey: Survey, columns: Mapping[str, Sequence[str]]) -> bool:
    name = fold(read["column_names"][-1])
    return len(read["column_names"]) == 1 and name in survey.relation_names and name not in columns
