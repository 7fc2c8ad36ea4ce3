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
    if len(statements) != 1 or not isinstance(statements[0], exp.Query):
        raise InvalidRequest("A view is one SELECT.", advice="Write one SELECT, without a semicolon after it.")
