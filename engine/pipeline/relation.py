"""The secured relation: what stands in place of every reference to a base table (claims W4.1 to W4.11).

    (SELECT <guard or mask of each column> FROM <base> AS hd WHERE <row filters> [AND <copies>] [OFFSET 0])

The row filters see true values; everything the client wrote sees the columns of this SELECT. Functions are named
through DuckDB's own schema and the column list comes from the catalog, never from `*`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property

from engine.pipeline.guard import Guards
from governance.audit_record import PolicyVerdict
from governance.errors import InvalidRequest, PermissionRefused
from governance.masks import binds, masks_of, shown
from governance.policies import Audience, Mask, MaskFunction, Policy, RowFilter
from governance.policy_text import bind_filter
from governance.principals import Principal
from governance.sql_literals import identifier
from governance.sql_types import holds_lists, is_nested, is_text, normal
from governance.tables import Column, Table, TableName, fold

BASE = "hd"
"""Alias of the base relation inside a secured one."""
INNER_KEY = "hatidata_mask_inner"
OUTER_KEY = "hatidata_mask_outer"
"""Variables (BLOB, 64 bytes) the worker sets before it locks: the environment's mask key XOR-ed with HMAC's pads."""

_HMAC_BLOCK_BYTES = 64


def hmac_pads(key: bytes) -> dict[str, bytes]:
    """The variables that `hmac` masks read, for a key of at most 64 bytes (RFC 2104); none without a key.

    Raises:
        ValueError: a longer key.
    """
    if len(key) > _HMAC_BLOCK_BYTES:
        raise ValueError("a mask key has at most 64 bytes")
    if not key:
        return {}
    block = key.ljust(_HMAC_BLOCK_BYTES, b"\0")
    return {INNER_KEY: bytes(b ^ 0x36 for b in block), OUTER_KEY: bytes(b ^ 0x5C for b in block)}


@dataclass(frozen=True)
class SecuredTable:
    """One table as one principal may read it."""

    table: Table
    shown: Table
    """With the types the principal is shown."""
    condition: str
    """SQL of the row filters over `hd`, or empty when every row may be seen."""
    masks: dict[str, Mask]
    """By folded column name."""
    verdicts: tuple[PolicyVerdict, ...]

    def segments(self, guards: Guards, conjuncts: str = "") -> tuple[str | TableName, ...]:
        """The SELECT in parentheses, as pieces around the base relation."""
        columns = ", ".join(
            self._column(column, name, guards) if self.condition and guards.touches(name) else plain
            for column, name, plain in self._plain
        )
        where = " AND ".join(part for part in (self.condition, conjuncts) if part)
        barrier = " OFFSET 0" if guards.barrier and self.condition else ""
        tail = f" AS {BASE} WHERE {where}{barrier})" if where else f" AS {BASE})"
        return (f"(SELECT {columns} FROM ", self.table.name, tail)

    @cached_property
    def _plain(self) -> tuple[tuple[Column, str, str], ...]:
        """Each column, its folded name, and its SQL where no guard is needed."""
        named = [(column, fold(column.name)) for column in self.table.columns]
        return tuple((column, name, self._column(column, name, Guards())) for column, name in named)

    def _column(self, column: Column, folded: str, guards: Guards) -> str:
        name = identifier(column.name)
        value = f"{BASE}.{name}"
        if self.condition and guards.covers(folded):
            value = f"CASE WHEN {self.condition} THEN {value} END"
        mask = self.masks.get(folded)
        nested = is_nested(column.type)
        if mask is not None:
            value = mask_sql(mask, column.type, value)
        if self.condition and mask is None and (holds_lists(column.type) or (nested and guards.seals(folded))):
            # A list keeps its elements beside those of hidden rows, over which CASE, COALESCE, [x] and casts then run.
            # An element taken out of a list is copied, with nothing beside it.
            value = f"system.main.list_extract(system.main.list_value({value}), 1)"
        elif self.condition and guards.seals(folded):
            # COALESCE fills a vector of its own; its second part is always NULL, which DuckDB does not see.
            value = f"COALESCE({value}, CASE WHEN {BASE}.{name} IS NULL THEN {value} END)"
        return f"{value} AS {name}"

    @cached_property
    def columns_masked(self) -> tuple[str, ...]:
        """`schema.table.column` of each masked column."""
        return tuple(f"{self.table.name}.{c.name}" for c in self.table.columns if fold(c.name) in self.masks)


def mask_sql(mask: Mask, type_: str, value: str) -> str:
    """The expression that shows `value` (SQL of type `type_`) under `mask`; total, NULL stays NULL."""
    function = mask.function
    text = value if is_text(normal(type_)) else f"CAST({value} AS VARCHAR)"
    if function is MaskFunction.NULL or (
        function is MaskFunction.FULL and not is_text(normal(type_)) and not mask.as_text
    ):
        return f"CASE WHEN FALSE THEN {value} END"  # NULL of the column's own type
    if function is MaskFunction.FULL:
        return f"CASE WHEN {value} IS NOT NULL THEN '***' END"
    if function is MaskFunction.PARTIAL:
        kept = max(0, int(mask.visible))
        longer = f"system.main.length({text}) > {kept}"
        shown_part = f'system.main."||"(\'***\', system.main."right"({text}, {kept}))' if kept else "'***'"
        return f"CASE WHEN {value} IS NULL THEN NULL WHEN {longer} THEN {shown_part} ELSE '***' END"
    if function is MaskFunction.HASH:
        return f"system.main.sha256({text})"
    inner = f"system.main.sha256(system.main.\"||\"(getvariable('{INNER_KEY}'), system.main.encode({text})))"
    return f"system.main.sha256(system.main.\"||\"(getvariable('{OUTER_KEY}'), system.main.unhex({inner})))"


def row_condition(rules: list[RowFilter], table: Table, principal: Principal, prefix: str = f"{BASE}.") -> str:
    """SQL of the rules together, over columns written with `prefix`; empty when there are none.

    Raises:
        AttributeMissing, PermissionRefused: as `secure`.
    """
    must = [r for r in rules if not r.permissive]
    may = [r for r in rules if r.permissive]

    def bound(rule: RowFilter) -> str:
        try:
            return bind_filter(rule.filter, table, principal.attribute, prefix=prefix).sql
        except InvalidRequest as error:
            raise PermissionRefused(
                f"A row filter on {table.name} cannot be applied.",
                advice="Ask an administrator to look at the table's row filters.",
                reason=f"row filter {rule.name}: {error.reason}",
            ) from None

    parts = [bound(rule) for rule in must]
    for group in _alternatives(may, principal):
        parts.append("(" + " OR ".join(bound(rule) for rule in group) + ")")
    return " AND ".join(f"({part})" for part in parts)


def _alternatives(rules: list[RowFilter], principal: Principal) -> list[list[RowFilter]]:
    """The lists of which one rule each must hold: an agent's own alternatives add nothing to what its person sees."""
    if principal.agent is None:
        return [rules] if rules else []
    person = replace(principal, agent=None)
    of_person = [rule for rule in rules if rule.applies_to.includes(person)]
    own = [rule for rule in rules if rule.applies_to.audience is not Audience.PEOPLE]
    return [group for group in ([of_person] if of_person == own else [of_person, own]) if group]


