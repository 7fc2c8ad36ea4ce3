"""Functions that are known never to fail, as data: what the proof of `engine.pipeline.prover` rests on.

"Total" is measured, not assumed: a name comes on a list with a test that tries it over the values that throw elsewhere.
"""

from __future__ import annotations

from engine.pipeline import functions

TOTAL_TEXT: dict[str, tuple[str, ...]] = {
    # name -> kinds of its arguments: t text, c constant whole number; the last repeats
    "lower": ("t",),
    "upper": ("t",),
    "lcase": ("t",),
    "ucase": ("t",),
    "trim": ("t", "t"),
    "ltrim": ("t", "t"),
    "rtrim": ("t", "t"),
    "substring": ("t", "c", "c"),
    "substr": ("t", "c", "c"),
    "left": ("t", "c"),
    "right": ("t", "c"),
    "||": ("t", "t"),
    "reverse": ("t",),
    "replace": ("t", "t", "t"),
}
TOTAL_TESTS = frozenset({"~~", "!~~", "~~*", "!~~*", "contains", "starts_with", "prefix", "suffix", "ends_with", "^@"})
TOTAL_LENGTHS = frozenset({"length", "len", "strlen", "char_length", "character_length"})
FLOATING = frozenset({"+", "-", "*", "/"})
"""Arithmetic that ends in infinity, not in an error, where one side is a DOUBLE and the other a number."""
TOTAL_CALENDAR = frozenset({"year", "month", "day", "quarter", "dayofweek", "dayofyear", "isodow"})
CALENDAR_PARTS = frozenset({"year", "month", "day", "quarter", "dow", "doy", "isodow", "decade", "century"})
DICTIONARY_SAFE = (
    frozenset(TOTAL_TEXT) | TOTAL_TESTS | TOTAL_LENGTHS | TOTAL_CALENDAR | functions.AGGREGATES
    | functions.ALLOWED["windows"]
    | {"+", "-", "*", "/", "//", "%", "concat", "concat_ws", "list_value", "struct_pack", "row"}
)  # fmt: skip
"""Functions that never fail, or that DuckDB knows may fail, on the types that `engine.pipeline.seals` asks for.

For others DuckDB believes wrongly that they cannot fail (`hamming`, `epoch_ns`, lambdas, ...). What any function
outside this list reads is sealed: copied out of the dictionary.
"""

SAME_AS_ARGUMENT = frozenset({"min", "max", "any_value", "first", "last", "arbitrary", "mode"})
WINDOW_BIGINT = frozenset({"row_number", "rank", "dense_rank", "rank_dense", "ntile"})
INTERVALS = frozenset(
    {"to_years", "to_months", "to_weeks", "to_days", "to_hours", "to_minutes", "to_seconds", "to_quarters"}
)
"""Functions that make an interval of a small constant."""
