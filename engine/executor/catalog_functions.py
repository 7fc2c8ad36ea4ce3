"""Functions of the catalog's DuckDB: look-ups over the image, and PostgreSQL's ways with text."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from engine.catalog.emulation import descriptions, fixed_names, fixed_texts
from engine.catalog.emulation.names import Names, NameUnknown, quote_identifier, split_name
from engine.catalog.emulation.text_functions import REPEATED_CHARS_MAX
from engine.executor import catalog_binary as binary
from engine.executor import catalog_json as json
from engine.executor import catalog_jsonb as jsonb
from engine.executor import catalog_moments as moments
from engine.executor import catalog_numbers as numbers
from engine.executor import catalog_texts as texts

Entry = tuple[str, Callable[..., Any], tuple[str, ...], str]

SERIES_MAX = 1_000_000
SIGNALS_MAX = 1_000
"""Of one statement."""
SIDE_EFFECTS = frozenset(("hd_pg_sleep", "hd_signal"))
"""Functions that are called once for each row, whatever their arguments."""
_ACL_TYPE = "STRUCT(f1 BIGINT, f2 BIGINT, f3 VARCHAR, f4 BOOLEAN)[]"
_IDENTITY = "STRUCT(f1 VARCHAR, f2 VARCHAR, f3 VARCHAR, f4 VARCHAR)"
_ADDRESS = "STRUCT(f1 VARCHAR, f2 VARCHAR[], f3 VARCHAR[])"
_SLEEP_MAX_S = 3600.0
_RUNNING = threading.local()


def interruptible_by(event: threading.Event) -> None:
    """Let `event` end a `pg_sleep` of the statement that this thread runs (the instances have one thread each)."""
    _RUNNING.event = event


def signals_to(found: list[tuple[str, int]] | None) -> None:
    """Where the signals go that the statement on this thread asks for (None: it may ask for none)."""
    _RUNNING.signals = found


def _signal(signal: str, process_id: int | None, wait_ms: int | None, own: list[int] | None) -> bool | None:
    """`pg_cancel_backend` and `pg_terminate_backend`: noted down; whether it is a session of the same key."""
    if process_id is None or wait_ms is None:
        return None
    found: list[tuple[str, int]] | None = getattr(_RUNNING, "signals", None)
    if wait_ms < 0 or found is None or len(found) >= SIGNALS_MAX:
        raise NameUnknown("22023")
    found.append((signal, process_id))
    return process_id in (own or ())


def _sleep(seconds: float | None) -> str | None:
    """`pg_sleep`: ends early, with an error, when the statement is interrupted."""
    if seconds is None:
        return None
    event: threading.Event = getattr(_RUNNING, "event", None) or threading.Event()
    if event.wait(max(0.0, min(seconds, _SLEEP_MAX_S))):
        raise InterruptedError
    return ""


_MACRO_TEXT = f"""
hd_repeat(x, n) AS CASE WHEN length(x) * n > {REPEATED_CHARS_MAX} THEN error('HD22023')
    ELSE repeat(x, greatest(n, 0)) END;
hd_lpad(x, n, f) AS CASE WHEN n > {REPEATED_CHARS_MAX} THEN error('HD22023') WHEN f = '' THEN left(x, greatest(n, 0))
    ELSE lpad(x, greatest(n, 0), f) END;
hd_rpad(x, n, f) AS CASE WHEN n > {REPEATED_CHARS_MAX} THEN error('HD22023') WHEN f = '' THEN left(x, greatest(n, 0))
    ELSE rpad(x, greatest(n, 0), f) END;
hd_quote_literal(x) AS '''' || replace(x, '''', '''''') || '''';
hd_float_out(x) AS CASE WHEN ends_with(CAST(x AS VARCHAR), '.0') THEN left(CAST(x AS VARCHAR), -2)
    ELSE CAST(x AS VARCHAR) END;
hd_numeric_out(x) AS CASE WHEN typeof(x) <> 'DECIMAL(38,9)' THEN CAST(x AS VARCHAR)
    WHEN contains(CAST(x AS VARCHAR), '.') THEN rtrim(rtrim(CAST(x AS VARCHAR), '0'), '.')
    ELSE CAST(x AS VARCHAR) END;
hd_bool_out(x) AS CASE WHEN x THEN 't' WHEN NOT x THEN 'f' END;
hd_pg_substr(x, a, n) AS CASE WHEN n IS NULL THEN substr(x, greatest(a, 1))
    ELSE substr(x, greatest(a, 1), greatest(n + least(a, 1) - 1, 0)) END;
hd_vector_out(x) AS CASE WHEN x IS NULL THEN NULL
    ELSE coalesce(list_aggregate(CAST(x AS VARCHAR[]), 'string_agg', ' '), '') END;
hd_array_join(x, sep, missing) AS CASE WHEN x IS NULL THEN NULL ELSE coalesce(list_aggregate(
    list_filter(list_transform(CAST(x AS VARCHAR[]), lambda e: coalesce(e, missing)), lambda e: e IS NOT NULL),
    'string_agg', sep), '') END;
