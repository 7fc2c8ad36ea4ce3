"""Which statements are the catalog's."""

from __future__ import annotations

import pytest

from engine.catalog.emulation import is_catalog_query

OURS = [
    "select version()",
    "SELECT pg_catalog.version();",
    "select current_schema()",
    "select current_user, session_user, current_database()",
    "select current_setting('server_version_num')::int / 100",
    "select set_config('search_path', '', false)",
    "select pg_backend_pid()",
    "select * from pg_class",
    'select * from "pg_catalog"."pg_class" c, information_schema.columns',
    "select 'sales.orders'::regclass::oid",
    "with c as (select oid from pg_class) select * from c",
    "select (select count(*) from pg_settings)",
    "/* comment */ select nspname from pg_namespace -- pg",
    "select 1 from pg_no_such_relation",
    "select has_table_privilege('sales.orders', 'select')",
    "values (current_user)",
    "select x.* from pg_catalog.pg_class tablesample bernoulli(1)",
]
THEIRS = [
    "select 1",
    "select now(), current_date, current_timestamp",
    "select * from sales.orders",
    "select * from sales.orders o join pg_class c on true",
    "select (select count(*) from pg_class) from sales.orders",
    "with pg_class as (select * from sales.orders) select * from pg_class",
    "select 'pg_class'",
    "select pg_class.x from sales.pg_class",
    "begin",
    "update pg_class set relname = 'x'",
    "select version() from sales.orders",
    "",
    "select * from read_csv('pg_class')",
    "select * from generate_series(1, 3)",
]


@pytest.mark.parametrize("text", OURS)
def test_catalog_queries_are_ours(text: str):
    assert is_catalog_query(text)


@pytest.mark.parametrize("text", THEIRS)
def test_other_statements_are_left_to_the_pipeline(text: str):
    assert not is_catalog_query(text)
