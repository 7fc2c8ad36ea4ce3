"""No sequence of calls ends with more privilege than was granted: a random walk over the real API.

Adam is an Admin with every scope of the `admin` bundle and whatever keys he can get hold of. He may do anything the API
lets him, in any order: make users and keys, invite and accept, ask for roles and lend them, set quotas, hand over, and
let time pass. The Owner does nothing. No user he touched may ever be more than he was allowed to make, and what is
lent is gone after its time.
"""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule

from governance.scopes import BUNDLES
from lambdas.control_plane.bootstrap import bootstrap
from lambdas.control_plane.handler import make_handler
from local.control_store import SqliteControlStore
from tests.control_plane.conftest import Api, RecordedSearch, StoppedClock

KEYS = "/v1/environments/production/keys"
REQUESTS = "/v1/environments/production/access-requests"
INVITATIONS = "/v1/invitations"
USERS = [
    "adam@acme.example",
    "olga@acme.example",
    "eve@acme.example",
    "gus@globex.example",
    "1:new@acme.example",
    "1:invited@acme.example",
]
ROLES = ["owner", "admin", "analyst"]
SCOPES = ["admin", "agent", "read_only", "orgs:manage", "billing:manage", "keys:manage", "users:manage", "query:read"]


class AdamsWalk(RuleBasedStateMachine):
    keys = Bundle("keys")

    @initialize(target=keys)
    def begin(self) -> str:
        self.folder = TemporaryDirectory()
        store, clock, search = SqliteControlStore(Path(self.folder.name) / "s"), StoppedClock(), RecordedSearch()
        owner = bootstrap(
            store,
            environment="production",
            organization_id="1",
            organization_name="Acme",
            owner_email="olga@acme.example",
            clock=clock,
        )
        self.api = Api(make_handler(store, clock, queries=search), owner, store, clock, search)
        self.api.ok("POST", "/v1/organizations", {"id": "2", "name": "Globex"})
        self.api.user("gus@globex.example", "owner", "2")
        self.api.user("eve@acme.example", "admin")
        self.api.key_for("eve@acme.example", "admin")
        self.lent: dict[str, str] = {}
        self.api.key_for("eve@acme.example", "admin", quota={"queries_per_day": 10})
        self.before = self.high_and_foreign()
        return str(self.api.key_for(self.api.user("adam@acme.example", "admin"), "admin")["key"])

    def teardown(self) -> None:
        if hasattr(self, "api"):
            self.api.store.close()
            self.folder.cleanup()

    def high_and_foreign(self) -> list[Any]:
        """Owners, Admins but Adam, users of others, and the keys of all of these: nothing here is Adam's to change."""
        users = self.api.ok("GET", "/v1/users", limit="1000")["items"]
        high = {
            user["id"]: user
            for user in users
            if (user["role"] in ("owner", "admin") or user["organization"] != "1") and user["id"] != USERS[0]
        }
        keys = self.api.ok("GET", KEYS, limit="1000")["items"]
        return [sorted(high.items()), [{**key, "last_used_at": ""} for key in keys if key["user_id"] in high]]

    @rule(
        key=keys,
        email=st.sampled_from(["new@acme.example", "other@acme.example", USERS[2]]),
        role=st.sampled_from(ROLES),
        organization=st.sampled_from(["1", "2"]),
    )
    def make_user(self, key: str, email: str, role: str, organization: str) -> None:
        body = {"email": email, "role": role, "organization": organization}
        self.api.call("POST", "/v1/users", body, key=key)

    @rule(
        key=keys,
        user=st.sampled_from(USERS),
        change=st.fixed_dictionaries(
            {},
            optional={
                "role": st.sampled_from(ROLES),
                "status": st.sampled_from(["active", "suspended"]),
                "attributes": st.just({"region": "all"}),
                "email": st.sampled_from(USERS),
            },
        ),
    )
    def change_user(self, key: str, user: str, change: dict[str, Any]) -> None:
        self.api.call("PATCH", f"/v1/users/{user}", change, key=key)

    @rule(key=keys, user=st.sampled_from(USERS))
    def remove_user(self, key: str, user: str) -> None:
        self.api.call("DELETE", f"/v1/users/{user}", key=key)

    @rule(
        target=keys,
        key=keys,
        user=st.sampled_from(USERS),
        scopes=st.lists(st.sampled_from(SCOPES), min_size=1, max_size=3),
    )
    def make_key(self, key: str, user: str, scopes: list[str]) -> str:
        body = {"name": f"k{len(self.api.answers)}", "user": user, "scopes": scopes}
        answer = self.api.call("POST", KEYS, body, key=key)
        return str(answer.body["key"]) if answer.status == 201 else key

    @rule(target=keys, key=keys, index=st.integers(0, 9))
    def rotate_some_key(self, key: str, index: int) -> str:
        items = self.api.ok("GET", KEYS, limit="1000")["items"]
        answer = self.api.call("POST", f"{KEYS}/{items[index % len(items)]['id']}/rotate", key=key)
        return str(answer.body["key"]) if answer.status == 201 else key

    @rule(key=keys, index=st.integers(0, 9))
    def revoke_some_key(self, key: str, index: int) -> None:
        items = self.api.ok("GET", KEYS, limit="1000")["items"]
        self.api.call("DELETE", f"{KEYS}/{items[index % len(items)]['id']}", key=key)

    @rule(
        target=keys,
        key=keys,
        email=st.sampled_from(["invited@acme.example", "new@acme.example", "eve@acme.example"]),
        role=st.sampled_from(ROLES),
        organization=st.sampled_from(["1", "2"]),
        scopes=st.lists(st.sampled_from(SCOPES), max_size=2),
    )
    def invite_and_accept(self, key: str, email: str, role: str, organization: str, scopes: list[str]) -> str:
        body = {"email": email, "role": role, "organization": organization, "scopes": scopes}
        made = self.api.call("POST", INVITATIONS, body, key=key)
        if made.status != 201:
            return key
        accepted = self.api.call("POST", f"{INVITATIONS}/accept", {"token": made.body["token"], "email": email}, key="")
        return str(accepted.body["key"]) if accepted.status == 201 else key

    @rule(
        target=keys,
        asker=keys,
        lender=keys,
        role=st.sampled_from(["admin", "auditor", "developer", "analyst"]),
        minutes=st.sampled_from([1, 60, 480]),
        scopes=st.lists(st.sampled_from(SCOPES), max_size=2),
    )
    def ask_lend_and_fetch(self, asker: str, lender: str, role: str, minutes: int, scopes: list[str]) -> str:
        wish = {"role": role, "minutes": minutes, "reason": "because", "scopes": scopes}
        asked = self.api.call("POST", REQUESTS, wish, key=asker)
        if asked.status != 201:
            return asker
        where = f"{REQUESTS}/{asked.body['id']}"
        self.api.call("POST", f"{where}/approve", {}, key=lender)
        fetched = self.api.call("POST", f"{where}/key", key=asker)
        if fetched.status != 201:
            self.api.call("DELETE", where, key=asker)
            return asker
        self.lent[fetched.body["key"]] = fetched.body["expires_at"]
        return str(fetched.body["key"])

    @rule(key=keys, hours=st.sampled_from([1, 9]))
    def let_time_pass(self, key: str, hours: int) -> None:
        self.api.clock.forward(hours=hours)
        now = self.api.clock.now().isoformat()[:19]
        for lent, ends_at in self.lent.items():
            if ends_at[:19] <= now:
                assert self.api.call("GET", "/v1/whoami", key=lent).status in (401, 429)
        assert hours < 9 or all(ends_at[:19] <= now for ends_at in self.lent.values())

    @rule(key=keys, index=st.integers(0, 9), per_day=st.sampled_from([0, 5, 1000]))
    def set_some_quota(self, key: str, index: int, per_day: int) -> None:
        items = self.api.ok("GET", KEYS, limit="1000")["items"]
        chosen = items[index % len(items)]["id"]
        where = f"/v1/environments/production/quotas/keys/{chosen}"
        self.api.call("PUT", where, {"queries_per_day": per_day}, key=key)

    @rule(key=keys)
    def try_what_is_the_owners(self, key: str) -> None:
        for method, path, body in (
            ("POST", "/v1/organizations", {"name": "Mine"}),
            ("PATCH", "/v1/organizations/2", {"status": "suspended"}),
            ("PUT", "/v1/environments/production/schemas/gl", {"organization": "1"}),
            ("POST", "/v1/organizations/1/owner", {"user": USERS[0]}),
            ("PUT", "/v1/environments/production", {"statement_timeout_ms": 1000}),
            ("PUT", "/v1/environments/production/quotas/organizations/1", {"queries_per_day": 0}),
        ):
            assert self.api.call(method, path, body, key=key).status in (401, 403, 404, 429)

    @rule(key=keys)
    def no_key_can_do_more_than_adams_first(self, key: str) -> None:
        who = self.api.call("GET", "/v1/whoami", key=key)
        if who.status == 200:
            assert set(who.body["scopes"]) <= {scope.value for scope in BUNDLES["admin"]}
            assert who.body["organization"] == "1"
            assert who.body["role"] != "owner"
            assert who.body["role"] != "admin" or who.body["user_id"] == USERS[0]

    @invariant()
    def what_is_not_adams_is_as_it_was(self) -> None:
        if hasattr(self, "before"):
            assert json.dumps(self.high_and_foreign()) == json.dumps(self.before)


class TestAdamsWalk(AdamsWalk.TestCase):  # type: ignore[misc,name-defined]
    settings = settings(max_examples=4, stateful_step_count=15, deadline=None, phases=[Phase.generate])


@pytest.mark.slow
class TestAdamsLongWalk(AdamsWalk.TestCase):  # type: ignore[misc,name-defined]
    settings = settings(max_examples=100, stateful_step_count=40, deadline=None, phases=[Phase.generate])
