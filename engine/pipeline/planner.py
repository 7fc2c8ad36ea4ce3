"""The stages of governing, from one text to its plan."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from engine.pipeline import explain
from engine.pipeline.authorize import resolve
from engine.pipeline.classify import check_calls
from engine.pipeline.column_calls import SpelledOut, may_call_on_columns
from engine.pipeline.conjuncts import copies
from engine.pipeline.guard import EVERYTHING, Guards, guards_of
from engine.pipeline.headers import header_inserts
from engine.pipeline.minimum_group import group_inserts
from engine.pipeline.parameters import infer
from engine.pipeline.pivot_values import needs_values, values_wanted
from engine.pipeline.plan import Asking, Facts, Plan
from engine.pipeline.plan_facts import fails_by_plan
from engine.pipeline.postgres_spellings import respelled
from engine.pipeline.predicates import Names, check_predicates
from engine.pipeline.prover import Prover, columns_of
from engine.pipeline.relation import SecuredTable, secure
from engine.pipeline.result_checks import result_checks
from engine.pipeline.second_parser import Parse, SecondParser, Tree
from engine.pipeline.splice import Segments, Source, Splice, source_of
from engine.pipeline.survey import Survey, TableRef
from engine.pipeline.surveyor import survey_statement, too_deep
from engine.pipeline.text_gate import Token, scan
from engine.pipeline.translate import translate
from engine.pipeline.translated import check_translated
from engine.pipeline.witness import agree, plain_parameters
from governance.audit_record import PolicyVerdict
from governance.errors import PermissionRefused, ReadOnly, Refusal, StatementRefused, SyntaxRefused, TableUnknown
from governance.masks import binds
from governance.policies import Condition, MaskFunction, View
from governance.rulebook import Rulebook
from governance.sql_literals import identifier
from governance.tables import Table, TableName, fold

VIEW_DEPTH_MAX = 8
TABLES_MAX = 256
SECURED_MAX = 4096
"""Secured tables that are kept: a principal meets the same ones in one statement after the other."""

_LEADS = frozenset(
    {"select", "with", "from", "values", "table", "(", "summarize", "describe", "desc", "pivot", "unpivot"}
    | {"pivot_wider", "pivot_longer"}
)
_WRITES = frozenset(
    {"INSERT", "UPDATE", "DELETE", "MERGE_INTO", "CREATE", "CREATE_FUNC", "DROP", "ALTER", "COPY", "COPY_DATABASE"}
    | {"EXPORT", "VACUUM", "ANALYZE"}
)


@dataclass(slots=True)
class _Work:
    """One statement on its way, views below it included."""

    asking: Asking
    facts: Facts
    secured: dict[tuple[str, str], SecuredTable] = field(default_factory=dict)
    views: dict[tuple[str, str], TableName] = field(default_factory=dict)
    depth: int = 0
    fails_by_plan: bool = False


@dataclass(frozen=True, slots=True)
class _Governed:
    """One parsed statement, governed."""

    segments: Segments
    survey: Survey
    shown: list[Table]
    """Its tables as they are shown."""
    denied: Names
    """Which of its columns may not stand in a predicate."""


class Planner:
    """Makes plans. Pure but for the secured tables it keeps."""

    def __init__(self, parser: SecondParser) -> None:
        """Plan with DuckDB's own `parser`."""
        self._parser = parser
        self._secured: OrderedDict[tuple[Facts, tuple[str, str]], SecuredTable] = OrderedDict()

    def plan(self, text: str, asking: Asking, facts: Facts) -> Plan:
        """The plan of one text; what was decided on the way is noted in `asking`.

        Raises:
            Refusal: of any class of `governance.errors`.
        """
        dialect = asking.principal.dialect
        if dialect != "duckdb":
            return self._plan(translate(text, dialect), asking, facts)
        spelled = respelled(text)
        try:
            return self._plan(spelled, asking, facts)
        except Refusal as error:
            if len(spelled) != len(text):
                error.position = None  # it counts in a text that the client did not write
            raise

    def _plan(self, text: str, asking: Asking, facts: Facts) -> Plan:
        work = _Work(asking, facts)
        text, tokens = _one_statement(text)
        prefix, kind = "", ""
        lead = tokens[0].text.lower()
        if lead == "explain":
            prefix, text, tokens = explain.plain_explain(text, tokens, asking.principal)
            kind, lead = "explain", tokens[0].text.lower()
        tree = self._parse(text, tokens, lead)
        kind = kind or {"summarize": "summarize", "describe": "describe", "desc": "describe"}.get(lead, "select")
        governed = self._statement(text, tokens, tree, work)
        segments = governed.segments
        if kind == "explain":
            explain.check_plan(work.secured.values(), asking.principal, asking.rulebook)
        masks = [m for s in work.secured.values() for m in s.masks.values()]
        if any(m.function is MaskFunction.HMAC for m in masks):
            _check_key(asking.rulebook, kind)
        if prefix:
            segments = (prefix, *segments)
        filtered = tuple(s.table.name for s in work.secured.values() if s.condition)
        return Plan(
            segments,
            kind,
            tuple(s.table.name for s in work.secured.values()),
            infer(tree, governed.survey, governed.shown),
            tuple(work.secured.values()),
            tuple(asking.verdicts),
            result_checks(tree, work.secured) if kind == "select" else (),
            filtered,
            filtered if work.fails_by_plan else (),
            tuple(work.views.values()),
        )

    def _parse(self, text: str, tokens: tuple[Token, ...], lead: str) -> Tree:
        parse = self._reader(tokens).parse(text)
        if parse.deep:
            raise too_deep()
        if parse.failed:
            at = parse.failed_at
            position = min(at, len(text)) + 1 if at is not None else None
            raise SyntaxRefused("The statement does not parse.", position=position)
        if needs_values(parse) and lead in _LEADS:
            raise values_wanted(text, tokens, parse)
        _check_kind(parse, lead)
        if parse.tree is None:
            raise StatementRefused(
                "This form of statement is not accepted.", advice="docs/sql.md lists those that are."
            )
        return parse.tree

    def _reader(self, tokens: tuple[Token, ...]) -> SecondParser:
        return SpelledOut(self._parser) if may_call_on_columns(tokens) else self._parser

    def _statement(self, text: str, tokens: tuple[Token, ...], tree: Tree, work: _Work) -> _Governed:
        asking = work.asking
        source = source_of(text, tokens)
        with _in_characters(source):
            survey = survey_statement(tree)
        if len(survey.tables) > TABLES_MAX:
            raise StatementRefused(f"A statement reads at most {TABLES_MAX} tables.")
        agree(plain_parameters(text, tokens), survey.places, source.characters)
        found = [_resolve(ref, work, source.character(ref.at) + 1) for ref in survey.tables]
        secured = [self._secure(f, work) if isinstance(f, Table) else None for f in found]
        viewed = {i: self._view(f, work) for i, f in enumerate(found) if isinstance(f, View)}
        shown = [s.shown for s in secured if s is not None]
        with _in_characters(source):
            check_calls(survey, frozenset(fold(c.name) for t in shown for c in t.columns))
            denied = check_predicates(survey, secured, {i: names for i, (_, names) in viewed.items()})
        if asking.principal.dialect != "duckdb" and not work.depth:
            check_translated(survey, shown, asking.principal.dialect)
        inserts = group_inserts(source, survey, secured, asking.rulebook.policies, asking.principal)
        filtered = bool(viewed) or work.depth > 0 or any(s is not None and s.condition for s in secured)
        if filtered and survey.samples_by_vector:
            raise StatementRefused(
                "SYSTEM samples and repeatable reservoirs are not taken of tables with row filters.",
                advice="Write TABLESAMPLE bernoulli(10%), repeatable too, or reservoir(100 ROWS).",
            )
        guards = EVERYTHING if viewed or work.depth > 0 else (guards_of(survey, shown) if filtered else Guards())
        if filtered and not work.fails_by_plan:
            work.fails_by_plan = guards.barrier or fails_by_plan(tree, Prover(survey, columns_of(shown)))
        inner = copies(survey, secured, guards)
        relations = [
            table.segments(guards, copy) if table is not None else viewed[i][0]
            for i, (table, copy) in enumerate(zip(secured, inner, strict=True))
        ]
        splice = Splice(source, survey, asking.catalog.environment)
        headers: dict[int, str] = {}
        aliases: frozenset[str] = frozenset()
        if survey.names_by_text:
            as_parsed = self._parser.parse(text).tree if may_call_on_columns(tokens) else tree
            headers, aliases = header_inserts(source, as_parsed or tree, splice.places, self._parser)
        segments = splice.segments(relations, {**headers, **inserts})
        if inserts and work.depth:  # a view over a minimum group: what its reader asks stays outside
            segments = ("FROM (", *segments, ") OFFSET 0")
        splice.verify(self._reader(tokens), tree, headers, aliases)
        return _Governed(segments, survey, shown, denied)

    def _secure(self, table: Table, work: _Work) -> SecuredTable:
        found = work.secured.get(table.name.key)
        if found is None:
            found = work.secured[table.name.key] = self._secured_table(table, work)
            wall = PolicyVerdict("organization_wall", "access", "allowed", "the schema is visible", str(table.name))
            work.asking.verdicts += (wall, *found.verdicts)
        return found

    def _secured_table(self, table: Table, work: _Work) -> SecuredTable:
        key = work.facts, table.name.key
        found = self._secured.get(key)
        if found is None:
            found = self._secured[key] = secure(table, work.asking.rulebook.policies, work.asking.principal)
            if len(self._secured) > SECURED_MAX:
                self._secured.popitem(last=False)
        else:
            self._secured.move_to_end(key)
        return found

    def _view(self, view: View, work: _Work) -> tuple[Segments, Names]:
        """A view's own statement under the caller's policies, in brackets; and what predicates may not read of it."""
        if work.depth >= VIEW_DEPTH_MAX:
            raise StatementRefused("Views are nested too deeply.")
        work.depth += 1
        work.views[view.name.key] = view.name
        try:
            _check_no_rule(view, work.asking)
            text, tokens = _one_statement(view.sql)
            lead = tokens[0].text.lower()
            if lead not in ("select", "with", "from", "(", "values"):
                raise StatementRefused("A view is a SELECT.")
            tree = self._parse(text, tokens, lead)
            governed = self._statement(text, tokens, tree, work)
            if governed.survey.parameters:
                raise StatementRefused("A view takes no parameters.")
            if not self._parser.binds(_over_nothing(governed.segments, work)):
                raise StatementRefused("A view reads its own tables only.", reason="its text does not bind by itself")
        except Refusal as error:
            raise PermissionRefused(
                f"The view {view.name} cannot be read.",
                advice="Ask an administrator to look at its tables and your permissions.",
                reason=f"view {view.name}: {error.reason}",
            ) from None
        finally:
            work.depth -= 1
        return ("(", *governed.segments, ")"), governed.denied


