"""DuckDB's parser for the pipeline: an empty, locked, in-memory instance in the node that never runs client text."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from typing import Any

import duckdb

from engine.pipeline.second_parser import Parse, Path
from governance.errors import ParsersDisagree

_PREPARE = (
    "PREPARE serialize AS "
    "SELECT json_serialize_sql($1::VARCHAR, skip_default := true, skip_empty := true, skip_null := true)"
)
_EMPTY_SELECT: dict[str, Any] = {
    "type": "SELECT_NODE", "modifiers": [], "cte_map": {"map": []}, "select_list": [],
    "from_table": {"type": "EMPTY", "alias": "", "sample": None, "query_location": 2**64 - 1},
    "where_clause": None, "group_expressions": [], "group_sets": [], "aggregate_handling": "STANDARD_HANDLING",
    "having": None, "sample": None, "qualify": None,
}  # fmt: skip
"""What `json_serialize_sql` says of a SELECT with nothing in it."""
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
                    if "expression depth" in str(document.get("error_message", "")):
                        return Parse(failed=True, deep=True)
                    at = document.get("position", "")
                    return Parse(failed=True, failed_at=int(at) if str(at).isdigit() else None)
                return Parse(tuple(s.type.name for s in self._connection.extract_statements(text)))
            except RecursionError:
                return Parse(failed=True, deep=True)
            except (duckdb.Error, ValueError):
                return Parse(failed=True)

    def spell(self, text: str, paths: Sequence[Path]) -> tuple[str, ...]:
        """DuckDB's text of expressions; see the Protocol."""
        with self._lock:
            try:
                row = self._connection.execute("SELECT json_serialize_sql(?::VARCHAR)", [text]).fetchone()
                document = json.loads(row[0] if row else "{}")
                return tuple(self._spelled(document, path) for path in paths)
            except (duckdb.Error, ValueError, LookupError, TypeError, RecursionError):
                raise ParsersDisagree(
                    "This statement is not understood well enough to run.",
                    advice="Give the expressions of its SELECT list aliases.",
                    reason="an expression could not be spelled",
                ) from None

    def binds(self, text: str) -> bool:
        """Whether every name of a SELECT means something in it; see the Protocol. Nothing is run."""
        with self._lock:
            try:
                self._connection.execute(f"DESCRIBE SELECT * FROM ({text})")
            except duckdb.Error:
                return False
            return True

    def _spelled(self, document: dict[str, Any], path: Path) -> str:
        item: Any = document["statements"][0]
        for step in path:
            item = item[step]
        statement = {**_EMPTY_SELECT, "select_list": [item]}
        whole = json.dumps({"error": False, "statements": [{"node": statement, "named_param_map": []}]})
        row = self._connection.execute("SELECT json_deserialize_sql(?::JSON)", [whole]).fetchone()
        return str(row[0] if row else "").removeprefix("SELECT ")
