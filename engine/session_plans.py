"""What a statement's text comes to under the law in force: a plan, or a refusal that is audited before it is told."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace

from engine import session_commands
from engine.pipeline.pivot_values import PivotNeedsValues
from engine.refusals import Report, SessionRefused
from engine.session_command_types import Command, CopyOut, Declare, End, Savepoint
from engine.session_parameters import DIALECT
from engine.session_pivot import found_values
from engine.session_ports import CatalogSession
from engine.session_run import Run, Source
from engine.session_state import TEXT_OID, Plan, SessionEnded, SessionState
from engine.wire import sqlstate as s
from governance.conditions import EXPORT, QUERY, turns_with_time
from governance.errors import AuthenticationFailed, Refusal, SyntaxRefused
from governance.rulebook import Rulebook

_ENDED = Report(
    "FATAL",
    s.ADMIN_SHUTDOWN,
    "terminating connection: its key or user is no longer valid",
    "Log in with a valid key.",
    code="credential_ended",
)
_ROW_LOCK = re.compile(
    r"\bfor\s+(?:no\s+key\s+update|update|key\s+share|share)(?:\s+of\s+[\w.,\"\s]+?)?"
    r"(?:\s+nowait|\s+skip\s+locked)?[\s;]*\Z",
    re.IGNORECASE,
)
_KNOWN_MAX = 32
_KNOWN_CHARS_MAX = 1_000
"""Statements a session sends again and again are short; what an idle session holds must stay small."""


class Plans:
    """The plans of one session's statements."""

    def __init__(self, state: SessionState) -> None:
        self.state = state
        self._turning: tuple[Rulebook | None, bool] = (None, False)
        self._known: OrderedDict[tuple[str, str], Plan] = OrderedDict()
        """Plans of statements sent before, by text and dialect: like prepared ones, good while `holds` says so."""

    def recheck(self) -> None:
        """The identity must still hold under the rulebook in force.

        Raises:
            SessionEnded: it does not.
            RulebookUnavailable: nothing runs now.
        """
        state = self.state
        try:
            state.identity = state.desk.authenticator.recheck(state.identity)
        except AuthenticationFailed:
            raise SessionEnded(_ENDED) from None

    async def judge(self, text: str, oids: Sequence[int] = (), dialect: str = "") -> Plan:
        """One statement, as a plan; `dialect` is the one it was first read in, when it is judged again.

        Raises:
            Refusal: it is refused; not audited yet.
            SessionEnded: the identity no longer holds.
        """
        if not oids and self.state.transaction != "E":
            known = self._known.get((text, dialect or self.state.settings.get(DIALECT)))
            if known is not None and self.holds(known):
                return known
        command = session_commands.parse(text)
        if self.state.transaction == "E" and not ends_transaction(command):
            raise in_failed_transaction()
        if isinstance(command, Declare) and (oids or "$" in command.query):
            query = await self.judge(command.query, oids, dialect)
            return Plan(text, command=command, parameter_oids=query.parameter_oids)
        if command is not None and not isinstance(command, CopyOut):
            return Plan(text, command=command)
        self.recheck()
        copy = command if isinstance(command, CopyOut) else None
        version = self.state.version
        try:
            source = await self.source(copy.query if copy else text, oids, dialect, export=copy is not None)
        except SyntaxRefused:
            if _ROW_LOCK.search(text):
                raise SessionRefused(
                    s.FEATURE_NOT_SUPPORTED,
                    "Row locks (FOR UPDATE, FOR SHARE) are not supported.",
                    advice="Tables are read-only; leave the clause out.",
                ) from None
            raise
        if source.governed is not None:
            inferred = [parameter.type for parameter in source.governed.parameters]
            types = [self.state.desk.parameter_oid(kind) for kind in inferred]
        elif source.catalog is not None:
            types = list(source.catalog.parameter_oids)
        else:
            types = []
        count = max(len(types), len(oids))
        types += [0] * (count - len(types))
        given = [*oids, *([0] * (count - len(oids)))]
        parameters = tuple(mine or theirs or TEXT_OID for mine, theirs in zip(given, types, strict=True))
        plan = Plan(text, None, replace(source, text=text, copy=copy), parameters, version)
        governed = source.governed
        if (
            copy is None
            and source.text == text
            and governed is not None
            and governed.kind == "select"
            and not parameters
        ):
            self._know(plan, source.dialect)  # not a PIVOT whose values were found: it asks again
        return plan

    def _know(self, plan: Plan, dialect: str) -> None:
        if len(plan.text) <= _KNOWN_CHARS_MAX:
            self._known[plan.text, dialect] = plan
            if len(self._known) > _KNOWN_MAX:
                self._known.popitem(last=False)

    async def source(self, text: str, oids: Sequence[int], dialect: str, *, export: bool) -> Source:
        """A query's source of rows: the catalog, or a governed statement."""
        state, desk = self.state, self.state.desk
        identity = state.identity
        view = desk.view(identity.principal, identity.rulebook)
        if desk.catalog.is_catalog_query(text):
            return Source(text, None, desk.catalog.plan(text, oids, view, self._session, export=export))
        dialect = dialect or state.settings.get(DIALECT)
        principal = identity.principal
        if dialect != principal.dialect:
            principal = replace(principal, dialect=dialect)
        actions = EXPORT if export else QUERY

        async def governed(text: str) -> Source:
            found = await desk.pipeline.govern(
                text, principal, view, identity.rulebook, actions=actions, deadline_s=self.timeout_s
            )
            return Source(text, found, None, dialect=dialect)

        try:
            return await governed(text)
        except PivotNeedsValues as needs:
            pivot = needs
        try:
            asked = [await self._values(await governed(question)) for question in pivot.questions]
            return await governed(pivot.answered(asked))
        except Refusal as error:
            error.position = None  # it counts in a text that the client did not write
            raise

    def _session(self) -> CatalogSession:
        """What catalog functions tell of this session at this moment."""
        state, principal = self.state, self.state.identity.principal
        return CatalogSession(
            principal.email,
            principal.organization,
            state.desk.environment,
            state.process_id,
            principal.source_ip,
            state.settings.pairs(),
            tuple(state.peers.seen_by(state.facts)),
        )

    async def _values(self, source: Source) -> tuple[str, ...]:
        return await found_values(self.state, source, self.timeout_s)

    async def plan(self, text: str, oids: Sequence[int] = (), dialect: str = "") -> Plan:
        """As `judge`; a refusal is audited before it is told.

        Raises:
            Refusal: it is refused.
        """
        try:
            return await self.judge(text, oids, dialect)
        except Refusal as error:
            await self.audit_refused(text, error)
            raise

    async def audit_refused(self, text: str, error: Refusal) -> None:
        """Both halves of a refused statement's record.

        Raises:
            AuditUnavailable: the record cannot be kept.
        """
        state = self.state
        await Run(state.desk, state.facts, state.identity, Source(text, None, None)).finish(error)

    def holds(self, plan: Plan) -> bool:
        """Whether what `plan` was judged under is in force still.

        Raises:
            SessionEnded: the identity no longer holds.
            RulebookUnavailable: nothing runs now.
        """
        self.recheck()
        rulebook, lake = self.state.version
        return plan.version[0] is rulebook and plan.version[1] == lake and not self._turns(self.state.identity.rulebook)

    async def current(self, plan: Plan) -> Plan:
        """`plan`, judged anew when it no longer holds.

        Raises:
            Refusal: it is refused now.
            SessionEnded: the identity no longer holds.
        """
        if self.holds(plan):
            return plan
        return await self.plan(plan.text, plan.parameter_oids, plan.source.dialect if plan.source else "")

    def _turns(self, rulebook: Rulebook) -> bool:
        """Whether a statement must be judged anew whenever it starts, for the time of day decides."""
        if self._turning[0] is not rulebook:
            self._turning = (rulebook, turns_with_time(rulebook.policies))
        return self._turning[1]

    @property
    def timeout_s(self) -> float:
        """The session's statement timeout, never above the environment's."""
        ceiling = self.state.identity.rulebook.limits.statement_timeout_s
        own = self.state.settings.duration_s("statement_timeout")
        return min(own, ceiling) if own else ceiling


def ends_transaction(command: Command | None) -> bool:
    """Whether the command may come in a failed transaction."""
    return isinstance(command, End) or (isinstance(command, Savepoint) and command.action == "rollback")


def in_failed_transaction() -> SessionRefused:
    """25P02."""
    return SessionRefused(
        s.IN_FAILED_TRANSACTION,
        "current transaction is aborted, commands ignored until end of transaction block",
    )
