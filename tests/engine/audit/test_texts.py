"""What is kept of texts: by no digest can a value be guessed."""

import hashlib

import pytest

from engine.audit.texts import PARAMETER_CHARS_MAX, AuditTexts, audit_texts
from governance.audit_choice import AuditChoice, SqlForm
from governance.fingerprint import literal_digest

GOVERNED = hashlib.sha256(b"SELECT * FROM t WHERE ssn = '123-45-6789'").hexdigest()


@pytest.mark.parametrize("form", SqlForm)
def test_w4_13_the_fingerprint_is_keyed_whatever_is_kept(form: SqlForm) -> None:
    choice = AuditChoice(form)
    mine, other = audit_texts(b"k" * 32)(choice), audit_texts(b"K" * 32)(choice)
    kept = mine.digest(GOVERNED)
    assert len(kept) == 64
    assert kept not in {GOVERNED, hashlib.sha256(GOVERNED.encode()).hexdigest(), other.digest(GOVERNED)}
    assert kept == audit_texts(b"k" * 32)(AuditChoice()).digest(GOVERNED), "found again after a change of form"
    assert AuditTexts(choice).digest(GOVERNED) == "", "without a key nothing, rather than a hash to guess by"
    assert mine.digest("") == ""


@pytest.mark.parametrize(
    ("tail", "left"),
    [
        ("4111 1111 1111 1111", ""),
        ("123-45-6789", ""),
        ("ana.maria@acme.example", ""),
        ("+49 (30) 1234-5678", ""),
        ("words that mean nothing", "words that "),
    ],
)
def test_w4_13_a_long_parameter_is_cut_between_words_and_never_within_a_number(tail: str, left: str) -> None:
    texts = AuditTexts(AuditChoice())
    for at in range(1, len(tail)):
        value = "x " * ((PARAMETER_CHARS_MAX - at) // 2) + " " * (at % 2) + tail + " and more" * 200
        kept = texts.parameter(value)
        assert kept.endswith(f"[TRUNCATED:{len(value)}]")
        assert not any(character.isdigit() or character == "@" for character in kept.split("[TRUNCATED")[0])
        assert left[: max(0, at - 8)].split(" ")[0] in kept
    assert texts.parameter("4111" * 1000) == "[TRUNCATED:4000]"


def test_w4_13_a_digest_is_the_whole_parameters() -> None:
    texts = AuditTexts(AuditChoice(SqlForm.FINGERPRINT), b"k" * 32)
    one, other = "x" * 3000 + "1", "x" * 3000 + "2"
    assert texts.parameter(one) != texts.parameter(other)
    assert texts.parameter(one) == f"<parameter:{literal_digest(one, b'k' * 32)}>"
