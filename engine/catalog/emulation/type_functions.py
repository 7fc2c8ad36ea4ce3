"""information_schema's own functions of types (`_pg_char_max_length`, ...); importing this module enters them.

Source: PostgreSQL 15, information_schema.sql: what a type and its modifier say of lengths, digits and precision.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.catalog.emulation import types as t
from engine.catalog.emulation.functions import Builder, plain_call, register, special, unknown_call
from engine.catalog.emulation.tree import Call
from engine.catalog.emulation.values import Value, field

if TYPE_CHECKING:
    from engine.catalog.emulation.scope import Scope

_FORMULAS = {
    "_pg_char_max_length": "CASE WHEN {1} = -1 THEN NULL WHEN {0} IN (1042, 1043) THEN {1} - 4 "
    "WHEN {0} IN (1560, 1562) THEN {1} END",
    "_pg_char_octet_length": "CASE WHEN {0} NOT IN (25, 1042, 1043) THEN NULL WHEN {1} = -1 THEN 1073741824 "
    "ELSE ({1} - 4) * 4 END",
    "_pg_numeric_precision": "CASE {0} WHEN 21 THEN 16 WHEN 23 THEN 32 WHEN 20 THEN 64 WHEN 700 THEN 24 "
    "WHEN 701 THEN 53 WHEN 1700 THEN CASE WHEN {1} = -1 THEN NULL ELSE (({1} - 4) >> 16) & 65535 END END",
    "_pg_numeric_precision_radix": "CASE WHEN {0} IN (20, 21, 23, 700, 701) THEN 2 WHEN {0} = 1700 THEN 10 END "
    "+ CASE WHEN {1} IS NULL THEN NULL ELSE 0 END",
    "_pg_numeric_scale": "CASE WHEN {0} IN (20, 21, 23) THEN 0 WHEN {0} = 1700 AND {1} <> -1 THEN ({1} - 4) & 2047 END",
    "_pg_datetime_precision": "CASE WHEN {0} = 1082 THEN 0 WHEN {0} IN (1083, 1114, 1184, 1266) THEN "
    "CASE WHEN {1} < 0 THEN 6 ELSE {1} END WHEN {0} = 1186 THEN CASE WHEN {1} < 0 OR {1} & 65535 = 65535 THEN 6 "
    "ELSE {1} & 65535 END END",
}
for _name, _formula in _FORMULAS.items():
    register(_name, (t.OID, t.INT4), t.INT4, f"CAST({_formula} AS INTEGER)")


@special("_pg_truetypid", "_pg_truetypmod")
def _true_type(builder: Builder, node: Call, scope: Scope) -> Value:
    """Of an attribute's and its type's row: what a domain stands on."""
    plain_call(node)
    if len(node.arguments) != 2:
        raise unknown_call(node)
    attribute, kind = (builder.translate(argument, scope) for argument in node.arguments)
    own, base = ("atttypid", "typbasetype") if node.name[-1] == "_pg_truetypid" else ("atttypmod", "typtypmod")

    def read(row: Value, name: str) -> Value:
        places = [place for place, (label, *_) in enumerate(row.fields) if label == name]
        if not places:
            raise unknown_call(node)
        return field(row, places[0])

    plain = read(attribute, own)
    text = f"(CASE WHEN {read(kind, 'typtype').sql} = 'd' THEN {read(kind, base).sql} ELSE {plain.sql} END)"
    return Value(text, plain.type)
