"""Governing for sessions: drafts are fetched when asked for and no more, long texts do not hold the loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping
from typing import Any

import pytest

from engine.catalog.view import PrincipalCatalog
from engine.control_link import ControlLinkFailed
from engine.executor.second_parser import DuckDBParser
from engine.governing import INLINE_CHARS_MAX, Governing
from engine.pipeline import Governed, Pipeline
from governance.errors import DeadlineExceeded, NotFound, PermissionRefused, Refusal, RulebookUnavailable, SyntaxRefused
from governance.policies import Mask, MaskFunction, RowFilter
from governance.principals import Principal
from governance.roles import Role
from governance.rulebook import encode_policy
from governance.scopes import BUNDLES, Scope
from governance.tables import Column, Table, TableName
from tests.support.governed_lab import principal, rulebook

T = TableName("s", "t")
LAKE = {T.key: Table(T, (Column("id", "INTEGER"), Column("word", "VARCHAR")))}
BOOK = rulebook([RowFilter("f", "own", T, "id = 1")], [("s", "shared")])
DRAFTED = (Mask("m", "hide", T, "word", MaskFunction.FULL),)
MANAGER = principal(Role.ADMIN, operator=True, scopes=BUNDLES["admin"])


class Plane:
    """Drafts as the control plane tells them."""

    def __init__(self, *organizations: str, fails: bool = False) -> None:
        self.organizations, self.fails, self.asked = organizations or ("1",), fails, 0

    async def policy_draft(self, number: int) -> Mapping[str, Any] | None:
        self.asked += 1
        if self.fails:
            raise ControlLinkFailed("ReadTimeout")
        if number > 1000:
            return None
        policies = [encode_policy(policy) for policy in DRAFTED]
        return {"number": number, "organizations": list(self.organizations), "policies": policies}


def explain(plane: Plane, text: str, who: Principal = MANAGER, times: int = 1) -> str:
    """The SQL that answers; the last of `times`."""
    parser = DuckDBParser()

    async def run() -> Governed:
        governing = Governing(Pipeline(parser), Pipeline(parser), plane)
        try:
            for _ in range(times):
                found = await governing.govern(text, who, PrincipalCatalog(LAKE, BOOK, who), BOOK)
            return found
        finally:
            governing.close()

    try:
        return asyncio.run(run()).sql(str)
    finally:
        parser.close()


def test_a_draft_is_explained_fetched_once_and_not_in_force() -> None:
    plane = Plane()
    told = explain(plane, "EXPLAIN POLICY USING DRAFT 7 SELECT word FROM s.t", times=3)
    assert "hide" in told
    assert "own" not in told
    assert plane.asked == 1
    assert "hide" not in explain(plane, "EXPLAIN POLICY SELECT word FROM s.t")


@pytest.mark.parametrize(
    ("text", "who", "organizations", "refused"),
    [
        ("EXPLAIN POLICY USING DRAFT 1001 SELECT 1", MANAGER, ("1",), NotFound),
        ("EXPLAIN POLICY USING DRAFT 7 SELECT 1", MANAGER, ("1", "2"), NotFound),
        (
            "EXPLAIN POLICY USING DRAFT 7 SELECT 1",
            principal(Role.ADMIN, scopes=BUNDLES["admin"]),
            ("shared",),
            NotFound,
        ),
        (
            "EXPLAIN POLICY USING DRAFT 7 SELECT 1",
            principal(Role.ADMIN, "2", scopes=BUNDLES["admin"]),
            ("1",),
            NotFound,
        ),
        ("EXPLAIN POLICY USING DRAFT 7 SELECT 1", principal(), ("1",), PermissionRefused),
        ("EXPLAIN POLICY USING DRAFT 'x' SELECT 1", MANAGER, ("1",), SyntaxRefused),
        ("EXPLAIN POLICY USING DRAFT SELECT 1", MANAGER, ("1",), SyntaxRefused),
        ("EXPLAIN POLICY USING DRAFT 7", MANAGER, ("1",), SyntaxRefused),
        ("EXPLAIN POLICY USING DRAFT 9999999999999 SELECT 1", MANAGER, ("1",), SyntaxRefused),
    ],
)
def test_h14_a_draft_is_for_those_who_may_change_all_of_it(
    text: str, who: Principal, organizations: tuple[str, ...], refused: type[Refusal]
) -> None:
    plane = Plane(*organizations)
    with pytest.raises(refused):
        explain(plane, text, who)
    assert plane.asked <= 1
    if refused is PermissionRefused:
        assert plane.asked == 0  # who may not ask costs the control plane nothing


def test_the_operators_shared_policies_and_everything_for_its_owner() -> None:
    text = "EXPLAIN POLICY USING DRAFT 7 SELECT word FROM s.t"
    assert "hide" in explain(Plane("shared", "1"), text)
    owner = principal(Role.OWNER, operator=True, scopes=frozenset(Scope))
    assert "hide" in explain(Plane("2"), text, owner)


def test_a_control_plane_that_does_not_answer_is_told_and_stops_nothing_else() -> None:
    plane = Plane(fails=True)
    with pytest.raises(RulebookUnavailable):
        explain(plane, "EXPLAIN POLICY USING DRAFT 7 SELECT 1")
    assert explain(plane, "SELECT 1")
    assert plane.asked == 1


class Slow:
    """A pipeline that says on which thread it was asked, and waits."""

    def __init__(self) -> None:
        self.threads: list[str] = []
        self.asked, self.go_on = threading.Event(), threading.Event()

    def govern(self, text: str, *_: Any, **__: Any) -> Governed:
        self.threads.append(threading.current_thread().name)
        self.asked.set()
        self.go_on.wait(10)
        raise SyntaxRefused("no")


def test_a_long_text_is_governed_on_a_thread_while_the_loop_goes_on_and_within_a_deadline() -> None:
    inline, patient = Slow(), Slow()
    inline.go_on.set()

    async def run() -> None:
        governing = Governing(inline, patient, Plane())
        long = asyncio.create_task(governing.govern("x" * (INLINE_CHARS_MAX + 1), MANAGER, None, BOOK))
        assert await asyncio.to_thread(patient.asked.wait, 10)
        with pytest.raises(SyntaxRefused):  # the loop serves others meanwhile
            await governing.govern("x", MANAGER, None, BOOK)
        with pytest.raises(DeadlineExceeded):
            await governing.govern("y" * (INLINE_CHARS_MAX + 1), MANAGER, None, BOOK, deadline_s=0.01)
        patient.go_on.set()
        with pytest.raises(SyntaxRefused):
            await long
        governing.close()

    asyncio.run(run())
    assert inline.threads == ["MainThread"]
    assert all(name.startswith("governing") for name in patient.threads)
