"""PostgreSQL's meaning of expressions, names and orders, and PostgreSQL's errors."""

from __future__ import annotations

import pytest

from engine.catalog.emulation import translate
from engine.catalog.emulation.values import CatalogRefused
from engine.executor.catalog_instance import CatalogInstance
from governance.errors import FunctionRefused, Refusal, StatementRefused, SyntaxRefused, TableUnknown
from tests.engine.catalog.clients import ask

VALUES = [
    ("select (current_schemas(true))[1]", "pg_catalog"),
    ("select (current_schemas(false))[2]", None),
    ("select (array[1,2,3])[2]", "2"),
    ("select (array[1,2,3])[0]", None),
    ("select (array[1,2,3])[-1]", None),
    ("select ('1 2 3'::int2vector)[0]", "1"),
    ("select array_upper('1 2 3'::int2vector, 1)", "2"),
    ("select array_lower('1 2 3'::int2vector, 1)", "0"),
    ("select array_upper('{}'::int[], 1)", None),
    ("select '{a,\"b c\",NULL}'::text[]", '{a,"b c",NULL}'),
    ("select array['a', null, '']", '{a,NULL,""}'),
    ("select array_to_string(array['a', null, 'b'], ',')", "a,b"),
    ("select array_to_string(array['a', null, 'b'], ',', '*')", "a,*,b"),
    ("select array_to_string('{}'::text[], ',')", ""),
    ("select array(select relname from pg_class where false)", "{}"),
    ("select 7 / 2", "3"),
    ("select -7 / 2", "-3"),
    ("select 2 + 3 * 4", "14"),
    ("select 5 & 3 | 8", "9"),
    ("select 'a' || 1", "a1"),
    ("select 'a_b' like 'a\\_b'", "t"),
    ("select 'axb' like 'a\\_b'", "f"),
    ("select 'a/_b' like 'a//_b' escape '/'", "t"),
    ("select 'ax' like 'a/_' escape '/'", "f"),
    ("select 'abc' ~ '^a', 'abc' !~* 'B'", "t"),
    ("select 'pg_toast_1' !~ '^pg_toast'", "f"),
    ("select 'x' operator(pg_catalog.~) '^(x)$' collate pg_catalog.default", "t"),
    ("select 5 = any(array[1,5])", "t"),
    ("select 5 <> all('{1,2}'::int[])", "t"),
    ("select 'b' = any('{a,b}')", "t"),
    ("select 3 > all(array[1,2])", "t"),
    ("select 'abc' like any(array['x%', 'a%'])", "t"),
    ("select not true or true", "t"),
    ("select 1 is distinct from null", "t"),
    ("select (null::bool) is not true", "t"),
    ("select 3 not between 1 and 2", "t"),
    ("select nullif('', '') is null", "t"),
    ("select case when false then 1 end", None),
    ("select substring('abcdef' from 2 for 3)", "bcd"),
    ("select substring('SETOF int' from 0 for 6)", "SETOF"),
    ("select trim(trailing ';' from 'x;')", "x"),
    ("select position('c' in 'abc')", "3"),
    ("select 'sales.orders'::regclass", "sales.orders"),
    ("select 't'::regclass", "t"),
    ("select 'pg_class'::regclass::oid", "1259"),
    ("select 1259::regclass", "pg_class"),
    ("select 0::oid::regclass", "-"),
    ("select 'int4'::regtype", "integer"),
    ("select 'character varying(10)'::regtype::oid", "1043"),
    ("select 'text[]'::regtype", "text[]"),
    ("select 'array_in'::regproc::oid", "750"),
    ("select 'sales'::regnamespace", "sales"),
    ("select to_regclass('no.such')", None),
    ("select to_regtype('hstore')", None),
    ("select format_type(1043, 14)", "character varying(10)"),
    ("select format_type(1700, 786438)", "numeric(12,2)"),
    ("select format_type(1115, -1)", "timestamp without time zone[]"),
    ("select format_type(18, null)", '"char"'),
    ("select pg_typeof('x'::name)", "name"),
    ("select quote_ident('Odd name')", '"Odd name"'),
    ("select quote_literal('it''s')", "'it''s'"),
    ("select format('%I.%I', 'sales', 'Odd')::text", 'sales."Odd"'),
    ("select E'a\\tb\\x41' || $$c$$", "a\tbAc"),
    ("select current_setting('jit')", "on"),
    ("select current_setting('no.such', true)", None),
    ("select pg_size_pretty(123456789::bigint)", "118 MB"),
    ("select has_table_privilege('sales.orders', 'SELECT')", "t"),
    ("select has_table_privilege('ana', 'sales.orders', 'INSERT')", "f"),
    ("select has_schema_privilege('sales', 'usage, create')", "t"),
    ("select count(*) from generate_series(1, 5) g", "5"),
    ("select sum(g) from generate_series(1, 5) as t(g)", "15"),
    ("select string_agg(x, ',' order by x desc) from unnest(array['a','b']) x", "b,a"),
    ("select array_agg(x order by o desc) from unnest(array['a','b']) with ordinality as u(x, o)", "{b,a}"),
    ("select max(row_number) from (select row_number() over (order by oid) from pg_am) r", "7"),
    ("select (information_schema._pg_expandarray('4 5'::int2vector)).x", "4"),
    ("select x from (values (1, 'a'), (2, null)) v(n, x) where n = 2", None),
    ("select c.oid::regclass from pg_class c where c.oid = 'sales.orders'::regclass", "sales.orders"),
    ("select typname from pg_type where oid = '25'", "text"),
    ("select typname[0] from pg_type where oid = 1009", "_"),
    ("select tableoid::regclass from pg_type limit 1", "pg_type"),
]


