"""PostgreSQL's spellings of what DuckDB has under another one, for the DuckDB dialect: tools write them unasked.

Only what DuckDB itself refuses is respelled, so nothing that DuckDB accepts changes its meaning; with one exception: a
bytea written in hexadecimal (backslash, x, two digits a byte) is those bytes, as every driver means it that writes
values into the text (DuckDB's own type is BLOB).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from engine.pipeline.text_gate import Token, scan

_HINT = re.compile(r"""jsonb|bytea|_timestamp\s*\(|'\{|[\w"]\s*\.\s*(?:\w+|"[^"]*")\s*\.\s*\*""", re.IGNORECASE)
_ELEMENT = r"""\ *(?:[A-Za-z0-9_.:+\-/@][A-Za-z0-9_.:+\-/@\ ]*|"[^"'\\{}\[\]]*")\ *"""
_ARRAY = re.compile(rf"'\{{(?:\ *|{_ELEMENT}(?:,{_ELEMENT})*)\}}'")
"""A literal of one dimension whose elements both databases read alike."""
_NUMBERS = re.compile(r"'\{-?\d{1,18}(?:,-?\d{1,18})*\}'")
_PART = re.compile(r""""([^"]*)"|([^,"]+)""")
_BYTES = re.compile(r"'\\x((?:[0-9A-Fa-f]{2})*)'")
_CLOCKS = frozenset({"statement_timestamp", "clock_timestamp", "transaction_timestamp"})
_TYPE_TOKENS_MAX = 8


def respelled(text: str) -> str:
    r"""`text` as DuckDB spells it: `jsonb` as json, `'{1,2}'::int[]` as `'[1,2]'::int[]`, the clocks as `now()`.

    `'\x00ff'::bytea` is `unhex('00ff')`, `ANY ('{1,2}')` is `ANY ([1,2])`, and `schema.table.*` loses its schema. All
    but ANY of texts keeps its length, so that places in the text stay the client's.

    Raises:
        TextRefused: as the text gate.
    """
    if not _HINT.search(text):
        return text
    tokens = scan(text)
    pieces, at = [], 0
    for index, token in enumerate(tokens):
        if token.start < at:
            continue
        new = _respelled(tokens, index)
        if new is not None:
            end = tokens[_bytes_end(tokens, index)].end if token.kind == "string" else token.end
            pieces += [text[at : token.start], new.ljust(end - token.start)]
            at = end
    return "".join([*pieces, text[at:]])


def _respelled(tokens: Sequence[Token], index: int) -> str | None:
    token = tokens[index]
    if _qualifies_a_star(tokens, index):
        return ""
    before = tokens[index - 1].text.lower() if index else ""
    if token.kind == "string":
        return _literal(tokens, index)
    if token.kind != "word":
        return None
    name = token.text.lower()
    if name == "jsonb" and (before == "::" or (before == "as" and _in_cast(tokens, index))):
        return "json"
    empty = [t.text for t in tokens[index + 1 : index + 3]] == ["(", ")"]
    return "now" if name in _CLOCKS and empty and before != "." else None


def _literal(tokens: Sequence[Token], index: int) -> str | None:
    text = tokens[index].text
    if _bytes_end(tokens, index) > index:
        return f"unhex('{text[3:-1]}')"
    if not _ARRAY.fullmatch(text):
        return None
    if _to_array(tokens, index + 1):
        return f"'[{text[2:-2]}]'"
    before = [token.text.lower() for token in tokens[max(index - 2, 0) : index]]
    alone = before[-1:] == ["("] and [token.text for token in tokens[index + 1 : index + 2]] == [")"]
    if not alone or before[0] not in ("any", "all", "some"):
        return None
    if _NUMBERS.fullmatch(text):
        return f"[{text[2:-2]}]"
    elements = []
    for quoted, plain in _PART.findall(text[2:-2]):
        bare = plain.strip()
        if quoted or not plain:
            elements.append(f"'{quoted}'")
        elif bare:
            elements.append("NULL" if bare.upper() == "NULL" else f"'{bare}'")
    return f"[{','.join(elements)}]"


def _bytes_end(tokens: Sequence[Token], index: int) -> int:
    r"""The index of the last token of `'\x…'::bytea` that begins at `index`; `index` itself when none does."""
    cast = [token.text.lower() for token in tokens[index + 1 : index + 3]]
    following = tokens[index + 3].text if index + 3 < len(tokens) else ""
    shaped = cast == ["::", "bytea"] and following != "[" and _BYTES.fullmatch(tokens[index].text)
    return index + 2 if shaped else index


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
