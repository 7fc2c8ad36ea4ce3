# ruff: noqa: E501, DTZ001
"""The pipeline through its door: who gets what of a statement, and which refusal."""

from __future__ import annotations

import hashlib
import hmac
from datetime import UTC, datetime
from typing import Any

import pytest

from engine.catalog.view import PrincipalCatalog
from engine.pipeline import Governed, Parse, Pipeline
from governance import errors
from governance.policies import (
    AppliesTo,
    Audience,
    Condition,
    Effect,
    Mask,
    MaskFunction,
    MinimumGroup,
    RowFilter,
    TimeWindow,
    View,
)
from governance.roles import Role
from governance.scopes import Scope
from governance.tables import TableName
from tests.engine.pipeline.sales import OWN, SETUP, C, book, mask, refused, rows
from tests.support.governed_lab import OWNER_SCOPES, PARSER, Lab, agent, principal, rulebook


@pytest.fixture(scope="module")
def lab() -> Lab:
    return Lab(SETUP)


# ---------------------------------------------------------------- masks


@pytest.mark.parametrize(
    ("rule", "values"),
    [
        (mask(MaskFunction.FULL), ["***", None, "***", "***"]),
        (mask(MaskFunction.PARTIAL, visible=4), ["***1111", None, "***", "***9999"]),
        (mask(MaskFunction.PARTIAL, visible=0), ["***", None, "***", "***"]),
        (mask(MaskFunction.NULL), [None] * 4),
        (mask(MaskFunction.FULL, "bal"), [None] * 4),
        (mask(MaskFunction.FULL, "bal", as_text=True), ["***"] * 4),
        (mask(MaskFunction.PARTIAL, "seen", visible=2), ["***01", None, "***02", "***03"]),
    ],
)
def test_w4_1_w4_2_w4_4_masks_show_what_they_promise(lab: Lab, rule: Mask, values: list[Any]) -> None:
    found = rows(lab, f"SELECT {rule.column} FROM sales.c ORDER BY id", principal(), rule)
    assert [row[0] for row in found] == values


def test_w4_3_hash_is_sha256_of_the_text(lab: Lab) -> None:
    found = rows(lab, "SELECT ssn FROM sales.c WHERE id = 1", principal(), mask(MaskFunction.HASH))
    assert found == [(hashlib.sha256(b"111-11-1111").hexdigest(),)]


def test_hmac_is_keyed_and_the_key_stands_in_no_text(lab: Lab) -> None:
    key = b"k" * 32
    padded = key.ljust(64, b"\0")
    rule = mask(MaskFunction.HMAC)
    assert refused(lab, "SELECT ssn FROM sales.c", principal(), rule).code == "permission_denied"
    facts = {"mask_key_id": "k1"}
    text = lab.sql("SELECT ssn FROM sales.c WHERE id = 1", principal(), book(rule, **facts))
    cursor = lab.db.cursor()
    for name, pad in (("inner", 0x36), ("outer", 0x5C)):
        cursor.execute(f"SET VARIABLE hatidata_mask_{name} = ?::BLOB", [bytes(b ^ pad for b in padded)])
    assert cursor.execute(text).fetchall() == [(hmac.new(key, b"111-11-1111", "sha256").hexdigest(),)]
    assert "kkkk" not in text


def test_w4_5_exemptions_lift_their_own_rule_and_an_empty_list_exempts_nobody(lab: Lab) -> None:
    strict, loose = mask(MaskFunction.FULL, exempt_roles=frozenset({Role.OWNER})), mask(MaskFunction.PARTIAL, visible=2)
    owner = principal(Role.OWNER)
    assert rows(lab, "SELECT ssn FROM sales.c WHERE id = 1", owner, strict, loose) == [("***11",)]
    assert rows(lab, "SELECT ssn FROM sales.c WHERE id = 1", principal(), strict, loose) == [("***",)]
    assert rows(lab, "SELECT ssn FROM sales.c WHERE id = 1", owner, loose) == [("***11",)]


def test_w4_6_rules_differ_for_agents_and_people(lab: Lab) -> None:
    bots = mask(MaskFunction.FULL, applies_to=AppliesTo(Audience.AGENTS, frameworks=("langchain",)))
    people = mask(MaskFunction.PARTIAL, visible=2, applies_to=AppliesTo(Audience.PEOPLE))
    sql = "SELECT ssn FROM sales.c WHERE id = 1"
    assert rows(lab, sql, agent(), bots, people) == [("***",)]
    assert rows(lab, sql, agent(framework="LangChain"), bots) == [("***",)]
    assert rows(lab, sql, agent(framework="other"), bots, people) == [("***11",)]  # never more than its person
    assert rows(lab, sql, agent(framework="other"), bots) == [("111-11-1111",)]
    assert rows(lab, sql, principal(), bots, people) == [("***11",)]


