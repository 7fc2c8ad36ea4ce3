"""Brings a control plane to a declared state, through its REST API alone, changing only what differs.

Keys come last: whoever holds a new key finds the whole law in force, and a state that is refused halfway has handed
out no key. Nothing that the file does not name is removed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from cli.connection import ControlPlane, path
from governance.errors import Conflict, NotFound
from governance.policies import Condition, Policy
from governance.rulebook import decode_policy, encode_policy, policy_kind
from governance.scopes import expand
from governance.state_file import (
    DeclaredKey,
    DeclaredOrganization,
    DeclaredSchema,
    DeclaredUser,
    DeclaredView,
    StateFile,
)
from governance.tables import TableName, fold

Existing = dict[str, Any]
DRAFTED_MAX = 200
DRAFTED_CHARS_MAX = 60_000
"""Policies that come into force together: well within what a draft holds, what they replace counted too."""


@dataclass(frozen=True, slots=True)
class Done:
    """One thing that was made, changed or replaced."""

    action: str
    kind: str
    name: str


@dataclass
class Outcome:
    """What was done so far, also when the rest is refused."""

    done: list[Done] = field(default_factory=list)
    keys: list[dict[str, str]] = field(default_factory=list, repr=False)
    """`name` and `key` of each key made now; the secrets are nowhere else."""


class Reconciler:
    """One run over one declared state."""

    def __init__(self, plane: ControlPlane, state: StateFile) -> None:
        self._plane = plane
        self._state = state
        self.outcome = Outcome()

    def run(self) -> Outcome:
        """Bring everything about, in order; what was there already is left alone.

        Raises:
            Refusal: the control plane refused, or what is there cannot become what is declared.
            Unreachable: it does not answer.
        """
        self._organizations(self._state.organizations)
        self._schemas(self._state.schemas)
        self._policies(self._state.policies)
        self._views(self._state.views)
        self._users(self._state.users)
        self._keys(self._state.keys)
        return self.outcome

    def _note(self, action: str, kind: str, name: str) -> None:
        self.outcome.done.append(Done(action, kind, name))

    def _organizations(self, declared: Iterable[DeclaredOrganization]) -> None:
        existing = {item["id"]: item for item in self._all(declared, "/v1/organizations")}
        for organization in declared:
            old = existing.get(organization.id)
            if old is None:
                self._plane.post("/v1/organizations", {"id": organization.id, "name": organization.name})
                self._note("created", "organization", organization.id)
            elif old["name"] != organization.name:
                self._plane.patch(path("v1", "organizations", organization.id), {"name": organization.name})
                self._note("changed", "organization", organization.id)

    def _schemas(self, declared: Iterable[DeclaredSchema]) -> None:
        existing = {fold(item["name"]): item["organization"] for item in self._all(declared, self._at("schemas"))}
        for schema in declared:
            if existing.get(fold(schema.name)) != schema.organization:
                self._plane.put(self._at("schemas", schema.name), {"organization": schema.organization})
                self._note("assigned", "schema", schema.name)

    def _users(self, declared: Iterable[DeclaredUser]) -> None:
        existing = {item["email"].casefold(): item for item in self._all(declared, "/v1/users")}
        for user in declared:
            old = existing.get(user.email.casefold())
            if old is None:
                self._create_user(user)
            else:
                self._change_user(user, old)

    def _create_user(self, user: DeclaredUser) -> None:
        body = {
            "email": user.email,
            "organization": user.organization,
            "role": user.role,
            "attributes": dict(user.attributes),
        }
        made = self._plane.post("/v1/users", {**body, "id": user.id} if user.id else body)
        if not user.active:
            self._plane.patch(path("v1", "users", made["id"]), {"status": "suspended"})
        self._note("created", "user", user.email)

    def _change_user(self, user: DeclaredUser, old: Existing) -> None:
        if old["organization"] != user.organization or (user.id and old["id"] != user.id):
            raise Conflict(
                f"The user {user.email} is there with another id or in another organization.",
                advice="Neither ever changes: remove that user first, or declare another one.",
            )
        wanted = {
            "role": str(user.role),
            "attributes": dict(user.attributes),
            "status": "active" if user.active else "suspended",
        }
        change = {name: value for name, value in wanted.items() if old[name] != value}
        if change:
            self._plane.patch(path("v1", "users", old["id"]), change)
            self._note("changed", "user", user.email)

    def _keys(self, declared: Iterable[DeclaredKey]) -> None:
        if not declared:
            return
        users = {item["id"]: item for item in self._plane.items("/v1/users")}
        by_email = {item["email"].casefold(): item for item in users.values()}
        active: dict[tuple[str, str], Existing] = {
            (item["organization"], item["name"]): item
            for item in sorted(self._plane.items(self._at("keys")), key=lambda item: item["status"] != "expired")
            if item["status"] in ("active", "waiting", "expired")
        }
        for key in declared:
            user = by_email.get(key.user.casefold())
            if user is None:
                raise NotFound(f"The key {key.name} is for a user who is not there.", advice="Declare the user too.")
            old = active.get((user["organization"], key.name))
            if old is not None and _same_key(key, user, old):
                continue
            if old is not None:  # a key never changes: it ends, and another takes its name
                self._plane.delete(self._at("keys", old["id"]))
            made = self._plane.post(self._at("keys"), _key_body(key, user))
            self.outcome.keys.append({"name": key.name, "key": made["key"]})
            self._note("created" if old is None else "replaced", "key", key.name)

    def _views(self, declared: Iterable[DeclaredView]) -> None:
        existing = {TableName.parse(item["name"]).key: item for item in self._all(declared, self._at("views"))}
        for view in declared:
            old = existing.get(view.name.key)
            body = {"name": str(view.name), "sql": view.sql}
            if old is None:
                self._plane.post(self._at("views"), body)
                self._note("created", "view", str(view.name))
            elif old["sql"] != view.sql:
                self._plane.put(self._at("views", old["id"]), body)
                self._note("changed", "view", str(view.name))

    def _policies(self, declared: Iterable[Policy]) -> None:
        existing: dict[str, list[Existing]] = {}
        for item in self._all(declared, self._at("policies")):
            existing.setdefault(item["name"], []).append(item)
        wanted = [(policy, _counterpart(policy, existing.get(policy.name, []))) for policy in declared]
        differing = [(policy, old) for policy, old in wanted if old is None or _decoded(old) != policy]
        together: list[tuple[Policy, Existing | None]] = []
        size = 0
        for pair in differing:
            length = len(json.dumps(encode_policy(pair[0])))
            if together and (len(together) == DRAFTED_MAX or size + length > DRAFTED_CHARS_MAX):
                self._put_in_force(together)
                together, size = [], 0
            together.append(pair)
            size += length
        if together:
            self._put_in_force(together)

    def _put_in_force(self, differing: list[tuple[Policy, Existing | None]]) -> None:
        """Together, as one draft; one by one where a policy goes to another organization with its table."""
        bodies = [{name: value for name, value in encode_policy(p).items() if name != "id"} for p, _ in differing]
        draft = self._plane.post(self._at("policy-drafts"), {"policies": bodies, "note": "hatidata apply"})
        where = self._at("policy-drafts", str(draft["number"]))
        replaced = {change["id"] for change in draft["changes"] if change["before"] is not None}
        if {old["id"] for _, old in differing if old is not None} == replaced:
            self._plane.post(f"{where}/activate")
        else:
            self._plane.delete(where)
            for (_, old), body in zip(differing, bodies, strict=True):
                if old is None:
                    self._plane.post(self._at("policies"), body)
                else:
                    self._plane.put(self._at("policies", old["id"]), body)
        for policy, old in differing:
            self._note("created" if old is None else "changed", policy_kind(policy), policy.name)

    def _at(self, *parts: str) -> str:
        return self._plane.within(*parts)

    def _all(self, declared: Iterable[object], where: str) -> list[Existing]:
        """What is there, asked for only when something of its kind is declared."""
        return list(self._plane.items(where)) if declared else []


def _counterpart(policy: Policy, candidates: list[Existing]) -> Existing | None:
    """The policy of the same name; where organizations share the name, the one on the same table."""
    if len(candidates) < 2:
        return candidates[0] if candidates else None
    tables = policy.tables if isinstance(policy, Condition) else policy.table
    for candidate in candidates:
        other = _decoded(candidate)
        if (other.tables if isinstance(other, Condition) else other.table) == tables:
            return candidate
    return None


def _decoded(item: Existing) -> Policy:
    return decode_policy({**item["policy"], "id": ""})


def _key_body(key: DeclaredKey, user: Existing) -> dict[str, Any]:
    body: dict[str, Any] = {
        "name": key.name,
        "user": user["id"],
        "scopes": list(key.scopes),
        "networks": list(key.networks),
        "allowed_tables": list(key.allowed_tables),
        "expires_at": key.expires_at,
        "dialect": key.dialect,
        "rotate_after_days": key.rotate_after_days,
    }
    if key.agent:
        body["agent"] = {"id": key.agent.id, "framework": key.agent.framework, "trust": key.agent.trust}
    return body


def _same_key(key: DeclaredKey, user: Existing, old: Existing) -> bool:
    """Whether the key that is there does exactly what is declared."""
    agent = {"id": key.agent.id, "framework": key.agent.framework, "trust": key.agent.trust} if key.agent else None
    return (
        old["user_id"] == user["id"]
        and set(old["scopes"]) == set(expand(key.scopes))
        and old["agent"] == agent
        and set(old["networks"]) == set(key.networks)
        and set(old["allowed_tables"]) == {fold(table) for table in key.allowed_tables}
        and old["expires_at"] == key.expires_at
        and old["dialect"] == key.dialect
        and old["rotate_after_days"] == key.rotate_after_days
    )
