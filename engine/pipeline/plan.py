"""What governing makes of a text: the plan that is kept, and who asks under which law."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

from engine.catalog.view import PrincipalCatalog
from engine.pipeline.governed import Parameter
from engine.pipeline.relation import SecuredTable
from engine.pipeline.splice import Segments
from governance.audit_record import Judged, PolicyVerdict
from governance.conditions import EXPLAIN, QUERY
from governance.principals import Principal
from governance.rulebook import Rulebook
from governance.tables import Column, TableName

Facts = tuple[str, str, Principal]
"""What a plan follows from besides the text: the law's and the catalog's version, and who asks."""


@dataclass(frozen=True)
class Plan:
    """What is the same each time for one text and one set of facts; conditions are judged each time."""

    segments: Segments
    kind: str
    tables: tuple[TableName, ...]
    parameters: tuple[Parameter, ...]
    secured: tuple[SecuredTable, ...]
    verdicts: tuple[PolicyVerdict, ...]
    masked_values: tuple[tuple[str, str], ...] = ()
    filtered: tuple[TableName, ...] = ()
    sizes_hidden: tuple[TableName, ...] = ()
    views: tuple[TableName, ...] = ()
    """Those it reads its tables through; conditions may speak of them."""

    @cached_property
    def columns_masked(self) -> tuple[str, ...]:
        """`schema.table.column` of each masked column of the tables it reads."""
        return tuple(column for table in self.secured for column in table.columns_masked)

    @cached_property
    def shapes(self) -> tuple[tuple[Column, ...], ...]:
        """The columns of each of the tables it reads, as stored."""
        return tuple(table.table.columns for table in self.secured)

    @property
    def actions(self) -> frozenset[str]:
        """What running it is, as conditions name it."""
        return EXPLAIN if self.kind == "explain" else QUERY


@dataclass(slots=True)
class Asking:
    """Who asks for one statement, under which law; and what was decided so far, for the record of a refusal."""

    principal: Principal
    catalog: PrincipalCatalog
    rulebook: Rulebook
    access: tuple[PolicyVerdict, ...] = ()
    verdicts: list[PolicyVerdict] = field(default_factory=list)
    """Of the tables and policies met while planning."""
    named: dict[tuple[str, str], TableName] = field(default_factory=dict)
    """Tables its organization has, whether or not they may be read."""
    plan: Plan | None = None

    @property
    def facts(self) -> Facts:
        """See `Facts`."""
        return self.rulebook.etag, self.catalog.version, self.principal

    def judged(self, conditions: tuple[PolicyVerdict, ...]) -> Judged:
        """What is known by now, `conditions` being the verdicts of those that were judged."""
        tables = self.plan.tables if self.plan else tuple(self.named.values())
        verdicts = self.plan.verdicts if self.plan else tuple(self.verdicts)
        return Judged(tuple(map(str, tables)), (*self.access, *verdicts, *conditions))
