"""The home's key for small secrets: what it seals only it opens, in its context, also after rotations."""

from __future__ import annotations

import json
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from governance.encryption_key import ON_DEMAND_MAX
from governance.errors import KeyServiceUnavailable, ResourceExceeded
from local.secret_box import FILE, NAME, HomeSecretBox


class Clock:
    def __init__(self) -> None:
        self.moment = datetime(2026, 11, 22, 3, tzinfo=UTC)

    def now(self) -> datetime:
        return self.moment


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def box(tmp_path: Path, clock: Clock) -> HomeSecretBox:
    return HomeSecretBox(tmp_path, clock)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(secret=st.binary(max_size=200), context=st.text(max_size=40), other=st.text(max_size=40))
def test_what_is_sealed_opens_in_its_own_context_only(
    box: HomeSecretBox, secret: bytes, context: str, other: str
) -> None:
    context, other = (text.encode("utf-8", "ignore").decode() for text in (context, other))
    sealed = box.seal(secret, context)
    assert box.open(sealed, context) == secret
    if other != context:
        with pytest.raises(KeyServiceUnavailable):
            box.open(sealed, other)


def test_sealing_twice_gives_different_texts_without_the_secret(box: HomeSecretBox) -> None:
    one, two = box.seal(b"whsec_abc", "c"), box.seal(b"whsec_abc", "c")
    assert one != two
    assert "whsec" not in one


@pytest.mark.parametrize("sealed", ["", "1", "1.x.y", "2.x.y", "1..", "1.none.AAAA", "\x00"])
def test_what_was_not_sealed_here_is_refused(box: HomeSecretBox, sealed: str) -> None:
    with pytest.raises(KeyServiceUnavailable):
        box.open(sealed, "c")


def test_any_changed_letter_is_noticed(box: HomeSecretBox) -> None:
    sealed = box.seal(b"8 bytes!", "c")  # a whole number of base64 groups: none of its bits is spare
    for at in range(len(sealed)):
        changed = sealed[:at] + ("A" if sealed[at] != "A" else "B") + sealed[at + 1 :]
        with pytest.raises(KeyServiceUnavailable):
            box.open(changed, "c")


def test_the_file_is_the_owners_and_a_second_box_uses_it(tmp_path: Path, box: HomeSecretBox, clock: Clock) -> None:
    assert stat.S_IMODE((tmp_path / FILE).stat().st_mode) == 0o600
    sealed = box.seal(b"secret", "c")
    assert HomeSecretBox(tmp_path, clock).open(sealed, "c") == b"secret"


def test_a_damaged_file_is_refused(tmp_path: Path, box: HomeSecretBox, clock: Clock) -> None:
    good = json.loads((tmp_path / FILE).read_text())
    for bad in ("", "[]", "{}", json.dumps(good | {"format": 2}), json.dumps(good | {"keys": []}),
                json.dumps(good | {"keys": [{"id": "a", "key": "AA=="}]})):  # fmt: skip
        (tmp_path / FILE).write_text(bad)
        with pytest.raises(KeyServiceUnavailable):
            HomeSecretBox(tmp_path, clock).seal(b"x", "c")


def test_w2_6_it_rotates_on_demand_25_times_and_old_secrets_stay_readable(box: HomeSecretBox) -> None:
    sealed = [box.seal(b"secret", "c")]
    for number in range(ON_DEMAND_MAX):
        assert box.facts(NAME).on_demand == number
        box.rotate(NAME)
        sealed.append(box.seal(b"secret", "c"))
    with pytest.raises(ResourceExceeded):
        box.rotate(NAME)
    assert {box.open(each, "c") for each in sealed} == {b"secret"}
    assert len({each.split(".")[1] for each in sealed}) == ON_DEMAND_MAX + 1


def test_w2_5_it_rotates_by_itself_after_a_year(box: HomeSecretBox, clock: Clock) -> None:
    first = box.seal(b"s", "c").split(".")[1]
    clock.moment += timedelta(days=364)
    assert box.facts(NAME).period_days == 365
    assert box.seal(b"s", "c").split(".")[1] == first
    clock.moment += timedelta(days=1)
    assert box.facts(NAME).on_demand == 0
    assert box.seal(b"s", "c").split(".")[1] != first


def test_there_is_one_key(box: HomeSecretBox) -> None:
    assert box.names() == (NAME,)
    for act in (box.facts, box.rotate):
        with pytest.raises(KeyServiceUnavailable):
            act("data")


def test_nothing_of_it_is_in_its_repr(tmp_path: Path, box: HomeSecretBox) -> None:
    (key,) = json.loads((tmp_path / FILE).read_text())["keys"]
    assert key["key"] not in repr(box)
