# ruff: noqa: E501
"""The text gate: it cuts as DuckDB cuts, and lets nothing through that parsers read differently."""

from __future__ import annotations

import duckdb
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from engine.pipeline.functions import ALLOWED, DENIED, refusal_reason
from engine.pipeline.text_gate import (
    JOINS_MAX,
    NESTING_MAX,
    PREFIX_RUN_MAX,
    TEXT_BYTES_MAX,
    TOKENS_MAX,
    scan,
    split,
)
from governance.errors import Refusal, TextRefused
from tests.support.governed_lab import PARSER, Lab, principal, rulebook

_PIECES = [
    "SELECT 1", "SELECT 'a;b'", "SELECT $$;$$", "SELECT $x$ ;$$; $x$", "SELECT E'\\';'", "SELECT \"a;b\"", "-- c ;\n", "/* ; /* ; */ ; */", ";", " ", "\n", "SELECT '''';",
    "FROM t", "SELECT 1 AS a$b", "SELECT 1--;\n", "SELECT $1", "VALUES ('--')", "SELECT '/*'", "SELECT 1.5e3", "SELECT a-- ;\n", "SELECT E'a\\\\'", "SELECT e'''' ;", "SELECT 'é;'",
]  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(_PIECES), max_size=8).map(" ".join))
@example("select 1; select ';' ; ;; select $$;$$; -- ;\n select E'\\';' /* ; /* ; */ ; */ , \"a;b\"")
def test_split_agrees_with_duckdb(text: str) -> None:
    with duckdb.connect() as db:
        try:
            cut = [s.query for s in db.extract_statements(text)]
        except duckdb.Error:
            return
    mine = split(text)
    assert len(mine) == len(cut)
    for ours, theirs in zip(mine, cut, strict=True):
        assert [t.text for t in scan(ours)] == [t.text for t in scan(theirs) if t.kind != "end"]


@pytest.mark.parametrize(
    "code",
    [
        0x0,
        0x1,
        0x7F,
        0x85,
        0xA0,
        0xAD,
        0x1680,
        0x180E,
        0x2000,
        0x200B,
        0x200D,
        0x2028,
        0x202E,
        0x202F,
        0x2060,
        0x3000,
        0xFEFF,
        0xE0001,
        0xE000,
    ],
)
def test_unusual_characters_stand_in_plain_strings_only(code: int) -> None:
    character = chr(code)
    for text in (
        f"SELECT{character}1",
        f'SELECT 1 AS "a{character}"',
        f"SELECT 1 --{character}",
        f"SELECT E'{character}'",
        f"SELECT $$ {character} $$",
    ):
        with pytest.raises(TextRefused):
            scan(text)
    if code > 0x9F:
        scan(f"SELECT 'a{character}'")
        with pytest.raises(TextRefused):
            scan(f"SELECT E'\\'' || '{character}'")


LAB = Lab(["CREATE SCHEMA s", "CREATE TABLE s.t AS SELECT 1 AS a, 'HID' AS b"])
_WORDS = [
    *"SELCTFROMWHa.b,*()[]{}'\"$;:-+/<>=1 \n\t",
    "\u200b",
    "é",
    "s.t",
    " FROM ",
    "SELECT ",
    "/*",
    "*/",
    "\\",
    "E'",
]
_NOISE = st.lists(st.sampled_from(_WORDS), max_size=30).map("".join)


@settings(max_examples=300, deadline=None)
@given(st.one_of(_NOISE, _NOISE.map(lambda n: f"SELECT a FROM s.t {n}"), _NOISE.map(lambda n: f"SELECT {n} FROM s.t")))
def test_any_text_is_governed_or_refused_and_never_anything_else(text: str) -> None:
    """Fail-closed totality: whatever the text, a Governed or a Refusal; and DuckDB sees no table it was not given."""
    book = rulebook([], [("s", "shared")])
    try:
        governed = LAB.govern(text, principal(), book)
    except Refusal:
        return
    parse = PARSER.parse(governed.sql(lambda t: '"placed"."here"'))
    assert parse.tree is not None or governed.kind.startswith("explain")
    assert len(parse.kinds) == 1


