"""Result columns are named from the client's text: no rule and no file name stands in a header."""

from __future__ import annotations

import duckdb
import pytest

from governance.policies import RowFilter
from governance.tables import TableName
from tests.support.governed_lab import Lab, principal, rulebook

SETUP = (
    "CREATE SCHEMA sales",
    "CREATE TABLE sales.customers AS SELECT * FROM (VALUES (1, 1, 'a'), (2, 1, 'b'), (3, 2, 'c')) t(id, org_id, ssn)",
)
FILTER = RowFilter("p1", "own", TableName("sales", "customers"), "org_id = {org_id}")

STATEMENTS = (
    "SELECT (SELECT max(ssn) FROM sales.customers)",
    "SELECT 'a,b', ((SELECT count(*) FROM sales.customers c2 WHERE c2.id > c.id)+1) FROM sales.customers c",
    "SELECT CASE WHEN EXISTS (FROM sales.customers) THEN 'a' ELSE 'b' END, 1 IN (SELECT id FROM sales.customers)",
    "SELECT upper(sales.customers.ssn), sales.customers.ssn || 'x', sales.customers.id FROM sales.customers",
    "SELECT ARRAY(SELECT ssn FROM sales.customers ORDER BY id)",
    "SELECT * FROM (SELECT coalesce((SELECT max(ssn) FROM sales.customers), 'none'), 1) x",
    "SELECT (SELECT (SELECT max(ssn) FROM sales.customers))",
    "SELECT ssn IS DISTINCT FROM (SELECT max(ssn) FROM sales.customers) FROM sales.customers",
    "FROM sales.customers o SELECT (SELECT max(c.ssn) FROM sales.customers c WHERE c.id = o.id), id",
    "WITH x AS (SELECT (SELECT max(ssn) FROM sales.customers)) SELECT * FROM x",
    "SELECT (SELECT max(ssn) FROM sales.customers) foo, (SELECT min(ssn) FROM sales.customers) UNION SELECT '1', '2'",
    "SELECT extract(year FROM (SELECT DATE '2024-01-01' FROM sales.customers LIMIT 1))",
    "SELECT max(id) FILTER (WHERE id IN (SELECT id FROM sales.customers)) FROM sales.customers",
    "SELECT [(SELECT ssn FROM sales.customers WHERE id = 1), 'b'][1], {'a': (SELECT max(ssn) FROM sales.customers)}",
    "SELECT 'é', (SELECT max(ssn) FROM sales.customers), '日本' AS j",
)


@pytest.mark.parametrize("sql", STATEMENTS)
def test_headers_are_those_duckdb_gives_the_clients_own_text(sql: str) -> None:
    lab = Lab(SETUP)
    outcome = lab.run(sql, principal(), rulebook([FILTER]))
    with duckdb.connect() as plain:
        for statement in SETUP:
            plain.execute(statement)
        expected = [row[0] for row in plain.execute(f"DESCRIBE {sql}").fetchall()]
    assert outcome.status == "ok", outcome.error
    names = [name for name, _ in outcome.columns]
    assert [n.replace('"', "") for n in names] == [
        n.replace('"', "") for n in expected
    ]  # its parser quotes type names differently


def test_keys_of_json_made_from_headers_tell_nothing() -> None:
    outcome = Lab(SETUP).run(
        "SELECT to_json(t) FROM (SELECT (SELECT max(ssn) FROM sales.customers)) t", principal(), rulebook([FILTER])
    )
    assert outcome.rows == [('{"(SELECT max(ssn) FROM sales.customers)":"b"}',)]
