"""Signatures, attempts and their spacing, what a delivery holds."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from governance.errors import InvalidRequest
from governance.stored_record import decode_record, encode_record
from governance.timestamp import parse, stamp
from governance.webhook import (
    BODY_BYTES_MAX,
    EVENT_TYPES,
    RETRY_AFTER_S,
    KeyWarning,
    Webhook,
    WebhookDelivery,
    checked_event_types,
    delivery,
    delivery_ids,
)
from governance.webhook_signature import headers, new_secret, signature, verify

NOW = datetime(2026, 11, 22, 3, tzinfo=UTC)
AT = stamp(NOW)
HOOK = Webhook(
    "production", "hook-1", "1", "https://hooks.example.com/T0/token", ("key.expiring",), "sealed", AT, "olga"
)


def made(**more: Any) -> WebhookDelivery:
    given_ = {"event_id": "ab" * 16, "event_type": "key.expiring", "data": {"days": 7}, "at": AT} | more
    return delivery(HOOK, **given_)


def test_the_signature_is_the_one_of_the_specifications_own_example() -> None:
    # Example of Standard Webhooks 1.0.0, "Signature scheme".
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    body = b'{"test": 2432232314}'
    event_id, at = "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330
    assert signature(secret, event_id, at, body) == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@given(st.binary(max_size=200), st.integers(0, 2**31), st.text("abc0123", min_size=1, max_size=20))
def test_w3_7_what_is_signed_verifies_and_nothing_else_does(body: bytes, at: int, event_id: str) -> None:
    secret, other = new_secret(), new_secret()
    given_ = headers([secret], event_id, at, body)
    assert verify(secret, given_, body, at)
    assert verify(secret, headers([other, secret], event_id, at, body), body, at + 300)
    assert not verify(other, given_, body, at)
    assert not verify(secret, given_, body + b" ", at)
    assert not verify(secret, given_ | {"webhook-id": event_id + "x"}, body, at)
    assert not verify(secret, given_ | {"webhook-timestamp": str(at + 1)}, body, at)
    assert not verify(secret, given_, body, at + 301)
    assert not verify(secret, given_, body, at - 301)


@given(st.dictionaries(st.sampled_from(["webhook-id", "webhook-timestamp", "webhook-signature"]), st.text(max_size=40)))
def test_a_verifier_survives_whatever_headers_hold(given_: dict[str, str]) -> None:
    assert not verify(new_secret(), given_, b"{}", 0)


def test_a_secret_has_256_bits_and_no_two_are_alike() -> None:
    found = {new_secret() for _ in range(50)}
    assert len(found) == 50
    assert all(len(base64.b64decode(each.removeprefix("whsec_"))) == 32 for each in found)


def test_attempts_are_eight_and_back_off_over_a_day() -> None:
    each, now, waits = made(), NOW, []
    while not each.spent:
        assert each.due(stamp(now))
        each = each.tried(now)
        waits.append((parse(each.next_at) - now).total_seconds())
        now = parse(each.next_at)
    assert each.attempts == 8
    assert len(RETRY_AFTER_S) == 7
    assert waits == sorted(waits)
    assert 3600 * 20 < sum(waits[:7]) < 3600 * 28
    assert all(least <= wait <= least * 1.11 for wait, least in zip(waits, RETRY_AFTER_S, strict=False))


@given(st.integers(0, 7), st.binary(min_size=16, max_size=16))
def test_a_claim_is_never_due_at_once(attempts: int, event_id: bytes) -> None:
    each = made(event_id=event_id.hex())
    for _ in range(attempts):
        each = each.tried(NOW)
    assert not each.tried(NOW).due(stamp(NOW + timedelta(seconds=9)))


def test_a_body_tells_the_event_and_stays_within_its_bound() -> None:
    body = json.loads(made().body)
    assert body == {
        "v": 1, "id": "ab" * 16, "type": "key.expiring", "timestamp": AT, "environment": "production",
        "organization": "1", "data": {"days": 7},
    }  # fmt: skip
    long = made(data={"text": "ü" * BODY_BYTES_MAX})
    assert json.loads(long.body)["data"] == {"too_long": True}


def test_ids_sort_newest_first_within_their_webhook() -> None:
    old, new = made(), made(at=stamp(NOW + timedelta(microseconds=1)))
    assert new.id < old.id
    assert old.id.startswith(delivery_ids("hook-1"))
    assert not old.id.startswith(delivery_ids("hook-"))


def test_records_survive_being_stored_and_hide_what_they_must() -> None:
    waiting = made()
    for record in (HOOK, waiting, waiting.logged("waiting", now=AT), KeyWarning("production", "key-1~7", AT, AT)):
        assert decode_record(record.kind, json.loads(json.dumps(encode_record(record)))) == record
    for hidden in ("sealed", "token"):
        assert hidden not in repr(HOOK).replace("sealed_before_until", "")
        assert hidden not in json.dumps(HOOK.fact())
    assert "days" not in repr(waiting)


def test_a_replaced_secret_signs_beside_the_new_one_for_its_time() -> None:
    hook = Webhook(**{**HOOK.stored(), "event_types": (), "sealed_before": "old", "sealed_before_until": AT})
    assert hook.seals(stamp(NOW - timedelta(seconds=1))) == ("sealed", "old")
    assert hook.seals(AT) == ("sealed",)


def test_event_types_are_the_chains_and_the_warning() -> None:
    assert len(EVENT_TYPES) == 28
    assert checked_event_types(["key.rotated", "key.created", "key.rotated"]) == ("key.created", "key.rotated")
    with pytest.raises(InvalidRequest):
        checked_event_types(["key.created", "webhook.test"])
