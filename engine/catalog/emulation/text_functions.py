"""Functions of texts and numbers, each a piece of DuckDB text; importing this module enters them in `FUNCTIONS`."""

from __future__ import annotations

from engine.catalog.emulation import types as t
from engine.catalog.emulation.functions import ANY, register

_NULL_TEXT = "CAST(NULL AS VARCHAR)"
REPEATED_CHARS_MAX = 100_000


def _texts() -> None:
    """Text, number and array functions that DuckDB has too."""
    text, int4, int8 = t.TEXT, t.INT4, t.INT8
    for name in ("lower", "upper", "reverse", "md5"):
        register(name, (text,), text, name + "({0})")
    register("quote_ident", (text,), text, "hd_quote_ident({0})")
    register("quote_literal", (ANY,), text, "hd_quote_literal(CAST({0} AS VARCHAR))")
    register("quote_nullable", (ANY,), text, "coalesce(hd_quote_literal(CAST({0} AS VARCHAR)), 'NULL')")
    for name in ("length", "char_length", "character_length"):
        register(name, (text,), int4, "CAST(length({0}) AS INTEGER)")
    register("octet_length", (text,), int4, "CAST(strlen({0}) AS INTEGER)")
    register("strpos", (text, text), int4, "CAST(instr({0}, {1}) AS INTEGER)")
    register("position", (text, text), int4, "CAST(instr({0}, {1}) AS INTEGER)")
    register("starts_with", (text, text), t.BOOL, "starts_with({0}, {1})")
    register("left", (text, int4), text, "left({0}, {1})")
    register("right", (text, int4), text, "right({0}, {1})")
    register("replace", (text, text, text), text, "replace({0}, {1}, {2})")
    register("split_part", (text, text, int4), text, "split_part({0}, {1}, {2})")
    register("translate", (text, text, text), text, "translate({0}, {1}, {2})")
    register("ascii", (text,), int4, "ascii({0})")
    register(
        "regexp_replace", (text, text, text, text), text, "regexp_replace({0}, {1}, {2}, {3})", least=3, fills=("''",)
    )
    register(
        "string_to_array", (text, text, text), t.TEXT_ARRAY, "hd_string_to_array({0}, {1}, {2})",
        least=2, fills=(_NULL_TEXT,),
    )  # fmt: skip
    for name, result in (("regexp_match", t.TEXT_ARRAY), ("regexp_split_to_array", t.TEXT_ARRAY)):
        call = "hd_regexp_split" if result == t.TEXT_ARRAY and "split" in name else "hd_regexp_match"
        register(name, (text, text, text), result, call + "({0}, {1}, {2})", least=2, fills=("''",))
    register("parse_ident", (text, t.BOOL), t.TEXT_ARRAY, "hd_parse_ident({0}, {1})", least=1, fills=("TRUE",))
    register("pg_size_pretty", (int8,), text, "hd_pg_size_pretty({0})")
    register(
        "substr", (text, int4, int4), text, "hd_pg_substr({0}, {1}, {2})", least=2, fills=("CAST(NULL AS INTEGER)",)
    )
    for name in ("btrim", "ltrim", "rtrim"):
        register(name, (text, text), text, {"btrim": "trim"}.get(name, name) + "({0}, {1})", least=1, fills=("' '",))
    for name in ("floor", "ceil", "ceiling", "sqrt", "ln", "exp"):
        register(name, (t.FLOAT8,), t.FLOAT8, name + "({0})")
    for name in ("power", "pow", "atan2"):
        register(name, (t.FLOAT8, t.FLOAT8), t.FLOAT8, name + "({0}, {1})")
    for name in ("degrees", "radians", "sin", "cos", "tan", "cot", "asin", "acos", "atan", "sinh", "cosh", "tanh"):
        register(name, (t.FLOAT8,), t.FLOAT8, name + "({0})")
    for name in ("gcd", "lcm"):
        register(name, (int8, int8), int8, f"CAST({name}({{0}}, {{1}}) AS BIGINT)")
    register("bit_length", (text,), int4, "CAST(strlen({0}) * 8 AS INTEGER)")
    register("convert_to", (text, t.NAME), t.BYTEA, "(CASE WHEN {1} IS NOT NULL THEN encode({0}) END)")
    register("sha256", (t.BYTEA,), t.BYTEA, "unhex(sha256({0}))")
    register("to_number", (text, text), t.NUMERIC, f"CAST(hd_to_number({{0}}, {{1}}) AS {t.duck(t.NUMERIC)})")
    found = "instr({0}, hd_regexp_substring({0}, '(' || {1} || ')'))"
    register("regexp_instr", (text, text), int4, f"CAST(coalesce({found}, 0) AS INTEGER)")
    for name, call in (("log", "log10"), ("log10", "log10"), ("cbrt", "cbrt")):
        register(name, (t.FLOAT8,), t.FLOAT8, call + "({0})")
    register("pi", (), t.FLOAT8, "pi()")
    register("random", (), t.FLOAT8, "random()")
    register("div", (t.INT8, t.INT8), t.INT8, "({0} // {1})")
    register("initcap", (text,), text, "hd_initcap({0})")
    register("repeat", (text, int4), text, "hd_repeat({0}, {1})")
    for name in ("lpad", "rpad"):
        register(name, (text, int4, text), text, f"hd_{name}({{0}}, {{1}}, {{2}})", least=2, fills=("' '",))
    register("chr", (int4,), text, "chr({0})")
    register("to_hex", (int8,), text, "lower(to_hex({0}))")
    register("encode", (t.BYTEA, text), text, "hd_encode({0}, {1})")
    register("decode", (text, text), t.BYTEA, "hd_decode({0}, {1})")
    register("convert_from", (t.BYTEA, t.NAME), text, "hd_encode({0}, 'escape')")
    register("pg_size_bytes", (text,), int8, "hd_size_bytes({0})")
    register("regexp_count", (text, text), int4, "CAST(len(hd_regexp_matches({0}, {1}, 'g')) AS INTEGER)")
    register("regexp_like", (text, text, text), t.BOOL, "regexp_matches({0}, {1}, {2})", least=2, fills=("''",))
    register("regexp_substr", (text, text), text, "hd_regexp_substring({0}, '(' || {1} || ')')")


_texts()
