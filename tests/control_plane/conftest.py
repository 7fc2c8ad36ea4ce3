"""A control plane over a real store, called as the load balancer would call it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from governance.ports import ControlStore, QueryAuditFilters, QueryAuditPage
from lambdas.control_plane.bootstrap import bootstrap
from lambdas.control_plane.handler import Handler, make_handler
from local.control_store import SqliteControlStore
from local.secret_box import HomeSecretBox
from local.signing import HomeSigner

NODE_SUBJECT = "CN=hatidata-node,O=HatiData"


class StoppedClock:
    """A clock that moves only when told to."""

    def __init__(self) -> None:
        self.moment = datetime(2026, 11, 22, 3, 0, tzinfo=UTC)

    def now(self) -> datetime:
        return self.moment

    def forward(self, **by: float) -> None:
        self.moment += timedelta(**by)


class RecordedSearch:
    """Remembers what the query audit was asked."""

    def __init__(self) -> None:
        self.asked: list[QueryAuditFilters] = []

    def search(self, filters: QueryAuditFilters, cursor: str, limit: int) -> QueryAuditPage:
        self.asked.append(filters)
        return QueryAuditPage(({"query_id": "q1", "execution_ms": 1.5},), f"after-{limit}")


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    text: str

    @property
    def body(self) -> Any:
        return json.loads(self.text)

    @property
    def code(self) -> str:
        code: str = self.body["error"]["code"]
        return code


@dataclass
class Api:
    """Calls the handler with load-balancer events."""

    handler: Handler
    key: str
    store: ControlStore
    clock: StoppedClock
    search: RecordedSearch
    secrets: HomeSecretBox | None = None
    folder: Path = field(default_factory=Path)
    """Where its signing key lies."""
    answers: list[Answer] = field(default_factory=list)

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        key: str | None = None,
        headers: dict[str, str] | None = None,
        source: str = "127.0.0.1",
        raw: str | None = None,
        **query: str,
    ) -> Answer:
        token = self.key if key is None else key
        given = {"x-forwarded-for": source, "content-type": "application/json", **(headers or {})}
        if token:
            given["authorization"] = f"Bearer {token}"
        event = {
            "requestContext": {"elb": {"targetGroupArn": "test"}},
            "httpMethod": method,
            "path": path,
            "multiValueHeaders": {name: [value] for name, value in given.items()},
            "multiValueQueryStringParameters": {name: [quote(value)] for name, value in query.items()},
            "body": raw if raw is not None else ("" if body is None else json.dumps(body)),
            "isBase64Encoded": False,
        }
        out = self.handler(event, None)
        answer = Answer(out["statusCode"], {k.lower(): v[0] for k, v in out["multiValueHeaders"].items()}, out["body"])
        self.answers.append(answer)
        return answer

    def ok(self, method: str, path: str, body: Any = None, **more: Any) -> Any:
        answer = self.call(method, path, body, **more)
        assert answer.status in (200, 201), answer.text
        return answer.body

    def refused(self, status: int, method: str, path: str, body: Any = None, **more: Any) -> str:
        answer = self.call(method, path, body, **more)
        assert answer.status == status, answer.text
        return answer.code

    def node(self, method: str, path: str, body: Any = None, **more: Any) -> Answer:
        headers = {"x-amzn-mtls-clientcert-subject": NODE_SUBJECT, **more.pop("headers", {})}
        return self.call(method, path, body, key="", headers=headers, **more)

    def user(self, email: str, role: str, organization: str = "1", **more: Any) -> str:
        return str(
            self.ok("POST", "/v1/users", {"email": email, "role": role, "organization": organization, **more})["id"]
        )

    def key_for(self, user: str, *scopes: str, maker: str | None = None, **more: Any) -> dict[str, Any]:
        body = {"name": f"{user}-{len(self.answers)}", "user": user, "scopes": list(scopes), **more}
        made: dict[str, Any] = self.ok("POST", "/v1/environments/production/keys", body, key=maker)
        return made

    def events(self, **query: str) -> list[dict[str, Any]]:
        """Every event of the production chain, oldest first."""
        items: list[dict[str, Any]] = self.ok(
            "GET", "/v1/environments/production/audit/admin", order="oldest", limit="1000", **query
        )["items"]
        return items


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    store, clock, search = SqliteControlStore(tmp_path / "store.sqlite"), StoppedClock(), RecordedSearch()
    key = bootstrap(
        store,
        environment="production",
        organization_id="1",
        organization_name="Acme",
        owner_email="olga@acme.example",
        clock=clock,
    )
    secrets = HomeSecretBox(tmp_path, clock)
    handler = make_handler(store, clock, queries=search, secrets=secrets, signer=HomeSigner(tmp_path))
    yield Api(handler, key, store, clock, search, secrets, folder=tmp_path)
    store.close()
