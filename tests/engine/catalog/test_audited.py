"""Looking around is audited like reading, and what a view reads is told to those who see it: over the real port."""

from __future__ import annotations

import json

import psycopg
import pytest

from tests.support.stack import Stack
from tests.support.waiting import until

RECORDED = "SELECT statement_kind, status, verdicts FROM hatidata_audit.queries WHERE sql LIKE %s"
DEPENDS = """
    select distinct n.nspname || '.' || c.relname || ' reads ' || sn.nspname || '.' || s.relname
    from pg_depend d join pg_rewrite r on r.oid = d.objid and d.classid = 'pg_rewrite'::regclass
    join pg_class c on c.oid = r.ev_class join pg_namespace n on n.oid = c.relnamespace
    join pg_class s on s.oid = d.refobjid join pg_namespace sn on sn.oid = s.relnamespace
    where d.refclassid = 'pg_class'::regclass and d.deptype = 'n' and s.oid <> c.oid and c.oid >= 16384
"""


def recorded(stack: Stack, text: str) -> tuple[str, str, list[dict[str, str]]]:
    with stack.connect(stack.keys["adm"]) as connection:
        rows = until(lambda: connection.execute(RECORDED, (f"%{text}%",)).fetchall())
    kind, status, verdicts = next(row for row in rows if row[0] != "select")
    return kind, status, json.loads(verdicts) if isinstance(verdicts, str) else verdicts


def test_w5_1_a_catalog_statements_verdicts_reach_the_audit(stack: Stack):
    stack.query(stack.keys["ana"], "select relname as looked_around from pg_class where relname = 'orders'")
    kind, status, verdicts = recorded(stack, "looked_around from")
    assert (kind, status) == ("catalog", "succeeded")
    assert {(v["policy"], v["effect"]) for v in verdicts} == {("role", "allowed"), ("scope", "allowed")}
    found = stack.run("audit", "search", "--text", "looked_around from pg_class", "--json", key=stack.keys["adm"])
    assert '"catalog"' in found.stdout
    assert '"allowed"' in found.stdout


def test_w5_1_a_refused_look_is_audited_with_its_reason(stack: Stack):
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        stack.query(stack.keys["mem"], "select relname as looked_in_vain from pg_class")
    kind, status, verdicts = recorded(stack, "looked_in_vain from")
    assert (kind, status) == ("unknown", "denied")
    assert "denied" in {v["effect"] for v in verdicts}


def test_views_depend_on_what_they_read(stack: Stack):
    assert sorted(row for (row,) in stack.query(stack.keys["ana"], DEPENDS)) == [
        "sales.v_orders reads sales.orders",
        "sales.v_totals reads sales.customers",
        "sales.v_totals reads sales.v_orders",
    ]
    used = "select view_name, table_name, column_name from information_schema.view_column_usage order by 1, 2, 3"
    assert stack.query(stack.keys["ana"], used) == [
        ("v_orders", "orders", "amount"),
        ("v_orders", "orders", "id"),
        ("v_totals", "customers", "id"),
        ("v_totals", "customers", "name"),
        ("v_totals", "v_orders", "amount"),
        ("v_totals", "v_orders", "id"),
    ]


def test_h14_a_view_does_not_tell_of_tables_that_are_not_seen(stack: Stack):
    assert stack.query(stack.keys["narrow"], DEPENDS) == []
    for relation in ("pg_depend", "information_schema.view_table_usage", "information_schema.view_column_usage"):
        rows = stack.query(stack.keys["narrow"], f"select x::text from {relation} x")
        assert not [row for (row,) in rows if "orders" in row or "customers" in row]