def test_on_predicate_deny_is_an_error_and_follows_aliases(lab: Lab) -> None:
    rule = mask(MaskFunction.FULL, deny_predicate=True)
    for sql in (
        "SELECT id FROM sales.c WHERE ssn = '1'",
        "SELECT id FROM (SELECT id, ssn AS z FROM sales.c) WHERE z > '1'",
        "SELECT count(*) FILTER (WHERE ssn > '1') FROM sales.c",
        "SELECT 1 FROM sales.c a JOIN sales.c b USING (ssn)",
        "SELECT id FROM sales.c GROUP BY ALL HAVING max(ssn) > '1'",
        "SELECT id FROM sales.c WHERE COLUMNS('ssn') = '1'",
        "SELECT id FROM sales.c WHERE COLUMNS(*) IS NOT NULL",
        "SELECT id FROM sales.c WHERE COLUMNS(x -> x LIKE 'ss%') = '1'",
        "SELECT x.a FROM sales.c AS x(a, b, s) WHERE x.s = '1'",
        "SELECT a FROM (SELECT * FROM sales.c) AS x(a, b, s) WHERE s = '1'",
        "WITH x(a, b, s) AS (SELECT * FROM sales.c) SELECT a FROM x WHERE s = '1'",
        "SELECT id FROM (SELECT * RENAME (ssn AS s) FROM sales.c) WHERE s = '1'",
        "SELECT id FROM sales.c WHERE CAST(c AS VARCHAR) LIKE '%1%'",
        "SELECT id FROM sales.c WHERE c.ssn = '1'",
        "SELECT id FROM (SELECT id, c AS whole FROM sales.c) WHERE whole.ssn = '1'",
        "SELECT 1 FROM sales.c a NATURAL JOIN sales.c b",
        "SELECT a.id FROM sales.c a, LATERAL (SELECT a.ssn AS s) b WHERE b.s = '1'",
        "SELECT ssn AS s, id FROM sales.c QUALIFY row_number() OVER (ORDER BY s) = 1 AND s > '1'",
        "SELECT id FROM sales.c WHERE id IN (SELECT max(id) FROM sales.c WHERE ssn = '1')",
        "SELECT id FROM sales.c WHERE (SELECT ssn) = '1'",
        "SELECT s FROM (SELECT id::VARCHAR AS s FROM sales.c UNION ALL SELECT ssn FROM sales.c) WHERE s = '1'",
    ):
        assert refused(lab, sql, principal(), rule).code == "masked_predicate", sql
    for sql in (
        "SELECT id FROM sales.c WHERE id = 1 AND region = 'emea'",
        "SELECT a.id FROM sales.c a JOIN sales.c b USING (id) WHERE a.id = 1",
        "SELECT id FROM (SELECT * FROM sales.c) WHERE id = 1",
        "SELECT id FROM sales.c WHERE EXISTS (SELECT 1 FROM sales.c b WHERE b.id = c.id) AND id = 1",
    ):
        assert rows(lab, sql, principal(), rule) == [(1,)], sql
    assert rows(lab, "SELECT ssn FROM sales.c WHERE id = 1", principal(), rule) == [("***",)]


# ---------------------------------------------------------------- rows, organizations, access


def test_w4_10_placeholders_come_from_the_principal(lab: Lab) -> None:
    rule = RowFilter("f", "mine", C, "org_id = {org_id} AND region = {region}")
    who = principal(attributes=(("region", "emea"),))
    assert rows(lab, "SELECT id FROM sales.c ORDER BY id", who, rule) == [(1,), (3,)]
    assert refused(lab, "SELECT id FROM sales.c", principal(), rule).code == "attribute_missing"


def test_permissive_filters_are_alternatives(lab: Lab) -> None:
    one = RowFilter("a", "a", C, "id = 1", permissive=True)
    two = RowFilter("b", "b", C, "id = 3", permissive=True)
    assert rows(lab, "SELECT id FROM sales.c ORDER BY id", principal(), OWN, one, two) == [(1,), (3,)]


