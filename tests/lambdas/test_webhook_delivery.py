"""What waits is delivered: signed, at least once, a bounded number of times, whoever crashes and whoever competes."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from governance.errors import KeyServiceUnavailable
from governance.webhook import WebhookDelivery
from governance.webhook_signature import verify
from lambdas.webhook_delivery.sender import Sent
from lambdas.webhook_delivery.settings import WebhookDeliverySettings
from lambdas.webhook_delivery.task import Report, deliver_due
from local.control_store import SqliteControlStore
from tests.control_plane.conftest import Api

E_ = "/v1/environments/production"
HOOKS = f"{E_}/webhooks"


@dataclass
class Post:
    url: str
    body: bytes
    headers: dict[str, str]
    networks: tuple[str, ...]

    @property
    def event(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found


@dataclass
class Recorder:
    """A sender that keeps what it is given and answers as told, by URL or always."""

    answer: Sent = field(default_factory=lambda: Sent(200))
    by_url: dict[str, Sent] = field(default_factory=dict)
    posts: list[Post] = field(default_factory=list)

    async def send(self, url: str, body: bytes, headers: Mapping[str, str], networks: tuple[str, ...]) -> Sent:
        self.posts.append(Post(url, body, dict(headers), networks))
        await asyncio.sleep(0)
        return self.by_url.get(url, self.answer)


def deliver(api: Api, sender: Any, store: SqliteControlStore | None = None) -> Report:
    assert api.secrets is not None
    return asyncio.run(deliver_due(store or api.store, api.secrets, sender, api.clock))


def hook(api: Api, *event_types: str, url: str = "https://hooks.example.com/T0/token", **more: Any) -> dict[str, Any]:
    made: dict[str, Any] = api.ok(
        "POST", HOOKS, {"url": url, "event_types": list(event_types or ("key.created",))}, **more
    )
    return made


def log(api: Api, webhook: dict[str, Any]) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = api.ok("GET", f"{HOOKS}/{webhook['id']}/deliveries")["items"]
    return items


def waiting(api: Api) -> list[WebhookDelivery]:
    with api.store.read() as reader:
        return reader.every(WebhookDelivery, "production")


def test_w3_7_a_delivery_is_signed_with_the_secret_that_was_shown(api: Api) -> None:
    made, sender = hook(api), Recorder()
    key = api.key_for("olga@acme.example", "read_only")
    assert deliver(api, sender).counts == {"delivered": 1}
    (post,) = sender.posts
    assert post.event["data"]["target"] == key["id"]
    assert post.headers["webhook-id"] == post.event["id"]
    assert post.headers["content-type"] == "application/json"
    now = int(api.clock.now().timestamp())
    assert verify(made["secret"], post.headers, post.body, now)
    assert not verify(made["secret"], post.headers, post.body + b" ", now)
    (entry,) = log(api, made)
    assert (entry["status"], entry["attempts"], entry["code"]) == ("delivered", 1, 200)
    assert waiting(api) == []
    assert deliver(api, sender).counts == {}


def test_failures_are_tried_again_with_back_off_and_given_up_after_eight(api: Api) -> None:
    made, sender = hook(api), Recorder(Sent(503))
    api.key_for("olga@acme.example", "read_only")
    started, moments = api.clock.now(), []
    for _ in range(2000):
        before = len(sender.posts)
        deliver(api, sender)
        if len(sender.posts) > before:
            moments.append((api.clock.now() - started).total_seconds())
        if not waiting(api):
            break
        api.clock.forward(minutes=5 if len(moments) > 3 else 0.1)
    assert len(moments) == 8
    gaps = [after - before for before, after in pairwise(moments)]
    assert gaps == sorted(gaps)
    assert 3600 * 20 < moments[-1] < 3600 * 30
    assert len({post.headers["webhook-id"] for post in sender.posts}) == 1
    assert len({post.headers["webhook-timestamp"] for post in sender.posts}) == 8
    (entry,) = log(api, made)
    assert (entry["status"], entry["attempts"], entry["code"]) == ("failed", 8, 503)
    assert entry["failure"] == "the receiver did not take it"


@pytest.mark.parametrize("code", [300, 301, 400, 404, 429, 500])
def test_only_2xx_is_taken(api: Api, code: int) -> None:
    made = hook(api)
    api.key_for("olga@acme.example", "read_only")
    assert deliver(api, Recorder(Sent(code))).counts == {"retrying": 1}
    assert log(api, made)[0]["status"] == "waiting"


def test_gone_is_gone(api: Api) -> None:
    made = hook(api)
    api.key_for("olga@acme.example", "read_only")
    assert deliver(api, Recorder(Sent(410))).counts == {"failed": 1}
    assert (log(api, made)[0]["status"], waiting(api)) == ("failed", [])


def test_what_waits_survives_a_restart(api: Api, tmp_path: Path) -> None:
    hook(api)
    api.key_for("olga@acme.example", "read_only")
    deliver(api, Recorder(Sent(0, "no connection")))
    api.store.close()
    again, sender = SqliteControlStore(tmp_path / "store.sqlite"), Recorder()
    try:
        assert deliver(api, sender, again).counts == {}
        api.clock.forward(seconds=12)
        assert deliver(api, sender, again).counts == {"delivered": 1}
    finally:
        again.close()


class Died(BaseException):
    """The process ended just then."""


def test_a_crash_while_sending_loses_nothing_and_does_not_repeat_at_once(api: Api) -> None:
    class Dying(Recorder):
        async def send(self, *given: Any) -> Sent:
            raise Died

    hook(api)
    api.key_for("olga@acme.example", "read_only")
    with pytest.raises(Died):
        deliver(api, Dying())
    sender = Recorder()
    assert deliver(api, sender).counts == {}
    api.clock.forward(seconds=12)
    assert deliver(api, sender).counts == {"delivered": 1}


def test_of_many_dispatchers_one_sends(api: Api) -> None:
    hook(api)
    for _ in range(5):
        api.key_for("olga@acme.example", "read_only")
    sender = Recorder()
    assert api.secrets is not None
    box = api.secrets

    async def together() -> list[Report]:
        return await asyncio.gather(*(deliver_due(api.store, box, sender, api.clock) for _ in range(4)))

    reports = asyncio.run(together())
    assert sum(report.counts["delivered"] for report in reports) == 5
    assert len({post.headers["webhook-id"] for post in sender.posts}) == len(sender.posts) == 5


def test_a_receiver_that_is_down_is_asked_once_and_keeps_nobody_waiting(api: Api) -> None:
    down, up = "https://down.example/", "https://up.example/"
    hook(api, url=down)
    hook(api, url=up)
    for _ in range(4):
        api.clock.forward(seconds=1)
        api.key_for("olga@acme.example", "read_only")
    sender = Recorder(by_url={down: Sent(0, "timed out")})
    deliver(api, sender)
    assert [post.url for post in sender.posts].count(down) == 1
    ours = [post for post in sender.posts if post.url == up]
    assert [post.event["timestamp"] for post in ours] == sorted(post.event["timestamp"] for post in ours)
    assert len(ours) == 4


def test_a_removed_or_paused_webhook_is_told_nothing_more(api: Api) -> None:
    paused, removed = hook(api), hook(api)
    api.key_for("olga@acme.example", "read_only")
    api.ok("PATCH", f"{HOOKS}/{paused['id']}", {"status": "paused"})
    api.ok("DELETE", f"{HOOKS}/{removed['id']}")
    sender = Recorder()
    assert deliver(api, sender).counts == {"withdrawn": 2}
    assert (sender.posts, waiting(api)) == ([], [])
    assert log(api, paused)[0]["status"] == "failed"


def test_a_replaced_secret_signs_beside_the_new_one_for_a_day(api: Api) -> None:
    made = hook(api)
    new = api.ok("POST", f"{HOOKS}/{made['id']}/secret")
    for hours, old_too in ((23, True), (2, False)):
        api.clock.forward(hours=hours)
        api.call("POST", f"{HOOKS}/{made['id']}/test")
        sender = Recorder()
        deliver(api, sender)
        (post,) = sender.posts
        now = int(api.clock.now().timestamp())
        assert verify(new["secret"], post.headers, post.body, now)
        assert verify(made["secret"], post.headers, post.body, now) is old_too


def test_a_box_that_is_shut_is_a_failed_attempt(api: Api) -> None:
    class Shut:
        def seal(self, secret: bytes, context: str) -> str:
            raise KeyServiceUnavailable("shut")

        def open(self, sealed: str, context: str) -> bytes:
            raise KeyServiceUnavailable("shut")

    made, sender = hook(api), Recorder()
    api.key_for("olga@acme.example", "read_only")
    assert asyncio.run(deliver_due(api.store, Shut(), sender, api.clock)).counts == {"retrying": 1}
    assert sender.posts == []
    assert log(api, made)[0]["failure"] == "the signing secret cannot be opened"


def test_the_environments_networks_go_with_each_attempt(api: Api) -> None:
    made, sender = hook(api), Recorder()
    api.ok("PUT", f"{E_}/webhook-networks", {"networks": ["10.0.0.0/8"]})
    api.call("POST", f"{HOOKS}/{made['id']}/test")
    deliver(api, sender)
    assert [post.networks for post in sender.posts] == [("10.0.0.0/8",)]


def test_no_log_line_holds_a_url_a_secret_or_a_body(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    made = hook(api)
    api.key_for("olga@acme.example", "read_only", name="etl-nightly")
    caplog.set_level(logging.DEBUG)
    deliver(api, Recorder(Sent(500)))
    for secret in (made["secret"], "T0/token", "etl-nightly"):
        assert secret not in caplog.text


def test_the_documents_verifier_agrees_with_ours(api: Api, tmp_path: Path) -> None:
    made, sender = hook(api), Recorder()
    api.key_for("olga@acme.example", "read_only")
    deliver(api, sender)
    (post,) = sender.posts
    text = (Path(__file__).parents[2] / "docs" / "webhooks.md").read_text()
    (snippet,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    program = tmp_path / "verifier.py"
    asked = (
        "\nimport json, sys\ngiven = json.load(sys.stdin)\n"
        "sys.exit(0 if genuine(given['secret'], given['headers'], given['body'].encode(), given['now']) else 1)\n"
    )
    program.write_text(snippet + asked)

    def verdict(**changed: Any) -> bool:
        given = {"secret": made["secret"], "headers": post.headers, "body": post.body.decode()}
        given |= {"now": api.clock.now().timestamp()} | changed
        done = subprocess.run(
            [sys.executable, "-I", program], input=json.dumps(given), text=True, timeout=30, check=False,
            capture_output=True,
        )  # fmt: skip
        assert done.stderr == ""
        return done.returncode == 0

    assert verdict()
    assert not verdict(body=post.body.decode() + " ")
    assert not verdict(now=api.clock.now().timestamp() + 400)
    assert not verdict(secret="whsec_" + "A" * 43 + "=")
    assert not verdict(headers=post.headers | {"webhook-signature": "v1,x"})


def test_settings_are_told_as_they_are_read() -> None:
    settings = WebhookDeliverySettings("t", "arn:aws:kms:eu-central-1:1:key/a", "staging")
    assert WebhookDeliverySettings.from_environment(settings.environment()) == settings
