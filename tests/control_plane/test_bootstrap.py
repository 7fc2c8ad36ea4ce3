"""The first set-up: once, whole, and with every scope for its Owner."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from governance import chain
from governance.errors import Conflict, InvalidRequest
from governance.register import Environment, Organization
from governance.scopes import Scope
from lambdas.control_plane.bootstrap import bootstrap
from local.control_store import SqliteControlStore
from tests.control_plane.conftest import Api, StoppedClock

GOOD: dict[str, Any] = {
    "environment": "production",
    "organization_id": "1",
    "organization_name": "Acme",
    "owner_email": "olga@acme.example",
}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteControlStore]:
    store = SqliteControlStore(tmp_path / "s.sqlite")
    yield store
    store.close()


def test_the_owners_key_carries_all_22_scopes(api: Api) -> None:
    who = api.ok("GET", "/v1/whoami")
    assert who["scopes"] == who["granted_scopes"] == sorted(scope.value for scope in Scope)
    assert (who["operator"], who["role"], who["environment"]) == (True, "owner", "production")
    kinds = [event["type"] for event in api.events()]
    assert kinds == ["environment.updated", "organization.created", "user.created", "key.created"]
    assert {event["actor"]["user_id"] for event in api.events()} == {"hatidata"}


def test_a_store_is_set_up_once(store: SqliteControlStore) -> None:
    bootstrap(store, **GOOD, clock=StoppedClock())
    with pytest.raises(Conflict):
        bootstrap(store, **GOOD, clock=StoppedClock())
    with store.read() as reader:
        assert len(reader.every(Organization, "")) == 1
        assert chain.verify(reader.events("production", after=0, limit=99), "production").count == 4


def test_a_home_for_staging_has_production_too_for_organizations_and_users(store: SqliteControlStore) -> None:
    key = bootstrap(store, **GOOD | {"environment": "staging"}, clock=StoppedClock())
    assert key.startswith("hd_test_")
    with store.read() as reader:
        assert [environment.name for environment in reader.every(Environment, "")] == ["production", "staging"]
        assert reader.head("staging")[0] == 2


@pytest.mark.parametrize(
    "change",
    [
        {"organization_id": "shared"},
        {"organization_id": "a/b"},
        {"organization_id": ""},
        {"organization_name": "a\nb"},
        {"owner_email": "nobody"},
        {"owner_email": "a@b.example\n"},
        {"environment": "Production"},
    ],
)
def test_what_is_not_well_formed_is_refused_and_nothing_is_made(
    store: SqliteControlStore, change: dict[str, str]
) -> None:
    with pytest.raises(InvalidRequest):
        bootstrap(store, **GOOD | change, clock=StoppedClock())
    with store.read() as reader:
        assert reader.every(Organization, "") == []