@pytest.mark.parametrize(
    "sql", ["SELECT * FROM globex.secret", "SELECT * FROM globex.nothing", "SELECT * FROM nowhere.x"]
)
def test_h14_missing_forbidden_and_foreign_tables_answer_alike(lab: Lab, sql: str) -> None:
    error = refused(lab, sql, principal())
    name = sql.rsplit(" ", 1)[1]
    assert (error.code, error.message, error.position) == ("table_unknown", f'relation "{name}" does not exist', 15)
    assert error.reason == {"globex.secret": "cross_organization"}.get(name, "missing")


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM sales.c JOIN globex.secret ON true", "WITH x AS (FROM globex.secret) SELECT * FROM x, sales.c",
        "SELECT (SELECT max(x) FROM globex.secret) FROM sales.c", "SELECT x FROM shared.r UNION ALL SELECT x FROM globex.secret",
    ],
)  # fmt: skip
def test_w4_12_a_join_across_organizations_is_refused(lab: Lab, sql: str) -> None:
    assert refused(lab, sql, principal()).reason == "cross_organization"
    operator = principal(Role.OWNER, scopes=OWNER_SCOPES, operator=True)
    told = refused(lab, sql, operator)
    assert told.code == "cross_organization"
    assert "2" in told.message


def test_a_view_of_another_organizations_table_does_not_open_it(lab: Lab) -> None:
    views = [View("v", TableName("shared", "v"), "SELECT x FROM globex.secret")]
    error = refused(lab, "SELECT * FROM shared.v", principal(), views=views)
    assert error.code == "permission_denied"
    assert "globex" not in error.message


def test_views_run_with_the_callers_policies(lab: Lab) -> None:
    views = [
        View("v", TableName("sales", "v"), "SELECT id, ssn AS code FROM sales.c;"),
        View("w", TableName("sales", "w"), "SELECT count(*) AS n, max(code) AS m FROM sales.v"),
    ]
    rules = (OWN, mask(MaskFunction.PARTIAL, visible=2))
    assert rows(lab, "SELECT * FROM sales.v v WHERE v.id = 1", principal(), *rules, views=views) == [(1, "***11")]
    assert rows(lab, "SELECT n FROM sales.w", principal(), *rules, views=views) == [(3,)]
    loop = [View("v", TableName("sales", "v"), "SELECT * FROM sales.v")]
    assert refused(lab, "SELECT * FROM sales.v", principal(), views=loop).code == "permission_denied"


def test_a_keys_allowed_tables_hide_the_others(lab: Lab) -> None:
    who = principal(allowed_tables=("shared.*",))
    assert rows(lab, "SELECT * FROM shared.r", who) == [(1,)]
    assert refused(lab, "SELECT * FROM sales.c", who).reason == "allowed_tables"


def test_w3_1_auditors_and_keys_without_the_scope_may_not_query(lab: Lab) -> None:
    assert refused(lab, "SELECT 1", principal(Role.AUDITOR)).code == "permission_denied"
    assert refused(lab, "SELECT 1", principal(scopes={Scope.TABLES_LIST})).code == "permission_denied"
    for role in (Role.OWNER, Role.ADMIN, Role.ANALYST, Role.DEVELOPER, Role.SERVICE_ACCOUNT):
        assert rows(lab, "SELECT 1", principal(role)) == [(1,)]


# ---------------------------------------------------------------- names and text


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT sales.c.id FROM sales.c WHERE sales.c.id = 1", [(1,)]),
        ("SELECT production.sales.c.id FROM production.sales.c WHERE c.id = 1", [(1,)]),
        ('SELECT "a b" FROM "Odd ""Name"', [(7,)]),
        ('SELECT "Odd ""Name"."a b" FROM main."odd ""name"', [(7,)]),
        ("TABLE shared.r", [(1,)]),
        ("TABLE shared.r UNION ALL TABLE shared.r", [(1,), (1,)]),
        ("SELECT 'é', x FROM shared.r -- ü", [("é", 1)]),
        ("SELECT c.*  FROM sales.c AS c WHERE id=1 /* x */ ;", [(1, "1", "111-11-1111", 10, "emea", datetime(2024, 1, 1).date())]),
        ("FROM a: shared.r SELECT a.x, b.x FROM b: sales.r", None),
        ("SELECT a.x, b.x FROM a: shared.r, b: sales.r", [(1, 2)]),
        ("SELECT r FROM shared.r", [({"x": 1},)]),
        ("WITH r AS (SELECT 5 AS x) SELECT * FROM r, shared.r s", [(5, 1)]),
        ("SELECT * FROM shared.r TABLESAMPLE 100%", [(1,)]),
        ("SELECT x FROM shared.r t(x) GROUP BY x", [(1,)]),
        ("SELECT $$a;b$$, E'\\'', 'x'' y'", [("a;b", "'", "x' y")]),
        ("SUMMARIZE shared.r", None),
        ("DESCRIBE shared.r", [("x", "INTEGER", "YES", None, None, None)]),
        ("PIVOT sales.c ON region IN ('emea', 'x') USING count(*)", None),
        ("VALUES (1), (2)", [(1,), (2,)]),
        ("SELECT current_date IS NOT NULL, now() IS NOT NULL", [(True, True)]),
    ],
)  # fmt: skip
def test_admitted_forms(lab: Lab, sql: str, expected: list[Any] | None) -> None:
    outcome = lab.run(sql, principal(), book())
    if expected is not None:
        assert outcome.rows == expected, outcome.error
    else:
        assert outcome.status == ("deny" if sql.startswith("FROM a:") else "ok"), outcome.error


