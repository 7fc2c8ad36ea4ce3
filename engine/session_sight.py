"""What a principal is shown of the catalog: role, scopes and conditions admit looking around as they admit reading.

A key with `query:read` sees what it could read. Without it, `tables:describe` shows tables with their columns,
`tables:list` tables, `schemas:read` schemas; a key with none of these is refused. A table that a condition denies is
not there.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from engine.pipeline.authorize import check_conditions, check_role
from governance.audit_record import PolicyVerdict
from governance.conditions import EXPORT, QUERY, judge, matches
from governance.policies import Condition, Policy
from governance.principals import Principal
from governance.scopes import Scope
from governance.tables import Table, TableName

_LOOKING = (Scope.QUERY_READ, Scope.TABLES_DESCRIBE, Scope.TABLES_LIST, Scope.SCHEMAS_READ)


@dataclass(frozen=True, slots=True)
class Sight:
    """What one principal is shown at one moment; `sight` makes it."""

    principal: Principal
    conditions: tuple[Condition, ...]
    now: datetime
    verdicts: tuple[PolicyVerdict, ...]
    """Why he may look at all."""

    @property
    def reads(self) -> bool:
        """Whether he may read data: only then views are shown, whose columns are learned by reading them."""
        return Scope.QUERY_READ in self.principal.scopes

    @property
    def circumstances(self) -> frozenset[str]:
        """The conditions that fit him now: while they are the same, so is what he is shown of one catalog."""
        return frozenset(c.id for c in self.conditions if matches(c, self.principal, self.now))

    def admits(self, table: TableName) -> bool:
        """Whether no condition denies reading `table`."""
        verdicts = judge(self.conditions, self.principal, table, QUERY, self.now)
        return all(verdict.effect != "denied" for verdict in verdicts)

    def shown(self, tables: Iterable[Table]) -> list[Table]:
        """Those of `tables` that he is told of, with the columns he is told of."""
        scopes = self.principal.scopes
        describes = self.reads or Scope.TABLES_DESCRIBE in scopes
        told = [t for t in tables if self.admits(t.name)] if describes or Scope.TABLES_LIST in scopes else []
        return told if describes else [Table(t.name, (), t.fault) for t in told]

    def schemas(self, tables: Iterable[Table]) -> list[str]:
        """Schemas of `tables` that he is told of though no table of theirs may be."""
        return sorted({t.name.schema for t in tables if self.admits(t.name)})


def sight(principal: Principal, policies: Iterable[Policy], now: datetime, *, export: bool = False) -> Sight:
    """What `principal` may see of the catalog at this moment; `export`: he is about to COPY it out.

    Raises:
        PermissionRefused: neither role nor scopes let him look, or a condition denies whatever he asks.
    """
    access = check_role(principal, _LOOKING)
    conditions = tuple(p for p in policies if isinstance(p, Condition))
    judged = check_conditions(conditions, principal, (), EXPORT if export else QUERY, now)
    return Sight(principal, conditions, now, (*access, *judged))
