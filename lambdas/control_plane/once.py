"""Idempotency-Key: a POST repeated with the same key is answered as the first time, and done only then.

That it was done is committed with the change itself, so no crash between the two makes it happen twice. The answer is
noted after it is made; what is shown once (a key, a token, a secret) is not part of what is noted: it is never stored.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from datetime import datetime, timedelta
from typing import Any

from governance.chain import canonical
from governance.errors import Conflict, InvalidRequest, Refusal
from governance.idempotency import IdempotentAnswer
from governance.ports import ControlReader
from governance.timestamp import stamp
from lambdas.control_plane.request import Request

REMEMBERED = timedelta(hours=24)
SHOWN_ONCE = frozenset({"key", "token", "secret"})
"""Fields of an answer that are shown once; a repetition gets them empty. A test holds every answer model to it."""
ANSWER_CHARS_MAX = 65_536
_KEY = re.compile(r"[\x21-\x7e]{1,128}")


class KeyReused(Refusal):
    """An Idempotency-Key that came with another request before."""

    code = "idempotency_key_reused"


class Repeated(Exception):
    """The request was carried out before; `before` says what was answered. Never leaves the control plane."""

    def __init__(self, before: IdempotentAnswer) -> None:
        super().__init__("carried out before")
        self.before = before


def wanted(request: Request, user_id: str, now: datetime) -> IdempotentAnswer | None:
    """What to remember of a request, or None when it asks for nothing of the kind.

    Raises:
        InvalidRequest: a key that is none.
    """
    key = request.headers.get("idempotency-key", "")
    if not key or request.method != "POST":
        return None
    if not _KEY.fullmatch(key):
        raise InvalidRequest("Idempotency-Key is not well formed.", advice="Send 1 to 128 visible ASCII characters.")
    said = [request.method, request.path, sorted((name, *values) for name, values in request.query.items())]
    return IdempotentAnswer(
        id=hashlib.sha256(canonical(["idempotency 1", user_id, key])).hexdigest(),
        request_hash=hashlib.sha256(canonical([*said, request.body])).hexdigest(),
        request_id=request.request_id,
        expires_at=stamp(now + REMEMBERED),
    )


def need_first(reader: ControlReader, asked: IdempotentAnswer, now: str) -> None:
    """Go on only when nobody was here before.

    Raises:
        Repeated: this very request was carried out by another.
        KeyReused: another request came with this key.
    """
    before = reader.get(IdempotentAnswer, "", asked.id)
    if before is None or before.expires_at <= now or before.request_id == asked.request_id:
        return
    if before.request_hash != asked.request_hash:
        raise KeyReused(
            "This Idempotency-Key came with another request before.", advice="Use a new key for each new request."
        )
    raise Repeated(before)


def noted(asked: IdempotentAnswer, answer: dict[str, Any]) -> IdempotentAnswer | None:
    """What to keep of the answer; None when it is too long to be kept."""
    try:
        document = json.loads(answer["body"])
    except ValueError:
        return None
    if isinstance(document, dict):
        document |= dict.fromkeys(SHOWN_ONCE & document.keys(), "")
    body = json.dumps(document, ensure_ascii=False)
    if len(body) > ANSWER_CHARS_MAX:
        return None
    return dataclasses.replace(asked, status=int(answer["statusCode"]), body=body)


def replayed(before: IdempotentAnswer) -> dict[str, Any]:
    """The answer of the first time.

    Raises:
        Conflict: it was not noted.
    """
    if not before.status:
        raise Conflict(
            "This request was carried out already, or is just now; its answer is not at hand.",
            advice="Ask again in a moment; else look at what was made.",
        )
    return {
        "statusCode": before.status,
        "multiValueHeaders": {"Content-Type": ["application/json"], "Idempotency-Replayed": ["true"]},
        "body": before.body,
        "isBase64Encoded": False,
    }
