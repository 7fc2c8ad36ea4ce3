"""`/v1/health`, `/v1/openapi.json` and `/v1/whoami`: what the API is and who the caller is to it."""

from __future__ import annotations

import json
from typing import Any, Literal

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.openapi.models import APIKey, APIKeyIn, HTTPBearer, Server

from governance.chain import VERSION as CHAIN_VERSION
from governance.permissions import ENDPOINTS, Entry
from governance.register import Environment, KeyRecord
from governance.roles import Role
from governance.rulebook import FORMAT as RULEBOOK_FORMAT
from lambdas.control_plane.desk import Desk
from lambdas.control_plane.keys import AgentModel
from lambdas.control_plane.models import Model
from lambdas.control_plane.request import CLIENT_CERTIFICATE_SUBJECT
from lambdas.control_plane.resolver import ThreadedResolver

API_VERSION = "1.0.0"


class HealthAnswer(Model):
    """Whether the store answers, and the versions of the formats spoken."""

    status: str
    rulebook_format: int
    chain_version: int


class WhoAnswer(Model):
    """The caller as the API sees him; `scopes` are those his role lets count."""

    user_id: str
    email: str
    organization: str
    organization_name: str
    operator: bool
    role: Role
    environment: str
    key_id: str
    key_name: str
    key_expires_at: str
    successor: Literal["", "waiting", "fetched"]
    """Whether a key that rotated by itself may fetch its successor."""
    agent: AgentModel | None
    scopes: list[str]
    granted_scopes: list[str]


def register(app: ThreadedResolver, desk: Desk) -> None:
    """Add the routes."""
    document: list[str] = []

    @app.get("/v1/health", tags=["service"], summary="Whether the control plane works")
    def health() -> HealthAnswer:
        with desk.store.read() as reader:
            reader.every(Environment, "")
        return HealthAnswer(status="ok", rulebook_format=RULEBOOK_FORMAT, chain_version=CHAIN_VERSION)

    @app.get("/v1/openapi.json", tags=["service"], summary="This API as an OpenAPI 3.1 document")
    def openapi() -> Response[str]:
        if not document:
            document.append(json.dumps(openapi_document(app), ensure_ascii=False))
        return Response(status_code=200, content_type="application/json", body=document[0])

    @app.get("/v1/whoami", tags=["service"], summary="Who you are to this API")
    def whoami() -> WhoAnswer:
        caller = desk.caller
        user, key, agent = caller.user, caller.key, caller.key.agent
        with desk.store.read() as reader:
            heir = reader.get(KeyRecord, key.environment, key.rotated_to) if key.rotated_to else None
        return WhoAnswer(
            user_id=user.id,
            email=user.email,
            organization=user.organization,
            organization_name=caller.organization.name,
            operator=caller.operator,
            role=user.role,
            environment=key.environment,
            key_id=key.id,
            key_name=key.name,
            key_expires_at=key.ends_at,
            successor="" if heir is None else "waiting" if heir.status == "waiting" else "fetched",
            agent=AgentModel(id=agent.id, framework=agent.framework, trust=agent.trust) if agent else None,
            scopes=sorted(scope.value for scope in caller.scopes),
            granted_scopes=sorted(scope.value for scope in key.scopes),
        )


_ERROR = {
    "type": "object",
    "title": "Error",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "message", "advice", "request_id"],
            "properties": {
                name: {"type": "string", "description": words}
                for name, words in {
                    "code": "Stable; programs may compare it",
                    "message": "A sentence that holds no value of the request",
                    "advice": "What to do",
                    "request_id": "Name it when you ask for help",
                }.items()
            },
        }
    },
}


def openapi_document(app: ThreadedResolver) -> dict[str, Any]:
    """The OpenAPI 3.1 document: what powertools makes of the routes, with our error body and each route's entry."""
    document: dict[str, Any] = json.loads(
        app.get_openapi_json_schema(
            title="HatiData control plane",
            version=API_VERSION,
            description="Organizations, users, keys, policies and audit of a HatiData installation.",
            servers=[Server(url="/")],
            security_schemes={
                "key": HTTPBearer(scheme="bearer", bearerFormat="hd_live_... or hd_test_..."),
                "node": APIKey.model_validate(
                    {
                        "name": CLIENT_CERTIFICATE_SUBJECT,
                        "in": APIKeyIn.header,
                        "description": "Mutual TLS with a node's certificate; the load balancer sets the header.",
                    }
                ),
            },
        )
    )
    schemas = document["components"]["schemas"]
    for name in ("HTTPValidationError", "ValidationError", "ResponseValidationError"):
        schemas.pop(name, None)
    schemas["Error"] = _ERROR
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    for endpoint in ENDPOINTS:
        operation = document["paths"][endpoint.path][endpoint.method.lower()]
        operation["responses"].pop("422", None)
        for answer in operation["responses"].values():
            told = answer.get("content", {}).get("application/json", {})
            if told.get("schema", {}).get("type") == "string":  # a route that answers with ready-made JSON text
                told["schema"] = {"type": "object"}
        operation["responses"]["default"] = {"description": "Refused", "content": content}
        if endpoint.entry is not Entry.ANYONE:
            operation["security"] = [{endpoint.entry.value: []}]
        if endpoint.scope is not None:
            operation["x-scope"] = endpoint.scope.value
    return document
