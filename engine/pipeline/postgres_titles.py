"""What PostgreSQL calls a result column that has no name of its own (FigureColname in its parse_target.c).

DuckDB calls it by its text. In a translated statement that text is not even the client's, so the outermost columns get
PostgreSQL's titles as aliases; where a title is not certain, DuckDB's stays. DuckDB looks a name up among the tables'
columns before it looks among aliases, in every clause but a bare ORDER BY, where PostgreSQL takes the title first too.
"""

from __future__ import annotations

from sqlglot import exp

_TYPES = {
    exp.DataType.Type.TEXT: "text",
    exp.DataType.Type.VARCHAR: "varchar",
    exp.DataType.Type.INT: "int4",
    exp.DataType.Type.BIGINT: "int8",
    exp.DataType.Type.SMALLINT: "int2",
    exp.DataType.Type.DATE: "date",
    exp.DataType.Type.BOOLEAN: "bool",
    exp.DataType.Type.DOUBLE: "float8",
    exp.DataType.Type.TIMESTAMP: "timestamp",
}
_NONE = "?column?"
_WORDS: dict[type[exp.Expr], str] = {
    exp.StrPosition: "position",
    exp.Substring: "substring",
    exp.Interval: "interval",
    exp.Exists: "exists",
    exp.GroupConcat: "string_agg",
}
"""Forms that PostgreSQL's grammar makes of words, not of a function's name."""
_TRIMS = {None: "btrim", "LEADING": "ltrim", "TRAILING": "rtrim"}


def title_columns(root: exp.Expr, text: str) -> None:
    """Give the outermost columns of a statement of dialect postgres their titles; `text` is what it was parsed from."""
    select = _outermost(root)
    if select is None:
        return
    for item in list(select.expressions):
        if isinstance(item, exp.Alias | exp.Column | exp.Star):
            continue
        title, _ = _title(item, text)
        if title is not None:
            item.replace(exp.alias_(item.copy(), title, quoted=True))


def _outermost(root: exp.Expr) -> exp.Select | None:
    while isinstance(root, exp.Union | exp.Except | exp.Intersect | exp.Subquery):
        root = root.this
    return root if isinstance(root, exp.Select) else None


def _title(node: exp.Expr | None, text: str) -> tuple[str | None, bool]:
    """The title, or None when it is not certain; and whether it is a strong one, that a cast keeps."""
    match node:
        case exp.Paren() | exp.Window() | exp.Filter():
            return _title(node.this, text)
        case exp.Column():
            return node.name if isinstance(node.this, exp.Identifier) else None, True
        case exp.Subquery():
            inner = _outermost(node)
            first = inner.expressions[0] if inner is not None and len(inner.expressions) == 1 else None
            return (
                (first.alias, True) if isinstance(first, exp.Alias) else _title(first, text) if first else (None, True)
            )
        case exp.Cast():
            title, strong = _title(node.this, text)
            return (title, True) if strong else (_TYPES.get(node.to.this), False)
        case exp.Case():
            title, strong = _title(node.args.get("default"), text)
            return (title, True) if strong else ("case", False)
        case exp.Extract():
            called = [word for word in ("date_part", "extract") if word in text.lower()]
            return (called[0] if len(called) == 1 else None), True
        case exp.Star():
            return None, True
    if node is None:
        return _NONE, False
    start, end = node.meta.get("start"), node.meta.get("end")
    if isinstance(node, exp.Func | exp.Mod) and start is not None and end is not None:
        return text[start : end + 1].lower(), True  # a function under the name it was called by
    if isinstance(node, exp.Trim):
        return _TRIMS.get(node.args.get("position")), True
    word = _WORDS.get(type(node))
    if word is not None:
        return word, not isinstance(node, exp.Interval)
    if isinstance(node, exp.Func) and not isinstance(node, exp.And | exp.Or | exp.Mod):
        return None, True
    return _NONE, False
