"""What is kept of texts: by no digest can a value be guessed."""

import hashlib

import pytest

from engine.audit.texts import AuditTexts, audit_texts
from governance.audit_choice import AuditChoice, SqlForm

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
