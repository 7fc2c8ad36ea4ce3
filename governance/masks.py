"""Which mask holds for whom, which is strictest, and what type a masked column shows (claims W4.1 to W4.6)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from governance.policies import Mask, MaskFunction, MinimumGroup, Policy, RowFilter
from governance.principals import Principal
from governance.sql_types import TEXT, is_text, normal
from governance.tables import Table, fold

_STRICTNESS = {
    MaskFunction.NULL: 0,
    MaskFunction.FULL: 1,
    MaskFunction.HMAC: 2,
    MaskFunction.HASH: 3,
    MaskFunction.PARTIAL: 4,
}


def binds(rule: RowFilter | Mask | MinimumGroup, principal: Principal) -> bool:
    """Whether the rule speaks of this principal and he is not exempt from it."""
    return rule.applies_to.includes(principal) and principal.role not in rule.exempt_roles


def strictness(mask: Mask) -> tuple[int, int, bool]:
    """Sorts masks, strictest first: null, full, hmac, hash, partial with fewer visible characters."""
    return (_STRICTNESS[mask.function], mask.visible if mask.function is MaskFunction.PARTIAL else 0, mask.as_text)


def masks_of(policies: Iterable[Policy], table: Table, principal: Principal) -> dict[str, Mask]:
    """The one mask that holds on each masked column, by folded column name; the strictest wins.

    `deny_predicate` of any binding rule on the column carries over to the one that wins.
    """
    chosen: dict[str, Mask] = {}
    for rule in policies:
        if not isinstance(rule, Mask) or rule.table.key != table.name.key or not binds(rule, principal):
            continue
        name = fold(rule.column)
        held = chosen.get(name)
        if held is None:
            chosen[name] = rule
            continue
        best = min(held, rule, key=strictness)
        chosen[name] = replace(best, deny_predicate=held.deny_predicate or rule.deny_predicate)
    return chosen


def masked_type(mask: Mask, type_: str) -> str:
    """The DuckDB type a column of `type_` shows under `mask`."""
    if mask.function is MaskFunction.NULL:
        return type_
    if mask.function is MaskFunction.FULL and not is_text(normal(type_)) and not mask.as_text:
        return type_
    return TEXT


def shown(table: Table, policies: Iterable[Policy], principal: Principal) -> Table:
    """The table as `principal` sees it: the same columns, with masked types."""
    masks = masks_of(policies, table, principal)
    if not masks:
        return table
    columns = tuple(
        replace(column, type=masked_type(masks[fold(column.name)], column.type))
        if fold(column.name) in masks
        else column
        for column in table.columns
    )
    return replace(table, columns=columns)
