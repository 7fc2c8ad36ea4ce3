"""Each refusal to its HTTP status and the one error body, in one place."""

from __future__ import annotations

import json
from typing import Any

from governance.errors import InvalidRequest, Refusal

STATUS: dict[str, int] = {
    "authentication_failed": 401,
    "permission_denied": 403,
    "not_found": 404,
    "conflict": 409,
    "precondition_failed": 412,
    "body_too_large": 413,
    "too_many_requests": 429,
    "store_unavailable": 503,
    "audit_unavailable": 503,
    "request_timed_out": 503,
    "key_service_unavailable": 503,
    "internal_error": 500,
}
"""HTTP status of a refusal's code; whatever is not here is 422: understood, and not acceptable."""


class InternalError(Refusal):
    """Something failed that should not; the log has the class of the failure, the client only this."""

    code = "internal_error"


class RequestTimedOut(Refusal):
    """A request was not answered within its deadline; whether it was carried out is not known."""

    code = "request_timed_out"


def error_body(refusal: Refusal, request_id: str) -> dict[str, Any]:
    """The body of every error answer."""
    return {
        "error": {
            "code": refusal.code,
            "message": refusal.message,
            "advice": refusal.advice,
            "request_id": request_id,
        }
    }


def status_of(refusal: Refusal) -> int:
    """The HTTP status of a refusal."""
    return STATUS.get(refusal.code, 422)


def error_answer(refusal: Refusal, request_id: str) -> dict[str, Any]:
    """A whole load-balancer answer for a refusal."""
    headers = {"Content-Type": ["application/json"]}
    if status_of(refusal) == 401:
        headers["WWW-Authenticate"] = ["Bearer"]
    return {
        "statusCode": status_of(refusal),
        "multiValueHeaders": headers,
        "body": json.dumps(error_body(refusal, request_id), ensure_ascii=False),
        "isBase64Encoded": False,
    }


def invalid(errors: list[dict[str, Any]]) -> InvalidRequest:
    """What pydantic found, as a refusal: where and which rule, never the value."""
    found = [f"{'.'.join(str(part)[:64] for part in error['loc'])}: {_words(error['type'])}" for error in errors[:5]]
    return InvalidRequest("The request is not well formed: " + "; ".join(found) + ".", advice="See /v1/openapi.json.")


def _words(rule: str) -> str:
    return rule.replace("_", " ")[:64]
