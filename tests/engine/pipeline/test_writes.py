# ruff: noqa: E501
"""W4.11: UPDATE and DELETE touch visible rows only, and tell nothing of the others."""

from __future__ import annotations

import pytest

from engine.catalog.view import PrincipalCatalog
from engine.pipeline.writes import WriteGovernor
from governance.errors import Refusal
from governance.policies import Mask, MaskFunction, RowFilter
from governance.tables import TableName
from tests.support.governed_lab import PARSER, Lab, principal, rulebook

T = TableName("s", "t")
BOOK = rulebook(
    [RowFilter("f", "own", T, "org = {org_id}"), Mask("m", "ssn", T, "ssn", MaskFunction.FULL)], [("s", "shared")]
)
SETUP = [
    "CREATE SCHEMA s",
    "CREATE TABLE s.t(id INT, org INT, word VARCHAR, ssn VARCHAR)",
    "INSERT INTO s.t VALUES (1, 1, '1', 'a'), (2, 1, '2', 'b'), (3, 2, 'HIDDEN', 'c')",
]


def _run(lab: Lab, sql: str) -> None:
    who = principal()
    segments = WriteGovernor(PARSER, who, PrincipalCatalog(lab.lake, BOOK, who), BOOK).govern(sql)
    lab.db.execute("".join(s if isinstance(s, str) else lab.relation(s) for s in segments))


def _rows(lab: Lab) -> list[tuple[object, ...]]:
    return lab.db.execute(f"SELECT id, word FROM {lab.relation(T)} ORDER BY id").fetchall()


@pytest.mark.parametrize(
    ("sql", "left"),
    [
        ("DELETE FROM s.t", [(3, "HIDDEN")]),
        ("DELETE FROM s.t WHERE word::INTEGER > 1", [(1, "1"), (3, "HIDDEN")]),
        ("DELETE FROM s.t AS x WHERE x.id = 3 OR x.id = 1", [(2, "2"), (3, "HIDDEN")]),
        ("UPDATE s.t SET word = 'new'", [(1, "new"), (2, "new"), (3, "HIDDEN")]),
        ("UPDATE s.t SET word = upper(word) || 'é', id = id + 10 WHERE t.id IN (SELECT max(id) FROM s.t)",
         [(1, "1"), (3, "HIDDEN"), (12, "2é")]),
        ("UPDATE s.t x SET word = (SELECT count(*)::VARCHAR FROM s.t) WHERE x.id = 1 OR true OR x.org = 2",
         [(1, "2"), (2, "2"), (3, "HIDDEN")]),
    ],
)  # fmt: skip
def test_w4_11_only_visible_rows_change(sql: str, left: list[tuple[object, ...]]) -> None:
    lab = Lab(SETUP)
    _run(lab, sql)
    assert _rows(lab) == left


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE s.t SET org = 2", "UPDATE s.t SET ssn = 'x'", "UPDATE s.t SET word = ssn", "UPDATE s.t SET word = ssn.upper()", "DELETE FROM s.t WHERE ssn.starts_with('a')", "DELETE FROM s.t WHERE ssn = 'a'",
        "DELETE FROM s.t RETURNING *", "UPDATE s.t SET word = 'x' FROM s.t y", "DELETE FROM s.t USING s.t y", "DELETE FROM s.nothing",
        "DELETE FROM s.t WHERE word = (SELECT getenv('HOME'))", "UPDATE s.t SET word = 'x' WHERE EXISTS (SELECT 1 FROM s.t b WHERE b.ssn = 'a')",
        "INSERT INTO s.t VALUES (1)", "TRUNCATE s.t", "DELETE FROM s.t WHERE true) --", "DELETE FROM s.t WHERE 1) OR (1 = 1",
    ],
)  # fmt: skip
def test_writes_that_would_tell_or_leak_are_refused(sql: str) -> None:
    lab = Lab(SETUP)
    before = _rows(lab)
    with pytest.raises(Refusal):
        _run(lab, sql)
    assert _rows(lab) == before
