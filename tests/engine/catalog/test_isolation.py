"""Nothing but the principal's own part is in his catalog, and nothing of the outside can be reached from it."""

from __future__ import annotations

import contextlib
import re

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.catalog.emulation import SessionInfo, build, translate
from engine.catalog.emulation import types as t
from engine.catalog.emulation.image import CatalogImage
from engine.catalog.emulation.query_grammar import parse
from engine.executor.catalog_instance import CatalogInstance, CatalogInstances
from governance.errors import Refusal
from tests.engine.catalog.clients import RELATIONS, ask, image, relation


def test_h14_hidden_tables_are_in_no_relation():
    """Build two images over one lake: what only the other organization has appears in no system relation."""
    mine = build([relation("sales.orders", id="BIGINT")], database="production", user="ana")
    other = build([relation("secret_schema.secret_table", secret_column="BIGINT")], database="production", user="eve")
    for seen, hidden in ((mine, "secret"), (other, "orders")):
        instance = CatalogInstance()
        instance.show(seen)
        try:
            for schema, name in t.relations():
                if name == "pg_settings":
                    continue
                for row in ask(instance, f'select * from {schema}."{name}"').texts():
                    assert not any(value is not None and hidden in value and "keyword" not in value for value in row), (
                        name
                    )
        finally:
            instance.close()


def test_every_system_relation_can_be_read_whole(instance: CatalogInstance):
    for (schema, name), shape in t.relations().items():
        answer = ask(instance, f'select * from {schema}."{name}"')
        assert [c.name for c in answer.columns] == [c for c, _, _ in shape.columns]


def test_no_path_of_a_machine_is_told(instance: CatalogInstance):
    for name in ("pg_settings", "pg_tablespace", "pg_file_settings", "pg_hba_file_rules", "pg_config"):
        for row in ask(instance, f"select * from pg_catalog.{name}").texts():
            assert not any(value is not None and value.startswith("/") for value in row), row


def test_masked_types_are_told():
    seen = build([relation("sales.people", salary="VARCHAR", born="DATE")], database="production", user="ana")
    instance = CatalogInstance()
    instance.show(seen)
    try:
        rows = ask(
            instance, "select column_name, data_type from information_schema.columns where table_name = 'people'"
        )
        assert rows.texts() == [("salary", "text"), ("born", "date")]
    finally:
        instance.close()


def test_object_ids_are_stable_whatever_else_is_seen():
    first = {(r.schema, r.name): r.oid for r in image().relations}
    fewer = {(r.schema, r.name): r.oid for r in build(RELATIONS[:2], database="other", user="eve").relations}
    assert fewer.items() <= first.items()
    assert all(16384 <= oid < 1 << 31 for oid in first.values())


def test_image_survives_its_journey():
    assert CatalogImage.from_document(image().document()) == image()


def test_image_key_follows_content():
    other = build(RELATIONS[:2], database="production", user="ana")
    assert image().key == image().key
    assert image().key != other.key


def test_instances_are_few_and_forget():
    instances = CatalogInstances(limit=2)
    instances.open()
    try:
        images = [build(RELATIONS[:n], database="production", user="ana") for n in (1, 2, 3)]
        for each in images:
            with instances.showing(each.key, lambda each=each: each) as instance:
                names = [
                    r for (r,) in ask(instance, "select relname from pg_class where oid > 16384 order by 1").texts()
                ]
                assert names == sorted(r.name for r in each.relations)
        with instances.showing(images[2].key, pytest.fail) as instance:
            assert instance.key == images[2].key
        asked = []
        with instances.showing(images[0].key, lambda: asked.append(1) or images[0]):
            assert asked
    finally:
        instances.close()


def test_instance_is_locked(instance: CatalogInstance, tmp_path):
    (tmp_path / "x.csv").write_text("a\n1\n")
    for text in (
        f"SELECT * FROM read_csv('{tmp_path}/x.csv')",
        f"ATTACH '{tmp_path}/y.db'",
        f"COPY (SELECT 1) TO '{tmp_path}/z.csv'",
        "SET enable_external_access = true",
        "INSTALL httpfs",
    ):
        with pytest.raises(duckdb.Error):
            instance.cursor().execute(text)


NAMES = st.text(min_size=1, max_size=12).filter(lambda s: "\0" not in s)


@given(alias=NAMES, literal=NAMES, column=NAMES)
@settings(max_examples=150, deadline=None)
def test_no_name_or_literal_escapes_into_the_text(instance: CatalogInstance, alias: str, literal: str, column: str):
    def name(text: str) -> str:
        return '"' + text.replace('"', '""') + '"'

    value = "'" + literal.replace("'", "''") + "'"
    text = (
        f"select {name(alias)}.{name(column)}, {value} as {name(literal)} from (select {value}::text as {name(column)})"
        f" {name(alias)} where {name(column)} = {value} order by {name(alias)}.{name(column)}"
    )
    answer = ask(instance, text)
    assert answer.texts() == [(literal, literal)]
    assert [c.name for c in answer.columns] == [column, literal]


