"""JSON made and read in catalog queries; importing this module enters its functions in `FUNCTIONS`.

A JSON value is its text, put together here exactly as PostgreSQL prints it; jsonb is the same in its normal form.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from engine.catalog.emulation import types as t
from engine.catalog.emulation.aggregates import aggregate
from engine.catalog.emulation.functions import Builder, argument, plain_call, special, unknown_call
from engine.catalog.emulation.set_functions import Items, SetOfRows, sets, struct_type
from engine.catalog.emulation.tree import Call
from engine.catalog.emulation.values import (
    CatalogRefused,
    Field,
    Value,
    as_text,
    cast,
    field,
    no_operator,
    quoted,
    settle,
)

if TYPE_CHECKING:
    from engine.catalog.emulation.scope import Scope

_PLAIN = t.NUMBERS | {t.BOOL}
_CLOSE, _LINES = ",", ",\n "
"""Between members: as most functions print them, and as `json_agg` and its like do on request."""


def json_text(value: Value, item: str = "e", between: str = _CLOSE) -> str:
    """DuckDB text of a typed value's JSON; 'null' for NULL.

    `item` names what stands for an array's element; `between` stands between the members of the outermost value.
    """
    if value.type in (t.JSON, t.JSONB):
        text = value.sql
    elif value.fields:
        pairs = [
            f"{quoted(_key(name) + ':')} || {json_text(field(value, place), item + 'f')}"
            for place, (name, *_) in enumerate(value.fields)
        ]
        inner = f" || {quoted(between)} || ".join(pairs)
        text = f"(CASE WHEN {value.sql} IS NULL THEN NULL ELSE '{{' || {inner} || '}}' END)"
    elif t.element_of(value.type) is not None:
        each = json_text(value.element(item), item + "e")
        shown = f"list_transform({value.sql}, lambda {item}: {each})"
        inner = f"coalesce(list_aggregate({shown}, 'string_agg', {quoted(between)}), '')"
        text = f"(CASE WHEN {value.sql} IS NOT NULL THEN '[' || {inner} || ']' END)"
    elif value.type == t.BOOL:
        text = f"CAST({value.sql} AS VARCHAR)"
    elif value.type in _PLAIN:
        text = f"hd_json_number({as_text(value)})"
    elif value.type in (t.TIMESTAMP, t.TIMESTAMPTZ):
        moment = f"regexp_replace({as_text(value)}, ' ', 'T')"
        text = f"hd_json_string({moment if value.type == t.TIMESTAMP else _with_minutes(moment)})"
    else:
        text = f"hd_json_string({as_text(value)})"
    return f"coalesce({text}, 'null')"


def _with_minutes(moment: str) -> str:
    """A moment with its zone (of whole hours) as ISO 8601 writes it."""
    return f"regexp_replace({moment}, '([+-][0-9]{{2}})$', '\\1:00')"


def _key(name: str) -> str:
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _made(name: str, text: str) -> Value:
    """JSON under the type that the function's name asks for."""
    return Value(f"hd_jsonb({text})", t.JSONB) if name.startswith(("jsonb", "to_jsonb")) else Value(text, t.JSON)


@special("to_json", "to_jsonb", "row_to_json", "array_to_json")
def _to_json(builder: Builder, node: Call, scope: Scope) -> Value:
    plain_call(node)
    if not 1 <= len(node.arguments) <= 2:
        raise unknown_call(node)
    value = _known(builder, node, scope)
    text = json_text(value)
    if len(node.arguments) == 2:
        if node.name[-1].startswith("to_"):
            raise unknown_call(node)
        spread = argument(builder, node.arguments[1], scope, t.BOOL).sql
        text = f"(CASE WHEN {spread} THEN {json_text(value, between=_LINES)} ELSE {text} END)"
        value = replace(value, sql=f"(CASE WHEN {spread} IS NOT NULL THEN {value.sql} END)")
    return _made(node.name[-1], f"(CASE WHEN {value.sql} IS NULL THEN NULL ELSE {text} END)")


