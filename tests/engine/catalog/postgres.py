"""A real PostgreSQL 15 that holds the tables of `clients.RELATIONS`, and what is called what on the two sides."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import duckdb
import psycopg

from engine.catalog.emulation import CatalogImage
from engine.catalog.emulation.rows import database_oid, role_oid
from engine.executor.catalog_instance import CatalogInstance
from engine.executor.failures import classify, refusal
from engine.refusals import sqlstate_of
from governance.errors import Refusal
from tests.engine.catalog.clients import RELATIONS, ask, image
from tests.support.postgres15 import running_postgres

TYPES = {
    "VARCHAR": "text",
    "TIMESTAMP WITH TIME ZONE": "timestamptz",
    "VARCHAR[]": "text[]",
    "BLOB": "bytea",
    "DOUBLE": "float8",
}
_MARK = re.compile(r"\{\{([\w.]+)\}\}")


@contextmanager
def twin_postgres() -> Iterator[psycopg.Connection]:
    """A connection of `ana`, who may read everything and owns nothing."""
    with running_postgres(user="hatidata", locale="C.UTF-8") as server:
        with psycopg.connect(server.dsn, autocommit=True) as admin:
            admin.execute("create database production")
            admin.execute("create role ana login")
        where = server.dsn.replace("dbname=postgres", "dbname=production")
        with psycopg.connect(where, autocommit=True) as admin:
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
        with psycopg.connect(where.replace("user=hatidata", "user=ana"), autocommit=True) as connection:
            yield connection


def numbers_of(seen: CatalogImage) -> dict[str, int]:
    """Object ids of an image by name: relations, their `.row` and `.array` types, schemas, `database`, `role`."""
    found = {"database": database_oid(seen.database), "role": role_oid(seen.user)}
    found |= {name: oid for oid, name in seen.schemas}
    for relation in seen.relations:
        name = f"{relation.schema}.{relation.name}"
        found |= {name: relation.oid, f"{name}.row": relation.row_type, f"{name}.array": relation.array_type}
    return found


def numbered(text: str, numbers: dict[str, int]) -> str:
    """`text` with each `{{name}}` replaced by its number."""
    return _MARK.sub(lambda found: str(numbers[found.group(1)]), text)


@dataclass(frozen=True)
class Answered:
    """`error` is a SQLSTATE or empty; columns are (name, type id, modifier, size)."""

    error: str
    columns: list[tuple[str, int, int, int]]
    rows: list[tuple[str | None, ...]]

    @property
    def bag(self) -> list[str]:
        """The rows in no order."""
        return sorted(map(str, self.rows))


class Twins:
    """The emulated catalog and the real one. `{{sales.orders}}` in a text is that relation's number on each side."""

    def __init__(
        self, postgres: psycopg.Connection, instance: CatalogInstance, seen: CatalogImage | None = None
    ) -> None:
        self._postgres = postgres
        self._instance = instance
        seen = seen or image()
        ours = numbers_of(seen)
        theirs = {n: self._number(f"select oid from pg_namespace where nspname = '{n}'") for _, n in seen.schemas}
        theirs["database"] = self._number(f"select oid from pg_database where datname = '{seen.database}'")
        theirs["role"] = self._number(f"select oid from pg_roles where rolname = '{seen.user}'")
        for relation in seen.relations:
            name = f"{relation.schema}.{relation.name}"
            theirs[name] = self._number(f"select '{name}'::regclass::oid")
            theirs[f"{name}.row"] = self._number(f"select reltype from pg_class where oid = {theirs[name]}")
            theirs[f"{name}.array"] = self._number(f"select typarray from pg_type where oid = {theirs[name + '.row']}")
        self.ours, self.theirs = ours, theirs
        self._same = {str(theirs[name]): str(ours[name]) for name in ours}

    def _number(self, query: str) -> int:
        row = self._postgres.execute(query).fetchone()
        assert row is not None
        return int(row[0])

    def real(self, text: str, parameters: Sequence[str | None] = ()) -> Answered:
        """What PostgreSQL answers, its numbers of objects translated into ours."""
        values = [None if p is None else numbered(p, self.theirs).encode() for p in parameters]
        result = self._postgres.pgconn.exec_params(numbered(text, self.theirs).encode(), values)
        if result.status != psycopg.pq.ExecStatus.TUPLES_OK:
            return Answered((result.error_field(psycopg.pq.DiagnosticField.SQLSTATE) or b"").decode(), [], [])
        places = range(result.nfields)
        columns = [
            ((result.fname(i) or b"").decode(), result.ftype(i), result.fmod(i), result.fsize(i)) for i in places
        ]
        rows = [tuple(self._renamed(result.get_value(i, j)) for j in places) for i in range(result.ntuples)]
        return Answered("", columns, rows)

    def emulated(self, text: str, parameters: Sequence[str | None] = ()) -> Answered:
        """What the emulated catalog answers."""
        values = [None if p is None else numbered(p, self.ours) for p in parameters]
        try:
            answer = ask(self._instance, numbered(text, self.ours), values)
        except Refusal as error:
            return Answered(sqlstate_of(error), [], [])
        except duckdb.Error as error:
            return Answered(sqlstate_of(refusal(classify(error))), [], [])
        return Answered("", [(c.name, c.oid, c.modifier, c.size) for c in answer.columns], answer.texts())

    def _renamed(self, value: bytes | None) -> str | None:
        if value is None:
            return None
        return re.sub(r"\b\d{5,}\b", lambda found: self._same.get(found.group(), found.group()), value.decode())
