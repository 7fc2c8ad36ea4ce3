# ruff: noqa: E501
"""Row filters: total by construction, refused with a place, bound as typed literals (W4.9, W4.10)."""

from __future__ import annotations

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from governance.errors import AttributeMissing, InvalidRequest
from governance.filter_grammar import FUNCTIONS
from governance.policy_text import bind_filter, check_filter
from governance.tables import Column, Table, TableName

TABLE = Table(
    TableName("s", "t"),
    (
        Column("id", "INTEGER"), Column("big", "BIGINT"), Column("name", "VARCHAR"), Column("d", "DATE"),
        Column("ts", "TIMESTAMP"), Column("amt", "DECIMAL(12,2)"), Column("f", "DOUBLE"), Column("ok", "BOOLEAN"),
        Column("Org Id", "VARCHAR"), Column("u", "UUID"), Column("b", "BLOB"),
    ),
)  # fmt: skip
ATTRIBUTES = {
    "org_id": "1",
    "region": "o'x",
    "department": "risk",
    "user_id": "u",
    "agent_id": "a",
    "agent_framework": "f",
}
ACCEPTED = [
    "id = {org_id}", "name IN ('a', {region}) AND NOT id > 5", "lower(name) || 'x' = {region}", "d >= '2020-01-01' OR d IS NULL",
    "id BETWEEN 1 AND {org_id}", "TRY_CAST(name AS INTEGER) = 5", "amt >= 10.5", "f < 1.5", "ok", "ok = TRUE", "NOT ok",
    "coalesce(name, 'x') = 'x'", "nullif(name, '') IS NULL", "year(d) >= 2020", "name LIKE 'a%'", "name NOT ILIKE '%b'", '"Org Id" = {org_id}',
    "big = id", "starts_with(name, {department})", "id IS DISTINCT FROM {org_id}", "concat(name, 'a', 'b') <> ''", "id::VARCHAR = {org_id}",
    "{org_id} = id", "length(name) > 3", "left(name, 2) = 'ab'", "TRUE", "name = {user_id} OR name = {agent_id} OR name = {agent_framework}",
    "u = '00000000-0000-0000-0000-000000000001'", "ts < TIMESTAMP '2020-01-01 00:00:00'", "(((id = 1)))", "name BETWEEN 'a' AND 'b'", "substr(name, 1, 2) = 'x'",
]  # fmt: skip
REFUSED = [
    ("id::SMALLINT = 1", 1), ("id + 1 = 2", 4), ("(SELECT 1) = 1", 2), ("id = (SELECT max(id) FROM s.t)", 7), ("random() < 1", 1), ("name = 1", 8),
    ("id = 'x'", 6), ("nothing = 1", 1), ("id = 1; DROP TABLE t", 7), ("id = 1 -- x", 8), ("t.id = 1", 1), ("CASE WHEN ok THEN TRUE END", 1),
    ("regexp_matches(name, '(')", 1), ("", 1), ("id", 1), ("'x'", 1), ("id = {org id}", 6), ("id IN (SELECT 1)", 8), ("id = 99999999999", 6), ("d = '2020-13-01'", 5),
    ("name LIKE name", 11), ("amt = 1.234", 7), ("id =", 5), ("(id = 1", 8), ("id = 1)", 7), ("f = amt::INTEGER", 5), ("b = 'x'", 5), ("d < ts", 3), ("strptime(name, '%d') = d", 1),
    ("name = e'\\x41'", 9), ("name = $$x$$", 8), ("name = \u200b'x'", 8), ("getvariable('x') = 1", 1), ("NOT" * 3, 1), ("(" * 60 + "ok" + ")" * 60, 41), ("x" * 5000, 1),
]  # fmt: skip


