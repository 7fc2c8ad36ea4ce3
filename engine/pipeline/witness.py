"""The other parser's word: sqlglot must see the same tables at the same places as DuckDB does.

DuckDB's tree decides what a statement means, because DuckDB runs it; sqlglot reads the same text by another grammar.
A table that only one of them sees is a bug in a parser or an attack on one, and refuses the statement.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from engine.pipeline.survey import Place
from engine.pipeline.text_gate import Token
from governance.errors import ParsersDisagree, StatementRefused

logging.getLogger("sqlglot").setLevel(logging.CRITICAL)  # its warnings quote the client's text
Seen = Counter[tuple[int, str, str, str]]

_BEFORE_TABLE = frozenset({"FROM", "JOIN", ",", "(", ":", "TABLE", "PIVOT", "UNPIVOT", "SUMMARIZE", "DESCRIBE", "DESC"})
_ROOTS = (exp.Query, exp.Describe, exp.Summarize, exp.Pivot, exp.Values)


def plain_parameters(text: str, tokens: Sequence[Token]) -> str:
    """`text` for sqlglot, of the same length: it takes what stands between `$1` and `,$2` for a quote's tag."""
    if "$" not in text:
        return text
    pieces, at = [], 0
    for token in tokens:
        if token.kind == "parameter":
            pieces += [text[at : token.start], "?".ljust(token.end - token.start)]
            at = token.end
    return "".join([*pieces, text[at:]])


def spaced_parameters(text: str, tokens: Sequence[Token]) -> str:
    """`text` with a space after each parameter, for sqlglot's readings of which no place is asked."""
    ends = [token.end for token in tokens if token.kind == "parameter"]
    return " ".join(text[start:end] for start, end in pairwise([0, *ends, len(text)])) if ends else text


def _by_sqlglot(text: str, places: Seen) -> tuple[int, Seen]:
    try:
        roots = sqlglot.parse(text, read="duckdb")
    except (SqlglotError, RecursionError, ValueError):
        return 1, _by_tokens(text, places)
    seen: Seen = Counter()
    for root in roots:
        if not isinstance(root, _ROOTS):
            raise StatementRefused("This kind of statement is not accepted.")
        for table in root.find_all(exp.Table):
            if isinstance(table.this, exp.Identifier):
                first = table.parts[0]
                seen[int(first.meta.get("start", -1)), table.catalog, table.db, table.name] += 1
    return len(roots), seen


def _by_tokens(text: str, places: Seen) -> Seen:
    """A second reading for valid DuckDB that sqlglot has no grammar for: its words at DuckDB's places.

    A table counts as seen when sqlglot's tokenizer has the same dotted name there and, right before it, a word or
    sign after which a table may stand.
    """
    try:
        tokens = sqlglot.tokenize(text, read="duckdb")
    except (SqlglotError, RecursionError, ValueError):
        raise StatementRefused(
            "This statement is not understood well enough to run.",
            advice="Write it in a more common form.",
            reason="the first parser does not read what DuckDB reads",
        ) from None
    starts = {token.start: i for i, token in enumerate(tokens)}
    seen: Seen = Counter()
    for place, count in places.items():
        at, *names = place
        index = starts.get(at)
        if index is None or count != 1:
            continue
        parts = [name for name in names if name]
        words = [token.text for token in tokens[index : index + 2 * len(parts) - 1]]
        before = tokens[index - 1].text.upper() if index else ""
        if words == ".".join(parts).split(".") or words == [w for p in parts for w in (p, ".")][:-1]:
            seen[place] += before in _BEFORE_TABLE
    return +seen


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
    second = _by_duckdb(places, characters)
    count, first = _by_sqlglot(text, second)
    if count != 1 or first != second:
        raise ParsersDisagree(
            "This statement is not understood well enough to run.",
            advice="Write it in a more common form.",
            reason=f"the parsers see {count} statements and {sum(first.values())} tables otherwise than DuckDB does",
        )
