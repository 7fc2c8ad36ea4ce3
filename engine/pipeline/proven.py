"""What is proven of one expression, and which types meet without a cast that could fail on a value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from engine.pipeline.survey import Node
from governance.sql_literals import written_as
from governance.sql_types import BOOLEAN, FLOATS, INTEGER_RANGES, TEXT, comparable, decimal_shape, is_integer, is_text


@dataclass(frozen=True, slots=True)
class Proven:
    """An expression that cannot fail. `type` is "" when not known; `constant` reads no column.

    `held` says that an aggregate or window stands inside, so that the expression cannot sink below it. `text` is the
    value of a text that stands literally, and nothing more than that.
    """

    type: str = ""
    constant: bool = False
    held: bool = False
    text: str | None = None


TRUTH = Proven(BOOLEAN)


def all_meet(sides: Sequence[Proven]) -> bool:
    """Whether the sides of a comparison meet so that no value of a column is cast in a way that could fail."""
    moving = [p for p in sides if not p.constant]
    fixed = [p for p in sides if p.constant]
    if not all(_is_value(one, two.type) for one in fixed for two in sides):
        return False
    for i, one in enumerate(moving):
        if not one.type:
            return False
        if not all(_meet_type(one.type, two.type) for two in moving[i + 1 :]):
            return False
        if not all(_meets_constant(one.type, two.type) for two in sides if two.constant):
            return False
    return True


def _is_value(constant: Proven, type_: str) -> bool:
    """Whether a constant, when it is a text that meets `type_`, is written as a value of it.

    A text that is none fails on the first row it is asked of, be it a hidden one.
    """
    if constant.type not in _TEXTS or type_ in _TEXTS or type_ == "NULL":
        return True
    return constant.text is not None and written_as(constant.text, type_)


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


_TEXTS = frozenset({TEXT, "STRING_LITERAL"})
_SIMPLE = frozenset({"DATE", "TIMESTAMP", "TIMESTAMP WITH TIME ZONE", "TIME", BOOLEAN, "UUID"}) | FLOATS


def widens(source: str, target: str) -> bool:
    """Whether every value of type `source` has one of type `target`."""
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


def tries(source: str, target: str) -> bool:
    """Whether TRY_CAST gives NULL instead of failing: between dates and times DuckDB 1.5.5 may fail all the same."""
    plain = is_text(source) or is_integer(source) or source in FLOATS or source == BOOLEAN or decimal_shape(source)
    wanted = is_text(target) or is_integer(target) or target in FLOATS or decimal_shape(target)
    return bool(plain and (wanted or target in (BOOLEAN, "DATE", "TIMESTAMP", "UUID")))


def product_type(name: str, sides: Sequence[Proven]) -> str:
    """The type of arithmetic on aggregates, where it is certain; else empty."""
    if name in ("+", "-", "*", "/") and any(p.type == "DOUBLE" for p in sides):
        return "DOUBLE"
    shapes = [decimal_shape(p.type) for p in sides]
    if name == "*" and len(shapes) == 2 and shapes[0] and shapes[1]:
        scale = shapes[0][1] + shapes[1][1]
        return f"DECIMAL({min(38, shapes[0][0] + shapes[1][0])},{scale})" if scale <= 18 else ""
    return ""


def is_small(node: Node) -> bool:
    """Whether an expression is a whole number of at most 100,000, as DuckDB spells it in intervals too."""
    while node.get("class") == "CAST" or (node.get("class") == "FUNCTION" and node.get("function_name") == "trunc"):
        node = node["child"] if node["class"] == "CAST" else node["children"][0]
    if node.get("class") == "FUNCTION" and node.get("function_name") == "-" and len(node.get("children", ())) == 1:
        return is_small(node["children"][0])
    value = node["value"].get("value") if node.get("class") == "CONSTANT" else None
    if isinstance(value, str) and value.isdigit():
        value = int(value) if len(value) < 8 else None
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) <= 100_000


def is_moment(node: Node) -> bool:
    """Whether a node is a date or timestamp written down (or today), nothing added to it yet."""
    while node.get("class") == "CAST":
        node = node["child"]
    return node.get("class") == "CONSTANT" or node.get("column_names") in (["current_date"], ["CURRENT_DATE"])


def grows(name: str, below: Sequence[Node], sides: Sequence[Proven]) -> bool:
    """Whether a text function may make of a long text a far longer one, past what memory or a value holds.

    What is longer by a literal is longer by no more than the statement; what multiplies is not bounded by it.
    """
    if name == "||":
        return sum(not side.constant for side in sides) > 1
    if name == "replace":
        found, put = ((n.get("value") or {}).get("value") for n in below[1:3]) if len(below) == 3 else (None, None)
        return not (isinstance(found, str) and isinstance(put, str) and len(put.encode()) <= len(found.encode()))
    return False


def is_value_of(node: Node, type_: str) -> bool:
    """Whether a literal is, exactly, a value of the type: the cast of it cannot fail."""
    if node.get("class") != "CONSTANT" or node["value"].get("is_null"):
        return node.get("class") == "CONSTANT"
    value = node["value"].get("value")
    if type_ == BOOLEAN:
        return value in ("t", "f", "true", "false", True, False, 0, 1)
    if isinstance(value, bool | float) or value is None:
        return False
    if isinstance(value, int) and (type_ in FLOATS or is_integer(type_)):
        return written_as(str(value), type_)
    return isinstance(value, str) and written_as(value, type_)
