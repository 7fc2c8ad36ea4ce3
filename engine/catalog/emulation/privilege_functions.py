"""`has_*_privilege`: reading is granted on what is visible, nothing else is; importing this module enters them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.catalog.emulation import types as t
from engine.catalog.emulation.functions import ANY, FUNCTIONS, Builder, Handler, plain_call, special, unknown_call
from engine.catalog.emulation.tree import Call, Expr
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


_WORDS = {
    "has_schema_privilege": "CREATE|USAGE", "has_database_privilege": "CREATE|CONNECT|TEMPORARY|TEMP",
    "has_function_privilege": "EXECUTE", "has_type_privilege": "USAGE", "has_language_privilege": "USAGE",
    "has_sequence_privilege": "USAGE|SELECT|UPDATE", "has_tablespace_privilege": "CREATE",
    "has_server_privilege": "USAGE", "has_foreign_data_wrapper_privilege": "USAGE",
    "has_parameter_privilege": "SET|ALTER SYSTEM", "has_any_column_privilege": "SELECT|INSERT|UPDATE|REFERENCES",
    "has_column_privilege": "SELECT|INSERT|UPDATE|REFERENCES", "pg_has_role": "USAGE|MEMBER",
}  # fmt: skip
_TABLE_WORDS = "SELECT|INSERT|UPDATE|DELETE|TRUNCATE|REFERENCES|TRIGGER"


def _role(builder: Builder, node: Expr, scope: Scope) -> str:
    """A test that a role named by a text is here (42704 if not); a number may be anyone's."""
    value = builder.typed(node, scope, t.NAME)
    return f"(hd_regrole_in(hd_quote_ident({value.sql})) IS NOT NULL)" if t.is_text(value.type) else ""


def _privilege(kind: int, granted: str, objects: int, known_words: str = _TABLE_WORDS) -> Handler:
    pattern = quoted(rf"(?i)(^|,)\s*({granted})\s*(,|$)") if granted else quoted(r"$^x")

    def handler(builder: Builder, node: Call, scope: Scope) -> Value:
        plain_call(node)
        given = list(node.arguments)
        role = ""
        if len(given) == objects + 2:
            role = _role(builder, given.pop(0), scope)
        if len(given) != objects + 1:
            raise unknown_call(node)
        first = settle(builder.translate(given[0], scope), kind or t.TEXT, builder.parameters)
        if kind and t.is_text(first.type):
            first = cast(first, kind)
        rest = [builder.typed(a, scope) for a in given[1:]]
        one = rf"\s*({known_words})( WITH GRANT OPTION)?\s*"
        every = quoted(f"(?i)^{one}(,{one})*$")
        text = rest[-1].sql
        test = f"(CASE WHEN regexp_matches({text}, {every}) THEN regexp_matches({text}, {pattern}) "
        test += f"WHEN {text} IS NOT NULL THEN error('HD22023') END)"
        if kind == t.REGCLASS:
            test = f"({test} AND hd_readable({first.sql}))"
        if role:
            test = f"(CASE WHEN {role} THEN {test} END)"
        if objects == 2 and t.is_text(rest[0].type):
            test = f"(CASE WHEN hd_column_known({first.sql}, {rest[0].sql}) THEN {test} ELSE error('HD42703') END)"
        if kind == t.REGNAMESPACE:  # pg_toast is nobody's to use
            test = f"({test} AND {first.sql} <> 99)"
        known = f"{_KNOWN[kind]}({first.sql})" if kind in _KNOWN else f"{first.sql} IS NOT NULL"
        return Value(f"(CASE WHEN {known} THEN {test} END)", t.BOOL)

    return handler


for _name, (_kind, _granted) in _GRANTED.items():
    FUNCTIONS[_name] = _privilege(_kind, _granted, 1, _WORDS.get(_name, _TABLE_WORDS))
FUNCTIONS["has_column_privilege"] = _privilege(t.REGCLASS, "SELECT", 2, _WORDS["has_column_privilege"])


@special("pg_has_role")
def _has_role(builder: Builder, node: Call, scope: Scope) -> Value:
    """Everyone has his own role and no other."""
    plain_call(node)
    if not 2 <= len(node.arguments) <= 3:
        raise unknown_call(node)
    given = [builder.typed(a, scope, t.NAME) for a in node.arguments]

    def number(value: Value) -> str:
        return f"hd_regrole_in(hd_quote_ident({value.sql}))" if t.is_text(value.type) else value.sql

    user = number(given[0]) if len(given) == 3 else f"CAST({builder.slot('user_oid')} AS BIGINT)"
    words = quoted(rf"(?i)^\s*({_WORDS['pg_has_role']})( WITH (GRANT|ADMIN) OPTION)?\s*$")
    test = f"(CASE WHEN regexp_matches({given[-1].sql}, {words}) THEN TRUE ELSE error('HD22023') END)"
    return Value(f"({test} AND {user} = {number(given[-2])})", t.BOOL)
