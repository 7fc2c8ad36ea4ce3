"""The syntax tree of a catalog query: PostgreSQL's own shapes, no more of them than clients use.

Names are folded as PostgreSQL folds them (lower case unless quoted).
"""

from __future__ import annotations

from dataclasses import dataclass


class Node:
    """Anything in the tree."""

    __slots__ = ()


class Expr(Node):
    """Anything with a value."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class TypeName(Node):
    """A type as written: qualified name, modifiers, number of array dimensions."""

    name: tuple[str, ...]
    modifiers: tuple[str, ...] = ()
    dimensions: int = 0


@dataclass(frozen=True, slots=True)
class Literal(Expr):
    """`kind`: string, integer, number, boolean, null."""

    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Parameter(Expr):
    """`$n`, counted from 1."""

    number: int


@dataclass(frozen=True, slots=True)
class Column(Expr):
    """`a`, `t.a`, `s.t.a`."""

    parts: tuple[str, ...]
    position: int = 0


@dataclass(frozen=True, slots=True)
class Star(Expr):
    """`*` or `t.*` in a select list; `t.*` elsewhere is a whole row."""

    parts: tuple[str, ...] = ()
    position: int = 0


@dataclass(frozen=True, slots=True)
class Expand(Expr):
    """`(composite).*` in a select list."""

    value: Expr


@dataclass(frozen=True, slots=True)
class Sort(Node):
    """One ORDER BY item; `nulls_first` None is PostgreSQL's default."""

    value: Expr
    descending: bool = False
    nulls_first: bool | None = None


@dataclass(frozen=True, slots=True)
class FrameEdge(Node):
    """Where a frame begins or ends. `kind`: preceding, following, current; no `distance` is UNBOUNDED."""

    kind: str
    distance: Expr | None = None


@dataclass(frozen=True, slots=True)
class Frame(Node):
    """`ROWS|RANGE|GROUPS BETWEEN ... AND ... EXCLUDE ...`; `exclude` is empty, current row, group or ties."""

    unit: str
    start: FrameEdge
    end: FrameEdge
    exclude: str = ""


@dataclass(frozen=True, slots=True)
class Window(Node):
    """`OVER (PARTITION BY ... ORDER BY ... frame)`, `OVER name` (`whole`) or `OVER (name ...)`."""

    partition: tuple[Expr, ...] = ()
    order: tuple[Sort, ...] = ()
    frame: Frame | None = None
    name: str | None = None
    whole: bool = False


@dataclass(frozen=True, slots=True)
class Call(Expr):
    """A function call; `count(*)` has `star`."""

    name: tuple[str, ...]
    arguments: tuple[Expr, ...] = ()
    star: bool = False
    distinct: bool = False
    order: tuple[Sort, ...] = ()
    filter: Expr | None = None
    over: Window | None = None
    position: int = 0
    variadic: bool = False
    """Whether the last argument is an array of the arguments that follow."""
    names: tuple[str, ...] = ()
    """Of arguments given by name (`f(a => 1)`), empty for those given by place."""
    within: tuple[Sort, ...] = ()
    """Of `WITHIN GROUP (ORDER BY ...)`."""


@dataclass(frozen=True, slots=True)
class Cast(Expr):
    """`value::type`, `CAST(value AS type)`, `type 'literal'`."""

    value: Expr
    type: TypeName


@dataclass(frozen=True, slots=True)
class Unary(Expr):
    """`NOT x`, `-x`, `+x`."""

    operator: str
    value: Expr


@dataclass(frozen=True, slots=True)
class Binary(Expr):
    """An infix operator, AND and OR among them."""

    operator: str
    left: Expr
    right: Expr


@dataclass(frozen=True, slots=True)
class Between(Expr):
    """`x [NOT] BETWEEN a AND b`."""

    value: Expr
    low: Expr
    high: Expr
    negated: bool
    symmetric: bool = False


@dataclass(frozen=True, slots=True)
class Like(Expr):
    """`x [NOT] LIKE|ILIKE|SIMILAR TO pattern [ESCAPE c]`."""

    value: Expr
    pattern: Expr
    escape: Expr | None
    negated: bool
    insensitive: bool
    similar: bool = False


@dataclass(frozen=True, slots=True)
class In(Expr):
    """`x [NOT] IN (...)`: a list or a query."""

    value: Expr
    options: tuple[Expr, ...] | Query
    negated: bool


@dataclass(frozen=True, slots=True)
class Quantified(Expr):
    """`x op ANY|ALL (array or query)`."""

    operator: str
    left: Expr
    every: bool
    right: Expr | Query


