"""Arrays, sets and aggregates of catalog queries; importing this module enters them in `FUNCTIONS`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from engine.catalog.emulation import types as t
from engine.catalog.emulation.functions import (
    ANY,
    FUNCTIONS,
    Builder,
    Handler,
    argument,
    plain_call,
    special,
    unknown_call,
)
from engine.catalog.emulation.tree import Call
from engine.catalog.emulation.values import CatalogRefused, Value, cast, settle

if TYPE_CHECKING:
    from engine.catalog.emulation.scope import Scope


@dataclass(frozen=True, slots=True)
class SetOfRows:
    """A function in FROM: a DuckDB list per call, and the columns each item gives (name, text over `{item}`, type)."""

    items: str
    columns: tuple[tuple[str, str, int], ...]


def _array(builder: Builder, node: Call, scope: Scope, place: int = 0) -> Value:
    """An argument that is an array.

    Raises:
        CatalogRefused: it is none (42883).
    """
    value = settle(builder.translate(node.arguments[place], scope), t.TEXT_ARRAY, builder.parameters)
    if t.element_of(value.type) is None:
        raise unknown_call(node)
    return value


def _list_of(builder: Builder, node: Call, scope: Scope) -> tuple[str, int, str]:
    """The DuckDB list, item type and column name of a set-returning call."""
    plain_call(node)
    name = node.name[-1]
    if name == "unnest" and len(node.arguments) == 1:
        value = _array(builder, node, scope)
        return value.sql, t.element_of(value.type) or t.TEXT, "unnest"
    if name == "generate_series" and 2 <= len(node.arguments) <= 3:
        bounds = builder.unify([builder.translate(a, scope) for a in node.arguments], t.INT4)
        if bounds[0].type not in t.INTEGERS:
            raise CatalogRefused("0A000", "generate_series takes whole numbers in catalog queries.")
        return f"hd_bounded_series({', '.join(b.sql for b in bounds)})", bounds[0].type, name
    if name == "generate_subscripts" and 2 <= len(node.arguments) <= 3:
        value = _array(builder, node, scope)
        argument(builder, node.arguments[1], scope, t.INT4)
        low, high = (0, 0) if t.is_vector(value.type) else (1, 1)
        return f"generate_series({low}, len({value.sql}) - 1 + {high})", t.INT4, name
    if name == "_pg_expandarray" and len(node.arguments) == 1:
        value = _array(builder, node, scope)
        pairs = f"list_zip(CAST({value.sql} AS BIGINT[]), CAST(generate_series(1, len({value.sql})) AS INTEGER[]))"
        return f"CAST({pairs} AS STRUCT(x BIGINT, n INTEGER)[])", t.EXPANDED, name
    if name in ("pg_partition_ancestors", "pg_partition_tree") and len(node.arguments) == 1:
        value = argument(builder, node.arguments[0], scope, t.REGCLASS)
        return (
            f"(CASE WHEN {value.sql} IS NULL THEN CAST([] AS BIGINT[]) ELSE CAST([] AS BIGINT[]) END)",
            t.REGCLASS,
            name,
        )
    if name in ("regexp_split_to_table", "string_to_table") and len(node.arguments) == 2:
        first, second = (argument(builder, a, scope, t.TEXT).sql for a in node.arguments)
        split = "string_split" if name == "string_to_table" else "string_split_regex"
        return f"{split}({first}, {second})", t.TEXT, name
    raise unknown_call(node)


@special(
    "unnest",
    "generate_series",
    "generate_subscripts",
    "_pg_expandarray",
    "pg_partition_ancestors",
    "regexp_split_to_table",
    "string_to_table",
)
def _set_in_list(builder: Builder, node: Call, scope: Scope) -> Value:
    items, kind, _ = _list_of(builder, node, scope)
    element = t.INT2 if kind == t.EXPANDED else -1
    sql = f"unnest({items})" if kind == t.EXPANDED else f"unnest(CAST({items} AS {t.duck(kind)}[]))"
    return Value(sql, kind, returns_set=True, modifier=element)


_ROW_FUNCTIONS: dict[str, tuple[int, tuple[tuple[str, int], ...]]] = {
    "pg_options_to_table": (1, (("option_name", t.TEXT), ("option_value", t.TEXT))),
    "aclexplode": (1, (("grantor", t.OID), ("grantee", t.OID), ("privilege_type", t.TEXT), ("is_grantable", t.BOOL))),
    "pg_get_publication_tables": (1, (("relid", t.OID), ("attrs", t.INT2VECTOR), ("qual", t.TEXT))),
}

KEYWORDS = "pg_get_keywords"


def rows_of(builder: Builder, node: Call, scope: Scope) -> SetOfRows:
    """What a function in FROM gives.

    Raises:
        FunctionRefused: it is not on the list.
        CatalogRefused: it does not take these arguments.
    """
    name = node.name[-1]
    if name in _ROW_FUNCTIONS:
        count, columns = _ROW_FUNCTIONS[name]
        plain_call(node)
        if len(node.arguments) != count:
            raise unknown_call(node)
        value = argument(builder, node.arguments[0], scope, ANY)
        items = f"(CASE WHEN {value.sql} IS NULL THEN CAST([] AS INTEGER[]) ELSE CAST([] AS INTEGER[]) END)"
        return SetOfRows(items, tuple((c, f"CAST(NULL AS {t.duck(k)})", k) for c, k in columns))
    if name in (
        "unnest",
        "generate_series",
        "generate_subscripts",
        "_pg_expandarray",
        "pg_partition_ancestors",
        "regexp_split_to_table",
        "string_to_table",
    ):
        items, kind, column = _list_of(builder, node, scope)
        if kind == t.EXPANDED:
            fields = (
                ("x", "CAST(struct_extract({item}, 'x') AS SMALLINT)", t.INT2),
                ("n", "struct_extract({item}, 'n')", t.INT4),
            )
            return SetOfRows(items, fields)
        return SetOfRows(items, ((column, f"CAST({{item}} AS {t.duck(kind)})", kind),))
    if name not in FUNCTIONS:
        raise unknown_call(node)
    single = FUNCTIONS[name](builder, node, scope)
    if single.returns_set:
        raise unknown_call(node)
    single = settle(single, t.TEXT, builder.parameters)
    return SetOfRows(f"[{single.sql}]", ((name, "{item}", single.type),))


# ---------------------------------------------------------------- arrays


def _array_number(template: str) -> Handler:
    def handler(builder: Builder, node: Call, scope: Scope) -> Value:
        plain_call(node)
        if len(node.arguments) != 2:
            raise unknown_call(node)
        value = _array(builder, node, scope)
        dimension = argument(builder, node.arguments[1], scope, t.INT4)
        shift = 1 if t.is_vector(value.type) else 0
        text = template.format(a=value.sql, s=shift)
        return Value(
            f"(CASE WHEN {dimension.sql} = 1 AND len({value.sql}) > 0 THEN CAST({text} AS INTEGER) END)", t.INT4
        )

    return handler


FUNCTIONS["array_length"] = _array_number("len({a})")
FUNCTIONS["array_upper"] = _array_number("len({a}) - {s}")
FUNCTIONS["array_lower"] = _array_number("1 - {s}")


@special("cardinality", "array_ndims")
def _cardinality(builder: Builder, node: Call, scope: Scope) -> Value:
    plain_call(node)
    if len(node.arguments) != 1:
        raise unknown_call(node)
    value = _array(builder, node, scope)
    if node.name[-1] == "array_ndims":
        return Value(f"(CASE WHEN len({value.sql}) > 0 THEN CAST(1 AS INTEGER) END)", t.INT4)
    return Value(f"CAST(len({value.sql}) AS INTEGER)", t.INT4)


@special("array_to_string")
def _array_to_string(builder: Builder, node: Call, scope: Scope) -> Value:
    plain_call(node)
    if not 2 <= len(node.arguments) <= 3:
        raise unknown_call(node)
    value = _array(builder, node, scope)
    element = t.element_of(value.type) or t.TEXT
    item = builder.alias("e")
    shown = f"list_transform({value.sql}, lambda {item}: {cast(Value(item, element), t.TEXT).sql})"
    separator = argument(builder, node.arguments[1], scope, t.TEXT)
    missing = (
        argument(builder, node.arguments[2], scope, t.TEXT).sql if len(node.arguments) == 3 else "CAST(NULL AS VARCHAR)"
    )
    return Value(f"hd_array_join({shown}, {separator.sql}, {missing})", t.TEXT)


@special("array_append", "array_prepend", "array_remove", "array_position", "array_cat")
def _array_change(builder: Builder, node: Call, scope: Scope) -> Value:
    plain_call(node)
    name = node.name[-1]
    if len(node.arguments) != 2:
        raise unknown_call(node)
    place = 1 if name == "array_prepend" else 0
    array = _array(builder, node, scope, place)
    element = t.element_of(array.type) or t.TEXT
    if name == "array_cat":
        other = cast(_array(builder, node, scope, 1), array.type)
        return Value(f"list_concat({array.sql}, {other.sql})", array.type)
    item = argument(builder, node.arguments[1 - place], scope, element)
    if name == "array_append":
        return Value(f"list_append({array.sql}, {item.sql})", array.type)
    if name == "array_prepend":
        return Value(f"list_prepend({item.sql}, {array.sql})", array.type)
    if name == "array_position":
        return Value(f"list_position({array.sql}, {item.sql})", t.INT4)
    each = builder.alias("e")
    return Value(f"list_filter({array.sql}, lambda {each}: {each} IS DISTINCT FROM {item.sql})", array.type)


# ---------------------------------------------------------------- aggregates and windows


def _aggregate(builder: Builder, node: Call, scope: Scope, call: str, arguments: str) -> str:
    """An aggregate's text with DISTINCT, ORDER BY, FILTER and OVER."""
    distinct = "DISTINCT " if node.distinct else ""
    text = f"{call}({distinct}{arguments}{builder.sorts(node.order, scope)})"
    if node.filter is not None:
        text += f" FILTER (WHERE {builder.condition(node.filter, scope)})"
    if node.over is not None:
        partition = ", ".join(builder.typed(p, scope).sql for p in node.over.partition)
        order = builder.sorts(node.over.order, scope)
        text += f" OVER ({'PARTITION BY ' + partition if partition else ''}{order})"
    return text


