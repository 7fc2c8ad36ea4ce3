"""The conductor: text, principal, catalog and rulebook in; a Governed statement or a Refusal out."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, datetime

from engine.catalog.view import PrincipalCatalog
from engine.pipeline import explain
from engine.pipeline.authorize import check_conditions, check_role
from engine.pipeline.governed import Governed, mint
from engine.pipeline.plan import Asking, Facts, Plan
from engine.pipeline.planner import Planner
from engine.pipeline.second_parser import SecondParser
from governance.audit_record import PolicyVerdict
from governance.conditions import QUERY
from governance.errors import Refusal, StatementRefused, TextRefused
from governance.policy_versions import Drafted
from governance.principals import Principal
from governance.rulebook import Rulebook

PLANS_MAX = 1024


class Pipeline:
    """Governs statements. Pure but for the plans it keeps; conditions are judged each time."""

    def __init__(
        self,
        second_parser: SecondParser,
        *,
        clock: Callable[[], datetime] | None = None,
        plans_max: int = PLANS_MAX,
    ) -> None:
        """Set up an empty plan cache. `clock` judges time windows."""
        self._planner = Planner(second_parser)
        self._clock = clock or (lambda: datetime.now(UTC))
        self._plans: OrderedDict[tuple[str, Facts], Plan] = OrderedDict()
        self._plans_max = plans_max

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
        asking = Asking(principal, catalog, rulebook)
        try:
            return self._govern(text, asking, actions, drafted)
        except Refusal as error:
            error.judged = asking.judged(error.judged.verdicts)
            raise

    def _govern(self, text: str, asking: Asking, actions: frozenset[str], drafted: Drafted | None) -> Governed:
        principal, rulebook = asking.principal, asking.rulebook
        try:
            access = asking.access = check_role(principal)
            if explain.is_explain_policy(text):
                return self._explain_policy(text, principal, asking.catalog, rulebook, actions, drafted)
            plan = asking.plan = self._plan(text, asking)
            conditions = check_conditions(
                rulebook.policies, principal, plan.tables + plan.views, actions | plan.actions, self._clock()
            )
        except RecursionError:
            raise TextRefused("The statement is nested too deeply.") from None
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
            columns_masked=plan.columns_masked,
            verdicts=(*access, *plan.verdicts, *conditions),
            policy_version=rulebook.version,
            organization=principal.organization,
            masked_values=plan.masked_values,
            filtered=plan.filtered,
            sizes_hidden=plan.sizes_hidden,
            shapes=plan.shapes,
        )

    def _plan(self, text: str, asking: Asking) -> Plan:
        facts = asking.facts
        plan = self._plans.get((text, facts))
        if plan is not None:
            self._plans.move_to_end((text, facts))
            return plan
        plan = self._plans[text, facts] = self._planner.plan(text, asking, facts)
        if len(self._plans) > self._plans_max:
            self._plans.popitem(last=False)
        return plan

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
        asking = Asking(subject, seen, law)
        verdicts: tuple[PolicyVerdict, ...] = ()
        plan: Plan | None = None
        refusal: Refusal | None = None
        try:
            verdicts = check_role(subject)
            plan = self._plan(request.text, asking)
            verdicts = (*verdicts, *plan.verdicts)
            named = plan.tables + plan.views
            conditions = check_conditions(law.policies, subject, named, actions | plan.actions, self._clock())
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
