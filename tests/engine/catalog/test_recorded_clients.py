"""Every catalog query that the recorded clients send is answered, with the columns it would have."""

from __future__ import annotations

import pytest

from engine.catalog.emulation import is_catalog_query
from engine.executor.catalog_instance import CatalogInstance
from governance.errors import FunctionRefused
from tests.engine.catalog.clients import RECORDED, Recorded, ask, recorded

if not RECORDED.exists():
    pytest.skip("the recorded clients of ../shared are not here", allow_module_level=True)

REFUSED = {"pg_sleep": FunctionRefused}
"""Functions in the recordings that are refused, and how."""
CATALOG_QUERIES = [r for r in recorded() if is_catalog_query(r.text)]


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
    expected = next((error for name, error in REFUSED.items() if name in query.text), None)
    if expected is not None:
        with pytest.raises(expected):
            ask(instance, query.text, query.parameters)
        return
    answer = ask(instance, query.text, query.parameters)
    assert answer.columns
    assert all(len(row) == len(answer.columns) for row in answer.rows)
    binary = ask(instance, query.text, query.parameters, formats=(1,))
    assert len(binary.rows) == len(answer.rows)
