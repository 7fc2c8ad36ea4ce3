"""Functions that return sets, in FROM or in a select list; importing this module enters them in `FUNCTIONS`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from engine.catalog.emulation import types as t
from engine.catalog.emulation.array_functions import array_argument, dimensions
from engine.catalog.emulation.functions import ANY, FUNCTIONS, Builder, argument, plain_call, unknown_call
from engine.catalog.emulation.tree import Call
from engine.catalog.emulation.values import CatalogRefused, Field, Value, cast, flat, settle

if TYPE_CHECKING:
    from engine.catalog.emulation.scope import Scope

Fields = tuple[Field, ...]


@dataclass(frozen=True, slots=True)
class Items:
    """What a call returns: a DuckDB list, the type of its items, the column's name; fields when items are STRUCTs."""

    sql: str
    type: int
    name: str
    fields: Fields = ()


@dataclass(frozen=True, slots=True)
class SetOfRows:
    """A function in FROM: a DuckDB list per call, and the columns each item gives (name, text over `{item}`, type)."""

    items: str
    columns: tuple[tuple[str, str, int], ...]


SetFunction = Callable[[Builder, Call, "Scope"], Items]
SETS: dict[str, SetFunction] = {}
"""The functions that return sets."""
RELATIONS = {
    "pg_get_keywords": "pg_get_keywords",
    "ts_token_type": "ts_token_type",
    "pg_show_all_settings": "pg_settings",
    "pg_timezone_names": "pg_timezone_names",
    "pg_timezone_abbrevs": "pg_timezone_abbrevs",
    "pg_available_extensions": "pg_available_extensions",
    "pg_available_extension_versions": "pg_available_extension_versions",
    "pg_prepared_xact": "pg_prepared_xacts",
    "pg_prepared_statement": "pg_prepared_statements",
    "pg_cursor": "pg_cursors",
    "pg_lock_status": "pg_locks",
    "pg_stat_get_activity": "pg_stat_activity",
    "pg_get_replication_slots": "pg_replication_slots",
}
"""Functions in FROM that stand for a relation of pg_catalog."""
RELATION_COLUMNS = {
    "pg_available_extensions": ("name", "default_version", "comment"),
    "pg_prepared_xact": ("transaction", "gid", "prepared", "owner", "database"),
}
"""Which of the relation's columns such a function has, when it has not all."""


def sets(*names: str) -> Callable[[SetFunction], SetFunction]:
    """Enter a function that returns a set."""

    def enter(function: SetFunction) -> SetFunction:
        for name in names:
            SETS[name] = function
            FUNCTIONS[name] = _in_list
        return function

    return enter


def _in_list(builder: Builder, node: Call, scope: Scope) -> Value:
    items = SETS[node.name[-1]](builder, node, scope)
    typed = items.sql if items.fields else f"CAST({items.sql} AS {t.duck(items.type)}[])"
    return Value(f"unnest({typed})", items.type, returns_set=True, fields=items.fields)


def rows_of(builder: Builder, node: Call, scope: Scope) -> SetOfRows:
    """What a function in FROM gives.

    Raises:
        FunctionRefused: it is not on the list.
        CatalogRefused: it does not take these arguments.
    """
    name = node.name[-1]
    if name in SETS:
        items = SETS[name](builder, node, scope)
        if items.fields:
            return SetOfRows(items.sql, _columns(items.fields))
        return SetOfRows(items.sql, ((items.name, f"CAST({{item}} AS {t.duck(items.type)})", items.type),))
    single = settle(builder.translate(node, scope), t.TEXT, builder.parameters)
    if single.returns_set:
        raise unknown_call(node)
    columns = _columns(single.fields) if single.fields else ((name, "{item}", single.type),)
    return SetOfRows(f"[{single.sql}]", columns)


def _columns(fields: Fields) -> tuple[tuple[str, str, int], ...]:
    return tuple((n, f"struct_extract({{item}}, 'f{i}')", k) for i, (n, k, *_) in enumerate(fields, 1))


def struct_type(*kinds: int) -> str:
    """DuckDB's type of a composite's value."""
    return f"STRUCT({', '.join(f'f{i} {t.duck(kind)}' for i, kind in enumerate(kinds, 1))})"


@sets("unnest")
def _unnest(builder: Builder, node: Call, scope: Scope) -> Items:
    plain_call(node)
    if not node.arguments:
        raise unknown_call(node)
    arrays = [flat(array_argument(builder, node, scope, place)) for place in range(len(node.arguments))]
    kinds = [t.element_of(array.type) or t.TEXT for array in arrays]
    if len(arrays) == 1:
        return Items(arrays[0].sql, kinds[0], "unnest", arrays[0].items)
    zipped = f"CAST(list_zip({', '.join(a.sql for a in arrays)}) AS {struct_type(*kinds)}[])"
    return Items(zipped, t.RECORD, "unnest", tuple(Field("unnest", kind) for kind in kinds))


@sets("generate_series")
def _generate_series(builder: Builder, node: Call, scope: Scope) -> Items:
    plain_call(node)
    if not 2 <= len(node.arguments) <= 3:
        raise unknown_call(node)
    first = builder.translate(node.arguments[0], scope)
    if len(node.arguments) == 3 and first.type in (t.DATE, t.TIMESTAMP, t.TIMESTAMPTZ):
        return _moments(builder, node, scope, t.TIMESTAMPTZ if first.type == t.DATE else first.type)
    bounds = builder.unify([builder.translate(a, scope) for a in node.arguments], t.INT4)
    if bounds[0].type not in t.INTEGERS:
        raise CatalogRefused("0A000", "generate_series takes whole numbers in catalog queries.")
    return Items(f"hd_bounded_series({', '.join(b.sql for b in bounds)})", bounds[0].type, "generate_series")


