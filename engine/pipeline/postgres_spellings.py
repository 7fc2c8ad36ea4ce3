"""PostgreSQL's spellings of what DuckDB has under another one, for the DuckDB dialect: tools write them unasked.

Only what DuckDB itself refuses is respelled, so nothing that DuckDB accepts changes its meaning; with one exception: a
bytea written in hexadecimal (backslash, x, two digits a byte) is those bytes, as every driver means it that writes
values into the text (DuckDB's own type is BLOB).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from engine.pipeline.text_gate import Token, scan

_HINT = re.compile(
    r"""jsonb|bytea|_timestamp\s*\(|to_date\s*\(|'\{|[\w"]\s*\.\s*(?:\w+|"[^"]*")\s*\.\s*\*""", re.IGNORECASE
)
_ELEMENT = r"""\ *(?:[A-Za-z0-9_.:+\-/@][A-Za-z0-9_.:+\-/@\ ]*|"[^"'\\{}\[\]]*")\ *"""
_ARRAY = re.compile(rf"'\{{(?:\ *|{_ELEMENT}(?:,{_ELEMENT})*)\}}'")
"""A literal of one dimension whose elements both databases read alike."""
_NUMBERS = re.compile(r"'\{-?\d{1,18}(?:,-?\d{1,18})*\}'")
_PART = re.compile(r"""\ *"((?:[^"\\]|\\.)*)"\ *(?=,|\Z)|((?:[^,"{}\\]|\\.)+)(?=,|\Z)""", re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_BYTES = re.compile(r"'\\x((?:[0-9A-Fa-f]{2})*)'")
_CLOCKS = frozenset({"statement_timestamp", "clock_timestamp", "transaction_timestamp"})
_TYPE_TOKENS_MAX = 8
_MOMENTS = {
    "'YYYY-MM-DD'": re.compile(r"'\d{4}-\d\d-\d\d'"),
    "'YYYY-MM-DD HH24:MI:SS'": re.compile(r"'\d{4}-\d\d-\d\d \d\d:\d\d:\d\d'"),
    "'YYYY-MM-DD HH24:MI:SS.US'": re.compile(r"'\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}'"),
}
"""Patterns of `to_timestamp` and `to_date`, and the constants that both databases read alike."""
_QUANTIFIERS = frozenset({"any", "some", "all"})
_MEMBERSHIPS = {
    ("=", "any"): "IN", ("=", "some"): "IN", ("<>", "all"): "NOT IN", ("!=", "all"): "NOT IN",
}  # fmt: skip


def respelled(text: str) -> str:
    r"""`text` as DuckDB spells it: `jsonb` as json, `'{1,2}'::int[]` as `'[1,2]'::int[]`, the clocks as `now()`.

    `'\x00ff'::bytea` is `unhex('00ff')`, `ANY ('{1,2}')` is `ANY ([1,2])`, `= ANY ('{a,b}')` is `IN ('a','b')`, and
    `schema.table.*` loses its schema. All but these lists of texts keeps its length, so that places in the text stay
    the client's.

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
        test = _membership(tokens, index) or _moment(tokens, index)
        if test is not None:
            shown, last = test
            pieces += [text[at : token.start], shown.ljust(tokens[last].end - token.start)]
            at = tokens[last].end
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
    if not text.startswith("'{"):
        return None
    first, last = _bracketed(tokens, index)
    before = tokens[first - 1].text.lower() if first else ""
    to_array = _to_array(tokens, last + 1) or _behind_an_array_operator(tokens, first)
    in_any = first < index and before in _QUANTIFIERS
    if to_array and _ARRAY.fullmatch(text):
        return f"'[{text[2:-2]}]'"
    if in_any and _NUMBERS.fullmatch(text):
        return f"[{text[2:-2]}]"
    return _list(text) if to_array or in_any else None


def _bracketed(tokens: Sequence[Token], index: int) -> tuple[int, int]:
    """The indexes of the first and last token of a literal with the brackets that hold nothing else."""
    first = last = index
    while first and last + 1 < len(tokens) and tokens[first - 1].text == "(" and tokens[last + 1].text == ")":
        first, last = first - 1, last + 1
    return first, last


def _behind_an_array_operator(tokens: Sequence[Token], index: int) -> bool:
    """Whether `&&`, `@>` or `<@` stands before a token: what follows can only be an array."""
    signs = tokens[max(index - 2, 0) : index]
    adjacent = len(signs) == 2 and signs[0].end == signs[1].start
    return adjacent and signs[0].text + signs[1].text in ("&&", "@>", "<@")


def _membership(tokens: Sequence[Token], index: int) -> tuple[str, int] | None:
    """`= ANY ('{a,b}')` and `<> ALL ('{a,b}')` as IN and NOT IN, whose texts take the type of what is looked for.

    The text, and the index of the last token it stands for. Lists of plain numbers stay lists.
    """
    words = [token.text.lower() for token in tokens[index : index + 3]]
    shape = tuple(words[:2])
    if len(words) < 3 or words[2] != "(" or shape not in _MEMBERSHIPS:
        return None
    place = index + 2
    while place < len(tokens) and tokens[place].text == "(":
        place += 1
    if place == len(tokens) or tokens[place].kind != "string" or not tokens[place].text.startswith("'{"):
        return None
    first, last = _bracketed(tokens, place)
    if first != index + 2 or _NUMBERS.fullmatch(tokens[place].text):
        return None
    elements = _list(tokens[place].text)
    if elements is None or elements == "[]":
        return None
    return f"{_MEMBERSHIPS[shape]} ({elements[1:-1]})", last


def _moment(tokens: Sequence[Token], index: int) -> tuple[str, int] | None:
    """`to_timestamp` and `to_date` of a constant written as their pattern says, for patterns that are ISO's order.

    The text, and the index of the last token it stands for.
    """
    call = tokens[index : index + 6]
    name = call[0].text.lower()
    if name not in ("to_timestamp", "to_date") or [t.text for t in call[1::2]] != ["(", ",", ")"]:
        return None
    if call[2].kind != "string" or (index and tokens[index - 1].text == "."):
        return None
    shape = _MOMENTS.get(call[4].text.upper())
    if shape is None or not shape.fullmatch(call[2].text):
        return None
    day = f"{call[2].text[:11]}'"
    return (f"DATE {day}" if name == "to_date" else f"TIMESTAMPTZ {call[2].text}"), index + 5


def _list(literal: str) -> str | None:
    """An array literal of one dimension as a list of texts; None when it is none."""
    body, at, elements = literal[2:-2].replace("''", "'"), 0, []
    if not literal.endswith("}'"):
        return None
    while body.strip():
        found = _PART.match(body, at)
        if found is None:
            return None
        quoted, plain = found.groups()
        if quoted is None and plain.strip().upper() == "NULL":
            elements.append("NULL")
        else:
            value = _ESCAPED.sub(r"\1", plain.strip() if quoted is None else quoted)
            elements.append("'" + value.replace("'", "''") + "'")
        at = found.end()
        if at == len(body):
            break
        at += 1  # the comma
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
