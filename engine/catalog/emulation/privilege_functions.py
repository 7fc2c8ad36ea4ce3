"""`has_*_privilege`: reading is granted on what is visible, nothing else is; importing this module enters them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.catalog.emulation import types as t
from engine.catalog.emulation.functions import ANY, FUNCTIONS, Builder, Handler, plain_call, unknown_call
from engine.catalog.emulation.tree import Call
from engine.catalog.emulation.values import Value, cast, quoted, settle

if TYPE_CHECKING:
    from engine.catalog.emulation.scope import Scope

_KNOWN = {t.REGCLASS: "hd_relation_known", t.REGNAMESPACE: "hd_schema_known", t.REGTYPE: "hd_type_known"}
_GRANTED = {
    "has_table_privilege": (t.REGCLASS, "SELECT"),
    "has_any_column_privilege": (t.REGCLASS, "SELECT"),
    "has_schema_privilege": (t.REGNAMESPACE, "USAGE"),
    "has_database_privilege": (ANY, "CONNECT|TEMPORARY|TEMP"),
    "has_function_privilege": (ANY, "EXECUTE"),
    "has_type_privilege": (t.REGTYPE, "USAGE"),
    "has_language_privilege": (ANY, "USAGE"),
    "has_sequence_privilege": (t.REGCLASS, "SELECT"),
    "has_tablespace_privilege": (ANY, ""),
    "has_server_privilege": (ANY, ""),
    "has_foreign_data_wrapper_privilege": (ANY, ""),
    "has_parameter_privilege": (ANY, ""),
}
"""Function -> kind of its object, and what is granted on one that is seen."""


def _privilege(kind: int, granted: str, objects: int) -> Handler:
    pattern = quoted(rf"(?i)(^|,)\s*({granted})\s*(,|$)") if granted else quoted(r"$^x")

    def handler(builder: Builder, node: Call, scope: Scope) -> Value:
        plain_call(node)
        given = list(node.arguments)
        if len(given) == objects + 2:
            builder.typed(given.pop(0), scope)
        if len(given) != objects + 1:
            raise unknown_call(node)
        first = settle(builder.translate(given[0], scope), kind or t.TEXT, builder.parameters)
        if kind and t.is_text(first.type):
            first = cast(first, kind)
        rest = [builder.typed(a, scope) for a in given[1:]]
        test = f"regexp_matches({rest[-1].sql}, {pattern})"
        if kind == t.REGNAMESPACE:  # pg_toast is nobody's to use
            test = f"({test} AND {first.sql} <> 99)"
        known = f"{_KNOWN[kind]}({first.sql})" if kind in _KNOWN else f"{first.sql} IS NOT NULL"
        return Value(f"(CASE WHEN {known} THEN {test} END)", t.BOOL)

    return handler


for _name, (_kind, _granted) in _GRANTED.items():
    FUNCTIONS[_name] = _privilege(_kind, _granted, 1)
FUNCTIONS["has_column_privilege"] = _privilege(t.REGCLASS, "SELECT", 2)
FUNCTIONS["pg_has_role"] = _privilege(ANY, "USAGE|MEMBER", 1)
