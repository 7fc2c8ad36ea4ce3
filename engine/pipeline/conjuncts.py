"""Leakproof conjuncts of the client, copied inside the secured relation so that pruning works behind the row guard.

A guarded column hides its statistics from DuckDB: zone maps and Hive partitions would no longer prune. A comparison
of an unmasked column with constants tells nothing and cannot fail, so it may run on the base relation as well. The
copy only repeats what WHERE demands anyway: it must be implied by it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from engine.pipeline.guard import Guards
from engine.pipeline.relation import BASE, SecuredTable
from engine.pipeline.survey import Node, Survey, TableRef, children
from governance.sql_literals import identifier, literal_of, text_literal
from governance.sql_types import INTEGER_RANGES, is_integer, is_text, normal
from governance.tables import fold

_SIGNS = {
    "COMPARE_EQUAL": "=",
    "COMPARE_LESSTHAN": "<",
    "COMPARE_GREATERTHAN": ">",
    "COMPARE_LESSTHANOREQUALTO": "<=",
    "COMPARE_GREATERTHANOREQUALTO": ">=",
}
_MIRROR = {"=": "=", "<": ">", ">": "<", "<=": ">=", ">=": "<="}
_EXACT = frozenset({"DATE", "UUID", "TIMESTAMP", "BOOLEAN"})
_INTEGER_NAMES = ", ".join(text_literal(name) for name in INTEGER_RANGES)
COPIES_MAX = 16


def copies(survey: Survey, secured: Sequence[SecuredTable | None], guards: Guards) -> list[str]:
    """For each table reference the SQL of its copied conjuncts over `hd`, or empty."""
    found: list[list[str]] = [[] for _ in secured]
    places = {ref.at: i for i, ref in enumerate(survey.tables)}
    for select in survey.selects:
        if not select.get("where_clause") or select.get("sample"):
            continue
        leaves = [places[n["query_location"]] for n in _kept(select.get("from_table", {})) if _is_plain(n, places)]
        scope = {i: (survey.tables[i], table) for i in leaves if (table := secured[i]) is not None}
        for conjunct in _split(select["where_clause"]):
            copy = None if _is_merged(conjunct, survey) else _copy(conjunct, scope, guards)
            if copy is not None and len(found[copy[0]]) < COPIES_MAX:
                found[copy[0]].append(copy[1])
    return [" AND ".join(parts) for parts in found]


def _is_merged(node: Node, survey: Survey) -> bool:
    """Whether a condition may read a column that USING made of two, of which the other may have another type."""
    keys = set(survey.key_names)
    alone = (fold(each["column_names"][0]) for each in children(node) if len(each.get("column_names", ())) == 1)
    return any(survey.natural or name in keys for name in alone)


def _is_plain(node: Node, places: dict[int, int]) -> bool:
    listed = node.get("type") == "BASE_TABLE" and node.get("query_location") in places
    return listed and not node.get("sample") and not node.get("column_name_alias")


def _kept(node: Node) -> Iterator[Node]:
    """Tables whose rows WHERE filters one by one: through inner and cross joins, and the left side of left joins."""
    if node.get("type") != "JOIN":
        yield node
    elif node.get("ref_type") in ("REGULAR", "CROSS"):
        kind = node.get("join_type")
        if kind in ("INNER", "LEFT", "SEMI", "ANTI"):
            yield from _kept(node["left"])
        if kind == "INNER":
            yield from _kept(node["right"])


def _split(node: Node) -> Iterable[Node]:
    if node["class"] == "CONJUNCTION" and node["type"] == "CONJUNCTION_AND":
        for child in node["children"]:
            yield from _split(child)
    else:
        yield node


def _column(node: Node, scope: dict[int, tuple[TableRef, SecuredTable]]) -> tuple[int, str, str] | None:
    """(reference, column as stored, its type) of a plain, unmasked column, or None."""
    if node.get("class") != "COLUMN_REF" or len(node["column_names"]) > 2:
        return None
    names = [fold(n) for n in node["column_names"]]
    hits = []
    for i, (ref, table) in scope.items():
        column = table.table.column(names[-1])
        if column is not None and (len(names) == 1 or ref.shown_as == names[0]):
            hits.append((i, column.name, normal(column.type)))
    if len(hits) != 1 or names[-1] in scope[hits[0][0]][1].masks:
        return None
    return hits[0]


def _copy(node: Node, scope: dict[int, tuple[TableRef, SecuredTable]], guards: Guards) -> tuple[int, str] | None:
    kind = node["class"]
    subject, tests = None, None
    if kind == "COMPARISON" and node["type"] in _SIGNS:
        sign = _SIGNS[node["type"]]
        left, right = node["left"], node["right"]
        if left.get("class") != "COLUMN_REF":
            left, right, sign = right, left, _MIRROR[sign]
        subject, tests = left, [(sign, right)]
    elif kind == "BETWEEN":
        subject, tests = node["input"], [(">=", node["lower"]), ("<=", node["upper"])]
    elif kind == "OPERATOR" and node["type"] == "COMPARE_IN":
        subject, tests = node["children"][0], [("IN", item) for item in node["children"][1:]]
    elif kind == "OPERATOR" and node["type"] in ("OPERATOR_IS_NULL", "OPERATOR_IS_NOT_NULL"):
        subject, tests = node["children"][0], []
    if subject is None or tests is None:
        return None
    found = _column(subject, scope)
    if found is None or not scope[found[0]][1].condition or not guards.covers(found[1]):
        return None
    i, name, type_ = found
    column = f"{BASE}.{identifier(name)}"
    if not tests:
        return i, f"({column} IS {'NOT ' if node['type'] == 'OPERATOR_IS_NOT_NULL' else ''}NULL)"
    if len(tests) == 1 and tests[0][0] == "=" and tests[0][1].get("class") == "PARAMETER":
        sql = _parameter(column, type_, str(tests[0][1]["identifier"]))
        return (i, sql) if sql else None
    literals = [_literal(item, type_) for _, item in tests]
    if any(text is None for text in literals):
        return None
    if tests[0][0] == "IN":
        return i, f"({column} IN ({', '.join(str(text) for text in literals)}))"
    parts = [f"{column} {sign} {text}" for (sign, _), text in zip(tests, literals, strict=True)]
    return i, f"({' AND '.join(parts)})"


def _literal(node: Node, type_: str) -> str | None:
    """A constant as a literal of the column's own type, or None when that is not exactly the comparison meant."""
    if node.get("class") == "CAST" and node["cast_type"].get("id") == type_ and not node.get("try_cast"):
        node = node["child"]
        if node.get("class") != "CONSTANT" or node["value"]["type"].get("id") != "VARCHAR":
            return None
    if node.get("class") != "CONSTANT":
        return None
    value = node["value"].get("value")
    if isinstance(value, str):
        return literal_of(value, type_) if is_text(type_) or type_ in _EXACT else None
    whole = is_integer(node["value"]["type"].get("id", ""))  # a DECIMAL's value is its digits: 15 for 1.5
    if isinstance(value, int) and not isinstance(value, bool) and whole and is_integer(type_):
        return literal_of(str(value), type_)
    return None


def _parameter(column: str, type_: str, number: str) -> str | None:
    """`column = $n`, holding only when the bound value has a type that compares exactly; else the copy is true."""
    if not number.isdigit():
        return None
    if is_integer(type_):
        return f"({column} = TRY_CAST(${number} AS {type_}) OR typeof(${number}) NOT IN ({_INTEGER_NAMES}))"
    if type_ in ("VARCHAR", "DATE", "UUID"):
        return f"({column} = TRY_CAST(${number} AS {type_}) OR typeof(${number}) <> {text_literal(type_)})"
    return None