@pytest.mark.parametrize("text", ACCEPTED)
def test_w4_9_accepted_filters_run(text: str) -> None:
    check_filter(text, TABLE)
    check_filter(text, None)
    sql = bind_filter(text, TABLE, ATTRIBUTES.get).sql
    with duckdb.connect() as db:
        columns = ", ".join(f'"{c.name}" {c.type}' for c in TABLE.columns)
        db.execute(f"CREATE TABLE t({columns})")
        db.execute("INSERT INTO t(id, name, d) VALUES (1, 'x', '2020-01-01'), (NULL, NULL, NULL)")
        db.execute(f"SELECT count(*) FROM t WHERE {sql}").fetchall()


@pytest.mark.parametrize(("text", "position"), REFUSED)
def test_refused_with_a_position(text: str, position: int) -> None:
    with pytest.raises(InvalidRequest) as refused:
        check_filter(text, TABLE)
    assert refused.value.position == position


def test_w4_10_placeholders_are_named_and_bound_as_literals_of_the_columns_type() -> None:
    assert check_filter("id = {org_id} AND name = {region}", TABLE) == ("org_id", "region")
    bound = bind_filter("id = {org_id} AND name = {region}", TABLE, ATTRIBUTES.get, prefix="hd.")
    assert bound.sql == """((hd."id" = CAST(1 AS INTEGER)) AND (hd."name" = 'o''x'))"""
    assert bound.columns == ("id", "name")


def test_a_missing_attribute_refuses_with_its_name() -> None:
    with pytest.raises(AttributeMissing, match="'team'"):
        bind_filter("name = {team}", TABLE, ATTRIBUTES.get)


def test_a_value_that_does_not_fit_refuses_without_showing_it() -> None:
    with pytest.raises(InvalidRequest) as refused:
        bind_filter("id = {region}", TABLE, ATTRIBUTES.get)
    assert "o'x" not in refused.value.message


def test_every_function_of_the_language_is_duckdbs() -> None:
    with duckdb.connect() as db:
        known = {row[0] for row in db.execute("SELECT function_name FROM duckdb_functions()").fetchall()}
    assert set(FUNCTIONS) - known <= {"coalesce"}


_ATTRIBUTE = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), max_size=20)


@settings(max_examples=100, deadline=None)
@given(_ATTRIBUTE)
def test_no_value_of_an_attribute_becomes_anything_but_a_literal(value: str) -> None:
    sql = bind_filter("name = {department}", TABLE, {"department": value}.get).sql
    with duckdb.connect() as db:
        assert db.execute(f'SELECT {sql} FROM (SELECT ? AS "name")', [value]).fetchone() == (True,)


_HOSTILE = {
    "id": [-(2**31), 2**31 - 1, None],
    "big": [-(2**63), 2**63 - 1, None],
    "name": ["", "\U0001f600", "%", "\\", "x" * 50, "infinity", None],
    "d": ["'infinity'::DATE", "'-infinity'::DATE", "'5881580-07-10'::DATE", "'5877642-06-25 (BC)'::DATE", None],
    "ts": ["'infinity'::TIMESTAMP", "'290309-12-22 (BC) 00:00:00'::TIMESTAMP", None],
    "amt": ["9999999999.99", "-9999999999.99", None],
    "f": ["'nan'::DOUBLE", "'inf'::DOUBLE", "-1e308", None],
}


def test_w4_9_no_accepted_filter_fails_on_any_extreme_value() -> None:
    """Totality, tried: every accepted filter over the worst values of every type."""
    with duckdb.connect() as db:
        columns = ", ".join(f'"{c.name}" {c.type}' for c in TABLE.columns)
        db.execute(f"CREATE TABLE t({columns})")
        for name, values in _HOSTILE.items():
            for value in values:
                literal = (
                    value if isinstance(value, str) and name != "name" else repr(value) if value is not None else "NULL"
                )
                db.execute(
                    f'INSERT INTO t("{name}") VALUES ({"?" if name == "name" else literal})',
                    [value] if name == "name" else [],
                )
        for text in ACCEPTED:
            db.execute(f"SELECT count(*) FROM t WHERE {bind_filter(text, TABLE, ATTRIBUTES.get).sql}").fetchall()