@special("count")
def _count(builder: Builder, node: Call, scope: Scope) -> Value:
    if node.star == bool(node.arguments) or len(node.arguments) > 1:
        raise unknown_call(node)
    inner = "*" if node.star else builder.typed(node.arguments[0], scope).sql
    return Value(_aggregate(builder, node, scope, "count", inner), t.INT8)


@special("min", "max", "sum", "avg", "bool_and", "bool_or", "every", "array_agg", "string_agg", "json_agg", "any_value")
def _aggregates(builder: Builder, node: Call, scope: Scope) -> Value:
    name = node.name[-1]
    if node.star or len(node.arguments) != (2 if name == "string_agg" else 1):
        raise unknown_call(node)
    value = builder.typed(node.arguments[0], scope)
    inner, kind, call = value.sql, value.type, name
    if name in ("min", "max"):
        kind = (
            t.TEXT if value.type in (t.NAME, t.VARCHAR, t.CHAR) else t.OID if value.type in t.REG_TYPES else value.type
        )
    elif name in ("sum", "avg"):
        if value.type not in t.NUMBERS:
            raise unknown_call(node)
        kind = (
            {t.INT2: t.INT8, t.INT4: t.INT8, t.INT8: t.NUMERIC}.get(value.type, value.type)
            if name == "sum"
            else t.FLOAT8
        )
    elif name in ("bool_and", "bool_or", "every"):
        kind, call = t.BOOL, {"every": "bool_and"}.get(name, name)
        inner = builder.condition(node.arguments[0], scope)
    elif name == "array_agg":
        kind, call = t.array_of(value.type), "list"
    elif name == "string_agg":
        kind = t.TEXT
        inner = f"{cast(value, t.TEXT).sql}, {builder.typed(node.arguments[1], scope).sql}"
    elif name == "json_agg":
        kind, call = t.JSON, "json_group_array"
    text = _aggregate(builder, node, scope, call, inner)
    if name in ("sum", "avg", "json_agg"):
        text = f"CAST({text} AS {'DECIMAL(38,0)' if kind == t.NUMERIC else t.duck(kind)})"
    return Value(text, kind)


@special("row_number", "rank", "dense_rank")
def _ranks(builder: Builder, node: Call, scope: Scope) -> Value:
    if node.arguments or node.over is None:
        raise unknown_call(node)
    return Value(_aggregate(builder, node, scope, node.name[-1], ""), t.INT8)


@special("first_value", "last_value", "lag", "lead")
def _neighbors(builder: Builder, node: Call, scope: Scope) -> Value:
    if len(node.arguments) != 1 or node.over is None:
        raise unknown_call(node)
    value = builder.typed(node.arguments[0], scope)
    return Value(_aggregate(builder, node, scope, node.name[-1], value.sql), value.type)
