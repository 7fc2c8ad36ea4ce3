"""PostgreSQL's spellings of what DuckDB has under another one, for the DuckDB dialect: tools write them unasked.

Only what DuckDB itself refuses is respelled, so nothing that DuckDB accepts changes its meaning. The text keeps its
length, so that every place in it stays the client's.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from engine.pipeline.text_gate import Token, scan

_HINT = re.compile(r"""jsonb|_timestamp\s*\(|'\{|[\w"]\s*\.\s*(?:\w+|"[^"]*")\s*\.\s*\*""", re.IGNORECASE)
_ELEMENT = r"""\ *(?:[A-Za-z0-9_.:+\-/@][A-Za-z0-9_.:+\-/@\ ]*|"[^"'\\{}\[\]]*")\ *"""
_ARRAY = re.compile(rf"'\{{(?:\ *|{_ELEMENT}(?:,{_ELEMENT})*)\}}'")
"""A literal of one dimension whose elements both databases read alike."""
_CLOCKS = frozenset({"statement_timestamp", "clock_timestamp", "transaction_timestamp"})
_TYPE_TOKENS_MAX = 8


def respelled(text: str) -> str:
    """`text` as DuckDB spells it: `jsonb` as json, `'{1,2}'::int[]` as `'[1,2]'::int[]`, the clocks as `now()`.

    `schema.table.*` loses its schema.

    Raises:
        TextRefused: as the text gate.
    """
    if not _HINT.search(text):
        return text
    tokens = scan(text)
    pieces, at = [], 0
    for index, token in enumerate(tokens):
        new = _respelled(tokens, index)
        if new is not None:
            pieces += [text[at : token.start], new.ljust(token.end - token.start)]
            at = token.end
    return "".join([*pieces, text[at:]])


def _respelled(tokens: Sequence[Token], index: int) -> str | None:
    token = tokens[index]
    if _qualifies_a_star(tokens, index):
        return ""
    before = tokens[index - 1].text.lower() if index else ""
    if token.kind == "string" and _ARRAY.fullmatch(token.text) and _to_array(tokens, index + 1):
        return f"'[{token.text[2:-2]}]'"
    if token.kind != "word":
        return None
    name = token.text.lower()
    if name == "jsonb" and (before == "::" or (before == "as" and _in_cast(tokens, index))):
        return "json"
    empty = [t.text for t in tokens[index + 1 : index + 3]] == ["(", ")"]
    return "now" if name in _CLOCKS and empty and before != "." else None


def _qualifies_a_star(tokens: Sequence[Token], index: int) -> bool:
    """Whether a token is the `schema` or first dot of `schema.table.*`."""
    start = index - 1 if tokens[index].kind == "dot" else index
    if start < 0 or (start and tokens[start - 1].kind == "dot"):
        return False
    kinds = [token.kind for token in tokens[start : start + 4]]
    names = {"word", "quoted"}
    shaped = len(kinds) == 4 and kinds[0] in names and kinds[2] in names and kinds[1] == kinds[3] == "dot"
    return shaped and [token.text for token in tokens[start + 4 : start + 5]] == ["*"]


def _to_array(tokens: Sequence[Token], index: int) -> bool:
    """Whether a cast follows, to a type that ends in `[]`."""
    if index >= len(tokens) or not (
        tokens[index].text == "::" or (tokens[index].text.lower() == "as" and _in_cast(tokens, index))
    ):
        return False
    following = tokens[index + 1 : index + 1 + _TYPE_TOKENS_MAX]
    for place, token in enumerate(following[:-1]):
        if token.text == "[":
            return place > 0 and following[place + 1].text == "]"
        if token.kind not in ("word", "quoted"):
            return False
    return False


def _in_cast(tokens: Sequence[Token], index: int) -> bool:
    """Whether the bracket around a token is CAST's."""
    depth = 0
    for place in range(index - 1, 0, -1):
        text = tokens[place].text
        depth += (text in (")", "]", "}")) - (text in ("(", "[", "{"))
        if depth < 0:
            return text == "(" and tokens[place - 1].text.lower() in ("cast", "try_cast")
    return False
