"""DuckDB's parser for the pipeline: an empty, locked, in-memory instance in the node that never runs client text."""

from __future__ import annotations

import json
import threading
from typing import Any

import duckdb

from engine.pipeline.second_parser import Parse

_PREPARE = (
    "PREPARE serialize AS "
    "SELECT json_serialize_sql($1::VARCHAR, skip_default := true, skip_empty := true, skip_null := true)"
)
_CONFIG: dict[str, str | bool | int | float | list[str]] = {
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "allow_community_extensions": "false",
    "python_enable_replacements": "false",
    "threads": "1",
    "memory_limit": "256MB",
}


class DuckDBParser:
    """Implements `engine.pipeline.second_parser.SecondParser`. Thread-safe: one text at a time."""

    def __init__(self) -> None:
        """Open the instance and lock it."""
        self._connection = duckdb.connect(":memory:", config=_CONFIG)
        self._connection.execute("SET enable_external_access=false")
        self._connection.execute("SET lock_configuration=true")
        self._connection.execute(_PREPARE)
        self._lock = threading.Lock()

    def close(self) -> None:
        """Let the instance go."""
        with self._lock:
            self._connection.close()

    def parse(self, text: str) -> Parse:
        """How DuckDB reads `text`; see the Protocol."""
        if "\0" in text:
            return Parse(failed=True)
        # A literal in an EXECUTE costs a third of a bound parameter, which DuckDB plans anew each time.
        execute = "EXECUTE serialize('" + text.replace("'", "''") + "')"
        with self._lock:
            try:
                row = self._connection.execute(execute).fetchone()
                document: dict[str, Any] = json.loads(row[0] if row else "{}")
                if not document.get("error", True):
                    statements = document["statements"]
                    return Parse(("SELECT",) * len(statements), statements[0] if len(statements) == 1 else None)
                if document.get("error_type") == "parser":
                    at = document.get("position", "")
                    return Parse(failed=True, failed_at=int(at) if str(at).isdigit() else None)
                return Parse(tuple(s.type.name for s in self._connection.extract_statements(text)))
            except (duckdb.Error, ValueError, RecursionError):
                return Parse(failed=True)