def _resolve(ref: TableRef, work: _Work, position: int) -> Table | View:
    """As `resolve`; what the organization has is noted for the record, another organization's tables never."""
    asking = work.asking
    try:
        found = resolve(ref, asking.catalog, asking.principal, position)
    except TableUnknown as error:
        if error.reason == "allowed_tables":
            name = TableName(ref.schema or "main", ref.name)
            asking.named[name.key] = name
            asking.verdicts.append(
                PolicyVerdict("allowed_tables", "access", "denied", "not a table of the key", str(name))
            )
        raise
    asking.named[found.name.key] = found.name
    return found


def _check_no_rule(view: View, asking: Asking) -> None:
    """Filters, masks and group sizes hold on tables. One that names a view would hold nowhere.

    Raises:
        PermissionRefused: one that binds the principal does.
    """
    for rule in asking.rulebook.policies:
        if not isinstance(rule, Condition) and rule.table.key == view.name.key and binds(rule, asking.principal):
            raise PermissionRefused("A rule names a view.", reason=f"rule {rule.name} names a view, not its tables")


@contextmanager
def _in_characters(source: Source) -> Iterator[None]:
    """Count the position of a refusal in characters: a node's place is in bytes."""
    try:
        yield
    except Refusal as error:
        if error.position is not None:
            error.position = source.character(error.position - 1) + 1
        raise