@pytest.mark.parametrize(
    ("sql", "code"),
    [
        ("", "syntax_error"), (";;", "syntax_error"), ("SELEC 1", "syntax_error"), ("SELECT 1; SELECT 2", "statement_not_supported"),
        ("INSERT INTO sales.c VALUES (1)", "read_only"), ("DROP TABLE sales.c", "read_only"), ("COPY sales.c TO 'x'", "read_only"),
        ("CREATE TEMP TABLE x AS SELECT 1", "read_only"), ("SET threads = 1", "statement_not_supported"), ("ATTACH ':memory:'", "statement_not_supported"),
        ("SHOW TABLES", "statement_not_supported"), ("PRAGMA version", "statement_not_supported"), ("CALL duckdb_tables()", "statement_not_supported"),
        ("SELECT * FROM read_csv('/etc/passwd')", "function_not_allowed"), ("SELECT * FROM '/etc/passwd'", "table_unknown"), ("SELECT getenv('HOME')", "function_not_allowed"),
        ("SELECT nothing_like_it(1)", "function_not_allowed"), ("SELECT current_user", "function_not_allowed"), ("SELECT rowid FROM shared.r", "statement_not_supported"),
        ("SELECT 1::nosuchtype", "statement_not_supported"), ("SELECT repeat('x', 1000000)", "resource_exceeded"), ("SELECT repeat('x', x) FROM shared.r", "resource_exceeded"),
        ("SELECT \u200b1", "text_refused"), ("SELECT 'a\x00b'", "text_refused"), ("SELECT (1", "text_refused"), ("SELECT 'a", "text_refused"), ("SELECT " + "(" * 200 + "1" + ")" * 200, "text_refused"),
        ("SELECT " + "NOT " * 100 + "true", "text_refused"), ("SELECT 1" + "+1" * 2000, "text_refused"), ("SELECT 1 /*", "text_refused"), ("SELECT 'x'" + " " * 300_000, "text_refused"),
        ("SELECT x FROM shared.r AT (VERSION => 1)", "statement_not_supported"), ("SELECT * FROM shared.r, sales.r", "statement_not_supported"), ("EXPLAIN SELECT 1", "permission_denied"),
        ("SELECT $name", "statement_not_supported"), ("SELECT $3", "statement_not_supported"), ("EXECUTE p", "statement_not_supported"),
        ("SELECT * FROM a.shared.r", "table_unknown"), ("SELECT sql FROM duckdb_views()", "function_not_allowed"), ("FROM query('SELECT 1')", "function_not_allowed"),
    ],
)  # fmt: skip
def test_refused_forms(lab: Lab, sql: str, code: str) -> None:
    error = refused(lab, sql, principal())
    assert error.code == code, error.message
    assert "/etc" not in error.message or code == "table_unknown"


def test_only_the_pipeline_makes_governed() -> None:
    with pytest.raises(TypeError):
        Governed(("SELECT 1",), "select", (), (), (), (), 0, "1")


def test_the_governed_text_carries_names_as_segments_never_as_text(lab: Lab) -> None:
    governed = lab.govern("SELECT '\"sales.c\"' FROM sales.c", principal(), book(OWN))
    assert [s for s in governed.segments if not isinstance(s, str)] == [C]
    assert governed.tables == (C,)
    assert len(governed.fingerprint) == 64


