"""Calls written on a column: `a.lower()` is `lower(a)`, but DuckDB's parser takes `a` for the function's schema.

Only its binder, which knows the columns, reads it as an argument: when no function of that schema is called so. So the
trees that are governed have it as the first argument, or every stage that asks what a call reads would see nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from engine.pipeline.second_parser import Parse, Path, SecondParser, Tree
from engine.pipeline.text_gate import Token
from governance.tables import fold

_IN_PG_CATALOG = frozenset({"pg_size_pretty", "pg_typeof"})
"""Of the functions that may be called, those that DuckDB has in that schema; any other there is a column's."""


def is_on_column(catalog: str, schema: str, name: str) -> bool:
    """Whether a call that is written `catalog.schema.name(...)` is one on the column `schema` of the table `catalog`.

    What DuckDB's own databases would be asked for in a schema that is not theirs is left as it is, to be refused.
    """
    catalog, schema = fold(catalog), fold(schema)
    if not schema:
        return False
    if catalog == "system" or not catalog:
        own = schema in ("main", "system") or (schema == "pg_catalog" and fold(name) in _IN_PG_CATALOG)
        return not own and (not catalog or schema == "pg_catalog")
    return catalog != "temp" or schema in ("main", "pg_catalog")


def may_call_on_columns(tokens: Sequence[Token]) -> bool:
    """Whether a text holds a call with a dotted name."""
    return any(token.text == "(" and tokens[i].kind == "dot" for i, token in enumerate(tokens[2:]))


def spell_out(tree: Tree) -> None:
    """Make the column of every call on one its first argument, in place."""
    stack: list[Any] = [tree]
    while stack:
        node = stack.pop()
        if isinstance(node, list):
            stack.extend(node)
        elif isinstance(node, dict):
            if node.get("type") == "TABLE_FUNCTION":  # its schema is one
                stack.extend(node["function"].values())
                stack.extend(value for key, value in node.items() if key != "function")
                continue
            stack.extend(node.values())
            if node.get("class") in ("FUNCTION", "WINDOW"):
                _spell_out(node)


def _spell_out(call: dict[str, Any]) -> None:
    catalog, schema = call.get("catalog", ""), call.get("schema", "")
    if not is_on_column(catalog, schema, call["function_name"]):
        return
    names = [name for name in (catalog, schema) if name]
    at = {"query_location": call["query_location"]} if "query_location" in call else {}
    column = {"class": "COLUMN_REF", "type": "COLUMN_REF", "column_names": names, **at}
    call["children"] = [column, *call.get("children", ())]
    call.pop("catalog", None)
    call.pop("schema", None)


@dataclass(frozen=True, slots=True)
class SpelledOut:
    """DuckDB's parser, its trees spelled out."""

    parser: SecondParser

    def parse(self, text: str) -> Parse:
        """See `SecondParser`."""
        parse = self.parser.parse(text)
        if parse.tree is not None:
            spell_out(parse.tree)
        return parse

    def spell(self, text: str, paths: Sequence[Path]) -> tuple[str, ...]:
        """See `SecondParser`; `paths` are those of a tree that is not spelled out."""
        return self.parser.spell(text, paths)

    def binds(self, text: str) -> bool:
        """See `SecondParser`."""
        return self.parser.binds(text)
