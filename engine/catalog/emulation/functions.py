"""The functions a catalog query may call: the allow-list itself. What is not in `FUNCTIONS` is refused.

A function whose work needs the catalog (`format_type`, `regclass_in`, ...) becomes a call of a function of the same
name that `engine.executor.catalog_functions` registers in the catalog's DuckDB instance; the rest is plain DuckDB.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from engine.catalog.emulation import types as t
from engine.catalog.emulation.coercions import implicitly
from engine.catalog.emulation.tree import Call, Expr, Query, Sort
from engine.catalog.emulation.values import CatalogRefused, Parameters, Value, cast, settle

if TYPE_CHECKING:
    from engine.catalog.emulation.scope import Scope

ANY = 0
"""An argument of any type; text when it has none."""


@dataclass(frozen=True, slots=True)
class SettingWrite:
    """A `set_config` the session is to carry out. `name` and `value`: the text, or the number of a parameter."""

    name: str
    value: str | int | None
    local: bool


class Builder:
    """What functions may ask of the translator."""

    parameters: Parameters
    slots: set[str]
    functions: set[str]
    setting_writes: list[SettingWrite]
    signaling: bool

    @abstractmethod
    def alias(self, prefix: str) -> str:
        """A DuckDB name used once."""

    @abstractmethod
    def translate(self, node: Expr, scope: Scope) -> Value:
        """A value, typed or not."""

    @abstractmethod
    def typed(self, node: Expr, scope: Scope, wanted: int = t.TEXT) -> Value:
        """A typed value."""

    @abstractmethod
    def condition(self, node: Expr, scope: Scope) -> str:
        """A truth value."""

    @abstractmethod
    def unify(self, values: list[Value], fallback: int = t.TEXT) -> list[Value]:
        """Values in their common type."""

    @abstractmethod
    def compare(self, operator: str, left: Value, right: Value) -> str:
        """A comparison."""

    @abstractmethod
    def sorts(self, order: tuple[Sort, ...], scope: Scope) -> str:
        """ORDER BY inside a call."""

    @abstractmethod
    def column_query(self, query: Query, scope: Scope, wanted: int) -> Value:
        """A one-column query."""

    def slot(self, name: str) -> str:
        """A value that the session gives when the statement runs."""
        self.slots.add(name)
        return f"$s_{name}"


VARIADIC = frozenset(
    (
        "concat", "concat_ws", "format", "json_extract_path", "json_extract_path_text", "jsonb_extract_path",
        "jsonb_extract_path_text", "num_nulls", "num_nonnulls",
    )
)  # fmt: skip
"""Functions that take their last arguments as one array too."""

NAMED = frozenset(("make_interval",))
"""Functions whose arguments may be given by name."""

Handler = Callable[[Builder, Call, "Scope"], Value]
FUNCTIONS: dict[str, Handler] = {}


class UnknownCall(CatalogRefused):
    """No function of that name takes these arguments (42883); who knows their types says which."""

    def __init__(self, position: int | None = None) -> None:
        super().__init__("42883", "A function in the catalog query does not take these arguments.", position=position)


def unknown_call(node: Call) -> UnknownCall:
    """No function of that name takes these arguments."""
    return UnknownCall(node.position + 1)


def plain_call(node: Call) -> None:
    """Refuse what only aggregates take.

    Raises:
        CatalogRefused: DISTINCT, ORDER BY, FILTER, OVER or `*` in an ordinary call (42809).
    """
    if node.star or node.distinct or node.order or node.within or node.filter is not None or node.over is not None:
        raise CatalogRefused(
            "42809", "A function in the catalog query is not an aggregate.", position=node.position + 1
        )


def argument(builder: Builder, node: Expr, scope: Scope, wanted: int) -> Value:
    """An argument brought to the type a function declares.

    Raises:
        CatalogRefused: it is of another kind (42883).
    """
    value = builder.translate(node, scope)
    if wanted == ANY:
        return settle(value, t.TEXT, builder.parameters)
    value = settle(value, wanted, builder.parameters)
    if value.type == wanted or t.duck(value.type) == t.duck(wanted):
        return value
    numeric = value.type in (t.NUMBERS | t.OID_LIKE) and wanted in (t.NUMBERS | t.OID_LIKE)
    arrays = t.element_of(value.type) is not None and t.element_of(wanted) is not None
    if numeric or arrays or (value.type in t.REG_TYPES and wanted == t.TEXT) or implicitly(value.type, wanted):
        return cast(value, wanted)
    raise UnknownCall


def register(
    name: str,
    kinds: tuple[int, ...],
    result: int,
    template: str,
    *,
    least: int | None = None,
    fills: tuple[str, ...] = (),
) -> None:
    """Enter a scalar function.

    Args:
        name: as PostgreSQL calls it.
        kinds: argument types.
        result: type of its value.
        template: DuckDB text with `{0}`, `{1}` for the arguments.
        least: how many arguments must be given.
        fills: DuckDB text of the arguments not given, from the last.
    """

    def handler(builder: Builder, node: Call, scope: Scope) -> Value:
        plain_call(node)
        given = len(node.arguments)
        if not (len(kinds) if least is None else least) <= given <= len(kinds):
            raise unknown_call(node)
        values = [argument(builder, a, scope, k) for a, k in zip(node.arguments, kinds, strict=False)]
        texts = [v.sql for v in values] + list(fills[len(fills) - (len(kinds) - given) :] if given < len(kinds) else ())
        return Value(template.format(*texts), result, returns_set=any(v.returns_set for v in values))

    FUNCTIONS[name] = handler


def special(*names: str) -> Callable[[Handler], Handler]:
    """Enter a function that has its own way."""

    def enter(handler: Handler) -> Handler:
        for name in names:
            FUNCTIONS[name] = handler
        return handler

    return enter
