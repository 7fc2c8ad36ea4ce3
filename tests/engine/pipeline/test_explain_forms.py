# ruff: noqa: E501
"""EXPLAIN and EXPLAIN POLICY by their words: as whom, under which draft, and each row that is told (found by mutation)."""

from __future__ import annotations

from typing import Any

import pytest

from engine.catalog.view import PrincipalCatalog
from engine.pipeline.explain import draft_named, is_explain_policy
from governance import errors
from governance.policies import MaskFunction
from governance.policy_versions import Drafted
from governance.principals import Principal
from governance.roles import Role
from governance.rulebook import User
from governance.scopes import BUNDLES
from tests.engine.pipeline.sales import OWN, SETUP, book, mask, refused, rows
from tests.support.governed_lab import OWNER_SCOPES, Lab, principal

MANAGER = principal(Role.ADMIN, scopes=BUNDLES["admin"])
OPERATOR = principal(Role.ADMIN, scopes=BUNDLES["admin"], operator=True)
OWNER = principal(Role.OWNER, scopes=OWNER_SCOPES, operator=True)
PEOPLE = (User("bo", "bo@acme.example", "1", Role.ANALYST), User("o'neil", "on@acme.example", "1", Role.ADMIN))
LAW = book(OWN, mask(MaskFunction.FULL), users=PEOPLE)


@pytest.fixture(scope="module")
def lab() -> Lab:
    return Lab(SETUP)


def _told(lab: Lab, text: str, who: Principal, drafted: Drafted | None = None) -> list[tuple[Any, ...]]:
    governed = lab.pipeline.govern(text, who, PrincipalCatalog(lab.lake, LAW, who), LAW, drafted=drafted)
    assert governed.kind == "explain_policy"
    assert [(v.policy, v.kind, v.effect) for v in governed.verdicts] == [("explain_policy", "access", "allowed")]
    return lab.plain(governed.sql(lab.relation)).rows


def test_every_row_that_is_told_to_who_manages_and_to_others(lab: Lab) -> None:
    text = "EXPLAIN POLICY SELECT ssn FROM sales.c"
    access = [("verdict", "role", "access", "", "", "allowed", "role {} may query", ""), ("verdict", "scope", "access", "", "", "allowed", "the key carries query:read", ""),
              ("verdict", "organization_wall", "access", "sales.c", "", "allowed", "the schema is visible", "")]  # fmt: skip
    policies = [
        ("verdict", "own rows", "row_filter", "sales.c", "", "applied", "rows filtered", ""),
        ("verdict", "full", "mask", "sales.c", "ssn", "applied", "masked (full)", ""),
    ]
    everything = [(*row[:6], row[6].format("admin"), "") for row in [*access, *policies]]
    condition = "((hd.\"org_id\" = '1'))"
    told = _told(lab, text, MANAGER)
    assert told[:5] == everything
    assert told[5:7] == [
        ("row_filter", "", "row_filter", "sales.c", "", "applied", "", condition),
        ("masked_column", "full", "mask", "sales.c", "ssn", "applied", "full", ""),
    ]
    assert told[7][:7] == ("governed_sql", "", "", "", "", "", "")
    assert condition in told[7][7]
    assert len(told) == 8
    assert _told(lab, text, principal()) == [(*row[:6], "", "") for row in everything] + [
        ("masked_column", "full", "mask", "sales.c", "ssn", "applied", "", "")
    ]
    for who in (principal(), MANAGER):
        last = _told(lab, "EXPLAIN POLICY SELECT x FROM globex.secret", who)[-1]
        assert last[:6] == ("refusal", "", "table_unknown", "", "", "denied")
        assert "cross" not in last[6]
    assert _told(lab, "EXPLAIN POLICY SELECT x FROM globex.secret", OWNER)[-1][6] == "cross_organization"


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("EXPLAIN POLICY USING DRAFT 7 SELECT 1", 7), ("explain policy using draft 12", 12), ("EXPLAIN POLICY FOR KEY 'k' USING DRAFT 7 SELECT 1", 7), ("EXPLAIN POLICY FOR USER bo USING DRAFT 7 SELECT 1", 7),
        ("EXPLAIN POLICY FOR USER bo SELECT 1", None), ("EXPLAIN POLICY SELECT 1", None), ("EXPLAIN POLICY USING DRAFT x SELECT 1", None), ("EXPLAIN POLICY USING DRAFT ² SELECT 1", None), ("EXPLAIN POLICY USING DRAFT", None),
        ("EXPLAIN POLICY USING 7 SELECT 1", None), ("EXPLAIN POLICY FOR ROLE x USING DRAFT 7", None), ("EXPLAIN POLICY FOR KEY USING DRAFT 7 SELECT 1", None), ("EXPLAIN USING DRAFT 7", None), ("SELECT 1", None),
        ("EXPLAIN POLICY USING DRAFT 99999999999999999999999999 SELECT 1", None), ("EXPLAIN POLICY USING DRAFT 7.5 SELECT 1", None), ("EXPLAIN POLICY USING DRAFT -7 SELECT 1", None), ("", None),
        ("EXPLAIN", None), ("POLICY EXPLAIN USING DRAFT 7", None), ("  /* x */ EXPLAIN /* y */ POLICY USING DRAFT 7 SELECT 1", None), ("  EXPLAIN /* y */ POLICY USING DRAFT 7 SELECT 1", 7),
    ],
)  # fmt: skip
def test_the_draft_that_is_asked_for_is_read_from_the_words(text: str, number: int | None) -> None:
    assert draft_named(text) == number
    if number is not None:
        assert is_explain_policy(text)