def _moments(builder: Builder, node: Call, scope: Scope, kind: int) -> Items:
    """A series of moments, an interval apart."""
    start, stop = (
        cast(settle(builder.translate(a, scope), kind, builder.parameters), kind) for a in node.arguments[:2]
    )
    step = argument(builder, node.arguments[2], scope, t.INTERVAL)
    return Items(f"hd_bounded_moments({start.sql}, {stop.sql}, {step.sql})", kind, "generate_series")


@sets("generate_subscripts")
def _generate_subscripts(builder: Builder, node: Call, scope: Scope) -> Items:
    plain_call(node)
    if not 2 <= len(node.arguments) <= 3:
        raise unknown_call(node)
    value = array_argument(builder, node, scope)
    dimension = argument(builder, node.arguments[1], scope, t.INT4)
    low, high = (0, 0) if t.is_vector(value.type) else (1, 1)
    backward = argument(builder, node.arguments[2], scope, t.BOOL).sql if len(node.arguments) == 3 else "FALSE"
    lengths = " ".join(f"WHEN {place} THEN {length}" for place, length in enumerate(dimensions(value), 1))
    series = f"generate_series({low}, (CASE {dimension.sql} {lengths} END) - 1 + {high})"
    text = f"(CASE WHEN {backward} THEN list_reverse({series}) ELSE {series} END)"
    return Items(text, t.INT4, "generate_subscripts")


@sets("_pg_expandarray")
def _expand_array(builder: Builder, node: Call, scope: Scope) -> Items:
    plain_call(node)
    if len(node.arguments) != 1:
        raise unknown_call(node)
    value = array_argument(builder, node, scope)
    kind = t.element_of(value.type) or t.TEXT
    pairs = f"list_zip({value.sql}, generate_series(1, len({value.sql})))"
    return Items(
        f"CAST({pairs} AS {struct_type(kind, t.INT4)}[])",
        t.RECORD,
        "_pg_expandarray",
        (Field("x", kind), Field("n", t.INT4)),
    )


@sets("pg_partition_ancestors")
def _no_partitions(builder: Builder, node: Call, scope: Scope) -> Items:
    return _nothing(builder, node, scope, t.REGCLASS, t.REGCLASS)


@sets("pg_listening_channels", "pg_tablespace_databases", "pg_ls_tmpdir")
def _no_items(builder: Builder, node: Call, scope: Scope) -> Items:
    kinds = {"pg_listening_channels": t.TEXT, "pg_tablespace_databases": t.OID}
    return _nothing(builder, node, scope, ANY, kinds.get(node.name[-1], t.TEXT))


def _nothing(builder: Builder, node: Call, scope: Scope, taken: int, kind: int) -> Items:
    """An empty set; the arguments stay in the text, for an unknown or wrong one must still be found out."""
    plain_call(node)
    tests = [f"{argument(builder, a, scope, taken).sql} IS NULL" for a in node.arguments] or ["TRUE"]
    empty = f"CAST([] AS {t.duck(kind)}[])"
    return Items(f"(CASE WHEN {' OR '.join(tests)} THEN {empty} ELSE {empty} END)", kind, node.name[-1])


@sets("regexp_split_to_table", "string_to_table", "regexp_matches")
def _texts(builder: Builder, node: Call, scope: Scope) -> Items:
    plain_call(node)
    name = node.name[-1]
    if not 2 <= len(node.arguments) <= 3:
        raise unknown_call(node)
    texts = [argument(builder, a, scope, t.TEXT).sql for a in node.arguments]
    if name == "string_to_table":
        return Items(f"hd_string_to_array({', '.join([*texts, 'NULL'][:3])})", t.TEXT, name)
    call = "hd_regexp_split" if name == "regexp_split_to_table" else "hd_regexp_matches"
    kind = t.TEXT if name == "regexp_split_to_table" else t.TEXT_ARRAY
    return Items(f"{call}({', '.join([*texts, chr(39) * 2][:3])})", kind, name)


def _fixed(name: str, count: int, items: str, *fields: tuple[str, int]) -> None:
    """Enter a function of `count` arguments whose items are STRUCTs made by `items`."""

    def function(builder: Builder, node: Call, scope: Scope) -> Items:
        plain_call(node)
        if len(node.arguments) != count:
            raise unknown_call(node)
        texts = [argument(builder, a, scope, ANY).sql for a in node.arguments]
        return Items(items.format(*texts), t.RECORD, name, tuple(Field(n, kind) for n, kind in fields))

    sets(name)(function)


_fixed(
    "aclexplode", 1, "hd_aclexplode({0})",
    ("grantor", t.OID), ("grantee", t.OID), ("privilege_type", t.TEXT), ("is_grantable", t.BOOL),
)  # fmt: skip
_fixed("pg_options_to_table", 1, "hd_options({0})", ("option_name", t.TEXT), ("option_value", t.TEXT))
_fixed(
    "pg_get_publication_tables", 1,
    f"(CASE WHEN {{0}} IS NULL THEN [] ELSE CAST([] AS {struct_type(t.OID, t.INT2VECTOR, t.TEXT)}[]) END)",
    ("relid", t.OID), ("attrs", t.INT2VECTOR), ("qual", t.TEXT),
)  # fmt: skip
_fixed(
    "pg_partition_tree", 1,
    f"(CASE WHEN {{0}} IS NULL THEN [] ELSE CAST([] AS {struct_type(t.REGCLASS, t.REGCLASS, t.BOOL, t.INT4)}[]) END)",
    ("relid", t.REGCLASS), ("parentrelid", t.REGCLASS), ("isleaf", t.BOOL), ("level", t.INT4),
)  # fmt: skip
