"""Operations of a worker besides `run` and `describe`, by the name a request carries."""

from __future__ import annotations

from typing import Any

from engine.executor.catalog_operation import catalog
from engine.executor.file_types import file_types

OPERATIONS: dict[str, Any] = {
    "files": file_types,
    "catalog": catalog,
}
"""name -> (shared, cursor, request, send, watch) -> iterator of (frame, rows); the function sends COLUMNS itself."""