# ---------------------------------------------------------------- conditions, groups, EXPLAIN POLICY


def _govern_at(lab: Lab, who: Any, moment: str, *policies: Any, sql: str = "SELECT id FROM sales.c") -> Governed:
    rules = book(*policies)
    pipeline = Pipeline(PARSER, clock=lambda: datetime.fromisoformat(moment).replace(tzinfo=UTC))
    return pipeline.govern(sql, who, PrincipalCatalog(lab.lake, rules, who), rules)


def test_conditions_deny_overrides_allow_and_each_verdict_has_a_reason(lab: Lab) -> None:
    office = TimeWindow("Europe/Vienna", 8 * 60, 18 * 60, frozenset(range(5)))
    allow = Condition("a", "office hours", Effect.ALLOW, tables=("sales.*",), window=office)
    deny = Condition("d", "no bots", Effect.DENY, audience=Audience.AGENTS)
    governed = _govern_at(lab, principal(), "2026-01-05T09:00", allow, deny)
    assert ("office hours", "allowed") in {(v.policy, v.effect) for v in governed.verdicts}
    assert all(v.reason for v in governed.verdicts)
    for who, moment in (
        (principal(), "2026-01-05T20:00"),
        (principal(), "2026-01-04T09:00"),
        (agent(), "2026-01-05T09:00"),
    ):
        with pytest.raises(errors.PermissionRefused) as found:
            _govern_at(lab, who, moment, allow, deny)
        assert "office" not in found.value.message
        assert found.value.reason
    _govern_at(lab, principal(), "2026-01-05T20:00", allow, sql="SELECT x FROM shared.r")


@pytest.mark.parametrize(
    ("condition", "source", "denied"),
    [
        (Condition("n", "n", Effect.DENY, networks=("10.0.0.0/8",)), "10.1.2.3", True), (Condition("n", "n", Effect.DENY, networks=("10.0.0.0/8",)), "192.168.0.1", False),
        (Condition("n", "n", Effect.ALLOW, networks=("10.0.0.0/8",)), "", True), (Condition("n", "n", Effect.DENY, roles=frozenset({Role.ANALYST})), "10.0.0.1", True),
        (Condition("n", "n", Effect.DENY, tables=("shared.r",)), "10.0.0.1", False), (Condition("n", "n", Effect.DENY, actions=("write",)), "10.0.0.1", False),
        (Condition("n", "n", Effect.DENY, window=TimeWindow("No/Where", 0, 1)), "10.0.0.1", True), (Condition("n", "n", Effect.DENY, window=TimeWindow("UTC", 22 * 60, 6 * 60)), "10.0.0.1", True),
    ],
)  # fmt: skip
def test_conditions_match_by_every_given_part(lab: Lab, condition: Condition, source: str, denied: bool) -> None:
    try:
        _govern_at(lab, principal(source_ip=source), "2026-01-05T23:30", condition)
    except errors.PermissionRefused:
        assert denied
    else:
        assert not denied


def test_minimum_group_size_shows_only_large_groups(lab: Lab) -> None:
    rule = MinimumGroup("g", "groups of two", C, 2)
    assert rows(lab, "SELECT region, count(*) FROM sales.c GROUP BY region ORDER BY 1", principal(), rule) == [
        ("emea", 2)
    ]
    assert rows(lab, "SELECT region FROM sales.c GROUP BY region HAVING sum(id) > 2 OR true", principal(), rule) == [
        ("emea",)
    ]
    assert rows(lab, "SELECT sum(bal) FROM sales.c WHERE id = 1", principal(), rule) == []
    assert rows(lab, "SELECT * FROM (SELECT region, avg(bal) FROM sales.c GROUP BY 1) q", principal(), rule) == [
        ("emea", 20.0)
    ]
    for sql in (
        "SELECT * FROM sales.c", "SELECT count(*) FROM sales.c a, sales.c b", "SELECT count(*) FILTER (WHERE id = 1) FROM sales.c", "SUMMARIZE sales.c",
        "SELECT sum(bal) OVER () FROM sales.c", "PIVOT sales.c ON region IN ('emea') USING sum(bal)",
        "SELECT list(id) FROM sales.c", "SELECT max(bal) FROM sales.c", "SELECT string_agg(region, ',') FROM sales.c",
        "SELECT sum(CASE WHEN id = 1 THEN bal END) FROM sales.c", "SELECT upper(region) AS d, count(*) FROM sales.c GROUP BY d",
        "SELECT sum(bal) FROM sales.c WHERE (CASE WHEN bal > 5 THEN 'x' ELSE '1' END)::INT > 0",
        "SELECT count(*) FROM sales.c GROUP BY region HAVING any_value(bal) > 3", "SELECT region FROM sales.c GROUP BY region ORDER BY max(bal)",
        "SELECT count(*), (SELECT list(id) FROM sales.c) FROM sales.c",
    ):  # fmt: skip
        assert refused(lab, sql, principal(), rule).code == "permission_denied"