def _draft(number: int, *organizations: str) -> Drafted:
    return Drafted(number, frozenset(organizations), book(mask(MaskFunction.NULL), users=PEOPLE, version=2))


@pytest.mark.parametrize(
    ("who", "draft", "outcome"),
    [
        (MANAGER, _draft(7, "1"), "ok"), (MANAGER, _draft(7), "ok"), (MANAGER, _draft(8, "1"), "not_found"), (MANAGER, None, "not_found"), (MANAGER, _draft(7, "2"), "not_found"), (MANAGER, _draft(7, "1", "2"), "not_found"),
        (MANAGER, _draft(7, "shared"), "not_found"), (OPERATOR, _draft(7, "shared", "1"), "ok"), (OPERATOR, _draft(7, "2"), "not_found"), (OWNER, _draft(7, "1", "2", "shared"), "ok"),
        (principal(), _draft(7, "1"), "permission_denied"), (principal(Role.ADMIN), _draft(7, "1"), "permission_denied"),
    ],
)  # fmt: skip
def test_a_draft_is_for_who_administers_all_that_it_speaks_of(
    lab: Lab, who: Principal, draft: Drafted | None, outcome: str
) -> None:
    text = "EXPLAIN POLICY USING DRAFT 7 SELECT ssn FROM sales.c"
    if outcome == "ok":
        told = _told(lab, text, who, draft)
        assert {row[1] for row in told if row[0] == "masked_column"} == {"null"}
        assert "row_filter" not in {row[0] for row in told}
        return
    with pytest.raises(errors.Refusal) as found:
        _told(lab, text, who, draft)
    assert found.value.code == outcome


def test_a_draft_that_is_not_asked_for_is_not_used_and_one_as_another_user_is(lab: Lab) -> None:
    told = _told(lab, "EXPLAIN POLICY SELECT ssn FROM sales.c", MANAGER, _draft(7, "1"))
    assert {row[1] for row in told if row[0] == "masked_column"} == {"full"}
    other = _told(lab, "EXPLAIN POLICY FOR USER bo USING DRAFT 7 SELECT ssn FROM sales.c", MANAGER, _draft(7, "1"))
    assert ("verdict", "role", "access", "", "", "allowed", "role analyst may query", "") in other
    assert {row[1] for row in other if row[0] == "masked_column"} == {"null"}


@pytest.mark.parametrize(
    ("text", "code", "position"),
    [
        ("EXPLAIN POLICY", "syntax_error", None), ("EXPLAIN POLICY FOR USER", "syntax_error", 16), ("EXPLAIN POLICY FOR KEY 7 SELECT 1", "syntax_error", 16), ("EXPLAIN POLICY FOR USER nobody SELECT 1", "not_found", None),
        ("EXPLAIN POLICY FOR USER bo", "syntax_error", None), ("EXPLAIN POLICY USING DRAFT x SELECT 1", "syntax_error", 16), ("EXPLAIN POLICY FOR USER bo USING DRAFT x SELECT 1", "syntax_error", 28),
        ("EXPLAIN POLICY USING DRAFT 7", "not_found", None),
    ],
)  # fmt: skip
def test_an_explain_policy_out_of_form_is_refused_where_it_goes_wrong(
    lab: Lab, text: str, code: str, position: int | None
) -> None:
    found = refused(lab, text, MANAGER, users=PEOPLE)
    assert (found.code, found.position) == (code, position)


@pytest.mark.parametrize("name", ["bo", "'bo'", '"bo"', "'bo@acme.example'", "'o''neil'"])
def test_names_are_written_as_words_or_in_quotes(lab: Lab, name: str) -> None:
    assert rows(lab, f"EXPLAIN POLICY FOR USER {name} SELECT 1", MANAGER, users=PEOPLE)[0][1] == "role"


@pytest.mark.parametrize(
    ("text", "prefix"),
    [
        ("EXPLAIN SELECT 1", "EXPLAIN "), ("EXPLAIN ANALYZE SELECT 1", "EXPLAIN ANALYZE "), ("explain analyze SELECT 1", "explain analyze "), ("EXPLAIN (FORMAT json) SELECT 1", "EXPLAIN ( FORMAT json ) "),
        ("EXPLAIN EXPLAIN SELECT 1", ""), ("EXPLAIN", ""), ("EXPLAIN ANALYZE", ""), ("EXPLAIN (FORMAT json", ""), ("EXPLAIN (FORMAT nosuch) SELECT 1", ""), ("EXPLAIN (VERBOSE) SELECT 1", ""), ("EXPLAIN (FORMAT json) EXPLAIN SELECT 1", ""),
        ("EXPLAIN INSERT INTO sales.c VALUES (1)", ""), ("EXPLAIN ANALYZE DROP TABLE sales.c", ""), ("EXPLAIN POLICIES", ""),
    ],
)  # fmt: skip
def test_plain_explain_has_few_forms(lab: Lab, text: str, prefix: str) -> None:
    if prefix:
        governed = lab.govern(text, MANAGER, book())
        assert governed.kind == "explain"
        assert "".join(map(str, governed.segments)).startswith(prefix + "SELECT")
    else:
        assert refused(lab, text, MANAGER).code in (
            "syntax_error",
            "statement_not_supported",
            "read_only",
            "text_refused",
        )
    assert refused(lab, text, principal()).code in ("permission_denied", "text_refused")
