"""Dates, times and intervals made, justified and compared; importing this module enters their functions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.catalog.emulation import types as t
from engine.catalog.emulation.functions import Builder, argument, plain_call, register, special, unknown_call
from engine.catalog.emulation.tree import Binary, Call
from engine.catalog.emulation.values import Value, cast, settle

if TYPE_CHECKING:
    from engine.catalog.emulation.scope import Scope

register("make_date", (t.INT4, t.INT4, t.INT4), t.DATE, "make_date({0}, {1}, {2})")
register(
    "make_timestamp", (t.INT4, t.INT4, t.INT4, t.INT4, t.INT4, t.FLOAT8), t.TIMESTAMP,
    "make_timestamp({0}, {1}, {2}, {3}, {4}, {5})",
)  # fmt: skip
register("make_time", (t.INT4, t.INT4, t.FLOAT8), t.TIME, "make_time({0}, {1}, {2})")
register("isfinite", (t.TIMESTAMP,), t.BOOL, "isfinite({0})")
register("timeofday", (), t.TEXT, "strftime(now(), '%a %b %d %H:%M:%S.%f %Y UTC')")
register("to_date", (t.TEXT, t.TEXT), t.DATE, "CAST(hd_to_moment({0}, {1}) AS DATE)")
_DAY_US, _MONTH_DAYS = 86_400_000_000, 30


def _justified(days: bool, hours: bool) -> str:
    """DuckDB text over `{0}`: an interval whose hours become days and whose days become months, as asked."""
    micros = "(epoch_us({0}) - (datepart('year', {0}) * 12 + datepart('month', {0})) * 30 * 86400000000"
    micros += " - datepart('day', {0}) * 86400000000)"
    months, span = "(datepart('year', {0}) * 12 + datepart('month', {0}))", "datepart('day', {0})"
    if hours:
        span, micros = f"({span} + {micros} // {_DAY_US})", f"({micros} % {_DAY_US})"
    if days:
        months, span = f"({months} + {span} // {_MONTH_DAYS})", f"({span} % {_MONTH_DAYS})"
    return f"(to_months(CAST({months} AS INTEGER)) + to_days(CAST({span} AS INTEGER)) + to_microseconds({micros}))"


for _name, _days, _hours in (
    ("justify_days", True, False),
    ("justify_hours", False, True),
    ("justify_interval", True, True),
):
    register(_name, (t.INTERVAL,), t.INTERVAL, _justified(_days, _hours))

_INTERVAL_ORDER = ("years", "months", "weeks", "days", "hours", "mins", "secs")


@special("make_interval")
def _make_interval(builder: Builder, node: Call, scope: Scope) -> Value:
    """By place or by name: `make_interval(days => 3)`."""
    plain_call(node)
    names = node.names or ("",) * len(node.arguments)
    if len(names) > len(_INTERVAL_ORDER):
        raise unknown_call(node)
    given = {
        name or _INTERVAL_ORDER[i]: value for i, (name, value) in enumerate(zip(names, node.arguments, strict=True))
    }
    if not given.keys() <= set(_INTERVAL_ORDER):
        raise unknown_call(node)
    texts = []
    for name, value in given.items():
        number = argument(builder, value, scope, t.FLOAT8 if name == "secs" else t.INT4).sql
        texts.append(
            {
                "years": f"to_years({number})", "months": f"to_months({number})", "weeks": f"to_days({number} * 7)",
                "days": f"to_days({number})", "hours": f"to_hours({number})", "mins": f"to_minutes({number})",
                "secs": f"to_microseconds(CAST({number} * 1000000 AS BIGINT))",
            }[name]
        )  # fmt: skip
    return Value(f"({' + '.join(texts or ['to_days(0)'])})", t.INTERVAL)


@special("overlaps")
def _overlaps(builder: Builder, node: Call, scope: Scope) -> Value:
    """Two periods, each from a moment to another or for an interval."""
    plain_call(node)
    if len(node.arguments) != 4:
        raise unknown_call(node)
    ends = []
    for start, end in (node.arguments[:2], node.arguments[2:]):
        first = settle(builder.translate(start, scope), t.TIMESTAMPTZ, builder.parameters)
        second = settle(builder.translate(end, scope), first.type, builder.parameters)
        if second.type == t.INTERVAL:
            second = settle(builder.translate(Binary("+", start, end), scope), t.TIMESTAMPTZ, builder.parameters)
        one, other = cast(first, t.TIMESTAMPTZ).sql, cast(second, t.TIMESTAMPTZ).sql
        ends.append((f"least({one}, {other})", f"greatest({one}, {other})"))
    (a, b), (c, d) = ends
    return Value(f"(({a} < {d} AND {c} < {b}) OR {a} = {c})", t.BOOL)


@special("date_bin")
def _date_bin(builder: Builder, node: Call, scope: Scope) -> Value:
    plain_call(node)
    if len(node.arguments) != 3:
        raise unknown_call(node)
    width = argument(builder, node.arguments[0], scope, t.INTERVAL)
    moment = settle(builder.translate(node.arguments[1], scope), t.TIMESTAMPTZ, builder.parameters)
    origin = settle(builder.translate(node.arguments[2], scope), moment.type, builder.parameters)
    if moment.type not in (t.TIMESTAMP, t.TIMESTAMPTZ):
        raise unknown_call(node)
    return Value(f"time_bucket({width.sql}, {moment.sql}, {cast(origin, moment.type).sql})", moment.type)


@special("to_timestamp")
def _to_timestamp(builder: Builder, node: Call, scope: Scope) -> Value:
    """Of seconds since 1970, or of a text and its pattern."""
    plain_call(node)
    if len(node.arguments) == 1:
        return Value(f"to_timestamp({argument(builder, node.arguments[0], scope, t.FLOAT8).sql})", t.TIMESTAMPTZ)
    if len(node.arguments) != 2:
        raise unknown_call(node)
    text, pattern = (argument(builder, a, scope, t.TEXT) for a in node.arguments)
    return Value(f"CAST(hd_to_moment({text.sql}, {pattern.sql}) AS TIMESTAMP WITH TIME ZONE)", t.TIMESTAMPTZ)
