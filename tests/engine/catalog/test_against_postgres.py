"""The same statements against a real PostgreSQL 15 with the same tables: columns equal, rows equal or explained."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from engine.catalog.emulation import is_catalog_query
from engine.catalog.emulation.rows import database_oid, role_oid
from engine.executor.catalog_instance import CatalogInstance
from governance.errors import Refusal
from tests.engine.catalog.clients import RECORDED, RELATIONS, Recorded, ask, image, recorded
from tests.engine.catalog.shapes import SHAPES

BINARIES = Path("/usr/lib/postgresql/15/bin")
if not (BINARIES / "initdb").exists():
    pytest.skip("PostgreSQL 15 is not installed", allow_module_level=True)
if not RECORDED.exists():
    pytest.skip("the recorded clients of ../shared are not here", allow_module_level=True)

TYPES = {
    "VARCHAR": "text",
    "TIMESTAMP WITH TIME ZONE": "timestamptz",
    "VARCHAR[]": "text[]",
    "BLOB": "bytea",
    "DOUBLE": "float8",
}
RECORDED_OIDS = {"16412": "main.t", "16386": "sales.customers", "16393": "sales.orders", "16408": "sales.v_orders"}
EXPLAINED = {
    "version(": "we tell our own version",
    "pg_get_viewdef": "we tell a view's text as it was declared, PostgreSQL prints its tree anew",
    "pg_get_functiondef": "we tell no bodies of built-in functions",
    "pg_type": "row types of tables are left out",
    "pg_attribute": "TOAST tables and indexes of system relations are left out",
    "pg_class": "TOAST tables and indexes of system relations are left out",
    "pg_constraint": "system relations have no keys here",
    "pg_indexes": "system relations have no indexes here",
    "pg_database": "template databases are left out",
    "pg_roles": "predefined roles are left out, the owner is nobody's superuser",
    "pg_db_role_setting": "search_path is fixed",
    "information_schema.": "nothing can be inserted into or updated",
    "pg_namespace": "privileges of schemas are not told",
    "pg_proc": "functions of information_schema are left out",
    "pg_ts_": "text search is left out",
    "pg_collation": "collations beyond C and default are left out",
    "pg_conversion": "conversions are left out",
    "pg_rewrite": "rules of system views are left out",
    "pg_depend": "dependencies of system objects are left out",
    "pg_init_privs": "initial privileges are left out",
    "search_path": "the names in front of it are resolved by one schema here",
    "pg_stat_gssapi": "sessions are not listed",
    "pg_description": "comments of system objects are left out",
}
"""Why rows may differ, by what the statement reads."""


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[psycopg.Connection]:
    folder = tmp_path_factory.mktemp("pg", numbered=True)
    home = Path("/tmp") / f"hd-pg-{os.getpid()}" if len(str(folder)) > 80 else folder
    home.mkdir(exist_ok=True)
    prefix: list[str] = []
    if os.geteuid() == 0:
        if shutil.which("setpriv") is None:
            pytest.skip("PostgreSQL does not run as root and setpriv is not installed")
        for parent in (home, *home.parents):
            if parent == Path("/tmp"):
                break
            parent.chmod(0o755)
        shutil.chown(home, "nobody")
        prefix = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"]

    def run(*arguments: str) -> None:
        subprocess.run([*prefix, *arguments], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/")

    data = str(home / "data")
    run(str(BINARIES / "initdb"), "-D", data, "-U", "hatidata", "--locale=C.UTF-8", "-E", "UTF8", "--no-sync")
    options = f"-c listen_addresses='' -c fsync=off -k {home}"
    run(str(BINARIES / "pg_ctl"), "-D", data, "-o", options, "-l", str(home / "log"), "-w", "start")
    try:
        with psycopg.connect(f"host={home} user=hatidata dbname=postgres", autocommit=True) as admin:
            admin.execute("create database production")
            admin.execute("create role ana login")
        with psycopg.connect(f"host={home} user=hatidata dbname=production", autocommit=True) as admin:
            admin.execute("drop extension plpgsql")
            admin.execute("drop schema public; create schema main; create schema sales")
            admin.execute("alter database production set search_path = main")
            for relation in RELATIONS:
                columns = ", ".join(f"{c.name} {TYPES.get(c.type, c.type)}" for c in relation.columns)
                name = f"{relation.schema}.{relation.name}"
                if relation.definition:
                    admin.execute(f"create view {name} as {relation.definition}")
                else:
                    admin.execute(f"create table {name} ({columns})")
            admin.execute("grant usage on schema main, sales to ana")
            admin.execute("grant select on all tables in schema main, sales to ana")
        with psycopg.connect(f"host={home} user=ana dbname=production", autocommit=True) as connection:
            yield connection
    finally:
        run(str(BINARIES / "pg_ctl"), "-D", data, "-m", "immediate", "stop")
        shutil.rmtree(home, ignore_errors=True)


def _with_oids(text: str, oids: dict[str, int]) -> str:
    text = re.sub(r"\b(16412|16386|16393|16408)\b", lambda m: str(oids[RECORDED_OIDS[m.group()]]), text)
    return text.replace("'public'", "'main'")


def test_columns_equal_and_rows_equal_or_explained(postgres: psycopg.Connection, instance: CatalogInstance):
    queries = [q for q in recorded() if is_catalog_query(q.text) and not re.search("set_config|pg_sleep", q.text)]
    score = compare(postgres, instance, queries)
    assert score["refused"] == 0
    assert score["exact"] >= 170


def test_shapes_of_other_tools(postgres: psycopg.Connection, instance: CatalogInstance):
    queries = [Recorded(tool, text.strip(), ()) for tool, texts in SHAPES.items() for text in texts]
    assert all(is_catalog_query(q.text) for q in queries)
    score = compare(postgres, instance, queries)
    assert score["refused"] == 0
    assert score["exact"] >= 51


def compare(postgres: psycopg.Connection, instance: CatalogInstance, queries: list[Recorded]) -> Counter[str]:
    """Ask both; columns must be equal, rows equal or explained."""
    seen = image()
    ours = {f"{r.schema}.{r.name}": r.oid for r in seen.relations}
    theirs = {n: _one(postgres, f"select '{n}'::regclass::oid") for n in ours}
    same = {str(theirs[n]): str(ours[n]) for n in ours}
    for oid, name in seen.schemas:
        same[str(_one(postgres, f"select oid from pg_namespace where nspname = '{name}'"))] = str(oid)
    database = _one(postgres, "select oid from pg_database where datname = 'production'")
    same[str(database)] = str(database_oid("production"))
    same[str(_one(postgres, "select oid from pg_roles where rolname = 'ana'"))] = str(role_oid("ana"))
    score: Counter[str] = Counter()
    unexplained = []
    for query in queries:
        values = [None if p is None else _with_oids(f"'{p}'", theirs)[1:-1] for p in query.parameters]
        result = postgres.pgconn.exec_params(
            _with_oids(query.text, theirs).encode(), [None if v is None else v.encode() for v in values]
        )
        if result.status != psycopg.pq.ExecStatus.TUPLES_OK:
            continue  # what PostgreSQL itself refuses to this user
        mine_values = [None if p is None else _with_oids(f"'{p}'", ours)[1:-1] for p in query.parameters]
        try:
            mine = ask(instance, _with_oids(query.text, ours), mine_values)
        except Refusal:
            score["refused"] += 1
            continue
        places = range(result.nfields)
        told = [(_name(result, i), result.ftype(i), result.fmod(i), result.fsize(i)) for i in places]
        assert [(c.name, c.oid, c.modifier, c.size) for c in mine.columns] == told, query.text
        rows = [tuple(_renamed(result.get_value(i, j), same) for j in places) for i in range(result.ntuples)]
        if sorted(map(str, rows)) == sorted(map(str, mine.texts())):
            score["exact"] += 1
        else:
            score["answered"] += 1
            if not any(mark in query.text for mark in EXPLAINED):
                unexplained.append(query.text)
    assert unexplained == []
    print(dict(score))
    return score


def _name(result: psycopg.pq.abc.PGresult, place: int) -> str:
    return (result.fname(place) or b"").decode()


def _one(connection: psycopg.Connection, query: str) -> int:
    row = connection.execute(query).fetchone()
    assert row is not None
    return int(row[0])


def _renamed(value: bytes | None, same: dict[str, str]) -> str | None:
    return None if value is None else same.get(value.decode(), value.decode())
