"""Names of result columns: an expression without an alias keeps the name DuckDB gives it in the client's text.

DuckDB names such a column by the text of its expression. Where the expression holds a table reference, that text would
be the governed one: rules and file names would stand in headers, in DESCRIBE and in the keys of JSON. So these
expressions get an alias, spelled by DuckDB from the client's own statement.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from engine.pipeline.second_parser import Path, SecondParser, Tree
from engine.pipeline.splice import Source
from engine.pipeline.survey import Node
from governance.errors import StatementRefused
from governance.sql_literals import identifier

_CLAUSES = frozenset(
    {"select", "from", "where", "group", "having", "window", "qualify", "order", "limit", "offset", "union", "except"}
    | {"intersect", "using", "fetch", "with", "values", "pivot", "unpivot"}
)
_OPENING, _CLOSING = frozenset("([{"), frozenset(")]}")


def header_inserts(
    source: Source, tree: Tree, places: frozenset[int], parser: SecondParser
) -> tuple[dict[int, str], frozenset[str]]:
    """Texts to insert by character offset, and the aliases among them.

    `places` are byte offsets of names that the splice changes (base tables, qualified columns).

    Raises:
        StatementRefused: an expression's end is not found; the client can write the alias himself.
    """
    wanted: list[tuple[Path, int, int]] = []  # path of the item, a place in it, how many SELECT lists up from there
    for place in sorted(places):
        lists = _lists_around(tree, place)
        for level, (path, item) in enumerate(lists):
            if (
                not item.get("alias")
                and item["class"] not in ("COLUMN_REF", "STAR")
                and path not in [w[0] for w in wanted]
            ):
                wanted.append((path, place, level))
    if not wanted:
        return {}, frozenset()
    names = parser.spell(source.text, [path for path, _, _ in wanted])
    inserts: dict[int, str] = {}
    # Of several expressions that end at one place the innermost is closed first, so inner names come first.
    for (_, place, level), name in zip(wanted, names, strict=True):
        end = _item_end(source, place, level, len(_lists_around(tree, place)))
        inserts[end] = inserts.get(end, "") + f" AS {identifier(name)}"
    return inserts, frozenset(names)


def _lists_around(tree: Tree, place: int) -> list[tuple[Path, Node]]:
    """The items of SELECT lists that hold a place, innermost first."""
    found: list[tuple[Path, Node]] = []
    path = _path_to(tree, place)
    if path is None:
        return found
    at: Any = tree
    for i, step in enumerate(path):
        at = at[step]
        if i and path[i - 1] == "select_list":
            found.append((path[: i + 1], at))
    return found[::-1]


def _path_to(node: Any, place: int) -> Path | None:
    """Where the table or column reference at a byte offset stands in the tree."""
    if isinstance(node, Mapping):
        if node.get("query_location") == place and (
            node.get("type") == "BASE_TABLE" or node.get("class") == "COLUMN_REF"
        ):
            return ()
        steps: Iterator[tuple[str | int, Any]] = iter(node.items())
    elif isinstance(node, list):
        steps = iter(enumerate(node))
    else:
        return None
    for step, below in steps:
        if isinstance(below, Mapping | list):
            path = _path_to(below, place)
            if path is not None:
                return (step, *path)
    return None


def _item_end(source: Source, place: int, level: int, levels: int) -> int:
    """Character offset where the item of the `level`-th SELECT list around a place ends (0 is the innermost).

    Raises:
        StatementRefused: the text does not show as many SELECT lists around the place as the tree does.
    """
    tokens = source.tokens
    index = source.token_at(source.character(place))
    if index is None:
        raise _no_end()
    regions = [region for region in _regions(source, index) if region[1] == "select"]
    if len(regions) != levels:
        raise _no_end()
    at = regions[level][0]
    depth = 0
    for i in range(at, len(tokens)):
        text = tokens[i].text
        if tokens[i].kind == "bracket" and text in _OPENING:
            depth += 1
        elif tokens[i].kind == "bracket":
            depth -= 1
            if depth < 0:
                return tokens[i - 1].end
        elif depth == 0 and (text == "," or _is_clause(source, i)):
            return tokens[i - 1].end
    return tokens[-1].end


def _regions(source: Source, index: int) -> list[tuple[int, str]]:
    """For each bracket level around a token, innermost first: where the way down leaves it, and its clause there."""
    tokens, out = source.tokens, []
    at, depth, clause = index, 0, ""
    for i in range(index - 1, -1, -1):
        text = tokens[i].text
        if tokens[i].kind == "bracket" and text in _CLOSING:
            depth += 1
        elif tokens[i].kind == "bracket":
            if depth:
                depth -= 1
                continue
            out.append((at, clause))
            at, clause = i, ""
        elif depth == 0 and not clause and _is_clause(source, i):
            clause = text.lower()
    out.append((at, clause))
    return out


def _is_clause(source: Source, index: int) -> bool:
    tokens: Sequence[Any] = source.tokens
    token = tokens[index]
    if token.kind != "word" or token.text.lower() not in _CLAUSES:
        return False
    before = tokens[index - 1] if index else None
    if before is not None and before.kind == "dot":
        return False
    return not (
        token.text.lower() == "from"
        and before is not None
        and before.text.lower() == "distinct"
        and _is_test(source, index)
    )


def _is_test(source: Source, index: int) -> bool:
    """Whether `DISTINCT FROM` at a token belongs to `IS [NOT] DISTINCT FROM`."""
    words = [token.text.lower() for token in source.tokens[max(0, index - 3) : index - 1]]
    return "is" in words


def _no_end() -> StatementRefused:
    return StatementRefused(
        "A column of the result has no name of its own.",
        advice="Give the expression that holds the sub-query an alias: (SELECT ...) AS name.",
    )
