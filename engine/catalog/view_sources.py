"""Which tables and views a view names, and which of their columns it reads: for the catalog's dependencies only.

No right is decided here; whether a view may be read is the pipeline's to say. What is not understood names no column.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError
from sqlglot.optimizer.qualify import qualify
from sqlglot.optimizer.scope import traverse_scope

from governance.tables import fold

Key = tuple[str, str]
Columns = Callable[[Key], Sequence[str] | None]
"""The columns of a relation that is seen; None for any other."""


def sources(sql: str, columns: Columns) -> list[tuple[Key, tuple[str, ...]]]:
    """The relations that `sql` names, by folded (schema, name), in order; with the columns it reads of each."""
    try:
        tree = sqlglot.parse_one(sql, dialect="duckdb")
    except (SqlglotError, RecursionError):
        return []
    found: dict[Key, tuple[str, ...]] = {}
    for key in _named(tree):
        if columns(key) is not None:
            found[key] = ()
    for key, used in _read(tree, {key: columns(key) or () for key in found}).items():
        found[key] = used
    return list(found.items())


def _named(tree: exp.Expr) -> list[Key]:
    commons = {fold(each.alias) for each in tree.find_all(exp.CTE)}
    tables = (table for table in tree.find_all(exp.Table) if table.name)
    return [_key(table) for table in tables if table.db or fold(table.name) not in commons]


def _key(table: exp.Table) -> Key:
    return fold(table.db) if table.db else "main", fold(table.name)


def _read(tree: exp.Expr, shapes: dict[Key, Sequence[str]]) -> dict[Key, tuple[str, ...]]:
    """Columns read of each relation, in the relation's order."""
    nested: dict[str, dict[str, dict[str, str]]] = {}
    for (place, name), columns in shapes.items():
        nested.setdefault(place, {})[name] = dict.fromkeys(map(fold, columns), "VARCHAR")
    schema: dict[str, object] = {**nested}
    try:
        whole = qualify(
            tree.copy(), schema=schema, dialect="duckdb", db="main", quote_identifiers=False,
            validate_qualify_columns=False,
        )  # fmt: skip
        scopes = traverse_scope(whole)
    except (SqlglotError, RecursionError, KeyError, ValueError, TypeError, AttributeError):
        return {}
    used: dict[Key, set[str]] = {}
    for scope in scopes:
        for column in scope.columns:
            source = scope.sources.get(column.table)
            if isinstance(source, exp.Table):
                used.setdefault(_key(source), set()).add(fold(column.name))
    return {
        key: tuple(name for name in shapes[key] if fold(name) in names) for key, names in used.items() if key in shapes
    }
