"""Other dialects: a text is translated before it is governed, or refused; "the original" is then the translation.

sqlglot translates much of which some is silently wrong, so only a closed list of forms whose meaning is the same in
DuckDB passes. Widening the list takes a test that shows the same meaning.
"""

from __future__ import annotations

import sqlglot
from sqlglot import exp
from sqlglot.errors import ErrorLevel, SqlglotError

from engine.pipeline.text_gate import scan
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
    exp.Rank, exp.DenseRank,
)  # fmt: skip
_TYPES = frozenset(
    {exp.DataType.Type.TEXT, exp.DataType.Type.VARCHAR, exp.DataType.Type.INT, exp.DataType.Type.BIGINT}
    | {exp.DataType.Type.SMALLINT, exp.DataType.Type.DATE, exp.DataType.Type.BOOLEAN, exp.DataType.Type.DOUBLE}
)


def _refuse(what: str) -> StatementRefused:
    return StatementRefused(
        f"This statement cannot be translated exactly: {what}.", advice="Write it in DuckDB's dialect."
    )


def _check(node: exp.Expr) -> None:
    if type(node) not in _FORMS:
        raise _refuse(f"{type(node).__name__} may mean something else")
    if isinstance(node, exp.Literal) and not node.is_string and not str(node.this).replace(".", "", 1).isdigit():
        raise _refuse("a number in exponent form")
    if isinstance(node, exp.Cast) and (isinstance(node.this, exp.Cast) or node.to.this not in _TYPES):
        raise _refuse("this cast")
    if isinstance(node, exp.Column) and not isinstance(node.this, exp.Identifier | exp.Star):
        raise _refuse("this column")
    if isinstance(node, exp.Table) and not isinstance(node.this, exp.Identifier):
        raise _refuse("a table function")
    if isinstance(node, exp.Identifier) and not node.this:
        raise _refuse("an empty name")
    if isinstance(node, exp.Join) and (node.args.get("method") or node.args.get("hint")):
        raise _refuse("this join")
    if isinstance(node, exp.Select) and any(node.args.get(name) for name in ("into", "hint", "laterals", "pivots")):
        raise _refuse("this form of SELECT")


def translate(text: str, dialect: str) -> str:
    """`text` of `dialect` in DuckDB's dialect, meaning the same.

    Raises:
        StatementRefused: an unknown dialect, or a form that may not mean the same.
        SyntaxRefused: it does not parse.
        TextRefused: as the text gate.
    """
    if dialect not in DIALECTS:
        raise StatementRefused("This dialect is not known.", advice="Use duckdb, postgres or snowflake.")
    scan(text)
    if "\\" in text:
        raise _refuse("a backslash, which dialects read differently")
    try:
        roots = [root for root in sqlglot.parse(text, read=dialect) if root is not None]
    except (SqlglotError, RecursionError, ValueError):
        raise SyntaxRefused("The statement does not parse.") from None
    if len(roots) != 1:
        raise StatementRefused("One statement at a time is accepted here.")
    for node in roots[0].walk():
        _check(node)
    try:
        return roots[0].sql(dialect="duckdb", unsupported_level=ErrorLevel.RAISE, comments=False)
    except (SqlglotError, RecursionError, ValueError):
        raise _refuse("some part has no equal") from None
