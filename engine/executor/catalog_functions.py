"""Functions of the catalog's DuckDB: look-ups over the image, and PostgreSQL's ways with text."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Any

from engine.catalog.emulation.names import Names, NameUnknown, quote_identifier, split_name
from engine.catalog.emulation.names import format_type as format_type_text

Entry = tuple[str, Callable[..., Any], tuple[str, ...], str]

SERIES_MAX = 1_000_000
_SLEEP_MAX_S = 3600.0
_RUNNING = threading.local()


def interruptible_by(event: threading.Event) -> None:
    """Let `event` end a `pg_sleep` of the statement that this thread runs (the instances have one thread each)."""
    _RUNNING.event = event


def _sleep(seconds: float | None) -> str | None:
    """`pg_sleep`: ends early, with an error, when the statement is interrupted."""
    if seconds is None:
        return None
    event: threading.Event = getattr(_RUNNING, "event", None) or threading.Event()
    if event.wait(max(0.0, min(seconds, _SLEEP_MAX_S))):
        raise InterruptedError
    return ""


_MACRO_TEXT = f"""
hd_quote_literal(x) AS '''' || replace(x, '''', '''''') || '''';
hd_pg_substr(x, a, n) AS CASE WHEN n IS NULL THEN substr(x, greatest(a, 1))
    ELSE substr(x, greatest(a, 1), greatest(n + least(a, 1) - 1, 0)) END;
hd_vector_out(x) AS CASE WHEN x IS NULL THEN NULL
    ELSE coalesce(list_aggregate(CAST(x AS VARCHAR[]), 'string_agg', ' '), '') END;
hd_array_join(x, sep, missing) AS CASE WHEN x IS NULL THEN NULL ELSE coalesce(list_aggregate(
    list_filter(list_transform(CAST(x AS VARCHAR[]), lambda e: coalesce(e, missing)), lambda e: e IS NOT NULL),
    'string_agg', sep), '') END;
hd_bounded_series(a, b, s := 1) AS CASE WHEN abs(CAST(b AS HUGEINT) - a) > {SERIES_MAX} THEN error('HD22023')
    ELSE generate_series(a, b, s) END;
hd_setting_or_refuse(x, missing_ok) AS CASE WHEN x IS NULL AND NOT missing_ok THEN error('HD42704') ELSE x END;
hd_refuse_set_config(name, v) AS CASE WHEN name IS NULL AND v IS NULL THEN NULL ELSE error('HD0A000') END
"""
MACROS = tuple(f"CREATE MACRO {body.strip()}" for body in _MACRO_TEXT.split(";\n"))


def _array_out(items: list[str | None] | None) -> str | None:
    """An array as PostgreSQL prints it."""
    if items is None:
        return None
    shown = []
    for item in items:
        if item is None:
            shown.append("NULL")
        elif item == "" or item.lower() == "null" or any(c in '{}",\\ \t\n\r\v\f' for c in item):
            shown.append('"' + item.replace("\\", "\\\\").replace('"', '\\"') + '"')
        else:
            shown.append(item)
    return "{" + ",".join(shown) + "}"


def _size_pretty(size: int | None) -> str | None:
    """`pg_size_pretty`."""
    if size is None:
        return None
    value = abs(size)
    for unit in ("bytes", "kB", "MB", "GB", "TB", "PB"):
        if value < 10 * 1024 or unit == "PB":
            return f"{'-' if size < 0 else ''}{value} {unit}"
        value = (value + 512) // 1024
    raise AssertionError("unreachable")


def _strictly(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """NULL for NULL."""
    return lambda value: None if value is None else function(value)


def _or_null(function: Callable[[str], int]) -> Callable[[str | None], int | None]:
    """`to_regclass` and its like: NULL for a name that is not there."""

    def call(text: str | None) -> int | None:
        if text is None:
            return None
        try:
            return function(text)
        except NameUnknown:
            return None

    return call


def functions(names: Callable[[], Names]) -> Iterable[Entry]:
    """(name, function, argument types, result type) of every function; `names()` is the image of the moment."""
    text, number = "VARCHAR", "BIGINT"
    for kind, read, write in (
        ("regclass", lambda x: names().relation(x), lambda x: names().relation_text(x)),
        ("regtype", lambda x: names().type(x), lambda x: names().type_text(x)),
        ("regproc", lambda x: names().procedure(x), lambda x: names().procedure_text(x)),
        ("regnamespace", lambda x: names().namespace(x), lambda x: names().namespace_text(x)),
        ("regrole", lambda x: names().role(x), lambda x: names().role_text(x)),
    ):
        yield f"hd_{kind}_in", _strictly(read), (text,), number
        yield f"hd_{kind}_out", _strictly(write), (number,), text
        yield f"hd_to_{kind}", _or_null(read), (text,), number
    yield "hd_default_setting", _strictly(lambda x: names().default_setting(x)), (text,), text
    yield "hd_regoper_out", _strictly(str), (number,), text
    yield "hd_regoper_in", _strictly(_no_operator), (text,), number
    yield "hd_format_type", format_type_text, (number, "INTEGER"), text
    yield "hd_pg_get_userbyid", lambda oid: names().user_by_id(oid), (number,), text
    yield "hd_pg_get_viewdef", lambda oid, _: names().view_text(oid), (number, "BOOLEAN"), text
    yield "hd_pg_get_function_result", lambda oid: names().result_text(oid), (number,), text
    yield "hd_pg_get_function_arguments", lambda oid: names().arguments_text(oid), (number,), text
    yield "hd_pg_table_is_visible", lambda oid, schema: names().visible(oid, schema), (number, text), "BOOLEAN"
    yield "hd_quote_ident", _strictly(quote_identifier), (text,), text
    yield (
        "hd_parse_ident",
        lambda x, strict: None if x is None else split_name(x, strict=bool(strict)),
        (text, "BOOLEAN"),
        "VARCHAR[]",
    )
    yield "hd_pg_size_pretty", _size_pretty, (number,), text
    yield "hd_array_out", _array_out, ("VARCHAR[]",), text
    yield "hd_pg_sleep", _sleep, ("DOUBLE",), text


def _no_operator(text: str) -> int:
    if text.isdigit():
        return int(text)
    raise NameUnknown("42883")
