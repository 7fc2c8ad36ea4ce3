"""The life of a key as a law: in whatever order things happen, no line has two active keys, and none revives."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from governance.api_key_life import (
    GRACE,
    WARNING_DAYS,
    ended,
    issued,
    orphaned,
    rotate,
    rotation_due,
    waiting_successor,
    warning_stage,
)
from governance.register import KeyRecord
from governance.scopes import Scope
from governance.stored_record import decode_record, encode_record
from governance.timestamp import parse, stamp

BORN = datetime(2026, 1, 1, tzinfo=UTC)
KEY = KeyRecord(
    "production", "key-0", "ana", "hd_live_00000000", "$argon2id$0", "u", "1", frozenset({Scope.QUERY_READ}),
    stamp(BORN), "o", rotate_after_days=90,
)  # fmt: skip


def at(**after: float) -> str:
    return stamp(BORN + timedelta(**after))


def test_a_key_is_due_at_its_age_and_not_before() -> None:
    assert not rotation_due(KEY, at(days=90, seconds=-1))
    assert rotation_due(KEY, at(days=90))
    for never in (
        dataclasses.replace(KEY, rotate_after_days=0),
        dataclasses.replace(KEY, status="rotated"),
        dataclasses.replace(KEY, status="waiting"),
        dataclasses.replace(KEY, status="revoked"),
        dataclasses.replace(KEY, expires_at=at(days=89)),
    ):
        assert not rotation_due(never, at(days=5000))


def test_w3_6_the_old_key_lives_for_72_hours_beside_its_successor() -> None:
    assert timedelta(hours=72) == GRACE
    heir = waiting_successor(KEY, key_id="key-1", now=at(days=90), maker="hatidata")
    done = rotate(KEY, [KEY], successor=heir, grace_until=at(days=93))
    assert done.old.valid_at(at(days=93, seconds=-1))
    assert not done.old.valid_at(at(days=93))
    assert not heir.valid_at(at(days=90))
    new = issued(heir, prefix="hd_live_11111111", key_hash="$argon2id$1", now=at(days=91))
    assert new.valid_at(at(days=91))
    assert {**new.fact(), "id": "", "prefix": ""} == {**KEY.fact(), "id": "", "prefix": ""}
    gone = ended(done.old, at(days=93))
    assert gone is not None
    assert gone.status == "revoked"
    assert ended(done.old, at(days=93, seconds=-1)) is None


def test_a_waiting_key_has_no_secret_and_holds_its_name() -> None:
    heir = waiting_successor(KEY, key_id="key-1", now=at(days=90), maker="hatidata")
    assert (heir.prefix, heir.hash, heir.lookup) == ("", "", "")
    assert heir.unique == KEY.unique != ""
    assert not heir.opens
    assert orphaned(heir, [])
    assert not orphaned(heir, [dataclasses.replace(KEY, status="rotated", rotated_to="key-1")])
    assert decode_record("key", encode_record(heir)) == heir


@given(st.integers(0, 60 * 24 * 40))
def test_w3_7_the_warning_is_the_nearest_stage_and_never_after_the_end(minutes_left: int) -> None:
    key = dataclasses.replace(KEY, expires_at=at(days=100))
    now = stamp(parse(key.expires_at) - timedelta(minutes=minutes_left))
    stage, days = warning_stage(key, now), minutes_left / 60 / 24
    wanted = min((each for each in WARNING_DAYS if days <= each), default=None) if minutes_left else None
    assert stage == wanted
    assert (ended(key, now) is not None) == (minutes_left == 0)


MOVES = st.lists(st.sampled_from(["wait", "long", "rotate", "auto", "fetch", "revoke", "tidy"]), max_size=30)


@given(MOVES)
def test_a_line_of_keys_never_has_two_active_and_nothing_ended_revives(moves: list[str]) -> None:
    line = {KEY.id: KEY}
    now, made, over = BORN, 0, set[str]()
    for move in moves:
        active = next((key for key in line.values() if key.status == "active"), None)
        waiting = next((key for key in line.values() if key.status == "waiting"), None)
        text = stamp(now)
        if move in ("wait", "long"):
            now += timedelta(hours=24) if move == "wait" else timedelta(days=100)
        elif move in ("rotate", "auto") and active and (move == "rotate" or rotation_due(active, text)):
            made += 1
            heir = waiting_successor(active, key_id=f"key-{made}", now=text, maker="x")
            if move == "rotate":
                heir = issued(heir, prefix=f"p{made}", key_hash=f"h{made}", now=text)
            done = rotate(active, list(line.values()), successor=heir, grace_until=stamp(now + GRACE))
            line |= {key.id: key for key in (done.old, done.successor, *(after for _, after in done.ended))}
        elif move == "fetch" and waiting and not orphaned(waiting, line.values()):
            line[waiting.id] = issued(waiting, prefix=waiting.id, key_hash="h", now=text)
        elif move == "revoke" and active:
            line[active.id] = dataclasses.replace(active, status="revoked")
        elif move == "tidy":
            line |= {key.id: gone for key in line.values() if (gone := ended(key, text))}
            line |= {
                key.id: dataclasses.replace(key, status="revoked")
                for key in line.values()
                if orphaned(key, line.values())
            }
        holding = [key for key in line.values() if key.unique]
        assert len(holding) <= 1
        assert sum(key.valid_at(stamp(now)) for key in line.values()) <= 2
        assert not any(line[each].opens for each in over)
        over |= {key.id for key in line.values() if key.status in ("revoked", "expired")}