def test_the_function_lists_are_of_the_installed_duckdb() -> None:
    with duckdb.connect() as db:
        known = {
            row[0].lower() for row in db.execute("SELECT DISTINCT function_name FROM duckdb_functions()").fetchall()
        }
    listed = {name.lower() for names in (*ALLOWED.values(), *DENIED.values()) for name in names}
    assert listed - known <= {"!", "->", "coalesce", "getenv", "grouping", "grouping_id", "ifnull"}
    undecided = {name for name in known if refusal_reason(name) == "is not on the list"}
    assert undecided <= {
        "col_description",
        "format_pg_type",
        "format_type",
        "map_to_pg_oid",
        "obj_description",
        "shobj_description",
    }
    allowed = set().union(*ALLOWED.values())
    assert not {n for n in allowed if n.startswith(("read_", "duckdb_", "pragma_"))}
    assert not allowed & set().union(*DENIED.values())


@pytest.mark.parametrize(
    ("text", "admitted"),
    [
        ("'" + "x" * (TEXT_BYTES_MAX - 2) + "'", True), ("'" + "x" * (TEXT_BYTES_MAX - 1) + "'", False), ("'" + "é" * (TEXT_BYTES_MAX // 2 - 1) + "'", True), ("'" + "é" * (TEXT_BYTES_MAX // 2) + "'", False),
        ("(" * NESTING_MAX + ")" * NESTING_MAX, True), ("(" * (NESTING_MAX + 1) + ")" * (NESTING_MAX + 1), False), ("([{" * 33 + "}])" * 33, False), ("([{" * 32 + "}])" * 32, True),
        ("case " * NESTING_MAX + "end " * NESTING_MAX, True), ("case " * (NESTING_MAX + 1), False), ("CASE " * 90 + "(" * 7 + ")" * 7, False), ("CASE " * 90 + "(" * 6 + ")" * 6, True),
        ("case end " * 200, True), ("case " * 90 + ";" + "case " * 90, True), ("end " * 50 + "case " * 97, False), ("'case' " * 200, True), ('"case" ' * 200, True),
        ("NOT " * PREFIX_RUN_MAX + "1", True), ("NOT " * (PREFIX_RUN_MAX + 1) + "1", False), ("- + ~ @ ! not " * 4, True), ("- + ~ @ ! not " * 4 + "-", False), ("not not 1 " * 100, True), ('"not" ' * 100, True),
        ("join " * JOINS_MAX, True), ("JOIN " * (JOINS_MAX + 1), False), ("join " * JOINS_MAX + ";" + "join " * JOINS_MAX, True), ('"join" ' * 300, True),
        ("1 " * TOKENS_MAX, True), ("1 " * (TOKENS_MAX + 1), False), ("(]", False), (")", False), ("(", False), ("[)", False), ("{}[]()", True),
        ("U&'x'", False), ('u&"x"', False), ("'U&'' '", True), ("xu&'x'", False), ("U &'x'", True), ("-- U&'x'", True), ("\ud800", False), ("'\ud800'", False), ("'\u200b'", True), ("$$\u200b$$", False),
        ("'\u200b' E'x'", False), ("'\u200b' $$x$$", False), ("'\u200b' -- x", False), ("'\u200b' 'x'", True), ("\u200b 'x'", False), ("'x' \u200b", False), ("'a' '\u200b' 'b'", True), ("'\x01'", False), ("'\t\n\r'", True),
        ("$$", False), ("$a$ $b$ $a$", True), ("$a$ $b$", False), ("$$$$", True), ("/* /* */", False), ("/* */ */", True), ("", True), ("   ", True),
    ],
)  # fmt: skip
def test_the_gate_admits_up_to_its_limits_and_nothing_past_them(text: str, admitted: bool) -> None:
    if admitted:
        scan(text)
    else:
        with pytest.raises(TextRefused):
            scan(text)
