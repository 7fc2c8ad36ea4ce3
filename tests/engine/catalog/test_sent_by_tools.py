"""What tools send when they look around, from their own runs: columns as PostgreSQL 15 gave them, and as many rows.

Python: SQLAlchemy (psycopg, psycopg2), pandas, ibis, psycopg's type loaders, Django inspectdb, schemainspect, peewee,
pgcli, dbt (run, test, docs). Node: pg-introspection, extract-pg-schema, pg-structure, knex, sequelize, TypeORM,
kysely, drizzle-kit, Supabase postgres-meta, Directus, DbGate, Cube, @databases.
Drivers and mappers of other languages (Rails, Perl's DBI, PHP's PDO and Doctrine, R, Tcl, GDAL, JDBC's whole
DatabaseMetaData, ODBC, Sequelize, TypeORM, peewee, tortoise) are in `sent_by_drivers.json`.
`rows` is null where the rows differ on purpose (see docs/catalog.md).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from engine.catalog.emulation import is_catalog_query
from engine.executor.catalog_instance import CatalogInstance
from tests.engine.catalog.clients import ask, image
from tests.engine.catalog.postgres import numbered, numbers_of

SENT: list[dict[str, Any]] = [
    sent
    for name in ("sent_by_tools.json", "sent_by_drivers.json")
    for sent in json.loads(Path(__file__).with_name(name).read_text())
]


@pytest.mark.parametrize("sent", SENT, ids=lambda sent: sent["tools"])
def test_what_tools_send_is_answered(instance: CatalogInstance, sent: dict[str, Any]):
    numbers = numbers_of(image())
    text = numbered(sent["text"], numbers)
    assert is_catalog_query(text)
    answer = ask(instance, text, [None if p is None else numbered(p, numbers) for p in sent["parameters"]])
    assert [[c.name, c.oid, c.modifier] for c in answer.columns] == sent["columns"]
    assert sent["rows"] in (None, len(answer.rows))
