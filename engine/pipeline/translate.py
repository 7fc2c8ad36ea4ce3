"""Other dialects: a text is translated before it is governed, or refused; "the original" is then the translation.

sqlglot translates much of which some is silently wrong, so only a closed list of forms whose meaning is the same in
DuckDB passes. Widening the list takes a test that shows the same meaning.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import sqlglot
from sqlglot import exp
from sqlglot.errors import ErrorLevel, SqlglotError

from engine.pipeline.postgres_titles import title_columns
from engine.pipeline.text_gate import Token, scan
from engine.pipeline.translated_names import settle_names
from engine.pipeline.witness import spaced_parameters
from governance.errors import StatementRefused, SyntaxRefused

DIALECTS = frozenset({"postgres", "snowflake"})

_FORMS: tuple[type[exp.Expr], ...] = (
    exp.Select, exp.From, exp.Join, exp.Where, exp.Group, exp.Having, exp.Order, exp.Ordered, exp.Limit, exp.Offset,
    exp.With, exp.CTE, exp.Subquery, exp.Union, exp.Except, exp.Intersect, exp.Distinct, exp.Values, exp.Tuple,
    exp.Column, exp.Identifier, exp.Table, exp.TableAlias, exp.Alias, exp.Star, exp.Literal, exp.Null, exp.Boolean,
    exp.Parameter, exp.Placeholder, exp.Paren, exp.And, exp.Or, exp.Not, exp.EQ, exp.NEQ, exp.LT, exp.LTE, exp.GT,
    exp.GTE, exp.Is, exp.In, exp.Between, exp.Exists, exp.Like, exp.ILike, exp.NullSafeEQ, exp.NullSafeNEQ, exp.Case,
    exp.If, exp.Add, exp.Sub, exp.Mul, exp.Neg, exp.DPipe, exp.Cast, exp.DataType, exp.DataTypeParam, exp.Count,
    exp.Sum, exp.Min, exp.Max, exp.Avg, exp.Coalesce, exp.Lower, exp.Upper, exp.Length, exp.Window, exp.RowNumber,
    exp.Rank, exp.DenseRank, exp.PercentRank, exp.CumeDist, exp.Ntile, exp.Lag, exp.Lead, exp.FirstValue, exp.LastValue,
    exp.NthValue, exp.WindowSpec, exp.Filter, exp.Rollup, exp.Cube, exp.GroupingSets, exp.Nullif, exp.Abs, exp.Replace,
    exp.StrPosition, exp.Left, exp.Right, exp.Substring, exp.StartsWith, exp.Mod, exp.Extract, exp.Var, exp.LogicalAnd,
    exp.LogicalOr, exp.Trim,
)  # fmt: skip
"""Forms that mean the same in every dialect and in DuckDB, some of them only as `_CHECKS` has them."""
_OF_DIALECT: dict[str, tuple[type[exp.Expr], ...]] = {
    "postgres": (
        exp.Greatest, exp.Least, exp.GroupConcat, exp.Fetch, exp.LimitOptions, exp.Lateral, exp.Interval, exp.SplitPart,
    ),
    "snowflake": (exp.Qualify, exp.Nvl2, exp.EqualNull, exp.CountIf),
}  # fmt: skip
"""Forms that mean the same in DuckDB when this dialect writes them (Snowflake's GREATEST knows NULL otherwise, ...)."""
_TYPES = frozenset(
    {exp.DataType.Type.TEXT, exp.DataType.Type.VARCHAR, exp.DataType.Type.INT, exp.DataType.Type.BIGINT}
    | {exp.DataType.Type.SMALLINT, exp.DataType.Type.DATE, exp.DataType.Type.BOOLEAN, exp.DataType.Type.DOUBLE}
)
_PARTS = frozenset({"YEAR", "QUARTER", "MONTH", "DAY", "HOUR", "MINUTE"})
_UNITS = frozenset({"YEAR", "MONTH", "WEEK", "DAY", "HOUR", "MINUTE", "SECOND"})
_AMOUNT = re.compile(r"'-?\d{1,6}(?: (?:year|month|week|day|hour|minute|second)s?)?'", re.IGNORECASE)
_MOMENT = re.compile(r"\d{4}-\d{2}-\d{2}(?: \d{2}:\d{2}:\d{2}(?:\.\d{1,6})?)?")


def _refuse(what: str) -> StatementRefused:
    return StatementRefused(
        f"This statement cannot be translated exactly: {what}.", advice="Write it in DuckDB's dialect."
    )


def _whole(node: object, least: int) -> bool:
    """Whether a node is a whole number of at least `least`, written down."""
    plain = isinstance(node, exp.Literal) and not node.is_string and str(node.this).isdigit()
    return plain and least <= int(str(node.this)) <= 1_000_000  # type: ignore[attr-defined]


def _text(node: object) -> bool:
    """Whether a node is a text of at least one character, written down."""
    return isinstance(node, exp.Literal) and node.is_string and bool(node.this)


def _only(node: exp.Expr, *names: str) -> bool:
    """Whether nothing but these parts of a node is given."""
    return all(name in names for name, value in node.args.items() if value not in (None, False, [], ""))


def _moment(node: exp.Cast) -> bool:
    return node.to.this is exp.DataType.Type.TIMESTAMP and _text(node.this) and bool(_MOMENT.fullmatch(node.this.this))


def _cast(node: exp.Cast) -> bool:
    plain = not isinstance(node.this, exp.Cast) and node.to.this in _TYPES and not node.args.get("format")
    # DuckDB does not cut a text to the length of its type
    return (plain and not node.to.expressions) or _moment(node)


def _frame(node: exp.WindowSpec) -> bool:
    """ROWS frames with constant borders; RANGE and GROUPS compare values, and EXCLUDE is rare."""
    sides = [node.args.get("start"), node.args.get("end")]
    borders = all(side in ("UNBOUNDED", "CURRENT ROW", None) or _whole(side, 0) for side in sides)
    return str(node.args.get("kind")).upper() == "ROWS" and borders and not node.args.get("exclude")


def _interval(node: exp.Interval) -> bool:
    amount = node.this
    return (
        isinstance(amount, exp.Literal)
        and re.fullmatch(r"-?\d{1,6}", str(amount.this)) is not None
        and str(node.args.get("unit")).upper().removesuffix("S") in _UNITS
    )


def _whole_intervals(tokens: Sequence[Token]) -> bool:
    """Whether every INTERVAL is one amount of one unit: of `'1 month ago'` sqlglot keeps only the beginning."""
    pairs = pairwise(tokens)
    return all(_AMOUNT.fullmatch(two.text) is not None for one, two in pairs if one.text.lower() == "interval")


def _shifted(node: exp.Lag | exp.Lead) -> bool:
    offset = node.args.get("offset")
    return _only(node, "this", "offset", "default") and (offset is None or _whole(offset, 0))


def _pattern(node: exp.Like | exp.ILike) -> bool:
    """A written pattern, or a parameter: in PostgreSQL a backslash in a column's value would escape."""
    parts = node.expression.walk()
    return all(isinstance(p, exp.Literal | exp.Placeholder | exp.Parameter | exp.DPipe | exp.Paren) for p in parts)


_CHECKS: dict[type[exp.Expr], Callable[[Any], bool]] = {
    exp.Literal: lambda n: n.is_string or str(n.this).replace(".", "", 1).isdigit(),  # no exponents
    exp.Cast: _cast,
    exp.Like: _pattern,
    exp.ILike: _pattern,
    exp.Tuple: lambda n: isinstance(
        n.parent, exp.Values | exp.Distinct | exp.GroupingSets | exp.Cube | exp.Rollup | exp.Group
    ),
    exp.Column: lambda n: isinstance(n.this, exp.Identifier | exp.Star),
    exp.Table: lambda n: isinstance(n.this, exp.Identifier),
    exp.Identifier: lambda n: bool(n.this),
    exp.Join: lambda n: not (n.args.get("method") or n.args.get("hint")),
    exp.Select: lambda n: (
        not any(n.args.get(name) for name in ("into", "hint", "laterals", "pivots", "match", "connect"))
    ),
    exp.Replace: lambda n: _text(n.args.get("expression")) and _only(n, "this", "expression", "replacement"),
    exp.StrPosition: lambda n: _text(n.args.get("substr")) and _only(n, "this", "substr"),
    exp.Left: lambda n: _whole(n.expression, 0),
    exp.Right: lambda n: _whole(n.expression, 0),
    exp.Substring: lambda n: (
        _whole(n.args.get("start"), 1) and (n.args.get("length") is None or _whole(n.args.get("length"), 0))
    ),
    exp.SplitPart: lambda n: _text(n.args.get("delimiter")) and _whole(n.args.get("part_index"), 1),
    exp.Mod: lambda n: _whole(n.expression, 1),  # DuckDB gives NULL for zero, others an error
    exp.Extract: lambda n: str(n.this).upper() in _PARTS,
    exp.Trim: lambda n: (
        _only(n, "this") or (_only(n, "this", "position") and n.args.get("position") in ("LEADING", "TRAILING"))
    ),
    exp.WindowSpec: _frame,
    exp.Lag: _shifted,
    exp.Lead: _shifted,
    exp.FirstValue: lambda n: _only(n, "this"),
    exp.LastValue: lambda n: _only(n, "this"),
    exp.NthValue: lambda n: _only(n, "this", "offset") and _whole(n.args.get("offset"), 1),
    exp.Ntile: lambda n: _whole(n.this, 1),
    exp.GroupConcat: lambda n: (
        _text(n.args.get("separator"))
        and _only(n, "this", "separator")
        and not isinstance(n.this, exp.Distinct)  # PostgreSQL sorts what is distinct
    ),
    exp.Fetch: lambda n: _whole(n.args.get("count"), 0),
    exp.LimitOptions: lambda n: not (n.args.get("percent") or n.args.get("with_ties")),
    exp.Lateral: lambda n: isinstance(n.this, exp.Subquery),
    exp.Interval: _interval,
    exp.Var: lambda n: isinstance(n.parent, exp.Extract | exp.Interval),
}
"""What a form must be like besides."""


def _check(node: exp.Expr, dialect: str) -> None:
    kind = type(node)
    if kind is exp.DataType and isinstance(node.parent, exp.Cast) and _moment(node.parent):
        return
    if kind not in _FORMS and kind not in _OF_DIALECT[dialect]:
        raise _refuse(f"{kind.__name__} may mean something else")
    check = _CHECKS.get(kind)
    if check is not None and not check(node):
        raise _refuse(f"this form of {kind.__name__}")


_SLOW = frozenset({"^", "[", "->", "->>"})
SLOW_MAX = 100
"""Signs over which sqlglot takes a time that grows with the square of their number, none of which is translated."""


def translate(text: str, dialect: str) -> str:
    """`text` of `dialect` in DuckDB's dialect, meaning the same.

    Raises:
        StatementRefused: an unknown dialect, or a form that may not mean the same.
        SyntaxRefused: it does not parse.
        TextRefused: as the text gate.
    """
    if dialect not in DIALECTS:
        raise StatementRefused("This dialect is not known.", advice="Use duckdb, postgres or snowflake.")
    tokens = scan(text)
    if not _whole_intervals(tokens):
        raise _refuse("this form of Interval")
    dots = sum(token.kind == "dot" and before.kind == "bracket" for before, token in pairwise(tokens))
    if dots + sum(token.text in _SLOW for token in tokens) > SLOW_MAX:
        raise _refuse("so many powers, arrows and fields")
    if "\\" in text:
        raise _refuse("a backslash, which dialects read differently")
    text = spaced_parameters(text, tokens)
    try:
        roots = [root for root in sqlglot.parse(text, read=dialect) if root is not None]
    except (SqlglotError, RecursionError, ValueError):
        raise SyntaxRefused("The statement does not parse.") from None
    if len(roots) != 1:
        raise StatementRefused("One statement at a time is accepted here.")
    for node in roots[0].walk():
        _check(node, dialect)
    roots[0] = settle_names(roots[0], dialect)
    for trim in list(roots[0].find_all(exp.Trim)):
        trim.set("expression", exp.Literal.string(" "))  # DuckDB's own default takes every space of Unicode
    if dialect == "postgres":
        for like in list(roots[0].find_all(exp.Like, exp.ILike)):
            if like.expression.find(exp.Placeholder, exp.Parameter):  # a backslash in its value escapes
                like.replace(exp.Escape(this=like.copy(), expression=exp.Literal.string("\\")))
        title_columns(roots[0], text)
    try:
        return roots[0].sql(dialect="duckdb", unsupported_level=ErrorLevel.RAISE, comments=False)
    except (SqlglotError, RecursionError, ValueError):
        raise _refuse("some part has no equal") from None
