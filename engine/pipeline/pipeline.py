"""The conductor of the stages: text, principal, catalog and rulebook in; a Governed statement or a Refusal out."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from engine.catalog.view import PrincipalCatalog
from engine.pipeline import explain
from engine.pipeline.authorize import check_conditions, check_role, resolve
from engine.pipeline.classify import check_calls
from engine.pipeline.conjuncts import copies
from engine.pipeline.governed import Governed, Parameter, mint
from engine.pipeline.guard import EVERYTHING, Guards, guards_of
from engine.pipeline.headers import header_inserts
from engine.pipeline.minimum_group import group_inserts
from engine.pipeline.parameters import infer
from engine.pipeline.plan_facts import fails_by_plan
from engine.pipeline.predicates import check_predicates
from engine.pipeline.prover import Prover, columns_of
from engine.pipeline.relation import SecuredTable, secure
from engine.pipeline.result_checks import result_checks
from engine.pipeline.second_parser import Parse, SecondParser, Tree
from engine.pipeline.splice import Segments, Splice, source_of
from engine.pipeline.survey import Survey, TableRef, survey_statement
from engine.pipeline.text_gate import Token, scan
from engine.pipeline.translate import translate
from engine.pipeline.witness import agree
from governance.audit_record import Judged, PolicyVerdict
from governance.conditions import EXPLAIN, QUERY
from governance.errors import (
    ParsersDisagree,
    PermissionRefused,
    ReadOnly,
    Refusal,
    StatementRefused,
    SyntaxRefused,
    TableUnknown,
    TextRefused,
)
from governance.policies import MaskFunction, View
from governance.policy_versions import Drafted
from governance.principals import Principal
from governance.rulebook import Rulebook
from governance.tables import Table, TableName, fold

PLANS_MAX = 1024
VIEW_DEPTH_MAX = 8
TABLES_MAX = 256
STAGES = ("gate", "parse", "survey", "witness", "classify", "resolve", "secure", "guard", "splice", "verify")

_LEADS = frozenset(
    {"select", "with", "from", "values", "table", "(", "summarize", "describe", "desc", "pivot", "unpivot"}
    | {"pivot_wider", "pivot_longer"}
)
_WRITES = frozenset(
    {"INSERT", "UPDATE", "DELETE", "MERGE_INTO", "CREATE", "CREATE_FUNC", "DROP", "ALTER", "COPY", "COPY_DATABASE"}
    | {"EXPORT", "VACUUM", "ANALYZE"}
)


@dataclass(frozen=True, slots=True)
class _Plan:
    """What is the same each time for one text and one set of facts; conditions are judged each time."""

    segments: Segments
    kind: str
    tables: tuple[TableName, ...]
    parameters: tuple[Parameter, ...]
    secured: tuple[SecuredTable, ...]
    verdicts: tuple[PolicyVerdict, ...]
    masked_values: tuple[tuple[str, str], ...] = ()
    sizes_hidden: tuple[TableName, ...] = ()

    @property
    def actions(self) -> frozenset[str]:
        """What running it is, as conditions name it."""
        return EXPLAIN if self.kind == "explain" else QUERY


@dataclass(slots=True)
class _Context:
    principal: Principal
    catalog: PrincipalCatalog
    rulebook: Rulebook
    access: tuple[PolicyVerdict, ...] = ()
    plan: _Plan | None = None
    work: _Work | None = None

    def judged(self, conditions: tuple[PolicyVerdict, ...]) -> Judged:
        """What is known by now, `conditions` being the verdicts of those that were judged."""
        if self.plan is not None:
            tables, verdicts = self.plan.tables, self.plan.verdicts
        elif self.work is not None:
            tables, verdicts = tuple(self.work.named.values()), tuple(self.work.verdicts)
        else:
            tables, verdicts = (), ()
        return Judged(tuple(map(str, tables)), (*self.access, *verdicts, *conditions))


@dataclass(slots=True)
class _Work:
    """One statement on its way, views below it included."""

    context: _Context
    secured: dict[tuple[str, str], SecuredTable]
    verdicts: list[PolicyVerdict]
    named: dict[tuple[str, str], TableName] = field(default_factory=dict)
    """Tables its organization has, whether or not they may be read."""
    depth: int = 0
    fails_by_plan: bool = False


class Pipeline:
    """Governs statements. Pure but for its plan cache; `disagreements` counts what the two parsers saw differently."""

    def __init__(
        self,
        second_parser: SecondParser,
        *,
        clock: Callable[[], datetime] | None = None,
        timer: Callable[[], float] | None = None,
        plans_max: int = PLANS_MAX,
    ) -> None:
        """Set up an empty plan cache. `clock` judges time windows; `timer` (seconds), when given, times stages."""
        self._parser = second_parser
        self._clock = clock or (lambda: datetime.now(UTC))
        self._timer = timer
        self._plans: OrderedDict[tuple[object, ...], _Plan] = OrderedDict()
        self._plans_max = plans_max
        self._rulebook: Rulebook | None = None
        self._etag = ""
        self.disagreements = 0
        self.timings: dict[str, float] = {}
        """Seconds spent in each stage, first-seen statements only; empty without a timer."""

    def govern(
        self,
        text: str,
        principal: Principal,
        catalog: PrincipalCatalog,
        rulebook: Rulebook,
        *,
        actions: frozenset[str] = QUERY,
        drafted: Drafted | None = None,
    ) -> Governed:
        """One statement of `principal`, governed.

        `actions` are what he is about to do, as conditions name it; `drafted` is the draft that an EXPLAIN POLICY asks
        for, when there is one.

        Raises:
            Refusal: of any class of `governance.errors`; nothing may run. Its `judged` says what was decided by then.
        """
        context = _Context(principal, catalog, rulebook)
        try:
            return self._govern(text, context, actions, drafted)
        except Refusal as error:
            error.judged = context.judged(error.judged.verdicts)
            raise

    def _govern(self, text: str, context: _Context, actions: frozenset[str], drafted: Drafted | None) -> Governed:
        principal, rulebook = context.principal, context.rulebook
        try:
            access = context.access = check_role(principal)
            if explain.is_explain_policy(text):
                return self._explain_policy(text, principal, context.catalog, rulebook, actions, drafted)
            plan = context.plan = self._plan(text, context)
            conditions = check_conditions(
                rulebook.policies, principal, plan.tables, actions | plan.actions, self._clock()
            )
        except RecursionError:
            raise TextRefused("The statement is nested too deeply.") from None
        except ParsersDisagree:
            self.disagreements += 1
            raise
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            # A tree of a shape nobody foresaw: refused like everything that is not understood.
            raise StatementRefused(
                "This statement is not understood.",
                advice="Write it in a more common form.",
                reason=f"{type(error).__name__} while governing",
            ) from None
        return mint(
            segments=plan.segments,
            kind=plan.kind,
            tables=plan.tables,
            parameters=plan.parameters,
            columns_masked=tuple(c for s in plan.secured for c in s.columns_masked),
            verdicts=(*access, *plan.verdicts, *conditions),
            policy_version=rulebook.version,
            organization=principal.organization,
            masked_values=plan.masked_values,
            sizes_hidden=plan.sizes_hidden,
        )

    # ------------------------------------------------------------ plans

    def _plan(self, text: str, context: _Context) -> _Plan:
        if context.rulebook is not self._rulebook:
            self._rulebook, self._etag = context.rulebook, context.rulebook.etag
        principal = context.principal
        key = (
            text, self._etag, context.catalog.version, principal.user_id, principal.organization, principal.role,
            principal.scopes, principal.environment, principal.attributes, principal.agent, principal.allowed_tables,
            principal.operator, principal.dialect,
        )  # fmt: skip
        plan = self._plans.get(key)
        if plan is not None:
            self._plans.move_to_end(key)
            return plan
        plan = self._make(text, context)
        self._plans[key] = plan
        if len(self._plans) > self._plans_max:
            self._plans.popitem(last=False)
        return plan

    def _make(self, text: str, context: _Context) -> _Plan:
        if context.principal.dialect != "duckdb":
            text = translate(text, context.principal.dialect)
        work = context.work = _Work(context, {}, [])
        mark = self._timer() if self._timer else 0.0
        text, tokens = _one_statement(text)
        mark = self._lap("gate", mark)
        prefix, kind = "", ""
        lead = tokens[0].text.lower()
        if lead == "explain":
            prefix, text, tokens = explain.plain_explain(text, tokens, context.principal)
            kind, lead = "explain", tokens[0].text.lower()
        tree = self._parse(text, tokens, lead)
        mark = self._lap("parse", mark)
        kind = kind or {"summarize": "summarize", "describe": "describe", "desc": "describe"}.get(lead, "select")
        segments, survey, shown = self._statement(text, tokens, tree, work, mark)
        if kind == "explain":
            explain.check_plan(work.secured.values(), context.principal, context.rulebook)
        masks = [m for s in work.secured.values() for m in s.masks.values()]
        if any(m.function is MaskFunction.HMAC for m in masks):
            _check_key(context.rulebook, kind)
        if prefix:
            segments = (prefix, *segments)
        return _Plan(
            segments,
            kind,
            tuple(s.table.name for s in work.secured.values()),
            infer(tree, survey, shown),
            tuple(work.secured.values()),
            tuple(work.verdicts),
            result_checks(tree, work.secured) if kind == "select" else (),
            tuple(s.table.name for s in work.secured.values() if s.condition) if work.fails_by_plan else (),
        )

    def _parse(self, text: str, tokens: tuple[Token, ...], lead: str) -> Tree:
        parse = self._parser.parse(text)
        if parse.failed:
            at = parse.failed_at
            position = source_of(text, tokens).character(min(at, len(text.encode()))) + 1 if at is not None else None
            raise SyntaxRefused("The statement does not parse.", position=position)
        _check_kind(parse, lead)
        if parse.tree is None:
            raise StatementRefused(
                "This form of statement is not accepted.", advice="docs/sql.md lists those that are."
            )
        return parse.tree

    def _statement(
        self, text: str, tokens: tuple[Token, ...], tree: Tree, work: _Work, mark: float
    ) -> tuple[Segments, Survey, list[Table]]:
        """The governed pieces of one parsed statement, what it holds, and the tables as they are shown."""
        context = work.context
        source = source_of(text, tokens)
        survey = survey_statement(tree)
        if len(survey.tables) > TABLES_MAX:
            raise StatementRefused(f"A statement reads at most {TABLES_MAX} tables.")
        mark = self._lap("survey", mark)
        agree(text, survey.places, source.characters)
        mark = self._lap("witness", mark)
        found = [_resolve(ref, work, source.character(ref.at) + 1) for ref in survey.tables]
        mark = self._lap("resolve", mark)
        views = any(isinstance(f, View) for f in found)
        secured = [self._secure(f, work) if isinstance(f, Table) else None for f in found]
        shown = [s.shown for s in secured if s is not None]
        mark = self._lap("secure", mark)
        check_calls(survey, frozenset(fold(c.name) for t in shown for c in t.columns))
        check_predicates(survey, secured, views=views)
        inserts = group_inserts(source, survey, secured, context.rulebook.policies, context.principal)
        mark = self._lap("classify", mark)
        filtered = views or work.depth > 0 or any(s is not None and s.condition for s in secured)
        if filtered and survey.samples_by_vector:
            raise StatementRefused(
                "SYSTEM samples are not taken of tables with row filters.",
                advice="Write TABLESAMPLE bernoulli(10%) or reservoir(100 ROWS).",
            )
        everything = views or work.depth > 0
        guards = EVERYTHING if everything else (guards_of(survey, shown) if filtered else Guards())
        if filtered and not work.fails_by_plan:
            work.fails_by_plan = guards.barrier or fails_by_plan(tree, Prover(survey, columns_of(shown)))
        mark = self._lap("guard", mark)
        inner = copies(survey, secured, guards)
        relations = [
            table.segments(guards, copy) if table is not None else self._view(item, work)
            for item, table, copy in zip(found, secured, inner, strict=True)
        ]
        splice = Splice(source, survey, context.catalog.environment)
        headers: dict[int, str] = {}
        aliases: frozenset[str] = frozenset()
        if survey.names_by_text:
            headers, aliases = header_inserts(source, tree, splice.places, self._parser)
        segments = splice.segments(relations, {**headers, **inserts})
        mark = self._lap("splice", mark)
        splice.verify(self._parser, tree, headers, aliases)
        self._lap("verify", mark)
        return segments, survey, shown

    def _secure(self, table: Table, work: _Work) -> SecuredTable:
        found = work.secured.get(table.name.key)
        if found is None:
            work.verdicts.append(
                PolicyVerdict("organization_wall", "access", "allowed", "the schema is visible", str(table.name))
            )
            found = secure(table, work.context.rulebook.policies, work.context.principal)
            work.secured[table.name.key] = found
            work.verdicts.extend(found.verdicts)
        return found

    def _view(self, view: Table | View, work: _Work) -> Segments:
        """A view's own statement under the caller's policies, in parentheses."""
        if not isinstance(view, View) or work.depth >= VIEW_DEPTH_MAX:
            raise StatementRefused("Views are nested too deeply.")
        work.depth += 1
        try:
            text, tokens = _one_statement(view.sql)
            lead = tokens[0].text.lower()
            if lead not in ("select", "with", "from", "(", "values"):
                raise StatementRefused("A view is a SELECT.")
            tree = self._parse(text, tokens, lead)
            segments, survey, _ = self._statement(text, tokens, tree, work, 0.0)
            if survey.parameters:
                raise StatementRefused("A view takes no parameters.")
        except Refusal as error:
            raise PermissionRefused(
                f"The view {view.name} cannot be read.",
                advice="Ask an administrator to look at its tables and your permissions.",
                reason=f"view {view.name}: {error.reason}",
            ) from None
        finally:
            work.depth -= 1
        return ("(", *segments, ")")

    def _lap(self, stage: str, mark: float) -> float:
        if self._timer is None:
            return 0.0
        now = self._timer()
        if mark:
            self.timings[stage] = self.timings.get(stage, 0.0) + now - mark
        return now

    # ------------------------------------------------------------ EXPLAIN POLICY

    def _explain_policy(
        self,
        text: str,
        principal: Principal,
        catalog: PrincipalCatalog,
        rulebook: Rulebook,
        actions: frozenset[str],
        drafted: Drafted | None,
    ) -> Governed:
        request = explain.read(text, principal, rulebook, drafted)
        subject = request.subject or principal
        seen = catalog if request.subject is None else catalog.seen_by(subject)
        law = request.drafted.rulebook if request.drafted else rulebook
        context = _Context(subject, seen, law)
        verdicts: tuple[PolicyVerdict, ...] = ()
        plan: _Plan | None = None
        refusal: Refusal | None = None
        try:
            verdicts = check_role(subject)
            plan = self._plan(request.text, context)
            verdicts = (*verdicts, *plan.verdicts)
            conditions = check_conditions(law.policies, subject, plan.tables, actions | plan.actions, self._clock())
            verdicts = (*verdicts, *conditions)
        except Refusal as error:
            refusal = error
        table = explain.report(
            verdicts,
            plan.secured if plan else (),
            plan.segments if plan else (),
            refusal,
            manager=request.manager,
            everywhere=request.everywhere,
        )
        return mint(
            segments=(table,),
            kind="explain_policy",
            tables=(),
            parameters=(),
            columns_masked=(),
            verdicts=(PolicyVerdict("explain_policy", "access", "allowed", "about " + request.about),),
            policy_version=rulebook.version,
            organization=principal.organization,
        )


def _resolve(ref: TableRef, work: _Work, position: int) -> Table | View:
    """As `resolve`; what the organization has is noted for the record, another organization's tables never."""
    context = work.context
    try:
        found = resolve(ref, context.catalog, context.principal, position)
    except TableUnknown as error:
        if error.reason == "allowed_tables":
            name = TableName(ref.schema or "main", ref.name)
            work.named[name.key] = name
            work.verdicts.append(
                PolicyVerdict("allowed_tables", "access", "denied", "not a table of the key", str(name))
            )
        raise
    work.named[found.name.key] = found.name
    return found


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
    if lead.startswith("pivot") and "SELECT" in kinds and len(parse.kinds) > 1:
        raise StatementRefused("PIVOT needs its values.", advice="List them: PIVOT t ON column IN (...) USING ...")
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
