"""Functions of arrays; importing this module enters them in `FUNCTIONS`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.catalog.emulation import types as t
from engine.catalog.emulation.functions import FUNCTIONS, Builder, Handler, argument, plain_call, special, unknown_call
from engine.catalog.emulation.tree import Call
from engine.catalog.emulation.values import Value, array_over, cast, flat, printed, settle
from governance.errors import StatementRefused

if TYPE_CHECKING:
    from engine.catalog.emulation.scope import Scope


def array_argument(builder: Builder, node: Call, scope: Scope, place: int = 0) -> Value:
    """An argument that is an array.

    Raises:
        CatalogRefused: it is none (42883).
    """
    value = settle(builder.translate(node.arguments[place], scope), t.TEXT_ARRAY, builder.parameters)
    if t.element_of(value.type) is None:
        raise unknown_call(node)
    return value


def dimensions(value: Value) -> list[str]:
    """The lengths of an array's dimensions."""
    found, text = [], value.sql
    for _ in range(value.depth + 1):
        found.append(f"len({text})")
        text = f"list_extract({text}, 1)"
    return found


def _array_number(template: str) -> Handler:
    def handler(builder: Builder, node: Call, scope: Scope) -> Value:
        plain_call(node)
        if len(node.arguments) != 2:
            raise unknown_call(node)
        value = array_argument(builder, node, scope)
        dimension = argument(builder, node.arguments[1], scope, t.INT4)
        shift = 1 if t.is_vector(value.type) else 0
        arms = " ".join(
            f"WHEN {place} THEN CAST({template.format(n=length, s=shift)} AS INTEGER)"
            for place, length in enumerate(dimensions(value), 1)
        )
        return Value(f"(CASE WHEN len({value.sql}) > 0 THEN CASE {dimension.sql} {arms} END END)", t.INT4)

    return handler


FUNCTIONS["array_length"] = _array_number("{n}")
FUNCTIONS["array_upper"] = _array_number("{n} - {s}")
FUNCTIONS["array_lower"] = _array_number("1 - {s}")


@special("cardinality", "array_ndims", "array_dims")
def _cardinality(builder: Builder, node: Call, scope: Scope) -> Value:
    plain_call(node)
    if len(node.arguments) != 1:
        raise unknown_call(node)
    value = array_argument(builder, node, scope)
    if node.name[-1] == "array_ndims":
        return Value(f"(CASE WHEN len({value.sql}) > 0 THEN CAST({value.depth + 1} AS INTEGER) END)", t.INT4)
    if node.name[-1] == "array_dims":
        low = 0 if t.is_vector(value.type) else 1
        shown = " || ".join(f"'[{low}:' || ({length} - {1 - low}) || ']'" for length in dimensions(value))
        return Value(f"(CASE WHEN len({value.sql}) > 0 THEN {shown} END)", t.TEXT)
    return Value(f"CAST(len({flat(value).sql}) AS INTEGER)", t.INT4)


@special("array_to_string")
def _array_to_string(builder: Builder, node: Call, scope: Scope) -> Value:
    plain_call(node)
    if not 2 <= len(node.arguments) <= 3:
        raise unknown_call(node)
    value = flat(array_argument(builder, node, scope))
    item = builder.alias("e")
    shown = f"list_transform({value.sql}, lambda {item}: {printed(value.element(item))})"
    separator = argument(builder, node.arguments[1], scope, t.TEXT)
    missing = (
        argument(builder, node.arguments[2], scope, t.TEXT).sql if len(node.arguments) == 3 else "CAST(NULL AS VARCHAR)"
    )
    return Value(f"hd_array_join({shown}, {separator.sql}, {missing})", t.TEXT)


@special("array_append", "array_prepend", "array_remove", "array_position", "array_positions", "array_cat")
def _array_change(builder: Builder, node: Call, scope: Scope) -> Value:
    plain_call(node)
    name = node.name[-1]
    if len(node.arguments) != 2:
        raise unknown_call(node)
    place = 1 if name == "array_prepend" else 0
    array = array_argument(builder, node, scope, place)
    if array.depth:
        raise StatementRefused("Arrays of several dimensions are not changed in catalog queries.")
    element = t.element_of(array.type) or t.TEXT
    if name == "array_cat":
        other = cast(array_argument(builder, node, scope, 1), array.type)
        return Value(f"list_concat({array.sql}, {other.sql})", array.type)
    item = argument(builder, node.arguments[1 - place], scope, element)
    if name == "array_append":
        return Value(f"list_append({array.sql}, {item.sql})", array.type)
    if name == "array_prepend":
        return Value(f"list_prepend({item.sql}, {array.sql})", array.type)
    if name == "array_position":
        return Value(f"list_position({array.sql}, {item.sql})", t.INT4)
    each = builder.alias("e")
    if name == "array_positions":
        places = f"list_filter(generate_series(1, len({array.sql})), lambda {each}: "
        return Value(f"{places}list_extract({array.sql}, {each}) IS NOT DISTINCT FROM {item.sql})", t.INT4_ARRAY)
    return Value(f"list_filter({array.sql}, lambda {each}: {each} IS DISTINCT FROM {item.sql})", array.type)


@special("array_replace")
def _array_replace(builder: Builder, node: Call, scope: Scope) -> Value:
    plain_call(node)
    if len(node.arguments) != 3:
        raise unknown_call(node)
    array = array_argument(builder, node, scope)
    element = t.element_of(array.type) or t.TEXT
    old, new = (argument(builder, a, scope, element).sql for a in node.arguments[1:])
    each = builder.alias("e")
    arms = f"CASE WHEN {each} IS NOT DISTINCT FROM {old} THEN {new} ELSE {each} END"
    return Value(f"list_transform({array.sql}, lambda {each}: {arms})", array.type)


@special("trim_array")
def _trim_array(builder: Builder, node: Call, scope: Scope) -> Value:
    plain_call(node)
    if len(node.arguments) != 2:
        raise unknown_call(node)
    array, count = array_argument(builder, node, scope), argument(builder, node.arguments[1], scope, t.INT4)
    return Value(f"list_slice({array.sql}, 1, len({array.sql}) - {count.sql})", array.type)


@special("array_fill")
def _array_fill(builder: Builder, node: Call, scope: Scope) -> Value:
    """Of one dimension, counted from 1."""
    plain_call(node)
    if len(node.arguments) != 2:
        raise unknown_call(node)
    item = builder.typed(node.arguments[0], scope)
    sizes = argument(builder, node.arguments[1], scope, t.INT4_ARRAY)
    series = f"hd_bounded_series(1, list_extract({sizes.sql}, 1))"
    refused = f"CASE WHEN len({sizes.sql}) > 1 THEN error('HD0A000') ELSE {series} END"
    return array_over(item, f"list_transform({refused}, lambda {builder.alias('e')}: {item.sql})")
