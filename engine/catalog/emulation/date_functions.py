"""Moments, dates and intervals; importing this module enters their functions in `FUNCTIONS`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.catalog.emulation import types as t
from engine.catalog.emulation.functions import Builder, argument, plain_call, register, special, unknown_call
from engine.catalog.emulation.tree import Call, Literal
from engine.catalog.emulation.values import CatalogRefused, Value, cast, settle

if TYPE_CHECKING:
    from engine.catalog.emulation.scope import Scope

MOMENTS = frozenset({t.DATE, t.TIMESTAMP, t.TIMESTAMPTZ})
TIMED = MOMENTS | {t.TIME, t.INTERVAL}

_FINE = frozenset(("epoch", "second", "seconds"))
"""Parts that have digits behind the point."""

for _name in ("now", "transaction_timestamp", "statement_timestamp", "clock_timestamp", "current_timestamp"):
    register(_name, (), t.TIMESTAMPTZ, "now()")
register("current_date", (), t.DATE, "current_date")
register("localtimestamp", (), t.TIMESTAMP, "CAST(now() AS TIMESTAMP)")
register("localtime", (), t.TIME, "CAST(CAST(now() AS TIMESTAMP) AS TIME)")


def _moment(builder: Builder, node: Call, scope: Scope, place: int) -> Value:
    value = settle(builder.translate(node.arguments[place], scope), t.TIMESTAMPTZ, builder.parameters)
    if value.type not in TIMED:
        raise unknown_call(node)
    return value


@special("date_part", "extract")
def _part(builder: Builder, node: Call, scope: Scope) -> Value:
    plain_call(node)
    if len(node.arguments) != 2:
        raise unknown_call(node)
    name = argument(builder, node.arguments[0], scope, t.TEXT)
    moment = _moment(builder, node, scope, 1)
    text = f"date_part({name.sql}, {moment.sql})"
    if node.name[-1] == "date_part":
        return Value(f"CAST({text} AS DOUBLE)", t.FLOAT8)
    fine = not isinstance(node.arguments[0], Literal) or node.arguments[0].text in _FINE
    return Value(f"CAST({text} AS DECIMAL(38,{6 if fine else 0}))", t.NUMERIC)


@special("date_trunc")
def _truncated(builder: Builder, node: Call, scope: Scope) -> Value:
    plain_call(node)
    if not 2 <= len(node.arguments) <= 3:
        raise unknown_call(node)
    moment = _moment(builder, node, scope, 1)
    kind = t.TIMESTAMPTZ if moment.type == t.DATE else moment.type
    name = argument(builder, node.arguments[0], scope, t.TEXT)
    return Value(f"CAST(date_trunc({name.sql}, {moment.sql}) AS {t.duck(kind)})", kind)


@special("timezone")
def _at_time_zone(builder: Builder, node: Call, scope: Scope) -> Value:
    plain_call(node)
    if len(node.arguments) != 2:
        raise unknown_call(node)
    zone = argument(builder, node.arguments[0], scope, t.TEXT)
    moment = _moment(builder, node, scope, 1)
    kind = t.TIMESTAMPTZ if moment.type == t.TIMESTAMP else t.TIMESTAMP
    return Value(f"timezone({zone.sql}, {moment.sql})", kind)


@special("age")
def _age(builder: Builder, node: Call, scope: Scope) -> Value:
    """Between two moments; of a transaction id it is 0, for there are none."""
    plain_call(node)
    if not 1 <= len(node.arguments) <= 2:
        raise unknown_call(node)
    first = settle(builder.translate(node.arguments[0], scope), t.TIMESTAMPTZ, builder.parameters)
    if first.type == t.XID and len(node.arguments) == 1:
        return Value(f"(CASE WHEN {first.sql} IS NULL THEN NULL ELSE CAST(0 AS INTEGER) END)", t.INT4)
    other = _moment(builder, node, scope, 1).sql if len(node.arguments) == 2 else ""
    left, right = (first.sql, other) if other else ("CAST(current_date AS TIMESTAMP)", first.sql)
    return Value(f"age(CAST({left} AS TIMESTAMP), CAST({right} AS TIMESTAMP))", t.INTERVAL)


@special("to_char")
def _to_char(builder: Builder, node: Call, scope: Scope) -> Value:
    """Of a moment, an interval or a number."""
    plain_call(node)
    if len(node.arguments) != 2:
        raise unknown_call(node)
    moment = settle(builder.translate(node.arguments[0], scope), t.TIMESTAMPTZ, builder.parameters)
    pattern = argument(builder, node.arguments[1], scope, t.TEXT)
    if moment.type in t.NUMBERS:
        return Value(f"hd_number_to_char(CAST({moment.sql} AS VARCHAR), {pattern.sql})", t.TEXT)
    if moment.type == t.INTERVAL:
        months = f"(datepart('year', {moment.sql}) * 12 + datepart('month', {moment.sql}))"
        rest = f"({moment.sql} - to_months(CAST({months} AS INTEGER)))"
        return Value(f"hd_interval_to_char({rest}, {months}, {pattern.sql})", t.TEXT)
    if moment.type not in MOMENTS:
        raise unknown_call(node)
    zone = "'UTC'" if moment.type == t.TIMESTAMPTZ else "''"
    return Value(f"hd_to_char(CAST({moment.sql} AS TIMESTAMP), {pattern.sql}, {zone})", t.TEXT)


def calculate(operator: str, left: Value, right: Value) -> Value:
    """Sums and differences of moments, intervals and days.

    Raises:
        CatalogRefused: there is no such operator (42883).
    """
    kinds = (left.type, right.type)
    if operator in "+-" and left.type in MOMENTS and right.type == t.INTERVAL:
        kind = t.TIMESTAMP if left.type == t.DATE else left.type
        return Value(f"CAST(({left.sql} {operator} {right.sql}) AS {t.duck(kind)})", kind)
    if operator == "+" and left.type == t.INTERVAL and right.type in MOMENTS:
        return calculate("+", right, left)
    if operator in "+-" and kinds == (t.INTERVAL, t.INTERVAL):
        return Value(f"({left.sql} {operator} {right.sql})", t.INTERVAL)
    if operator in "+-" and left.type == t.DATE and right.type in t.INTEGERS:
        return Value(f"({left.sql} {operator} CAST({right.sql} AS INTEGER))", t.DATE)
    if operator == "-" and kinds == (t.DATE, t.DATE):
        return Value(f"CAST(({left.sql} - {right.sql}) AS INTEGER)", t.INT4)
    if operator == "-" and left.type in MOMENTS and right.type in MOMENTS:
        wide = t.duck(t.TIMESTAMPTZ if t.TIMESTAMPTZ in kinds else t.TIMESTAMP)
        return Value(f"(CAST({left.sql} AS {wide}) - CAST({right.sql} AS {wide}))", t.INTERVAL)
    if operator == "*" and left.type == t.INTERVAL and right.type in t.INTEGERS:
        return Value(f"({left.sql} * CAST({right.sql} AS BIGINT))", t.INTERVAL)
    if operator in "*/" and left.type == t.INTERVAL and right.type in t.NUMBERS:
        factor = cast(right, t.FLOAT8).sql if operator == "*" else f"(1.0 / {cast(right, t.FLOAT8).sql})"
        return Value(f"to_microseconds(CAST(epoch_us({left.sql}) * {factor} AS BIGINT))", t.INTERVAL)
    if operator == "*" and right.type == t.INTERVAL:
        return calculate("*", right, left)
    raise CatalogRefused("42883", f"operator does not exist: {left.type_name} {operator} {right.type_name}")
