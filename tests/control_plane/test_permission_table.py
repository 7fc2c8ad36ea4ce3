"""Role x scope x endpoint: every cell tried through the handler, against a table written here by hand."""

from __future__ import annotations

import dataclasses
import re

import pytest

from governance.admin_event import INSTALLATION as US
from governance.admin_event import AdminEvent, AdminEventType, Attribution
from governance.permissions import ENDPOINTS, Entry, endpoint_for
from governance.ports import Change
from governance.register import KeyRecord, UserRecord
from governance.roles import Role
from governance.scopes import Scope
from tests.control_plane.conftest import Api

QUERYING = {"owner", "admin", "analyst", "developer", "service_account"}
ROLES_OF = {  # claim W3.1, by the scope that stands for each privilege
    "orgs:manage": {"owner"},
    "users:manage": {"owner", "admin"},
    "keys:manage": {"owner", "admin"},
    "policies:manage": {"owner", "admin"},
    "webhooks:manage": {"owner", "admin"},
    "audit:read": {"owner", "admin", "auditor"},
    "schemas:read": QUERYING,
    "tables:list": QUERYING,
}
E_ = "/v1/environments/production"
CELLS = {  # endpoint: (scope or None for any key, whether only the operator's users, status when allowed)
    "GET /v1/organizations": ("orgs:manage", False, 200),
    "POST /v1/organizations": ("orgs:manage", True, 422),
    "PATCH /v1/organizations/none": ("orgs:manage", True, 404),
    "POST /v1/organizations/none/owner": ("orgs:manage", False, 422),
    "GET /v1/environments": (None, False, 200),
    f"PUT {E_}": ("orgs:manage", True, 200),
    "GET /v1/users": ("users:manage", False, 200),
    "POST /v1/users": ("users:manage", False, 422),
    "GET /v1/users/none": ("users:manage", False, 404),
    "PATCH /v1/users/none": ("users:manage", False, 404),
    "DELETE /v1/users/none": ("users:manage", False, 404),
    "GET /v1/invitations": ("users:manage", False, 200),
    "POST /v1/invitations": ("users:manage", False, 422),
    "DELETE /v1/invitations/none": ("users:manage", False, 404),
    "GET /v1/access-reviews": ("audit:read", False, 200),
    "POST /v1/access-reviews": ("users:manage", False, 201),
    "GET /v1/access-reviews/2026-Q4.none/lines": ("audit:read", False, 404),
    "POST /v1/access-reviews/2026-Q4.none/lines/1": ("audit:read", False, 422),
    f"GET {E_}/schemas": ("schemas:read", False, 200),
    f"PUT {E_}/schemas/sales": ("orgs:manage", True, 422),
    f"GET {E_}/tables": ("tables:list", False, 200),
    f"GET {E_}/keys": ("keys:manage", False, 200),
    f"POST {E_}/keys": ("keys:manage", False, 422),
    f"GET {E_}/keys/none": ("keys:manage", False, 404),
    f"DELETE {E_}/keys/none": ("keys:manage", False, 404),
    f"POST {E_}/keys/none/rotate": ("keys:manage", False, 404),
    f"GET {E_}/webhooks": ("webhooks:manage", False, 200),
    f"POST {E_}/webhooks": ("webhooks:manage", False, 422),
    f"GET {E_}/webhooks/none": ("webhooks:manage", False, 404),
    f"PATCH {E_}/webhooks/none": ("webhooks:manage", False, 404),
    f"DELETE {E_}/webhooks/none": ("webhooks:manage", False, 404),
    f"POST {E_}/webhooks/none/secret": ("webhooks:manage", False, 404),
    f"POST {E_}/webhooks/none/test": ("webhooks:manage", False, 404),
    f"GET {E_}/webhooks/none/deliveries": ("webhooks:manage", False, 404),
    f"GET {E_}/webhook-networks": ("webhooks:manage", False, 200),
    f"PUT {E_}/webhook-networks": ("orgs:manage", True, 422),
    "GET /v1/encryption-keys": ("orgs:manage", True, 200),
    "POST /v1/encryption-keys/none/rotate": ("orgs:manage", True, 404),
    f"GET {E_}/access-requests": (None, False, 200),
    f"POST {E_}/access-requests": (None, False, 422),
    f"DELETE {E_}/access-requests/none": (None, False, 404),
    f"POST {E_}/access-requests/none/key": (None, False, 404),
    f"POST {E_}/access-requests/none/approve": ("users:manage", False, 404),
    f"POST {E_}/access-requests/none/deny": ("users:manage", False, 404),
    f"POST {E_}/access-requests/none/revoke": ("users:manage", False, 404),
    f"GET {E_}/policies": ("policies:manage", False, 200),
    f"POST {E_}/policies": ("policies:manage", False, 422),
    f"GET {E_}/policies/none": ("policies:manage", False, 404),
    f"PUT {E_}/policies/none": ("policies:manage", False, 422),
    f"DELETE {E_}/policies/none": ("policies:manage", False, 404),
    f"GET {E_}/policy-drafts": ("policies:manage", False, 200),
    f"POST {E_}/policy-drafts": ("policies:manage", False, 422),
    f"GET {E_}/policy-drafts/7": ("policies:manage", False, 404),
    f"DELETE {E_}/policy-drafts/7": ("policies:manage", False, 404),
    f"POST {E_}/policy-drafts/7/activate": ("policies:manage", False, 404),
    f"GET {E_}/policy-versions": ("policies:manage", False, 200),
    f"GET {E_}/policy-versions/999999": ("policies:manage", False, 404),
    f"POST {E_}/policy-versions/999999/roll-back": ("policies:manage", False, 404),
    f"GET {E_}/views": ("policies:manage", False, 200),
    f"POST {E_}/views": ("policies:manage", False, 422),
    f"GET {E_}/views/none": ("policies:manage", False, 404),
    f"PUT {E_}/views/none": ("policies:manage", False, 422),
    f"DELETE {E_}/views/none": ("policies:manage", False, 404),
    f"GET {E_}/quotas": ("keys:manage", False, 200),
    f"PUT {E_}/quotas/keys/none": ("keys:manage", False, 404),
    f"PUT {E_}/quotas/organizations/none": ("orgs:manage", True, 404),
    f"GET {E_}/usage": ("audit:read", False, 200),
    f"GET {E_}/audit/queries": ("audit:read", False, 200),
    f"GET {E_}/audit/admin": ("audit:read", False, 200),
    f"GET {E_}/audit/admin/verify-chain": ("audit:read", False, 200),
    f"GET {E_}/nodes": ("audit:read", True, 200),
    f"POST {E_}/cache/clear": ("policies:manage", True, 200),
}


