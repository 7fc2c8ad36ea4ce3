"""What a statement calls and casts to, held against the allow-lists; fail closed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.pipeline import functions
from engine.pipeline.survey import Call, Node, Survey
from governance.errors import FunctionRefused, ResourceExceeded, StatementRefused
from governance.tables import fold

_SYSTEM_SCHEMAS = frozenset({"", "main", "pg_catalog"})
_GROWING = frozenset({"repeat", "lpad", "rpad"})
TYPES = frozenset(
    """BOOLEAN TINYINT SMALLINT INTEGER BIGINT HUGEINT UTINYINT USMALLINT UINTEGER UBIGINT UHUGEINT FLOAT DOUBLE DECIMAL
    VARCHAR CHAR BLOB BIT DATE TIME TIMESTAMP UUID INTERVAL LIST ARRAY STRUCT MAP UNION ENUM BIGNUM VARIANT
    TIMESTAMP_S TIMESTAMP_MS TIMESTAMP_NS TIME_NS""".split()  # noqa: SIM905 - a list of words reads better so
) | {"TIMESTAMP WITH TIME ZONE", "TIME WITH TIME ZONE", "STRING_LITERAL", "INTEGER_LITERAL", "NULL"}
NAMED_TYPES = frozenset(
    """bignum binary bit bitstring blob bool boolean bpchar bytea char date datetime dec decimal double float float4
    enum float8 guid hugeint int int1 int128 int16 int2 int32 int4 int64 int8 integer integral interval json list
    logical long map nvarchar numeric real row short signed smallint string struct text time time_ns timestamp
    timestamp_ms timestamp_ns timestamp_s timestamp_us
    timestamptz timetz tinyint ubigint uhugeint uint128 uint16 uint32 uint64
    uint8 uinteger union usmallint utinyint uuid varbinary varchar varint variant array""".split()  # noqa: SIM905
)


def _refuse_function(call: Call, why: str) -> FunctionRefused:
    name = call.name if len(call.name) <= 64 else call.name[:61] + "..."
    return FunctionRefused(
        f"The function {name} may not be called: it {why}.",
        advice="docs/sql.md lists the functions that may be called.",
        position=None if call.at is None else call.at + 1,
    )


def _check_call(call: Call) -> None:
    name = fold(call.name)
    why = functions.refusal_reason(name)
    if why is not None:
        raise _refuse_function(call, why)
    schema = fold(call.schema)
    if schema not in _SYSTEM_SCHEMAS and fold(call.catalog) in ("system", "temp"):
        raise _refuse_function(call, "is named through a schema that is not DuckDB's own")
    if call.table and (name not in functions.TABLE_FUNCTIONS or schema not in _SYSTEM_SCHEMAS):
        raise _refuse_function(call, "may not stand in FROM")
    _check_counts(call, name)


def _constant(node: Node) -> int | None:
    """The value of a whole-number constant; else None. DuckDB's parser has put its sign into it."""
    value = node["value"].get("value") if node.get("class") == "CONSTANT" else None
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _check_counts(call: Call, name: str) -> None:
    arguments = call.node.get("children", ())
    if name in functions.COUNT_ARGUMENTS:
        index, most = functions.COUNT_ARGUMENTS[name]
        if name != "chr" and len(arguments) > index:
            count = _constant(arguments[index])
            if count is None or count > most:
                raise ResourceExceeded(
                    f"{name} takes a constant of at most {most} there.",
                    advice="Write a smaller number.",
                    position=None if call.at is None else call.at + 1,
                )
        if name in _GROWING and any(_calls(argument, _GROWING) for argument in arguments):
            raise ResourceExceeded(f"{name} may not be applied to a text that grows already.")
    if name in ("range", "generate_series") and not call.table:
        for argument in arguments:
            count = _constant(argument)
            if count is not None and abs(count) > functions.SERIES_MAX:
                raise ResourceExceeded(f"{name} makes at most {functions.SERIES_MAX} elements inside a value.")


def _calls(tree: Any, names: frozenset[str]) -> bool:
    stack = [tree]
    while stack:
        item = stack.pop()
        if isinstance(item, Mapping):
            if fold(str(item.get("function_name", ""))) in names:
                return True
            stack.extend(item.values())
        elif isinstance(item, list):
            stack.extend(item)
    return False


def _check_type(type_: Node) -> None:
    kind = type_.get("id", "")
    info = type_.get("type_info") or {}
    if kind in ("UNBOUND", "USER"):
        name = info.get("name") or info.get("user_type_name") or ""
        if info.get("schema") or info.get("catalog") or fold(str(name)) not in NAMED_TYPES:
            raise StatementRefused("This type is not known here.", advice="Use DuckDB's built-in types.")
    elif kind not in TYPES:
        raise StatementRefused("This type is not accepted.", advice="Use DuckDB's built-in types.")
    _check_nested(info)


def _check_nested(info: Any) -> None:
    if isinstance(info, Mapping):
        if "id" in info:
            _check_type(info)
            return
        if info.get("class"):
            if info["class"] not in ("CONSTANT", "TYPE"):
                raise StatementRefused("This type is not accepted.")
            if info["class"] == "TYPE":
                _check_type({"id": "UNBOUND", "type_info": {"name": info.get("type_name", "")}})
        for value in info.values():
            _check_nested(value)
    elif isinstance(info, list):
        for item in info:
            _check_nested(item)


def check_calls(survey: Survey, columns: frozenset[str]) -> None:
    """Hold every function, bare keyword, type and collation against the lists.

    `columns` are the folded names that are columns of some table of the statement.

    Raises:
        FunctionRefused: a function that is not on the list.
        StatementRefused: a type that is not.
        ResourceExceeded: a constant that asks for too much.
    """
    for call in survey.calls:
        _check_call(call)
    for cast in survey.casts:
        _check_type(cast["cast_type"])
    for column in survey.columns:
        name = fold(column["column_names"][-1])
        if len(column["column_names"]) == 1 and name in functions.DENIED_KEYWORDS and name not in columns:
            raise FunctionRefused(
                f"{name} may not be used inside a query over tables.", advice=f"Ask SELECT {name} on its own."
            )
        if name == "rowid" and name not in columns:
            raise StatementRefused("rowid is not available: rows have no number here.")
