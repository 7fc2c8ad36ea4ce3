"""Every catalog query that the recorded clients send is answered, with the columns it would have."""

from __future__ import annotations

import pytest

from engine.catalog.emulation import is_catalog_query
from engine.executor.catalog_instance import CatalogInstance
from tests.engine.catalog.clients import RECORDED, Recorded, ask, recorded

if not RECORDED.exists():
    pytest.skip("the recorded clients of ../shared are not here", allow_module_level=True)

CATALOG_QUERIES = [r for r in recorded() if is_catalog_query(r.text) and "pg_sleep" not in r.text]


def test_recordings_are_found():
    assert len(CATALOG_QUERIES) > 190
    assert {r.client for r in CATALOG_QUERIES} >= {
        "psql",
        "jdbc",
        "asyncpg",
        "pyodbc-declarefetch",
        "sqlalchemy-psycopg",
        "adbc",
    }


@pytest.mark.parametrize("query", CATALOG_QUERIES, ids=lambda q: q.client)
def test_recorded_query_is_answered(instance: CatalogInstance, query: Recorded):
    answer = ask(instance, query.text, query.parameters)
    assert answer.columns
    assert all(len(row) == len(answer.columns) for row in answer.rows)
    binary = ask(instance, query.text, query.parameters, formats=(1,))
    assert len(binary.rows) == len(answer.rows)