@pytest.mark.parametrize(("text", "value"), VALUES, ids=[v[0] for v in VALUES])
def test_value(instance: CatalogInstance, text: str, value: str | None):
    assert ask(instance, text).texts()[0][0] == value


NAMES = [
    ("select oid::regclass::text from pg_class", ["oid"]),
    ("select 'x'::text, 1::int, 'x'", ["text", "int4", "?column?"]),
    ("select count(*), upper('x'), current_user, current_schema()",
     ["count", "upper", "current_user", "current_schema"]),
    ("select case when true then 1 end, case when true then 1 else oid end from pg_class", ["case", "oid"]),
    ("select exists(select 1), array[1], array(select 1), (select 1), (select oid from pg_am limit 1)",
     ["exists", "array", "array", "?column?", "oid"]),
    ("select (array[1])[1], coalesce(1), 1 + 1, true and true, oid is null from pg_am",
     ["array", "coalesce", "?column?", "?column?", "?column?"]),
    ('select 1 as "Mixed Case", 2 as Folded, 3 label', ["Mixed Case", "folded", "label"]),
    ("select * from (select 1, 1, oid, oid from pg_am limit 1) q", ["?column?", "?column?", "oid", "oid"]),
]  # fmt: skip


@pytest.mark.parametrize(("text", "names"), NAMES, ids=[n[0] for n in NAMES])
def test_column_names_are_postgresqls(text: str, names: list[str]):
    assert [c.name for c in translate(text).columns] == names


TYPES = [
    ("select oid, relname, relkind, relnatts, relhasindex, reltuples as n, relacl, reloptions from pg_class",
     [26, 19, 18, 21, 16, 700, 1034, 1009]),
    ("select 1, 3000000000, 1.5, 'x', null, true, 1::oid, now()", [23, 20, 1700, 25, 25, 16, 26, 1184]),
    ("select c.oid::regclass, typreceive, indkey from pg_class c, pg_type, pg_index", [2205, 24, 22]),
    ("select array_agg(oid), array_agg(relname), array_agg(relname::text) from pg_class", [1028, 1003, 1009]),
    ("select table_name, ordinal_position, data_type, is_nullable from information_schema.columns",
     [19, 23, 1043, 1043]),
    ("select current_user, current_schemas(true), version(), pg_backend_pid()", [19, 1003, 25, 23]),
    ("select count(*), sum(relnatts), max(relname), min(oid) from pg_class", [20, 20, 25, 26]),
    ("select null union select 1", [23]),
    ("select 1::int2 union all select 2::int8", [20]),
]  # fmt: skip


@pytest.mark.parametrize(("text", "oids"), TYPES, ids=[n[0] for n in TYPES])
def test_column_types_are_postgresqls(instance: CatalogInstance, text: str, oids: list[int]):
    assert [c.oid for c in translate(text).columns] == oids
    ask(instance, text + " limit 1")


def test_nulls_sort_as_in_postgresql(instance: CatalogInstance):
    values = "(values (1), (null), (2)) v(x)"
    assert ask(instance, f"select x from {values} order by x").texts() == [("1",), ("2",), (None,)]
    assert ask(instance, f"select x from {values} order by x desc").texts() == [(None,), ("2",), ("1",)]
    assert ask(instance, f"select x from {values} order by x desc nulls last").texts() == [("2",), ("1",), (None,)]


def test_text_sorts_by_code_point(instance: CatalogInstance):
    rows = ask(instance, "select x from unnest(array['b', 'B', 'a', '_']) x order by x").texts()
    assert rows == [("B",), ("_",), ("a",), ("b",)]


def test_using_merges_the_column(instance: CatalogInstance):
    answer = ask(instance, "select * from (select 1 as a, 2 as b) x left join (select 1 as a, 3 as c) y using (a)")
    assert [c.name for c in answer.columns] == ["a", "b", "c"]
    assert answer.texts() == [("1", "2", "3")]


def test_lateral_function_sees_its_neighbour_and_subquery_does_not(instance: CatalogInstance):
    rows = ask(
        instance, "select v.n, u.x from (values (2), (1)) v(n), generate_series(1, v.n) u(x) order by 1, 2"
    ).texts()
    assert rows == [("1", "1"), ("2", "1"), ("2", "2")]
    with pytest.raises(CatalogRefused) as caught:
        translate("select * from (values (1)) v(n), (select v.n) s")
    assert caught.value.sqlstate == "42P01"


