"""What may be stored as a view: one SELECT in DuckDB's words. Whether it may run is decided when it is used."""

from __future__ import annotations

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from governance.errors import InvalidRequest

VIEW_CHARS_MAX = 65_536


def check_view(sql: str) -> None:
    """Refuse what is not exactly one SELECT.

    Raises:
        InvalidRequest: it does not parse, is several statements, or something else than a SELECT.
    """
    if len(sql) > VIEW_CHARS_MAX:
        raise InvalidRequest("The view's text is too long.", advice=f"At most {VIEW_CHARS_MAX} characters.")
    try:
        statements = sqlglot.parse(sql, dialect="duckdb")
    except (SqlglotError, RecursionError):
        raise InvalidRequest("The view's text does not parse.", advice="Write one SELECT of DuckDB's SQL.") from None
    query = statements[0] if len(statements) == 1 else None
    empty = isinstance(query, exp.Select) and not query.expressions
    if not isinstance(query, exp.Query) or empty:
        raise InvalidRequest("A view is one SELECT.", advice="Write one SELECT, without a semicolon after it.")
