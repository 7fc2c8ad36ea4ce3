"""The API is what its OpenAPI document says: schemathesis makes requests of every operation and judges the answers."""

from __future__ import annotations

import base64
import copy
import gzip
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import CHECKS

from governance.permissions import ENDPOINTS, Entry
from lambdas.control_plane.api import ControlPlane
from lambdas.control_plane.bootstrap import bootstrap
from lambdas.control_plane.identity import openapi_document
from lambdas.control_plane.rates import Rates
from local.clock import SystemClock
from local.control_store import SqliteControlStore
from local.secret_box import HomeSecretBox
from local.signing import HomeSigner
from tests.control_plane.conftest import NODE_SUBJECT, RecordedSearch

EXAMPLES = 8
JUDGED = ("not_a_server_error", "content_type_conformance", "response_schema_conformance", "status_code_conformance")


class Served:
    """A control plane called with prepared requests."""

    def __init__(self, folder: Path) -> None:
        self.store = SqliteControlStore(folder / "store.sqlite")
        self.clock = SystemClock()
        self.key = bootstrap(
            self.store, environment="production", organization_id="1", organization_name="Acme",
            owner_email="olga@acme.example", clock=self.clock,
        )  # fmt: skip
        self.plane = ControlPlane(
            self.store,
            self.clock,
            queries=RecordedSearch(),
            secrets=HomeSecretBox(folder, self.clock),
            signer=HomeSigner(folder),
            rates=Rates(10**9, 10**9),
        )

    def send(self, request: requests.PreparedRequest, *, node: bool) -> schemathesis.Response:
        parts = urlsplit(str(request.url))
        headers = {name.lower(): value for name, value in request.headers.items()}
        headers = {name: value for name, value in headers.items() if not name.startswith(("x-amzn-", "x-forwarded-"))}
        if node:
            headers["x-amzn-mtls-clientcert-subject"] = NODE_SUBJECT
        else:
            headers["authorization"] = f"Bearer {self.key}"
        query: dict[str, list[str]] = {}
        for name, value in parse_qsl(parts.query, keep_blank_values=True):
            query.setdefault(quote(name), []).append(quote(value))
        body = request.body or b""
        event = {
            "httpMethod": request.method,
            "path": parts.path,
            "multiValueHeaders": {name: [str(value)] for name, value in headers.items()},
            "multiValueQueryStringParameters": query,
            "body": base64.b64encode(body if isinstance(body, bytes) else str(body).encode()).decode(),
            "isBase64Encoded": True,
        }
        answer = self.plane.handle(event, None)
        raw = answer["body"]
        return schemathesis.Response(
            status_code=answer["statusCode"],
            headers={
                name.lower(): values
                for name, values in answer["multiValueHeaders"].items()
                if name.lower() != "content-encoding"
            },
            content=gzip.decompress(base64.b64decode(raw)) if answer["isBase64Encoded"] else raw.encode(),
            request=request,
            elapsed=0.0,
            verify=True,
            encoding="utf-8",
        )


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    served = Served(tmp_path_factory.mktemp("openapi"))
    logging.getLogger("hatidata.control_plane").setLevel(logging.CRITICAL)
    yield served
    logging.getLogger("hatidata.control_plane").setLevel(logging.NOTSET)
    served.store.close()


def _narrowed(document: dict[str, Any]) -> dict[str, Any]:
    """The document with an environment that exists most of the time, so that routes are reached, not only refused."""
    narrowed = copy.deepcopy(document)
    for item in narrowed["paths"].values():
        for operation in item.values():
            for parameter in operation.get("parameters", ()):
                if parameter["in"] == "path" and parameter["name"] == "env":
                    parameter["schema"] = {"enum": ["production", "production", "production", "nowhere"]}
    return narrowed


@pytest.fixture(scope="module")
def schema(served: Served) -> Any:
    return schemathesis.openapi.from_dict(_narrowed(openapi_document(served.plane._app)))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda endpoint: endpoint.name)
def test_every_answer_is_as_the_document_says(served: Served, schema: Any, endpoint: Any) -> None:
    operation = schema[endpoint.path][endpoint.method]
    checks = [check for check in CHECKS.get_all() if check.__name__ in JUDGED]
    assert len(checks) == len(JUDGED)

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy())
    def judge(case: Any) -> None:
        made = case.as_transport_kwargs(base_url="https://localhost")
        made.pop("allow_redirects", None)
        names = ("method", "url", "headers", "params", "data", "json", "cookies", "files")
        request = requests.Request(**{name: made[name] for name in names if made.get(name) is not None}).prepare()
        response = served.send(request, node=endpoint.entry is Entry.NODE)
        case.validate_response(response, checks=checks)

    judge()
