"""The declared state: organizations, schemas, users, keys, views and policies, as one document.

Format version 1; `state_file.schema.json` beside this file is its JSON Schema, `docs/state-file.md` its guide. The
document arrives as plain data (mappings, lists, text, numbers, booleans); loading YAML is the caller's business. What
is not understood is refused with the path of the offending item (`policies[3].function`).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from governance.api_key_life import ROTATE_AFTER_DAYS_MAX, ROTATE_AFTER_DAYS_MIN
from governance.errors import InvalidRequest
from governance.policies import SHARED, Policy
from governance.principals import DIALECTS, Agent
from governance.roles import Role
from governance.scopes import expand
from governance.state_item import Item
from governance.state_policies import read_policy
from governance.tables import TableName, fold

VERSION = 1
ITEMS_MAX = 10_000
"""Per section."""
VIEW_SQL_MAX = 64 * 1024
ATTRIBUTE = re.compile(r"[a-z][a-z0-9_]{0,62}")
"""What an attribute's name looks like: it stands in filters as `{name}`."""

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class DeclaredOrganization:
    """An organization; matched by `id`."""

    id: str
    name: str


@dataclass(frozen=True, slots=True)
class DeclaredSchema:
    """Who owns a schema: an organization's id, or `shared`."""

    name: str
    organization: str


@dataclass(frozen=True, slots=True)
class DeclaredUser:
    """A user; matched by `email`."""

    email: str
    organization: str
    role: Role
    id: str = ""
    """Empty: the e-mail address (ADR 7)."""
    attributes: tuple[tuple[str, str], ...] = ()
    active: bool = True


@dataclass(frozen=True, slots=True)
class DeclaredKey:
    """An API key; matched by `name`. Its secret is made by the control plane and shown once."""

    name: str
    user: str
    """The e-mail address of its user."""
    scopes: tuple[str, ...]
    """Scopes and bundles as written."""
    agent: Agent | None = None
    networks: tuple[str, ...] = ()
    allowed_tables: tuple[str, ...] = ()
    expires_at: str = ""
    dialect: str = "duckdb"
    rotate_after_days: int = 0


@dataclass(frozen=True, slots=True)
class DeclaredView:
    """A stored SELECT; matched by `name`."""

    name: TableName
    sql: str


@dataclass(frozen=True, slots=True)
class StateFile:
    """A whole declared state. An absent section declares nothing; nothing undeclared is removed."""

    environment: str = ""
    """Empty: the one the control plane serves."""
    organizations: tuple[DeclaredOrganization, ...] = ()
    schemas: tuple[DeclaredSchema, ...] = ()
    users: tuple[DeclaredUser, ...] = ()
    keys: tuple[DeclaredKey, ...] = ()
    views: tuple[DeclaredView, ...] = ()
    policies: tuple[Policy, ...] = ()
    """With empty ids: policies are matched by name."""


def parse_state(document: object) -> StateFile:
    """The declared state that `document` means.

    Raises:
        InvalidRequest: not a state file of this version; the sentence names the place.
    """
    top = Item.of(document, "the state file")
    version = top.integer("version", least=1, most=10_000)
    if version != VERSION:
        raise InvalidRequest(f"version: {version} is not understood.", advice=f"This version reads {VERSION}.")
    state = StateFile(
        environment=top.choice("environment", ("", "production", "staging"), ""),
        organizations=_section(top, "organizations", _organization, lambda o: o.id),
        schemas=_section(top, "schemas", _schema, lambda s: fold(s.name)),
        users=_section(top, "users", _user, lambda u: fold(u.email)),
        keys=_section(top, "keys", _key, lambda k: k.name),
        views=_section(top, "views", _view, lambda v: str(v.name.key)),
        policies=_section(top, "policies", read_policy, lambda p: p.name),
    )
    top.done()
    return state


def _section(top: Item, name: str, read: Callable[[Item], _T], identity: Callable[[_T], str]) -> tuple[_T, ...]:
    out: list[_T] = []
    seen: dict[str, str] = {}
    for item in top.items(name, most=ITEMS_MAX):
        value = read(item)
        item.done()
        key = identity(value)
        if key in seen:
            raise InvalidRequest(f"{item.path}: declared before, at {seen[key]}.", advice="Declare each item once.")
        seen[key] = item.path
        out.append(value)
    return tuple(out)


def _organization(item: Item) -> DeclaredOrganization:
    organization = DeclaredOrganization(id=item.id("id"), name=item.text("name", most=200))
    if organization.id == SHARED:
        raise item.wrong("id", f"{SHARED!r} is reserved for schemas that every organization sees")
    return organization


def _schema(item: Item) -> DeclaredSchema:
    return DeclaredSchema(name=item.text("name", most=128), organization=item.id("organization"))


def _user(item: Item) -> DeclaredUser:
    email = item.text("email", most=254)
    if email.count("@") != 1 or email.startswith("@") or email.endswith("@") or " " in email:
        raise item.wrong("email", "is not an e-mail address")
    attributes = item.mapping("attributes")
    for name, value in attributes.items():
        if not ATTRIBUTE.fullmatch(name) or not isinstance(value, str) or len(value) > 256:
            raise item.wrong("attributes", "holds lower-case names (a-z, 0-9, _) and values of text (quote numbers)")
    return DeclaredUser(
        email=email,
        organization=item.id("organization"),
        role=Role(item.choice("role", tuple(Role))),
        id=item.text("id", "", most=254),
        attributes=tuple(sorted(attributes.items())),
        active=item.choice("status", ("active", "suspended"), "active") == "active",
    )


def _key(item: Item) -> DeclaredKey:
    scopes = item.texts("scopes", required=True)
    try:
        expand(scopes)
    except InvalidRequest as error:
        raise InvalidRequest(f"{item.path}.scopes: {error.message}", advice=error.advice) from None
    return DeclaredKey(
        name=item.text("name", most=128),
        user=item.text("user", most=254),
        scopes=scopes,
        agent=_agent(item),
        networks=item.networks("networks"),
        allowed_tables=item.table_patterns("allowed_tables"),
        expires_at=item.moment("expires_at"),
        dialect=item.choice("dialect", DIALECTS, "duckdb"),
        rotate_after_days=_rotation(item),
    )


def _rotation(item: Item) -> int:
    days = item.integer("rotate_after_days", 0, least=0, most=ROTATE_AFTER_DAYS_MAX)
    if 0 < days < ROTATE_AFTER_DAYS_MIN:
        raise item.wrong("rotate_after_days", f"is 0 or at least {ROTATE_AFTER_DAYS_MIN}")
    return days


def _agent(item: Item) -> Agent | None:
    inner = item.child("agent")
    if inner is None:
        return None
    agent = Agent(
        id=inner.text("id", most=128),
        framework=inner.text("framework", "", most=64),
        trust=inner.text("trust", "", most=64),
    )
    inner.done()
    return agent


def _view(item: Item) -> DeclaredView:
    return DeclaredView(name=item.table("name"), sql=item.text("sql", most=VIEW_SQL_MAX))
