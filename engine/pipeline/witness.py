"""The other parser's word: sqlglot must see the same tables at the same places as DuckDB does.

DuckDB's tree decides what a statement means, because DuckDB runs it; sqlglot reads the same text by another grammar.
A table that only one of them sees is a bug in a parser or an attack on one, and refuses the statement.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from engine.pipeline.survey import Place
from governance.errors import ParsersDisagree, StatementRefused

logging.getLogger("sqlglot").setLevel(logging.CRITICAL)  # its warnings quote the client's text
Seen = Counter[tuple[int, str, str, str]]

_ROOTS = (exp.Query, exp.Describe, exp.Summarize, exp.Pivot, exp.Values)


def _by_sqlglot(text: str) -> tuple[int, Seen]:
    try:
        roots = sqlglot.parse(text, read="duckdb")
    except (SqlglotError, RecursionError, ValueError):
        raise StatementRefused(
            "This statement is not understood well enough to run.",
            advice="Write it in a more common form.",
            reason="the first parser does not read what DuckDB reads",
        ) from None
    seen: Seen = Counter()
    for root in roots:
        if not isinstance(root, _ROOTS):
            raise StatementRefused("This kind of statement is not accepted.")
        for table in root.find_all(exp.Table):
            if isinstance(table.this, exp.Identifier):
                first = table.parts[0]
                seen[int(first.meta.get("start", -1)), table.catalog, table.db, table.name] += 1
    return len(roots), seen


def _by_duckdb(places: Sequence[Place], characters: list[int] | None) -> Seen:
    if characters is None:
        return Counter(places)
    return Counter((characters[at] if at >= 0 else at, *names) for at, *names in places)  # type: ignore[misc]


def agree(text: str, places: Sequence[Place], characters: list[int] | None) -> None:
    """Compare what the two parsers see in `text`.

    `places` are DuckDB's; `characters` maps byte to character offsets (None for ASCII).

    Raises:
        ParsersDisagree: another number of statements, or other tables or places.
        StatementRefused: sqlglot does not understand the text.
    """
    count, first = _by_sqlglot(text)
    if count != 1 or first != _by_duckdb(places, characters):
        raise ParsersDisagree(
            "This statement is not understood well enough to run.",
            advice="Write it in a more common form.",
            reason=f"the parsers see {count} statements and {sum(first.values())} tables otherwise than DuckDB does",
        )
