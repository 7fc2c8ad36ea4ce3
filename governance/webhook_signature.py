"""Webhook signatures after the Standard Webhooks specification: HMAC-SHA256 over id, timestamp and body. Pure.

Headers `webhook-id`, `webhook-timestamp` (Unix seconds) and `webhook-signature` (`v1,` and base64, several separated by
spaces while a secret is being replaced). A secret is `whsec_` and the base64 of its bytes.
Source: standardwebhooks.com, specification 1.0.0.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Iterable, Mapping

PREFIX = "whsec_"
SECRET_BYTES = 32
TOLERANCE_S = 300
"""How far a receiver should let the timestamp stray from its clock."""


def new_secret() -> str:
    """A fresh signing secret; shown once, stored sealed."""
    return PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def signature(secret: str, event_id: str, timestamp: int, body: bytes) -> str:
    """One signature, `v1,...`.

    Raises:
        ValueError: not a secret of this form.
    """
    return "v1," + base64.b64encode(hmac.digest(_key(secret), _signed(event_id, timestamp, body), "sha256")).decode()


def headers(keys: Iterable[str], event_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The three headers of a delivery, signed with each of the secrets."""
    return {
        "webhook-id": event_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(signature(key, event_id, timestamp, body) for key in keys),
    }


def verify(secret: str, given: Mapping[str, str], body: bytes, now: int) -> bool:
    """Whether a delivery is ours and of now; header names in lower case. Never raises for what was sent.

    Raises:
        ValueError: the secret is none.
    """
    key = _key(secret)
    event_id, moment = given.get("webhook-id", ""), given.get("webhook-timestamp", "")
    if not moment.isascii() or not moment.isdigit() or len(moment) > 12 or abs(now - int(moment)) > TOLERANCE_S:
        return False
    right = hmac.new(key, _signed(event_id, int(moment), body), hashlib.sha256).digest()
    found = False
    for each in given.get("webhook-signature", "").split(" ")[:16]:
        version, _, text = each.partition(",")
        try:
            sent = base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            continue
        found |= version == "v1" and hmac.compare_digest(sent, right)
    return found


def _key(secret: str) -> bytes:
    if not secret.startswith(PREFIX):
        raise ValueError("not a webhook secret")
    try:
        return base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except binascii.Error:
        raise ValueError("not a webhook secret") from None


def _signed(event_id: str, timestamp: int, body: bytes) -> bytes:
    return f"{event_id}.{timestamp}.".encode() + body
