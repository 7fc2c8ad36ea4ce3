import time
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from governance.digit_runs import luhn
from governance.errors import InvalidRequest
from governance.redaction import _DIGITS, _EMAIL, MAX_TEXT_CHARS, CustomPattern, Redactor, _addresses, _runs, redact
from tests.governance.pii_corpus import ordinary, personal

FOUND = [
    ("SELECT '123-45-6789'", "SELECT '[REDACTED:SSN]'"),
    ("SELECT '123 45 6789' AS \"123.45.6789\"", "SELECT '[REDACTED:SSN]' AS \"[REDACTED:SSN]\""),
    ("WHERE ssn = 123456789", "WHERE ssn = [REDACTED:SSN]"),
    ("-- for ana@acme.example, 4111 1111 1111 1111", "-- for [REDACTED:EMAIL], [REDACTED:CARD]"),
    ("'4111-1111-1111-1111' 4111111111111111 378282246310005", "'[REDACTED:CARD]' [REDACTED:CARD] [REDACTED:CARD]"),
    ("'3782 822463 10005'", "'[REDACTED:CARD]'"),
    ("card_4111111111111111", "card_[REDACTED:CARD]"),
    ("'+1 (555) 123-4567 x123'", "'[REDACTED:PHONE]'"),
    ("'+4930123456' '0049 30 123456'", "'[REDACTED:PHONE]' '[REDACTED:PHONE]'"),
    ("'(555) 123-4567' 555-123-4567 '555.123.4567'", "'[REDACTED:PHONE]' [REDACTED:PHONE] '[REDACTED:PHONE]'"),
    ("'020 7946 0958' '01 23 45 67 89' '090-1234-5678'", "'[REDACTED:PHONE]' '[REDACTED:PHONE]' '[REDACTED:PHONE]'"),
    ("phone = '5551234567'", "phone = '[REDACTED:PHONE]'"),
    ("１２３-４５-６７８９ ünï@exämple.com ana＠acme.example", "[REDACTED:SSN] [REDACTED:EMAIL] [REDACTED:EMAIL]"),
    ("123\u201345\u20136789", "[REDACTED:SSN]"),
    ("ana%40acme.example \"ana maria\"@acme.example", "[REDACTED:EMAIL] [REDACTED:EMAIL]"),
    ("'o''neil@acme.example' o'neil@acme.example", "'o''[REDACTED:EMAIL]' [REDACTED:EMAIL]"),
    ("hd_live_abcdefghijklmnopqrst0123456789ABCDE", "[REDACTED:API_KEY]"),
    ("postgres://u:secret@db.acme.example/x", "postgres://u:[REDACTED:EMAIL]/x"),
]  # fmt: skip

KEPT = [
    "SELECT 1 + 2 * 3.5 FROM t WHERE a BETWEEN 10000000 AND 99999999",
    "WHERE d BETWEEN '2013-01-01' AND '2013-12-31' AND t > TIMESTAMP '2024-01-15 10:00:00.123456'",
    "TIMESTAMP '01-02-2024 10:30' '31.12.2024' '12/31/2024 23:59' 20240115 '20240115'",
    "id = 1234567890123 OR at = 1700000000000 OR at_us = 1700000000000000",
    "x = 5551234567 AND y = 123456789",
    "0.4111111111111111 1234567.891234 1e10 4111.5555",
    "'550e8400-e29b-41d4-a716-446655440000' '192.168.100.200' '10115-1234'",
    "a+12345678 SELECT @ -5, [1,2] @> [1], a <@ b",
    "'4111111111111112'",
    "SELECT 'user at acme' || '@' || 'x'",
]


@pytest.mark.parametrize(("text", "wanted"), FOUND)
def test_w4_13_personal_data_is_redacted(text: str, wanted: str) -> None:
    assert redact(text) == wanted


@pytest.mark.parametrize("text", KEPT)
def test_ordinary_sql_is_left_as_it_is(text: str) -> None:
    assert redact(text) == text


FLOORS = {
    "email": 0.999,
    "card": 0.99,
    "card_grouped": 0.999,
    "ssn": 0.999,
    "ssn_in_context": 0.999,
    "phone": 0.85,
    "phone_international": 0.999,
    "phone_in_context": 0.999,
}
"""Stated in docs/audit.md."""


def test_w4_13_recall_is_what_the_documentation_states() -> None:
    seen: Counter[str] = Counter()
    hidden: Counter[str] = Counter()
    for case in personal(seed=20261122, each=6):
        text = redact(case.sql)
        seen[case.kind] += 1
        hidden[case.kind] += case.value not in text and "[REDACTED:" in text
    assert {kind for kind in FLOORS if hidden[kind] / seen[kind] < FLOORS[kind]} == set()


def test_precision_is_what_the_documentation_states() -> None:
    statements = list(ordinary(seed=20261122, count=2000))
    touched = [statement for statement in statements if redact(statement) != statement]
    assert len(touched) / len(statements) <= 0.003, touched[:5]


_PIECES = (
    "'",
    '"',
    "@",
    "0",
    "a",
    "b.c",
    ".",
    " ",
    "x@y.z",
    "\x7f",
    "\x80",
    "[1:2]",
    "localhost",
    "\n",
    "-",
    "o'hara",
    "*",
)


