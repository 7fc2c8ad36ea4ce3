"""jsonb taken apart and changed: its operators and the functions beside them; importing this module enters these."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.catalog.emulation import types as t
from engine.catalog.emulation.functions import Builder, argument, plain_call, register, special, unknown_call
from engine.catalog.emulation.tree import Call
from engine.catalog.emulation.values import Value, cast, settle

if TYPE_CHECKING:
    from engine.catalog.emulation.scope import Scope

OPERATORS = frozenset(("@>", "<@", "?", "?|", "?&", "||", "-", "#-"))
_PATH_FUNCTIONS = ("json_extract_path", "jsonb_extract_path", "json_extract_path_text", "jsonb_extract_path_text")


def applies(operator: str, left: Value, right: Value) -> bool:
    """Whether an operator between these is jsonb's."""
    return operator in OPERATORS and (
        left.type == t.JSONB or (operator in ("@>", "<@", "||") and right.type == t.JSONB)
    )


def operate(builder: Builder, operator: str, left: Value, right: Value) -> Value:
    """A jsonb operator's value."""
    if operator in ("@>", "<@", "||"):
        one, other = (settle(side, t.JSONB, builder.parameters) for side in (left, right))
        if operator == "||":
            return Value(f"hd_json_concatenated({one.sql}, {other.sql})", t.JSONB)
        whole, part = (other, one) if operator == "<@" else (one, other)
        return Value(f"hd_json_contains({whole.sql}, {part.sql})", t.BOOL)
    if operator == "?":
        key = cast(settle(right, t.TEXT, builder.parameters), t.TEXT)
        return Value(f"hd_json_has_keys({left.sql}, [{key.sql}], TRUE)", t.BOOL)
    if operator in ("?|", "?&"):
        keys = cast(settle(right, t.TEXT_ARRAY, builder.parameters), t.TEXT_ARRAY)
        return Value(f"hd_json_has_keys({left.sql}, {keys.sql}, {'TRUE' if operator == '?&' else 'FALSE'})", t.BOOL)
    if operator == "#-":
        path = cast(settle(right, t.TEXT_ARRAY, builder.parameters), t.TEXT_ARRAY)
        return Value(f"hd_json_changed({left.sql}, {path.sql}, 'null', 'delete', FALSE)", t.JSONB)
    if right.type in t.INTEGERS:
        return Value(f"hd_json_without_place({left.sql}, CAST({right.sql} AS BIGINT))", t.JSONB)
    keys = settle(right, t.TEXT, builder.parameters)
    shown = keys.sql if t.element_of(keys.type) is not None else f"[{keys.sql}]"
    return Value(f"hd_json_without({left.sql}, {shown})", t.JSONB)


@special(*_PATH_FUNCTIONS)
def _extract_path(builder: Builder, node: Call, scope: Scope) -> Value:
    plain_call(node)
    name = node.name[-1]
    if not node.arguments:
        raise unknown_call(node)
    kind = t.JSONB if name.startswith("jsonb") else t.JSON
    given = argument(builder, node.arguments[0], scope, kind)
    if node.variadic:
        path = argument(builder, node.arguments[-1], scope, t.TEXT_ARRAY).sql
    else:
        steps = ", ".join(argument(builder, a, scope, t.TEXT).sql for a in node.arguments[1:])
        path = f"CAST([{steps}] AS VARCHAR[])"
    text = name.endswith("_text")
    return Value(f"hd_json_path({given.sql}, {path}, {'TRUE' if text else 'FALSE'})", t.TEXT if text else kind)


register(
    "jsonb_set", (t.JSONB, t.TEXT_ARRAY, t.JSONB, t.BOOL), t.JSONB, "hd_json_changed({0}, {1}, {2}, 'set', {3})",
    least=3, fills=("TRUE",),
)  # fmt: skip
register(
    "jsonb_insert", (t.JSONB, t.TEXT_ARRAY, t.JSONB, t.BOOL), t.JSONB,
    "hd_json_changed({0}, {1}, {2}, CASE WHEN {3} THEN 'after' ELSE 'before' END, TRUE)", least=3, fills=("FALSE",),
)  # fmt: skip
for _name, _kind in (("json_object", t.JSON), ("jsonb_object", t.JSONB)):
    _made = "hd_json_made_of({0}, {1})"
    register(
        _name, (t.TEXT_ARRAY, t.TEXT_ARRAY), _kind, f"hd_jsonb({_made})" if _kind == t.JSONB else _made,
        least=1, fills=("CAST(NULL AS VARCHAR[])",),
    )  # fmt: skip
