"""What a principal is shown of the catalog, by role, scope and condition."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from engine.catalog.emulation import CatalogImage
from engine.catalog.view import PrincipalCatalog
from engine.session_catalog import EmulatedCatalog
from engine.session_ports import CatalogSession
from governance.errors import PermissionRefused
from governance.policies import Audience, Condition, Effect, TimeWindow
from governance.principals import Agent, Principal
from governance.roles import Role
from governance.rulebook import Rulebook
from governance.scopes import BUNDLES, Scope
from governance.tables import Column, Table, TableName

MONDAY_NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
LAKE = {
    name.key: Table(name, (Column("id", "INTEGER"), Column("secret", "VARCHAR")))
    for name in (TableName("sales", "orders"), TableName("sales", "pay"), TableName("hr", "people"))
}
ANA = Principal("u1", "ana@acme.example", "1", Role.ANALYST, BUNDLES["read_only"], "production", "k1")


class Worker:
    """Takes the image that a statement would have run over."""

    async def run_catalog(self, image: CatalogImage, *_: Any, **__: Any) -> Any:
        self.image = image


class Desk:
    """The session's catalog, a lake, a rulebook and a clock."""

    def __init__(self, *conditions: Condition) -> None:
        self.now = MONDAY_NOON
        self.worker = Worker()
        self.catalog = EmulatedCatalog(self.worker, clock=lambda: self.now)
        self.rulebook = Rulebook("production", 1, "", "1", (("1", "Acme"),), (), (), (), policies=conditions)
        self.views: dict[Principal, PrincipalCatalog] = {}

    def image(self, principal: Principal, *, export: bool = False) -> CatalogImage:
        view = self.views.setdefault(principal, PrincipalCatalog(LAKE, self.rulebook, principal, "v"))
        session = CatalogSession(principal.email, "1", "production", 1, principal.source_ip, ())
        plan = self.catalog.plan("select * from pg_class", (), view, lambda: session, export=export)
        assert plan.verdicts
        asyncio.run(plan.run(parameters=(), formats=(), deadline_s=1.0))
        return self.worker.image

    def tables(self, principal: Principal, **more: Any) -> list[str]:
        return [f"{r.schema}.{r.name}" for r in self.image(principal, **more).relations]


def deny(name: str, **parts: Any) -> Condition:
    return Condition(name, name, Effect.DENY, **parts)


ALL = ["hr.people", "sales.orders", "sales.pay"]


def test_w3_1_a_role_that_may_not_query_may_not_look():
    for role in (Role.AUDITOR,):
        with pytest.raises(PermissionRefused):
            Desk().image(replace(ANA, role=role))


@pytest.mark.parametrize(
    ("scopes", "tables", "columns"),
    [
        ({Scope.QUERY_READ}, ALL, 2),
        ({Scope.TABLES_DESCRIBE}, ALL, 2),
        ({Scope.TABLES_LIST}, ALL, 0),
        ({Scope.SCHEMAS_READ}, [], 0),
    ],
)
def test_w3_4_scopes_say_how_much_is_told(scopes: set[Scope], tables: list[str], columns: int):
    image = Desk().image(replace(ANA, scopes=frozenset(scopes)))
    assert [f"{r.schema}.{r.name}" for r in image.relations] == tables
    assert all(len(r.columns) == columns for r in image.relations)
    assert {name for _, name in image.schemas} == {"hr", "main", "sales"}


def test_w3_4_a_key_without_any_scope_to_look_is_refused():
    others = frozenset(Scope) - {Scope.QUERY_READ, Scope.TABLES_LIST, Scope.TABLES_DESCRIBE, Scope.SCHEMAS_READ}
    with pytest.raises(PermissionRefused):
        Desk().image(replace(ANA, scopes=others))


def test_a_condition_that_denies_a_table_hides_it():
    desk = Desk(deny("no agents", tables=("sales.pay", "hr.*"), audience=Audience.AGENTS))
    assert desk.tables(ANA) == ALL
    agent = replace(ANA, agent=Agent("bot"))
    assert desk.tables(agent) == ["sales.orders"]
    assert {name for _, name in desk.image(agent).schemas} == {"main", "sales"}


def test_a_permission_that_does_not_fit_hides_its_tables():
    desk = Desk(
        Condition("only admins", "only admins", Effect.ALLOW, tables=("hr.people",), roles=frozenset({Role.ADMIN}))
    )
    assert desk.tables(ANA) == ["sales.orders", "sales.pay"]
    assert desk.tables(replace(ANA, role=Role.ADMIN)) == ALL


def test_a_condition_on_everything_refuses_the_catalog_too():
    desk = Desk(deny("not from there", networks=("10.0.0.0/8",)))
    assert desk.tables(replace(ANA, source_ip="192.0.2.1")) == ALL
    # The same principal, whose view the node keeps whatever address he comes from.
    with pytest.raises(PermissionRefused):
        desk.image(replace(ANA, source_ip="10.1.2.3"))


def test_two_addresses_of_one_principal_share_no_image():
    desk = Desk(deny("not from there", tables=("sales.*",), networks=("10.0.0.0/8",)))
    assert desk.tables(replace(ANA, source_ip="192.0.2.1")) == ALL
    assert desk.tables(replace(ANA, source_ip="10.1.2.3")) == ["hr.people"]
    assert desk.tables(replace(ANA, source_ip="192.0.2.1")) == ALL


def test_windows_are_judged_when_the_statement_starts():
    hours = TimeWindow("UTC", 8 * 60, 18 * 60)
    desk = Desk(deny("hours", tables=("hr.people",), window=hours, outside_window=True))
    assert desk.tables(ANA) == ALL
    desk.now += timedelta(hours=10)
    assert desk.tables(ANA) == ["sales.orders", "sales.pay"]


def test_copying_the_catalog_out_is_an_export():
    desk = Desk(deny("no exports", actions=("export",)))
    assert desk.tables(ANA) == ALL
    with pytest.raises(PermissionRefused):
        desk.image(ANA, export=True)