def test_alias_hides_the_table_name():
    with pytest.raises(CatalogRefused) as caught:
        translate("select pg_class.oid from pg_class c")
    assert caught.value.sqlstate == "42P01"


def test_recursion(instance: CatalogInstance):
    text = (
        "with recursive r(n, p) as (select 1, 'x' union all select n + 1, p || 'x' from r where n < 3)"
        " select * from r order by 1 desc"
    )
    assert ask(instance, text).texts() == [("3", "xxx"), ("2", "xx"), ("1", "x")]


def test_set_config_is_told_to_the_session(instance: CatalogInstance):
    statement = translate("select set_config('jit', $1, false), set_config('search_path', '', true)")
    assert [(w.name, w.value, w.local) for w in statement.setting_writes] == [
        ("jit", 1, False),
        ("search_path", "", True),
    ]
    with pytest.raises(Refusal):
        ask(instance, "select set_config(name, 'x', false) from pg_settings where name = 'jit'")


def test_parameters_take_their_type_from_their_place():
    statement = translate(
        "select 1 from pg_class c where oid = $1 and relname like $2 and relkind = any($3) and $4 = relnatts and"
        " c.oid = cast($5 as regclass) and $6::int > 1 limit $7"
    )
    assert statement.parameters == (26, 25, 1002, 21, 2205, 23, 20)
    assert translate("select relname from pg_class where oid = $1", (20,)).parameters == (20,)


def test_parameters_bind_in_text_and_binary(instance: CatalogInstance):
    text = "select typname from pg_type where oid = any($1::oid[]) order by oid"
    assert ask(instance, text, ["{25,23}"]).texts() == [("int4",), ("text",)]
    packed = bytes.fromhex("00000001000000000000001a000000020000000100000004000000190000000400000017")
    assert ask(instance, text, [packed], parameter_format=1).texts() == [("int4",), ("text",)]
    by_class = "select relname from pg_class where oid = $1::regclass"
    assert ask(instance, by_class, ["sales.orders"]).texts() == [("orders",)]
    assert ask(instance, by_class, [(1259).to_bytes(4)], parameter_format=1).texts() == [("pg_class",)]
    with pytest.raises(Refusal):
        ask(instance, text, [packed[:-2]], parameter_format=1)
    with pytest.raises(Refusal):
        ask(instance, "select 1 from pg_class where oid = $1", ["x"])


def test_object_ids_travel_in_four_bytes(instance: CatalogInstance):
    answer = ask(instance, "select oid, oid::regclass, relname, relkind from pg_class where oid = 1259", formats=(1,))
    assert answer.rows == [((1259).to_bytes(4), (1259).to_bytes(4), b"pg_class", b"r")]
    assert [c.size for c in answer.columns] == [4, 4, 64, 1]


ERRORS = [
    ("select no_such from pg_class", "42703"),
    ("select oid from pg_class, pg_type", "42702"),
    ("select 1 from pg_no_such", "42P01"),
    ("select 'no.such'::regclass", "42P01"),
    ("select 'nosuch'::regtype", "42704"),
    ("select 'nosuch'::regnamespace", "3F000"),
    ("select 1 from pg_class where oid = 'x'", "22P02"),
    ("select 1 from pg_class where relname", "42804"),
    ("select 1 from pg_class where relname = 5", "42883"),
    ("select version(1)", "42883"),
    ("select pg_read_file('/etc/passwd')", "42501"),
    ("select current_setting('nosuch')", "42704"),
    ("select 1 from pg_class union select 1, 2", "42601"),
    ("select current_user order by 2", "42P10"),
    ("select from where pg_class", "42601"),
    ("select count(*) from generate_series(1, 100000000), pg_class", "22023"),
]


@pytest.mark.parametrize(("text", "state"), ERRORS, ids=[e[0] for e in ERRORS])
def test_errors_carry_postgresqls_sqlstate(instance: CatalogInstance, text: str, state: str):
    from engine.refusals import sqlstate_of

    with pytest.raises(Refusal) as caught:
        ask(instance, text)
    assert sqlstate_of(caught.value) == state
    assert "'" not in caught.value.message


@pytest.mark.parametrize(
    "text",
    [
        "select * from read_csv('/etc/passwd')",
        "select * from pg_class, '/etc/passwd'",
        "select getenv('HOME') from pg_class",
        "select * from duckdb_settings()",
        "select * from pragma_version()",
        "select * from pg_class for update",
        "select * into x from pg_class",
        "select 1; select 2",
        "insert into pg_class values (1)",
        "select * from other.pg_catalog.x.pg_class",
        "select * from main.pg_class_of_mine",
        "select pg_reload_conf()",
        "select lo_import('/etc/passwd')",
        "select * from pg_ls_dir('/')",
        "select dblink('x')",
        "select query('select 1') from pg_class",
        "select repeat('x', 1000000000) from pg_class",
        "copy pg_class to stdout",
    ],
)
def test_what_is_not_on_the_list_is_refused(instance: CatalogInstance, text: str):
    with pytest.raises((FunctionRefused, StatementRefused, SyntaxRefused, TableUnknown, Refusal)):
        ask(instance, text)