@dataclass(frozen=True, slots=True)
class IsTest(Expr):
    """`x IS [NOT] NULL|TRUE|FALSE|UNKNOWN`."""

    value: Expr
    test: str
    negated: bool


@dataclass(frozen=True, slots=True)
class Case(Expr):
    """Both forms of CASE."""

    operand: Expr | None
    branches: tuple[tuple[Expr, Expr], ...]
    default: Expr | None


@dataclass(frozen=True, slots=True)
class ArrayList(Expr):
    """`ARRAY[a, b]`."""

    items: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class ArrayQuery(Expr):
    """`ARRAY(SELECT ...)`."""

    query: Query


@dataclass(frozen=True, slots=True)
class Row(Expr):
    """`(a, b)` or `ROW(a, b)`."""

    items: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class Scalar(Expr):
    """`(SELECT ...)` as a value."""

    query: Query


@dataclass(frozen=True, slots=True)
class Exists(Expr):
    """`EXISTS (SELECT ...)`."""

    query: Query


@dataclass(frozen=True, slots=True)
class Subscript(Expr):
    """`a[i]`, or the slice `a[i:j]` when `slice` is set."""

    value: Expr
    index: Expr | None
    upper: Expr | None = None
    slice: bool = False


@dataclass(frozen=True, slots=True)
class Field(Expr):
    """`(composite).name`."""

    value: Expr
    name: str


@dataclass(frozen=True, slots=True)
class Collate(Expr):
    """`x COLLATE name`; every collation here orders by code point."""

    value: Expr
    name: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Target(Node):
    """One item of a select list; `name` is its explicit alias."""

    value: Expr
    name: str | None


@dataclass(frozen=True, slots=True)
class TableRef(Node):
    """A relation in FROM."""

    parts: tuple[str, ...]
    alias: str | None
    columns: tuple[str, ...]
    position: int = 0


@dataclass(frozen=True, slots=True)
class FunctionRef(Node):
    """A function in FROM; `beside`: more of them side by side, as ROWS FROM puts them."""

    call: Call
    alias: str | None
    columns: tuple[str, ...]
    ordinality: bool
    types: tuple[TypeName, ...] = ()
    """Of a column definition list."""
    beside: tuple[Call, ...] = ()


@dataclass(frozen=True, slots=True)
class QueryRef(Node):
    """A query in FROM."""

    query: Query
    alias: str | None
    columns: tuple[str, ...]
    lateral: bool


@dataclass(frozen=True, slots=True)
class Join(Node):
    """`kind`: cross, inner, left, right, full."""

    kind: str
    left: FromItem
    right: FromItem
    on: Expr | None
    using: tuple[str, ...]
    natural: bool


@dataclass(frozen=True, slots=True)
class JoinRef(Node):
    """`(a JOIN b ...) AS j`."""

    join: FromItem
    alias: str
    columns: tuple[str, ...]


FromItem = TableRef | FunctionRef | QueryRef | Join | JoinRef


@dataclass(frozen=True, slots=True)
class GroupingSets(Node):
    """`kind`: rollup, cube, or sets (whose items may be further ones). An item is a list of expressions."""

    kind: str
    items: tuple[tuple[Expr, ...] | GroupingSets, ...]


@dataclass(frozen=True, slots=True)
class Select(Node):
    """SELECT without its ORDER BY, LIMIT and WITH, which belong to `Query`."""

    targets: tuple[Target, ...]
    sources: tuple[FromItem, ...]
    where: Expr | None = None
    group: tuple[Expr | GroupingSets, ...] = ()
    having: Expr | None = None
    distinct: bool = False
    distinct_on: tuple[Expr, ...] = ()
    group_distinct: bool = False
    windows: tuple[tuple[str, Window], ...] = ()


@dataclass(frozen=True, slots=True)
class Values(Node):
    """VALUES rows."""

    rows: tuple[tuple[Expr, ...], ...]


@dataclass(frozen=True, slots=True)
class SetOperation(Node):
    """UNION, INTERSECT, EXCEPT."""

    operator: str
    all: bool
    left: Query
    right: Query


@dataclass(frozen=True, slots=True)
class Common(Node):
    """One common table expression."""

    name: str
    columns: tuple[str, ...]
    query: Query


@dataclass(frozen=True, slots=True)
class Query(Node):
    """A whole query expression."""

    body: Select | Values | SetOperation
    commons: tuple[Common, ...] = ()
    recursive: bool = False
    order: tuple[Sort, ...] = ()
    limit: Expr | None = None
    offset: Expr | None = None