def _known(builder: Builder, node: Call, scope: Scope) -> Value:
    """The first argument, whose type must be known.

    Raises:
        CatalogRefused: it is a literal without a type (42804).
    """
    value = builder.translate(node.arguments[0], scope)
    if value.literal is not None or value.null:
        raise CatalogRefused("42804", "could not determine polymorphic type because input has type unknown")
    return settle(value, t.TEXT, builder.parameters)


def _pair(key: Value, value: Value) -> str:
    """DuckDB text of a member of an object.

    Raises:
        CatalogRefused: no key is made of such a value (22023).
    """
    if key.fields or t.element_of(key.type) is not None or key.type in (t.JSON, t.JSONB):
        raise CatalogRefused("22023", "key value must be scalar, not array, composite, or json")
    return f"hd_json_key({as_text(key)}) || ' : ' || {json_text(value)}"


@special("json_build_object", "jsonb_build_object")
def _build_object(builder: Builder, node: Call, scope: Scope) -> Value:
    plain_call(node)
    if len(node.arguments) % 2:
        raise CatalogRefused("22023", "argument list must have even number of elements")
    values = [builder.typed(a, scope) for a in node.arguments]
    pairs = [_pair(key, value) for key, value in zip(values[::2], values[1::2], strict=True)]
    return _made(node.name[-1], "('{' || " + " || ', ' || ".join(pairs or ["''"]) + " || '}')")


@special("json_build_array", "jsonb_build_array")
def _build_array(builder: Builder, node: Call, scope: Scope) -> Value:
    plain_call(node)
    items = [json_text(builder.typed(a, scope)) for a in node.arguments]
    return _made(node.name[-1], "('[' || " + " || ', ' || ".join(items or ["''"]) + " || ']')")


@special("json_agg", "jsonb_agg")
def _agg(builder: Builder, node: Call, scope: Scope) -> Value:
    if node.star or len(node.arguments) != 1:
        raise unknown_call(node)
    value = _known(builder, node, scope)
    between = "', ' || chr(10) || ' '" if value.fields or t.element_of(value.type) is not None else "', '"
    if node.distinct:  # told apart and sorted by what they are, not by how they are printed
        item = builder.alias("e")
        held = aggregate(builder, node, scope, "list", value.sql, by=value.sql)
        items = f"list_transform({held}, lambda {item}: {json_text(replace(value, sql=item))})"
    else:
        items = aggregate(builder, node, scope, "list", json_text(value))
    text = f"('[' || list_aggregate({items}, 'string_agg', {between}) || ']')"
    return _made(node.name[-1], text)


@special("json_object_agg", "jsonb_object_agg")
def _object_agg(builder: Builder, node: Call, scope: Scope) -> Value:
    if len(node.arguments) != 2:
        raise unknown_call(node)
    key, value = (builder.typed(a, scope) for a in node.arguments)
    items = aggregate(builder, node, scope, "list", _pair(key, value))
    return _made(node.name[-1], f"('{{ ' || list_aggregate({items}, 'string_agg', ', ') || ' }}')")


def read(builder: Builder, operator: str, left: Value, right: Value) -> Value:
    """`->`, `->>`, `#>` and `#>>` on JSON."""
    kind = t.TEXT if operator.endswith(">>") else left.type
    shown = "TRUE" if operator.endswith(">>") else "FALSE"
    if operator.startswith("#"):
        path = settle(right, t.TEXT_ARRAY, builder.parameters)
        return Value(f"hd_json_path({left.sql}, {path.sql}, {shown})", kind)
    if right.type in t.INTEGERS:
        return Value(f"hd_json_element({left.sql}, {right.sql}, {shown})", kind)
    key = settle(right, t.TEXT, builder.parameters)
    if not t.is_text(key.type) or key.type in (t.JSON, t.JSONB):
        raise no_operator(operator, left, right)
    return Value(f"hd_json_field({left.sql}, {key.sql}, {shown})", kind)


