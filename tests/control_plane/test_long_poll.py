"""Long polls in AWS: the word that nothing changed waits; a change does not."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from lambdas.control_plane.long_poll import LOOK_EVERY_S, long_polling
from tests.control_plane.conftest import Api

BOOK = "/v1/nodes/rulebook"


class Time:
    """Time that passes by sleeping alone; `events` happen when their moment comes."""

    def __init__(self) -> None:
        self.now = 0.0
        self.events: list[tuple[float, Callable[[], None]]] = []

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert 0 < seconds <= LOOK_EVERY_S
        self.now += seconds
        while self.events and self.events[0][0] <= self.now:
            self.events.pop(0)[1]()


@pytest.fixture
def time_(api: Api) -> Time:
    time_ = Time()
    api.handler = long_polling(api.handler, api.store, sleep=time_.sleep, monotonic=time_.monotonic)
    return time_


def test_w3_6_a_revocation_reaches_a_waiting_node_within_seconds(api: Api, time_: Time) -> None:
    key = api.key_for("olga@acme.example", "read_only")
    etag = api.node("GET", BOOK).headers["etag"]

    def revoke() -> None:
        api.ok("DELETE", f"/v1/environments/production/keys/{key['id']}")

    time_.events.append((7.0, revoke))
    answer = api.node("GET", BOOK, wait_s="20", headers={"if-none-match": etag})
    assert answer.status == 200
    assert key["id"] not in answer.text
    assert time_.now <= 7.0 + LOOK_EVERY_S


def test_without_a_change_the_word_comes_when_the_wait_is_over(api: Api, time_: Time) -> None:
    etag = api.node("GET", BOOK).headers["etag"]
    assert api.node("GET", BOOK, wait_s="12", headers={"if-none-match": etag}).status == 304
    assert time_.now == pytest.approx(12)


def test_nobody_else_waits(api: Api, time_: Time) -> None:
    assert api.node("GET", BOOK, wait_s="20").status == 200
    assert api.node("GET", BOOK, headers={"if-none-match": api.node("GET", BOOK).headers["etag"]}).status == 304
    for wait in ("-5", "nan", "x", "1e9"):
        api.node("GET", BOOK, wait_s=wait, headers={"if-none-match": '"x"'})
    assert api.call("GET", "/v1/whoami", wait_s="20").status in (200, 422)
    assert time_.now == 0


def test_the_functions_own_deadline_ends_the_wait(api: Api, time_: Time) -> None:
    class Context:
        def get_remaining_time_in_millis(self) -> int:
            return 6000

    etag = api.node("GET", BOOK).headers["etag"]
    event = {
        "httpMethod": "GET",
        "path": BOOK,
        "multiValueHeaders": {"if-none-match": [etag], "x-amzn-mtls-clientcert-subject": ["CN=hatidata-node"]},
        "multiValueQueryStringParameters": {"wait_s": ["25"]},
    }
    assert api.handler(event, Context())["statusCode"] == 304
    assert time_.now == pytest.approx(4)
