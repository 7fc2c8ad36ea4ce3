"""Windows of a query level: names resolved, frames printed.

Source: PostgreSQL 15, sections 4.2.8 (window function calls) and 7.2.5; WINDOW clause of SELECT.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from engine.catalog.emulation import types as t
from engine.catalog.emulation.tree import FrameEdge, Window
from engine.catalog.emulation.values import CatalogRefused, cast, named
from governance.errors import StatementRefused

if TYPE_CHECKING:
    from engine.catalog.emulation.functions import Builder
    from engine.catalog.emulation.scope import Scope

_NAMES_MAX = 32
"""How many windows may stand on each other."""


def _resolved(window: Window, scope: Scope, depth: int = 0) -> Window:
    """`window` with what the window it names gives it.

    Raises:
        CatalogRefused: no such window (42704), or one that may not be changed so (42P20).
    """
    if window.name is None:
        return window
    found = scope.windows.get(window.name)
    if found is None or depth > _NAMES_MAX:
        raise CatalogRefused("42704", f"window {named(window.name)} does not exist")
    held = _resolved(found, scope, depth + 1)
    if window.whole:
        return held
    if window.partition or (window.order and held.order) or held.frame is not None:
        raise CatalogRefused("42P20", f"cannot override a clause of window {named(window.name)}")
    return replace(window, partition=held.partition, order=window.order or held.order, name=None)


def over(builder: Builder, window: Window, scope: Scope) -> str:
    """` OVER (...)`."""
    window = _resolved(window, scope)
    partition = ", ".join(builder.typed(p, scope).sql for p in window.partition)
    text = f"{'PARTITION BY ' + partition if partition else ''}{builder.sorts(window.order, scope)}"
    if window.frame is not None:
        start, end = (
            _edge(builder, edge, first) for edge, first in ((window.frame.start, True), (window.frame.end, False))
        )
        text += f" {window.frame.unit.upper()} BETWEEN {start} AND {end}"
        if window.frame.exclude:
            text += f" EXCLUDE {window.frame.exclude.upper()}"
    return f" OVER ({text})"


def _edge(builder: Builder, edge: FrameEdge, first: bool) -> str:
    from engine.catalog.emulation.scope import Scope

    if edge.kind == "current":
        return "CURRENT ROW"
    if edge.distance is None:
        if (edge.kind == "following") == first:
            raise CatalogRefused("42P20", "A frame cannot start after its end.")
        return f"UNBOUNDED {edge.kind.upper()}"
    distance = builder.typed(edge.distance, Scope(), t.INT8)
    if distance.type not in t.INTEGERS:
        raise StatementRefused("A frame's distance is a whole number in catalog queries.")
    return f"{cast(distance, t.INT8).sql} {edge.kind.upper()}"
