from __future__ import annotations

from collections.abc import Iterator

import pytest

from engine.executor.catalog_instance import CatalogInstance
from tests.engine.catalog.clients import image


@pytest.fixture(scope="package")
def instance() -> Iterator[CatalogInstance]:
    made = CatalogInstance()
    made.show(image())
    yield made
    made.close()