TOKENS = st.sampled_from(
    [
        "select",
        "from",
        "where",
        "pg_class",
        "c",
        ".",
        ",",
        "(",
        ")",
        "*",
        "=",
        "1",
        "'x'",
        "and",
        "or",
        "not",
        "in",
        "any",
        "all",
        "array",
        "[",
        "]",
        "::",
        "oid",
        "text",
        "case",
        "when",
        "then",
        "else",
        "end",
        "union",
        "with",
        "recursive",
        "as",
        "join",
        "on",
        "using",
        "left",
        "order",
        "by",
        "group",
        "limit",
        "offset",
        "exists",
        "null",
        "is",
        "$1",
        "current_user",
        "lateral",
        "unnest",
        "generate_series",
        "count",
        "distinct",
        "over",
        "partition",
        "between",
        "like",
        "~",
        "||",
        "-",
        "+",
        "--",
        "/*",
        "*/",
        ";",
        '"',
        "$$",
        "E'\\'",
        "relname",
        "oid",
    ]
)


@given(st.lists(TOKENS, max_size=40))
@settings(max_examples=400, deadline=None)
def test_any_text_is_answered_or_refused(words: list[str]):
    text = "select " + " ".join(words)
    with contextlib.suppress(Refusal):
        statement = translate(text)
        _only_our_relations(statement.sql)


@given(st.text(max_size=80))
@settings(max_examples=300, deadline=None)
def test_parser_never_fails_otherwise(text: str):
    with contextlib.suppress(Refusal):
        parse(text)


def _only_our_relations(sql: str) -> None:
    """DuckDB's own eyes: one SELECT, which reads nothing but our relations."""
    statements = duckdb.extract_statements(sql)
    assert len(statements) == 1
    assert statements[0].type == duckdb.StatementType.SELECT
    for name in duckdb.get_table_names(re.sub(r"\$[ps]_?\w+", "NULL", sql), qualified=True):
        assert name.startswith(("hd_pg_catalog.", "hd_information_schema.")), name


@pytest.mark.parametrize(
    "text",
    [
        "select " + "(" * 5000 + "1" + ")" * 5000,
        "select " + "not " * 5000 + "true",
        "select " + "-" * 1 + " -".join(["1"] * 5000),
        "select " + "1" + "+1" * 50000,
        "select * from " + "(" * 3000 + "pg_class" + ")" * 3000,
        "select " + "array[" * 3000 + "1" + "]" * 3000,
        "select " + "case when true then " * 3000 + "1" + " end" * 3000,
        "select 1 " + "union select 1 " * 20000,
        "select '" + "x" * 400_000 + "'",
        "select * from pg_class where " + " or ".join(["oid = 1"] * 20000),
        "select 1" + "::int" * 6000,
        "select " + "/*" * 5000,
    ],
    ids=range(12),
)
def test_size_and_depth_are_bounded(text: str):
    with contextlib.suppress(Refusal):
        translate(text)


def test_empty_search_path_hides_all_but_the_catalog(instance: CatalogInstance):
    session = SessionInfo(user="ana", database="production", schema=None)
    text = "select pg_table_is_visible('main.t'::regclass), pg_table_is_visible('pg_class'::regclass), current_schema()"
    assert ask(instance, text, session=session).texts() == [("f", "t", None)]
    assert ask(instance, text).texts() == [("t", "t", "main")]


BY_NUMBER = [
    "select pg_describe_object('pg_class'::regclass, {}, 0)",
    "select pg_describe_object('pg_class'::regclass, {}, 1)",
    "select (pg_identify_object('pg_class'::regclass, {}, 0)).identity",
    "select pg_identify_object_as_address('pg_class'::regclass, {}, 1)",
    "select has_table_privilege({}::oid, 'SELECT')",
    "select has_any_column_privilege({}::oid, 'SELECT')",
    "select obj_description({}, 'pg_class'), col_description({}, 1)",
    "select pg_table_is_visible({}), format_type({}, -1), {}::oid::regclass::text = '{}'",
    "select pg_get_viewdef({}::oid), pg_relation_size({}::oid::regclass)",
    "select count(*) from pg_depend where objid = {} or refobjid = {}",
]


@pytest.mark.parametrize("probe", BY_NUMBER)
def test_h14_numbers_of_hidden_relations_tell_nothing(probe: str):
    """Object ids are hashes of names, so anyone can work out the id that a hidden relation has for others."""
    view = relation("secret.v", "select id from sales.orders", id="BIGINT")
    whole = build([*RELATIONS, view], database="production", user="eve")
    instance = CatalogInstance()
    instance.show(build([relation("sales.orders", id="BIGINT")], database="production", user="ana"))
    try:
        for hidden in (r.oid for r in whole.relations if (r.schema, r.name) != ("sales", "orders")):
            told = [ask(instance, probe.replace("{}", str(number))).texts() for number in (hidden, 1_999_999_999)]
            assert told[0] == told[1]
    finally:
        instance.close()


@pytest.mark.parametrize("how", ["visible", "hidden"])
def test_h14_a_dependency_on_what_is_not_seen_is_not_there(how: str):
    seen = RELATIONS if how == "visible" else [r for r in RELATIONS if r.name != "orders"]
    read = {("sales", "v_orders"): [(("sales", "orders"), ("id", "amount"))]}
    instance = CatalogInstance()
    instance.show(build(seen, database="production", user="ana", sources=read))
    try:
        counted = "select count(*) from information_schema.view_column_usage"
        assert ask(instance, counted).texts() == [("2" if how == "visible" else "0",)]
        below = "select count(*) from pg_depend where refobjsubid > 0 and objid >= 16384"
        assert ask(instance, below).texts() == [("2" if how == "visible" else "0",)]
    finally:
        instance.close()