def secure(table: Table, policies: Iterable[Policy], principal: Principal) -> SecuredTable:
    """The table under every policy that binds `principal`.

    Raises:
        AttributeMissing: a row filter needs an attribute the principal does not carry.
        PermissionRefused: a policy that does not fit the table; nothing is guessed.
    """
    verdicts: list[PolicyVerdict] = []
    filters: list[RowFilter] = []
    name = str(table.name)
    mine = [p for p in policies if isinstance(p, RowFilter | Mask) and p.table.key == table.name.key]
    masks = masks_of(mine, table, principal)
    for rule in mine:
        kind = "row_filter" if isinstance(rule, RowFilter) else "mask"
        column = rule.column if isinstance(rule, Mask) else ""
        if column and table.column(column) is None:
            raise PermissionRefused(
                f"A mask on {table.name} cannot be applied.",
                advice="Ask an administrator to look at the table's masks.",
                reason=f"mask {rule.name}: the table has no column {column!r}",
            )
        if not rule.applies_to.includes(principal):
            continue
        if not binds(rule, principal):
            reason = f"role {principal.role.value} is exempt"
            verdicts.append(PolicyVerdict(rule.name, kind, "exempt", reason, name, column))
            continue
        reason = "rows filtered" if isinstance(rule, RowFilter) else f"masked ({rule.function.value})"
        if isinstance(rule, RowFilter):
            filters.append(rule)
        elif masks[fold(column)].id != rule.id:
            reason = "a stricter mask holds"
        verdicts.append(PolicyVerdict(rule.name, kind, "applied", reason, name, column))
    return SecuredTable(
        table, shown(table, mine, principal), row_condition(filters, table, principal), masks, tuple(verdicts)
    )