# ---------------------------------------------------------------- parameters, cache, parsers


@pytest.mark.parametrize(
    ("sql", "types"),
    [
        ("SELECT id FROM sales.c WHERE id = $1 AND region = $2", ["INTEGER", "VARCHAR"]), ("SELECT $1::DATE, $2", ["DATE", ""]),
        ("SELECT id FROM sales.c WHERE $1 < bal AND seen BETWEEN $2 AND $3 LIMIT $4", ["DECIMAL(12,2)", "DATE", "DATE", "BIGINT"]),
        ("SELECT id + $1 FROM sales.c WHERE region IN ($2, 'x') AND region LIKE $3", ["INTEGER", "VARCHAR", "VARCHAR"]),
        ("SELECT n FROM (SELECT id AS n FROM sales.c) WHERE n > $1", ["INTEGER"]), ("SELECT $1 || 'x'", ["VARCHAR"]), ("SELECT ? + ?", ["", ""]),
    ],
)  # fmt: skip
def test_parameter_types_come_from_context(lab: Lab, sql: str, types: list[str]) -> None:
    assert [p.type for p in lab.govern(sql, principal(), book()).parameters] == types


def test_masked_columns_type_parameters_by_what_is_shown(lab: Lab) -> None:
    governed = lab.govern("SELECT id FROM sales.c WHERE bal = $1", principal(), book(mask(MaskFunction.HASH, "bal")))
    assert [p.type for p in governed.parameters] == ["VARCHAR"]


def test_plans_are_kept_by_text_and_by_who_asks(lab: Lab) -> None:
    rules = book(OWN)
    one, two = principal(), principal(organization="2")
    sql = "SELECT id FROM sales.c ORDER BY id"
    shared = rulebook([OWN], [("sales", "shared")])
    for _ in range(2):
        assert lab.run(sql, one, shared).rows == [(1,), (2,), (3,)]
        assert lab.run(sql, two, shared).rows == [(4,)]
        assert lab.run(sql, two, rules).status == "deny"
        assert lab.run(sql, one, book()).rows == [(1,), (2,), (3,), (4,)]


def test_the_plan_cache_is_bounded(lab: Lab) -> None:
    pipeline = Pipeline(PARSER, plans_max=3)
    rules, who = book(), principal()
    catalog = PrincipalCatalog(lab.lake, rules, who)
    for i in range(10):
        pipeline.govern(f"SELECT {i}", who, catalog, rules)
    assert len(pipeline._plans) == 3


class _Liar:
    """A second parser that reads another text than it is given."""

    def __init__(self, instead: str) -> None:
        self._instead = instead

    def parse(self, text: str) -> Parse:
        return PARSER.parse(self._instead)


@pytest.mark.parametrize(
    "instead", ["SELECT x FROM shared.x", "SELECT 1", "SELECT x FROM shared.r, shared.r", "SELECT x  FROM shared.r"]
)
def test_parsers_that_disagree_refuse(lab: Lab, instead: str) -> None:
    pipeline = Pipeline(_Liar(instead))
    who, rules = principal(), book()
    with pytest.raises(errors.ParsersDisagree):
        pipeline.govern("SELECT x FROM shared.r", who, PrincipalCatalog(lab.lake, rules, who), rules)


def test_result_checks_name_plainly_selected_masked_columns(lab: Lab) -> None:
    rules = book(mask(MaskFunction.PARTIAL, visible=2), mask(MaskFunction.FULL, "bal"))
    assert lab.govern("SELECT id, ssn AS s, bal FROM sales.c", principal(), rules).masked_values == (
        ("s", "partial:2"),
        ("bal", "null"),
    )
    assert lab.govern("SELECT * FROM sales.c", principal(), rules).masked_values == (
        ("ssn", "partial:2"),
        ("bal", "null"),
    )
    assert lab.govern("SELECT id AS ssn, ssn FROM sales.c", principal(), rules).masked_values == ()
