"""What the names of a statement's columns may stand for, noted in its survey as the walk meets them.

Every column that no table has is named here: by an alias, by place (VALUES, set operations, column lists), or by
something that says nothing of what it holds, which makes the statement opaque. A name that was missed would be taken
for the table's column of that name, of another type (red team, 2026-11-22).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from engine.pipeline.survey import Node, Survey
from governance.tables import fold


def define_item(survey: Survey, item: Node, *, nested: bool) -> None:
    """Note what a SELECT list's item is called; by its text nothing names an item of the outermost SELECT."""
    kind = item["class"]
    if kind == "FUNCTION" and fold(item["function_name"]) == "unnest":
        survey.opaque = True  # a struct's fields become columns, under an alias too
    if item.get("alias"):
        survey.define(item["alias"], item)
    elif kind == "COLUMN_REF" and len(item["column_names"]) > 1:
        survey.define(item["column_names"][-1], item)  # perhaps a field of a struct
    elif kind not in ("COLUMN_REF", "STAR", "POSITIONAL_REFERENCE"):
        survey.named_by_text |= nested


def define_values(survey: Survey, row: Sequence[Node]) -> None:
    """Note the columns of one row of VALUES, as DuckDB names them when nobody does."""
    for i, item in enumerate(row):
        survey.define(f"col{i}", item)


def rename(survey: Survey, names: Sequence[str]) -> None:
    """Note names of columns that may be anything."""
    for name in names:
        survey.define(name, None)


def rename_query(survey: Survey, names: Sequence[str], node: Node) -> None:
    """Column aliases of a derived table stand for its columns, by place."""
    for leaf in _leaves(node) if names else ():
        items = leaf.get("select_list", ())
        if len(items) < len(names) or any(item["class"] == "STAR" for item in items):
            rename(survey, names)
            return
        for name, item in zip(names, items, strict=False):
            survey.define(name, item)


def align(survey: Survey, branches: Sequence[Node]) -> None:
    """A set operation's columns are named by its first branch and filled, by place, by the others."""
    leaves = [leaf for branch in branches for leaf in _leaves(branch)]
    items = [leaf.get("select_list", ()) for leaf in leaves]
    if any(len(row) != len(items[0]) or any(item["class"] == "STAR" for item in row) for row in items):
        survey.opaque = True
        return
    survey.aligned.append(items)
    for row in items[1:]:
        for mine, theirs in zip(items[0], row, strict=True):
            name = mine.get("alias") or (mine["column_names"][-1] if mine["class"] == "COLUMN_REF" else "")
            if name:
                survey.define(name, theirs)


def _leaves(node: Node) -> Iterator[Node]:
    """The SELECTs below a set operation."""
    if node["type"] == "SELECT_NODE":
        yield node
        return
    for branch in node.get("children", ()) or (node["left"], node["right"]):
        yield from _leaves(branch)
