"""What one statement reads, calls, names and filters by, as `engine.pipeline.surveyor` found it in DuckDB's tree."""

from __future__ import annotations

import re
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from engine.pipeline import functions
from governance.tables import fold

Node = Mapping[str, Any]

Place = tuple[int, str, str, str]
"""Byte offset, catalog, schema and name of a table reference, as written."""

CHILDREN: dict[str, tuple[str, ...]] = {
    "CONSTANT": (),
    "COLUMN_REF": (),
    "PARAMETER": (),
    "POSITIONAL_REFERENCE": (),
    "FUNCTION": ("children", "filter"),
    "OPERATOR": ("children",),
    "COMPARISON": ("left", "right"),
    "CONJUNCTION": ("children",),
    "CASE": ("else_expr",),
    "CAST": ("child",),
    "SUBQUERY": ("child",),
    "WINDOW": (
        "children", "partitions", "start_expr", "end_expr", "offset_expr", "default_expr", "filter_expr",
    ),
    "STAR": ("expr",),
    "LAMBDA": ("lhs", "expr"),
    "COLLATE": ("child",),
    "BETWEEN": ("input", "lower", "upper"),
}  # fmt: skip
"""Of each class of expression, the fields that hold expressions or lists of them."""


KEYWORDS = functions.DENIED_KEYWORDS | frozenset(
    {"current_date", "current_time", "current_timestamp", "localtime", "localtimestamp"}
)
"""What means a value of the session where no column is called so."""
_TWIN = re.compile(r"(.+)_\d+")
_TEXT = re.compile(r"^(?![^\W\d][\w ]*$)|\bcollate\b|^null$")


@dataclass(frozen=True, slots=True)
class TableRef:
    """A reference to something stored: names as written, byte offset of its first name."""

    catalog: str
    schema: str
    name: str
    alias: str
    at: int
    renames_columns: bool = False

    @property
    def shown_as(self) -> str:
        """The folded name its columns are qualified with."""
        return fold(self.alias or self.name)


@dataclass(frozen=True, slots=True)
class Call:
    """A function or operator call."""

    catalog: str
    schema: str
    name: str
    at: int | None
    node: Node
    table: bool = False
    window: bool = False


@dataclass(slots=True)
class Survey:
    """What the walk found."""

    tables: list[TableRef] = field(default_factory=list)
    base_nodes: int = 0
    places: list[Place] = field(default_factory=list)
    """Every table reference, common table expressions included."""
    columns: list[Node] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    casts: list[Node] = field(default_factory=list)
    parameters: list[str] = field(default_factory=list)
    selects: list[Node] = field(default_factory=list)
    fed: list[Node] = field(default_factory=list)
    """Expressions in FROM: rows of VALUES, arguments of table functions, aggregates of PIVOT."""
    conditions: list[Node] = field(default_factory=list)
    """Every WHERE, ON, HAVING, QUALIFY and FILTER expression: what the optimiser may push towards a table."""
    key_names: list[str] = field(default_factory=list)
    """Columns joined by USING."""
    natural: bool = False
    names_by_text: bool = False
    """Whether an item of a SELECT list holds a name that the splice may change: DuckDB names columns by text."""
    samples_by_vector: bool = False
    """Whether a SYSTEM sample or a repeatable reservoir is taken: both follow vectors, which tell of hidden rows."""
    opaque: bool = False
    """Whether a set operation's columns cannot be told by name."""
    aligned: list[Sequence[Sequence[Node]]] = field(default_factory=list)
    """Of each set operation the SELECT lists, which stand for one another by place."""
    definitions: dict[str, list[Node | None]] = field(default_factory=dict)
    """Folded alias -> expressions it may stand for; None is something that is not an expression."""
    nested: bool = False
    """Whether there are sub-queries, in which DuckDB tells columns of one name apart by a number."""
    named_by_text: bool = False
    """Whether a column of a sub-query is called by the text of its expression."""
    relation_names: set[str] = field(default_factory=set)
    """Folded names and aliases of everything in a FROM clause."""
    derived: set[str] = field(default_factory=set)
    """Those of what is no stored table: sub-queries, common table expressions, VALUES, functions."""
    stars: list[Node] = field(default_factory=list)
    shows: set[str] = field(default_factory=set)
    """show_type of nested DESCRIBE and SUMMARIZE."""

    def may_be_other(self, name: str, columns: Container[str]) -> bool:
        """Whether a folded name may mean something else than the columns and definitions of that name.

        A table's whole row, a key word (a column of a sub-query is called by it then), an expression by its text, or
        the second column of one name in a sub-query, which DuckDB calls `name_1`.
        """
        if name in self.relation_names or name in KEYWORDS or (self.named_by_text and _TEXT.search(name)):
            return True
        twin = _TWIN.fullmatch(name) if self.nested else None
        while twin is not None:
            if twin[1] in columns or twin[1] in self.definitions:
                return True
            twin = _TWIN.fullmatch(twin[1])
        return False

    def define(self, name: str, expression: Node | None) -> None:
        """Remember what an alias may stand for."""
        self.definitions.setdefault(fold(name), []).append(expression)


def may_be_one_of(name: str, names: Container[str]) -> bool:
    """Whether a view's column of this name may be one of `names` under the name that DuckDB gives an expression.

    That is its text, or the name and a number when another column has it already.
    """
    while (twin := _TWIN.fullmatch(name)) is not None:
        name = twin[1]
        if name in names:
            return True
    return bool(_TEXT.search(name))


def children(node: Node) -> Iterator[Node]:
    """The expressions directly below an expression; sub-queries are not entered."""
    for name in CHILDREN[node["class"]]:
        value = node.get(name)
        if isinstance(value, list):
            yield from value
        elif value:
            yield value
    if node["class"] == "CASE":
        for check in node["case_checks"]:
            yield check["when_expr"]
            yield check["then_expr"]
    elif node["class"] == "STAR":
        for item in node.get("replace_list", ()):
            yield item["value"]
    for order in _orders(node):
        yield order["expression"]


def _orders(node: Node) -> Sequence[Node]:
    if node["class"] == "FUNCTION":
        found: Sequence[Node] = node.get("order_bys", {}).get("orders", ())
        return found
    if node["class"] == "WINDOW":
        return [*node.get("orders", ()), *node.get("arg_orders", ())]
    return ()