def subscripted(builder: Builder, value: Value, index: Value) -> Value:
    """`value[index]` of jsonb: a key or a place, whichever fits.

    Raises:
        CatalogRefused: the index is neither a text nor a whole number (42804).
    """
    index = settle(index, t.TEXT, builder.parameters)
    if not t.is_text(index.type) and index.type not in t.INTEGERS:
        raise CatalogRefused("42804", f"subscript type {index.type_name} is not supported")
    return Value(f"hd_json_path({value.sql}, [{as_text(index)}], FALSE)", t.JSONB, label=value.label, firm=True)


_READERS = {"json_typeof": t.TEXT, "json_array_length": t.INT4, "json_pretty": t.TEXT, "json_strip_nulls": t.JSON}


@special(*(prefix + name[4:] for name in _READERS for prefix in ("json", "jsonb")))
def _reader(builder: Builder, node: Call, scope: Scope) -> Value:
    plain_call(node)
    if len(node.arguments) != 1:
        raise unknown_call(node)
    name = node.name[-1]
    given = argument(builder, node.arguments[0], scope, t.JSONB if name.startswith("jsonb") else t.JSON)
    kind = _READERS["json" + name.removeprefix("jsonb").removeprefix("json")]
    normal = f", {'TRUE' if given.type == t.JSONB else 'FALSE'}" if name.endswith("strip_nulls") else ""
    text = f"hd_{'json' + name.removeprefix('jsonb').removeprefix('json')}({given.sql}{normal})"
    if kind == t.INT4:
        text = f"CAST({text} AS INTEGER)"
    return Value(text, given.type if kind == t.JSON else kind)


@sets(
    "json_array_elements", "jsonb_array_elements", "json_array_elements_text", "jsonb_array_elements_text",
    "json_object_keys", "jsonb_object_keys", "json_each", "jsonb_each", "json_each_text", "jsonb_each_text",
)  # fmt: skip
def _parts(builder: Builder, node: Call, scope: Scope) -> Items:
    plain_call(node)
    if len(node.arguments) != 1:
        raise unknown_call(node)
    name = node.name[-1]
    own = t.JSONB if name.startswith("jsonb") else t.JSON
    kind = t.TEXT if name.endswith(("_text", "_keys")) else own
    given = argument(builder, node.arguments[0], scope, own)
    shown = "TRUE" if name.endswith("_text") else "FALSE"
    if "elements" in name:
        return Items(f"hd_json_items({given.sql}, {shown})", kind, "value")
    if name.endswith("_keys"):
        return Items(f"hd_json_keys({given.sql})", kind, name)
    pairs = f"CAST(hd_json_pairs({given.sql}, {shown}) AS {struct_type(t.TEXT, t.TEXT)}[])"
    return Items(pairs, t.RECORD, name, (Field("key", t.TEXT), Field("value", kind)))


def records_of(builder: Builder, node: Call, scope: Scope, fields: list[tuple[str, int]]) -> SetOfRows:
    """`json_to_recordset(...) AS x(a text, ...)` and `json_to_record`.

    Raises:
        CatalogRefused: another function has a column definition list (42601).
    """
    name = node.name[-1].replace("jsonb", "json")
    if name not in ("json_to_recordset", "json_to_record") or len(node.arguments) != 1:
        raise CatalogRefused("42601", "a column definition list is only allowed for functions returning records")
    given = argument(builder, node.arguments[0], scope, t.JSONB if "jsonb" in node.name[-1] else t.JSON)
    items = f"hd_json_items({given.sql}, FALSE)" if name == "json_to_recordset" else f"[{given.sql}]"
    columns = []
    for label, kind in fields:
        shown = "FALSE" if kind in (t.JSON, t.JSONB) else "TRUE"
        text = Value(f"hd_json_path({{item}}, [{quoted(label)}], {shown})", t.TEXT)
        columns.append((label, cast(text, kind).sql, kind))
    return SetOfRows(items, tuple(columns))
