"""What another policy set would change for a statement, and which audited ones cannot be told."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from engine.executor.second_parser import DuckDBParser
from engine.impact import Difference, Replayer, differences, why_not_replayed
from governance.policies import Condition, Effect, Mask, MaskFunction, MinimumGroup, Policy, RowFilter, TimeWindow
from governance.tables import Column, Table, TableName
from tests.support.governed_lab import principal, rulebook

T = TableName("s", "t")
LAKE = {T.key: Table(T, (Column("id", "INTEGER"), Column("word", "VARCHAR")))}
PARSER = DuckDBParser()
OLD: tuple[Policy, ...] = (RowFilter("f", "own", T, "id = 1"),)
NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)


def changes(new: tuple[Policy, ...], sql: str = "SELECT id FROM s.t", at: datetime = NOON) -> list[Difference]:
    one, two = (Replayer(PARSER, LAKE, rulebook(p, [("s", "shared")])) for p in (OLD, new))
    return differences(one.effect(sql, principal(), at), two.effect(sql, principal(), at))


@pytest.mark.parametrize(
    ("new", "expected"),
    [
        (OLD, []),
        ((), [("s.t", "filter own", "id = 1", "")]),
        ((RowFilter("f", "own", T, "id = 2"),), [("s.t", "filter own", "id = 1", "id = 2")]),
        (
            (*OLD, RowFilter("g", "more", T, "id > 0", permissive=True)),
            [("s.t", "permissive filter more", "", "id > 0")],
        ),
        ((*OLD, Mask("m", "m", T, "word", MaskFunction.PARTIAL, 2)), [("s.t", "mask word", "", "partial, 2 visible")]),
        (
            (*OLD, Mask("m", "m", T, "word", MaskFunction.HASH), Mask("n", "n", T, "word", MaskFunction.NULL)),
            [("s.t", "mask word", "", "null")],
        ),
        ((*OLD, RowFilter("o", "other", TableName("s", "u"), "id = 1")), []),
    ],
)
def test_filters_and_masks_that_change_are_told_by_table(
    new: tuple[Policy, ...], expected: list[tuple[str, str, str, str]]
) -> None:
    assert changes(new) == [Difference(*each) for each in expected]


def test_a_verdict_that_changes_is_told_with_its_reason_and_judged_at_the_moment_of_the_query() -> None:
    night = Condition("c", "nights", Effect.DENY, window=TimeWindow("UTC", 22 * 60, 6 * 60))
    assert changes((*OLD, night)) == []
    (found,) = changes((*OLD, night), at=NOON.replace(hour=23))
    assert (found.aspect, found.before) == ("verdict", "allowed")
    assert "permission_denied" in found.after
    assert "nights" in found.after
    group = MinimumGroup("g", "g", T, 5)
    assert changes((*OLD, group))[0].after.startswith("refused: permission_denied")
    assert changes((*OLD, group), "SELECT word, count(*) FROM s.t GROUP BY word") == [
        Difference("s.t", "minimum group", "", "5")
    ]


def test_an_export_is_replayed_as_an_export() -> None:
    deny = Condition("c", "no export", Effect.DENY, actions=("export",))
    assert changes((*OLD, deny)) == []
    (found,) = changes((*OLD, deny), "COPY (SELECT id FROM s.t) TO STDOUT")
    assert "no export" in found.after


def test_an_exempt_role_sees_no_change() -> None:
    who = principal()
    mask = Mask("m", "m", T, "word", MaskFunction.NULL, exempt_roles=frozenset({who.role}))
    assert changes((*OLD, mask)) == []
    assert changes((*OLD, replace(mask, exempt_roles=frozenset()))) != []


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({"sql": "SELECT 1"}, ""),
        ({"sql": "SELECT 1 WHERE x = '[REDACTED:SSN]'"}, ""),
        ({"sql": "SELECT [REDACTED:CARD]"}, "redacted literal"),
        ({"sql": "SELECT '[REDACTED:SSN]', [REDACTED:CARD]"}, "redacted literal"),
        ({"sql": "SELECT * FROM t WHERE [REDACTED:EMAIL]' AND x = 1"}, "redacted literal"),
        ({"sql": "SELECT 1 [TRUNCATED:5]"}, "only a part of the text was kept"),
        ({"sql": ""}, "the text was not kept"),
        ({"sql": "SELECT ?", "sql_form": "fingerprint"}, "the text was not kept"),
        ({"sql": "SELECT 1", "statement_kind": "catalog"}, "a catalog query"),
    ],
)
def test_what_cannot_be_replayed_says_why(record: dict[str, object], reason: str) -> None:
    assert why_not_replayed(record) == reason
