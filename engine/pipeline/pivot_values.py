"""PIVOT without its values: what must be asked first, and the statement with the answers written in.

DuckDB would make a type of the values while it parses. Here they are read by a statement of their own, governed and
audited like any other, and the PIVOT that runs lists them: the same columns, in the same order (measured on 1.5.5).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from engine.pipeline.second_parser import Parse
from engine.pipeline.text_gate import Token
from governance.errors import StatementRefused
from governance.sql_literals import text_literal

VALUES_MAX = 1_000
"""Values, or combinations of those of several ON expressions; PostgreSQL's clients take at most 1,664 columns."""
EXPRESSIONS_MAX = 8
"""Each is a statement to run before."""

_PIVOT = frozenset({"pivot", "pivot_wider"})
_AFTER_VALUES = frozenset({"using", "group", "order", "limit", "offset"})
_ADVICE = "List them: PIVOT t ON column IN (...) USING ..."


@dataclass(frozen=True, slots=True)
class ValuesToFind:
    """One ON expression whose values are not listed."""

    question: str
    """The statement that finds them: one column of text, at most `VALUES_MAX + 1` rows."""
    start: int
    end: int
    """Where the expression stands in the PIVOT's text, in characters."""


class PivotNeedsValues(StatementRefused):
    """A PIVOT without its values. Who can run statements asks `questions` and governs `answered` instead."""

    def __init__(self, text: str, wanted: Sequence[ValuesToFind]) -> None:
        super().__init__("PIVOT needs its values here.", advice=_ADVICE)
        self._text = text
        self._wanted = tuple(wanted)

    @property
    def questions(self) -> tuple[str, ...]:
        """The statements to ask, in turn."""
        return tuple(each.question for each in self._wanted)

    def answered(self, values: Sequence[Sequence[str]]) -> str:
        """The PIVOT with the `values` that each question found.

        Raises:
            StatementRefused: none were found, or too many.
        """
        pieces: list[str] = []
        done, columns = 0, 1
        for each, found in zip(self._wanted, values, strict=True):
            if not found:
                raise StatementRefused("PIVOT found no values: there are no rows to make columns of.", advice=_ADVICE)
            columns *= len(found)
            if columns > VALUES_MAX:
                raise StatementRefused(
                    f"PIVOT found more than {VALUES_MAX} values to make columns of.",
                    advice="List those you want, or use GROUP BY.",
                )
            if any("\0" in value for value in found):
                raise StatementRefused("PIVOT found a value that no column can be named by.", advice=_ADVICE)
            listed = ", ".join(map(text_literal, found))
            pieces += [self._text[done : each.start], "(", self._text[each.start : each.end], f") IN ({listed})"]
            done = each.end
        return "".join([*pieces, self._text[done:]])


def needs_values(parse: Parse) -> bool:
    """Whether DuckDB makes types for a statement before it runs it, as it does for such a PIVOT."""
    return len(parse.kinds) > 1 and parse.kinds[-1] == "SELECT" and set(parse.kinds[:-1]) == {"CREATE"}


def values_wanted(text: str, tokens: Sequence[Token], parse: Parse) -> PivotNeedsValues:
    """What to ask before the PIVOT in `text` can be governed.

    Only a PIVOT that is the statement itself, perhaps after WITH, over one table, sub-query or parenthesized join: what
    stands inside another statement may mean names of that one. DuckDB's parser reads the question and the answer again.

    Raises:
        StatementRefused: it has another form.
    """
    refused = StatementRefused("This PIVOT needs its values.", advice=_ADVICE)
    outer = _outer(tokens)
    at = next((n for n, (token, _) in enumerate(outer) if token.text.lower() in _PIVOT), None)
    if at is None or (at and tokens[0].text.lower() != "with") or any(t.kind == "parameter" for t in tokens):
        raise refused
    words = [token.text.lower() for token, _ in outer]
    on = next((n for n in range(at + 1, len(outer)) if words[n] == "on"), None)
    if on is None or "join" in words[at:on] or on == at + 1:
        raise refused
    end = next((n for n in range(on + 1, len(outer)) if words[n] in _AFTER_VALUES), len(outer))
    prefix = text[: outer[at][0].start]
    source = text[outer[at][0].end : outer[on][0].start]
    wanted = []
    for first, last in _items(words, on + 1, end):
        if "in" in words[first:last]:
            continue
        start, stop = outer[first][0].start, _stop(text, tokens, outer, last)
        expression = text[start:stop].rstrip()
        if not expression or _is_row(tokens, start):
            raise refused
        question = (
            f"{prefix}SELECT DISTINCT CAST(({expression}) AS VARCHAR) AS v FROM {source} "
            f"WHERE ({expression}) IS NOT NULL ORDER BY 1 LIMIT {VALUES_MAX + 1}"
        )
        wanted.append(ValuesToFind(question, start, start + len(expression)))
    if len(wanted) != len(parse.kinds) - 1 or len(wanted) > EXPRESSIONS_MAX:  # DuckDB makes one type for each
        raise refused
    return PivotNeedsValues(text, wanted)


def _outer(tokens: Sequence[Token]) -> list[tuple[Token, int]]:
    """The tokens outside all brackets, opening brackets included, each with its place among all."""
    found: list[tuple[Token, int]] = []
    depth = 0
    for place, token in enumerate(tokens):
        closing = token.kind == "bracket" and token.text in ")]}"
        depth -= closing
        if not depth and not closing:
            found.append((token, place))
        depth += token.kind == "bracket" and not closing
    return found


def _items(words: Sequence[str], start: int, end: int) -> Iterator[tuple[int, int]]:
    """Where the expressions between commas stand."""
    first = start
    for at in range(start, end):
        if words[at] == ",":
            yield first, at
            first = at + 1
    yield first, end


def _stop(text: str, tokens: Sequence[Token], outer: Sequence[tuple[Token, int]], last: int) -> int:
    """Past the last character of the token before outer token `last`: comments do not belong to an expression."""
    place = outer[last][1] if last < len(outer) else len(tokens)
    return tokens[place - 1].end if place else len(text)


def _is_row(tokens: Sequence[Token], start: int) -> bool:
    """Whether a row of several expressions, `(a, b)`, begins at character `start`."""
    depth = 0
    for token in tokens:
        if token.start < start:
            continue
        if token.kind == "bracket":
            depth += 1 if token.text in "([{" else -1
        if depth == 1 and token.text == ",":
            return True
        if not depth:
            return False
    return False
