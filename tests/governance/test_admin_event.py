"""The closed list of administrative events and what each may hold."""

from __future__ import annotations

import dataclasses

import pytest

from governance.admin_event import INSTALLATION, SHAPES, AdminEvent, AdminEventType, Attribution
from governance.policies import Mask, MaskFunction, View
from governance.policy_record import PolicyRecord
from governance.principals import Agent
from governance.register import Environment, KeyRecord, Organization, SchemaOwner, UserRecord, ViewRecord
from governance.roles import Role
from governance.scopes import Scope
from governance.tables import TableName

SECRET_WORDS = ("hash", "secret", "password", "token", "plaintext", "signing")
NOW = "2026-11-22T03:00:00.000000Z"

KEY = KeyRecord(
    "production",
    "key-1",
    "ana",
    "hd_live_aaaaaaaa",
    "$argon2id$x",
    "u",
    "1",
    frozenset(Scope),
    NOW,
    "o",
    Agent("bot-7"),
)
FACTS = {
    "organization": Organization("1", "Acme", NOW).fact(),
    "environment": Environment("production").fact(),
    "schema": SchemaOwner("production", "Sales", "1").fact(),
    "user": UserRecord("u", "u@acme.example", "1", Role.ANALYST, NOW, (("region", "emea"),)).fact(),
    "key": KEY.fact(),
    "policy": PolicyRecord(
        "production", Mask("p", "ssn", TableName("sales", "c"), "ssn", MaskFunction.FULL), "1", NOW
    ).fact(),
    "view": ViewRecord("production", View("v", TableName("sales", "v"), "SELECT 1"), "1", NOW).fact(),
    "cache": {"cache_generation": 1},
}


def test_w5_5_there_are_exactly_27_types_each_with_a_shape() -> None:
    assert len(AdminEventType) == 27
    assert set(SHAPES) == set(AdminEventType)
    families = {kind.value.split(".")[0] for kind in AdminEventType}
    assert {"policy", "key", "user", "sso", "organization", "schema", "view"} <= families
    assert AdminEventType.USER_ROLE_CHANGED in AdminEventType
    assert AdminEventType.KEY_ROTATED in AdminEventType


def test_w5_7_what_the_register_tells_is_what_the_shapes_name() -> None:
    for kind, shape in SHAPES.items():
        fact = FACTS.get(kind.value.split(".")[0])
        for side in (shape.before, shape.after):
            if fact is not None and side is not None:
                assert set(fact) == side, kind


@pytest.mark.parametrize("kind", AdminEventType)
def test_no_shape_names_a_secret(kind: AdminEventType) -> None:
    shape = SHAPES[kind]
    for field in (shape.before or frozenset()) | (shape.after or frozenset()):
        assert not any(word in field for word in SECRET_WORDS)


def test_an_event_with_a_field_too_many_or_too_few_cannot_be_made() -> None:
    good = AdminEvent(AdminEventType.KEY_CREATED, "production", "1", "key-1", None, KEY.fact())
    for after in (KEY.fact() | {"hash": KEY.hash}, {"id": "key-1"}, None):
        with pytest.raises(ValueError, match="shape"):
            dataclasses.replace(good, after=after)
    with pytest.raises(ValueError, match="shape"):
        dataclasses.replace(good, before=KEY.fact())


def test_a_document_has_every_field_that_sealing_asks_for() -> None:
    event = AdminEvent(AdminEventType.KEY_CREATED, "production", "1", "key-1", None, KEY.fact())
    document = event.document(Attribution(INSTALLATION, NOW, "127.0.0.1", "r"))
    assert document["actor"] == {"user_id": "hatidata", "organization": "", "role": "", "key_id": ""}
    assert (document["type"], document["at"], document["source_ip"]) == ("key.created", NOW, "127.0.0.1")


def test_the_hash_of_a_key_is_in_no_repr() -> None:
    assert "argon2" not in repr(KEY)
    assert "argon2" not in repr(KEY.for_node())
