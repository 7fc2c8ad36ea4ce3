"""Forms and functions one by one beside a real PostgreSQL 15; composites and arrays of arrays in binary too."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from engine.executor.catalog_instance import CatalogInstance
from engine.executor.catalog_numbers import to_char
from tests.engine.catalog.clients import ask
from tests.engine.catalog.postgres import Twins

FORMS = [
    piece.strip()
    for name in ("forms.sql", "json_forms.sql")
    for piece in Path(__file__).with_name(name).read_text().partition("\n")[2].split(";\n")
    if piece.strip()
]
BINARY = [
    "select row(1, 'a'::text, null::int, true, 2.5::float8) from pg_am limit 1",
    "select array_agg((relname::text, relnatts, array[relkind::text])) from pg_class where relname = 't'",
    "select array[[1, 2], [3, null]] from pg_am limit 1",
    "select array_agg(array[relname::text, 'x'] order by relname) from pg_class where relname in ('orders', 't')",
    "select coalesce(array_agg(row(oid, relname)), '{}') from pg_class where false",
    "select jsonb_build_object('a', 1), row(jsonb_build_array(1)) from pg_am limit 1",
]
PATTERNS = [
    "9999.99", "999", "0000", "9,999,999", "FM999.00", "FM0.99", "FM00", "RN", "FMRN", "L9999", "S9", "9S", "9MI",
    "9PR", "99th", "99.9", "FM9,999.90", "0,000.0", "SG99", "PL99",
    "FM9.99", "9.99", ".99", "0.9", "S99.9", "FMS99", "MI99",
    "FM99PR", '"x"99', "9G999D99", "099.90", "99V99", "S0999",
]  # fmt: skip
NUMBERS = ["0", "0.1", "-0.1", "1", "-12", "123", "1234.5", "-1234.567", "0.005", "1000000", "999.999", "-0.04"]


@pytest.mark.parametrize("text", FORMS)
def test_forms_are_answered_alike(twins: Twins, text: str):
    real, ours = twins.real(text), twins.emulated(text)
    assert ours.error == real.error
    assert ours.columns == real.columns
    assert ours.bag == real.bag


@pytest.mark.parametrize("text", BINARY)
def test_composites_have_postgresqls_bytes(postgres: psycopg.Connection, instance: CatalogInstance, text: str):
    real = postgres.pgconn.exec_params(text.encode(), [], result_format=1)
    ours = ask(instance, text, formats=[1])
    assert [c.oid for c in ours.columns] == [real.ftype(i) for i in range(real.nfields)]
    assert ours.rows == [tuple(real.get_value(0, i) for i in range(real.nfields))]


@pytest.mark.parametrize("pattern", PATTERNS)
def test_numbers_by_pattern_look_alike(postgres: psycopg.Connection, pattern: str):
    asked = ", ".join(f"to_char({number}::numeric, %(pattern)s)" for number in NUMBERS)
    real = postgres.execute(f"select {asked}", {"pattern": pattern}).fetchone()
    assert [to_char(number, pattern) for number in NUMBERS] == list(real or ())
