"""Attacks by length and depth: short texts that cost much, and long ones that people and tools do write."""

from __future__ import annotations

from dataclasses import replace

import pytest

from engine.pipeline.surveyor import ARROWS_MAX, DEPTH_MAX
from engine.pipeline.translate import SLOW_MAX
from governance.errors import Refusal, TextRefused
from governance.policies import Mask, MaskFunction, RowFilter
from governance.tables import TableName
from tests.support.governed_lab import Lab, principal, rulebook

T = TableName("s", "t")
BOOK = rulebook(
    [
        RowFilter("f", "own", T, "org_id = {org_id}"),
        Mask("m", "m", T, "ssn", MaskFunction.PARTIAL, 4),
    ],
    [("s", "1")],
)


@pytest.fixture(scope="module")
def lab() -> Lab:
    return Lab(
        [
            "CREATE SCHEMA s",
            "CREATE TABLE s.t(org_id INT, a BIGINT, b VARCHAR, ssn VARCHAR)",
            "INSERT INTO s.t SELECT i % 2, i, 'b' || i, '111-22-' || (1000 + i) FROM range(20) r(i)",
        ]
    )


@pytest.mark.parametrize("terms", [200, 2000])
def test_generated_conditions_may_be_long(lab: Lab, terms: int) -> None:
    any_of = " OR ".join(f"a = {i}" for i in range(terms))
    none_of = " AND ".join(f"ssn <> '***{i}'" for i in range(terms))
    assert lab.run(f"SELECT count(*) FROM s.t WHERE {any_of}", principal(), BOOK).rows == [(10,)]
    assert lab.run(f"SELECT count(*) FROM s.t WHERE {none_of}", principal(), BOOK).rows[0][0] <= 10


def test_a_chain_goes_to_its_limit_everywhere(lab: Lab) -> None:
    chain = " + ".join(["a"] * (DEPTH_MAX - 10))
    for form in ("SELECT {} FROM s.t", "SELECT a FROM s.t WHERE {} > 0", "SELECT (SELECT max({}) FROM s.t)"):
        lab.govern(form.format(chain), principal(), BOOK)
    assert lab.run(f"SELECT {' || '.join(['b'] * 120)} AS x FROM s.t", principal(), BOOK).status == "ok"


@pytest.mark.parametrize("terms", [DEPTH_MAX + 5, 480, 520, 990, 1100, 4000])
@pytest.mark.parametrize(
    "form", ["SELECT {}", "SELECT 1 FROM s.t WHERE {} > 0", "SELECT count(*) FROM s.t HAVING {} = 1"]
)
def test_a_longer_chain_is_refused_in_clear_words(lab: Lab, terms: int, form: str) -> None:
    with pytest.raises(TextRefused, match=f"at most {DEPTH_MAX}") as caught:
        lab.govern(form.format(" + ".join(["1"] * terms)), principal(), BOOK)
    assert caught.value.advice


def test_in_brackets_a_long_chain_is_short(lab: Lab) -> None:
    part = "(" + " + ".join(["1"] * 100) + ")"
    assert lab.run(f"SELECT {' + '.join([part] * 20)}", principal(), BOOK).rows == [(2000,)]


@pytest.mark.parametrize(
    ("text", "open_", "middle", "close"),
    [
        ("SELECT b{} FROM s.t", ".upper()", "", ""),
        ("SELECT b{} FROM s.t", "[1]", "", ""),
        ("SELECT b{} FROM s.t", "[1:2]", "", ""),
        ("SELECT b{} FROM s.t", "->'a'", "", ""),
        ("SELECT b{} FROM s.t", "->>'a'", "", ""),
        ("SELECT a{} FROM s.t", "**a", "", ""),
        ("SELECT a{} FROM s.t", "::INT", "", ""),
        ("SELECT {}", "list_transform([1], x -> ", "x", ")"),
        ("SELECT {}", "list_transform([1], lambda x: ", "x", ")"),
        ("SELECT {}", "[x FOR x IN ", "[1]", "]"),
        ("SELECT NULL::INT{}", "[]", "", ""),
        ("SELECT {}", "1 BETWEEN 0 AND (", "1", ")"),
        ("SELECT {} FROM s.t", "CASE WHEN a = 1 THEN ", "1", " END"),
    ],
)
def test_what_costs_much_in_few_words_is_refused_early(
    lab: Lab, text: str, open_: str, middle: str, close: str
) -> None:
    """Each took seconds, or twice as long for every word more, in a parser or in DuckDB's binder."""
    texts = [text.format(open_ * many + middle + close * many) for many in (8, 480)]
    lab.govern(texts[0], principal(), BOOK)
    with pytest.raises(Refusal):
        lab.govern(texts[1], principal(), BOOK)


def test_arrows_in_one_another_end_at_a_small_number(lab: Lab) -> None:
    for operator in ("->", "->>"):
        assert lab.run(f"SELECT '{{}}'{(operator + chr(39) + 'a' + chr(39)) * 8}", principal(), BOOK).status == "ok"
    with pytest.raises(Refusal, match=f"At most {ARROWS_MAX}"):
        lab.govern("SELECT b" + "->'a'" * (ARROWS_MAX + 1) + " FROM s.t", principal(), BOOK)
    lab.govern("SELECT " + ", ".join(["b->'a'->'b'->>'c' AS x"] * 50) + " FROM s.t", principal(), BOOK)


@pytest.mark.parametrize("piece", ["->'a'", "[1]", ".upper()", "^a"])
def test_a_translated_text_is_counted_before_it_is_read(lab: Lab, piece: str) -> None:
    who = replace(principal(), dialect="postgres")
    with pytest.raises(Refusal, match="translated"):
        lab.govern("SELECT upper(b)" + piece * (SLOW_MAX + 1) + " FROM s.t", who, BOOK)