def test_the_table_names_every_endpoint_that_a_key_opens_but_whoami() -> None:
    matched = set()
    for cell in CELLS:
        method, path = cell.split(" ")
        found = endpoint_for(method, path)
        assert found is not None, cell
        matched.add(found[0].name)
    wanted = {e.name for e in ENDPOINTS if e.entry is Entry.KEY} - {"GET /v1/whoami", "POST /v1/successor"}
    assert matched == wanted
    assert len(CELLS) == len(wanted)


@pytest.mark.parametrize("operator", [True, False], ids=["operator", "other"])
@pytest.mark.parametrize("role", Role)
def test_w3_1_w3_4_every_cell_is_allowed_or_refused_as_the_table_says(api: Api, role: Role, operator: bool) -> None:
    organization = "1" if operator else "2"
    if not operator:
        api.ok("POST", "/v1/organizations", {"id": "2", "name": "Globex"})
    owner = operator and role is Role.OWNER
    user = "olga@acme.example" if owner else api.user("u@x.example", role.value, organization)
    made = api.key_for(user, "query:read") if not owner else api.key_for(user, *[s.value for s in Scope])
    with api.store.read() as reader:
        record = reader.get(KeyRecord, "production", made["id"])
        assert reader.get(UserRecord, "", user) is not None
    assert record is not None
    wrong = []
    for scope in (None, *Scope):
        changed = dataclasses.replace(record, scopes=frozenset({scope} if scope else ()))
        event = AdminEvent(AdminEventType.KEY_CREATED, "production", organization, record.id, None, changed.fact())
        api.store.change(
            Attribution(US, api.clock.now().isoformat()),
            lambda _, put=changed, say=event: Change(None, puts=(put,), events=(say,)),  # type: ignore[misc]
        )
        assert api.call("GET", "/v1/whoami", key=made["key"]).status == 200
        for cell, (needed, operators, status) in CELLS.items():
            method, path = cell.split(" ")
            body = {} if method in ("POST", "PUT", "PATCH") and "rotate" not in path and "cache" not in path else None
            permitted = needed is None or (scope == needed and role.value in ROLES_OF[needed])
            allowed = permitted and (operator or not operators)
            answer = api.call(method, path, body, key=made["key"])
            if answer.status != (status if allowed else 403):
                wrong.append((cell, scope, answer.status))
    assert not wrong


def test_no_key_endpoint_opens_without_a_key_whatever_its_body(api: Api) -> None:
    subject = {"x-amzn-mtls-clientcert-subject": "CN=hatidata-node"}
    for each in ENDPOINTS:
        if each.entry is Entry.KEY:
            path = re.sub(r"{(?!env)\w+}", "7", each.path).replace("{env}", "production")
            assert api.refused(401, each.method, path, {}, key="") == "authentication_failed"
            assert api.refused(401, each.method, path, raw="{", key="") == "authentication_failed"
            assert api.refused(401, each.method, path, {}, key="", headers=subject) == "authentication_failed"


@pytest.mark.parametrize("path", ["/v1/nodes/rulebook", "/v1/nodes/tables", "/v1/nodes/figures"])
def test_w2_10_no_node_endpoint_opens_without_a_nodes_certificate(api: Api, path: str) -> None:
    method = "GET" if path.endswith("rulebook") else "PUT"
    for subject in ("CN=mallory,O=HatiData", "CN=hatidata-nodes", "O=hatidata-node", "CN=localhost", "CN=x,CN=y"):
        headers = {"x-amzn-mtls-clientcert-subject": subject}
        assert api.refused(403, method, path, {}, headers=headers) == "permission_denied"
    assert api.refused(403, method, path, {}) == "permission_denied"
