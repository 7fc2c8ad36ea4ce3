"""The client's own text with secured relations in place of base tables; not one other character is regenerated.

The places come from DuckDB's tree and are held against the scanner's tokens. After splicing, DuckDB reads the new
text again (with short stand-ins for the relations): apart from the replaced references it must be the same tree.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from engine.pipeline.second_parser import SecondParser
from engine.pipeline.survey import Node, Survey, TableRef
from engine.pipeline.text_gate import Token
from governance.errors import ParsersDisagree, StatementRefused
from governance.sql_literals import identifier
from governance.tables import TableName, fold

Segments = tuple[str | TableName, ...]
_STAND_IN = "hati stand-in"
_LEADS = frozenset({"summarize", "describe", "desc"})


@dataclass(frozen=True, slots=True)
class Edit:
    """Replace `text[start:end]`; `relation` is the index of a table reference, or None for plain `text`."""

    start: int
    end: int
    before: str
    relation: int | None
    after: str


@dataclass(frozen=True, slots=True)
class Source:
    """A text with its tokens and the map from byte to character offsets (None when all are ASCII)."""

    text: str
    tokens: Sequence[Token]
    characters: list[int] | None

    def character(self, byte: int) -> int:
        """The character offset of a byte offset."""
        return byte if self.characters is None else self.characters[byte]

    def token_at(self, start: int) -> int | None:
        """The index of the token that starts at a character offset, or None."""
        index = bisect_left(self.tokens, start, key=lambda t: t.start)
        return index if index < len(self.tokens) and self.tokens[index].start == start else None


def source_of(text: str, tokens: Sequence[Token]) -> Source:
    """The text as DuckDB and the scanner see it."""
    if text.isascii():
        return Source(text, tokens, None)
    characters = [i for i, character in enumerate(text) for _ in character.encode()]
    return Source(text, tokens, [*characters, len(text)])


def _lost() -> ParsersDisagree:
    return ParsersDisagree(
        "This statement is not understood well enough to run.",
        advice="Write it in a more common form.",
        reason="a name does not stand where DuckDB says it does",
    )


def _name_tokens(source: Source, at: int, names: Sequence[str]) -> tuple[int, int]:
    """Indices of the first and last token of a dotted name that starts at a byte offset."""
    first = source.token_at(source.character(at))
    if first is None:
        raise _lost()
    index = first
    for i, name in enumerate(names):
        if i:
            index += 2
            if index >= len(source.tokens) or source.tokens[index - 1].kind != "dot":
                raise _lost()
        token = source.tokens[index]
        if token.kind not in ("word", "quoted") or token.name != name:
            raise _lost()
    return first, index


def _table_edit(source: Source, ref: TableRef, index: int) -> Edit:
    names = [n for n in (ref.catalog, ref.schema, ref.name) if n]
    first, last = _name_tokens(source, ref.at, names)
    start, end = source.tokens[first].start, source.tokens[last].end
    before = ""
    lead = source.tokens[first - 1].text.lower() if first and source.tokens[first - 1].kind == "word" else ""
    if lead == "table":
        start, before = source.tokens[first - 1].start, "FROM "
    elif lead in _LEADS:
        before = "FROM "
    return Edit(start, end, before, index, "" if ref.alias else f" AS {identifier(ref.name)}")


def _column_edits(source: Source, survey: Survey, environment: str) -> dict[int, tuple[Edit, int]]:
    """For columns written `schema.table.column`, the edit that takes the qualifier away; keyed by byte offset."""
    open_refs = {(fold(r.schema), fold(r.name)) for r in survey.tables if not r.alias}
    by_alias: dict[str, set[tuple[str, str]]] = {}
    for ref in survey.tables:
        by_alias.setdefault(ref.shown_as, set()).add((fold(ref.schema), fold(ref.name)))
    edits: dict[int, tuple[Edit, int]] = {}
    for column in survey.columns:
        names = column["column_names"]
        if len(names) < 3:
            continue
        folded = [fold(n) for n in names]
        drop = 0
        if (folded[0], folded[1]) in open_refs:
            drop = 1
        elif len(names) > 3 and folded[0] == fold(environment) and (folded[1], folded[2]) in open_refs:
            drop = 2
        elif len(names) > 3 and (folded[1], folded[2]) in open_refs:
            raise StatementRefused("A column is named through a database that is not this one.")
        if not drop:
            continue
        if len(by_alias[folded[drop]]) > 1 or folded[drop - 1] in survey.relation_names - {folded[drop]}:
            raise StatementRefused(
                "A column's table name is ambiguous here.", advice="Give the tables aliases and use them."
            )
        first, _ = _name_tokens(source, column["query_location"], names)
        start, end = source.tokens[first].start, source.tokens[first + 2 * drop].start
        edits[column["query_location"]] = (Edit(start, end, "", None, ""), drop)
    return edits


def _shared_names(survey: Survey) -> None:
    """Refuse one FROM with two tables of the same name: as relations they could not be told apart.

    Raises:
        StatementRefused: there is one.
    """
    named = {ref.at: (ref.shown_as, (fold(ref.schema), fold(ref.name))) for ref in survey.tables if not ref.alias}
    if len(set(named.values())) == len({shown for shown, _ in named.values()}):
        return
    for select in survey.selects:
        seen: dict[str, tuple[str, str]] = {}
        for at in _leaves(select.get("from_table") or {}):
            shown, key = named.get(at, ("", ("", "")))
            if shown and seen.setdefault(shown, key) != key:
                raise StatementRefused(
                    "Two tables of the same name need aliases.", advice="Write FROM a.t AS one, b.t AS two."
                )


def _leaves(node: Node) -> Iterator[int]:
    """Byte offsets of the tables that stand in one FROM, those of sub-queries left out."""
    if node.get("type") == "BASE_TABLE":
        yield node.get("query_location", -1)
    for below in ("left", "right", "source"):
        if isinstance(node.get(below), dict):
            yield from _leaves(node[below])


class Splice:
    """The edits of one statement."""

    def __init__(self, source: Source, survey: Survey, environment: str) -> None:
        """Plan the edits.

        Raises:
            ParsersDisagree: a name does not stand where DuckDB says it does.
            StatementRefused: a qualified name that would be ambiguous.
        """
        _shared_names(survey)
        self._source = source
        self._survey = survey
        self._columns = _column_edits(source, survey, environment)
        edits = [_table_edit(source, ref, i) for i, ref in enumerate(survey.tables)]
        edits += [edit for edit, _ in self._columns.values()]
        self._edits = sorted(edits, key=lambda e: e.start)
        for one, two in zip(self._edits, self._edits[1:], strict=False):
            if two.start < one.end:
                raise _lost()

    def segments(self, relations: Sequence[Segments], extra: Mapping[int, str] | None = None) -> Segments:
        """The text with `relations[i]` in place of table reference i, and `extra` texts at character offsets."""
        out: list[str | TableName] = []
        text, at = self._source.text, 0
        inserts = sorted((extra or {}).items())

        def copy(until: int) -> None:
            nonlocal at
            while inserts and inserts[0][0] <= until:
                place, piece = inserts.pop(0)
                out.append(text[at:place] + piece)
                at = place
            out.append(text[at:until])

        for edit in self._edits:
            copy(edit.start)
            out.append(edit.before)
            if edit.relation is not None:
                out.extend(relations[edit.relation])
            out.append(edit.after)
            at = edit.end
        copy(len(text))
        return _joined(out)

    @property
    def places(self) -> frozenset[int]:
        """Byte offsets of the names that the edits change."""
        return frozenset(ref.at for ref in self._survey.tables) | frozenset(self._columns)

    def verify(
        self, parser: SecondParser, tree: Node, headers: Mapping[int, str], aliases: frozenset[str] = frozenset()
    ) -> None:
        """Let DuckDB read the spliced text: it must be `tree` with nothing but the references replaced.

        `headers` are the texts that name result columns, `aliases` the names they give and nothing else may have.

        Raises:
            ParsersDisagree: it is not.
        """
        stand_ins: list[Segments] = [
            (f"(FROM {identifier(_STAND_IN)}.{identifier(str(i))})",) for i in range(len(self._survey.tables))
        ]
        text = "".join(str(s) for s in self.segments(stand_ins, headers))
        parse = parser.parse(text)
        places = {ref.at: i for i, ref in enumerate(self._survey.tables)}
        drops = {at: drop for at, (_, drop) in self._columns.items()}
        if parse.tree is None or not _same(tree, parse.tree, places, drops, aliases):
            raise ParsersDisagree(
                "This statement is not understood well enough to run.",
                advice="Write it in a more common form.",
                reason="the governed text is not the client's tree with secured relations",
            )


def _joined(pieces: Sequence[str | TableName]) -> Segments:
    out: list[str | TableName] = []
    for piece in pieces:
        if isinstance(piece, str) and out and isinstance(out[-1], str):
            out[-1] += piece
        elif piece:
            out.append(piece)
    return tuple(out)


def _same(mine: Any, final: Any, places: Mapping[int, int], drops: Mapping[int, int], aliases: frozenset[str]) -> bool:
    """Whether the final tree is the client's, each base table replaced by the stand-in of its number.

    Locations do not count; `drops` says how many qualifiers a column at an offset lost; an expression without an
    alias may have got one of `aliases`.
    """
    if type(mine) is not type(final):
        return False
    if type(mine) is dict:
        at: int = mine.get("query_location", -1)
        if at in places and mine.get("type") == "BASE_TABLE":
            return _stands_for(mine, final, places[at])
        if at in drops and mine.get("class") == "COLUMN_REF":
            mine = {**mine, "column_names": mine["column_names"][drops[at] :]}
        for key, value in mine.items():
            if key == "query_location":
                continue
            other = final.get(key)
            kind = type(value)
            if kind is dict or kind is list:
                both_empty = not value and not other and kind is type(other)
                if not both_empty and not _same(value, other, places, drops, aliases):
                    return False
            elif value != other or kind is not type(other):
                return False
        more = len(final) - ("query_location" in final) - len(mine) + ("query_location" in mine)
        named = "class" in mine and "alias" not in mine and final.get("alias") in aliases
        return more == 0 or (more == 1 and named)
    if type(mine) is list:
        if len(mine) != len(final):
            return False
        for one, two in zip(mine, final, strict=True):  # noqa: SIM110 -- a quarter faster than all(), on a hot path
            if not _same(one, two, places, drops, aliases):
                return False
        return True
    return bool(mine == final)


def _stands_for(mine: Node, final: Node, index: int) -> bool:
    """Whether `final` is the stand-in of reference `index`, with the alias, sample and column names of `mine`."""
    inner = final.get("subquery", {}).get("node", {}).get("from_table", {})
    return (
        final.get("type") == "SUBQUERY"
        and "class" not in final
        and inner.get("schema_name") == _STAND_IN
        and inner.get("table_name") == str(index)
        and final.get("alias") == (mine.get("alias") or mine["table_name"])
        and all(mine.get(name) == final.get(name) for name in ("sample", "column_name_alias"))
        and not final.keys() - {"type", "alias", "sample", "column_name_alias", "subquery", "query_location"}
    )