def _over_nothing(segments: Segments, work: _Work) -> str:
    """A governed SELECT over relations with the tables' columns and no rows.

    DuckDB looks for a name that a view's tables do not have among what stands around the view, which the client wrote.
    """

    def relation(name: TableName) -> str:
        columns = work.secured[name.key].table.columns
        return f"(SELECT {', '.join(f'CAST(NULL AS {c.type}) AS {identifier(c.name)}' for c in columns)})"

    return "".join(part if isinstance(part, str) else relation(part) for part in segments)


def _one_statement(text: str) -> tuple[str, tuple[Token, ...]]:
    """The text without trailing semicolons, and its tokens; exactly one statement."""
    tokens = scan(text)
    end = len(tokens)
    while end and tokens[end - 1].kind == "end":
        end -= 1
    tokens = tokens[:end]
    if not tokens:
        raise SyntaxRefused("There is no statement.")
    extra = next((t for t in tokens if t.kind == "end"), None)
    if extra is not None:
        raise StatementRefused("One statement at a time is accepted here.", position=extra.start + 1)
    return text[: tokens[-1].end], tokens


def _check_kind(parse: Parse, lead: str) -> None:
    kinds = set(parse.kinds)
    if kinds & _WRITES:
        raise ReadOnly(
            "Tables are read-only here: this statement would write.", advice="Write new Parquet files to the store."
        )
    if len(parse.kinds) != 1 or kinds != {"SELECT"} or lead not in _LEADS:
        raise StatementRefused(
            "This kind of statement is not accepted.", advice="Queries (SELECT and its forms) are; see docs/sql.md."
        )


def _check_key(rulebook: Rulebook, kind: str) -> None:
    if not rulebook.mask_key_id:
        raise PermissionRefused(
            "A mask on this table needs the environment's mask key, which is not set up.",
            advice="Ask an administrator.",
            reason="hmac mask without a mask key",
        )
    if kind == "explain":
        raise PermissionRefused("EXPLAIN is not available for tables with hmac masks.", advice="Use EXPLAIN POLICY.")
