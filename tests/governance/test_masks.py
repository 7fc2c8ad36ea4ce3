"""Which mask holds (W4.1 to W4.6): the strictest of those that bind, whatever order they were written in."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations, permutations

import pytest

from governance.masks import binds, masked_type, masks_of, shown, strictness
from governance.policies import AppliesTo, Audience, Mask, MaskFunction, RowFilter
from governance.roles import Role
from governance.tables import Column, Table, TableName
from tests.support.governed_lab import agent, principal

T = TableName("hr", "people")
TABLE = Table(T, (Column("id", "INTEGER"), Column("Name", "VARCHAR"), Column("born", "DATE")))
FROM_STRICT_TO_LOOSE = (
    Mask("1", "null", T, "name", MaskFunction.NULL),
    Mask("2", "full", T, "name", MaskFunction.FULL),
    Mask("3", "full-text", T, "name", MaskFunction.FULL, as_text=True),
    Mask("4", "hmac", T, "name", MaskFunction.HMAC),
    Mask("5", "hash", T, "name", MaskFunction.HASH),
    Mask("6", "one", T, "name", MaskFunction.PARTIAL, visible=1),
    Mask("7", "four", T, "name", MaskFunction.PARTIAL, visible=4),
)


@pytest.mark.parametrize(("strict", "loose"), list(combinations(FROM_STRICT_TO_LOOSE, 2)))
def test_w4_6_the_strictest_mask_wins_in_either_order(strict: Mask, loose: Mask) -> None:
    assert strictness(strict) < strictness(loose)
    for rules in permutations((strict, loose)):
        assert masks_of(rules, TABLE, principal()) == {"name": strict}


def test_visible_characters_count_for_partial_masks_only() -> None:
    longer = replace(FROM_STRICT_TO_LOOSE[4], id="8", visible=9)
    assert strictness(longer) == strictness(FROM_STRICT_TO_LOOSE[4])


def test_a_denied_predicate_stays_denied_under_whichever_mask_wins() -> None:
    strict, loose = FROM_STRICT_TO_LOOSE[0], replace(FROM_STRICT_TO_LOOSE[6], deny_predicate=True)
    for rules in permutations((strict, loose)):
        assert masks_of(rules, TABLE, principal())["name"] == replace(strict, deny_predicate=True)
    assert not masks_of([strict], TABLE, principal())["name"].deny_predicate


def test_only_rules_of_the_table_that_bind_the_principal_count() -> None:
    rule = FROM_STRICT_TO_LOOSE[0]
    other = replace(rule, table=TableName("hr", "places"))
    exempt = replace(rule, exempt_roles=frozenset({Role.ANALYST}))
    agents = replace(rule, applies_to=AppliesTo(Audience.AGENTS))
    row_filter = RowFilter("9", "own", T, "TRUE")
    assert masks_of([other, exempt, agents, row_filter], TABLE, principal()) == {}
    assert masks_of([exempt], TABLE, principal(Role.OWNER)) == {"name": exempt}
    assert masks_of([agents], TABLE, agent()) == {"name": agents}
    assert binds(agents, agent())
    assert not binds(agents, principal())


@pytest.mark.parametrize(
    ("mask", "of_text", "of_date"),
    [
        (Mask("m", "m", T, "c", MaskFunction.NULL), "VARCHAR", "DATE"),
        (Mask("m", "m", T, "c", MaskFunction.FULL), "VARCHAR", "DATE"),
        (Mask("m", "m", T, "c", MaskFunction.FULL, as_text=True), "VARCHAR", "VARCHAR"),
        (Mask("m", "m", T, "c", MaskFunction.HASH), "VARCHAR", "VARCHAR"),
        (Mask("m", "m", T, "c", MaskFunction.HMAC), "VARCHAR", "VARCHAR"),
        (Mask("m", "m", T, "c", MaskFunction.PARTIAL), "VARCHAR", "VARCHAR"),
    ],
)
def test_the_type_a_masked_column_shows(mask: Mask, of_text: str, of_date: str) -> None:
    assert masked_type(mask, "VARCHAR") == of_text
    assert masked_type(mask, "DATE") == of_date


def test_a_table_is_shown_with_masked_types_and_its_own_names() -> None:
    rules = [FROM_STRICT_TO_LOOSE[4], Mask("b", "born", T, "BORN", MaskFunction.PARTIAL)]
    assert [(c.name, c.type) for c in shown(TABLE, rules, principal()).columns] == [
        ("id", "INTEGER"), ("Name", "VARCHAR"), ("born", "VARCHAR"),
    ]  # fmt: skip
    assert shown(TABLE, [], principal()) is TABLE
