# ruff: noqa: E501
"""What policies do to one table: which bind, in which order, what is told of them; keys of masks (found by mutation)."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.catalog.view import PrincipalCatalog, table_allowed
from engine.pipeline.relation import INNER_KEY, OUTER_KEY, hmac_pads, secure
from governance import errors
from governance.policies import AppliesTo, Audience, Mask, MaskFunction, MinimumGroup, RowFilter, View
from governance.principals import Principal
from governance.roles import Role
from governance.scopes import BUNDLES, Scope
from governance.tables import Column, Table, TableName
from tests.engine.pipeline.sales import OWN, SCHEMAS, SETUP, C, book, mask, refused, rows
from tests.support.governed_lab import Lab, agent, principal, rulebook

TABLE = Table(C, (Column("id", "INTEGER"), Column("ssn", "VARCHAR"), Column("region", "VARCHAR")))
AGENTS, ADMINS = AppliesTo(Audience.AGENTS), frozenset({Role.ADMIN})
RULES: tuple[Any, ...] = (
    RowFilter("f1", "bots see one", C, "id = 1", applies_to=AGENTS),
    RowFilter("f2", "own region", C, "region = 'emea'", exempt_roles=ADMINS),
    RowFilter("f3", "positive", C, "id > 0"),
    RowFilter("f4", "elsewhere", TableName("sales", "r"), "x = 9"),
    MinimumGroup("g", "g", C, 1),
    Mask("m1", "loose", C, "ssn", MaskFunction.PARTIAL, 4),
    Mask("m2", "strict", C, "SSN", MaskFunction.FULL, exempt_roles=ADMINS),
    Mask("m3", "for bots", C, "ssn", MaskFunction.NULL, applies_to=AGENTS),
)
APPLIED = {
    "analyst": [
        ("own region", "row_filter", "applied", "rows filtered", ""), ("positive", "row_filter", "applied", "rows filtered", ""),
        ("loose", "mask", "applied", "a stricter mask holds", "ssn"), ("strict", "mask", "applied", "masked (full)", "SSN"),
    ],
    "admin": [
        ("own region", "row_filter", "exempt", "role admin is exempt", ""), ("positive", "row_filter", "applied", "rows filtered", ""),
        ("loose", "mask", "applied", "masked (partial)", "ssn"), ("strict", "mask", "exempt", "role admin is exempt", "SSN"),
    ],
    "bot": [
        ("bots see one", "row_filter", "applied", "rows filtered", ""), ("own region", "row_filter", "applied", "rows filtered", ""),
        ("positive", "row_filter", "applied", "rows filtered", ""), ("loose", "mask", "applied", "a stricter mask holds", "ssn"),
        ("strict", "mask", "applied", "a stricter mask holds", "SSN"), ("for bots", "mask", "applied", "masked (null)", "ssn"),
    ],
}  # fmt: skip
WHO: dict[str, Principal] = {"analyst": principal(), "admin": principal(Role.ADMIN), "bot": agent()}


@pytest.fixture(scope="module")
def lab() -> Lab:
    return Lab(SETUP)


@pytest.mark.parametrize("who", WHO)
@pytest.mark.parametrize("backwards", [False, True])
def test_each_rule_that_speaks_of_one_is_told_with_what_it_did(who: str, backwards: bool) -> None:
    rules, expected = (RULES[::-1], APPLIED[who][::-1]) if backwards else (RULES, APPLIED[who])
    secured = secure(TABLE, rules, WHO[who])
    assert [(v.policy, v.kind, v.effect, v.reason, v.column) for v in secured.verdicts] == expected
    assert {v.table for v in secured.verdicts} == {"sales.c"}


@pytest.mark.parametrize(
    ("who", "seen"), [("analyst", [(1, "***"), (3, "***")]), ("admin", [(1, "***1111"), (2, None), (3, "***"), (4, "***9999")]), ("bot", [(1, None)])]
)  # fmt: skip
def test_a_rule_that_does_not_bind_takes_no_other_away(lab: Lab, who: str, seen: list[Any]) -> None:
    rules = [r for r in RULES if not isinstance(r, MinimumGroup)]
    for order in (rules, rules[::-1]):
        assert rows(lab, "SELECT id, ssn FROM sales.c ORDER BY id", WHO[who], *order) == seen


def test_restrictive_filters_hold_together_and_one_of_the_permissive_ones_with_them(lab: Lab) -> None:
    may = [RowFilter(f"p{i}", f"p{i}", C, f"id = {i} OR id = {i}", permissive=True) for i in (1, 2, 3)]
    must = [RowFilter("a", "a", C, "region = 'x' OR region = 'emea'"), RowFilter("b", "b", C, "id < 3 OR id > 100")]
    assert rows(lab, "SELECT id FROM sales.c ORDER BY id", principal(), *may) == [(1,), (2,), (3,)]
    assert rows(lab, "SELECT id FROM sales.c ORDER BY id", principal(), *must) == [(1,)]
    assert rows(lab, "SELECT id FROM sales.c ORDER BY id", principal(), may[0], must[1], may[2], must[0]) == [(1,)]
    assert rows(lab, "SELECT id FROM sales.c ORDER BY id", principal(), may[2], must[1]) == []


def test_a_policy_that_does_not_fit_its_table_refuses_the_table(lab: Lab) -> None:
    lost = refused(lab, "SELECT id FROM sales.c", principal(), mask(MaskFunction.FULL, "gone"))
    assert (lost.code, lost.reason) == ("permission_denied", "mask full: the table has no column 'gone'")
    for who in (principal(), principal(Role.ADMIN)):  # even for whom it would not bind: it protects nothing any more
        assert (
            refused(lab, "SELECT id FROM sales.c", who, mask(MaskFunction.FULL, "gone", exempt_roles=ADMINS)).code
            == "permission_denied"
        )
    broken = refused(lab, "SELECT id FROM sales.c", principal(), RowFilter("f", "gone", C, "nothing = 1"))
    assert broken.code == "permission_denied"
    assert broken.reason.startswith("row filter gone: ")
    assert "nothing" not in broken.message + broken.advice
    assert rows(lab, "SELECT x FROM shared.r", principal(), mask(MaskFunction.FULL, "gone")) == [(1,)]


@given(st.binary(min_size=1, max_size=64), st.binary(max_size=80))
def test_pads_are_those_of_rfc_2104(key: bytes, message: bytes) -> None:
    pads = hmac_pads(key)
    inner = hashlib.sha256(pads[INNER_KEY] + message).digest()
    assert hashlib.sha256(pads[OUTER_KEY] + inner).digest() == hmac.new(key, message, "sha256").digest()


def test_no_key_has_no_pads_and_a_long_one_is_refused() -> None:
    assert hmac_pads(b"") == {}
    assert len(hmac_pads(b"k" * 64)) == 2
    with pytest.raises(ValueError, match="64"):
        hmac_pads(b"k" * 65)


# ---------------------------------------------------------------- on_predicate


ADMITTED = -1
OTHER = ["CREATE TABLE shared.o AS SELECT 1 AS id, 'x' AS ssn", "CREATE TABLE sales.o2 AS SELECT 1 AS id, 'x' AS ssn"]


@pytest.mark.parametrize(
    ("sql", "at"),
    [
        ("SELECT c.id FROM sales.c, shared.o WHERE o.ssn = 'x'", ADMITTED), ("SELECT 1 FROM shared.o JOIN sales.c USING (id) WHERE o.ssn = 'x'", ADMITTED),
        ("SELECT 1 FROM sales.c a, shared.o b WHERE b.ssn = 'x' AND a.id = 1", ADMITTED), ("SELECT 1 FROM shared.o WHERE ssn = 'x'", ADMITTED),
        ("SELECT 1 FROM sales.c, shared.o WHERE c.ssn = 'x'", 39), ("SELECT 1 FROM sales.c a, shared.o b WHERE a.ssn = b.ssn", 43),
        ("SELECT 1 FROM sales.c, shared.o b WHERE ssn = 'x'", 41), ("SELECT 1 FROM sales.c a, sales.c b WHERE b.ssn = 'x'", 42),
        ("SELECT 1 FROM sales.v o, sales.c WHERE o.ssn = 'x'", 40),
        ("SELECT 1 FROM sales.c JOIN shared.o USING (ssn)", None), ("SELECT id FROM sales.c WHERE sales.c.ssn = 'x'", None),
    ],
)  # fmt: skip
def test_on_predicate_deny_tells_tables_of_like_columns_apart(sql: str, at: int | None) -> None:
    lab = Lab([*SETUP, *OTHER])
    views = [View("v", TableName("sales", "v"), "SELECT id, ssn FROM sales.c")]
    rule = mask(MaskFunction.FULL, deny_predicate=True)
    if at == ADMITTED:
        assert lab.govern(sql, principal(), book(rule, views=views)).kind == "select"
        return
    found = refused(lab, sql, principal(), rule, views=views)
    assert (found.code, found.position) == ("masked_predicate", at)


# ---------------------------------------------------------------- minimum groups beside other relations


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM sales.w, sales.c", "SELECT * FROM sales.w WHERE x IN (SELECT id FROM sales.c)", "SELECT (SELECT max(id) FROM sales.c) FROM sales.w",
        "SELECT * FROM shared.r, sales.c", "SELECT count(*) FROM sales.c HAVING (SELECT max(x) FROM shared.r) > 0", "SELECT count(*) FROM sales.c WHERE (SELECT max(x) FROM shared.r) > 0",
        "SELECT count(*) FROM sales.c HAVING count(*) > 0 AND EXISTS (SELECT 1 FROM shared.r)",
    ],
)  # fmt: skip
def test_a_minimum_group_holds_beside_views_and_other_tables(lab: Lab, sql: str) -> None:
    views = [View("w", TableName("sales", "w"), "SELECT x FROM shared.r")]
    for rules in ([MinimumGroup("g", "g", C, 2)], [OWN, MinimumGroup("g", "g", C, 2)]):
        assert refused(lab, sql, principal(), *rules, views=views).code == "permission_denied"


def test_of_several_minimum_groups_the_largest_holds(lab: Lab) -> None:
    sizes = [MinimumGroup(f"g{n}", f"g{n}", C, n) for n in (1, 3, 2)]
    bots, admins = MinimumGroup("b", "b", C, 9, applies_to=AGENTS), MinimumGroup("a", "a", C, 9, exempt_roles=ADMINS)
    sql = "SELECT region, count(*) FROM sales.c GROUP BY region"
    assert rows(lab, sql, principal(), *sizes) == []
    assert rows(lab, sql, principal(), bots, sizes[2]) == [("emea", 2)]
    assert rows(lab, sql, principal(Role.ADMIN), admins, sizes[2], bots) == [("emea", 2)]
    assert rows(lab, sql, principal(), admins, sizes[2]) == rows(lab, sql, agent(), sizes[2], bots) == []


# ---------------------------------------------------------------- what one may see of the lake


@pytest.mark.parametrize(
    ("patterns", "key", "allowed"),
    [
        ((), ("s", "t"), True), (("s.t",), ("s", "t"), True), (("S.T",), ("s", "t"), True), (("s.*",), ("s", "t"), True), (("s.u",), ("s", "t"), False), (("t.*",), ("s", "t"), False),
        (("t.t",), ("s", "t"), False), (("s.s",), ("s", "t"), False), (("*",), ("s", "t"), False), (("*.t",), ("s", "t"), False), (("s",), ("s", "t"), False), (("x.y", "s.t"), ("s", "t"), True),
    ],
)  # fmt: skip
def test_a_keys_list_of_tables_names_tables_or_whole_schemas(
    patterns: tuple[str, ...], key: tuple[str, str], allowed: bool
) -> None:
    assert table_allowed(patterns, key) is allowed


def test_another_principal_sees_his_own_part_of_the_same_lake(lab: Lab) -> None:
    rules = rulebook([OWN], SCHEMAS)
    mine = PrincipalCatalog(lab.lake, rules, principal(), "lake-7")
    two, narrow = principal(organization="2"), principal(allowed_tables=("sales.c",))
    for who in (two, narrow, principal()):
        there, alone = mine.seen_by(who), PrincipalCatalog(lab.lake, rules, who, "lake-7")
        assert (there.version, there.tables(), there.principal, there.rulebook) == (
            alone.version,
            alone.tables(),
            who,
            rules,
        )
    assert [str(t.name) for t in mine.seen_by(narrow).tables()] == ["sales.c"]
    assert "globex.secret" in [str(t.name) for t in mine.seen_by(two).tables()]
    assert mine.version != PrincipalCatalog(lab.lake, rules, principal(), "lake-8").version
    unknown = PrincipalCatalog({}, rules, principal(), known=False)
    for catalog in (unknown, unknown.seen_by(two)):
        with pytest.raises(errors.SourceUnavailable):
            catalog.resolve("sales", "c")


def test_a_table_called_like_our_schema_and_one_in_no_schema_are_ordinary(lab: Lab) -> None:
    odd = {("sales", "hatidata_audit"): Table(TableName("sales", "hatidata_audit"), (Column("x", "INTEGER"),))}
    rules = rulebook([], SCHEMAS)
    catalog = PrincipalCatalog(odd, rules, principal())
    assert catalog.resolve("sales", "HATIDATA_AUDIT") is not None
    other = PrincipalCatalog(odd, rules, principal(organization="2"))
    assert other.resolve("sales", "hatidata_audit") is None
    assert (other.foreign("sales", "hatidata_audit"), other.hidden_reason("sales", "hatidata_audit")) == (
        "1",
        "cross_organization",
    )


def test_a_name_without_a_schema_is_looked_for_in_main(lab: Lab) -> None:
    odd = 'Odd "Name'
    narrow = PrincipalCatalog(lab.lake, rulebook([], SCHEMAS), principal(allowed_tables=("sales.*",)))
    foreign = PrincipalCatalog(lab.lake, rulebook([], [("main", "2")]), principal())
    assert (narrow.resolve(None, odd), narrow.hidden_reason(None, odd), narrow.foreign(None, odd)) == (
        None,
        "allowed_tables",
        None,
    )
    assert (foreign.hidden_reason(None, odd), foreign.foreign(None, odd)) == ("cross_organization", "2")
    assert (foreign.hidden_reason(None, "c"), foreign.hidden_reason("main", odd)) == ("missing", "cross_organization")


def test_h14_who_is_told_of_a_foreign_table_is_told_where_it_is_named(lab: Lab) -> None:
    owner = principal(Role.OWNER, scopes=frozenset(Scope), operator=True)
    found = refused(lab, "SELECT 'é' FROM globex.secret", owner)
    assert (found.code, found.position) == (errors.CrossOrganization.code, 17)


AUDIT = {("hatidata_audit", "queries"): Table(TableName("hatidata_audit", "queries"), (Column("x", "INTEGER"),))}
READERS = BUNDLES["read_only"] | {Scope.AUDIT_READ}


@pytest.mark.parametrize(
    ("who", "reason"),
    [
        (principal(Role.OWNER, scopes=READERS), ""), (principal(Role.OWNER), "audit_rights"), (principal(scopes=READERS), "audit_rights"),
        (principal(Role.OWNER, scopes=READERS, allowed_tables=("sales.*",)), "allowed_tables"), (principal(Role.OWNER, scopes=READERS, allowed_tables=("hatidata_audit.*",)), ""),
        (principal(Role.OWNER, scopes=READERS, organization="2"), ""),
    ],
)  # fmt: skip
def test_the_audits_table_is_seen_by_rights_of_its_own(who: Principal, reason: str) -> None:
    catalog = PrincipalCatalog(AUDIT, rulebook([], SCHEMAS), who)
    assert (catalog.resolve("hatidata_audit", "queries") is None) is bool(reason)
    assert catalog.foreign("hatidata_audit", "queries") is None
    if reason:
        assert catalog.hidden_reason("hatidata_audit", "queries") == reason
