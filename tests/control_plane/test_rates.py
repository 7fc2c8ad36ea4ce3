"""Rate limits: per source and per key, told in headers, refused with the moment to come again."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambdas.control_plane.api import ControlPlane
from lambdas.control_plane.rates import BUCKETS_MAX, Meter, RateExceeded, Rates, source_name
from tests.control_plane.conftest import Api


class Ticking:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@given(st.integers(1, 200), st.lists(st.floats(0, 30), max_size=300))
def test_no_window_lets_in_more_than_twice_the_limit(limit: int, waits: list[float]) -> None:
    clock = Ticking()
    meter = Meter(limit, monotonic=clock)
    admitted: list[float] = []
    for wait in waits:
        clock.now += wait
        with contextlib.suppress(RateExceeded):
            assert 0 <= meter.take("x").remaining < limit
            admitted.append(clock.now)
    for begin in admitted:
        assert len([at for at in admitted if begin <= at < begin + 60]) <= 2 * limit


def test_whoever_waits_as_long_as_told_is_let_in() -> None:
    clock = Ticking()
    meter = Meter(10, monotonic=clock)
    for _ in range(10):
        meter.take("x")
    for _ in range(5):
        with pytest.raises(RateExceeded) as refused:
            meter.take("x")
        clock.now += refused.value.standing.reset_s
        meter.take("x")


def test_the_meter_is_bounded() -> None:
    meter = Meter(10)
    for number in range(BUCKETS_MAX + 100):
        meter.take(str(number))
    assert len(meter._buckets) == BUCKETS_MAX


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("", ""),
        ("nonsense", ""),
    ],
)
def test_an_ipv6_network_is_one_source(address: str, name: str) -> None:
    assert source_name(address) == name


@pytest.fixture
def limited(api: Api) -> Callable[[int, int], Api]:
    def make(per_key: int, per_source: int) -> Api:
        plane = ControlPlane(api.store, api.clock, rates=Rates(per_key, per_source))
        api.handler = plane.handle
        return api

    return make


def test_a_key_is_limited_and_told_so(limited: Callable[[int, int], Api]) -> None:
    api = limited(3, 1000)
    remaining = [api.call("GET", "/v1/whoami").headers["ratelimit-remaining"] for _ in range(3)]
    assert remaining == ["2", "1", "0"]
    refused = api.call("GET", "/v1/whoami")
    assert (refused.status, refused.code) == (429, "too_many_requests")
    assert refused.headers["ratelimit-limit"] == "3"
    assert refused.headers["ratelimit-remaining"] == "0"
    assert 1 <= int(refused.headers["retry-after"]) <= 20
    assert api.call("GET", "/v1/health", key="").status == 200, "others go on"


def test_a_source_is_limited_before_anything_is_looked_at(limited: Callable[[int, int], Api]) -> None:
    api = limited(1000, 4)
    for _ in range(4):
        assert api.call("GET", "/v1/health", key="", source="10.9.8.7").status == 200
    assert api.call("GET", "/v1/whoami", source="10.9.8.7").status == 429
    assert api.call("GET", "/v1/none", key="", source="10.9.8.7").status == 429
    assert api.call("GET", "/v1/whoami", source="10.9.8.8").status == 200


def test_every_answer_says_how_one_stands(api: Api) -> None:
    for answer in (
        api.call("GET", "/v1/health", key=""),
        api.call("GET", "/v1/whoami"),
        api.call("GET", "/v1/whoami", key="hd_live_typo"),
        api.call("GET", "/v1/none"),
    ):
        assert {"ratelimit-limit", "ratelimit-remaining", "ratelimit-reset"} <= answer.headers.keys()