@given(st.lists(st.sampled_from((*_PIECES, "%40")), max_size=40) | st.lists(st.sampled_from(_PIECES), max_size=40))
def test_w4_13_addresses_are_found_as_the_whole_expression_would(pieces: list[str]) -> None:
    shadow = "".join(pieces).encode("latin-1")
    assert [(span.start, span.end) for span in _addresses(shadow)] == [
        match.span() for match in _EMAIL.finditer(shadow)
    ]


@given(st.text("0123456789 ()._-/\x7f+ax", max_size=60))
def test_w4_13_runs_of_digits_are_found_as_the_whole_expression_would(text: str) -> None:
    shadow = text.encode("latin-1")
    assert list(_runs(shadow)) == [match.span() for match in _DIGITS.finditer(shadow)]


@given(st.text(max_size=200))
def test_redaction_is_total_and_settled_by_one_pass(text: str) -> None:
    once = redact(text)
    assert redact(once) == once


@given(st.text(max_size=40), st.text(max_size=40), st.from_regex(r"\A[1-8]\d\d-\d\d-\d{4}\Z"))
def test_w4_13_an_ssn_is_hidden_wherever_it_stands(before: str, after: str, ssn: str) -> None:
    assert ssn not in redact(f"{before} {ssn} {after}")


@given(st.sampled_from("\u200b\u200d\u00ad\u2060\ufeff"), st.integers(0, 10), st.booleans())
def test_w4_13_a_character_that_nobody_sees_hides_nothing(unseen: str, at: int, twice: bool) -> None:
    ssn, mail = "123-45-6789", "ana.m@bank.example"
    dotted = ssn[:at] + unseen * (1 + twice) + ssn[at:]
    assert redact(f"SELECT '{dotted}'") in (f"SELECT '{unseen * (1 + twice)}[REDACTED:SSN]'", "SELECT '[REDACTED:SSN]'")
    assert "bank" not in redact(f"SELECT '{mail[:at]}{unseen}{mail[at:]}'")


@pytest.mark.parametrize(("text", "kind"), [("123_45_6789", "SSN"), ("4111_1111_1111_1111", "CARD")])
def test_w4_13_values_written_like_identifiers(text: str, kind: str) -> None:
    assert redact(f'SELECT a AS "{text}"') == f'SELECT a AS "[REDACTED:{kind}]"'
    assert redact("SELECT t_2024_01_31_12, 12_345_678 FROM a_1234_5678") == (
        "SELECT t_2024_01_31_12, 12_345_678 FROM a_1234_5678"
    )


@given(st.integers(10**14, 10**15 - 1), st.sampled_from(["", " ", "-"]))
def test_w4_13_a_card_is_hidden_in_groups_and_whole(number: int, gap: str) -> None:
    digits = f"4{number}"
    digits = next(digits[:15] + str(last) for last in range(10) if luhn((digits[:15] + str(last)).encode()))
    shown = gap.join(digits[at : at + 4] for at in range(0, 16, 4))
    assert redact(f"SELECT '{shown}'") == "SELECT '[REDACTED:CARD]'"


def test_w4_14_redaction_takes_microseconds() -> None:
    text = (
        "SELECT c.customer_id, SUM(o.amount) AS total FROM sales.customers c JOIN sales.orders o USING (customer_id) "
    )
    text = (text * 10)[:990] + " WHERE ssn = '123-45-6789'"
    redact(text)
    best = min(_cpu_seconds(text) for _ in range(200))
    assert best < 1e-3  # microseconds, not milliseconds, on the slowest machine; `make bench` measures how many


def _cpu_seconds(text: str) -> float:
    begin = time.thread_time()
    redact(text)
    return time.thread_time() - begin


@pytest.mark.parametrize("piece", ["1 ", "1", "+1", "a@", "12-", "0.1 ", "(0", "4111 ", "'1", "a" * 50 + "@"])
def test_no_text_takes_long(piece: str) -> None:
    text = piece * (MAX_TEXT_CHARS // 4 // len(piece))
    assert _cpu_seconds(text) < 3.0


def test_a_long_text_is_cut_where_no_value_is_cut_in_two() -> None:
    text = "x" * (MAX_TEXT_CHARS - 10) + " 123-45-6789 " + "y" * 100
    cut = redact(text)
    assert "123" not in cut
    assert cut.endswith("]")
    assert "[TRUNCATED:" in cut
    assert len(cut) < MAX_TEXT_CHARS + 30


def test_a_customers_own_patterns_are_added() -> None:
    redactor = Redactor([CustomPattern("PATIENT", r"MRN-\d{6}"), CustomPattern("NAME", "Müller")])
    assert redactor.redact("SELECT 'MRN-123456', 'Müller', 'a@b.co'") == (
        "SELECT '[REDACTED:PATIENT]', '[REDACTED:NAME]', '[REDACTED:EMAIL]'"
    )


@pytest.mark.parametrize(
    ("name", "expression"),
    [("X", "("), ("X", r"(a)\1"), ("X", "(?=a)"), ("X", "a*"), ("x", "a"), ("", "a"), ("X", ""), ("X", "a" * 513)],
)
def test_a_pattern_that_cannot_be_used_is_refused(name: str, expression: str) -> None:
    with pytest.raises(InvalidRequest):
        Redactor([CustomPattern(name, expression)])


def test_overlapping_finds_hide_all_they_cover() -> None:
    redactor = Redactor([CustomPattern("A", "bcd"), CustomPattern("B", "cdef")])
    assert redactor.redact("abcdefg") == "a[REDACTED:A]g"
