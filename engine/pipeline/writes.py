"""UPDATE and DELETE under row filters (claim W4.11). Tables are read-only so far: nothing calls this but its tests.

    DELETE FROM t WHERE CASE WHEN <filter> THEN (<the client's predicate>) ELSE FALSE END

CASE, never AND: the client's predicate must not run on hidden rows. Sub-queries inside are secured like any other. A
statement that names a masked column, or sets a column that a filter reads, is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from engine.catalog.view import PrincipalCatalog
from engine.pipeline.authorize import check_role, resolve
from engine.pipeline.classify import check_calls
from engine.pipeline.column_calls import SpelledOut
from engine.pipeline.guard import EVERYTHING
from engine.pipeline.relation import row_condition, secure
from engine.pipeline.second_parser import SecondParser
from engine.pipeline.splice import Segments, Splice, source_of
from engine.pipeline.surveyor import survey_statement
from engine.pipeline.text_gate import Token, scan
from engine.pipeline.witness import agree, plain_parameters
from governance.errors import MaskedPredicate, PermissionRefused, StatementRefused, SyntaxRefused
from governance.masks import binds
from governance.policies import RowFilter, View
from governance.policy_text import bind_filter
from governance.principals import Principal
from governance.rulebook import Rulebook
from governance.sql_literals import identifier
from governance.tables import Table, TableName, fold

_ENDS = frozenset({"where", "from", "using", "returning"})


@dataclass(frozen=True, slots=True)
class _Write:
    """An UPDATE or DELETE cut into its texts."""

    target: str
    """The table as written, with its alias."""
    assignments: tuple[tuple[str, str], ...]
    predicate: str


def _cut(text: str, tokens: Sequence[Token]) -> _Write:
    words = [t.text.lower() if t.kind == "word" else t.text for t in tokens]
    deleting = words[:2] == ["delete", "from"]
    if not deleting and words[:1] != ["update"]:
        raise StatementRefused("Only UPDATE and DELETE are written here.")
    start = 2 if deleting else 1
    places: dict[str, int] = {}
    depth = 0
    for i, token in enumerate(tokens):
        if token.kind == "bracket":
            depth += 1 if token.text in "([{" else -1
        elif depth == 0 and token.kind == "word" and i >= start and words[i] in {*_ENDS, "set"}:
            places.setdefault(words[i], i)
    if places.keys() & {"from", "using", "returning"}:
        raise StatementRefused("FROM, USING and RETURNING are not accepted in UPDATE and DELETE.")
    where = places.get("where", len(tokens))
    head_end = places.get("set", where) if not deleting else where
    if not deleting and "set" not in places:
        raise SyntaxRefused("UPDATE needs SET.")
    assignments = () if deleting else _assignments(text, tokens[places["set"] + 1 : where])
    return _Write(_text(text, tokens[start:head_end]), assignments, _text(text, tokens[where + 1 :]))


def _text(text: str, tokens: Sequence[Token]) -> str:
    return text[tokens[0].start : tokens[-1].end] if tokens else ""


def _assignments(text: str, tokens: Sequence[Token]) -> tuple[tuple[str, str], ...]:
    groups: list[list[Token]] = [[]]
    depth = 0
    for token in tokens:
        if token.kind == "bracket":
            depth += 1 if token.text in "([{" else -1
        if depth == 0 and token.text == ",":
            groups.append([])
            continue
        groups[-1].append(token)
    pairs = []
    for group in groups:
        if len(group) < 3 or group[0].kind not in ("word", "quoted") or group[1].text != "=":
            raise StatementRefused("SET takes column = expression.")
        pairs.append((group[0].name, _text(text, group[2:])))
    return tuple(pairs)


class WriteGovernor:
    """Rewrites UPDATE and DELETE of one principal."""

    def __init__(
        self, parser: SecondParser, principal: Principal, catalog: PrincipalCatalog, rulebook: Rulebook
    ) -> None:
        self._parser = parser
        self._principal = principal
        self._catalog = catalog
        self._rulebook = rulebook

    def govern(self, text: str) -> Segments:
        """The governed statement as segments; the target stands as a bare `TableName`.

        Raises:
            Refusal: as the pipeline; also for masked columns and for columns that a filter reads.
        """
        check_role(self._principal)
        write = _cut(text, scan(text))
        target, head = self._probe("1", write.target, "")
        secured = secure(target, self._rulebook.policies, self._principal)
        rules = [
            p
            for p in self._rulebook.policies
            if isinstance(p, RowFilter) and p.table.key == target.name.key and binds(p, self._principal)
        ]
        self._check_targets(write, target, rules, frozenset(secured.masks))
        alias = self._alias(head)
        condition = row_condition(rules, target, self._principal, prefix=f"{alias}.")
        out: list[str | TableName] = ["UPDATE " if write.assignments else "DELETE FROM ", *_without_select(head)]
        for i, (column, expression) in enumerate(write.assignments):
            _, pieces = self._probe(expression, write.target, "", frozenset(secured.masks))
            out += [" SET " if i == 0 else ", ", f"{identifier(column)} = (", *_expression(pieces), ")"]
        predicate: Segments = ("TRUE",)
        if write.predicate:
            _, pieces = self._probe(write.predicate, write.target, "", frozenset(secured.masks))
            predicate = _expression(pieces)
        if condition:
            out += [f" WHERE CASE WHEN {condition} THEN (", *predicate, ") ELSE FALSE END"]
        elif write.predicate:
            out += [" WHERE ", *predicate]
        return tuple(out)

    def _probe(
        self, expression: str, target: str, tail: str, masked: frozenset[str] = frozenset()
    ) -> tuple[Table, Segments]:
        """`SELECT expression FROM target`, its sub-queries secured and the target left bare."""
        text = f"SELECT ({expression}) FROM {target}{tail}"
        tokens = scan(text)
        parse = SpelledOut(self._parser).parse(text)
        if parse.tree is None:
            raise SyntaxRefused("The statement does not parse.")
        source = source_of(text, tokens)
        survey = survey_statement(parse.tree)
        agree(plain_parameters(text, tokens), survey.places, source.characters)
        place = max(ref.at for ref in survey.tables)
        found = [resolve(ref, self._catalog, self._principal, None) for ref in survey.tables]
        check_calls(survey, frozenset())
        for column in survey.columns:
            if fold(column["column_names"][-1]) in masked:
                raise MaskedPredicate("A masked column may not be used in UPDATE or DELETE.")
        if survey.stars and masked:
            raise MaskedPredicate("A masked column may not be used in UPDATE or DELETE.")
        relations: list[Segments] = []
        table: Table | None = None
        for ref, item in zip(survey.tables, found, strict=True):
            if isinstance(item, View):
                raise StatementRefused("Views are not accepted in UPDATE and DELETE.")
            if ref.at == place:
                table = item
                relations.append((item.name,))
            else:
                relations.append(secure(item, self._rulebook.policies, self._principal).segments(EVERYTHING))
        if table is None:
            raise StatementRefused("UPDATE and DELETE name one table.")
        return table, Splice(source, survey, self._catalog.environment).segments(relations)

    def _check_targets(self, write: _Write, table: Table, rules: Sequence[RowFilter], masked: frozenset[str]) -> None:
        read = {fold(c) for rule in rules for c in bind_filter(rule.filter, table, self._principal.attribute).columns}
        for column, _ in write.assignments:
            if fold(column) in masked:
                raise MaskedPredicate("A masked column may not be set.")
            if fold(column) in read:
                raise PermissionRefused(
                    "This column decides who may see the row and may not be set.",
                    reason="SET of a column that a row filter reads",
                )

    @staticmethod
    def _alias(head: Segments) -> str:
        tail = head[-1]
        tokens = scan(tail) if isinstance(tail, str) else ()
        if not tokens or tokens[-1].kind not in ("word", "quoted"):
            raise StatementRefused("UPDATE and DELETE name one table, with a plain alias.")
        return identifier(tokens[-1].name)


def _without_select(pieces: Segments) -> Segments:
    """`<target> AS alias` of a probe that selects 1."""
    return pieces[1:]


def _expression(pieces: Segments) -> Segments:
    """The expression of a probe: what stands between `SELECT (` and `) FROM <target> ...`."""
    body = list(pieces[:-2])
    first, last = body[0], body[-1]
    if not isinstance(first, str) or not isinstance(last, str) or not last.endswith(") FROM "):
        raise StatementRefused("This form of UPDATE or DELETE is not accepted.")
    body[-1] = last.removesuffix(") FROM ")
    body[0] = str(body[0]).removeprefix("SELECT (")
    return tuple(piece for piece in body if piece)
