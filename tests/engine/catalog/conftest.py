from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from engine.executor.catalog_instance import CatalogInstance
from tests.engine.catalog.clients import image
from tests.engine.catalog.postgres import Twins, twin_postgres
from tests.engine.catalog.warehouse import running_warehouse
from tests.support.postgres15 import missing
from tests.support.stack import Stack


@pytest.fixture(scope="package")
def postgres() -> Iterator[psycopg.Connection]:
    if why := missing():
        pytest.skip(why)
    with twin_postgres() as connection:
        yield connection


@pytest.fixture(scope="package")
def twins(postgres: psycopg.Connection, instance: CatalogInstance) -> Twins:
    return Twins(postgres, instance)


@pytest.fixture(scope="package")
def instance() -> Iterator[CatalogInstance]:
    made = CatalogInstance()
    made.show(image())
    yield made
    made.close()


@pytest.fixture(scope="package")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running_warehouse(tmp_path_factory.mktemp("catalog")) as running:
        yield running