hd_bounded_series(a, b, s := 1) AS CASE WHEN abs(CAST(b AS HUGEINT) - a) > {SERIES_MAX} THEN error('HD22023')
    ELSE generate_series(a, b, s) END;
hd_bounded_moments(a, b, s) AS CASE WHEN epoch_us(s) = 0 OR
    abs((epoch_us(b) - epoch_us(a)) // epoch_us(s)) > {SERIES_MAX} THEN error('HD22023')
    ELSE generate_series(a, b, s) END;
hd_setting_or_refuse(x, missing_ok) AS CASE WHEN x IS NULL AND NOT missing_ok THEN error('HD42704') ELSE x END;
hd_refuse_set_config(name, v) AS CASE WHEN name IS NULL AND v IS NULL THEN NULL ELSE error('HD0A000') END
"""
MACROS = tuple(f"CREATE MACRO {body.strip()}" for body in _MACRO_TEXT.split(";\n"))


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
        except NameUnknown as unknown:
            if unknown.sqlstate == "42602":  # not a name at all
                raise
            return None

    return call


def functions(names: Callable[[], Names], told: Callable[[], descriptions.Descriptions]) -> Iterable[Entry]:
    """(name, function, argument types, result type) of each; `names()` and `told()` are of the image of the moment."""
    text, number, many = "VARCHAR", "BIGINT", "VARCHAR[]"
    for kind, read, write in (
        ("regclass", lambda x: names().relation(x), lambda x: names().relation_text(x)),
        ("regtype", lambda x: names().type(x), lambda x: names().type_text(x)),
        ("regproc", lambda x: names().procedure(x), lambda x: names().procedure_text(x)),
        ("regnamespace", lambda x: names().namespace(x), lambda x: names().namespace_text(x)),
        ("regrole", lambda x: names().role(x), lambda x: names().role_text(x)),
        ("regprocedure", lambda x: fixed_names.procedure(x, names().type), fixed_names.procedure_text),
        ("regoper", lambda x: fixed_names.operator(x, None), partial(fixed_names.operator_text, arguments=False)),
        (
            "regoperator", lambda x: fixed_names.operator(x, names().type),
            partial(fixed_names.operator_text, arguments=True),
        ),
        ("regconfig", partial(fixed_names.named, "regconfig"), partial(fixed_names.name_text, "regconfig")),
        ("regdictionary", partial(fixed_names.named, "regdictionary"), partial(fixed_names.name_text, "regdictionary")),
        ("regcollation", partial(fixed_names.named, "regcollation"), partial(fixed_names.name_text, "regcollation")),
    ):  # fmt: skip
        yield f"hd_{kind}_in", _strictly(read), (text,), number
        yield f"hd_{kind}_out", _strictly(write), (number,), text
        yield f"hd_to_{kind}", _or_null(read), (text,), number
    yield "hd_default_setting", _strictly(lambda x: names().default_setting(x)), (text,), text
    yield "hd_format_type", lambda oid, modifier: names().format_type(oid, modifier), (number, "INTEGER"), text
    yield "hd_pg_type_is_visible", lambda oid, schema: names().type_visible(oid, schema), (number, text), "BOOLEAN"
    yield "hd_pg_get_userbyid", lambda oid: names().user_by_id(oid), (number,), text
    yield "hd_pg_get_viewdef", lambda oid, _: names().view_text(oid), (number, "BOOLEAN"), text
    for kind, name in (("result", "result"), ("arguments", "arguments"), ("identity", "identity_arguments")):
        yield f"hd_pg_get_function_{name}", partial(fixed_texts.function_text, kind), (number,), text
    for kind in ("relation", "schema", "type"):
        yield f"hd_{kind}_known", _known(names, kind), (number,), "BOOLEAN"
    address = (number, number, "INTEGER")
    yield "hd_pg_describe_object", lambda c, o, p: told().describe(c, o, p), address, text
    yield "hd_pg_identify_object", lambda c, o, p: told().identity(c, o, p), address, _IDENTITY
    yield "hd_pg_identify_object_as_address", lambda c, o, p: told().address(c, o, p), address, _ADDRESS
    yield "hd_index_is", descriptions.index_is, (number, text), "BOOLEAN"
    yield "hd_index_column_is", descriptions.index_column_is, (number, "INTEGER", text), "BOOLEAN"
    yield "hd_access_method_is", descriptions.access_method_is, (number, text), "BOOLEAN"
    yield "hd_readable", lambda oid: names().readable(oid), (number,), "BOOLEAN"
    yield "hd_column_known", lambda oid, name: names().column_known(oid, name), (number, text), "BOOLEAN"
    yield "hd_description", fixed_texts.description, (number, text, "INTEGER"), text
    yield "hd_constraint", fixed_texts.constraint, (number, "BOOLEAN"), text
    yield "hd_index", fixed_texts.index, (number, "INTEGER", "BOOLEAN"), text
    yield "hd_oidvectortypes", lambda kinds: _type_list(names(), kinds), ("BIGINT[]",), text
    yield "hd_encode", texts.encode, ("BLOB", text), text
    yield "hd_decode", texts.decode, (text, text), "BLOB"
    yield "hd_size_bytes", texts.size_bytes, (text,), number
    yield "hd_bits", texts.bits, (text, text, text), text
    yield "hd_to_bits", texts.to_bits, (number, "INTEGER"), text
    yield "hd_from_bits", texts.from_bits, (text,), number
    yield "hd_initcap", texts.initcap, (text,), text
    yield "hd_pg_table_is_visible", lambda oid, schema: names().visible(oid, schema), (number, text), "BOOLEAN"
    yield "hd_quote_ident", _strictly(quote_identifier), (text,), text
    yield (
        "hd_parse_ident",
        lambda x, strict: None if x is None else split_name(x, strict=bool(strict)),
        (text, "BOOLEAN"),
        "VARCHAR[]",
    )
    yield "hd_pg_size_pretty", texts.size_pretty, (number,), text
    yield "hd_array_out", texts.array_out, (many,), text
    yield "hd_field_out", texts.field_out, (text,), text
    yield "hd_regexp_match", texts.regexp_match, (text, text, text), many
    yield "hd_regexp_matches", texts.regexp_matches, (text, text, text), "VARCHAR[][]"
    yield "hd_regexp_substring", texts.regexp_substring, (text, text), text
    yield "hd_regexp_split", texts.regexp_split, (text, text, text), many
    yield "hd_string_to_array", texts.string_to_array, (text, text, text), many
    yield "hd_acldefault", lambda kind, oid: texts.acl_default(kind, names().user_by_id(oid)), (text, number), many
    yield "hd_options", texts.options, (many,), "STRUCT(f1 VARCHAR, f2 VARCHAR)[]"
    yield "hd_to_char", moments.to_char, ("TIMESTAMP", text, text), text
    yield "hd_interval_to_char", moments.interval_to_char, ("INTERVAL", number, text), text
    yield "hd_to_moment", moments.to_moment, (text, text), "TIMESTAMP"
    yield "hd_number_to_char", numbers.to_char, (text, text), text
    yield "hd_to_number", numbers.to_number, (text, text), text
    yield "hd_json_contains", jsonb.contains, (text, text), "BOOLEAN"
    yield "hd_json_has_keys", jsonb.has_keys, (text, many, "BOOLEAN"), "BOOLEAN"
    yield "hd_json_concatenated", jsonb.concatenated, (text, text), text
    yield "hd_json_without", jsonb.without, (text, many), text
    yield "hd_json_without_place", jsonb.without_place, (text, number), text
    yield "hd_json_changed", jsonb.changed, (text, many, text, text, "BOOLEAN"), text
    yield "hd_json_made_of", jsonb.made_of, (many, many), text
    yield "hd_format", lambda x, given: texts.format_text(x, given or [], quote_identifier), (text, many), text
    yield "hd_jsonb_compared", jsonb.compared, (text, text), "INTEGER"
    yield "hd_json_checked", json.checked, (text,), text
    yield "hd_json_key", json.key, (text,), text
    yield "hd_json_string", json.string, (text,), text
    yield "hd_json_number", json.number, (text,), text
    yield "hd_jsonb", json.jsonb, (text,), text
    yield "hd_json_path", json.path, (text, many, "BOOLEAN"), text
    yield "hd_json_field", json.field, (text, text, "BOOLEAN"), text
    yield "hd_json_element", json.element, (text, number, "BOOLEAN"), text
    yield "hd_json_typeof", json.typeof, (text,), text
    yield "hd_json_array_length", json.array_length, (text,), number
    yield "hd_json_pretty", json.pretty, (text,), text
    yield "hd_json_strip_nulls", json.strip_nulls, (text, "BOOLEAN"), text
    yield "hd_json_items", json.items, (text, "BOOLEAN"), many
    yield "hd_json_keys", json.keys, (text,), many
    yield "hd_json_pairs", json.pairs, (text, "BOOLEAN"), "STRUCT(f1 VARCHAR, f2 VARCHAR)[]"
    yield "hd_aclexplode", lambda x: _acl(names(), x), (many,), _ACL_TYPE
    yield "hd_similar", texts.similar, (text, text), text
    yield from binary.functions()
    yield "hd_pg_sleep", _sleep, ("DOUBLE",), text
    yield "hd_signal", _signal, (text, number, number, "BIGINT[]"), "BOOLEAN"


def _acl(names: Names, entries: list[str | None] | None) -> list[dict[str, Any]]:
    """`aclexplode`; a role that is not known here has no number."""
    found = []
    for grantee, grantor, privilege, grantable in texts.acl_items(entries):
        ids = [0 if name == "" else names.role_oid(name) for name in (grantor, grantee)]
        found.append({"f1": ids[0], "f2": ids[1], "f3": privilege, "f4": grantable})
    return found


def _known(names: Callable[[], Names], kind: str) -> Callable[[int | None], bool]:
    """Whether an object of a kind is there, by its number."""
    return lambda oid: names().known(kind, oid)


def _type_list(names: Names, kinds: list[int] | None) -> str | None:
    """`oidvectortypes`."""
    return None if kinds is None else ", ".join(names.format_type(kind, None) or "" for kind in kinds)
